//! The first words of a TLS handshake, as bytes.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// A whole and proper `ClientHello`, as rustls writes it, for this name.
pub fn proper(name: &'static str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// One of this version (`[3, 1]` is TLS 1.0) that offers these suites; from TLS 1.2 on with the extensions that are
/// needed for elliptic curves, so that nothing is wrong with it but the suites.
pub fn offering(version: [u8; 2], suites: &[u16]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.push(0);
    let suites: Vec<u8> = suites
        .iter()
        .flat_map(|suite| suite.to_be_bytes())
        .collect();
    body.extend(length(suites.len(), 2));
    body.extend(suites);
    body.extend([1, 0]);
    if version >= [3, 3] {
        let extensions = [
            // groups: x25519 and P-256; their points uncompressed; ECDSA and RSA-PSS with SHA-256; the extended master
            // secret of RFC 7627
            &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23][..],
            &[0, 11, 0, 2, 1, 0],
            &[0, 13, 0, 6, 0, 4, 4, 3, 8, 4],
            &[0, 23, 0, 0],
        ]
        .concat();
        body.extend(length(extensions.len(), 2));
        body.extend(extensions);
    }
    let handshake = [&[1][..], &length(body.len(), 3), &body].concat();
    [&[22, 3, 1][..], &length(handshake.len(), 2), &handshake].concat()
}

fn length(length: usize, bytes: usize) -> Vec<u8> {
    length.to_be_bytes()[8 - bytes..].to_vec()
}

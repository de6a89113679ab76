//! What an authority is shown (RFC 8737), and everybody else is not.

use crate::tls::Challenges;

use super::*;

const ACME: &[u8] = b"acme-tls/1";

/// A listener that waits for its certificate, and where its names are proven.
fn waiting(folder: &Folder, ca: Option<&Ca>) -> (ServerTls, Challenges) {
    let mut settings = settings(CertificateFiles {
        certificate: PathBuf::new(),
        key: PathBuf::new(),
    });
    settings.certificate = None;
    settings.issued = Some(folder.path("issued.pem"));
    if let Some(ca) = ca {
        settings.client_auth = ClientAuth::Required;
        settings.client_ca = Some(folder.write("ca.crt", ca.pem()));
    }
    let challenges = Challenges::default();
    let (server, _) = ServerTls::load(&settings, true, folder.as_ref(), &challenges).unwrap();
    (server, challenges)
}

/// What an authority sees of a name: the certificate, in a handshake that leads to nothing.
async fn looked_at(server: &ServerTls, client: Client, name: &str) -> Vec<u8> {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let connector = TlsConnector::from(client.ready());
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let (ended, seen) = tokio::join!(server.accept(ours), async {
        let mut stream = connector.connect(name, theirs).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(ACME));
        let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        // Nothing is served: the connection ends, and properly.
        let mut rest = Vec::new();
        let _ = stream
            .write_all(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n")
            .await;
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
        leaf
    });
    assert!(matches!(ended, Err(HandshakeError::Challenge)), "{ended:?}");
    seen
}

#[tokio::test]
async fn an_authority_sees_the_proof_of_a_name_while_it_is_proven_and_nothing_is_served_to_it() {
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    for ca in [None, Some(&ca)] {
        let (server, challenges) = waiting(&folder, ca);
        let digest = [0xab; 32];
        let proving = challenges.prove("A.test", &digest).unwrap();
        for version in rustls::ALL_VERSIONS {
            let client = Client::speaking(&[version]).alpn(&[ACME]);
            let seen = looked_at(&server, client, "a.test").await;
            // RFC 8737 section 3: critical, an octet string of the digest in the extension's own octet string.
            let mut extension = vec![
                0x06, 0x08, 0x2b, 6, 1, 5, 5, 7, 1, 31, 1, 1, 0xff, 4, 34, 4, 32,
            ];
            extension.extend(digest);
            let found = seen.windows(extension.len()).any(|part| part == extension);
            assert!(found, "{:?}", version.version);
        }
        for name in ["b.test", "x.a.test"] {
            let client = Client::new().alpn(&[ACME]).ready();
            assert!(meet(&server, &client, name).await.client.is_err(), "{name}");
        }
        drop(proving);
        let client = Client::new().alpn(&[ACME]).ready();
        assert!(meet(&server, &client, "a.test").await.client.is_err());
    }
}

#[tokio::test]
async fn everybody_else_is_served_while_a_name_is_proven() {
    let folder = Folder::new();
    let (server, challenges) = waiting(&folder, None);
    let _proving = challenges.prove("localhost", &[1; 32]).unwrap();
    let own = fs::read_to_string(folder.path("tls/server.crt")).unwrap();
    for protocols in [&[][..], &[&b"h2"[..]], &[b"http/1.1"], &[b"h2", ACME]] {
        let client = Client::new().alpn(protocols).ready();
        let met = meet(&server, &client, "localhost").await;
        let seen = met.client.unwrap();
        let pem = rustls::pki_types::pem::PemObject::from_pem_slice(own.as_bytes());
        let own: CertificateDer<'static> = pem.unwrap();
        assert_eq!(seen.leaf, own, "{protocols:?}");
        assert_eq!(met.server.unwrap().http2, protocols.contains(&&b"h2"[..]));
    }
}

#[tokio::test]
async fn the_certificate_of_an_authority_takes_the_place_of_our_own_and_a_damaged_one_does_not() {
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    let (server, _) = waiting(&folder, None);
    assert!(server.files().contains(&folder.path("issued.pem")));
    let issued = ca.server(&["a.test"]);
    let bundle = format!("{}{}", issued.pem(), issued.key.serialize_pem());
    folder.key("issued.pem", &bundle);
    assert_eq!(server.reload().unwrap(), []);
    let client = Client::new().ready();
    let leaf =
        async |server: &ServerTls| meet(server, &client, "a.test").await.client.unwrap().leaf;
    let shown = leaf(&server).await;
    assert_eq!(shown.as_ref(), issued.chain[0].der().as_ref());

    folder.key("issued.pem", &bundle[..bundle.len() / 2]);
    server.reload().unwrap_err();
    assert_eq!(leaf(&server).await, shown, "what is in force stays");

    // After a restart there is nothing to stay, and the start does not fail for it.
    let mut settings = settings(CertificateFiles {
        certificate: PathBuf::new(),
        key: PathBuf::new(),
    });
    settings.certificate = None;
    settings.issued = Some(folder.path("issued.pem"));
    let loaded = ServerTls::load(&settings, true, folder.as_ref(), &Challenges::default());
    let (server, warnings) = loaded.unwrap();
    assert!(warnings[0].text.contains("cannot be used"), "{warnings:?}");
    assert_ne!(leaf(&server).await, shown);
}

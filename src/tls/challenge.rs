//! What proves to an authority that a name leads to us: certificates that are shown to it alone, in handshakes that ask
//! for `acme-tls/1` and nothing else (TLS-ALPN-01, RFC 8737).

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;

use super::error::Error;
use super::provider;
use super::resolver::normal;

/// The protocol of such a handshake (RFC 8737 section 6.2).
pub(super) const PROTOCOL: &[u8] = b"acme-tls/1";

/// What is to be shown to the authority now, by name. Cheap to share; empty but for the minutes in which a certificate
/// is had.
#[derive(Clone, Debug, Default)]
pub(crate) struct Challenges(Arc<Mutex<HashMap<String, Arc<CertifiedKey>>>>);

/// A name is being proven until this is dropped.
#[derive(Debug)]
pub(crate) struct Proving {
    challenges: Challenges,
    name: String,
}

impl Challenges {
    /// Shows whoever asks for `name` over `acme-tls/1` a certificate with this digest of the key authorization.
    ///
    /// # Errors
    /// The certificate cannot be made.
    pub(crate) fn prove(&self, name: &str, digest: &[u8]) -> Result<Proving, Error> {
        let key = certificate(name, digest).map_err(|fault| Error::Make {
            path: PathBuf::from(name),
            source: io::Error::other(fault),
        })?;
        let name = normal(name);
        self.all().insert(name.clone(), Arc::new(key));
        Ok(Proving {
            challenges: self.clone(),
            name,
        })
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.all().get(&normal(name)).cloned()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proving {
    fn drop(&mut self) {
        self.challenges.all().remove(&self.name);
    }
}

/// Whether it is an authority that asks: it offers this protocol and no other (RFC 8737 section 3).
pub(super) fn is_asked_for(hello: &ClientHello<'_>) -> bool {
    let mut offered = hello.alpn().into_iter().flatten();
    offered.next() == Some(PROTOCOL) && offered.next().is_none()
}

/// RFC 8737 section 3: for the one name, with the digest in a critical extension.
fn certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, String> {
    let told = |error: &dyn std::error::Error| error.to_string();
    let mut params = CertificateParams::new([name.to_owned()]).map_err(|e| told(&e))?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(|e| told(&e))?;
    let certificate = params.self_signed(&key).map_err(|e| told(&e))?;
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = provider()
        .key_provider
        .load_private_key(key.into())
        .map_err(|e| told(&e))?;
    Ok(CertifiedKey::new(chain, key))
}

//! Which certificate a client is shown: by the name that it asks for (RFC 6066 section 3), else the default one.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::challenge::{self, Challenges};
use super::material::Material;

/// The certificates of one listener. Several for one name are tried in the order of the configuration, so that an
/// ECDSA and an RSA certificate can stand side by side.
#[derive(Debug)]
pub(super) struct Resolver {
    default: Arc<CertifiedKey>,
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// `*.parent`, by parent.
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// What an authority is shown that proves a name.
    challenges: Challenges,
}

impl Resolver {
    pub(super) fn new(default: &Material, more: &[Material], challenges: Challenges) -> Self {
        let mut exact: HashMap<_, Vec<_>> = HashMap::new();
        let mut wildcard: HashMap<_, Vec<_>> = HashMap::new();
        for material in std::iter::once(default).chain(more) {
            for name in &material.names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut wildcard, parent),
                    None => (&mut exact, name.as_str()),
                };
                let name = name.trim_end_matches('.').to_owned();
                map.entry(name).or_default().push(Arc::clone(&material.key));
            }
        }
        Self {
            default: Arc::clone(&default.key),
            exact,
            wildcard,
            challenges,
        }
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Arc<CertifiedKey> {
        let name = name.map(normal).unwrap_or_default();
        let parent = name.split_once('.').map(|(_, parent)| parent);
        let exact = self.exact.get(&name);
        let wildcard = parent.and_then(|parent| self.wildcard.get(parent));
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let chosen = exact
            .into_iter()
            .chain(wildcard)
            .flatten()
            .find(usable)
            .unwrap_or(&self.default);
        Arc::clone(chosen)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if challenge::is_asked_for(&hello) {
            // Without a name that is being proven there is nothing to show, and the handshake fails.
            return self.challenges.find(hello.server_name()?);
        }
        Some(self.choose(hello.server_name(), hello.signature_schemes()))
    }
}

/// A name as it is compared: lower case, without the dot of the root.
pub(super) fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use rcgen::KeyPair;
    use rustls::crypto::aws_lc_rs::sign::any_supported_type;
    use rustls::pki_types::{PrivatePkcs8KeyDer, UnixTime};

    use super::*;

    fn material(names: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) -> Material {
        let key = KeyPair::generate_for(algorithm).unwrap().serialize_der();
        let key = any_supported_type(&PrivatePkcs8KeyDer::from(key).into()).unwrap();
        Material {
            key: Arc::new(CertifiedKey::new(Vec::new(), key)),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            file: "test.pem".into(),
            valid: (UnixTime::now(), UnixTime::now()),
        }
    }

    #[test]
    fn names_choose_and_a_key_that_the_client_cannot_check_is_passed_over() {
        let p256 = &rcgen::PKCS_ECDSA_P256_SHA256;
        let default = material(&["default.test"], p256);
        let first = material(&["both.test", "*.wild.test"], &rcgen::PKCS_ED25519);
        let second = material(&["both.test", "exact.wild.test", "dot.test."], p256);
        let more = [first.clone(), second.clone()];
        let resolver = Resolver::new(&default, &more, Challenges::default());
        let (ed25519, ecdsa) = (
            SignatureScheme::ED25519,
            SignatureScheme::ECDSA_NISTP256_SHA256,
        );
        let long = "x".repeat(300);
        let table = [
            (Some("both.test"), &[ed25519, ecdsa][..], &first),
            (Some("both.test"), &[ecdsa], &second),
            (Some("BOTH.test."), &[ecdsa], &second),
            (Some("a.wild.test"), &[ed25519], &first),
            (Some("exact.wild.test"), &[ed25519, ecdsa], &second),
            (Some("dot.test"), &[ecdsa], &second),
            (Some("a.b.wild.test"), &[ed25519], &default),
            (Some(".wild.test"), &[ed25519], &first),
            (Some("wild.test"), &[ed25519], &default),
            (Some("*"), &[ecdsa], &default),
            (Some("."), &[ecdsa], &default),
            (Some(""), &[], &default),
            (Some(&long), &[ecdsa], &default),
            (None, &[ecdsa], &default),
        ];
        for (name, schemes, expected) in table {
            let chosen = resolver.choose(name, schemes);
            assert!(Arc::ptr_eq(&chosen, &expected.key), "{name:?} {schemes:?}");
        }
    }
}

//! Which certificate a client is shown: by the name that it asks for (RFC 6066 section 3), else the default one.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::material::Material;

/// The certificates of one listener. Several for one name are tried in the order of the configuration, so that an
/// ECDSA and an RSA certificate can stand side by side.
#[derive(Debug)]
pub(super) struct Resolver {
    default: Arc<CertifiedKey>,
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// `*.parent`, by parent.
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

impl Resolver {
    pub(super) fn new(default: &Material, more: &[Material]) -> Self {
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
        Some(self.choose(hello.server_name(), hello.signature_schemes()))
    }
}

/// A name as it is compared: lower case, without the dot of the root.
pub(super) fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

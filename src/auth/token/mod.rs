//! Tokens: made for who asked with credentials (or without), and believed at the start of a request.
//!
//! JWT (RFC 7519) with ES256, as the registries of distribution make them. Nothing is believed of a token but what the
//! one algorithm and our own keys prove.

mod keys;
#[cfg(any(test, fuzzing))]
pub(super) mod property;

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::config;
use crate::identity::ClientCertificate;
use crate::identity::Grants;
use crate::identity::Identity;
use crate::identity::Rights;
use crate::peer::Peer;

use super::{Error, Refusal, Warning};
use keys::Keys;

/// Seconds for which a token is believed beyond its time, and before it: clients come late, clocks differ.
const GRACE: u64 = 60;
/// Longer ones are not looked at; ours are below a third of it.
const MAX_TOKEN: usize = 16 * 1024;
const ISSUER: &str = "dockgate";
/// RFC 8176: the bearer's password was checked.
const PASSWORD: &str = "pwd";

/// Makes tokens and judges them.
pub(crate) struct Tokens {
    settings: config::Token,
    state_dir: PathBuf,
    keys: ArcSwap<Keys>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What a token says (RFC 7519 section 4.1; `access` is distribution's).
#[derive(Debug, Deserialize, Serialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: u64,
    nbf: u64,
    iat: u64,
    jti: String,
    access: Vec<Entry>,
    /// How the subject proved itself; without `pwd` it is no user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    amr: Vec<String>,
    /// The client certificate without which the token is worth nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    actions: Vec<String>,
}

/// RFC 8705 section 3.1.
#[derive(Debug, Deserialize, Serialize)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    fingerprint: String,
}

/// The head of a token of ours; one with anything else in it (`jku`, `x5u`, `jwk`, `crit`) is none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OurHeader {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
    kid: String,
}

impl Tokens {
    /// Reads the keys and makes the one that is missing. The keys of a `before` stay believed while their tokens live.
    ///
    /// # Errors
    /// The key cannot be read or made.
    pub(crate) fn load(
        settings: &config::Token,
        state_dir: &Path,
        before: Option<&Self>,
    ) -> Result<(Self, Vec<Warning>), Error> {
        let old = before.map(|before| before.keys.load_full());
        let (keys, warnings) = Keys::load(settings, state_dir, old.as_deref(), now())?;
        let tokens = Self {
            settings: settings.clone(),
            state_dir: state_dir.to_path_buf(),
            keys: ArcSwap::from_pointee(keys),
        };
        Ok((tokens, warnings))
    }

    /// Whether it would come out the same from these settings.
    pub(crate) fn is_made_of(&self, settings: &config::Token) -> bool {
        self.settings == *settings
    }

    /// Where its own files are; that does not change while it runs.
    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Reads the keys again. Reads from disk: not for an async thread.
    ///
    /// # Errors
    /// They cannot be read; those of before stay in force.
    pub(crate) fn reload(&self) -> Result<Vec<Warning>, Error> {
        let before = self.keys.load_full();
        let (keys, warnings) = Keys::load(&self.settings, &self.state_dir, Some(&before), now())?;
        self.keys.store(Arc::new(keys));
        Ok(warnings)
    }

    /// The file to watch.
    pub(crate) fn file(&self) -> PathBuf {
        keys::file(&self.settings, &self.state_dir)
    }

    /// How long a token is good for, by what clients are told.
    pub(crate) fn lifetime(&self) -> Duration {
        self.settings.lifetime
    }

    /// What tokens are good for, where the client calls us by `host` (with or without a port).
    pub(crate) fn service<'a>(&'a self, host: Option<&'a str>) -> Cow<'a, str> {
        if let Some(service) = &self.settings.service {
            return service.into();
        }
        let host = host.unwrap_or("dockgate");
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            name.to_ascii_lowercase().into()
        } else {
            name.into()
        }
    }

    /// A token that says `grants` of `identity`, good for `service`.
    ///
    /// # Errors
    /// The system has no randomness, or the key does not sign: our fault.
    pub(crate) fn issue(
        &self,
        identity: &Identity,
        grants: &Grants,
        service: &str,
    ) -> Result<String, Refusal> {
        self.issue_at(identity, grants, service, now())
    }

    fn issue_at(
        &self,
        identity: &Identity,
        grants: &Grants,
        service: &str,
        now: u64,
    ) -> Result<String, Refusal> {
        let keys = self.keys.load();
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| Refusal::Failed)?;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: identity.name().unwrap_or_default().to_owned(),
            aud: service.to_owned(),
            exp: now + self.settings.lifetime.as_secs(),
            nbf: now,
            iat: now,
            jti: URL_SAFE_NO_PAD.encode(id),
            access: access(grants),
            amr: identity.user.iter().map(|_| PASSWORD.to_owned()).collect(),
            cnf: identity
                .certificate
                .as_deref()
                .map(|certificate| Confirmation {
                    fingerprint: fingerprint(certificate),
                }),
        };
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(keys.kid.clone());
        jsonwebtoken::encode(&header, &claims, &keys.signing).map_err(|_| Refusal::Failed)
    }

    /// Who sends a request with this token to `service`, and what the token allows. The groups are not in it.
    ///
    /// # Errors
    /// [`Refusal::Token`], whatever is wrong with it.
    pub(crate) fn verify(
        &self,
        token: &[u8],
        service: &str,
        peer: &Peer,
    ) -> Result<Identity, Refusal> {
        self.verify_at(token, service, peer, now())
            .ok_or(Refusal::Token)
    }

    fn verify_at(&self, token: &[u8], service: &str, peer: &Peer, now: u64) -> Option<Identity> {
        if token.len() > MAX_TOKEN || token.split(|b| *b == b'.').count() != 3 {
            return None;
        }
        let head = token.split(|b| *b == b'.').next()?;
        let head = URL_SAFE_NO_PAD.decode(head).ok()?;
        let head: OurHeader = serde_json::from_slice(&head).ok()?;
        if head.alg != "ES256" || head.typ.is_some_and(|kind| kind != "JWT") {
            return None;
        }
        let keys = self.keys.load();
        let key = keys.find(&head.kid, now)?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[service]);
        validation.set_required_spec_claims(&["iss", "sub", "aud", "exp", "nbf"]);
        // Below, by our own clock and grace.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation)
            .ok()?
            .claims;
        if now > claims.exp.saturating_add(GRACE) || claims.nbf > now.saturating_add(GRACE) {
            return None;
        }
        if let Some(confirmation) = &claims.cnf {
            let certificate = peer.certificate.as_deref()?;
            if confirmation.fingerprint != fingerprint(certificate) {
                return None;
            }
        }
        let is_user = claims.amr.iter().any(|method| method == PASSWORD) && !claims.sub.is_empty();
        Some(Identity {
            user: is_user.then(|| claims.sub.as_str().into()),
            certificate: peer.certificate.clone(),
            grants: Some(Arc::new(granted(&claims.access))),
            ..Identity::default()
        })
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// The SHA-256 of a certificate, as tokens write it.
fn fingerprint(certificate: &ClientCertificate) -> String {
    let bytes: Vec<u8> = certificate
        .fingerprint
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    URL_SAFE_NO_PAD.encode(bytes)
}

fn access(grants: &Grants) -> Vec<Entry> {
    let entry = |kind: &str, name: &str, actions: Vec<&str>| Entry {
        kind: kind.to_owned(),
        name: name.to_owned(),
        actions: actions.into_iter().map(ToOwned::to_owned).collect(),
    };
    let catalog = grants
        .catalog
        .then(|| entry("registry", "catalog", vec!["*"]));
    grants
        .repositories()
        .map(|(name, rights)| entry("repository", name, rights.words()))
        .chain(catalog)
        .collect()
}

fn granted(access: &[Entry]) -> Grants {
    let mut grants = Grants::default();
    for Entry {
        kind,
        name,
        actions,
    } in access
    {
        match (kind.as_str(), name.as_str()) {
            ("registry", "catalog") => grants.catalog |= actions.iter().any(|word| word == "*"),
            ("repository", name) => {
                let mut rights = Rights::default();
                for word in actions {
                    rights.add(word);
                }
                grants.add(name, rights);
            }
            _ => {}
        }
    }
    grants
}

#[cfg(test)]
mod tests;

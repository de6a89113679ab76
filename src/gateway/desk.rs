//! Who asks: the password file, the group file and the token keys, each kept over a reload that does not concern it.

use std::path::PathBuf;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use tracing::{info, warn};

use crate::auth;
use crate::auth::Authenticator;
use crate::auth::Groups;
use crate::auth::Tokens;
use crate::auth::bearer;
use crate::config::Config;
use crate::error::Error;
use crate::error::TokenFault;
use crate::handler::Asked;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::peer::Peer;

/// Proves who is asking.
#[derive(Debug)]
pub(super) struct Desk {
    authenticator: Arc<Authenticator>,
    groups: Arc<Groups>,
    tokens: Option<(String, Arc<Tokens>)>,
}

impl Desk {
    /// Reads what the configuration names, or takes it over from a `previous` desk.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(super) fn load(
        config: &Config,
        metrics: &Metrics,
        previous: Option<&Self>,
    ) -> Result<(Self, Vec<auth::Warning>), Vec<auth::Error>> {
        let kept = previous.map(|old| &old.authenticator);
        let authenticator = match kept.filter(|old| old.is_made_of(&config.auth, &config.limits)) {
            Some(kept) => Ok((Arc::clone(kept), Vec::new())),
            None => Authenticator::load(&config.auth, &config.limits, metrics.logins())
                .map(|(new, told)| (Arc::new(new), told)),
        };
        let file = config.auth.groups.as_deref();
        let kept = previous.map(|old| &old.groups);
        let groups = match kept.filter(|old| old.is_made_of(file)) {
            Some(kept) => Ok((Arc::clone(kept), Vec::new())),
            None => Groups::load(file).map(|(new, told)| (Arc::new(new), told)),
        };
        let tokens = tokens(config, previous);
        match (authenticator, groups, tokens) {
            (Ok((authenticator, mut told)), Ok((groups, more)), Ok((tokens, most))) => {
                told.extend(more.into_iter().chain(most));
                let desk = Self {
                    authenticator,
                    groups,
                    tokens,
                };
                Ok((desk, told))
            }
            (authenticator, groups, tokens) => {
                let all = [authenticator.err(), groups.err(), tokens.err()];
                Err(all.into_iter().flatten().collect())
            }
        }
    }

    /// The files to watch.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut files = self.authenticator.files();
        files.extend(self.groups.file().map(ToOwned::to_owned));
        files.extend(self.tokens.iter().map(|(_, tokens)| tokens.file()));
        files
    }

    /// Reads every file again; each that is broken leaves what was in force before.
    pub(super) fn reload(&self) -> Vec<Result<Vec<auth::Warning>, auth::Error>> {
        let mut all = vec![self.authenticator.reload(), self.groups.reload()];
        all.extend(self.tokens.iter().map(|(_, tokens)| tokens.reload()));
        all
    }

    /// Where the token service is, where there is one.
    pub(super) fn token_path(&self) -> Option<&str> {
        self.tokens.as_ref().map(|(path, _)| path.as_str())
    }

    /// The token service.
    pub(super) fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_ref().map(|(_, tokens)| &**tokens)
    }

    /// Who sends a request with these headers, or with the credentials of a form, to the gate under the name `host`.
    pub(super) async fn authenticate(
        &self,
        headers: &HeaderMap,
        asked: &Asked,
        peer: &Peer,
        host: Option<&str>,
    ) -> Result<Identity, Error> {
        let headers = authorization(headers);
        let mut identity = match (&asked.credentials, self.tokens(), bearer(&headers)) {
            (Some(_), ..) if !headers.is_empty() => return Err(TokenFault::Twice.into()),
            (Some((user, password)), ..) => self.authenticator.log_in(user, password, peer).await?,
            (None, Some(tokens), Some(token)) => {
                tokens.verify(token, &tokens.service(host), peer)?
            }
            (None, ..) => self.authenticator.authenticate(&headers, peer).await?,
        };
        if let Some(user) = &identity.user {
            identity.groups = self.groups.of(user);
        }
        Ok(identity)
    }

    /// The user name that a request claims to have, proven or not: for the log, and for nothing else.
    pub(super) fn claimed(headers: &HeaderMap, asked: &Asked) -> Option<String> {
        match &asked.credentials {
            Some((user, _)) => Some(String::from_utf8_lossy(user.as_ref()).into_owned()),
            None => auth::claimed_name(&authorization(headers)),
        }
    }

    /// One line for a burst of wrong passwords; a single one is no alarm.
    pub(super) fn tell_failed_logins(&self) {
        for burst in self.authenticator.failed_logins() {
            let (user, attempts) = (burst.user.as_deref().unwrap_or("*"), burst.attempts);
            let (peer, total) = (burst.peer, self.authenticator.failed_login_count());
            if attempts == 1 {
                info!(user, peer.addr = peer, attempts, "login failed");
            } else {
                warn!(user, peer.addr = peer, attempts, total, "logins failed");
            }
        }
    }
}

/// The values of all `Authorization` headers.
fn authorization(headers: &HeaderMap) -> Vec<&[u8]> {
    let values = headers.get_all(AUTHORIZATION).iter();
    values.map(HeaderValue::as_bytes).collect()
}

type Found = Option<(String, Arc<Tokens>)>;

fn tokens(
    config: &Config,
    previous: Option<&Desk>,
) -> Result<(Found, Vec<auth::Warning>), auth::Error> {
    if !config.uses_tokens() {
        return Ok((None, Vec::new()));
    }
    let path = config.token.path.clone();
    let kept = previous.and_then(|old| old.tokens.as_ref());
    let kept = kept.map(|(_, tokens)| tokens);
    if let Some(kept) = kept.filter(|old| old.is_made_of(&config.token)) {
        return Ok((Some((path, Arc::clone(kept))), Vec::new()));
    }
    let state_dir = kept.map_or(&*config.state_dir, |old| old.state_dir());
    let before = kept.map(|tokens| &**tokens);
    let (tokens, told) = Tokens::load(&config.token, state_dir, before)?;
    Ok((Some((path, Arc::new(tokens))), told))
}

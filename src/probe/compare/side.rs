//! One of the two: how it is asked, what it said last, and what stays behind on it.

use std::collections::HashMap;

use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderValue, Method, StatusCode};

use crate::probe::login::{Challenge, Credentials, Granted, TokenFault, realm_target, token};
use crate::probe::wire::{Answer, Ask, Wire};
use crate::secret::Secret;
use crate::telemetry::chain;

use super::content::{Content, digest_of};
use super::steps::{Need, Step, Who};

/// After so many requests in a row without any answer, a side is not asked any more.
const PATIENCE: u8 = 3;

/// What came of a step.
#[derive(Debug)]
pub(super) enum Said {
    /// An answer.
    Answer(Answer),
    /// None; why.
    Nothing(String),
    /// There was no upload to go on with.
    NotBegun,
}

impl Said {
    /// The status, or why there is none.
    pub(super) fn status(&self) -> Result<u16, &str> {
        match self {
            Self::Answer(answer) => Ok(answer.status.as_u16()),
            Self::Nothing(why) => Err(why),
            Self::NotBegun => Err("no upload was begun"),
        }
    }
}

/// One side.
#[derive(Debug)]
pub(super) struct Side {
    /// The way there.
    pub wire: Wire,
    /// What it is asked with.
    pub content: Content,
    credentials: Option<Credentials>,
    challenge: Option<Challenge>,
    /// Tokens of the user, by their scopes.
    tokens: HashMap<String, HeaderValue>,
    /// Paths of the uploads that were begun and not ended, each with a query begun.
    uploads: Vec<String>,
    silent: u8,
    /// Why the password was not shown to its token server.
    withheld: Option<String>,
    /// The token server that is not the registry itself and was shown the password.
    elsewhere: Option<String>,
}

impl Side {
    pub(super) fn new(wire: Wire, content: Content, credentials: Option<Credentials>) -> Self {
        Self {
            wire,
            content,
            credentials,
            challenge: None,
            tokens: HashMap::new(),
            uploads: Vec::new(),
            silent: 0,
            withheld: None,
            elsewhere: None,
        }
    }

    /// Why the password was not shown to its token server, if it was not.
    pub(super) fn withheld(&self) -> Option<&str> {
        self.withheld.as_deref()
    }

    /// Where else than to the registry the password went.
    pub(super) fn elsewhere(&self) -> Option<&str> {
        self.elsewhere.as_deref()
    }

    /// Whether it has answered lately.
    pub(super) fn answers(&self) -> bool {
        self.silent < PATIENCE
    }

    /// Asks, and remembers where an upload goes on.
    pub(super) async fn ask(&mut self, step: &Step) -> Said {
        let header = match self.authorization(step).await {
            Ok(header) => header,
            Err(said) => return said,
        };
        let mut path = step.path.clone();
        if path.contains("{upload}") {
            let Some(upload) = self.uploads.last() else {
                return Said::NotBegun;
            };
            path = path.replace("{upload}", upload);
            path.truncate(path.trim_end_matches(['?', '&']).len());
        }
        let mut ask = Ask::new(step.method.clone(), path).with(AUTHORIZATION, header);
        ask.headers.extend(step.headers.iter().cloned());
        ask.body = step.body.clone();
        ask.chunked = step.chunked;
        match self.wire.ask(&ask).await {
            Ok(answer) => {
                self.silent = 0;
                self.note(step, &answer);
                Said::Answer(answer)
            }
            Err(fault) => {
                self.silent += 1;
                Said::Nothing(chain(&fault))
            }
        }
    }

    fn note(&mut self, step: &Step, answer: &Answer) {
        if step.name == "ping/v2" {
            let challenges = Challenge::all(&answer.headers).into_iter();
            self.challenge = challenges.take(1).next();
        }
        if let Some(location) = answer.header(&LOCATION)
            && let Some(at) = location.find("/v2/")
            && answer.status == StatusCode::ACCEPTED
        {
            let sign = if location.contains('?') { '&' } else { '?' };
            if step.path.contains("{upload}") {
                self.uploads.pop();
            }
            let path = location.get(at..).unwrap_or_default();
            self.uploads.push(format!("{path}{sign}"));
        }
        let ended = matches!(answer.status, StatusCode::CREATED | StatusCode::NO_CONTENT);
        if ended && step.path.contains("{upload}") && step.method != Method::GET {
            self.uploads.pop();
        }
    }

    /// The line that shows who asks; or what came in the place of it.
    async fn authorization(&mut self, step: &Step) -> Result<Option<HeaderValue>, Said> {
        let other = |user: &str, password: &str| Credentials {
            user: user.to_owned(),
            password: Secret::new(password),
        };
        let wrong = |own: &Credentials| other(&own.user, "surely not this one");
        let credentials = match (step.who, &self.credentials) {
            (Who::Empty, _) => return Ok(other("", "").basic()),
            (Who::Stranger, _) => return Ok(other("nobody-has-this-name", "x").basic()),
            (Who::Basic, Some(own)) => return Ok(own.basic()),
            (Who::WrongBasic, Some(own)) => return Ok(wrong(own).basic()),
            (Who::Wrong, Some(own)) => Some(wrong(own)),
            (Who::User, Some(own)) => Some(own.clone()),
            (Who::Nobody, _) | (_, None) => None,
        };
        let scope = self.scope(step);
        let challenge = self.challenge.as_ref();
        let Some(challenge) = challenge.filter(|c| c.scheme == "bearer") else {
            return Ok(credentials.as_ref().and_then(Credentials::basic));
        };
        // Who is nobody knocks without a token first.
        if credentials.is_none() && scope.is_none() {
            return Ok(None);
        }
        let key = scope.clone().unwrap_or_default();
        if step.who == Who::User
            && let Some(token) = self.tokens.get(&key)
        {
            return Ok(Some(token.clone()));
        }
        let granted = token(
            &self.wire,
            challenge,
            credentials.as_ref(),
            scope.as_deref(),
        );
        let granted = granted.await;
        // Also if it did not answer: what was sent may have come.
        if credentials.is_some()
            && !matches!(granted, Err(TokenFault::Clear(_) | TokenFault::Realm))
        {
            let server = challenge.parameter("realm").and_then(realm_target);
            let other = server.filter(|(server, _)| *server != self.wire.target);
            self.elsewhere = other.map(|(server, _)| server.origin());
        }
        match granted {
            Ok(Granted::Token(value)) => {
                if step.who == Who::User {
                    self.tokens.insert(key, value.clone());
                }
                Ok(Some(value))
            }
            // Without a token, who is nobody asks all the same.
            Ok(Granted::Refused(_)) if credentials.is_none() => Ok(None),
            // What a client would show.
            Ok(Granted::Refused(answer)) => Err(Said::Answer(answer)),
            Err(fault) => {
                let why = chain(&fault);
                if matches!(fault, TokenFault::Clear(_)) {
                    self.withheld = Some(why.clone());
                }
                Err(Said::Nothing(why))
            }
        }
    }

    /// What a client asks a token for.
    fn scope(&self, step: &Step) -> Option<String> {
        let actions = match step.need {
            Need::Nothing => return None,
            Need::Catalog => return Some("registry:catalog:*".to_owned()),
            Need::Pull => "pull",
            Need::Push => "pull,push",
            Need::Delete => "*",
        };
        let own = self.content.repository.as_str();
        let repository = repository(&step.path).unwrap_or(own);
        Some(format!("repository:{repository}:{actions}"))
    }

    /// Removes what it can of what was pushed, and tells what stays.
    pub(super) async fn tidy(&mut self) -> Vec<String> {
        let repository = self.content.repository.clone();
        let mut stays = Vec::new();
        for upload in std::mem::take(&mut self.uploads) {
            let path = upload.trim_end_matches(['?', '&']);
            let step = Step::own(Method::DELETE, path, Need::Push);
            let gone = match self.ask(&step).await {
                Said::Answer(answer) if answer.status == StatusCode::NOT_FOUND => {
                    // registry:2 says so of one that it has and whose state it does not know.
                    !answer.text().contains("BLOB_UPLOAD_INVALID")
                }
                Said::Answer(answer) => answer.status.is_success(),
                Said::Nothing(_) | Said::NotBegun => false,
            };
            if !gone {
                stays.push("an unfinished upload, which the registry removes in time".to_owned());
            }
        }
        let kept = [
            (
                "manifest",
                format!(
                    "/v2/{repository}/manifests/{}",
                    digest_of(&self.content.manifest)
                ),
            ),
            (
                "layer",
                format!("/v2/{repository}/blobs/{}", digest_of(&self.content.layer)),
            ),
            (
                "layer",
                format!("/v2/{repository}/blobs/{}", digest_of(&self.content.other)),
            ),
            (
                "configuration",
                format!("/v2/{repository}/blobs/{}", digest_of(&self.content.config)),
            ),
        ];
        for (what, path) in kept {
            if self.own(Method::HEAD, &path, Need::Pull).await != Some(200) {
                continue;
            }
            self.own(Method::DELETE, &path, Need::Delete).await;
            if self.own(Method::HEAD, &path, Need::Pull).await == Some(200) {
                let path = path.trim_start_matches("/v2/");
                stays.push(format!("{what} {path}"));
            }
        }
        stays
    }

    /// The status of a request of ours.
    async fn own(&mut self, method: Method, path: &str, need: Need) -> Option<u16> {
        if !self.answers() {
            return None;
        }
        let step = Step::own(method, path, need);
        match self.ask(&step).await {
            Said::Answer(answer) => Some(answer.status.as_u16()),
            Said::Nothing(_) | Said::NotBegun => None,
        }
    }
}

/// The repository that a path is about.
fn repository(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v2/")?;
    let ends = ["/manifests/", "/blobs/", "/tags/"].map(|part| rest.rfind(part));
    rest.get(..ends.into_iter().flatten().min()?)
}

//! What stands between us and a certificate, and what a person can do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use instant_acme::Problem;

use crate::body::BoxError;
use crate::tls;

/// The prefix of the types of problems (RFC 8555 section 6.7).
const TYPES: &str = "urn:ietf:params:acme:error:";

/// Longer than any authority means it: what is asked for beyond is a mistake, and a certificate would be lost over it.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The authority's server was not reached, or the connection broke.
    #[error("{url}: no answer")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// It answers something else than the protocol has.
    #[error("{url}: answered {status}, which is no answer of an ACME server")]
    Strange {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
        /// When to come again, if it said so.
        retry_after: Option<Duration>,
    },
    /// An answer that cannot be read.
    #[error("{url}: the answer cannot be read: {fault}")]
    Unreadable {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The authority says no.
    #[error("the authority says: {}", told(.problem))]
    Refused {
        /// In its own words.
        problem: Box<Problem>,
        /// When to come again, if it said so.
        retry_after: Option<Duration>,
    },
    /// The authority could not see the proof for a name.
    #[error("{name} was not proven: {}", told(.problem))]
    NotProven {
        /// The name.
        name: String,
        /// The port that has to lead here.
        port: u16,
        /// In the authority's words.
        problem: Box<Problem>,
    },
    /// The authority does not offer the kind of proof that is configured.
    #[error("the authority does not offer the challenge {challenge} for {name}")]
    NoSuchChallenge {
        /// The name.
        name: String,
        /// The kind.
        challenge: &'static str,
    },
    /// The protocol went another way than it should.
    #[error("the authority and dockgate do not understand each other")]
    Protocol(#[source] instant_acme::Error),
    /// The whole took too long.
    #[error("not done after {0:?}")]
    TooLong(Duration),
    /// What was issued is not what was asked for.
    #[error("the certificate that came is not the one that was ordered: {0}")]
    WrongCertificate(String),
    /// A file below `state_dir` cannot be read or written.
    #[error("{path}: cannot be {what}", path = .path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What was to be done with it.
        what: &'static str,
        /// Why it was not.
        #[source]
        source: io::Error,
    },
    /// A file below `state_dir` is not what was written there.
    #[error("{path}: is damaged, and was moved to {aside}", path = .path.display(), aside = .aside.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it is now.
        aside: PathBuf,
    },
    /// The file of the external account's key.
    #[error("acme.eab_key_file {path}: {fault}", path = .path.display())]
    Binding {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        fault: String,
    },
    /// A certificate file: of the authority's server, or the one that is there.
    #[error(transparent)]
    Tls(tls::Error),
    /// The cryptography itself failed.
    #[error("the cryptography failed: {0}")]
    Crypto(String),
}

impl Error {
    pub(super) fn of_tls(faults: Vec<tls::Error>) -> Self {
        let first = faults.into_iter().next();
        first.map_or_else(
            || Self::Crypto("TLS cannot be set up".to_owned()),
            Self::Tls,
        )
    }

    /// What the library makes of what went wrong; ours are in it where they come from our own HTTP.
    pub(super) fn of_library(error: instant_acme::Error, retry_after: Option<Duration>) -> Self {
        match error {
            instant_acme::Error::Api(problem) => Self::Refused {
                problem: Box::new(problem),
                retry_after,
            },
            instant_acme::Error::Other(inner) => match inner.downcast::<Self>() {
                Ok(own) => *own,
                Err(other) => Self::Protocol(instant_acme::Error::Other(other)),
            },
            other => Self::Protocol(other),
        }
    }

    /// Whether what went wrong lies between us, so that the same order may still come to something.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Strange { .. }
            | Self::Unreadable { .. }
            | Self::TooLong(_)
            | Self::State { .. }
            | Self::Protocol(instant_acme::Error::Timeout(_)) => true,
            other => matches!(
                other.kind(),
                Some("rateLimited" | "serverInternal" | "badNonce")
            ),
        }
    }

    /// Whether the next try finds it mended already.
    pub(crate) fn is_mended(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// How long the authority wants us to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } | Self::Strange { retry_after, .. } => {
                retry_after.map(|wait| wait.min(LONGEST_WAIT))
            }
            _ => None,
        }
    }

    /// The last word of a problem's type, such as `rateLimited`.
    pub(super) fn kind(&self) -> Option<&str> {
        let (Self::Refused { problem, .. } | Self::NotProven { problem, .. }) = self else {
            return None;
        };
        problem.r#type.as_deref()?.strip_prefix(TYPES)
    }

    /// What a person can do about it.
    pub(crate) fn advice(&self) -> String {
        match (self, self.kind()) {
            (Self::NotProven { name, port, .. }, _) => format!(
                "port {port} of {name} must lead to this gate from the Internet (or from the authority); look at DNS, firewall and whatever stands in between"
            ),
            (_, Some("rateLimited")) => "the authority has had enough of us for now; nothing to do but wait, and to try things against its staging directory".into(),
            (_, Some("externalAccountRequired")) => "this authority wants an account of its own first: write eab_key_id and eab_key_file in [acme]".into(),
            (_, Some("userActionRequired")) => "the terms of service have changed; read and accept them where the authority says".into(),
            (_, Some("rejectedIdentifier" | "unsupportedIdentifier")) => "the authority gives no certificate for a name in acme.names; correct it".into(),
            (_, Some("unsupportedContact" | "invalidContact")) => "correct acme.contact".into(),
            (_, Some("caa")) => "the CAA record of the name allows other authorities only; change it in DNS".into(),
            (_, Some("unauthorized" | "malformed")) if self.is_of_an_account() => "look at eab_key_id and eab_key_file in [acme]".into(),
            (_, Some("invalidProfile")) => "the authority has no such profile; correct acme.profile".into(),
            (Self::Unreachable { .. }, _) => "the authority's server must be reachable from here; look at the network, at acme.directory, and for a private authority at acme.directory_ca".into(),
            (Self::Strange { status: 500.., .. }, _) => "the authority's server has trouble of its own; nothing to do but wait".into(),
            (Self::Strange { .. } | Self::Unreadable { .. }, _) => "look at acme.directory: it must be the URL of the directory itself".into(),
            (Self::NoSuchChallenge { .. }, _) => "write another acme.challenge".into(),
            (Self::State { .. }, _) => "give state_dir to the user that runs dockgate, and look whether the disk is full".into(),
            (Self::Damaged { .. }, _) => "a new one is made now; look at the old one if the disk is to be trusted, and remove it".into(),
            (Self::Tls(_) | Self::Binding { .. }, _) => "correct the file".into(),
            _ => "should it go on, ask the authority with these words".into(),
        }
    }

    fn is_of_an_account(&self) -> bool {
        matches!(self, Self::Refused { problem, .. } if problem.detail.as_deref().is_some_and(|detail| {
            let detail = detail.to_ascii_lowercase();
            detail.contains("external") || detail.contains("eab") || detail.contains("binding")
        }))
    }
}

/// A problem in one line. It is another's text: what could break a line does not pass.
fn told(problem: &Problem) -> String {
    let mut text = problem.detail.clone().unwrap_or_default();
    for part in &problem.subproblems {
        text = format!("{text}; {part}");
    }
    if let Some(kind) = &problem.r#type {
        text = format!("{text} ({})", kind.strip_prefix(TYPES).unwrap_or(kind));
    }
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(1000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: &str, detail: &str, retry_after: Option<Duration>) -> Error {
        let problem = Problem {
            r#type: Some(format!("{TYPES}{kind}")),
            detail: Some(detail.to_owned()),
            status: None,
            subproblems: Vec::new(),
        };
        Error::Refused {
            problem: Box::new(problem),
            retry_after,
        }
    }

    #[test]
    fn an_authority_cannot_forge_log_lines_or_make_us_wait_for_ever() {
        let error = refused("rateLimited", "no\nerror all is lost", Some(Duration::MAX));
        assert!(!error.to_string().contains('\n'));
        assert_eq!(error.retry_after(), Some(LONGEST_WAIT));
        assert!(error.advice().contains("wait"));
    }

    #[test]
    fn each_refusal_comes_with_what_to_do() {
        for (kind, detail, advice) in [
            ("externalAccountRequired", "", "eab_key_id"),
            (
                "unauthorized",
                "the external account binding is wrong",
                "eab_key_file",
            ),
            ("rejectedIdentifier", "", "acme.names"),
            ("caa", "", "CAA"),
            ("serverInternal", "", "ask the authority"),
        ] {
            let said = refused(kind, detail, None).advice();
            assert!(said.contains(advice), "{kind}: {said}");
        }
    }
}

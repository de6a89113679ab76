//! What a store answers when it does not do what it was asked, in words for the operator and as a decision.

use std::error::Error as _;
use std::fmt::Write as _;

use object_store::Error as StoreError;
use object_store::client::HttpError;

use super::super::{Error, Key};

/// Stands before what our HTTP client says of an answer; `object_store` carries it in its own messages, whose other
/// parts (addresses with signatures, XML with tokens) must not reach a log.
const MARK: &str = "\u{1}answer\u{1}";

/// What was being done.
pub(super) type Verb = &'static str;

/// What a store said.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {said}{advice}")]
pub(super) struct Fault {
    place: String,
    said: String,
    advice: &'static str,
}

/// The body that stands in for that of an answer that is no success.
pub(super) fn answer(host: &str, status: http::StatusCode, code: &str, message: &str) -> String {
    let mut text = format!(
        "{MARK}{}\u{1}{code}\u{1}{host} answered {status}",
        status.as_u16()
    );
    if !code.is_empty() {
        let _ = write!(text, ", {code}");
    }
    if !message.is_empty() && message != code {
        let _ = write!(text, ": {message}");
    }
    text
}

/// The status, the code and the sentence of an answer, out of a message that holds it.
fn answered(error: &StoreError) -> Option<(u16, String, String)> {
    let text = error.to_string();
    let (_, answer) = text.rsplit_once(MARK)?;
    let mut parts = answer.splitn(3, '\u{1}');
    let status = parts.next()?.parse().ok()?;
    Some((status, parts.next()?.to_owned(), parts.next()?.to_owned()))
}

/// The code that came with an answer, if one did.
pub(super) fn code(error: &StoreError) -> Option<String> {
    answered(error)
        .map(|(_, code, _)| code)
        .filter(|code| !code.is_empty())
}

/// The status of an answer.
pub(super) fn status(error: &StoreError) -> Option<u16> {
    answered(error).map(|(status, ..)| status)
}

/// Whether there is no such object (and not: no such bucket).
pub(super) fn is_missing(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound { .. }) && !is_bucket_missing(error)
}

fn is_bucket_missing(error: &StoreError) -> bool {
    code(error).is_some_and(|code| matches!(&*code, "NoSuchBucket" | "ContainerNotFound"))
}

/// Whether somebody else wrote in between.
pub(super) fn is_overtaken(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Precondition { .. } | StoreError::AlreadyExists { .. }
    )
}

/// Whether the store does not know conditional writes.
pub(super) fn is_unknown_to_store(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }
    ) || status(error) == Some(501)
        || code(error).is_some_and(|code| code == "NotImplemented")
}

/// One of our errors out of one of the store's.
pub(super) fn judge(place: &str, key: &Key, verb: Verb, error: &StoreError) -> Error {
    let key = key.clone();
    let (status, code, said) = answered(error).unwrap_or_else(|| (0, String::new(), said(error)));
    let fault = Box::new(Fault {
        place: place.to_owned(),
        said,
        advice: advice(status, &code),
    });
    match (status, &*code) {
        (507, _) | (_, "QuotaExceeded" | "XMinioStorageFull" | "EntityTooLarge") => {
            Error::Full { key, source: fault }
        }
        (401 | 403 | 408 | 429 | 500.., _) | (_, "NoSuchBucket" | "ContainerNotFound") => {
            Error::Unavailable { key, source: fault }
        }
        (0, _) if is_transport(error) => Error::Unavailable { key, source: fault },
        _ => Error::Failed {
            key,
            verb,
            source: fault,
        },
    }
}

fn advice(status: u16, code: &str) -> &'static str {
    match (status, code) {
        (_, "RequestTimeTooSkewed") => "; set the clock of this machine",
        (_, "ExpiredToken" | "TokenRefreshRequired") => "; renew the credentials",
        (_, "NoSuchBucket" | "ContainerNotFound") => "; create it, or correct its name",
        (301 | 307 | 308, _) | (_, "AuthorizationHeaderMalformed") => "; correct the region",
        (401 | 403, _) => "; check the credentials and their rights",
        _ => "",
    }
}

/// Whether no answer came at all, from the store or from who gives out credentials.
pub(super) fn is_transport(error: &StoreError) -> bool {
    http_error(error).is_some()
}

fn http_error(error: &StoreError) -> Option<&HttpError> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return Some(http);
        }
        next = error.source();
    }
    None
}

/// A message that has no address in it: addresses may be signed.
fn said(error: &StoreError) -> String {
    let Some(http) = http_error(error) else {
        return without_addresses(&error.to_string());
    };
    let mut text = String::new();
    let mut next = http.source();
    while let Some(error) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        let _ = write!(text, "{error}");
        next = error.source();
    }
    text
}

fn without_addresses(text: &str) -> String {
    let word = |word: &str| match word.split_once('?') {
        Some((address, _)) if address.contains("://") => address.to_owned(),
        _ => word.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::RepositoryName;

    fn key() -> Key {
        Key::repository(&RepositoryName::parse("a").unwrap())
    }

    fn generic(text: &str) -> StoreError {
        StoreError::Generic {
            store: "S3",
            source: text.to_owned().into(),
        }
    }

    #[test]
    fn what_is_said_names_bucket_cause_and_cure_and_no_address() {
        let body = answer(
            "s3.test",
            http::StatusCode::FORBIDDEN,
            "RequestTimeTooSkewed",
            "the clocks differ",
        );
        let error = generic(&format!("GET http://x/y?X-Amz-Signature=s3cr3t - {body}"));
        let error = judge("the bucket `b`", &key(), "read", &error);
        assert!(matches!(error, Error::Unavailable { .. }));
        let said = error.source().unwrap().to_string();
        assert_eq!(
            said,
            "the bucket `b`: s3.test answered 403 Forbidden, RequestTimeTooSkewed: the clocks differ; set the clock of this machine"
        );
    }

    #[test]
    fn addresses_lose_their_queries() {
        let text = "GET https://x.test/a?sig=abc failed ?";
        assert_eq!(without_addresses(text), "GET https://x.test/a failed ?");
    }

    #[test]
    fn a_missing_bucket_is_no_missing_object() {
        let missing = |code: &str| StoreError::NotFound {
            path: "p".into(),
            source: answer("h", http::StatusCode::NOT_FOUND, code, "").into(),
        };
        assert!(is_missing(&missing("NoSuchKey")));
        assert!(is_missing(&missing("")));
        assert!(!is_missing(&missing("NoSuchBucket")));
        let error = judge("b", &key(), "read", &missing("NoSuchBucket"));
        assert!(matches!(error, Error::Unavailable { .. }));
    }

    #[test]
    fn full_and_failing_are_told_apart() {
        let of = |status: u16, code: &str| {
            let status = http::StatusCode::from_u16(status).unwrap();
            judge(
                "b",
                &key(),
                "written",
                &generic(&answer("h", status, code, "")),
            )
        };
        assert!(matches!(of(507, ""), Error::Full { .. }));
        assert!(matches!(of(403, "QuotaExceeded"), Error::Full { .. }));
        assert!(matches!(of(503, "SlowDown"), Error::Unavailable { .. }));
        assert!(matches!(of(429, ""), Error::Unavailable { .. }));
        assert!(matches!(of(400, "InvalidPart"), Error::Failed { .. }));
    }
}

//! Which answer an error of the embedded registry gets.

use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_RANGE, HeaderValue};

use crate::acl::Denied;
use crate::oci::Code;
use crate::registry;
use crate::storage;

use super::answer::client_answer;
use super::{Answer, Error, OutOfOrder};

/// What is missing of a manifest is listed up to here; who pushes sees what is wrong by fewer.
const MOST_MISSING: usize = 100;

/// When to come back to a registry that has too much to do, or whose storage is away.
const RETRY: Duration = Duration::from_secs(5);

/// For everything that cannot be done to a repository because of how the registry is set up.
const READABLE: &str = "GET, HEAD";

pub(super) fn registry_answer(error: &registry::Error) -> Answer {
    use registry::Error as R;
    let bad = |code, reason| Answer::new(StatusCode::BAD_REQUEST, code, reason, error);
    match error {
        R::NameUnknown => absent(Code::NameUnknown),
        R::BlobUnknown => absent(Code::BlobUnknown),
        R::ManifestUnknown => absent(Code::ManifestUnknown),
        R::UploadUnknown => Answer::new(
            StatusCode::NOT_FOUND,
            Code::BlobUploadUnknown,
            "unknown",
            error,
        ),
        R::UploadBusy => Answer::new(
            StatusCode::CONFLICT,
            Code::BlobUploadInvalid,
            "upload_busy",
            error,
        ),
        R::TooManyUploads { .. } => Answer {
            retry_after: Some(RETRY),
            ..Answer::new(
                StatusCode::TOO_MANY_REQUESTS,
                Code::TooManyRequests,
                "too_many_uploads",
                error,
            )
        },
        // Told with the place to go on at where an upload is handled; this is for the case that it is not.
        R::OutOfOrder { .. } => Answer::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            Code::BlobUploadInvalid,
            "range",
            error,
        ),
        R::DigestMismatch => bad(Code::DigestInvalid, "digest"),
        R::SizeMismatch => bad(Code::SizeInvalid, "size"),
        R::ManifestInvalid(_) => bad(Code::ManifestInvalid, "manifest"),
        R::ManifestReferences(missing) => Answer {
            missing: missing
                .iter()
                .take(MOST_MISSING)
                .map(ToString::to_string)
                .collect(),
            ..bad(Code::ManifestBlobUnknown, "manifest")
        },
        R::Unsupported(_) => Answer {
            allow: Some(READABLE),
            ..Answer::new(
                StatusCode::METHOD_NOT_ALLOWED,
                Code::Unsupported,
                "unsupported",
                error,
            )
        },
        R::Crowded => Answer {
            retry_after: Some(RETRY),
            ..Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                Code::Unavailable,
                "registry_busy",
                error,
            )
        },
        R::Client(fault) => client_answer(*fault),
        R::Storage(error) => storage_answer(error),
    }
}

/// The very words of a repository that the asker may not see: nobody can tell the two apart.
fn absent(code: Code) -> Answer {
    Answer::new(
        StatusCode::NOT_FOUND,
        code,
        "unknown",
        &Denied::Hidden(code),
    )
}

fn storage_answer(error: &storage::Error) -> Answer {
    use storage::Error as S;
    let (status, code, reason, message) = match error {
        S::Full { .. } => (
            StatusCode::INSUFFICIENT_STORAGE,
            Code::Unavailable,
            "storage_full",
            "the registry has no space left",
        ),
        S::Unavailable { .. } => (
            StatusCode::SERVICE_UNAVAILABLE,
            Code::Unavailable,
            "storage_unavailable",
            "the registry's storage does not answer; try again later",
        ),
        S::Busy(_) => {
            return Answer::new(
                StatusCode::CONFLICT,
                Code::BlobUploadInvalid,
                "upload_busy",
                &registry::Error::UploadBusy,
            );
        }
        S::Corrupt { .. } | S::Failed { .. } => (
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::Unknown,
            "storage_error",
            "the registry's storage failed",
        ),
    };
    let retry = status == StatusCode::SERVICE_UNAVAILABLE;
    Answer {
        retry_after: retry.then_some(RETRY),
        ..Answer::new(status, code, reason, message).alarming()
    }
}

pub(super) fn out_of_order(place: &OutOfOrder, error: &Error) -> Answer {
    Answer {
        headers: place.headers.clone(),
        ..Answer::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            Code::BlobUploadInvalid,
            "range",
            error,
        )
    }
}

pub(super) fn unsatisfiable(size: u64, error: &Error) -> Answer {
    let mut answer = Answer::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        Code::SizeInvalid,
        "range",
        error,
    );
    if let Ok(range) = HeaderValue::from_str(&format!("bytes */{size}")) {
        answer.headers.insert(CONTENT_RANGE, range);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::ClientFault;
    use crate::oci::{Digest, RepositoryName};
    use crate::storage::Key;

    fn key() -> Key {
        Key::uploads(&RepositoryName::parse("secret/name").unwrap())
    }

    #[test]
    fn what_the_store_says_stays_in_the_house() {
        let source = || std::io::Error::other("disk 7 in rack 3").into();
        let full = storage::Error::Full {
            key: key(),
            source: source(),
        };
        let away = storage::Error::Unavailable {
            key: key(),
            source: source(),
        };
        let failed = storage::Error::Failed {
            key: key(),
            verb: "read",
            source: source(),
        };
        let damaged = storage::Error::Corrupt {
            key: key(),
            what: "it is too short",
        };
        for (error, status, code, retries) in [
            (full, 507, Code::Unavailable, false),
            (away, 503, Code::Unavailable, true),
            (failed, 500, Code::Unknown, false),
            (damaged, 500, Code::Unknown, false),
        ] {
            let answer = registry_answer(&error.into());
            assert_eq!((answer.status.as_u16(), answer.code), (status, code));
            assert_eq!(answer.retry_after.is_some(), retries);
            assert!(answer.alarm, "{answer:?}");
            for word in ["secret", "disk", "rack", "short", "docker/registry"] {
                assert!(!answer.message.contains(word), "{answer:?}");
            }
        }
    }

    #[test]
    fn every_refusal_has_the_code_of_the_specification() {
        use registry::Error as R;
        for (error, status, code) in [
            (R::NameUnknown, 404, "NAME_UNKNOWN"),
            (R::BlobUnknown, 404, "BLOB_UNKNOWN"),
            (R::ManifestUnknown, 404, "MANIFEST_UNKNOWN"),
            (R::UploadUnknown, 404, "BLOB_UPLOAD_UNKNOWN"),
            (R::UploadBusy, 409, "BLOB_UPLOAD_INVALID"),
            (
                R::TooManyUploads {
                    whose: "this user has",
                    open: 7,
                },
                429,
                "TOOMANYREQUESTS",
            ),
            (
                storage::Error::Busy(key()).into(),
                409,
                "BLOB_UPLOAD_INVALID",
            ),
            (R::OutOfOrder { offset: 5 }, 416, "BLOB_UPLOAD_INVALID"),
            (R::DigestMismatch, 400, "DIGEST_INVALID"),
            (R::SizeMismatch, 400, "SIZE_INVALID"),
            (
                R::ManifestInvalid("why".to_owned()),
                400,
                "MANIFEST_INVALID",
            ),
            (
                R::ManifestReferences(Vec::new()),
                400,
                "MANIFEST_BLOB_UNKNOWN",
            ),
            (R::Unsupported("no"), 405, "UNSUPPORTED"),
            (ClientFault::Stalled.into(), 408, "SIZE_INVALID"),
            (ClientFault::Gone.into(), 400, "SIZE_INVALID"),
        ] {
            let answer = registry_answer(&error);
            assert_eq!(
                (answer.status.as_u16(), answer.code.as_str()),
                (status, code)
            );
            assert_eq!(answer.allow.is_some(), status == 405);
            assert!(!answer.alarm && !answer.message.is_empty());
        }
    }

    #[test]
    fn what_is_missing_is_listed_up_to_a_bound() {
        let digest = Digest::parse(&format!("sha256:{}", "a0".repeat(32))).unwrap();
        let error = registry::Error::ManifestReferences(vec![digest.clone(); 100_000]);
        let answer = registry_answer(&error);
        assert_eq!(answer.missing, vec![digest.to_string(); MOST_MISSING]);
    }
}

//! What an error looks like from outside.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::oci::Code;

/// Why a client is asked for credentials (the `error` of RFC 6750 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// It brought none, or a wrong password.
    Credentials,
    /// Its token is none of ours, or no longer.
    InvalidToken,
    /// Its token does not say that it may.
    InsufficientScope,
}

/// The outward face of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Code of the specification.
    pub code: Code,
    /// The sentence for the client.
    pub message: String,
    /// The word for our log (`threats` call it reason code).
    pub reason: &'static str,
    /// The client is asked for credentials, and told what is wrong with those it brought.
    pub challenge: Option<Challenge>,
    /// For the `Allow` header.
    pub allow: Option<&'static str>,
    /// For the `Retry-After` header.
    pub retry_after: Option<Duration>,
    /// Further headers.
    pub headers: HeaderMap,
    /// What is missing, where that is what is wrong: an error object for each.
    pub missing: Vec<String>,
    /// What the log says of it beyond the access line, where a person may have to act.
    pub alarm: bool,
}

impl Answer {
    pub(super) fn new<M: fmt::Display + ?Sized>(
        status: StatusCode,
        code: Code,
        reason: &'static str,
        message: &M,
    ) -> Self {
        Self {
            status,
            code,
            message: message.to_string(),
            reason,
            challenge: None,
            allow: None,
            retry_after: None,
            headers: HeaderMap::new(),
            missing: Vec::new(),
            alarm: false,
        }
    }

    /// For bytes that never became a request.
    pub(crate) fn unread(status: StatusCode, reason: &'static str, message: &str) -> Self {
        Self::new(status, Code::Unsupported, reason, message)
    }

    pub(super) fn challenging(self) -> Self {
        Self {
            challenge: Some(Challenge::Credentials),
            ..self
        }
    }

    pub(super) fn alarming(self) -> Self {
        Self {
            alarm: true,
            ..self
        }
    }
}

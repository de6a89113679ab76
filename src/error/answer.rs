//! Which error gets which answer.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::acl::Denied;
use crate::auth::Refusal;
use crate::body::ClientFault;
use crate::oci::Code;
use crate::registry;
use crate::route::Fault;
use crate::upstream;

use super::embedded::{out_of_order, registry_answer, unsatisfiable};
use super::{Answer, Challenge, Error, HeadFault, TokenFault};

impl Error {
    /// The request's body was not read to its end and cannot be: it broke, or the client stopped sending.
    pub(crate) fn breaks_the_body(&self) -> bool {
        let (Self::Upstream(upstream::Error::Client(fault))
        | Self::Registry(registry::Error::Client(fault))
        | Self::Body(fault)) = self
        else {
            return false;
        };
        !matches!(fault, ClientFault::TooLarge(_))
    }

    /// What the client gets, and what the log is told.
    pub(crate) fn answer(&self) -> Answer {
        match self {
            Self::Head(fault) => head_fault(*fault),
            Self::Route(fault) => route_fault(fault),
            Self::UserAgent => {
                Answer::new(StatusCode::NOT_FOUND, Code::Unsupported, "user_agent", self)
            }
            Self::TooLarge { manifest, .. } => too_large(*manifest, self),
            Self::Refused(refusal) => refusal_answer(refusal),
            Self::Token(fault) => token_answer(*fault),
            Self::Body(fault) => client_answer(*fault),
            Self::Denied(denied) => denied_answer(denied),
            Self::Upstream(error) => upstream_answer(error),
            Self::Location(_) => Answer::new(
                StatusCode::BAD_GATEWAY,
                Code::Unavailable,
                "bad_upstream",
                UNUSABLE,
            )
            .alarming(),
            Self::Registry(error) => registry_answer(error),
            Self::OutOfOrder(place) => out_of_order(place, self),
            Self::ContentRange(fault) => Answer::new(
                StatusCode::BAD_REQUEST,
                Code::BlobUploadInvalid,
                "range",
                fault,
            ),
            Self::Range { size } => unsatisfiable(*size, self),
            Self::Panicked => Answer::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                Code::Unknown,
                "panic",
                self,
            )
            .alarming(),
        }
    }
}

/// What a client learns of an upstream whose answer cannot be used: nothing of our insides.
const UNUSABLE: &str = "the registry behind the gate sent an answer that cannot be passed on";

fn head_fault(fault: HeadFault) -> Answer {
    let (status, reason) = match fault {
        HeadFault::Host => (StatusCode::BAD_REQUEST, "bad_host"),
        HeadFault::Framing => (StatusCode::BAD_REQUEST, "framing_conflict"),
        HeadFault::Header => (StatusCode::BAD_REQUEST, "bad_header"),
        HeadFault::Target => (StatusCode::BAD_REQUEST, "bad_path"),
        HeadFault::TargetTooLong => (StatusCode::URI_TOO_LONG, "too_large"),
        HeadFault::TooManyHeaders => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too_large"),
        HeadFault::Expectation => (StatusCode::EXPECTATION_FAILED, "expectation"),
        HeadFault::Body => (StatusCode::BAD_REQUEST, "unexpected_body"),
    };
    Answer::new(status, Code::Unsupported, reason, &fault)
}

fn route_fault(fault: &Fault) -> Answer {
    match fault {
        Fault::BadPath(_) => Answer::new(
            StatusCode::BAD_REQUEST,
            Code::NameInvalid,
            "bad_path",
            fault,
        ),
        Fault::Invalid(invalid) => {
            Answer::new(StatusCode::BAD_REQUEST, invalid.code, "bad_path", fault)
        }
        Fault::Absent(invalid) => {
            Answer::new(StatusCode::NOT_FOUND, invalid.code, "bad_path", fault)
        }
        Fault::Unknown | Fault::Elsewhere => {
            Answer::new(StatusCode::NOT_FOUND, Code::NameUnknown, "no_route", fault)
        }
        Fault::Method { allow } => Answer {
            allow: Some(*allow),
            ..Answer::new(
                StatusCode::METHOD_NOT_ALLOWED,
                Code::Unsupported,
                "method",
                fault,
            )
        },
    }
}

pub(super) fn too_large<M: fmt::Display + ?Sized>(manifest: bool, message: &M) -> Answer {
    let code = if manifest {
        Code::ManifestInvalid
    } else {
        Code::SizeInvalid
    };
    Answer::new(StatusCode::PAYLOAD_TOO_LARGE, code, "too_large", message)
}

fn refusal_answer(refusal: &Refusal) -> Answer {
    let wrong = "user name or password is wrong";
    match refusal {
        Refusal::Wrong | Refusal::Scheme => Answer::new(
            StatusCode::UNAUTHORIZED,
            Code::Unauthorized,
            "auth_failed",
            wrong,
        )
        .challenging(),
        Refusal::Token => Answer {
            challenge: Some(Challenge::InvalidToken),
            ..Answer::new(
                StatusCode::UNAUTHORIZED,
                Code::Unauthorized,
                "invalid_token",
                refusal,
            )
        },
        Refusal::Malformed(_) => Answer::new(
            StatusCode::UNAUTHORIZED,
            Code::Unauthorized,
            "auth_failed",
            refusal,
        )
        .challenging(),
        Refusal::Busy { retry_after } => Answer {
            retry_after: Some(*retry_after),
            ..Answer::new(
                StatusCode::TOO_MANY_REQUESTS,
                Code::TooManyRequests,
                "throttled",
                "too many logins are being checked; try again later",
            )
        },
        Refusal::Failed => Answer::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::Unknown,
            "auth_broken",
            "the password could not be checked",
        )
        .alarming(),
    }
}

fn token_answer(fault: TokenFault) -> Answer {
    let (status, reason) = match fault {
        TokenFault::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type"),
        TokenFault::Form | TokenFault::Twice => (StatusCode::BAD_REQUEST, "bad_form"),
        TokenFault::Grant => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
    };
    Answer::new(status, Code::Unsupported, reason, &fault)
}

fn denied_answer(denied: &Denied) -> Answer {
    let unauthorized =
        |reason| Answer::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, reason, denied);
    match denied {
        Denied::Unauthenticated => unauthorized("unauthorized").challenging(),
        Denied::CertificateRequired => unauthorized("client_cert"),
        Denied::InsufficientScope => Answer {
            challenge: Some(Challenge::InsufficientScope),
            ..Answer::new(
                StatusCode::UNAUTHORIZED,
                Code::Denied,
                "insufficient_scope",
                denied,
            )
        },
        Denied::Forbidden { .. } => {
            Answer::new(StatusCode::FORBIDDEN, Code::Denied, "denied", denied)
        }
        Denied::Hidden(code) => Answer::new(StatusCode::NOT_FOUND, *code, "hidden", denied),
    }
}

fn upstream_answer(error: &upstream::Error) -> Answer {
    use upstream::Error as U;
    let unavailable = |status, reason, message| {
        Answer::new(status, Code::Unavailable, reason, message).alarming()
    };
    match error {
        U::Busy => Answer {
            retry_after: Some(Duration::from_secs(5)),
            ..unavailable(
                StatusCode::SERVICE_UNAVAILABLE,
                "upstream_busy",
                "the registry behind the gate is busy; try again later",
            )
        },
        U::Unreachable(_) => unavailable(
            StatusCode::BAD_GATEWAY,
            "upstream_down",
            "the registry behind the gate cannot be reached",
        ),
        U::ConnectTimeout(_) => unavailable(
            StatusCode::GATEWAY_TIMEOUT,
            "upstream_down",
            "the registry behind the gate does not accept connections",
        ),
        U::Silent(_) => unavailable(
            StatusCode::GATEWAY_TIMEOUT,
            "upstream_silent",
            "the registry behind the gate does not answer",
        ),
        U::Broken(_) => unavailable(
            StatusCode::BAD_GATEWAY,
            "upstream_broken",
            "the registry behind the gate closed the connection",
        ),
        U::BadAnswer { .. } => unavailable(StatusCode::BAD_GATEWAY, "bad_upstream", UNUSABLE),
        U::Client(fault) => client_answer(*fault),
        U::Unsendable(_) => Answer::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::Unknown,
            "unsendable",
            "the request could not be handled",
        )
        .alarming(),
    }
}

pub(super) fn client_answer(fault: ClientFault) -> Answer {
    match fault {
        ClientFault::Malformed => Answer::new(
            StatusCode::BAD_REQUEST,
            Code::SizeInvalid,
            "bad_chunk",
            &fault,
        ),
        ClientFault::Gone => Answer::new(
            StatusCode::BAD_REQUEST,
            Code::SizeInvalid,
            "client_aborted",
            &fault,
        ),
        ClientFault::Stalled => Answer::new(
            StatusCode::REQUEST_TIMEOUT,
            Code::SizeInvalid,
            "timeout",
            &fault,
        ),
        ClientFault::TooLarge(_) => too_large(false, &fault),
    }
}

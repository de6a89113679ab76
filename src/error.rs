//! Every error of a request becomes one answer, here and nowhere else.
//!
//! Three families: the client's fault (4xx, told what is wrong), the upstream's (502, 503, 504, names no host), ours
//! (500, no insides). An answer carries a code of the distribution specification and a sentence of our own: docker
//! repeats a push for 50 s when it gets a standard sentence without detail.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::acl::Denied;
use crate::auth::Refusal;
use crate::body::ClientFault;
use crate::header::Broken;
use crate::oci::Code;
use crate::route::Fault;
use crate::upstream;

/// Why a request was not answered as it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The head could be read in two ways, or asks for what HTTP does not have.
    #[error(transparent)]
    Head(#[from] HeadFault),
    /// There is no such route.
    #[error(transparent)]
    Route(#[from] Fault),
    /// The client's user agent is turned away.
    #[error("this client is too old for the registry, or is not welcome here")]
    UserAgent,
    /// The body is larger than may be.
    #[error("the body is larger than the {limit} bytes that are allowed here")]
    TooLarge {
        /// The bound in force.
        limit: u64,
        /// It was a manifest.
        manifest: bool,
    },
    /// The credentials were refused.
    #[error("authentication failed")]
    Refused(#[from] Refusal),
    /// The policy says no.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The upstream gave no usable answer.
    #[error(transparent)]
    Upstream(#[from] upstream::Error),
    /// The upstream's redirect cannot be passed on.
    #[error(transparent)]
    Location(#[from] Broken),
    /// A bug of ours; the panic is in the log.
    #[error("the request could not be handled")]
    Panicked,
}

/// What is wrong with the head of a request, beyond what a parser sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadFault {
    /// No Host, more than one, a malformed one, or one that contradicts the request target.
    #[error("the request needs exactly one valid host")]
    Host,
    /// Two lengths, or a length beside chunks.
    #[error("the length of the request body is ambiguous")]
    Framing,
    /// A header that HTTP/2 or the gate has no use for.
    #[error("the request has a header that is not allowed here")]
    Header,
    /// The target is not a path.
    #[error("the request target is not a path")]
    Target,
    /// The target is longer than any of a registry.
    #[error("the request target is too long")]
    TargetTooLong,
    /// There are more header lines than any client sends.
    #[error("the request has too many header lines")]
    TooManyHeaders,
    /// An expectation other than `100-continue`.
    #[error("the expectation cannot be met")]
    Expectation,
    /// A GET or HEAD with a body.
    #[error("a request of this method has no body")]
    Body,
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
    /// The client is asked for credentials.
    pub challenge: bool,
    /// For the `Allow` header.
    pub allow: Option<&'static str>,
    /// For the `Retry-After` header.
    pub retry_after: Option<Duration>,
    /// What the log says of it beyond the access line, where a person may have to act.
    pub alarm: bool,
}

impl Answer {
    fn new<M: fmt::Display + ?Sized>(
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
            challenge: false,
            allow: None,
            retry_after: None,
            alarm: false,
        }
    }

    /// For bytes that never became a request.
    pub(crate) fn unread(status: StatusCode, reason: &'static str, message: &str) -> Self {
        Self::new(status, Code::Unsupported, reason, message)
    }

    fn challenging(self) -> Self {
        Self {
            challenge: true,
            ..self
        }
    }

    fn alarming(self) -> Self {
        Self {
            alarm: true,
            ..self
        }
    }
}

impl Error {
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
            Self::Denied(denied @ Denied::Unauthenticated) => Answer::new(
                StatusCode::UNAUTHORIZED,
                Code::Unauthorized,
                "unauthorized",
                denied,
            )
            .challenging(),
            Self::Denied(denied @ Denied::CertificateRequired) => Answer::new(
                StatusCode::UNAUTHORIZED,
                Code::Unauthorized,
                "client_cert",
                denied,
            ),
            Self::Upstream(error) => upstream_answer(error),
            Self::Location(_) => Answer::new(
                StatusCode::BAD_GATEWAY,
                Code::Unavailable,
                "bad_upstream",
                UNUSABLE,
            )
            .alarming(),
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
        Fault::Unknown => Answer::new(StatusCode::NOT_FOUND, Code::NameUnknown, "no_route", fault),
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

fn too_large<M: fmt::Display + ?Sized>(manifest: bool, message: &M) -> Answer {
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

fn client_answer(fault: ClientFault) -> Answer {
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

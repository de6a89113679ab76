//! Every error of a request becomes one answer, here and nowhere else.
//!
//! Three families: the client's fault (4xx, told what is wrong), the upstream's (502, 503, 504, names no host), ours
//! and our store's (500, 503, 507, no insides). An answer carries a code of the distribution specification and a sentence of our own: docker
//! repeats a push for 50 s when it gets a standard sentence without detail.

mod answer;
mod embedded;
mod face;

use http::HeaderMap;

use crate::acl::Denied;
use crate::auth::Refusal;
use crate::body::ClientFault;
use crate::header::BadContentRange;
use crate::header::Broken;
use crate::registry;
use crate::route::Fault;
use crate::upstream;

pub(crate) use face::{Answer, Challenge};

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
    /// The token service was asked in a way that it does not understand.
    #[error(transparent)]
    Token(#[from] TokenFault),
    /// The request's body did not come.
    #[error(transparent)]
    Body(#[from] ClientFault),
    /// The policy says no.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The upstream gave no usable answer.
    #[error(transparent)]
    Upstream(#[from] upstream::Error),
    /// The upstream's redirect cannot be passed on.
    #[error(transparent)]
    Location(#[from] Broken),
    /// The embedded registry says no.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// A chunk of an upload does not belong where the upload ends.
    #[error("the chunk does not begin where the upload ends; go on at byte {}", .0.offset)]
    OutOfOrder(Box<OutOfOrder>),
    /// The place of a chunk cannot be read.
    #[error(transparent)]
    ContentRange(#[from] BadContentRange),
    /// None of the parts that are wanted of a blob exist.
    #[error("the range lies beyond the end of the blob, which has {size} bytes")]
    Range {
        /// Bytes of the blob.
        size: u64,
    },
    /// A bug of ours; the panic is in the log.
    #[error("the request could not be handled")]
    Panicked,
}

/// Where an upload is to be gone on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutOfOrder {
    /// Bytes that are there.
    pub offset: u64,
    /// The headers that tell it: `Range`, `Location` and the id.
    pub headers: HeaderMap,
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
    /// The target is not a path, or has a scheme that is not spoken.
    #[error("the request target is not a path of this server")]
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

/// What is wrong with a request to the token service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenFault {
    /// The body is no HTML form.
    #[error("send the form as application/x-www-form-urlencoded")]
    ContentType,
    /// The form is not UTF-8, or has a parameter twice that may stand once.
    #[error("the form is malformed")]
    Form,
    /// A grant other than the password one.
    #[error("this grant type is not offered; use password, or GET with Basic authentication")]
    Grant,
    /// Credentials in the form and in the header.
    #[error("credentials stand in the form and in the Authorization header; send them once")]
    Twice,
}

//! Headers: which ones pass, in which form, and what they say of the client.
//!
//! Pure. Follows RFC 9110 section 7.6 (what an intermediary must not forward) and RFC 9112 section 6 (framing
//! belongs to a connection: neither `Content-Length` nor `Transfer-Encoding` is ever copied).

mod forwarded;
mod hop;
mod link;
mod location;

use http::HeaderName;

pub(crate) use forwarded::{Origin, describe_client, origin};
pub(crate) use hop::{strip_request, strip_response};
pub(crate) use link::rewrite_links;
pub(crate) use location::{Broken, rewrite};

/// The version header of the registry API, exactly once on every answer below `/v2/`.
pub(crate) const API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");

/// The id under which a request stands in our log.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

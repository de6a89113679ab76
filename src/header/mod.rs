//! Headers: which ones pass, in which form, and what they say of the client.
//!
//! Pure. Follows RFC 9110 section 7.6 (what an intermediary must not forward) and RFC 9112 section 6 (framing
//! belongs to a connection: neither `Content-Length` nor `Transfer-Encoding` is ever copied).

mod browser;
mod forwarded;
mod hop;
mod link;
mod location;
#[cfg(any(test, fuzzing))]
pub(crate) mod property;
mod range;

use http::HeaderName;

pub(crate) use browser::guard_browsers;
pub(crate) use forwarded::{Origin, describe_client, origin};
pub(crate) use hop::{of_request, strip_response};
pub(crate) use link::rewrite_links;
pub(crate) use location::{Broken, rewrite};
pub(crate) use range::{BadContentRange, Part, Selection, content_range, is_unchanged, selection};

/// The version header of the registry API, exactly once on every answer below `/v2/`.
pub(crate) const API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");

/// The id under which a request stands in our log.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The digest of the content that an answer is about.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// The id of an upload.
pub(crate) const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// The manifest that a pushed manifest refers to: the registry keeps the list of referrers itself.
pub(crate) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// The filters that a list of referrers went through.
pub(crate) const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

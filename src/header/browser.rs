//! What keeps a browser from making more of an answer than there is. Clients of registries do not look at it.

use http::HeaderMap;
use http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

/// Somebody who may push decides what a blob is, and a browser that is sent to it has the reader's password: it must not
/// guess at the kind, run or frame anything, tell others where it came from, or be made to load it for another site.
static GUARDS: [(HeaderName, HeaderValue); 4] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox"),
    ),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// Puts them on an answer, in place of what whoever made it says.
pub(crate) fn guard_browsers(headers: &mut HeaderMap) {
    for (name, value) in &GUARDS {
        headers.insert(name, value.clone());
    }
}

//! What the gate answers to everybody: the ping endpoints of the v1 protocol, which load balancers and old scripts ask,
//! and the proofs of names that an authority looks for.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::acl::Permit;
use crate::acme::Tokens;
use crate::body::Body;
use crate::body::full;
use crate::error::Error;
use crate::response::json;
use crate::route::Fault;

/// Old engines and `docker search` look here for a registry that does without a separate index.
const STANDALONE: HeaderName = HeaderName::from_static("x-docker-registry-standalone");

/// "The gate is there": the body is the one word that the v1 registry and its proxies answered.
pub(super) fn ping(_: Permit) -> Response<Body> {
    let mut response = json(StatusCode::OK, "true");
    response
        .headers_mut()
        .insert(STANDALONE, HeaderValue::from_static("true"));
    response
}

/// The proof of a name that is being proven now (RFC 8555 section 8.3); any other is not there.
pub(super) fn proof(_: Permit, proofs: &Tokens, token: &str) -> Result<Response<Body>, Error> {
    let document = proofs.find(token).ok_or(Fault::Unknown)?;
    let mut response = Response::new(full(document));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

//! The ping endpoints of the v1 protocol, which load balancers and old scripts ask.

use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::acl::Permit;
use crate::body::Body;
use crate::response::json;

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

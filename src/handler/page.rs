//! Lists as answers, wherever their names come from.

use http::header::{CONTENT_LENGTH, HeaderValue, LINK};
use http::{Method, Response, StatusCode};
use serde::Serialize;

use crate::body::Body;
use crate::body::empty;
use crate::response::json;
use crate::route::next_link;

use super::Call;

/// Repositories on a page when the client names no number, as in registry:2.
pub(super) const REPOSITORIES: usize = 100;

/// Tags on a page when the client names no number. Scripts that know no paging ask so and expect all tags; beyond
/// this many, 1.3 MiB at their longest, a `Link` leads on.
pub(super) const TAGS: usize = 10_000;

/// A list as its answer; `next` is the size of the next page and the name that it comes after.
pub(super) fn page(
    call: &Call<'_>,
    document: &impl Serialize,
    next: Option<(usize, &str)>,
) -> Response<Body> {
    let mut response = document_for(call, document);
    if let Some((size, last)) = next {
        let link = next_link(&call.route.path(), size, last);
        // Visible ASCII by its making.
        if let Ok(link) = HeaderValue::from_str(&link) {
            response.headers_mut().insert(LINK, link);
        }
    }
    response
}

/// A JSON document, without its body for HEAD.
pub(super) fn document_for(call: &Call<'_>, document: &impl Serialize) -> Response<Body> {
    let mut text = serde_json::to_string(document).unwrap_or_default();
    text.push('\n');
    let length = text.len();
    let mut response = json(StatusCode::OK, text);
    if call.method == Method::HEAD {
        *response.body_mut() = empty();
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

//! The answer of an error as a client reads it: the JSON of the specification, and the headers that belong to it.

use http::header::{ALLOW, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body::Body as _;

use crate::body::Body;
use crate::error::Answer;
use crate::response::error_document;
use crate::response::json;

/// The answer of an error, but for what depends on the request.
pub(super) fn document(answer: &Answer, request_id: &HeaderValue) -> Response<Body> {
    let request = request_id.to_str().unwrap_or_default();
    let detail = |missing| match missing {
        None => serde_json::json!({ "request": request }),
        Some(digest) => serde_json::json!({ "request": request, "digest": digest }),
    };
    let details: Vec<_> = match answer.missing.as_slice() {
        [] => vec![detail(None)],
        missing => missing.iter().map(|digest| detail(Some(digest))).collect(),
    };
    let text = error_document(answer.code, &answer.message, &details);
    let mut response = json(answer.status, text);
    let headers = response.headers_mut();
    headers.extend(answer.headers.clone());
    if let Some(allow) = answer.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if let Some(after) = answer.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    response
}

/// The head of an answer to what never became a request, as HTTP/1 writes it; the connection ends with it.
pub(super) fn head(status: StatusCode, response: &Response<Body>) -> Vec<u8> {
    let length = response.body().size_hint().lower();
    let mut text =
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n")
            .into_bytes();
    let now = httpdate::fmt_http_date(std::time::SystemTime::now());
    text.extend_from_slice(format!("date: {now}\r\n").as_bytes());
    for (name, value) in response.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text
}

//! Builders for the few answers that the gate makes itself.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::body::Body;
use crate::body::full;
use crate::oci::Code;

/// The one content type of our own documents; registry:2 writes it the same way.
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// A JSON document.
pub(crate) fn json(status: StatusCode, text: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// The error document of the distribution specification, "Error Codes", with one error for each detail.
pub(crate) fn error_document(code: Code, message: &str, details: &[serde_json::Value]) -> String {
    #[derive(Serialize)]
    struct One<'a> {
        code: &'a str,
        message: &'a str,
        detail: &'a serde_json::Value,
    }
    #[derive(Serialize)]
    struct All<'a> {
        errors: Vec<One<'a>>,
    }
    let one = |detail| One {
        code: code.as_str(),
        message,
        detail,
    };
    let all = All {
        errors: details.iter().map(one).collect(),
    };
    let mut text = serde_json::to_string(&all).unwrap_or_else(|_| "{\"errors\":[]}".to_owned());
    text.push('\n');
    text
}

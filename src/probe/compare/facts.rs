//! An answer as facts that can be compared: what is different each time, and what differs between the sides by design,
//! goes under one name. Secrets that an answer may hold do not come out.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http::Method;
use http::header::{CONTENT_LENGTH, LOCATION, SET_COOKIE};
use regex::Regex;
use serde_json::Value;

use crate::header::UPLOAD_UUID;
use crate::probe::target::Target;
use crate::probe::wire::Answer;

use super::content::{Content, digest_of};
use super::steps::Step;

/// What is shown of a text; a page of HTML is longer than its message.
const SHOWN: usize = 160;

/// The registry's own origin, whichever it is.
pub(super) const ORIGIN: &str = "ORIGIN";

/// What of a text is different each time.
static EACH_TIME: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let masks = [
        ("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
        ("_state=[^&\"\\s]*", "_state=STATE"),
    ];
    let compiled = masks.map(|(pattern, name)| Regex::new(pattern).ok().map(|regex| (regex, name)));
    compiled.into_iter().flatten().collect()
});

/// What a side says to a step.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Status.
    pub status: u16,
    /// Each header with its values.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The body.
    pub body: Body,
    /// The connection ended before the body did.
    pub cut: bool,
}

/// A body, as far as clients look at it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Body {
    /// None.
    #[default]
    Empty,
    /// The document of an error: its codes, messages and details.
    Error {
        /// Codes.
        codes: String,
        /// Messages.
        messages: String,
        /// Details.
        details: String,
    },
    /// Of a list, what it says of ours and what it is.
    List(String),
    /// JSON.
    Json(Value),
    /// Anything else.
    Text(String),
}

/// Facts of an answer.
pub(super) fn facts(step: &Step, answer: &Answer, target: &Target, content: &Content) -> Facts {
    let names = content.names();
    let mask = |text: &str| masked(text, target, &names);
    let mut headers = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in &answer.headers {
        let text = String::from_utf8_lossy(value.as_bytes());
        let own_length = step.method != Method::HEAD && text == answer.body.len().to_string();
        if name == CONTENT_LENGTH && own_length {
            // It says no more than the body.
            continue;
        }
        let text = if name == SET_COOKIE {
            let cookie = text.split('=').next().unwrap_or_default();
            format!("{cookie}=VALUE")
        } else if name == UPLOAD_UUID {
            "UUID".to_owned()
        } else if name == LOCATION {
            location(&text, target, &mask)
        } else {
            mask(&text)
        };
        headers
            .entry(name.as_str().to_owned())
            .or_default()
            .push(text);
    }
    Facts {
        status: answer.status.as_u16(),
        headers,
        body: body(step, answer, content, &mask),
        cut: answer.cut,
    }
}

/// A `Location` of somebody else may be signed, so its query is not shown.
fn location(text: &str, target: &Target, mask: &dyn Fn(&str) -> String) -> String {
    let foreign = target.covers(text) == Some(false) && !text.contains("/v2/");
    match text.split_once('?') {
        Some((place, _)) if foreign => format!("{}?QUERY", mask(place)),
        _ => mask(text),
    }
}

fn masked(text: &str, target: &Target, names: &[(String, &'static str)]) -> String {
    let mut text = text.to_owned();
    for (value, name) in names {
        text = text.replace(value, name);
        // In a query.
        text = text.replace(&value.replace(':', "%3A"), name);
    }
    let (authority, place) = (target.authority(), target.place());
    for own in [&place, &authority] {
        let scheme = target.scheme.as_str();
        text = text.replace(&format!("{scheme}://{own}"), ORIGIN);
        text = text.replace(own.as_str(), "HOST");
    }
    for (pattern, name) in EACH_TIME.iter() {
        text = pattern.replace_all(&text, *name).into_owned();
    }
    text
}

fn body(step: &Step, answer: &Answer, content: &Content, mask: &dyn Fn(&str) -> String) -> Body {
    let bytes = &answer.body;
    if bytes.is_empty() {
        return Body::Empty;
    }
    let document: Option<Value> = serde_json::from_slice(bytes).ok();
    if let Some(errors) = document.as_ref().and_then(|d| d.get("errors")?.as_array()) {
        let each = |key: &str| -> String {
            let values = errors.iter().map(|error| match error.get(key) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            });
            mask(&values.collect::<Vec<_>>().join(", "))
        };
        return Body::Error {
            codes: each("code"),
            messages: each("message"),
            details: each("detail"),
        };
    }
    if step.list
        && answer.status.is_success()
        && let Some(document) = &document
    {
        return list(step, document, content);
    }
    let digest = mask(&digest_of(bytes));
    if !digest.starts_with("sha256:") {
        return Body::Text(format!("{} bytes, {digest}", bytes.len()));
    }
    if let Some(at) = position(&content.layer, bytes) {
        return Body::Text(format!("{} bytes of LAYER from {at}", bytes.len()));
    }
    match document {
        Some(document) => Body::Json(document),
        None => match std::str::from_utf8(bytes) {
            Ok(text) => Body::Text(short(&mask(&text.replace(['\r', '\n'], " ")))),
            Err(_) => Body::Text(format!("{} bytes, {digest}", bytes.len())),
        },
    }
}

/// Of a list, whether it is one, and in which way it holds what was pushed.
fn list(step: &Step, document: &Value, content: &Content) -> Body {
    let of = |key: &str| document.get(key).and_then(Value::as_array);
    let ours = |entries: &Vec<Value>, name: &str| entries.iter().any(|e| e.as_str() == Some(name));
    Body::List(match (of("repositories"), of("tags")) {
        (Some(_), _) => "a list of repositories".to_owned(),
        (None, Some(tags)) if step.path.contains('?') => {
            format!("a page of {} tags", tags.len().min(1))
        }
        (None, Some(tags)) => {
            let with = if ours(tags, &content.tag) {
                "with"
            } else {
                "without"
            };
            format!("a list of tags {with} TAG")
        }
        (None, None) => "no list".to_owned(),
    })
}

fn position(whole: &[u8], part: &[u8]) -> Option<usize> {
    if part.len() > whole.len() {
        return None;
    }
    whole.windows(part.len()).position(|window| window == part)
}

/// The beginning of a text.
pub(super) fn short(text: &str) -> String {
    let mut beginning: String = text.chars().take(SHOWN).collect();
    if beginning.len() < text.len() {
        beginning.push('…');
    }
    beginning
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, StatusCode};

    use crate::oci::RepositoryName;

    use super::super::list::steps;
    use super::*;

    #[test]
    fn what_differs_each_time_and_what_is_secret_does_not_come_out() {
        let repository = RepositoryName::parse("scratch").unwrap();
        let content = Content::new(&repository, 1, 'o');
        let target = Target::parse("https://r.example:5000").unwrap();
        let steps = steps(&content, None, true);
        let step = steps.iter().find(|step| step.name == "push/begin").unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (
                "location",
                "https://bucket.example/x?X-Amz-Signature=secret",
            ),
            ("set-cookie", "session=secret; Path=/"),
            (
                "www-authenticate",
                "Bearer realm=\"https://r.example:5000/token\",service=\"r.example:5000\"",
            ),
            ("docker-upload-uuid", "abc"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let answer = Answer {
            status: StatusCode::ACCEPTED,
            headers,
            body: Bytes::from(format!(
                "{} 0f8fad5b-d9cb-469f-a165-70867728950e",
                content.unknown()
            )),
            cut: false,
        };
        let facts = facts(step, &answer, &target, &content);
        let value = |name: &str| facts.headers[name].join("|");
        assert_eq!(value("location"), "https://bucket.example/x?QUERY");
        assert_eq!(value("set-cookie"), "session=VALUE");
        assert_eq!(
            value("www-authenticate"),
            "Bearer realm=\"ORIGIN/token\",service=\"HOST\""
        );
        assert_eq!(value("docker-upload-uuid"), "UUID");
        assert_eq!(facts.body, Body::Text("UNKNOWN UUID".into()));
    }
}

//! The few words that are needed of what stores answer.

use http::HeaderMap;

/// The longest sentence that is passed on.
const SENTENCE: usize = 300;

/// What an answer says that is no success.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) code: String,
    pub(super) message: String,
}

/// Code and sentence of an error, from XML (S3, Azure, Google), JSON (Google, who gives out tokens) or headers (Azure,
/// which answers HEAD with them; S3, which tells the region of a bucket).
pub(super) fn said(headers: &HeaderMap, body: &[u8]) -> Said {
    let text = String::from_utf8_lossy(body);
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let code = element(&text, "Code").or_else(|| header("x-ms-error-code").map(str::to_owned));
    let message = element(&text, "Message").or_else(|| json(&text));
    let region = header("x-amz-bucket-region").filter(|_| code.as_deref() != Some("NoSuchKey"));
    let mut message = message.unwrap_or_default();
    if let Some(region) = region.filter(|region| !message.contains(region)) {
        message = format!("{message} (the bucket is in the region {region})");
    }
    Said {
        code: plain(&code.unwrap_or_default()),
        message: plain(message.trim()),
    }
}

fn json(text: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let words = [
        &value["error"]["message"],
        &value["error_description"],
        &value["error"],
        &value["message"],
    ];
    words
        .into_iter()
        .find_map(|word| word.as_str().map(str::to_owned))
}

/// The first line without control characters, and no more of it than a log line can bear.
fn plain(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars()
        .filter(|c| !c.is_control())
        .take(SENTENCE)
        .collect()
}

/// The text of the first element of this name.
pub(super) fn element(text: &str, name: &str) -> Option<String> {
    elements(text, name).next().map(unescaped)
}

/// What stands between the tags of each element of this name, as it is written. They must not nest.
pub(super) fn elements<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (inside, after) = after.split_once(&close)?;
        rest = after;
        Some(inside)
    })
}

fn unescaped(text: &str) -> String {
    let mut plain = text.to_owned();
    for (escaped, meant) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        // Last, so that what it sets free is not taken for an escape.
        ("&amp;", "&"),
    ] {
        plain = plain.replace(escaped, meant);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_lose_all_but_code_and_sentence() {
        let body = "<?xml version=\"1.0\"?><Error><Code>ExpiredToken</Code><Message>The provided token has \
                    expired.</Message><Token-0>s3cr3t</Token-0></Error>";
        let said = said(&HeaderMap::new(), body.as_bytes());
        assert_eq!(said.code, "ExpiredToken");
        assert_eq!(said.message, "The provided token has expired.");
    }

    #[test]
    fn json_and_headers_speak_too() {
        let google = br#"{"error":{"code":403,"message":"no access\nline"}}"#;
        assert_eq!(said(&HeaderMap::new(), google).message, "no access");
        let token = br#"{"error":"invalid_grant","error_description":"bad key"}"#;
        assert_eq!(said(&HeaderMap::new(), token).message, "bad key");
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-error-code", "ContainerNotFound".parse().unwrap());
        headers.insert("x-amz-bucket-region", "eu-west-1".parse().unwrap());
        let said = said(&headers, b"");
        assert_eq!(said.code, "ContainerNotFound");
        assert_eq!(said.message, "(the bucket is in the region eu-west-1)");
    }

    #[test]
    fn elements_are_told_apart() {
        let text = "<A><ETag>&quot;1&quot;</ETag></A><A><ETag>&amp;lt;</ETag></A>";
        assert_eq!(elements(text, "A").count(), 2);
        assert_eq!(element(text, "ETag").unwrap(), "\"1\"");
        let last = elements(text, "A").nth(1).and_then(|a| element(a, "ETag"));
        assert_eq!(last.unwrap(), "&lt;");
    }
}

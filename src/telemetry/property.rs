//! What holds of every line of a log, whatever a client puts into it.

use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, Version};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::peer::Address;

use super::access::{Entry, RequestLine, combined, json};
use super::escape_controls;
use super::redact::redact;

/// Five parts, divided by line feeds: target, user, host, referrer, user agent. The last two may hold anything.
pub(crate) fn line(data: &[u8]) {
    let mut parts = data.splitn(5, |b| *b == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (target, user, host, referer, agent) = (part(), part(), part(), part(), part());
    let entry = Entry {
        peer: Address::Unix,
        user: Some(text(user)),
        time: Timestamp::UNIX_EPOCH,
        request: Some(RequestLine {
            method: Method::from_bytes(host).unwrap_or(Method::GET),
            target: text(target),
            version: Version::HTTP_11,
        }),
        status: StatusCode::OK,
        bytes_sent: 1,
        bytes_received: 2,
        host: Some(text(host)),
        referer: HeaderValue::from_bytes(referer).ok(),
        user_agent: HeaderValue::from_bytes(agent).ok(),
        repository: Some(text(target)),
        action: Some("pull"),
        duration: Duration::from_millis(1),
        backend: None,
        upstream_status: None,
        request_id: "f00".into(),
        reason: None,
        certificate: Some(text(user)),
        tls: None,
    };
    let line = combined(&entry, &TimeZone::UTC);
    assert!(
        line.iter().all(|b| matches!(b, b' '..=b'~')),
        "{}",
        text(&line)
    );
    assert_eq!(line.split(|b| *b == b'"').count(), 7);
    let line = json(&entry);
    assert!(line.len() < 60_000, "{}", line.len());
    assert_eq!(escape_controls(&line), line.as_slice());
    let read: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_slice(&line);
    assert!(
        read.is_ok_and(|object| object.len() >= 8),
        "{}",
        text(&line)
    );

    let clean = escape_controls(data);
    let shown = String::from_utf8_lossy(&clean);
    assert!(!shown.contains(char::is_control), "{shown:?}");
    for url in [target, referer] {
        let once = redact(url);
        assert_eq!(redact(&once), once, "{}", text(url));
    }
    secret(target);
}

/// A token in the query leaves no trace, whatever stands around it.
fn secret(around: &[u8]) {
    let secret = b"hunter2hunter2";
    for key in [&b"token"[..], b"_state", b"X-Amz-Signature"] {
        let url = [b"/v2/?", around, b"&", key, b"=", secret, b"&n=1"].concat();
        let clean = redact(&url);
        let kept = clean.windows(secret.len()).any(|window| window == secret);
        assert!(!kept, "{}", String::from_utf8_lossy(&clean));
    }
}

//! What has no single reading is refused in the gate's own words, and nothing of it reaches the upstream.

mod connections;
mod framing;
mod targets;

use crate::support::fronts::LOGIN;
use crate::support::raw::Answer;

pub const NOTHING: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// The codes of the distribution specification, and distribution's own three.
pub const CODES: [&str; 11] = [
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "TAG_INVALID",
    "DIGEST_INVALID",
    "MANIFEST_INVALID",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
    "UNAVAILABLE",
    "UNKNOWN",
];

/// The rules that every refusal of ours obeys.
#[track_caller]
pub fn check(case: &str, answer: &Answer, statuses: &[u16], tls: bool) {
    let head = &answer.head;
    assert!(statuses.contains(&answer.status()), "{case}: {head}");
    assert!(head.starts_with("HTTP/1.1 "), "{case}: {head}");
    let version = answer.values("docker-distribution-api-version");
    assert_eq!(version, ["registry/2.0"], "{case}: {head}");
    let hsts = answer.values("strict-transport-security").len();
    assert_eq!(hsts, usize::from(tls), "{case}: {head}");
    assert!(answer.complete, "{case}: {head}");
    assert_eq!(
        answer.value("content-type"),
        "application/json; charset=utf-8",
        "{case}"
    );
    let code = answer.code();
    assert!(CODES.contains(&code.as_str()), "{case}: {code}");
}

pub fn get(lines: &str) -> Vec<u8> {
    format!("GET /v2/a/manifests/1 HTTP/1.1\r\n{lines}\r\n").into_bytes()
}

pub fn upload(lines: &str, body: &str) -> Vec<u8> {
    let line = "PATCH /v2/a/blobs/uploads/1 HTTP/1.1";
    format!("{line}\r\nHost: a\r\n{LOGIN}{lines}\r\n{body}").into_bytes()
}

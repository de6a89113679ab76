//! Whatever the registry behind the gate does wrong, the client learns it, and nothing broken looks whole.

mod answers;
mod bodies;
mod connections;
mod phases;
mod reachable;

use crate::support::fronts::{Fronts, LOGIN};
use crate::support::raw::{Answer, Raw};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn request(method: &str, version: &str) -> String {
    format!("{method} /v2/a/blobs/{DIGEST} {version}\r\nHost: gate\r\n{LOGIN}\r\n")
}

fn upload(method: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: gate\r\n{LOGIN}Content-Length: {length}\r\n\r\n{body}"
    )
}

#[track_caller]
fn ask(fronts: &Fronts, method: &str) -> Answer {
    let mut raw = fronts.tls();
    ask_again(&mut raw, method)
}

#[track_caller]
fn ask_again(raw: &mut Raw, method: &str) -> Answer {
    raw.send(request(method, "HTTP/1.1"));
    raw.answer_to(method)
}

/// The answer is an error of ours: the status, a code, an id, nothing of our insides.
#[track_caller]
fn is_ours(answer: &Answer, status: u16, case: &str) {
    assert_eq!(answer.status(), status, "{case}: {}", answer.head);
    assert!(answer.complete, "{case}");
    assert_eq!(answer.code(), "UNAVAILABLE", "{case}");
    assert_eq!(
        answer.value("docker-distribution-api-version"),
        "registry/2.0"
    );
    assert_eq!(answer.values("strict-transport-security").len(), 1);
    let id = answer.value("x-request-id");
    let text = String::from_utf8_lossy(&answer.body);
    assert!(text.contains(id), "{case}: {text}");
    assert!(!text.contains("127.0.0.1"), "{case}: {text}");
}

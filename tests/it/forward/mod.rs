//! What passes between a client and the registry, in which form, and what does not.

mod answers;
mod requests;

use crate::support::fronts::{Fronts, LOGIN};
use crate::support::raw::{Answer, Raw};
use crate::support::upstream::{Told, Upstream};

const NOTHING: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What the upstream sees of this request, which comes through the TLS door and is answered 200.
#[track_caller]
fn seen(request: &str, more: &str) -> (Told, u16) {
    let upstream = Upstream::answering(NOTHING);
    let fronts = Fronts::before(&upstream.url(), more);
    let mut raw = fronts.tls();
    raw.send(request);
    let answer = raw.answer();
    assert_eq!(answer.status(), 200, "{request}: {}", answer.head);
    let told = upstream.told();
    assert_eq!(told.len(), 1);
    (told[0].clone(), fronts.gate.address_of(1).port())
}

/// What the client gets when the upstream answers GET with this.
#[track_caller]
fn got(answer: &str) -> Answer {
    let upstream = Upstream::answering(answer);
    let fronts = Fronts::before(&upstream.url(), "");
    ask(&mut fronts.tls(), "GET")
}

#[track_caller]
fn ask(raw: &mut Raw, method: &str) -> Answer {
    raw.send(format!(
        "{method} /v2/a/blobs/{DIGEST} HTTP/1.1\r\nHost: gate:5043\r\n{LOGIN}\r\n"
    ));
    raw.answer_to(method)
}

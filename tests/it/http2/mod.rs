//! HTTP/2: the same requests, judged as strictly, and connections that are there to do harm.

mod abuse;
mod strict;
mod transfer;
mod wrong;

use crate::support::frames::{Fate, Frames};
use crate::support::fronts::Fronts;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A request that is in order.
const GOOD: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/v2/a/manifests/1"),
    (":authority", "gate:5043"),
];

/// The head of an upload that may be done.
const UPLOAD: [(&str, &str); 5] = [
    (":method", "PATCH"),
    (":scheme", "https"),
    (":path", "/v2/a/blobs/uploads/1"),
    (":authority", "gate:5043"),
    ("authorization", "Basic dXNlcjpzZWNyZXQ="),
];

#[track_caller]
fn begin(fronts: &Fronts) -> Frames {
    Frames::begin(fronts.tls_offering(&["h2"]), &[])
}

/// Others are served as if nothing were the matter.
#[track_caller]
fn others_are_served(fronts: &Fronts) {
    let start = tokio::time::Instant::now();
    let mut other = begin(fronts);
    other.ask(1, &GOOD);
    assert_eq!(other.fate(1), Fate::Answered(200));
    assert!(start.elapsed() < std::time::Duration::from_secs(1));
}

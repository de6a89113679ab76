//! Peers that come in crowds, or that take their time: each is bounded, and the others are served meanwhile.

mod crowds;
mod records;
mod slow;

use std::time::Duration;

use tokio::time::Instant;

use crate::support::raw::Raw;

/// A request without credentials, which is answered from behind the gate.
const PULL: &str = "GET /v2/a/manifests/1 HTTP/1.1\r\nHost: gate\r\n\r\n";

/// One more client is answered within a second.
#[track_caller]
fn is_served(mut raw: Raw) {
    let begin = Instant::now();
    raw.send(PULL);
    assert_eq!(raw.answer().status(), 200);
    let elapsed = begin.elapsed();
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
}

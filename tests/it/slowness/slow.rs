//! Heads that come byte by byte.

use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::is_served;
use crate::support::binary::Binary;
use crate::support::figures::{CONNECTIONS, tell};
use crate::support::flow::Flow;
use crate::support::frames::{END_STREAM, Fate, Frames, HEADERS, block, frame};
use crate::support::fronts::Fronts;
use crate::support::raw::{End, Raw};
use crate::support::upstream::Upstream;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// The bound on a head in these tests.
const BOUND: &str = "[timeouts]\nrequest_header = \"1s\"\nhandshake = \"1s\"";

/// Sends a byte now and then, for as long as the gate takes them; tells how long that was.
fn drip(mut raw: Raw, bytes: &[u8]) -> (Duration, Vec<u8>, End) {
    let begin = Instant::now();
    let mut at = 0;
    while begin.elapsed() < Duration::from_secs(15) {
        if raw.try_send(&bytes[at % bytes.len()..][..1]).is_err() {
            break;
        }
        at += 1;
        raw.set_patience(Duration::from_millis(100));
        match raw.read_until(b"\n") {
            Ok(mut said) => {
                raw.set_patience(Duration::from_secs(20));
                let (rest, end) = raw.read_to_end();
                said.extend(rest);
                return (begin.elapsed(), said, end);
            }
            Err((_, End::Open)) => {}
            Err((said, end)) => return (begin.elapsed(), said, end),
        }
    }
    (begin.elapsed(), Vec::new(), End::Open)
}

#[test]
fn h11_t4_n26_a_head_that_comes_byte_by_byte_has_the_time_of_a_head_and_no_more() {
    let upstream = Upstream::answering(OK);
    let fronts = Fronts::before(&upstream.url(), BOUND);
    let head = format!(
        "GET /v2/a/manifests/1 HTTP/1.1\r\nHost: gate\r\nX: {}",
        "x".repeat(1000)
    );
    let hello = [22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    thread::scope(|scope| {
        for tls in [false, true] {
            let (fronts, head) = (&fronts, &head);
            scope.spawn(move || {
                let raw = if tls { fronts.tls() } else { fronts.plain() };
                let (took, said, end) = drip(raw, head.as_bytes());
                let said = String::from_utf8_lossy(&said).into_owned();
                assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
                assert_eq!(end, End::Proper);
                assert!(took < Duration::from_secs(5), "{took:?}");
            });
        }
        // A handshake that never comes to its end.
        scope.spawn(|| {
            let raw = Raw::tcp(fronts.gate.address_of(1));
            let (took, said, end) = drip(raw, &hello);
            assert_ne!(end, End::Open);
            assert!(!said.starts_with(b"HTTP"), "{said:?}");
            assert!(took < Duration::from_secs(5), "{took:?}");
        });
        // The preface of HTTP/2, and a head that is never finished.
        scope.spawn(|| {
            let raw = fronts.tls_offering(&["h2"]);
            let (took, _, end) = drip(raw, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
            assert_ne!(end, End::Open);
            assert!(took < Duration::from_secs(15), "{took:?}");
        });
        scope.spawn(|| {
            let begin = Instant::now();
            let mut frames = Frames::begin(fronts.tls_offering(&["h2"]), &[]);
            let half = frame(HEADERS, END_STREAM, 1, &block(&[(":method", "GET")]));
            frames.try_send(&half).unwrap();
            let fate = frames.fate(1);
            assert!(matches!(fate, Fate::GoAway(_) | Fate::Ended(_)), "{fate:?}");
            assert_ne!(fate, Fate::Ended(End::Open));
            assert!(begin.elapsed() < Duration::from_secs(15));
        });
        scope.spawn(|| is_served(fronts.tls()));
    });
    let asked = upstream.told();
    assert_eq!(asked.len(), 1, "only who was served");
    tell(CONNECTIONS, 5);
}

/// As much as `limits.header_size` each, and nothing that grows with what a peer says.
#[test]
fn h3_h11_unfinished_heads_hold_no_more_than_a_head() {
    let mut flow = None;
    let binary = Binary::start("", |path| flow = Some(Flow::listen(path)));
    let head = format!(
        "GET /v2/a/manifests/1 HTTP/1.1\r\nHost: gate\r\nX: {}",
        "x".repeat(60 << 10)
    );
    let before = binary.resident();
    let mut slow: Vec<Raw> = (0..200).map(|_| binary.connect(false)).collect();
    for raw in &mut slow {
        raw.send(&head);
    }
    is_served(binary.connect(false));
    let each = binary.resident().saturating_sub(before) / 200;
    // A growing buffer may be twice as large as what is in it, and hyper has a first one of its own.
    assert!(each <= 160, "{each} KiB for a head of 60 KiB");
    for raw in &mut slow {
        raw.send("\r\n\r\n");
        assert_eq!(raw.answer().status(), 200);
    }
    tell(CONNECTIONS, slow.len());
}

//! Handshakes that are none.

use std::thread;

use super::is_served;
use crate::support::figures::{BAD_INPUTS, tell};
use crate::support::fronts::Fronts;
use crate::support::raw::{End, Raw};
use crate::support::upstream::Upstream;

/// A TLS record.
fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, 3, 1], &length[..], payload].concat()
}

/// What comes instead of a hello, or behind half of one.
fn records() -> Vec<(&'static str, Vec<u8>)> {
    let hello = |length: u32, body: &[u8]| {
        let length = length.to_be_bytes();
        [&[1], &length[1..], body].concat()
    };
    let start = [&[3, 3][..], &[7; 32], &[0]].concat();
    vec![
        ("zeros", vec![0; 2000]),
        (
            "a record longer than any may be",
            [&[22, 3, 1, 0xff, 0xff][..], &[1; 70_000]].concat(),
        ),
        ("a record of nothing, often", record(22, &[]).repeat(1000)),
        ("an alert", record(21, &[2, 40])),
        ("an alert of one byte", record(21, &[2])),
        ("data before any key", record(23, b"GET / HTTP/1.1\r\n\r\n")),
        (
            "a heartbeat that asks for more than it has",
            record(24, &[1, 0xff, 0xff]),
        ),
        ("a change of ciphers first", record(20, &[1])),
        ("a kind that does not exist", record(99, &[1; 20])),
        ("a hello of nothing", record(22, &hello(0, &[]))),
        (
            "a hello that ends in its middle",
            record(22, &hello(34, &start)),
        ),
        (
            "a hello of 16 MiB",
            record(22, &hello(0x00ff_ffff, &start)).repeat(100),
        ),
        (
            "suites of an odd length",
            record(22, &hello(40, &[&start[..], &[0, 3, 0x13, 1, 0]].concat())),
        ),
        (
            "a second hello in the first",
            record(22, &hello(34, &start).repeat(2)),
        ),
        (
            "a finish instead",
            record(22, &[20, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ),
        (
            "a version of long ago",
            [&[22, 2, 0][..], &record(22, &hello(34, &start))[3..]].concat(),
        ),
    ]
}

#[test]
fn t5_n25_a_handshake_that_is_none_ends_its_connection_and_nobody_elses() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let more = "[timeouts]\nhandshake = \"1s\"";
    let fronts = Fronts::before(&upstream.url(), more);
    let mut open = fronts.tls();
    let all = records();
    let count = all.len();
    thread::scope(|scope| {
        for (case, bytes) in all {
            let fronts = &fronts;
            scope.spawn(move || {
                let mut raw = Raw::tcp(fronts.gate.address_of(1));
                let _ = raw.try_send(&bytes);
                let (said, end) = raw.read_to_end();
                assert_ne!(end, End::Open, "{case}");
                // An alert at most, or a word to who spoke no TLS at all.
                let alert = said.is_empty() || said[0] == 21;
                assert!(
                    alert || said.starts_with(b"HTTP/1.1 400 "),
                    "{case}: {said:?}"
                );
            });
        }
    });
    open.send(super::PULL);
    assert_eq!(
        open.answer().status(),
        200,
        "a connection that was there before"
    );
    is_served(fronts.tls());
    tell(BAD_INPUTS, count);
}

//! Connections that are there to do harm: bounded, ended with the right word, and nobody else feels them.

use std::time::Duration;

use tokio::time::Instant;

use super::{GOOD, OK, UPLOAD, begin, others_are_served};
use crate::support::binary::Binary;
use crate::support::figures::{CONNECTIONS, tell};
use crate::support::flow::Flow;
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Fate, Frames, GOAWAY, HEADERS,
    PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame,
};
use crate::support::fronts::{Fronts, LOGIN};
use crate::support::raw::End;
use crate::support::site::digest;
use crate::support::upstream::{Next, Upstream};

/// As many streams as the gate lets one connection have.
const STREAMS: usize = 100;

#[test]
fn h14_n29_a_rapid_reset_is_ended_and_hardly_felt_behind_the_gate() {
    let upstream = Upstream::start(|request| {
        let _ = request.read_body();
        request.wait_for_end();
        Next::Close
    });
    let fronts = Fronts::before(&upstream.url(), "");
    let mut frames = begin(&fronts);
    let head = block(&GOOD);
    for n in 0..20_000 {
        let stream = 2 * n + 1;
        let pair = [
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &head),
            frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
        ]
        .concat();
        if frames.try_send(&pair).is_err() {
            break;
        }
    }
    let fate = frames.fate(u32::MAX);
    assert!(
        matches!(fate, Fate::GoAway(ENHANCE_YOUR_CALM) | Fate::Ended(_)),
        "{fate:?}"
    );
    assert!(
        upstream.told().len() <= 2 * STREAMS,
        "{}",
        upstream.told().len()
    );
}

/// The client makes the gate reset its streams, which counts no stream of the client's (CVE-2025-8671).
#[test]
fn h14_n29_made_you_reset_is_ended_and_hardly_felt_behind_the_gate() {
    for (name, fault) in [
        ("a window by nothing", (WINDOW_UPDATE, 0_u32)),
        ("a window beyond 2^31", (WINDOW_UPDATE, 0x7fff_ffff)),
        ("data behind the end", (DATA, 0)),
    ] {
        let upstream = Upstream::start(|request| {
            let _ = request.read_body();
            request.wait_for_end();
            Next::Close
        });
        let fronts = Fronts::before(&upstream.url(), "");
        let mut frames = begin(&fronts);
        let head = block(&UPLOAD);
        for n in 0..10_000 {
            let stream = 2 * n + 1;
            let (kind, more) = fault;
            let last = if kind == DATA { END_STREAM } else { 0 };
            let pair = [
                frame(HEADERS, END_HEADERS | last, stream, &head),
                frame(kind, 0, stream, &more.to_be_bytes()),
            ]
            .concat();
            if frames.try_send(&pair).is_err() {
                break;
            }
        }
        let fate = frames.fate(u32::MAX);
        assert!(
            matches!(
                fate,
                Fate::GoAway(_) | Fate::Ended(End::Proper | End::Broken)
            ),
            "{name}: {fate:?}"
        );
        let told = upstream.told().len();
        assert!(told <= 2 * STREAMS, "{name}: {told}");
        // Nobody else feels it, though the registry is busy with what was asked.
        let mut other = begin(&fronts);
        other.ask(1, &[GOOD[0], GOOD[1], (":path", "/_ping"), GOOD[3]]);
        assert_eq!(other.fate(1), Fate::Answered(200), "{name}");
        tell(CONNECTIONS, 1);
    }
}

/// A window of a byte each: what is read for a client that does not take it is bounded for all streams together.
#[test]
fn h11_h14_n30_small_windows_hold_little_of_large_blobs_with_either_backend() {
    const SIZE: usize = 8 << 20;
    let mut flow = None;
    let content = vec![b'x'; SIZE];
    let path = format!("/v2/a/blobs/{}", digest(&content));
    let length = SIZE.to_string();
    let gate = Binary::start("", |path| flow = Some(Flow::listen(path)));
    let embedded = Binary::embedded("");
    push(&embedded, &content);
    for (name, binary) in [("a gate", gate), ("the embedded registry", embedded)] {
        let before = binary.peak();
        let mut all = Vec::new();
        for _ in 0..10 {
            let offered = binary.connect_offering(true, &["h2"]);
            let mut frames = Frames::begin(offered, &[(4, 1)]);
            for n in 0..100 {
                let fields = [
                    (":method", "GET"),
                    (":scheme", "https"),
                    (":path", path.as_str()),
                    (":authority", "gate"),
                    ("x-length", &length),
                ];
                frames.ask(2 * n + 1, &fields);
            }
            frames.set_patience(Duration::from_millis(300));
            // Until the first bytes of everything that can be had have come.
            while frames.next().is_ok() {}
            all.push(frames);
        }
        let mut other = Frames::begin(binary.connect_offering(true, &["h2"]), &[]);
        other.ask(1, &[GOOD[0], GOOD[1], (":path", "/_ping"), GOOD[3]]);
        assert_eq!(other.fate(1), Fate::Answered(200));
        let peak = binary.peak();
        assert!(peak < before + 64, "{name}: {before} MiB became {peak} MiB");
        tell(CONNECTIONS, all.len());
    }
}

/// Puts a blob into the repository `a`.
#[track_caller]
fn push(binary: &Binary, content: &[u8]) {
    let mut raw = binary.connect(false);
    raw.send(format!(
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: gate\r\n{LOGIN}\r\n"
    ));
    let begun = raw.answer();
    let location = begun.value("location");
    let path = location.strip_prefix("http://gate").unwrap();
    raw.send(format!(
        "PUT {path}?digest={} HTTP/1.1\r\nHost: gate\r\n{LOGIN}Content-Length: {}\r\n\r\n",
        digest(content),
        content.len()
    ));
    raw.send(content);
    assert_eq!(raw.answer().status(), 201);
}

#[test]
fn h14_n29_no_more_streams_than_allowed_reach_the_upstream() {
    let upstream = Upstream::start(|request| {
        let _ = request.read_body();
        request.wait_for_end();
        Next::Close
    });
    let fronts = Fronts::before(&upstream.url(), "");
    let mut frames = begin(&fronts);
    // Some more than may be; very many more would end the connection.
    for n in 0..u32::try_from(STREAMS + 10).unwrap() {
        frames.ask(2 * n + 1, &GOOD);
    }
    let over = u32::try_from(2 * STREAMS + 1).unwrap();
    assert_eq!(frames.fate(over), Fate::Reset(7), "REFUSED_STREAM");
    assert!(upstream.told().len() <= STREAMS);
}

/// Sends these bytes over and over, until the gate has had enough or this many MiB have gone.
fn flood(frames: &mut Frames, piece: &[u8], mib: usize) {
    let many = piece.repeat((64 * 1024 / piece.len()).max(1));
    for _ in 0..mib * 1024 * 1024 / many.len() {
        if frames.try_send(&many).is_err() {
            return;
        }
    }
}

/// The floods that the program itself has to bear, as its memory is to be measured.
#[test]
fn h14_n30_floods_are_stopped_or_absorbed_in_bounded_memory() {
    let mut flow = None;
    let binary = Binary::start("", |path| flow = Some(Flow::listen(path)));
    let begin = || Frames::begin(binary.connect_offering(true, &["h2"]), &[]);
    let opened = |flags: u8| frame(HEADERS, flags, 1, &block(&UPLOAD));
    let junk = block(&[("x-junk", &"j".repeat(4000))]);
    let before = binary.peak();
    for (name, first, piece) in [
        (
            "settings",
            Vec::new(),
            frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]),
        ),
        ("ping", Vec::new(), frame(PING, 0, 0, &[0; 8])),
        (
            "priority",
            Vec::new(),
            frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]),
        ),
        ("empty data", opened(END_HEADERS), frame(DATA, 0, 1, &[])),
        (
            "window",
            Vec::new(),
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        ),
        ("continuation", opened(0), frame(CONTINUATION, 0, 1, &junk)),
        (
            "empty continuation",
            opened(0),
            frame(CONTINUATION, 0, 1, &[]),
        ),
        ("unknown", Vec::new(), frame(77, 0, 0, &[0; 100])),
        ("reset", Vec::new(), frame(RST_STREAM, 0, 1, &[0; 4])),
    ] {
        let mut frames = begin();
        let _ = frames.try_send(&first);
        // Nobody reads what the gate says to it meanwhile, and then it may stop reading as well.
        frames.set_patience(Duration::from_millis(500));
        flood(&mut frames, &piece, 8);
        let start = Instant::now();
        let mut other = begin();
        other.ask(1, &GOOD);
        assert_eq!(other.fate(1), Fate::Answered(200), "{name}");
        assert!(start.elapsed().as_secs() < 1, "{name}");
    }
    let peak = binary.peak();
    assert!(peak < before + 64, "{before} MiB became {peak} MiB");
    tell(CONNECTIONS, 9);
    let said = binary.log();
    assert!(!said.contains(" h2::"), "a peer can fill the log: {said}");
}

#[test]
fn h14_n30_a_header_bomb_goes_off_nowhere() {
    let upstream = Upstream::answering(OK);
    let fronts = Fronts::before(&upstream.url(), "");
    let mut bomb = block(&GOOD);
    // Into the dynamic table, then named 16,000 times by one byte each.
    bomb.extend([0x40, 1, b'x', 127, 0xa1, 0x1e]);
    bomb.extend([b'j'; 127 + 0x21 + 0x1e * 128]);
    bomb.extend([0xbe; 12_000]);
    let mut frames = begin(&fronts);
    frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &bomb);
    let fate = frames.fate(1);
    assert!(
        matches!(fate, Fate::Answered(0) | Fate::Reset(_) | Fate::GoAway(_)),
        "{fate:?}"
    );
    let mut frames = begin(&fronts);
    let large = "x".repeat(1000);
    let fields: Vec<_> = GOOD
        .into_iter()
        .chain((0..100).map(|_| ("x-large", large.as_str())))
        .collect();
    let block = block(&fields);
    let mut pieces = block.chunks(16_000).peekable();
    let mut kind = HEADERS;
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() {
            END_HEADERS
        } else {
            0
        };
        let flags = last | if kind == HEADERS { END_STREAM } else { 0 };
        if frames.try_send(&frame(kind, flags, 1, piece)).is_err() {
            break;
        }
        kind = CONTINUATION;
    }
    let fate = frames.fate(1);
    assert!(
        matches!(
            fate,
            Fate::Answered(0) | Fate::Reset(_) | Fate::GoAway(_) | Fate::Ended(_)
        ),
        "{fate:?}"
    );
    assert!(upstream.bytes().is_empty());
    others_are_served(&fronts);
}

#[test]
fn h14_zero_windows_hold_up_nobody_else() {
    let body = "x".repeat(1 << 20);
    let upstream = Upstream::answering(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let fronts = Fronts::before(&upstream.url(), "");
    // SETTINGS_INITIAL_WINDOW_SIZE 0: no answer's body can be sent.
    let mut frames = Frames::begin(fronts.tls_offering(&["h2"]), &[(4, 0)]);
    for n in 0..50 {
        frames.ask(2 * n + 1, &GOOD);
    }
    let mut heads = 0;
    while heads < 50 {
        let frame = frames.next().unwrap();
        assert_ne!(frame.kind, DATA);
        heads += usize::from(frame.kind == HEADERS);
    }
    others_are_served(&fronts);
}

#[test]
fn u3_n33_a_body_cut_short_behind_the_gate_is_a_reset_stream() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhello",
    ] {
        let upstream = Upstream::start(move |request| {
            let _ = request.read_body();
            request.say(answer);
            Next::Close
        });
        let fronts = Fronts::before(&upstream.url(), "");
        let mut frames = begin(&fronts);
        frames.ask(1, &GOOD);
        loop {
            let frame = frames.next().unwrap();
            assert_ne!(frame.kind, GOAWAY);
            if frame.kind == RST_STREAM {
                break;
            }
            assert!(
                frame.stream == 0 || frame.flags & END_STREAM == 0,
                "{answer:?} looks complete: {frame:?}"
            );
        }
        // The other requests of the connection go on.
        frames.ask(3, &[GOOD[0], GOOD[1], (":path", "/_ping"), GOOD[3]]);
        assert_eq!(frames.fate(3), Fate::Answered(200));
    }
}

//! Frames that RFC 9113 forbids: each ends its stream or its connection with the code that the RFC says, and nothing else.

use std::time::Duration;

use super::{GOOD, OK, UPLOAD, begin, others_are_served};
use crate::support::figures::{BAD_INPUTS, tell};
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Fate, Frames, GOAWAY, HEADERS, PING, PRIORITY,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame,
};
use crate::support::fronts::Fronts;
use crate::support::upstream::Upstream;

const PROTOCOL: u32 = 1;
const FLOW: u32 = 3;
const CLOSED: u32 = 5;
const SIZE: u32 = 6;
const COMPRESSION: u32 = 9;

const PUSH_PROMISE: u8 = 5;
const PADDED: u8 = 8;

/// What is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Stream,
    Connection,
    /// As the server likes.
    Either,
}

/// What is wrong, what is ended for it, with which codes, and the frames.
type Case = (&'static str, Ends, &'static [u32], Vec<Vec<u8>>);

fn settings(id: u16, value: u32) -> Vec<u8> {
    let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &payload)
}

fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

/// The head of an upload whose body is still to come.
fn upload(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(&UPLOAD))
}

fn of_the_connection() -> Vec<Case> {
    let good = block(&GOOD);
    let ask = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &good);
    let most = 0x7fff_ffff;
    vec![
        (
            "a window beyond 2^31",
            Ends::Connection,
            &[FLOW],
            vec![window(0, most)],
        ),
        (
            "a window by nothing",
            Ends::Connection,
            &[PROTOCOL],
            vec![window(0, 0)],
        ),
        (
            "half a window",
            Ends::Connection,
            &[SIZE],
            vec![frame(WINDOW_UPDATE, 0, 0, &[0; 3])],
        ),
        (
            "the window of an idle stream",
            Ends::Connection,
            &[PROTOCOL],
            vec![window(1, 5)],
        ),
        (
            "push is neither on nor off",
            Ends::Connection,
            &[PROTOCOL],
            vec![settings(2, 2)],
        ),
        (
            "a first window beyond 2^31",
            Ends::Connection,
            &[FLOW],
            vec![settings(4, 1 << 31)],
        ),
        (
            "frames of one byte",
            Ends::Connection,
            &[PROTOCOL],
            vec![settings(5, 1)],
        ),
        (
            "frames beyond 2^24",
            Ends::Connection,
            &[PROTOCOL],
            vec![settings(5, 1 << 24)],
        ),
        (
            "half a setting",
            Ends::Connection,
            &[SIZE],
            vec![frame(SETTINGS, 0, 0, &[0; 5])],
        ),
        (
            "settings of a stream",
            Ends::Connection,
            &[PROTOCOL],
            vec![frame(SETTINGS, 0, 1, &[])],
        ),
        (
            "settings in an acknowledgement",
            Ends::Connection,
            &[SIZE],
            vec![frame(SETTINGS, 1, 0, &[0; 6])],
        ),
        (
            "a short ping",
            Ends::Connection,
            &[SIZE],
            vec![frame(PING, 0, 0, &[0; 7])],
        ),
        (
            "the ping of a stream",
            Ends::Connection,
            &[PROTOCOL],
            vec![frame(PING, 0, 1, &[0; 8])],
        ),
        (
            "a frame of 16 KiB and one",
            Ends::Connection,
            &[SIZE],
            vec![upload(1), frame(DATA, 0, 1, &[0; 16385])],
        ),
        (
            "the head of no stream",
            Ends::Connection,
            &[PROTOCOL],
            vec![ask(0)],
        ),
        (
            "a stream of the server",
            Ends::Connection,
            &[PROTOCOL],
            vec![ask(2)],
        ),
        (
            "a stream before the last one",
            Ends::Connection,
            &[PROTOCOL, CLOSED],
            vec![ask(5), ask(3)],
        ),
        (
            "a promise of a client",
            Ends::Connection,
            &[PROTOCOL],
            vec![
                upload(1),
                frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]),
            ],
        ),
        (
            "a continuation of nothing",
            Ends::Connection,
            &[PROTOCOL],
            vec![frame(CONTINUATION, END_HEADERS, 1, &good)],
        ),
        (
            "a ping inside a head",
            Ends::Connection,
            &[PROTOCOL],
            vec![
                frame(HEADERS, END_STREAM, 1, &good),
                frame(PING, 0, 0, &[0; 8]),
            ],
        ),
        (
            "another stream's continuation",
            Ends::Connection,
            &[PROTOCOL],
            vec![
                frame(HEADERS, END_STREAM, 1, &good),
                frame(CONTINUATION, END_HEADERS, 3, &[]),
            ],
        ),
        (
            "data of no stream",
            Ends::Connection,
            &[PROTOCOL],
            vec![frame(DATA, 0, 0, b"x")],
        ),
        (
            "data of an idle stream",
            Ends::Connection,
            &[PROTOCOL],
            vec![frame(DATA, 0, 1, b"x")],
        ),
        (
            "a reset of an idle stream",
            Ends::Connection,
            &[PROTOCOL],
            vec![frame(RST_STREAM, 0, 1, &[0; 4])],
        ),
        (
            "half a reset",
            Ends::Connection,
            &[SIZE],
            vec![upload(1), frame(RST_STREAM, 0, 1, &[0; 3])],
        ),
        (
            "a priority of no stream",
            Ends::Connection,
            &[PROTOCOL],
            vec![frame(PRIORITY, 0, 0, &[0; 5])],
        ),
        (
            "more padding than there is",
            Ends::Connection,
            &[PROTOCOL],
            vec![upload(1), frame(DATA, PADDED, 1, &[9, 0])],
        ),
        (
            "a head that cannot be unpacked",
            Ends::Connection,
            &[COMPRESSION],
            vec![frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 20])],
        ),
        (
            "an index beyond the table",
            Ends::Connection,
            &[COMPRESSION],
            vec![frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xc8])],
        ),
        (
            "a table larger than agreed on",
            Ends::Connection,
            &[COMPRESSION],
            vec![frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &[0x3f, 0xff, 0xff, 0x03],
            )],
        ),
        (
            "the farewell of a stream",
            Ends::Connection,
            &[PROTOCOL],
            vec![frame(GOAWAY, 0, 1, &[0; 8])],
        ),
    ]
}

fn of_a_stream() -> Vec<Case> {
    let most = 0x7fff_ffff;
    let trailers = block(&[("x", "1")]);
    let last = END_HEADERS | END_STREAM;
    vec![
        (
            "a stream's window beyond 2^31",
            Ends::Stream,
            &[FLOW],
            vec![upload(1), window(1, most)],
        ),
        (
            "a stream's window by nothing",
            Ends::Either,
            &[PROTOCOL],
            vec![upload(1), window(1, 0)],
        ),
        (
            "a half priority",
            Ends::Either,
            &[SIZE],
            vec![upload(1), frame(PRIORITY, 0, 1, &[0; 4])],
        ),
        (
            "a stream that waits for itself",
            Ends::Either,
            &[PROTOCOL],
            vec![upload(1), frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 1])],
        ),
        (
            "data behind the end",
            Ends::Either,
            &[CLOSED],
            vec![
                upload(1),
                frame(DATA, END_STREAM, 1, b"x"),
                frame(DATA, 0, 1, b"y"),
            ],
        ),
        (
            "a head behind the end",
            Ends::Either,
            &[CLOSED, PROTOCOL],
            vec![
                upload(1),
                frame(DATA, END_STREAM, 1, b"x"),
                frame(HEADERS, last, 1, &trailers),
            ],
        ),
        (
            "data behind a reset",
            Ends::Either,
            &[CLOSED],
            vec![
                upload(1),
                frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
                frame(DATA, 0, 1, b"y"),
            ],
        ),
        (
            "a second head that is not the last",
            Ends::Either,
            &[PROTOCOL],
            vec![upload(1), frame(HEADERS, END_HEADERS, 1, &trailers)],
        ),
    ]
}

#[test]
fn h14_n30_n31_a_frame_that_is_forbidden_ends_its_stream_or_its_connection_with_the_right_code() {
    let upstream = Upstream::start(|request| {
        // As long as the gate likes.
        let _ = request.read_body();
        request.wait_for_end();
        crate::support::upstream::Next::Close
    });
    let waits = Fronts::before(&upstream.url(), "");
    let answers = Upstream::answering(OK);
    let fronts = Fronts::before(&answers.url(), "");
    let cases: Vec<Case> = of_the_connection()
        .into_iter()
        .chain(of_a_stream())
        .collect();
    let count = cases.len();
    let mut others = Vec::new();
    for (case, ends, codes, bytes) in cases {
        let mut frames = begin(&waits);
        frames.try_send(&bytes.concat()).unwrap();
        frames.set_patience(Duration::from_secs(5));
        match (frames.fate(1), ends) {
            (Fate::GoAway(code), Ends::Connection | Ends::Either)
            | (Fate::Reset(code), Ends::Stream | Ends::Either)
                // What the codec cannot read it calls an error of the protocol, which every other code is a kind of.
                if codes.contains(&code) || code == PROTOCOL =>
            {
                if ends == Ends::Connection {
                    is_closed(&mut frames, case);
                }
            }
            (fate, _) => others.push(format!("{case}: {fate:?}")),
        }
    }
    assert!(others.is_empty(), "{others:#?}");
    let whole = upstream.told().into_iter().filter(|told| told.complete);
    // Those whose body was there before the fault came.
    assert!(whole.count() <= 5);
    others_are_served(&fronts);
    tell(BAD_INPUTS, count);
}

/// After its last word the gate closes.
#[track_caller]
fn is_closed(frames: &mut Frames, case: &str) {
    use crate::support::raw::End;
    loop {
        match frames.next() {
            Ok(_) => {}
            Err(End::Open) => panic!("{case}: the connection stays open"),
            Err(_) => return,
        }
    }
}

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

/// The largest window.
const MOST: u32 = 0x7fff_ffff;

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
type Case = (&'static str, Ends, Vec<u32>, Vec<u8>);

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

/// Ends the connection with this code.
fn fatal(what: &'static str, code: u32, frames: &[Vec<u8>]) -> Case {
    (what, Ends::Connection, vec![code], frames.concat())
}

/// Ends the stream, or the connection as well.
fn wrong(what: &'static str, code: u32, frames: &[Vec<u8>]) -> Case {
    (what, Ends::Either, vec![code], frames.concat())
}

fn of_the_connection() -> Vec<Case> {
    let window_of = |stream, payload: &[u8]| frame(WINDOW_UPDATE, 0, stream, payload);
    let set = |stream, payload: &[u8]| frame(SETTINGS, 0, stream, payload);
    vec![
        fatal("a window beyond 2^31", FLOW, &[window(0, MOST)]),
        fatal("a window by nothing", PROTOCOL, &[window(0, 0)]),
        fatal("half a window", SIZE, &[window_of(0, &[0; 3])]),
        fatal("the window of an idle stream", PROTOCOL, &[window(1, 5)]),
        fatal("push is neither on nor off", PROTOCOL, &[settings(2, 2)]),
        fatal("a first window of 2^31", FLOW, &[settings(4, 1 << 31)]),
        fatal("frames of one byte", PROTOCOL, &[settings(5, 1)]),
        fatal("frames beyond 2^24", PROTOCOL, &[settings(5, 1 << 24)]),
        fatal("half a setting", SIZE, &[set(0, &[0; 5])]),
        fatal("settings of a stream", PROTOCOL, &[set(1, &[])]),
        fatal("a long consent", SIZE, &[frame(SETTINGS, 1, 0, &[0; 6])]),
        fatal("a short ping", SIZE, &[frame(PING, 0, 0, &[0; 7])]),
        fatal("a stream's ping", PROTOCOL, &[frame(PING, 0, 1, &[0; 8])]),
        fatal(
            "a stream's farewell",
            PROTOCOL,
            &[frame(GOAWAY, 0, 1, &[0; 8])],
        ),
        fatal("data of no stream", PROTOCOL, &[frame(DATA, 0, 0, b"x")]),
        fatal("data of an idle one", PROTOCOL, &[frame(DATA, 0, 1, b"x")]),
        fatal(
            "an idle one's reset",
            PROTOCOL,
            &[frame(RST_STREAM, 0, 1, &[0; 4])],
        ),
        fatal(
            "half a reset",
            SIZE,
            &[upload(1), frame(RST_STREAM, 0, 1, &[0; 3])],
        ),
        fatal(
            "priority of none",
            PROTOCOL,
            &[frame(PRIORITY, 0, 0, &[0; 5])],
        ),
        fatal(
            "a frame of 16 KiB and one",
            SIZE,
            &[upload(1), frame(DATA, 0, 1, &[0; 16385])],
        ),
        fatal(
            "more padding than bytes",
            PROTOCOL,
            &[upload(1), frame(DATA, PADDED, 1, &[9, 0])],
        ),
    ]
}

fn of_heads() -> Vec<Case> {
    const WHOLE: u8 = END_HEADERS | END_STREAM;
    let good = block(&GOOD);
    let head = |flags, stream, block: &[u8]| frame(HEADERS, flags, stream, block);
    let more = |flags, stream, block: &[u8]| frame(CONTINUATION, flags, stream, block);
    let half = head(END_STREAM, 1, &good);
    let promise = frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]);
    vec![
        fatal("the head of no stream", PROTOCOL, &[head(WHOLE, 0, &good)]),
        fatal("the server's stream", PROTOCOL, &[head(WHOLE, 2, &good)]),
        (
            "a stream before the last one",
            Ends::Connection,
            vec![PROTOCOL, CLOSED],
            [head(WHOLE, 5, &good), head(WHOLE, 3, &good)].concat(),
        ),
        fatal("a client's promise", PROTOCOL, &[upload(1), promise]),
        fatal("more of nothing", PROTOCOL, &[more(END_HEADERS, 1, &good)]),
        fatal(
            "a ping inside",
            PROTOCOL,
            &[half.clone(), frame(PING, 0, 0, &[0; 8])],
        ),
        fatal(
            "another one's rest",
            PROTOCOL,
            &[half, more(END_HEADERS, 3, &[])],
        ),
        fatal(
            "what cannot be unpacked",
            COMPRESSION,
            &[head(WHOLE, 1, &[0xff; 20])],
        ),
        fatal("beyond the table", COMPRESSION, &[head(WHOLE, 1, &[0xc8])]),
        fatal(
            "too large a table",
            COMPRESSION,
            &[head(WHOLE, 1, &[0x3f, 0xff, 0xff, 3])],
        ),
    ]
}

fn of_a_stream() -> Vec<Case> {
    let trailers = block(&[("x", "1")]);
    let last = END_HEADERS | END_STREAM;
    let end = frame(DATA, END_STREAM, 1, b"x");
    let data = frame(DATA, 0, 1, b"y");
    let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    let itself = frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 1]);
    let (again, trailing) = (
        frame(HEADERS, END_HEADERS, 1, &trailers),
        frame(HEADERS, last, 1, &trailers),
    );
    vec![
        (
            "a stream's window beyond 2^31",
            Ends::Stream,
            vec![FLOW],
            [upload(1), window(1, MOST)].concat(),
        ),
        wrong(
            "its window by nothing",
            PROTOCOL,
            &[upload(1), window(1, 0)],
        ),
        wrong(
            "half a priority",
            SIZE,
            &[upload(1), frame(PRIORITY, 0, 1, &[0; 4])],
        ),
        wrong("it waits for itself", PROTOCOL, &[upload(1), itself]),
        wrong(
            "data behind the end",
            CLOSED,
            &[upload(1), end.clone(), data.clone()],
        ),
        wrong("a head behind the end", CLOSED, &[upload(1), end, trailing]),
        wrong("data behind a reset", CLOSED, &[upload(1), reset, data]),
        wrong("a second head", PROTOCOL, &[upload(1), again]),
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
    let cases = [of_the_connection(), of_heads(), of_a_stream()].concat();
    let count = cases.len();
    let mut others = Vec::new();
    for (case, ends, codes, bytes) in cases {
        let mut frames = begin(&waits);
        frames.try_send(&bytes).unwrap();
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

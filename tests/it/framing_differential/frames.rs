//! The same with the frames of HTTP/2.

use std::time::Duration;

use super::mutations::Chance;
use crate::support::figures::{BAD_INPUTS, rounds, tell};
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Fate, Frames, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame,
};
use crate::support::fronts::Fronts;
use crate::support::raw::text;
use crate::support::recorder::Recorder;
use crate::support::strict::Stop;

/// For a connection that waits for more; too short a wait loses a case and fails nothing.
const SILENCE: Duration = Duration::from_millis(30);

/// A conversation as a client would have it, frame by frame.
fn conversation(round: usize) -> Vec<Vec<u8>> {
    let (get, patch) = (
        format!("/v2/g{round}/manifests/1"),
        format!("/v2/p{round}/blobs/uploads/1"),
    );
    let ends = [(":scheme", "https"), (":authority", "gate")];
    let reads = [&[(":method", "GET"), (":path", &get)], &ends[..]].concat();
    let login = ("authorization", "Basic dXNlcjpzZWNyZXQ=");
    let writes = [
        &[(":method", "PATCH"), (":path", &patch)],
        &ends[..],
        &[login],
    ]
    .concat();
    vec![
        frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 16, 0]),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&reads)),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]),
        frame(PING, 0, 0, &[7; 8]),
        frame(HEADERS, END_HEADERS, 3, &block(&writes)),
        frame(DATA, 0, 3, b"hello "),
        frame(DATA, END_STREAM, 3, b"world"),
        frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
        frame(HEADERS, END_HEADERS | END_STREAM, 5, &block(&reads)),
    ]
}

/// One frame is changed, left out, doubled or put elsewhere.
fn mutate(frames: &mut Vec<Vec<u8>>, chance: &mut Chance) {
    let at = chance.below(frames.len());
    match chance.below(8) {
        0 => drop(frames.remove(at)),
        1 => frames.insert(chance.below(frames.len()), frames[at].clone()),
        2 => {
            let moved = frames.remove(at);
            frames.insert(chance.below(frames.len() + 1), moved);
        }
        // The head of a frame: its length, type, flags, stream.
        3 => {
            let byte = chance.below(9);
            frames[at][byte] ^= 1 << chance.below(8);
        }
        4 => {
            let kind = u8::try_from(chance.below(12)).unwrap();
            frames[at][3] = kind;
        }
        _ => {
            let mut payload = frames[at].split_off(9);
            chance.mutate(&mut payload);
            let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
            frames[at][..3].copy_from_slice(&length[1..]);
            frames[at].extend(payload);
        }
    }
}

#[test]
fn n32_h14_of_mutated_frames_only_strict_requests_arrive_and_the_gate_lives() {
    let count = rounds(300);
    let recorder = Recorder::start();
    let fronts = Fronts::before(&recorder.url(), "");
    for round in 0..count {
        let mut chance = Chance(u64::try_from(round).unwrap());
        let mut all = conversation(round);
        for _ in 0..=chance.below(3) {
            if !all.is_empty() {
                mutate(&mut all, &mut chance);
            }
        }
        let mut frames = Frames::begin(fronts.tls_offering(&["h2"]), &[]);
        frames.set_patience(SILENCE);
        let _ = frames.try_send(&all.concat());
        // Any end is good, and any answer; a connection that waits for the rest of a frame is left.
        while frames.next().is_ok() {}
    }
    let mut frames = Frames::begin(fronts.tls_offering(&["h2"]), &[]);
    let good = [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/v2/alive/manifests/1"),
        (":authority", "gate"),
    ];
    frames.ask(1, &good);
    assert_eq!(frames.fate(1), Fate::Answered(200));
    drop(frames);
    drop(fronts);
    let mut complete = 0;
    for brought in recorder.end() {
        let at = || text(&brought.bytes);
        assert!(
            !matches!(brought.stop, Stop::Illegal(_)),
            "{:?} in\n{}",
            brought.stop,
            at()
        );
        for request in brought.requests {
            let target = &request.target;
            let writes = !matches!(request.method.as_str(), "GET" | "HEAD");
            assert!(target.starts_with("/v2/"), "{target}");
            assert!(
                target.bytes().all(|b| b.is_ascii_graphic() && b != b'#'),
                "{target}"
            );
            assert!(
                !(writes && request.complete)
                    || request.method.bytes().all(|b| b.is_ascii_uppercase())
            );
            assert!(request.values("authorization").is_empty(), "{}", at());
            complete += usize::from(request.complete);
        }
    }
    assert!(complete > count / 4, "{complete}: most of it was nonsense");
    tell(BAD_INPUTS, count);
}

//! Messages with a few bytes changed at random, from a seed that is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::Ledger;
use super::client::converse_or_end;
use super::messages::{Message, all};
use crate::support::figures::{BAD_INPUTS, rounds, tell};
use crate::support::fronts::Fronts;
use crate::support::raw::text;
use crate::support::recorder::Recorder;

/// How many clients at once.
const CLIENTS: usize = 8;

/// For a message that may go on, and may not; too short a wait loses a case and fails nothing.
const SILENCE: Duration = Duration::from_millis(100);

/// What is put in: what separates, what hides, what other messages say.
const PIECES: [&[u8]; 44] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"#",
    b"?",
    b"%",
    b"/",
    b"\\",
    b"..",
    b"%2f",
    b"%2e%2e",
    b"\x0b",
    b"\x0c",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xc0\xae",
    b"0",
    b"5",
    b"a",
    b"F",
    b"+",
    b"-",
    b"\"",
    b"0\r\n\r\n",
    b"Host: evil\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n",
    b"HTTP/1.0",
    b"GET /v2/smuggled/manifests/1 HTTP/1.1\r\nHost: gate\r\n\r\n",
];

/// A generator (splitmix64), so that a run can be had again.
pub struct Chance(pub u64);

impl Chance {
    /// Less than `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound.max(1)).unwrap();
        usize::try_from((mixed ^ (mixed >> 31)) % bound).unwrap()
    }

    /// One to four changes.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + 1 + self.below(20)).min(bytes.len());
            match self.below(8) {
                0 if at < end => bytes[at] ^= 1 << self.below(8),
                1 if at < end => drop(bytes.drain(at..=at)),
                2 if at < end => drop(bytes.drain(at..end)),
                3 => {
                    let copied = bytes[at..end].to_vec();
                    let to = self.below(bytes.len() + 1);
                    drop(bytes.splice(to..to, copied));
                }
                4 => self.move_line(bytes),
                5 => {
                    let end = (at + self.below(4)).min(bytes.len());
                    let piece = PIECES[self.below(PIECES.len())];
                    drop(bytes.splice(at..end, piece.iter().copied()));
                }
                _ => {
                    let piece = PIECES[self.below(PIECES.len())];
                    drop(bytes.splice(at..at, piece.iter().copied()));
                }
            }
        }
    }

    /// A line goes elsewhere, or stands there too.
    fn move_line(&mut self, bytes: &mut Vec<u8>) {
        let mut lines: Vec<Vec<u8>> = bytes
            .split_inclusive(|b| *b == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        let (from, to) = (self.below(lines.len()), self.below(lines.len()));
        let Some(line) = lines.get(from).cloned() else {
            return;
        };
        if self.below(2) == 0 {
            lines.remove(from);
        }
        lines.insert(to.min(lines.len()), line);
        *bytes = lines.concat();
    }
}

/// The message of a round: its bytes and those of one more behind it.
fn mutated(round: usize, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut chance = Chance(u64::try_from(round).unwrap());
    let mut bytes = corpus[chance.below(corpus.len())].clone();
    chance.mutate(&mut bytes);
    bytes.extend(
        format!("GET /v2/m{round}/manifests/1 HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n")
            .bytes(),
    );
    bytes
}

#[test]
fn n32_of_thousands_of_mutated_messages_none_arrives_that_was_not_said() {
    let count = rounds(3000);
    // Mostly such as pass, or all that is left of a message is another refusal.
    let wanted = |(n, message): &(usize, Message)| {
        message.bytes.len() < 1000 && (message.passes.is_some() || n % 10 == 0)
    };
    let corpus = all().into_iter().enumerate().filter(wanted);
    let corpus: Vec<_> = corpus.map(|(_, message)| message.bytes).collect();
    let recorder = Recorder::start();
    let fronts = Fronts::before(&recorder.url(), "");
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let round = next.fetch_add(1, Ordering::Relaxed);
                    if round >= count {
                        return;
                    }
                    let bytes = mutated(round, &corpus);
                    let raw = if round.is_multiple_of(4) {
                        fronts.tls()
                    } else {
                        fronts.plain()
                    };
                    let said = || format!("round {round}: {:?}", text(&bytes));
                    let answers = converse_or_end(raw, &bytes, SILENCE);
                    let answers = answers.unwrap_or_else(|e| panic!("{e}\n{}", said()));
                    for answer in answers {
                        let status = answer.status;
                        let known = matches!(status, 200..=499 | 501 | 505);
                        assert!(known, "{status}\n{}", said());
                    }
                }
            });
        }
    });
    // Alive, and as good as before.
    let mut raw = fronts.tls();
    raw.send("GET /v2/alive/manifests/1 HTTP/1.1\r\nHost: gate\r\n\r\n");
    assert_eq!(raw.answer().status(), 200);
    drop(raw);
    assert!(recorder.answered() > count / 10, "most of it was nonsense");
    drop(fronts);
    let mut ledger = Ledger::default();
    ledger.note(b"GET /v2/alive/manifests/1 HTTP/1.1\r\nHost: gate\r\n\r\n");
    for round in 0..count {
        ledger.note(&mutated(round, &corpus));
    }
    ledger.covers(&recorder.end());
    tell(BAD_INPUTS, count);
}

//! What a gate and the registry behind it read must be one and the same: raw messages go in, and every byte that comes
//! out is held to a reader of our own.

mod client;
mod frames;
mod messages;
mod mutations;
mod table;

use std::collections::HashMap;

use crate::support::raw::text;
use crate::support::recorder::Brought;
use crate::support::strict::{Reading, Stop, said};

/// Header lines that are for one connection, or in which a client would speak in the gate's name.
const NEVER: [&str; 13] = [
    "authorization",
    "connection",
    "expect",
    "forwarded",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "x-http-method-override",
    "x-original-url",
    "x-remote-user",
];

/// What clients said, as a reader of RFC 9112 has it.
#[derive(Debug, Default)]
pub struct Ledger {
    whole: HashMap<(String, String, Vec<u8>), usize>,
    /// Bodies of requests that were not, or perhaps not, sent to their end.
    begun: HashMap<(String, String), Vec<Vec<u8>>>,
    /// All of it, for messages.
    all: Vec<Vec<u8>>,
}

impl Ledger {
    /// Takes down the bytes of one connection.
    pub fn note(&mut self, bytes: &[u8]) {
        self.all.push(bytes.to_vec());
        for reading in said(bytes).0.into_iter().filter(Reading::is_authorised) {
            let target = canonical(&reading.target);
            let line = (reading.method.clone(), target.clone());
            self.begun
                .entry(line)
                .or_default()
                .push(reading.body.clone());
            if reading.complete {
                let whole = (reading.method, target, reading.body);
                *self.whole.entry(whole).or_default() += 1;
            }
        }
    }

    /// Fails unless everything that arrived was said, as often as it was said and with these bytes; tells how many
    /// complete requests arrived.
    #[track_caller]
    pub fn covers(&mut self, all: &[Brought]) -> usize {
        let mut complete = 0;
        for brought in all {
            let at = || text(&brought.bytes);
            if let Stop::Illegal(why) = &brought.stop {
                panic!("{why} in\n{}", at());
            }
            parses_alike(brought);
            for request in &brought.requests {
                for name in NEVER {
                    assert!(request.values(name).is_empty(), "{name} in\n{}", at());
                }
                let line = (request.method.clone(), request.target.clone());
                if request.complete {
                    complete += 1;
                    let whole = (line.0, line.1, request.body.clone());
                    let left = self.whole.get_mut(&whole);
                    match left {
                        Some(left) if *left > 0 => *left -= 1,
                        _ => panic!("{whole:?} came, of {:#?}", self.naming(&whole.1)),
                    }
                } else {
                    let begun = self.begun.get(&line).map_or(&[][..], Vec::as_slice);
                    let is_a_beginning = begun.iter().any(|body| body.starts_with(&request.body));
                    assert!(is_a_beginning, "nobody began {line:?}: {}", at());
                }
            }
        }
        complete
    }

    /// What was said with this target in it, and how a reader of ours ended.
    fn naming(&self, target: &str) -> Vec<(String, Stop)> {
        let repository = target.split('/').nth(2).unwrap_or(target);
        let of = self.all.iter().map(|bytes| (text(bytes), said(bytes).1));
        of.filter(|(all, _)| all.contains(repository)).collect()
    }
}

/// The two spellings that the gate makes one.
fn canonical(target: &str) -> String {
    let target = target.strip_suffix('?').unwrap_or(target);
    match target.strip_prefix("/v2") {
        Some("") => "/v2/".to_owned(),
        Some(query) if query.starts_with('?') => format!("/v2/{query}"),
        _ => target.to_owned(),
    }
}

/// A second reader, which most servers are like: it sees the same heads.
#[track_caller]
fn parses_alike(brought: &Brought) {
    let Some(first) = brought.requests.first() else {
        return;
    };
    let mut lines = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut lines);
    let parsed = request.parse(&brought.bytes);
    assert!(
        parsed.is_ok_and(|p| p.is_complete()),
        "{}",
        text(&brought.bytes)
    );
    assert_eq!(request.version, Some(1));
    assert_eq!(request.method, Some(first.method.as_str()));
    assert_eq!(request.path, Some(first.target.as_str()));
    let mut names = request.headers.iter().map(|line| (line.name, line.value));
    for (name, value) in &first.lines {
        let (other, same) = names.next().unwrap();
        assert!(other.eq_ignore_ascii_case(name) && same == value);
    }
    assert_eq!(names.next(), None);
}

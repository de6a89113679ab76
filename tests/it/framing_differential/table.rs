//! Every message once, with a second one right behind it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::Ledger;
use super::client::{Answered, converse};
use super::messages::{Message, all};
use crate::support::figures::{BAD_INPUTS, tell};
use crate::support::fronts::Fronts;
use crate::support::raw::{lines, text};
use crate::support::recorder::Recorder;
use crate::support::tree::below;

/// How many clients at once.
const CLIENTS: usize = 8;

/// Statuses that say whose fault it is: never the registry's.
fn is_a_refusal(status: u16) -> bool {
    matches!(status, 400..=499 | 501 | 505)
}

/// The request behind a message.
fn marker(n: usize) -> String {
    format!("GET /v2/m{n}/manifests/1 HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n")
}

/// Says each message over a connection of its own, half of them encrypted, some of them in pieces.
#[track_caller]
fn say_all(fronts: &Fronts, messages: &[Message]) -> Vec<Vec<Answered>> {
    let next = AtomicUsize::new(0);
    let mut answers: Vec<(usize, Vec<Answered>)> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut answers = Vec::new();
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        let Some(message) = messages.get(n) else {
                            return answers;
                        };
                        let raw = if n.is_multiple_of(2) {
                            fronts.plain()
                        } else {
                            fronts.tls()
                        };
                        let mut bytes = message.bytes.clone();
                        bytes.extend(marker(n).bytes());
                        let cut = n * 31 % bytes.len();
                        let pieces: Vec<&[u8]> = match n % 3 {
                            0 => vec![&bytes],
                            1 => vec![&bytes[..cut], &bytes[cut..]],
                            _ if bytes.len() < 400 => bytes.chunks(1).collect(),
                            _ => bytes.chunks(1000).collect(),
                        };
                        let answered = converse(raw, &pieces);
                        let answered = answered.unwrap_or_else(|e| panic!("{e}: {}", message.name));
                        answers.push((n, answered));
                    }
                })
            })
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    answers.sort_by_key(|(n, _)| *n);
    answers.into_iter().map(|(_, answered)| answered).collect()
}

/// A message that passes got its own answer and the one behind it its own; any other got one refusal, and perhaps the one
/// behind it its own.
#[track_caller]
fn check(message: &Message, n: usize, answers: &[Answered]) {
    let name = &message.name;
    let told = |answer: &Answered| lines(&answer.head, "x-answers").join("|");
    let own = format!("GET /v2/m{n}/manifests/1");
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    let [first, rest @ ..] = answers else {
        panic!("not a word about {name}");
    };
    match &message.passes {
        Some((line, _)) => {
            assert_eq!(
                (first.status, &told(first)),
                (200, line),
                "{name}: {}",
                first.head
            );
        }
        None => assert!(
            is_a_refusal(first.status),
            "{statuses:?} for {name}: {}",
            first.head
        ),
    }
    assert!(rest.len() <= 1, "{statuses:?} for {name}");
    for second in rest {
        assert_eq!((second.status, told(second)), (200, own.clone()), "{name}");
    }
}

#[test]
fn h1_h2_h3_h4_h5_h8_h13_h15_n1_n2_n3_n4_n5_n6_n7_n8_n9_n11_n12_n15_n16_n18_n19_what_arrives_is_nothing_or_the_one_request_that_was_judged()
 {
    let messages = all();
    assert!(messages.len() > 900, "{}", messages.len());
    let recorder = Recorder::start();
    let fronts = Fronts::before(&recorder.url(), "");
    let answers = say_all(&fronts, &messages);
    drop(fronts);
    let mut ledger = Ledger::default();
    let mut passed = 0;
    for (n, message) in messages.iter().enumerate() {
        check(message, n, &answers[n]);
        let mut bytes = message.bytes.clone();
        bytes.extend(marker(n).bytes());
        ledger.note(&bytes);
        passed += usize::from(message.passes.is_some());
    }
    let brought = recorder.end();
    let arrived: Vec<_> = brought
        .iter()
        .flat_map(|b| &b.requests)
        .filter(|r| r.complete)
        .collect();
    for message in &messages {
        let Some((line, body)) = &message.passes else {
            continue;
        };
        let all = arrived
            .iter()
            .filter(|r| format!("{} {}", r.method, r.target) == *line);
        let bodies: Vec<_> = all.map(|request| text(&request.body)).collect();
        assert_eq!(bodies, [text(body)], "{}", message.name);
    }
    let complete = ledger.covers(&brought);
    assert!(complete >= passed && passed > 250, "{complete} of {passed}");
    for request in arrived {
        assert!(!request.target.contains("smuggled"), "{request:?}");
        // What Connection names, and what stands in trailers.
        assert!(request.values("x-evil").is_empty(), "{request:?}");
    }
    tell(BAD_INPUTS, messages.len() - passed);
}

#[test]
fn h1_h2_h3_h4_h5_h15_n1_n2_n3_n4_n6_n7_n8_n9_n11_n12_n19_the_embedded_registry_refuses_the_same_messages_and_stores_nothing()
 {
    let refused: Vec<Message> = all().into_iter().filter(|m| m.passes.is_none()).collect();
    let recorder = Recorder::start();
    let before = say_all(&Fronts::before(&recorder.url(), ""), &refused);
    drop(recorder.end());
    let fronts = Fronts::embedded();
    let folder = fronts.gate.dir().join("dockgate-data/registry");
    let stored = below(&folder);
    let embedded = say_all(&fronts, &refused);
    assert_eq!(below(&folder), stored, "something was stored");
    for (n, message) in refused.iter().enumerate() {
        let status = |answers: &[Answered]| answers.first().map(|answer| answer.status);
        let (a, b) = (status(&before[n]), status(&embedded[n]));
        assert!(b.is_some_and(is_a_refusal), "{b:?}: {}", message.name);
        // An upload that nobody began is not there, whatever its body is like.
        let same = a == b || (b == Some(404) && matches!(a, Some(400 | 431)));
        assert!(same, "{a:?} and {b:?}: {}", message.name);
        assert!(embedded[n].len() <= before[n].len(), "{}", message.name);
    }
    tell(BAD_INPUTS, refused.len());
}

//! An upload of five gigabytes that is not wanted: the client reads why, whatever the reason, and the connection ends.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;

use base64::Engine as _;

use crate::support::backend::Backend;
use crate::support::figures::{BAD_INPUTS, tell};
use crate::support::fronts::LOGIN;
use crate::support::gate::Gate;
use crate::support::process::run;
use crate::support::raw::{End, Raw};
use crate::support::tree::below;
use crate::support::upstream::Upstream;

const FIVE_GIB: u64 = 5 << 30;
const CHUNK: &str = "PATCH /v2/a/blobs/uploads/1";
const MANIFEST: &str = "PUT /v2/a/manifests/1";

/// A gate that refuses for every reason there is; `slow` has a hash that takes long.
fn gate(backend: &str) -> Gate {
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n{backend}\n[auth]\nhtpasswd = \"htpasswd\"\n\
         [limits]\npassword_checks = 1\n[log]\naccess = false\n\
         [[rule]]\nwho = [\"user:writer\"]\nrepositories = [\"**\"]\nactions = [\"*\"]\n\
         [[rule]]\nwho = [\"user:reader\"]\nrepositories = [\"**\"]\nactions = [\"pull\"]\n"
    );
    Gate::start_with(&toml, |dir| {
        let users = "writer:{PLAIN}secret\nreader:{PLAIN}secret\n";
        fs::write(dir.join("htpasswd"), users).unwrap();
        let mut command = Command::new("htpasswd");
        command.args(["-bB", "-C", "12"]).arg(dir.join("htpasswd"));
        run(command.args(["slow", "secret"])).succeeds("a slow user is added");
    })
}

fn login(user: &str, password: &str) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {encoded}\r\n")
}

/// Sends a body as a client does that looks at the answer when all is sent, or when it is cut off: this many pieces of it.
/// Tells the status.
#[track_caller]
fn refused(to: SocketAddr, line: &str, lines: &str, pieces: usize) -> (u16, String) {
    let mut raw = Raw::tcp(to);
    raw.send(format!(
        "{line} HTTP/1.1\r\nHost: gate\r\n{lines}Content-Length: {FIVE_GIB}\r\n\r\n"
    ));
    let piece = vec![0; 64 << 10];
    for _ in 0..pieces {
        if raw.try_send(&piece).is_err() {
            break;
        }
    }
    let answer = raw.answer();
    assert!(answer.complete, "{}", answer.head);
    assert_eq!(
        answer.values("retry-after").len(),
        usize::from(answer.status() == 429)
    );
    raw.finish();
    let (more, end) = raw.read_to_end();
    assert!(more.is_empty() && end != End::Open, "{end:?}");
    (answer.status(), answer.code())
}

/// Who may not upload is not asked for the body, and who asks for something else than a go-ahead gets neither.
#[test]
fn h9_n17_n18_no_go_ahead_is_given_to_who_may_not_by_either_backend() {
    for backend in Backend::either() {
        for (lines, status) in [
            ("Expect: 100-continue\r\n".to_owned(), 401),
            (
                format!("Expect: 100-continue\r\n{}", login("user", "wrong")),
                401,
            ),
            (format!("Expect: 200-ok\r\n{LOGIN}"), 417),
            (format!("Expect: 100-continue, 200-ok\r\n{LOGIN}"), 417),
            (format!("Expect:\r\n{LOGIN}"), 417),
        ] {
            for tls in [false, true] {
                let mut raw = if tls {
                    backend.fronts.tls()
                } else {
                    backend.fronts.plain()
                };
                raw.send(format!(
                    "{CHUNK} HTTP/1.1\r\nHost: gate\r\n{lines}Content-Length: {FIVE_GIB}\r\n\r\n"
                ));
                let answer = raw.answer();
                assert_eq!(
                    answer.status(),
                    status,
                    "{}: {lines}{}",
                    backend.name,
                    answer.head
                );
                assert!(answer.complete);
            }
        }
        backend.is_untouched();
    }
    tell(BAD_INPUTS, 20);
}

/// Everything that is refused, with this backend.
#[track_caller]
fn refused_by(backend: &str) {
    let gate = gate(backend);
    let store = gate.dir().join("dockgate-data/registry");
    let (to, before) = (gate.address(), below(&store));
    for (line, lines, status, code) in [
        (CHUNK, String::new(), 401, "UNAUTHORIZED"),
        (CHUNK, login("writer", "wrong"), 401, "UNAUTHORIZED"),
        (CHUNK, login("reader", "secret"), 403, "DENIED"),
        (MANIFEST, login("writer", "secret"), 413, "MANIFEST_INVALID"),
    ] {
        let got = refused(to, line, &lines, 256);
        assert_eq!(got, (status, code.to_owned()), "{lines}");
    }
    // One hash at a time and sixteen that wait, of one address half: the rest is told to come back.
    let statuses: Vec<u16> = thread::scope(|scope| {
        let guessers: Vec<_> = (0..32)
            .map(|n| {
                scope.spawn(move || refused(to, CHUNK, &login(&format!("stranger-{n}"), "x"), 16).0)
            })
            .collect();
        guessers
            .into_iter()
            .map(|guesser| guesser.join().unwrap())
            .collect()
    });
    assert!(
        statuses.iter().all(|status| matches!(status, 401 | 429)),
        "{statuses:?}"
    );
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(below(&store), before, "something was stored");
}

#[test]
fn h10_whoever_sends_five_gib_that_are_refused_reads_why_from_either_backend() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let url = format!("[upstream]\nurl = \"{}\"", upstream.url());
    thread::scope(|scope| {
        scope.spawn(|| refused_by(&url));
        scope.spawn(|| refused_by("[registry]"));
    });
    assert!(upstream.bytes().is_empty());
    tell(BAD_INPUTS, 2 * 36);
}

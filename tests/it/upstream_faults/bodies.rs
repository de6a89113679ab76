//! A body that breaks off behind the gate breaks off before it.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use super::request;
use crate::support::fronts::Fronts;
use crate::support::raw::{End, Raw, text};
use crate::support::upstream::{Next, Upstream};

/// How the registry frames a body that it does not finish, and how it ends.
const UNFINISHED: [(&str, &str); 5] = [
    (
        "a length",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
    ),
    (
        "chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ),
    (
        "half a chunk",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhello",
    ),
    (
        "a broken chunk",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    ),
    (
        "no last line",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ),
];

/// No wait is longer.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    Fin,
    Reset,
    Silence,
}

/// A registry that answers like this and then dies. A reset takes what is still on its way along, so that death waits until
/// [`Mourner::read`] has got the first bytes of the body.
#[track_caller]
fn broken(answer: &'static str, death: Death) -> (Upstream, Fronts, Mourner) {
    let (seen, wait) = mpsc::sync_channel(1);
    let wait = Mutex::new(wait);
    let upstream = Upstream::start(move |request| {
        let _ = request.read_body();
        request.say(answer);
        match death {
            Death::Fin => {}
            Death::Reset => {
                let wait = wait.lock().unwrap();
                wait.recv_timeout(PATIENCE).unwrap();
                request.reset();
            }
            Death::Silence => request.wait_for_end(),
        }
        Next::Close
    });
    let fronts = Fronts::before(&upstream.url(), "read_timeout = \"200ms\"");
    let seen = (death == Death::Reset).then_some(seen);
    (upstream, fronts, Mourner(seen))
}

/// Reads an answer that does not come to its end, and tells the registry when it may die.
struct Mourner(Option<mpsc::SyncSender<()>>);

impl Mourner {
    fn read(&self, raw: &mut Raw) -> (Vec<u8>, End) {
        let (mut all, ended) = match raw.read_until(b"hello") {
            Ok(all) => (all, None),
            Err((all, end)) => (all, Some(end)),
        };
        if let Some(seen) = &self.0 {
            seen.send(()).unwrap();
        }
        let end = ended.unwrap_or_else(|| {
            let (rest, end) = raw.read_to_end();
            all.extend(rest);
            end
        });
        (all, end)
    }
}

#[test]
fn u3_n33_a_body_cut_short_behind_the_gate_never_looks_complete_before_it() {
    for (case, answer) in UNFINISHED {
        for death in [Death::Fin, Death::Reset, Death::Silence] {
            let (_upstream, fronts, mourner) = broken(answer, death);
            for version in ["HTTP/1.1", "HTTP/1.0"] {
                for tls in [false, true] {
                    let at = format!("{case}, {death:?}, {version}, TLS {tls}");
                    let mut raw = if tls { fronts.tls() } else { fronts.plain() };
                    raw.send(request("GET", version));
                    let (all, end) = mourner.read(&mut raw);
                    assert_eq!(end, End::Broken, "{at}: {}", text(&all));
                    let head = text(&all);
                    if version == "HTTP/1.1" && !head.contains("content-length") {
                        assert!(!head.contains("\r\n0\r\n"), "{at}: {head}");
                    }
                }
            }
        }
    }
}

/// The end of the connection is all the framing there is; a reset and silence are no such end.
#[test]
fn u3_n33_a_body_that_ends_with_its_connection_must_end_properly() {
    for death in [Death::Reset, Death::Silence] {
        let (_upstream, fronts, mourner) = broken("HTTP/1.1 200 OK\r\n\r\nhello", death);
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            for tls in [false, true] {
                let mut raw = if tls { fronts.tls() } else { fronts.plain() };
                raw.send(request("GET", version));
                let (all, end) = mourner.read(&mut raw);
                assert_eq!(end, End::Broken, "{death:?} {version}: {}", text(&all));
                assert!(!text(&all).contains("\r\n0\r\n"));
            }
        }
    }
    let (_upstream, fronts, _) = broken("HTTP/1.1 200 OK\r\n\r\nhello", Death::Fin);
    let mut raw = fronts.tls();
    raw.send(request("GET", "HTTP/1.1"));
    let answer = raw.answer();
    assert_eq!(
        (answer.body.as_slice(), answer.complete),
        (&b"hello"[..], true)
    );
}

#[test]
fn another_request_is_not_touched_by_it() {
    let upstream = Upstream::start(|request| {
        let _ = request.read_body();
        if request.head.starts_with("GET /v2/a/blobs/") {
            request.say(UNFINISHED[0].1);
            return Next::Close;
        }
        request.say(super::OK);
        Next::Keep
    });
    let fronts = Fronts::before(&upstream.url(), "");
    let mut good = fronts.tls();
    for _ in 0..3 {
        let mut bad = fronts.tls();
        bad.send(request("GET", "HTTP/1.1"));
        assert_eq!(bad.read_to_end().1, End::Broken);
        good.send("GET /v2/a/manifests/1 HTTP/1.1\r\nHost: gate\r\n\r\n");
        assert_eq!(good.answer().status(), 200);
    }
}

//! The registry dies, or says nothing more, at each step of a request and of its answer.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{DIGEST, LOGIN};
use crate::support::figures::{FAULTS, tell};
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM, block,
};
use crate::support::fronts::Fronts;
use crate::support::raw::{End, find};

/// No wait is longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the registry is when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    BeforeAccept,
    AfterAccept,
    InTheHead,
    InTheBody,
    BeforeTheAnswer,
    /// Behind these bytes of its answer.
    Behind(&'static str),
}

const PHASES: [Phase; 13] = [
    Phase::BeforeAccept,
    Phase::AfterAccept,
    Phase::InTheHead,
    Phase::InTheBody,
    Phase::BeforeTheAnswer,
    Phase::Behind("HTTP/1.1 2"),
    Phase::Behind("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n"),
    Phase::Behind("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
    Phase::Behind("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
    Phase::Behind("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    Phase::Behind("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello"),
    Phase::Behind("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    Phase::Behind("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Closed,
    Reset,
    Stalled,
}

impl Phase {
    /// The client is told a status of ours; else it sees an answer that breaks off.
    fn has_no_answer(self) -> bool {
        !matches!(self, Self::Behind(said) if said.contains("\r\n\r\n"))
    }
}

/// A registry to which this happens in each connection.
fn registry(phase: Phase, fault: &Arc<Mutex<Fault>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    if phase == Phase::BeforeAccept {
        return url;
    }
    let fault = Arc::clone(fault);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let fault = *fault.lock().unwrap();
            thread::spawn(move || meet(stream, phase, fault));
        }
    });
    url
}

fn meet(mut stream: TcpStream, phase: Phase, fault: Fault) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut all = Vec::new();
    let mut read_until = |enough: &dyn Fn(&[u8]) -> bool| {
        let mut byte = [0];
        while !enough(&all) && stream.read(&mut byte).is_ok_and(|read| read == 1) {
            all.push(byte[0]);
        }
    };
    match phase {
        Phase::BeforeAccept | Phase::AfterAccept => {}
        Phase::InTheHead => read_until(&|all| all.len() >= 10),
        Phase::InTheBody => read_until(&|all| find(all, b"\r\n\r\n").is_some()),
        Phase::BeforeTheAnswer | Phase::Behind(_) => read_until(&|all| {
            let body = if all.starts_with(b"GET") {
                &b"\r\n\r\n"[..]
            } else {
                b"hello"
            };
            find(all, b"\r\n\r\n").is_some() && all.ends_with(body)
        }),
    }
    if let Phase::Behind(said) = phase {
        let _ = stream.write_all(said.as_bytes());
    }
    match fault {
        Fault::Closed => {}
        Fault::Reset => {
            let socket = socket2::SockRef::from(&stream);
            socket.set_linger(Some(Duration::ZERO)).unwrap();
        }
        // Until the gate has had enough.
        Fault::Stalled => while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {},
    }
}

/// No head of an answer came.
const NONE: u16 = u16::MAX;

/// What a client saw: a status, 0 for one of ours over HTTP/2, and whether the answer came to its end.
type Seen = (u16, bool);

fn over_http_1(fronts: &Fronts, method: &str, phase: Phase) -> Seen {
    let mut raw = fronts.tls();
    let unfinished = phase == Phase::InTheBody;
    raw.send(match method {
        "GET" => format!("GET /v2/a/blobs/{DIGEST} HTTP/1.1\r\nHost: gate\r\n\r\n"),
        _ => format!(
            "PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: gate\r\n{LOGIN}Content-Length: {}\r\n\r\nhello",
            if unfinished { 10 } else { 5 }
        ),
    });
    // A reset may take the head of an answer along; then nothing looks complete either.
    match raw.read_until(b"\r\n\r\n") {
        Ok(head) => {
            raw.unread(head);
            let answer = raw.answer_to(method);
            (answer.status(), answer.complete)
        }
        Err((_, end)) => {
            assert_eq!(end, End::Broken);
            (NONE, false)
        }
    }
}

fn over_http_2(fronts: &Fronts, method: &str, phase: Phase) -> Seen {
    let mut frames = Frames::begin(fronts.tls_offering(&["h2"]), &[]);
    let blob = format!("/v2/a/blobs/{DIGEST}");
    let path = if method == "GET" {
        &blob
    } else {
        "/v2/a/blobs/uploads/1"
    };
    let fields = [
        (":method", method),
        (":scheme", "https"),
        (":path", path),
        (":authority", "gate"),
        ("authorization", "Basic dXNlcjpzZWNyZXQ="),
    ];
    if method == "GET" {
        frames.ask(1, &fields);
    } else {
        frames.send(HEADERS, END_HEADERS, 1, &block(&fields));
        let last = if phase == Phase::InTheBody {
            0
        } else {
            END_STREAM
        };
        frames.send(DATA, last, 1, b"hello");
    }
    let mut status = NONE;
    let end = loop {
        let frame = frames.next().unwrap();
        assert_ne!(frame.kind, GOAWAY, "only the stream is at fault");
        if frame.stream != 1 {
            continue;
        }
        if frame.kind == HEADERS {
            status = if frame.payload.first() == Some(&0x88) {
                200
            } else {
                0
            };
        }
        if frame.kind == RST_STREAM {
            break false;
        }
        if frame.flags & END_STREAM != 0 && matches!(frame.kind, HEADERS | DATA) {
            break true;
        }
    };
    // The connection still serves.
    let mut ping = fields.to_vec();
    ping[0].1 = "GET";
    ping[2].1 = "/_ping";
    frames.ask(3, &ping);
    assert_eq!(frames.fate(3), crate::support::frames::Fate::Answered(200));
    (status, end)
}

#[test]
fn u1_u2_u3_n33_n35_a_registry_that_dies_at_any_step_is_an_error_or_a_reset_and_never_a_complete_answer()
 {
    let faults = [Fault::Closed, Fault::Reset, Fault::Stalled];
    let mut met = 0;
    thread::scope(|scope| {
        let phases: Vec<_> = PHASES
            .iter()
            .map(|phase| {
                scope.spawn(move || {
                    let now = Arc::new(Mutex::new(Fault::Closed));
                    let url = registry(*phase, &now);
                    let fronts = Fronts::before(&url, "read_timeout = \"300ms\"");
                    let mut met = 0;
                    for fault in faults {
                        *now.lock().unwrap() = fault;
                        for method in ["GET", "PATCH"] {
                            let at = format!("{phase:?}, {fault:?}, {method}");
                            let old = over_http_1(&fronts, method, *phase);
                            let new = over_http_2(&fronts, method, *phase);
                            if phase.has_no_answer() {
                                assert!(matches!(old, (502 | 504, true)), "{at}: {old:?}");
                                assert_eq!(new, (0, true), "{at}");
                            } else if fault == Fault::Reset {
                                // A reset overtakes what was sent before it, and so may be met before the head.
                                assert!(!(old.0 == 200 && old.1), "{at}: {old:?}");
                                assert!(!(new.0 == 200 && new.1), "{at}: {new:?}");
                            } else {
                                assert!(matches!(old, (200 | NONE, false)), "{at}: {old:?}");
                                assert!(matches!(new, (200 | NONE, false)), "{at}: {new:?}");
                            }
                            met += 2;
                        }
                    }
                    met
                })
            })
            .collect();
        met = phases.into_iter().map(|phase| phase.join().unwrap()).sum();
    });
    assert_eq!(met, PHASES.len() * faults.len() * 4);
    tell(FAULTS, met);
}

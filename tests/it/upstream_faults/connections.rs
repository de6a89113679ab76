//! The registry cannot be reached, does not answer, closes, or is too busy.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{OK, ask, ask_again, is_ours, upload};
use crate::support::certs::Authority;
use crate::support::fronts::Fronts;
use crate::support::registry::{Options, Registry};
use crate::support::upstream::{Next, Upstream};
use crate::support::{peers, raw};

#[test]
fn u1_n35_an_upstream_that_is_gone_is_a_502_until_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let fronts = Fronts::before(&format!("http://{address}"), "");
    let mut raw = fronts.tls();
    for method in ["GET", "DELETE"] {
        is_ours(&ask_again(&mut raw, method), 502, "refused");
    }
    raw.send(upload("PATCH", "hello"));
    is_ours(&raw.answer(), 502, "refused");
    let _back = Upstream::on(TcpListener::bind(address).unwrap(), |request| {
        request.read_body().unwrap();
        request.say(OK);
        Next::Keep
    });
    assert_eq!(
        ask_again(&mut raw, "GET").status(),
        200,
        "at the next request"
    );
}

#[test]
fn u1_a_name_that_does_not_exist_is_a_502_and_looked_up_again() {
    let fronts = Fronts::before("http://does-not-exist.invalid:5000", "");
    let mut raw = fronts.tls();
    for _ in 0..2 {
        is_ours(&ask_again(&mut raw, "GET"), 502, "no such name");
    }
}

#[test]
fn u2_an_upstream_that_never_answers_is_a_504_after_the_read_timeout() {
    let upstream = Upstream::start(|request| {
        request.read_body().unwrap();
        request.wait_for_end();
        Next::Close
    });
    let fronts = Fronts::before(&upstream.url(), "read_timeout = \"200ms\"");
    let start = Instant::now();
    let mut raw = fronts.tls();
    is_ours(&ask_again(&mut raw, "GET"), 504, "silent");
    assert_eq!(ask_again(&mut raw, "HEAD").status(), 504);
    raw.send(upload("PUT", "hello"));
    is_ours(&raw.answer(), 504, "silent after an upload");
    assert!(start.elapsed() < Duration::from_secs(5));
    let told = upstream.wait_for("its request is ended", |t| t.iter().all(|t| t.broken));
    assert_eq!(told.len(), 3, "and asked once each");
}

#[test]
fn u1_n35_a_full_accept_queue_is_a_504_after_the_connect_timeout() {
    // Of a documentation network (RFC 5737), so that nobody answers; where the machine has no route it is a 502.
    let fronts = Fronts::before("http://192.0.2.1:5000", "connect_timeout = \"200ms\"");
    let start = Instant::now();
    let answer = ask(&fronts, "GET");
    assert!(matches!(answer.status(), 502 | 504), "{}", answer.head);
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// A connection is closed as its second request arrives; no other one meets that.
fn closing() -> Upstream {
    let closed = AtomicBool::new(false);
    Upstream::start(move |request| {
        if request.on_connection == 1 && !closed.swap(true, Ordering::Relaxed) {
            return Next::Close;
        }
        if request.read_body().is_err() {
            return Next::Close;
        }
        let body = if request.head.starts_with("HEAD") {
            ""
        } else {
            "ok"
        };
        request.say(OK.trim_end_matches("ok"));
        request.say(body);
        Next::Keep
    })
}

#[test]
fn u6_a_get_that_meets_a_closing_connection_is_sent_once_more() {
    for method in ["GET", "HEAD"] {
        let upstream = closing();
        let fronts = Fronts::before(&upstream.url(), "");
        let mut raw = fronts.tls();
        // It takes a moment until a connection is back in the pool, and some request has to meet it there.
        for _ in 0..10 {
            assert_eq!(ask_again(&mut raw, method).status(), 200);
        }
        assert_eq!(upstream.told().len(), 11);
    }
}

#[test]
fn u6_a_get_is_repeated_once_and_not_for_ever() {
    let upstream = Upstream::start(|_| Next::Close);
    let fronts = Fronts::before(&upstream.url(), "");
    is_ours(&ask(&fronts, "GET"), 502, "always closed");
    assert_eq!(upstream.told().len(), 2);
}

#[test]
fn u6_what_writes_is_never_sent_twice() {
    for method in ["PUT", "PATCH", "POST", "DELETE"] {
        let upstream = closing();
        let fronts = Fronts::before(&upstream.url(), "");
        let mut raw = fronts.tls();
        let mut failed = 0;
        for _ in 0..10 {
            match method {
                "DELETE" => raw.send(super::request("DELETE", "HTTP/1.1")),
                "POST" => raw.send(upload("POST", "").replace("uploads/1", "uploads/")),
                _ => raw.send(upload(method, "hello")),
            }
            let answer = raw.answer();
            if answer.status() != 200 {
                is_ours(&answer, 502, method);
                failed += 1;
            }
        }
        assert_eq!((failed, upstream.told().len()), (1, 10), "{method}");
        assert_eq!(ask_again(&mut raw, "GET").status(), 200, "{method}");
    }
}

#[test]
fn u8_beyond_the_bound_on_connections_the_queue_is_bounded_too() {
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let upstream = Upstream::start(move |request| {
        request.read_body().unwrap();
        let _ = gate.lock().unwrap().recv_timeout(Duration::from_secs(20));
        request.say(OK);
        Next::Keep
    });
    let fronts = Fronts::before(&upstream.url(), "max_connections = 1");
    let mut first = fronts.tls();
    first.send(super::request("GET", "HTTP/1.1"));
    upstream.wait_for("the one connection is taken", |t| t.len() == 1);
    // One waits. Whether it or the next one does is the scheduler's choice, so both are sent before either is judged.
    let mut others = [fronts.tls(), fronts.tls(), fronts.tls()];
    for other in &mut others {
        other.send(super::request("GET", "HTTP/1.1"));
    }
    let patience = Duration::from_millis(500);
    let mut refused = 0;
    let mut waiting = Vec::new();
    for mut other in others {
        other.set_patience(patience);
        match other.read_until(b"\r\n\r\n") {
            Ok(head) => {
                let head = raw::text(&head);
                assert!(head.starts_with("HTTP/1.1 503"), "{head}");
                assert_eq!(raw::lines(&head, "retry-after").len(), 1, "{head}");
                refused += 1;
            }
            Err(_) => waiting.push(other),
        }
    }
    assert_eq!((refused, waiting.len()), (2, 1));
    open.send(()).unwrap();
    open.send(()).unwrap();
    assert_eq!(first.answer().status(), 200);
    waiting[0].set_patience(Duration::from_secs(20));
    assert_eq!(waiting[0].answer().status(), 200);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_unix_socket_is_an_upstream_too() {
    let dir = tempfile::TempDir::with_prefix("dockgate-unix-").unwrap();
    let path = dir.path().join("registry.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let _ = std::io::Read::read(&mut stream, &mut head).unwrap();
        assert!(
            raw::find(&head, b"Host: gate\r\n").is_some()
                || raw::find(&head, b"host: gate\r\n").is_some()
        );
        stream.write_all(OK.as_bytes()).unwrap();
    });
    let fronts = Fronts::before(&format!("unix:{}", path.display()), "");
    let answer = ask(&fronts, "GET");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.body, b"ok");
    // It is gone now.
    is_ours(&ask(&fronts, "GET"), 502, "nobody accepts");
}

#[test]
fn u1_a_registry_with_tls_is_checked_against_the_ca_and_shown_our_certificate() {
    if !peers::need(&["docker-registry"]) {
        return;
    }
    let (inner, other) = (Authority::new("inner"), Authority::new("other"));
    let server = inner.server_for(&["localhost"]);
    let registry = Registry::start_with(&Options {
        tls: Some(&server),
        client_ca: Some(inner.ca()),
        ..Options::default()
    });
    let url = registry.url().replace("127.0.0.1", "localhost");
    let client = inner.client("the gate");
    let with = |ca: &Authority, more: &str| format!("ca = \"{}\"\n{more}", ca.ca().display());
    let shown = format!(
        "client_certificate = \"{}\"\nclient_key = \"{}\"",
        client.certificate.display(),
        client.key.display()
    );
    let version = |fronts: &Fronts| {
        let mut raw = fronts.tls();
        raw.send(format!(
            "GET /v2/ HTTP/1.1\r\nHost: gate\r\n{}\r\n",
            crate::support::fronts::LOGIN
        ));
        raw.answer()
    };
    let good = Fronts::before(&url, &with(&inner, &shown));
    assert_eq!(version(&good).status(), 200);
    let stranger = Fronts::before(&url, &with(&other, &shown));
    is_ours(&version(&stranger), 502, "signed by another CA");
    let silent = Fronts::before(&url, &with(&inner, ""));
    is_ours(&version(&silent), 502, "no certificate shown");
    let wrong_name = registry.url();
    assert!(wrong_name.contains("127.0.0.1"));
    let misnamed = Fronts::before(wrong_name, &with(&inner, &shown));
    is_ours(&version(&misnamed), 502, "another name in the certificate");
}

//! Heads that are none, and answers that come at the wrong time.

use std::time::Duration;

use tokio::time::Instant;

use super::{OK, ask, ask_again, is_ours, upload};
use crate::support::fronts::{Fronts, LOGIN};
use crate::support::raw::{End, text};
use crate::support::upstream::{Next, Upstream};

/// Heads that are none, or that two readers could read in two ways.
fn unusable() -> Vec<(&'static str, String)> {
    let large = format!(
        "HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let many = format!(
        "HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n",
        "X: y\r\n".repeat(100_000)
    );
    let status = |line: &str| format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n");
    let with = |lines: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\nhello");
    vec![
        ("garbage", "garbage\r\n\r\n".to_owned()),
        ("another protocol", "SSH-2.0-OpenSSH_9.2\r\n".to_owned()),
        ("HTTP/2", "\0\0\0\x04\0\0\0\0\0".to_owned()),
        ("no status", "HTTP/1.1\r\n\r\n".to_owned()),
        ("status 99", status("99 x")),
        ("status 000", status("000 x")),
        ("status 600", status("600 x")),
        ("status 999", status("999 x")),
        ("status 2000", status("2000 x")),
        ("status abc", status("abc x")),
        (
            "an unasked 101",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
                .to_owned(),
        ),
        (
            "two lengths",
            with("Content-Length: 5\r\nContent-Length: 6\r\n"),
        ),
        (
            "two equal lengths",
            with("Content-Length: 5\r\nContent-Length: 5\r\n"),
        ),
        ("a list of lengths", with("Content-Length: 5, 5\r\n")),
        ("a signed length", with("Content-Length: +5\r\n")),
        ("a negative length", with("Content-Length: -5\r\n")),
        ("a hexadecimal length", with("Content-Length: 0x5\r\n")),
        (
            "a length of 20 digits",
            with("Content-Length: 99999999999999999999\r\n"),
        ),
        (
            "a length and chunks",
            with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        ),
        (
            "chunks and a length",
            with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        ),
        ("an unknown coding", with("Transfer-Encoding: gzip\r\n")),
        (
            "chunks twice",
            with("Transfer-Encoding: chunked, chunked\r\n"),
        ),
        (
            "chunks not last",
            with("Transfer-Encoding: chunked, gzip\r\n"),
        ),
        ("NUL in a value", with("X: a\0b\r\nContent-Length: 5\r\n")),
        (
            "a line without colon",
            with("nonsense\r\nContent-Length: 5\r\n"),
        ),
        ("a head of 1 MiB", large),
        ("100,000 lines", many),
    ]
}

#[test]
fn u4_n16_n34_an_answer_that_is_none_is_a_502_and_its_connection_not_used_again() {
    for (case, answer) in unusable() {
        let upstream = Upstream::start(move |request| {
            let _ = request.read_body();
            if request.number == 0 {
                request.say(&answer);
            } else {
                request.say(OK);
            }
            Next::Keep
        });
        let fronts = Fronts::before(&upstream.url(), "read_timeout = \"5s\"");
        let mut raw = fronts.tls();
        raw.send(upload("PATCH", "hello"));
        is_ours(&raw.answer(), 502, case);
        let again = ask_again(&mut raw, "GET");
        assert_eq!(
            (again.status(), text(&again.body)),
            (200, "ok".to_owned()),
            "{case}"
        );
        assert_eq!(upstream.connections(), 2, "{case}");
    }
}

#[test]
fn u4_n34_a_flood_of_interim_answers_ends() {
    let upstream = Upstream::start(|request| {
        let _ = request.read_body();
        let flood = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".repeat(1000);
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            request.say(&flood);
        }
        Next::Close
    });
    let fronts = Fronts::before(&upstream.url(), "read_timeout = \"1s\"");
    is_ours(&ask(&fronts, "DELETE"), 504, "1xx for ever");
}

#[test]
fn an_interim_answer_is_not_the_answer() {
    let upstream = Upstream::answering(format!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{OK}"
    ));
    let fronts = Fronts::before(&upstream.url(), "");
    let answer = ask(&fronts, "GET");
    assert_eq!((answer.status(), answer.body.as_slice()), (200, &b"ok"[..]));
}

#[test]
fn u4_bytes_behind_an_answer_are_never_the_next_one() {
    for (method, first) in [
        (
            "GET",
            format!("{OK}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".to_owned(),
        ),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil".to_owned(),
        ),
        (
            "GET",
            "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil".to_owned(),
        ),
    ] {
        let upstream = Upstream::start(move |request| {
            let _ = request.read_body();
            request.say(if request.number == 0 { &first } else { OK });
            Next::Keep
        });
        let fronts = Fronts::before(&upstream.url(), "");
        let mut raw = fronts.tls();
        let answer = ask_again(&mut raw, method);
        assert!(!text(&answer.body).contains("evil"));
        let again = ask_again(&mut raw, "GET");
        assert_eq!(text(&again.body), "ok", "{method}");
    }
}

#[test]
fn u4_the_416_of_registry_2_8_2_hangs_nobody() {
    // It announces the length of the whole blob and sends a sentence; the connection stays open.
    let upstream = Upstream::start(|request| {
        let _ = request.read_body();
        if request.number == 0 {
            request.say(
                "HTTP/1.1 416 Requested Range Not Satisfiable\r\nContent-Length: 1000000\r\n\
                 Content-Range: bytes */1000000\r\nContent-Type: text/plain\r\n\r\ninvalid range\n",
            );
            return Next::Close;
        }
        request.say(OK);
        Next::Keep
    });
    let fronts = Fronts::before(&upstream.url(), "");
    let mut raw = fronts.tls();
    let answer = ask_again(&mut raw, "GET");
    assert_eq!(answer.status(), 416);
    assert!(answer.complete, "{}", answer.head);
    assert_eq!(text(&answer.body), "invalid range\n");
    assert_eq!(answer.value("content-range"), "bytes */1000000");
    assert_eq!(ask_again(&mut raw, "GET").status(), 200);
}

#[test]
fn u5_n37_an_answer_before_the_end_of_an_upload_is_passed_on_and_the_rest_drained() {
    let upstream = Upstream::start(|request| {
        let _ = request.read_some();
        request.say(
            "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge",
        );
        // As servers do: a socket closed over unread bytes is reset, and takes the answer with it.
        request.wait_for_end();
        Next::Close
    });
    let fronts = Fronts::before(&upstream.url(), "");
    for chunked in [false, true] {
        let length = 8 << 20;
        let mut raw = fronts.tls();
        let framing = if chunked {
            "Transfer-Encoding: chunked".to_owned()
        } else {
            format!("Content-Length: {length}")
        };
        raw.send(format!(
            "PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: gate\r\n{LOGIN}{framing}\r\n\r\n"
        ));
        if chunked {
            raw.send(format!("{length:x}\r\n"));
        }
        // A client such as containerd sends it all before it reads.
        raw.send(vec![b'x'; length]);
        if chunked {
            raw.send("\r\n0\r\n\r\n");
        }
        let answer = raw.answer();
        assert!(matches!(answer.status(), 413 | 502), "{}", answer.head);
        assert_eq!(answer.status(), 413, "{}", text(&answer.body));
        assert_eq!(text(&answer.body), "large");
    }
}

#[test]
fn h10_an_error_that_comes_while_the_client_still_sends_is_read_by_it() {
    let upstream = Upstream::answering(OK);
    let fronts = Fronts::before(&upstream.url(), "");
    for plain in [false, true] {
        let mut raw = if plain { fronts.plain() } else { fronts.tls() };
        raw.send("PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: gate\r\nContent-Length: 5368709120\r\n\r\n");
        let piece = vec![0; 64 << 10];
        // As far as the gate lets it: the answer waits in front of the client meanwhile.
        for _ in 0..256 {
            if raw.try_send(&piece).is_err() {
                break;
            }
        }
        let answer = raw.answer();
        assert_eq!((answer.status(), answer.complete), (401, true));
        raw.finish();
        let (more, end) = raw.read_to_end();
        assert!(more.is_empty() && end != End::Open, "{end:?}");
    }
    assert!(upstream.bytes().is_empty());
}

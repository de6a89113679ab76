//! Heads and bodies.

use std::fmt::Write as _;

use super::{NOTHING, check, get, upload};
use crate::support::backend::Backend;
use crate::support::figures::{BAD_INPUTS, tell};
use crate::support::fronts::Fronts;
use crate::support::house::House;
use crate::support::raw::{End, text};
use crate::support::site::{digest, login};
use crate::support::upstream::Upstream;

/// Sends each of these over both doors of either backend; wants the status, a closed connection, and silence behind the
/// gate.
#[track_caller]
fn refused_and_closed(cases: &[(&str, Vec<u8>, u16)]) {
    for backend in Backend::either() {
        for (case, request, status) in cases {
            let case = format!("{}: {case}", backend.name);
            for tls in [false, true] {
                let fronts = &backend.fronts;
                let mut raw = if tls { fronts.tls() } else { fronts.plain() };
                // What follows must never be taken for a request of its own.
                let mut bytes = request.clone();
                bytes.extend(b"GET /v2/smuggled/tags/list HTTP/1.1\r\nHost: a\r\n\r\n");
                // More than a megabyte may be refused before it is all sent.
                let _ = raw.try_send(&bytes);
                let answer = raw.answer();
                check(&case, &answer, &[*status], tls);
                assert_eq!(answer.values("connection"), ["close"], "{case}");
                raw.finish();
                let (more, end) = raw.read_to_end();
                assert_eq!((text(&more).as_str(), end), ("", End::Proper), "{case}");
            }
        }
        backend.is_untouched();
    }
    tell(BAD_INPUTS, cases.len() * 4);
}

#[test]
fn h1_n1_n2_n3_a_body_whose_end_could_be_read_in_two_ways_is_refused_by_either_backend() {
    let cases = [
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding:  chunked\r\n",
        "Transfer-Encoding:\tchunked\r\n",
        "Transfer-Encoding: chunked \r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\r\n : chunked\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: 1 1\r\n",
        "Content-Length: 1.0\r\n",
        "Content-Length:\r\n",
        "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length : 1\r\n",
    ]
    .map(|lines| (lines, upload(lines, "1\r\nx\r\n0\r\n\r\n"), 400));
    refused_and_closed(&cases);
    // HTTP/1.0 has no chunks: whoever relies on them was told of by somebody who has none either.
    let old = "PATCH /v2/a/blobs/uploads/1 HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    refused_and_closed(&[("chunks in HTTP/1.0", old.into(), 400)]);
}

#[test]
fn h2_n6_n7_a_head_that_breaks_the_grammar_is_refused_by_either_backend() {
    let lines: &[&[u8]] = &[
        b"Host: a\r\nX: 1\r\n folded: 2\r\n",
        b"Host: a\r\nX: 1\r\n\tfolded\r\n",
        b" X: 1\r\nHost: a\r\n",
        b"Host: a\r\nX Y: 1\r\n",
        b"Host: a\r\nX : 1\r\n",
        b"Host: a\r\nX\t: 1\r\n",
        b"Host: a\r\nX\0Y: 1\r\n",
        b"Host: a\r\nX\x80: 1\r\n",
        b"Host: a\r\n: 1\r\n",
        b"Host: a\r\nX\r\n",
        b"Host: a\r\nX: a\0b\r\n",
        b"Host: a\r\nX: a\rb\r\n",
        b"Host: a\r\nX: a\nY: b\r\n",
        b"Host: a\r\nX: a\x7fb\r\n",
        b"Host: a\nX: b\r\n",
        b"Host: a\r\n\rX: b\r\n",
        b"",
        b"Host: a\r\nHost: a\r\n",
        b"Host: a\r\nhost: b\r\n",
        b"Host:\r\n",
        b"Host: a/v2\r\n",
        b"Host: user@a\r\n",
        b"Host: a:b\r\n",
        b"Host: a:70000\r\n",
        b"Host: a, b\r\n",
        b"Host: a b\r\n",
        b"Host: [::1\r\n",
        b"Host: a?b\r\n",
        b"Host: a#b\r\n",
        b"Host: a%00\r\n",
    ];
    let cases: Vec<_> = lines
        .iter()
        .map(|lines| {
            let request = [b"GET /v2/a/manifests/1 HTTP/1.1\r\n", *lines, b"\r\n"].concat();
            (text(lines), request, 400)
        })
        .collect();
    let cases: Vec<_> = cases
        .iter()
        .map(|(case, request, status)| (case.as_str(), request.clone(), *status))
        .collect();
    refused_and_closed(&cases);
}

#[test]
fn h2_h4_h15_n9_n12_a_request_line_that_is_none_is_refused_by_either_backend() {
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n").into_bytes();
    let cases = [
        ("GET /v2/", 400),
        ("GET  /v2/a/manifests/1 HTTP/1.1", 400),
        ("GET /v2/a/manifests/1  HTTP/1.1", 400),
        ("GET\t/v2/a/manifests/1 HTTP/1.1", 400),
        (" GET /v2/a/manifests/1 HTTP/1.1", 400),
        ("GET /v2/a/manifests/1 HTTP/1.1 ", 400),
        ("GET /v2/a/manifests/1 http/1.1", 400),
        ("GET /v2/a/manifests/1 HTTP/1.10", 400),
        ("GET /v2/a/manifests/1 HTTP/1", 400),
        ("G(T /v2/a/manifests/1 HTTP/1.1", 400),
        ("GET v2/ HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("GET /v2/a/manifests/1 a HTTP/1.1", 400),
        ("GET /v2/\x00 HTTP/1.1", 400),
        ("GET /v2/\u{e4} HTTP/1.1", 400),
        ("GET /v2/#x HTTP/1.1", 400),
        ("GET /v2/a/manifests/1 HTTP/3.7", 505),
        ("GET /v2/a/manifests/1 HTTP/2.0", 505),
        ("GET /v2/a/manifests/1 HTTP/0.9", 505),
        ("PRI * HTTP/2.0", 505),
        ("CONNECT a:443 HTTP/1.1", 405),
        ("CONNECT /v2/a/manifests/1 HTTP/1.1", 405),
        (
            "AMETHODTHATISLONGERTHANANYTHATEXISTS /v2/a/manifests/1 HTTP/1.1",
            501,
        ),
    ]
    .map(|(case, status)| (case, line(case), status));
    refused_and_closed(&cases);
}

#[test]
fn h3_n8_what_is_too_large_has_its_own_status_with_either_backend() {
    let many = (0..200).fold(String::from("Host: a\r\n"), |mut all, n| {
        write!(all, "X-{n}: 1\r\n").unwrap();
        all
    });
    let target = |length: usize| {
        let target = "a".repeat(length);
        format!("GET /v2/{target} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
    };
    let line = "b".repeat(100 << 10);
    refused_and_closed(&[
        (
            "a line of 100 KiB",
            get(&format!("Host: a\r\nX: {line}\r\n")),
            431,
        ),
        (
            "a name of 100 KiB",
            get(&format!("Host: a\r\n{line}: x\r\n")),
            431,
        ),
        ("200 lines", get(&many), 431),
        (
            "10,000 lines",
            get(&format!("Host: a\r\n{}", "X: 1\r\n".repeat(10_000))),
            431,
        ),
        ("a target of 9 KiB", target(9 << 10), 414),
        ("a target of 1 MiB", target(1 << 20), 414),
    ]);
}

/// The upstream sees the head, for the request begins well, but never an end of it.
#[test]
fn h1_n4_n5_a_broken_chunk_is_the_clients_fault_and_its_request_never_complete() {
    let upstream = Upstream::answering(NOTHING);
    let fronts = Fronts::before(&upstream.url(), "");
    let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(300));
    let trailer = format!("0\r\nX: {}\r\n\r\n", "t".repeat(9 << 10));
    let trailers = format!("0\r\n{}\r\n", "X: t\r\n".repeat(101));
    for (chunks, statuses) in [
        ("g\r\nx\r\n0\r\n\r\n", &[400][..]),
        ("-1\r\nx\r\n0\r\n\r\n", &[400]),
        ("+1\r\nx\r\n0\r\n\r\n", &[400]),
        ("0x1\r\nx\r\n0\r\n\r\n", &[400]),
        (" 1\r\nx\r\n0\r\n\r\n", &[400]),
        ("1 \r\nx\r\n0\r\n\r\n", &[400]),
        ("1_0\r\nx\r\n0\r\n\r\n", &[400]),
        ("\r\nx\r\n0\r\n\r\n", &[400]),
        (";a\r\nx\r\n0\r\n\r\n", &[400]),
        ("10000000000000001\r\nx\r\n0\r\n\r\n", &[400]),
        ("ffffffffffffffff\r\nx\r\n0\r\n\r\n", &[400]),
        ("00000000000000000001\r\nx\r\n0\r\n\r\n", &[400]),
        ("1\nx\n0\n\n", &[400]),
        ("1\r\nx\n0\r\n\r\n", &[400]),
        ("1\r\nx0\r\n\r\n", &[400]),
        ("1\r\nxy\r\n0\r\n\r\n", &[400]),
        ("2\r\nx\r\n0\r\n\r\n", &[400]),
        ("1\rx\r\n0\r\n\r\n", &[400]),
        ("1;a\nb\r\nx\r\n0\r\n\r\n", &[400]),
        ("1\r\nx\r\n0\r\nX : y\r\n\r\n", &[400]),
        ("1\r\nx\r\n0\r\n folded\r\n\r\n", &[400]),
        ("1\r\nx\r\n0\r\nno colon\r\n\r\n", &[400]),
        (long.as_str(), &[400]),
        (trailer.as_str(), &[400, 431]),
        (trailers.as_str(), &[400, 431]),
    ] {
        for tls in [false, true] {
            let mut raw = if tls { fronts.tls() } else { fronts.plain() };
            raw.send(upload("Transfer-Encoding: chunked\r\n", chunks));
            let answer = raw.answer();
            check(chunks, &answer, statuses, tls);
            raw.finish();
            let (more, _) = raw.read_to_end();
            assert_eq!(text(&more), "", "{chunks:?}");
        }
    }
    let told = upstream.wait_for("every request ends", |told| {
        told.iter().all(|t| t.broken || t.complete)
    });
    assert!(told.iter().all(|t| !t.complete), "{told:?}");
}

/// The same where the bytes would be kept: what came before the fault is, and no more.
#[test]
fn h1_n4_a_broken_chunk_makes_no_blob_in_the_embedded_registry() {
    let house = House::start("");
    let login = login("root");
    for (chunks, kept) in [
        ("g\r\nx\r\n0\r\n\r\n", 0),
        ("-1\r\nx\r\n0\r\n\r\n", 0),
        ("ffffffffffffffff\r\nx\r\n0\r\n\r\n", 0),
        ("1\nx\n0\n\n", 0),
        ("1;a\nb\r\nx\r\n0\r\n\r\n", 0),
        ("1\r\nx0\r\n\r\n", 1),
        ("1\r\nx\r\n+0\r\n\r\n", 1),
        ("1\r\nx\r\n0\r\nX : y\r\n\r\n", 1),
        ("1\r\nx\r\n0\r\n folded\r\n\r\n", 1),
    ] {
        let digest = digest(b"x");
        for method in ["PATCH", "PUT"] {
            let path = house.begin("a");
            let query = if method == "PUT" {
                format!("?digest={digest}")
            } else {
                String::new()
            };
            let mut raw = house.connect();
            raw.send(format!(
                "{method} {path}{query} HTTP/1.1\r\nHost: a\r\n{login}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
            ));
            let answer = raw.answer();
            assert_eq!(answer.status(), 400, "{method} {chunks:?}: {}", answer.head);
            let blob = house.ask(&format!("HEAD /v2/a/blobs/{digest}"));
            assert_eq!(blob.status, 404, "{method} {chunks:?}");
            let there = house.ask(&format!("GET {path}"));
            assert_eq!(there.status, 204, "{method} {chunks:?}: {there:#?}");
            assert_eq!(
                there.one("range"),
                format!("0-{}", usize::saturating_sub(kept, 1))
            );
        }
    }
    tell(BAD_INPUTS, 18);
}

#[test]
fn h1_h2_h15_n5_what_is_legal_passes_however_odd() {
    let upstream = Upstream::answering(NOTHING);
    let fronts = Fronts::before(&upstream.url(), "");
    let body = "5\r\nhello\r\n0\r\n\r\n";
    for (request, line) in [
        (
            upload("transfer-encoding: Chunked\r\n", body),
            "PATCH /v2/a/blobs/uploads/1",
        ),
        (
            upload(
                "Transfer-Encoding:chunked\r\n",
                "5;a=b;c\r\nhello\r\n0\r\nX: y\r\n\r\n",
            ),
            "PATCH /v2/a/blobs/uploads/1",
        ),
        (
            upload("Content-Length: 000005\r\n", "hello"),
            "PATCH /v2/a/blobs/uploads/1",
        ),
        (
            b"\r\nGET /v2/a/manifests/1 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            "GET /v2/a/manifests/1",
        ),
        (
            b"GET http://a:80/v2/a/manifests/1 HTTP/1.1\r\nHost: a:80\r\n\r\n".to_vec(),
            "GET /v2/a/manifests/1",
        ),
        (
            b"GET /v2/a/manifests/1 HTTP/1.1\r\nHost: [::1]:5000\r\n\r\n".to_vec(),
            "GET /v2/a/manifests/1",
        ),
        (
            b"GET /v2/a/manifests/1 HTTP/1.1\r\nHost:a \t\r\nX:\r\n\r\n".to_vec(),
            "GET /v2/a/manifests/1",
        ),
    ] {
        let mut raw = fronts.tls();
        raw.send(&request);
        let answer = raw.answer();
        assert_eq!(answer.status(), 200, "{}: {}", text(&request), answer.head);
        let told = upstream.told().pop().unwrap();
        assert_eq!(told.line(), line);
        if line.starts_with("PATCH") {
            assert_eq!(text(&told.body), "hello");
        }
        assert!(
            !told.head.contains(';') && told.values("x").is_empty() || told.values("x") == [""]
        );
    }
}

//! On the way to the registry.

use super::{DIGEST, NOTHING, got, seen};
use crate::support::fronts::{Fronts, LOGIN};
use crate::support::raw::text;
use crate::support::upstream::Upstream;

#[test]
fn h7_n13_n14_the_upstream_learns_who_asks_and_how_and_nothing_that_the_client_made_up() {
    let (told, _) = seen(
        &format!(
            "GET /v2/a/manifests/1 HTTP/1.1\r\nHost: gate.example:5043\r\n{LOGIN}\
             X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: javascript\r\nX-Forwarded-Host: evil\r\n\
             X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /evil\r\nForwarded: for=6.6.6.6;host=evil\r\n\
             X-Real-IP: 6.6.6.6\r\nX-HTTP-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\n\
             X-Original-URL: /v2/secret/tags/list\r\nX-Rewrite-URL: /v2/secret/tags/list\r\n\
             X-Remote-User: root\r\nX-SSL-Client-Verify: SUCCESS\r\nX-Request-Id: mine\r\n\
             Proxy-Authorization: Basic eDp5\r\nUser-Agent: docker/20\r\n\r\n"
        ),
        "",
    );
    assert_eq!(told.values("host"), ["gate.example:5043"]);
    assert_eq!(told.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(told.values("x-real-ip"), ["127.0.0.1"]);
    assert_eq!(told.values("x-forwarded-proto"), ["https"]);
    assert_eq!(told.values("x-forwarded-host"), ["gate.example:5043"]);
    assert_eq!(told.values("user-agent"), ["docker/20"]);
    let head = told.head.to_ascii_lowercase();
    for gone in [
        "6.6.6.6",
        "javascript",
        "evil",
        "secret",
        "delete",
        "root",
        "success",
        "mine",
        "forwarded:",
        "authorization",
        "x-forwarded-port",
    ] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
}

#[test]
fn behind_a_trusted_proxy_its_word_counts_and_ours_is_appended() {
    let trusted = "[headers]\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let (told, _) = seen(
        "GET /v2/a/manifests/1 HTTP/1.1\r\nHost: inner\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.9\r\n\
         X-Forwarded-Proto: http\r\nX-Forwarded-Host: outer.example\r\n\r\n",
        trusted,
    );
    assert_eq!(told.values("x-forwarded-for"), ["203.0.113.9, 127.0.0.1"]);
    assert_eq!(told.values("x-real-ip"), ["203.0.113.9"]);
    assert_eq!(told.values("x-forwarded-proto"), ["http"]);
    assert_eq!(told.values("x-forwarded-host"), ["outer.example"]);
    assert_eq!(told.values("host"), ["outer.example"]);
}

#[test]
fn h8_n15_hop_by_hop_headers_go_and_those_that_are_relied_on_stay_whatever_connection_names() {
    let (told, _) = seen(
        "GET /v2/a/manifests/1 HTTP/1.1\r\nHost: a\r\n\
         Connection: keep-alive, X-Mine, Host, Accept, Range, Content-Length, X-Forwarded-For\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: X\r\n\
         X-Mine: 1\r\nAccept: b\r\nAccept: c\r\nAccept: d, e\r\nRange: bytes=0-1\r\nX-Kept: 1\r\nX-Kept: 2\r\n\r\n",
        "",
    );
    assert_eq!(told.values("host"), ["a"]);
    assert_eq!(told.values("accept"), ["b", "c", "d, e"]);
    assert_eq!(told.values("x-kept"), ["1", "2"]);
    assert_eq!(told.values("range"), ["bytes=0-1"]);
    assert_eq!(told.values("x-forwarded-for"), ["127.0.0.1"]);
    for gone in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "x-mine",
        "transfer-encoding",
        "content-length",
    ] {
        assert!(told.values(gone).is_empty(), "{gone} in {}", told.head);
    }
}

#[test]
fn h7_h8_n15_what_connection_names_is_judged_before_it_is_dropped() {
    let upstream = Upstream::answering(NOTHING);
    let fronts = Fronts::before(&upstream.url(), "");
    let delete =
        |lines: &str| format!("DELETE /v2/a/blobs/{DIGEST} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let mut raw = fronts.plain();
    raw.send(delete(&format!(
        "Connection: authorization, keep-alive\r\n{LOGIN}"
    )));
    assert_eq!(raw.answer().status(), 200);
    raw.send(delete("Connection: authorization, keep-alive\r\n"));
    assert_eq!(raw.answer().status(), 401);
    assert_eq!(upstream.told().len(), 1);
}

#[test]
fn n2_n5_a_framing_is_never_copied_but_made_anew() {
    let upstream = Upstream::answering(NOTHING);
    let fronts = Fronts::before(&upstream.url(), "");
    let mut raw = fronts.plain();
    let patch = |lines: &str, body: &str| {
        format!("PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: a\r\n{LOGIN}{lines}\r\n{body}")
    };
    let chunks = "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\nAuthorization: evil\r\n\r\n";
    for (lines, body) in [
        (
            "Transfer-Encoding: chunked\r\nTrailer: X-Trailer\r\n",
            chunks,
        ),
        ("Content-Length: 5\r\n", "abcde"),
        ("content-LENGTH: 0005\r\n", "abcde"),
    ] {
        raw.send(patch(lines, body));
        assert_eq!(raw.answer().status(), 200);
    }
    raw.send(patch("Content-Length: 0\r\n", ""));
    assert_eq!(raw.answer().status(), 200);
    raw.send(patch("", ""));
    assert_eq!(raw.answer().status(), 200);
    let told = upstream.told();
    let framings: Vec<_> = told
        .iter()
        .map(|t| (t.values("transfer-encoding"), t.values("content-length")))
        .collect();
    assert_eq!(framings[0], (vec!["chunked"], vec![]));
    assert_eq!(framings[1], (vec![], vec!["5"]));
    assert_eq!(framings[2], (vec![], vec!["5"]));
    assert!(told[..3].iter().all(|t| t.body == b"abcde"), "{told:?}");
    let all = text(&upstream.bytes()).to_ascii_lowercase();
    assert!(!all.contains("trailer") && !all.contains("evil"), "{all}");
    // Of a body that is empty a registry wants to be told so.
    assert_eq!(framings[3], (vec![], vec!["0"]));
    assert_eq!(framings[4], (vec![], vec!["0"]));
}

#[test]
fn ranges_and_conditions_pass_both_ways() {
    let (told, _) = seen(
        &format!(
            "GET /v2/a/blobs/{DIGEST} HTTP/1.1\r\nHost: a\r\nRange: bytes=1-2, 4-5\r\nIf-Range: \"x\"\r\n\
             If-None-Match: \"y\"\r\nIf-Modified-Since: Sat, 21 Nov 2026 08:36:22 GMT\r\n\r\n"
        ),
        "",
    );
    assert_eq!(told.values("range"), ["bytes=1-2, 4-5"]);
    assert_eq!(told.values("if-range"), ["\"x\""]);
    assert_eq!(told.values("if-none-match"), ["\"y\""]);
    assert_eq!(told.values("if-modified-since").len(), 1);

    let part = got(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-2/10\r\nContent-Length: 2\r\n\
         Accept-Ranges: bytes\r\nETag: \"e\"\r\n\r\nbc",
    );
    assert_eq!((part.status(), part.body.as_slice()), (206, &b"bc"[..]));
    assert_eq!(part.value("content-range"), "bytes 1-2/10");
    assert_eq!(part.value("etag"), "\"e\"");
    let same = got("HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\nContent-Length: 10\r\n\r\n");
    assert_eq!(same.status(), 304);
}

#[test]
fn a_get_with_a_body_is_refused() {
    let upstream = Upstream::answering(NOTHING);
    let fronts = Fronts::before(&upstream.url(), "");
    for body in [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let mut raw = fronts.tls();
        raw.send(format!(
            "GET /v2/a/manifests/1 HTTP/1.1\r\nHost: a\r\n{body}"
        ));
        assert_eq!(raw.answer().status(), 400);
    }
    let mut raw = fronts.tls();
    raw.send("GET /v2/a/manifests/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(raw.answer().status(), 200);
    assert_eq!(upstream.told().len(), 1);
}

#[test]
fn h9_n17_n18_the_gate_says_continue_only_to_those_who_may() {
    let upstream = Upstream::answering("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    let fronts = Fronts::before(&upstream.url(), "");
    let patch = |lines: &str| {
        format!(
            "PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: a\r\n{lines}Content-Length: 5\r\n\r\n"
        )
    };
    let mut raw = fronts.tls();
    raw.send(patch(&format!("{LOGIN}Expect: 100-Continue\r\n")));
    assert_eq!(raw.answer().status(), 100);
    raw.send("hello");
    assert_eq!(raw.answer().status(), 201);
    assert_eq!(text(&upstream.told()[0].body), "hello");
    assert!(upstream.told()[0].values("expect").is_empty());

    for (lines, status) in [
        ("Expect: 100-continue\r\n", 401),
        (
            "Expect: 100-continue\r\nAuthorization: Basic dXNlcjp3cm9uZw==\r\n",
            401,
        ),
        ("Expect: 200-ok\r\n", 417),
        ("Expect: 100-continue, x\r\n", 417),
    ] {
        let mut raw = fronts.tls();
        raw.send(patch(lines));
        let answer = raw.answer();
        assert_eq!(answer.status(), status, "{lines}");
        assert_eq!(answer.values("docker-distribution-api-version").len(), 1);
    }
    assert_eq!(upstream.told().len(), 1);
}

#[test]
fn h16_ranges_by_the_thousand_cost_nothing() {
    let ranges = format!("bytes={}", "0-,".repeat(1000));
    for range in [ranges.as_str(), "bytes=5-1", "apples=1-2", "bytes=99-"] {
        let request =
            format!("GET /v2/a/blobs/{DIGEST} HTTP/1.1\r\nHost: a\r\nRange: {range}\r\n\r\n");
        let (told, _) = seen(&request, "");
        assert_eq!(told.values("range"), [range.trim()]);
    }
}

/// Whoever may do it sends a manifest that is too large, or says that it will.
#[test]
fn a_body_beyond_its_bound_is_refused_and_never_complete_behind_the_gate() {
    let upstream = Upstream::answering("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    let limits = "[limits]\nmanifest_size = \"1 KiB\"\nbody_size = \"2 KiB\"";
    let fronts = Fronts::before(&upstream.url(), limits);
    let (large, larger) = ("x".repeat(1025), "x".repeat(2049));
    let chunks = |body: &str| format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for (line, body, code) in [
        ("PUT /v2/a/manifests/latest", &large, "MANIFEST_INVALID"),
        ("PATCH /v2/a/blobs/uploads/1", &larger, "SIZE_INVALID"),
    ] {
        for chunked in [false, true] {
            let framing = if chunked {
                format!("Transfer-Encoding: chunked\r\n\r\n{}", chunks(body))
            } else {
                format!("Content-Length: {}\r\n\r\n{body}", body.len())
            };
            let mut raw = fronts.tls();
            raw.send(format!("{line} HTTP/1.1\r\nHost: a\r\n{LOGIN}{framing}"));
            let answer = raw.answer();
            assert_eq!(answer.status(), 413, "{line}: {}", answer.head);
            if !chunked {
                assert_eq!(answer.code(), code, "{line}");
            }
        }
    }
    let told = upstream.wait_for("every upload ends", |told| {
        told.iter().all(|t| t.broken || t.complete)
    });
    assert!(told.iter().all(|t| !t.complete), "{told:?}");
    let mut raw = fronts.tls();
    raw.send(format!(
        "PUT /v2/a/manifests/latest HTTP/1.1\r\nHost: a\r\n{LOGIN}Content-Length: 1024\r\n\r\n{}",
        &large[1..]
    ));
    assert_eq!(raw.answer().status(), 201);
}

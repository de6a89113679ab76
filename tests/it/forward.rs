//! What passes between a client and the registry, in which form, and what does not.

use crate::support::fronts::{Fronts, LOGIN};
use crate::support::raw::{Answer, Raw, text};
use crate::support::upstream::{Next, Told, Upstream};

const NOTHING: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What the upstream sees of this request, which comes through the TLS door and is answered 200.
#[track_caller]
fn seen(request: &str, more: &str) -> (Told, u16) {
    let upstream = Upstream::answering(NOTHING);
    let fronts = Fronts::before(&upstream.url(), more);
    let mut raw = fronts.tls();
    raw.send(request);
    let answer = raw.answer();
    assert_eq!(answer.status(), 200, "{request}: {}", answer.head);
    let told = upstream.told();
    assert_eq!(told.len(), 1);
    (told[0].clone(), fronts.gate.address_of(1).port())
}

/// What the client gets when the upstream answers GET with this.
#[track_caller]
fn got(answer: &str) -> Answer {
    got_by("GET", answer)
}

#[track_caller]
fn got_by(method: &str, answer: &str) -> Answer {
    let upstream = Upstream::answering(answer);
    let fronts = Fronts::before(&upstream.url(), "");
    let mut raw = fronts.tls();
    ask(&mut raw, method)
}

#[track_caller]
fn ask(raw: &mut Raw, method: &str) -> Answer {
    raw.send(format!(
        "{method} /v2/a/blobs/{DIGEST} HTTP/1.1\r\nHost: gate:5043\r\n{LOGIN}\r\n"
    ));
    raw.answer_to(method)
}

#[test]
fn the_upstream_learns_who_asks_and_how_and_nothing_that_the_client_made_up() {
    let (told, _) = seen(
        &format!(
            "GET /v2/ HTTP/1.1\r\nHost: gate.example:5043\r\n{LOGIN}\
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
        "GET /v2/ HTTP/1.1\r\nHost: inner\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.9\r\n\
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
fn hop_by_hop_headers_go_and_those_that_are_relied_on_stay_whatever_connection_names() {
    let (told, _) = seen(
        "GET /v2/ HTTP/1.1\r\nHost: a\r\n\
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
fn what_connection_names_is_judged_before_it_is_dropped() {
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
fn a_framing_is_never_copied_but_made_anew() {
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
fn a_location_of_the_registry_comes_back_on_the_door_that_the_client_used() {
    let own = "https://gate:5043/v2/a/blobs/uploads/1?_state=x%2By";
    let upstream = Upstream::start(|request| {
        request.read_body().unwrap();
        let wanted = crate::support::raw::lines(&request.head, "x-answer")[0].to_owned();
        let host = crate::support::raw::lines(&request.head, "host")[0].to_owned();
        let wanted = wanted.replace("HOST", &host);
        request.say(format!(
            "HTTP/1.1 202 Accepted\r\nLocation: {wanted}\r\nContent-Length: 0\r\n\r\n"
        ));
        Next::Keep
    });
    let fronts = Fronts::before(&upstream.url(), "");
    let inner = upstream.address();
    let path = "/v2/a/blobs/uploads/1?_state=x%2By";
    let bucket = "https://bucket.s3.example:444/docker/x?X-Amz-Signature=a%2Fb&X=1";
    let mut raw = fronts.tls();
    let mut location = |sent: &str| {
        raw.send(format!(
            "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: gate:5043\r\nX-Forwarded-Host: evil\r\n\
             X-Forwarded-Proto: javascript\r\n{LOGIN}X-Answer: {sent}\r\nContent-Length: 0\r\n\r\n"
        ));
        raw.answer()
    };
    for sent in [
        format!("http://HOST{path}"),
        format!("https://HOST{path}"),
        format!("http://{inner}{path}"),
        format!("https://{inner}{path}"),
        format!("http://registry.internal:5000{path}"),
        format!("//registry.internal:5000{path}"),
    ] {
        let answer = location(&sent);
        assert_eq!(answer.status(), 202, "{sent}");
        assert_eq!(answer.value("location"), own, "{sent}");
    }
    assert_eq!(location(path).value("location"), path);
    assert_eq!(location(bucket).value("location"), bucket);
    for broken in [
        "javascript:alert(1)",
        "ftp://x/y",
        "http://bucket.s3.example/in-clear",
        "/v2/ a",
        "//",
        "http://",
    ] {
        let answer = location(broken);
        assert_eq!(answer.status(), 502, "{broken}: {}", answer.head);
        assert!(answer.values("location").is_empty());
    }
}

#[test]
fn headers_of_the_gate_stand_once_whatever_the_registry_sends() {
    let version = "Docker-Distribution-Api-Version";
    for lines in [
        String::new(),
        format!("{version}: registry/2.0\r\n"),
        format!("{version}: registry/2.0\r\n{version}: registry/2.0\r\n"),
        format!(
            "{version}: evil\r\nStrict-Transport-Security: max-age=0\r\nX-Request-Id: theirs\r\n"
        ),
    ] {
        for status in ["200 OK", "404 Not Found", "401 Unauthorized", "503 x"] {
            let answer = got(&format!(
                "HTTP/1.1 {status}\r\n{lines}Set-Cookie: a\r\nSet-Cookie: b\r\n\
                 Connection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nok"
            ));
            assert_eq!(answer.body, b"ok");
            assert_eq!(
                answer.value("docker-distribution-api-version"),
                "registry/2.0"
            );
            assert!(
                answer
                    .value("strict-transport-security")
                    .starts_with("max-age=31536000")
            );
            assert_ne!(answer.value("x-request-id"), "theirs");
            assert_eq!(answer.values("set-cookie"), ["a", "b"]);
            assert!(answer.values("x-hop").is_empty());
            let challenges = answer.values("www-authenticate");
            assert_eq!(challenges.len(), usize::from(status.starts_with("401")));
        }
    }
}

#[test]
fn one_challenge_and_it_is_ours() {
    let theirs = "WWW-Authenticate: Bearer realm=\"http://inner/token\"\r\n";
    for lines in [
        String::new(),
        theirs.to_owned(),
        format!("{theirs}{theirs}"),
    ] {
        let answer = got(&format!(
            "HTTP/1.1 401 Unauthorized\r\n{lines}Content-Length: 0\r\n\r\n"
        ));
        let challenge = answer.value("www-authenticate");
        assert!(challenge.starts_with("Basic realm="), "{challenge}");
    }
    let answer = got(&format!(
        "HTTP/1.1 200 OK\r\n{theirs}Content-Length: 0\r\n\r\n"
    ));
    assert!(answer.values("www-authenticate").is_empty());
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
fn an_answer_to_head_tells_the_length_of_what_it_does_not_send() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 1234567890123\r\nDocker-Content-Digest: x\r\n\r\n",
    );
    let fronts = Fronts::before(&upstream.url(), "");
    let mut raw = fronts.tls();
    for _ in 0..3 {
        let answer = ask(&mut raw, "HEAD");
        assert_eq!(answer.value("content-length"), "1234567890123");
        assert_eq!(answer.value("docker-content-digest"), "x");
    }
    assert_eq!(upstream.connections(), 1, "and the connections stay usable");
}

#[test]
fn trailers_of_an_answer_are_dropped_and_its_bytes_kept() {
    let answer = got(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n\
         3;e=1\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
    );
    assert_eq!(answer.body, b"abcde");
    assert!(answer.complete);
    assert_eq!(answer.value("transfer-encoding"), "chunked");
    assert!(answer.values("trailer").is_empty() && answer.values("x-t").is_empty());
}

#[test]
fn a_registry_of_http_1_0_is_understood() {
    let upstream = Upstream::start(|request| {
        request.read_body().unwrap();
        request.say("HTTP/1.0 200 OK\r\n\r\nuntil the end");
        Next::Close
    });
    let fronts = Fronts::before(&upstream.url(), "");
    let answer = ask(&mut fronts.tls(), "GET");
    assert_eq!(text(&answer.body), "until the end");
    assert!(answer.complete);
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
        raw.send(format!("GET /v2/ HTTP/1.1\r\nHost: a\r\n{body}"));
        assert_eq!(raw.answer().status(), 400);
    }
    let mut raw = fronts.tls();
    raw.send("GET /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(raw.answer().status(), 200);
    assert_eq!(upstream.told().len(), 1);
}

#[test]
fn the_gate_says_continue_only_to_those_who_may() {
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
fn ranges_by_the_thousand_cost_nothing() {
    let ranges = format!("bytes={}", "0-,".repeat(1000));
    for range in [ranges.as_str(), "bytes=5-1", "apples=1-2", "bytes=99-"] {
        let request =
            format!("GET /v2/a/blobs/{DIGEST} HTTP/1.1\r\nHost: a\r\nRange: {range}\r\n\r\n");
        let (told, _) = seen(&request, "");
        assert_eq!(told.values("range"), [range.trim()]);
    }
}

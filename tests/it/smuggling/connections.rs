//! Versions, upgrades, pipelines, deadlines and the wrong door.

use super::{NOTHING, check, get, upload};
use crate::support::fronts::Fronts;
use crate::support::raw::{End, Raw, text};
use crate::support::upstream::{Next, Upstream};

#[test]
fn h15_http_1_0_works_with_and_without_host() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    );
    let fronts = Fronts::before(&upstream.url(), "");
    for head in [
        "GET /v2/a/manifests/1 HTTP/1.0\r\n\r\n",
        "GET /v2/a/manifests/1 HTTP/1.0\r\nHost: a:5000\r\n\r\n",
    ] {
        let mut raw = fronts.plain();
        raw.send(head);
        let answer = raw.answer();
        assert_eq!(answer.status(), 200, "{head}");
        assert_eq!(answer.body, b"ok");
        assert!(answer.complete && answer.values("transfer-encoding").is_empty());
    }
    let mut raw = fronts.plain();
    // HTTP/0.9 has no version at all.
    raw.send("GET /v2/\r\n");
    assert_eq!(raw.answer().status(), 400);
    assert_eq!(upstream.told().len(), 2);
}

#[test]
fn h13_pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::start(|request| {
        request.read_body().unwrap();
        let line = request.head.lines().next().unwrap().to_owned();
        let length = line.len();
        request.say(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{line}"
        ));
        Next::Keep
    });
    let fronts = Fronts::before(&upstream.url(), "");
    for tls in [false, true] {
        let mut raw = if tls { fronts.tls() } else { fronts.plain() };
        let mut all = Vec::new();
        for n in 0..20 {
            all.extend(format!("GET /v2/a{n}/manifests/1 HTTP/1.1\r\nHost: a\r\n\r\n").bytes());
            all.extend(upload(
                "Transfer-Encoding: chunked\r\n",
                "1\r\nx\r\n0\r\n\r\n",
            ));
        }
        // The last is bad: those before it are answered all the same.
        all.extend(b"GET /v2/a/manifests/1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
        raw.send(&all);
        for n in 0..20 {
            let line = format!("GET /v2/a{n}/manifests/1 HTTP/1.1");
            assert_eq!(text(&raw.answer().body), line);
            assert!(raw.answer().body.starts_with(b"PATCH"));
        }
        assert_eq!(raw.answer().status(), 400);
        raw.finish();
        assert_eq!(raw.read_to_end(), (Vec::new(), End::Proper));
    }
}

#[test]
fn h13_n16_no_upgrade_is_honoured_or_passed_on() {
    let upstream = Upstream::answering(NOTHING);
    let fronts = Fronts::before(&upstream.url(), "");
    for upgrade in [
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    ] {
        let mut raw = fronts.plain();
        raw.send(get(&format!("Host: a\r\n{upgrade}")));
        assert_eq!(raw.answer().status(), 200);
        // The connection still speaks what it spoke.
        raw.send(get("Host: a\r\n"));
        assert_eq!(raw.answer().status(), 200);
    }
    for told in upstream.told() {
        assert!(told.values("upgrade").is_empty(), "{}", told.head);
        assert!(told.values("http2-settings").is_empty(), "{}", told.head);
        assert!(
            !told.head.to_ascii_lowercase().contains("upgrade"),
            "{}",
            told.head
        );
    }
}

#[test]
fn t1_t2_n25_a_tls_hello_on_the_plain_door_ends_quietly_and_clear_text_on_the_tls_door_is_never_served()
 {
    let upstream = Upstream::answering(NOTHING);
    let fronts = Fronts::before(&upstream.url(), "");
    let mut raw = fronts.plain();
    raw.send([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3]);
    let (said, end) = raw.read_to_end();
    assert_eq!((said.as_slice(), end == End::Open), (&[][..], false));

    let mut raw = Raw::tcp(fronts.gate.address_of(1));
    raw.send(get("Host: a\r\n"));
    let (said, end) = raw.read_to_end();
    assert_ne!(end, End::Open);
    let said = text(&said);
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 400") || said.starts_with("HTTP/1.0 400"),
        "{said}"
    );
    assert!(upstream.bytes().is_empty());
}

#[test]
fn h11_t4_n26_what_is_not_finished_in_time_is_ended() {
    let upstream = Upstream::answering(NOTHING);
    let more = "[timeouts]\nhandshake = \"300ms\"\nrequest_header = \"300ms\"\nidle = \"300ms\"";
    let fronts = Fronts::before(&upstream.url(), more);
    let mut slow = fronts.plain();
    slow.send("GET /v2/a/manifests/1 HTTP/1.1\r\nHo");
    let mut silent = fronts.plain();
    let mut hello = Raw::tcp(fronts.gate.address_of(1));
    hello.send([0x16, 3, 1]);
    let mut idle = fronts.tls();
    idle.send(get("Host: a\r\n"));
    assert_eq!(idle.answer().status(), 200);

    check("slow", &slow.answer(), &[408], false);
    assert_eq!(slow.read_to_end(), (Vec::new(), End::Proper));
    assert_eq!(idle.read_to_end(), (Vec::new(), End::Proper));
    assert_ne!(hello.read_to_end().1, End::Open);
    assert_eq!(silent.read_to_end(), (Vec::new(), End::Proper));
}

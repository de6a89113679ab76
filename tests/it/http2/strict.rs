//! Heads and bodies that HTTP/2 forbids, or that would mean something else behind the gate.

use super::{GOOD, OK, UPLOAD, begin, others_are_served};
use crate::support::frames::{DATA, END_HEADERS, END_STREAM, Fate, HEADERS, block};
use crate::support::fronts::Fronts;
use crate::support::raw::text;
use crate::support::upstream::Upstream;

/// The good head with one change: a field replaced, or added behind the others.
fn with<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut fields = GOOD.to_vec();
    match fields.iter_mut().find(|(n, _)| *n == name) {
        Some(field) => field.1 = value,
        None => fields.push((name, value)),
    }
    fields
}

fn twice<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut fields = GOOD.to_vec();
    fields.insert(0, (name, value));
    fields
}

fn without(name: &str) -> Vec<(&'static str, &'static str)> {
    GOOD.into_iter().filter(|(n, _)| *n != name).collect()
}

#[test]
fn h14_n7_n31_a_head_that_could_mean_something_else_in_http_1_goes_nowhere() {
    let upstream = Upstream::answering(OK);
    let fronts = Fronts::before(&upstream.url(), "");
    let mut late = GOOD.to_vec();
    late.insert(0, ("accept", "x"));
    let cases = [
        with("connection", "close"),
        with("connection", "x-mine"),
        with("keep-alive", "timeout=5"),
        with("proxy-connection", "keep-alive"),
        with("transfer-encoding", "chunked"),
        with("upgrade", "h2c"),
        with("te", "gzip"),
        with("te", "trailers, gzip"),
        with("host", "other"),
        with("Accept", "x"),
        with("x y", "1"),
        with("x:y", "1"),
        with("", "1"),
        with("x", "a\r\nEvil: 1"),
        with("x", "a\nb"),
        with("x", "a\0b"),
        with(":scheme", "ftp"),
        with(":scheme", "httpx"),
        with(":scheme", ""),
        with(":scheme", "http s"),
        with(":path", "/v2/ HTTP/1.1\r\nEvil: 1\r\n\r\n"),
        with(":path", "/v2/\nevil"),
        with(":path", "/v2/ x"),
        with(":path", ""),
        with(":path", "v2/"),
        with(":path", "*"),
        with(":path", "/v2/../x"),
        with(":path", "//v2/"),
        with(":path", "/v2/a%2fb/tags/list"),
        with(":path", "http://other/v2/"),
        with(":authority", "a/b"),
        with(":authority", "user@a"),
        with(":authority", "a\r\nEvil: 1"),
        with(":authority", ""),
        with(":authority", "a b"),
        with(":method", "GET /evil HTTP/1.1\r\n"),
        with(":method", "G T"),
        with(":method", ""),
        with(":method", "TRACE"),
        with(":method", "CONNECT"),
        with(":method", "get"),
        with(":status", "200"),
        with(":unknown", "x"),
        with(":protocol", "websocket"),
        with("content-length", "5"),
        with("content-length", "+0"),
        twice(":path", "/v2/a/manifests/1"),
        twice(":method", "GET"),
        twice(":authority", "gate:5043"),
        twice(":scheme", "https"),
        without(":path"),
        without(":method"),
        without(":scheme"),
        without(":authority"),
        late,
    ];
    for fields in cases {
        let mut frames = begin(&fronts);
        frames.ask(1, &fields);
        match frames.fate(1) {
            Fate::Answered(0 | 400 | 404) | Fate::Reset(_) | Fate::GoAway(_) => {}
            other => panic!("{other:?} for {fields:?}"),
        }
    }
    let came = upstream.bytes();
    assert!(came.is_empty(), "reached the upstream: {}", text(&came));
    others_are_served(&fronts);
}

/// The parser drops it before anybody can see it, as nginx does; what is judged and what goes on are the same.
#[test]
fn h5_n12_a_fragment_goes_nowhere() {
    let upstream = Upstream::answering(OK);
    let fronts = Fronts::before(&upstream.url(), "");
    let mut frames = begin(&fronts);
    frames.ask(1, &with(":path", "/v2/#/../x"));
    let _ = frames.fate(1);
    assert!(upstream.told().iter().all(|told| told.line() == "GET /v2/"));
}

#[test]
fn h14_n31_another_scheme_is_a_bad_request() {
    let upstream = Upstream::answering(OK);
    let fronts = Fronts::before(&upstream.url(), "");
    let mut frames = begin(&fronts);
    for (stream, scheme) in [(1, "ftp"), (3, "ws"), (5, "httpsx")] {
        frames.ask(stream, &with(":scheme", scheme));
        assert_eq!(frames.fate(stream), Fate::Answered(400), "{scheme}");
    }
    // The scheme of the connection is what counts, and a proxy that ends TLS may say what the client used.
    for (stream, scheme) in [(7, "http"), (9, "https")] {
        frames.ask(stream, &with(":scheme", scheme));
        assert_eq!(frames.fate(stream), Fate::Answered(200), "{scheme}");
    }
    let told = upstream.told();
    assert_eq!(told.len(), 2);
    assert!(
        told.iter()
            .all(|t| t.values("x-forwarded-proto") == ["https"])
    );
}

#[test]
fn the_crumbs_of_a_cookie_go_on_as_one_line() {
    let upstream = Upstream::answering(OK);
    let fronts = Fronts::before(&upstream.url(), "");
    let mut frames = begin(&fronts);
    let crumbs = [("cookie", "a=1"), ("accept", "x"), ("cookie", "b=2; c=3")];
    frames.ask(1, &[&GOOD[..], &crumbs].concat());
    assert_eq!(frames.fate(1), Fate::Answered(200));
    assert_eq!(upstream.told()[0].values("cookie"), ["a=1; b=2; c=3"]);
}

#[test]
fn h14_n31_the_connection_outlives_a_request_that_was_refused() {
    let upstream = Upstream::answering(OK);
    let fronts = Fronts::before(&upstream.url(), "");
    let mut frames = begin(&fronts);
    frames.ask(1, &with("te", "gzip"));
    assert!(matches!(
        frames.fate(1),
        Fate::Answered(400) | Fate::Reset(1)
    ));
    frames.ask(3, &with(":path", "/v2/../x"));
    assert_eq!(frames.fate(3), Fate::Answered(400));
    frames.ask(5, &with("te", "trailers"));
    assert_eq!(frames.fate(5), Fate::Answered(200));
    frames.ask(7, &with("host", "gate:5043"));
    assert_eq!(frames.fate(7), Fate::Answered(200));
    let told = upstream.told();
    assert_eq!(told.len(), 2);
    for told in told {
        assert_eq!(told.values("host"), ["gate:5043"]);
        assert!(told.values("te").is_empty());
    }
}

#[test]
fn h14_n31_a_body_of_another_length_than_told_is_never_complete() {
    let upstream = Upstream::answering(OK);
    let fronts = Fronts::before(&upstream.url(), "");
    for (length, pieces) in [
        ("5", &["abc"][..]),
        ("5", &["abcdefg"]),
        ("5", &["abc", "defg"]),
        ("5", &[""]),
        ("0", &["abc"]),
    ] {
        let mut frames = begin(&fronts);
        let fields = [&UPLOAD[..], &[("content-length", length)]].concat();
        frames.send(HEADERS, END_HEADERS, 1, &block(&fields));
        for (n, piece) in pieces.iter().enumerate() {
            let last = if n + 1 == pieces.len() { END_STREAM } else { 0 };
            frames.send(DATA, last, 1, piece.as_bytes());
        }
        match frames.fate(1) {
            Fate::Answered(0 | 400) | Fate::Reset(_) | Fate::GoAway(_) => {}
            other => panic!("{other:?} for {length} and {pieces:?}"),
        }
    }
    let told = upstream.wait_for("every upload ends", |told| {
        told.iter().all(|t| t.broken || t.complete)
    });
    assert!(told.iter().all(|t| !t.complete), "{told:?}");
}

#[test]
fn h14_n5_trailers_of_a_request_become_no_headers() {
    let upstream = Upstream::answering(OK);
    let fronts = Fronts::before(&upstream.url(), "");
    let mut frames = begin(&fronts);
    frames.send(HEADERS, END_HEADERS, 1, &block(&UPLOAD));
    frames.send(DATA, 0, 1, b"hello");
    let trailers = block(&[("x-evil", "1"), ("content-length", "99")]);
    frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &trailers);
    assert_eq!(frames.fate(1), Fate::Answered(200));
    assert_eq!(upstream.told()[0].body, b"hello");
    assert!(!text(&upstream.bytes()).contains("evil"));
}

#[test]
fn h3_h14_n8_what_is_too_large_for_http_1_is_too_large_here() {
    let upstream = Upstream::answering(OK);
    let fronts = Fronts::before(&upstream.url(), "");
    let mut many = GOOD.to_vec();
    many.extend([("x-many", "1"); 101]);
    let long = format!("/v2/_catalog?last={}", "a".repeat(9 << 10));
    for fields in [many, with(":path", &long)] {
        let mut frames = begin(&fronts);
        frames.ask(1, &fields);
        // 431 and 414 are not in the table of short forms.
        assert_eq!(frames.fate(1), Fate::Answered(0));
    }
    assert!(upstream.bytes().is_empty());
}

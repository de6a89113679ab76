//! Each refusal says in the access log, in one word, why it was refused.

use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use crate::support::binary::Binary;
use crate::support::frames::{Frames, RST_STREAM};
use crate::support::fronts::LOGIN;

/// An upstream whose every answer stops in its middle; it tells of each request that it does not answer at all.
fn cut_short(path: &Path, unanswered: Sender<()>) {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap();
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let answer: &[u8] = if head.contains("/bad/") {
                b"HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"
            };
            if head.contains("/silent/") {
                unanswered.send(()).unwrap();
                // Until the gate lets go.
                let _ = stream.read(&mut [0; 4096]);
                continue;
            }
            // The gate may be gone; then there is nothing to tell.
            let _ = stream.write_all(answer);
        }
    });
}

#[test]
fn the_access_log_says_why() {
    let binary = Binary::start("", |path| cut_short(path, channel().0));
    let upload = "PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: a\r\n";
    for (request, reason) in [
        (
            format!("{upload}{LOGIN}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "framing_conflict",
        ),
        (
            format!("{upload}{LOGIN}Transfer-Encoding: xchunked\r\n\r\n"),
            "bad_te",
        ),
        (
            format!("{upload}{LOGIN}Content-Length: +1\r\n\r\n"),
            "bad_cl",
        ),
        (
            format!("{upload}{LOGIN}Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
            "bad_chunk",
        ),
        (
            "GET /v2/a/manifests/1 HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n".to_owned(),
            "bad_header",
        ),
        (
            "GET /v2/a/manifests/1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
            "bad_host",
        ),
        (
            format!(
                "GET /v2/a/manifests/1 HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
                "x".repeat(100_000)
            ),
            "too_large",
        ),
        (
            "TRACE /v2/a/manifests/1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "method",
        ),
        (
            "GET /v2/../x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "bad_path",
        ),
        (
            format!("{upload}Expect: 100-continue\r\nContent-Length: 1\r\n\r\n"),
            "unauthorized",
        ),
        (
            "GET /v2/bad/tags/list HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "bad_upstream",
        ),
        (
            "GET /v2/a/manifests/1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "upstream_truncated",
        ),
    ] {
        let mut raw = binary.connect(true);
        raw.send(&request);
        let _ = raw.read_until(b"\r\n\r\n");
        let line = binary.logged(&format!("\"{reason}\""));
        if reason == "upstream_truncated" {
            assert!(line.contains("bytes_sent\":5,"), "{line}");
        }
        assert!(!line.contains("dXNlcjpzZWNyZXQ"), "{line}");
    }
}

/// As nginx does, with its status for it.
#[test]
fn a_client_that_goes_before_it_is_answered_has_its_line_too() {
    let (sender, asked) = channel();
    let binary = Binary::start("", |path| cut_short(path, sender));
    let asked = || asked.recv_timeout(Duration::from_secs(20)).unwrap();
    let ask = |name: &str| format!("GET /v2/silent/manifests/{name} HTTP/1.1\r\nHost: a\r\n\r\n");
    for (tls, name) in [(false, "plain"), (true, "encrypted")] {
        let mut raw = binary.connect(tls);
        raw.send(ask(name));
        asked();
        drop(raw);
        let line = binary.logged(&format!("manifests/{name}"));
        assert!(line.contains("\"client_aborted\""), "{line}");
        assert!(line.contains("\"http.status\":499"), "{line}");
    }
    let mut frames = Frames::begin(binary.connect_offering(true, &["h2"]), &[]);
    frames.ask(
        1,
        &[
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/v2/silent/manifests/h2"),
            (":authority", "a"),
        ],
    );
    asked();
    frames.send(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    let line = binary.logged("manifests/h2");
    assert!(line.contains("\"client_aborted\""), "{line}");
}

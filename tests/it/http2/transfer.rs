//! What honest clients do.

use std::fs;
use std::process::Command;

use bytes::Bytes;
use http::Request;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::{DIGEST, UPLOAD, begin};
use crate::support::frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, block};
use crate::support::fronts::Fronts;
use crate::support::peers;
use crate::support::process::run;
use crate::support::raw::{lines, tls_config};
use crate::support::registry::Registry;
use crate::support::upstream::{Next, Upstream};

/// What curl prints for these arguments; it must succeed.
#[track_caller]
fn curl(fronts: &Fronts, arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--http2",
            "--user",
            "user:secret",
            "--cacert",
        ])
        .arg(fronts.authority.ca())
        .args(arguments);
    run(&mut command).succeeds("curl").stdout
}

#[test]
fn a_blob_is_pushed_and_pulled_over_http_2() {
    if !peers::need(&["docker-registry", "curl", "sha256sum"]) {
        return;
    }
    let registry = Registry::start();
    let fronts = Fronts::before(registry.url(), "");
    let port = fronts.gate.address_of(1).port();
    let base = format!("https://localhost:{port}");
    let dir = TempDir::with_prefix("dockgate-blob-").unwrap();
    let (blob, back) = (dir.path().join("blob"), dir.path().join("back"));
    let bytes: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&blob, &bytes).unwrap();
    let sum = run(Command::new("sha256sum").arg(&blob))
        .succeeds("sha256sum")
        .stdout;
    let digest = format!("sha256:{}", sum.split(' ').next().unwrap());
    let begun = curl(
        &fronts,
        &["-i", "-X", "POST", &format!("{base}/v2/a/blobs/uploads/")],
    );
    assert!(begun.starts_with("HTTP/2 202"), "{begun}");
    let location = lines(&begun, "location")[0];
    assert!(
        location.starts_with(&format!("{base}/v2/a/blobs/uploads/")),
        "{location}"
    );
    let data = format!("@{}", blob.display());
    let typed = "Content-Type: application/octet-stream";
    let put = format!("{location}&digest={digest}");
    let done = curl(
        &fronts,
        &["-i", "-X", "PUT", "-H", typed, "--data-binary", &data, &put],
    );
    assert!(done.contains("HTTP/2 201"), "{done}");
    let url = format!("{base}/v2/a/blobs/{digest}");
    curl(&fronts, &["--output", back.to_str().unwrap(), &url]);
    assert!(
        fs::read(&back).unwrap() == bytes,
        "the same bytes come back"
    );
    let described = curl(&fronts, &["--head", &url]);
    assert_eq!(lines(&described, "content-length"), ["20000000"]);
    assert_eq!(
        lines(&described, "docker-distribution-api-version"),
        ["registry/2.0"]
    );
    assert_eq!(lines(&described, "strict-transport-security").len(), 1);
    let range = curl(&fronts, &["--range", "4-7", "--output", "-", "-i", &url]);
    assert!(range.starts_with("HTTP/2 206"), "{range}");
}

#[test]
fn a_hundred_requests_share_one_connection() {
    let upstream = Upstream::start(|request| {
        request.read_body().unwrap();
        let name = lines(&request.head, "x-name")[0].to_owned();
        let length = name.len();
        request.say(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}"
        ));
        Next::Keep
    });
    let fronts = Fronts::before(&upstream.url(), "");
    let address = fronts.gate.address_of(1);
    let config = tls_config(fronts.authority.ca(), &["h2"]);
    Runtime::new().unwrap().block_on(async {
        let tcp = TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let name = "localhost".try_into().unwrap();
        let tls = connector.connect(name, tcp).await.unwrap();
        let (mut client, connection) = h2::client::handshake(tls).await.unwrap();
        let driver = tokio::spawn(connection);
        let mut answers = Vec::new();
        for n in 0..100 {
            let request = Request::patch(format!("https://gate/v2/a/blobs/uploads/{n}"))
                .header("authorization", UPLOAD[4].1)
                .header("x-name", n.to_string())
                .body(())
                .unwrap();
            client = client.ready().await.unwrap();
            let (answer, mut body) = client.send_request(request, false).unwrap();
            body.send_data(Bytes::from(vec![b'x'; 1000]), true).unwrap();
            answers.push((n, answer));
        }
        for (n, answer) in answers {
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), 200);
            let bytes = answer.into_body().data().await.unwrap().unwrap();
            assert_eq!(bytes, n.to_string());
        }
        driver.abort();
    });
    assert!(
        upstream
            .told()
            .iter()
            .all(|t| t.complete && t.body.len() == 1000)
    );
}

#[test]
fn h12_n36_an_upload_that_is_given_up_is_ended_behind_the_gate() {
    let upstream = Upstream::answering("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    let fronts = Fronts::before(&upstream.url(), "");
    for reset in [true, false] {
        let mut frames = begin(&fronts);
        frames.send(HEADERS, END_HEADERS, 1, &block(&UPLOAD));
        frames.send(DATA, 0, 1, b"hello");
        let begun = if reset { 1 } else { 2 };
        upstream.wait_for("the upload begins", |told| told.len() == begun);
        if reset {
            frames.send(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
        }
        let dropped = (!reset).then(|| drop(frames));
        let told = upstream.wait_for("the upload ends", |t| t.iter().all(|t| t.broken));
        assert!(told.iter().all(|t| !t.complete), "{told:?} {dropped:?}");
    }
}

/// What comes on this stream until its end: the fields of the head as bytes, and how many bytes of a body.
fn until_the_end(frames: &mut Frames, stream: u32) -> (Vec<u8>, usize) {
    let (mut head, mut body) = (Vec::new(), 0);
    loop {
        let frame = frames.next().unwrap();
        if frame.stream != stream {
            continue;
        }
        match frame.kind {
            HEADERS => head.extend(&frame.payload),
            DATA => body += frame.payload.len(),
            other => panic!("a frame of kind {other}"),
        }
        if frame.flags & END_STREAM != 0 {
            return (head, body);
        }
    }
}

#[test]
fn an_answer_to_head_is_the_head_alone_from_either_backend() {
    let upstream = Upstream::answering("HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\n");
    for fronts in [Fronts::before(&upstream.url(), ""), Fronts::embedded()] {
        let mut frames = begin(&fronts);
        let paths = [
            "/v2/a/manifests/none",
            "/v2/a/tags/list",
            "/v2/_catalog",
            "/v2/a//b/manifests/1",
            "/v2/A/manifests/1",
            "/elsewhere",
            "/v2/",
            "/",
        ];
        let login = [("authorization", "Basic dXNlcjpzZWNyZXQ=")];
        let asked = paths
            .iter()
            .flat_map(|path| [(path, &login[..]), (path, &[])]);
        for (n, (path, more)) in asked.enumerate() {
            let stream = u32::try_from(2 * n + 1).unwrap();
            let fields = [
                (":method", "HEAD"),
                (":scheme", "https"),
                (":path", path),
                (":authority", "gate"),
            ];
            frames.ask(stream, &[&fields[..], more].concat());
            let (head, body) = until_the_end(&mut frames, stream);
            assert!(!head.is_empty(), "{path}");
            assert_eq!(body, 0, "{path}: a body (RFC 9110 section 9.3.2)");
        }
    }
}

#[test]
fn a_head_has_the_same_facts_as_over_http_1() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let fronts = Fronts::before(&upstream.url(), "");
    let mut frames = begin(&fronts);
    let path = format!("/v2/a/blobs/{DIGEST}");
    frames.ask(
        1,
        &[
            (":method", "GET"),
            (":scheme", "https"),
            (":path", &path),
            (":authority", "gate.example:5043"),
            ("accept", "a"),
            ("accept", "b"),
            ("x-forwarded-proto", "javascript"),
            ("x-forwarded-for", "6.6.6.6"),
            ("range", "bytes=0-1"),
        ],
    );
    let _ = frames.fate(1);
    let told = &upstream.told()[0];
    assert_eq!(told.line(), format!("GET {path}"));
    assert_eq!(told.values("host"), ["gate.example:5043"]);
    assert_eq!(told.values("x-forwarded-host"), ["gate.example:5043"]);
    assert_eq!(told.values("x-forwarded-proto"), ["https"]);
    assert_eq!(told.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(told.values("accept"), ["a", "b"]);
    assert_eq!(told.values("range"), ["bytes=0-1"]);
}

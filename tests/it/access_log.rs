//! The access log, as the tools that people have read it, and as nobody can abuse it.

use std::fs;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::certs::Authority;
use crate::support::dialog::{Dialog, Tls};
use crate::support::nginx::Nginx;
use crate::support::origin::{Origin, SLOW};
use crate::support::program::{Program, dockgate};
use crate::support::{passwords, peers};

const RIGHT: &str = "Authorization: Basic YW5uOnNlY3JldA=="; // ann:secret
const WRONG: &str = "Authorization: Basic YW5uOndyb25n"; // ann:wrong
const NOBODY: &str = "Authorization: Basic bm9ib2R5OndvcmQ="; // nobody:word
const HOSTILE: &str = "Authorization: Basic YSJiXBtbMzFtOng="; // a"b\ESC[31m:x

fn start(origin: &Origin, access: &str) -> Program {
    Program::start_with(
        &format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n\
             [auth]\nhtpasswd = \"htpasswd\"\n[log]\naccess = {access}\n",
            origin.url()
        ),
        |dir| fs::write(dir.join("htpasswd"), "ann:{PLAIN}secret\n").unwrap(),
    )
}

/// The lines that it has written when it has ended.
fn lines(program: Program) -> Vec<String> {
    program.signal(Signal::TERM);
    let (code, out, err) = program.end();
    assert_eq!(code, Some(0), "{err}");
    out.lines().map(str::to_owned).collect()
}

fn ask(dialog: &mut Dialog, request: &[u8]) -> u16 {
    dialog.send(request).unwrap();
    let method = request.split(|b| *b == b' ').next().unwrap();
    let method = String::from_utf8_lossy(method).into_owned();
    dialog.answer(&method).unwrap().status
}

/// `[day/month/year:time zone]` becomes `[TIME]`.
fn without_time(line: &str) -> String {
    let time = regex::Regex::new(r"\[\d\d/[A-Z][a-z]{2}/\d{4}(:\d\d){3} [+-]\d{4}\]").unwrap();
    assert!(time.is_match(line), "{line}");
    time.replace(line, "[TIME]").into_owned()
}

#[test]
fn combined_is_byte_for_byte_what_nginx_writes() {
    if !peers::need(&["nginx", "htpasswd"]) {
        return;
    }
    let origin = Origin::start();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("htpasswd");
    passwords::write(&file, "ann", "secret");
    let nginx = Nginx::start(
        std::net::Ipv4Addr::LOCALHOST,
        &format!(
            "server {{ listen LISTEN; location / {{ auth_basic Registry; auth_basic_user_file {}; proxy_pass {}; }} }}",
            file.display(),
            origin.url()
        ),
    );
    let program = start(&origin, "true");
    let agent = "User-Agent: docker/27.0 (\"linux\") \\ \u{e9}\tx";
    let requests = [
        format!("GET /v2/ HTTP/1.1\r\nHost: a\r\n{RIGHT}\r\n\r\n"),
        format!(
            "HEAD /v2/a/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 HTTP/1.1\r\nHost: a\r\n{RIGHT}\r\n\r\n"
        ),
        format!(
            "GET /v2/a/manifests/1?n=5&last=x%20y HTTP/1.1\r\nHost: a\r\n{RIGHT}\r\n{agent}\r\nReferer: http://x/\"y\r\n\r\n"
        ),
        format!(
            "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\n{RIGHT}\r\nContent-Length: 5\r\n\r\n12345"
        ),
        format!(
            "GET /v2/slow/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 HTTP/1.1\r\nHost: a\r\n{RIGHT}\r\nUser-Agent: -\r\n\r\n"
        ),
        "GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        format!("GET /v2/ HTTP/1.1\r\nHost: a\r\n{WRONG}\r\n\r\n"),
        format!("GET /v2/ HTTP/1.1\r\nHost: a\r\n{NOBODY}\r\n\r\n"),
        format!("GET /v2/ HTTP/1.1\r\nHost: a\r\n{HOSTILE}\r\n\r\n"),
        format!("GET /v2/ HTTP/1.0\r\nConnection: close\r\n{RIGHT}\r\n\r\n"),
    ];
    origin.release();
    for address in [nginx.address(), program.address(0)] {
        let mut dialog = Dialog::tcp(address);
        for request in &requests {
            ask(&mut dialog, request.as_bytes());
        }
    }
    let ours = lines(program);
    // nginx writes at the end of the request too, but it is another process.
    let deadline = tokio::time::Instant::now() + crate::support::dialog::PATIENCE;
    while nginx.access_log().lines().count() < requests.len() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{}",
            nginx.access_log()
        );
    }
    let theirs = nginx.access_log();
    assert_eq!(ours.len(), requests.len(), "{ours:#?}");
    for (ours, theirs) in ours.iter().zip(theirs.lines()) {
        let (mut ours, mut theirs) = (without_time(ours), without_time(theirs));
        if theirs.contains("\" 401 ") {
            // Their refusal is a page of HTML and ours is JSON: the one difference, in length.
            (ours, theirs) = (without_length(&ours), without_length(&theirs));
        }
        assert_eq!(ours, theirs);
    }
}

fn without_length(line: &str) -> String {
    let (before, after) = line.split_once("\" 401 ").unwrap();
    let (_, after) = after.split_once(' ').unwrap();
    format!("{before}\" 401 LENGTH {after}")
}

#[test]
fn json_says_everything_there_is_to_say() {
    let origin = Origin::start();
    let program = start(&origin, "\"json\"");
    let mut dialog = Dialog::tcp(program.address(0));
    for (request, status) in [
        (
            format!(
                "PATCH /v2/team/app/blobs/uploads/1?_state=S3CRET HTTP/1.1\r\nHost: a:5\r\nUser-Agent: x\r\n{RIGHT}\r\nContent-Length: 5\r\n\r\n12345"
            ),
            200,
        ),
        (
            format!("GET /v2/ HTTP/1.1\r\nHost: a\r\n{WRONG}\r\n\r\n"),
            401,
        ),
        ("GET /v2/a/../b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
    ] {
        assert_eq!(ask(&mut dialog, request.as_bytes()), status);
    }
    drop(dialog);
    let lines = lines(program);
    let lines: Vec<Value> = lines
        .iter()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    for (name, value) in [
        ("user", Value::from("ann")),
        ("repository", "team/app".into()),
        ("action", "push".into()),
        ("peer.addr", "127.0.0.1".into()),
        ("http.method", "PATCH".into()),
        (
            "http.target",
            "/v2/team/app/blobs/uploads/1?_state=[redacted]".into(),
        ),
        ("http.version", "HTTP/1.1".into()),
        ("http.host", "a:5".into()),
        ("http.user_agent", "x".into()),
        ("http.status", 200.into()),
        ("upstream.status", 200.into()),
        ("body.bytes_received", 5.into()),
        ("body.bytes_sent", 2.into()),
    ] {
        assert_eq!(lines[0][name], value, "{}", lines[0]);
    }
    assert!(lines[0]["duration_ms"].is_number() && lines[0]["time"].is_string());
    assert!(lines[0]["request.id"].is_string() && lines[0].get("reason").is_none());
    assert_eq!(lines[1]["user"], "ann", "{}", lines[1]);
    assert_eq!(lines[1]["reason"], "auth_failed", "{}", lines[1]);
    assert_eq!(lines[2]["reason"], "bad_path", "{}", lines[2]);
}

#[test]
fn a_line_is_written_when_the_body_ends_with_the_bytes_that_left() {
    let origin = Origin::start();
    let program = start(&origin, "\"json\"");
    let request = format!(
        "GET /v2/slow/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 HTTP/1.1\r\nHost: a\r\n{RIGHT}\r\n\r\n"
    );
    let mut whole = Dialog::tcp(program.address(0));
    whole.send(request.as_bytes()).unwrap();
    whole.head().unwrap();
    whole.take(SLOW / 2).unwrap();
    let mut cut = Dialog::tcp(program.address(0));
    cut.send(request.as_bytes()).unwrap();
    cut.head().unwrap();
    cut.take(SLOW / 2).unwrap();
    assert_eq!(program.stdout(), "", "nothing has ended yet");
    drop(cut);
    let line: Value = serde_json::from_str(&program.out_line("slow")).unwrap();
    assert_eq!(line["reason"], "client_aborted", "{line}");
    assert_eq!(line["body.bytes_sent"], SLOW / 2, "{line}");
    origin.release();
    whole.take(SLOW / 2).unwrap();
    let line: Value = serde_json::from_str(&program.out_line(&SLOW.to_string())).unwrap();
    assert!(line.get("reason").is_none(), "{line}");
}

#[test]
fn a6_n62_nothing_that_a_client_sends_breaks_out_of_its_field_and_no_secret_gets_in() {
    let origin = Origin::start();
    for access in ["true", "\"json\""] {
        let program = start(&origin, access);
        let mut dialog = Dialog::tcp(program.address(0));
        for request in [
            format!("GET /v2/?token=S3CRET&access_token=S3CRET&n=1 HTTP/1.1\r\nHost: a\r\n{RIGHT}\r\n\r\n").into_bytes(),
            b"GET /v2/ HTTP/1.1\r\nHost: a\r\nUser-Agent: \x1b]0;x\x07\r\n\r\n".to_vec(),
        ] {
            let _ = dialog.send(&request);
            let _ = dialog.answer("GET");
            dialog = Dialog::tcp(program.address(0));
        }
        for request in [
            format!("GET /v2/ HTTP/1.1\r\nHost: a\r\n{HOSTILE}\r\nUser-Agent: \"x\\ \u{9b}31m\r\n\r\n"),
            format!("GET /v2/\"><script>\\ HTTP/1.1\r\nHost: a\r\n{RIGHT}\r\n\r\n"),
            "GET /v2/ HTTP/1.1\r\nHost: a\r\nReferer: https://ann:S3CRET@x/?password=S3CRET\r\n\r\n".to_owned(),
        ] {
            let mut dialog = Dialog::tcp(program.address(0));
            let status = ask(&mut dialog, request.as_bytes());
            assert!((400..500).contains(&status), "{status}");
        }
        drop(dialog);
        let lines = lines(program);
        assert_eq!(lines.len(), 5, "{lines:#?}");
        for line in lines {
            assert!(!line.contains("S3CRET"), "{line}");
            assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
            if access == "true" {
                assert_eq!(line.matches('"').count(), 6, "{line}");
                assert!(line.is_ascii(), "{line}");
            } else {
                serde_json::from_str::<Value>(&line).unwrap();
            }
        }
    }
}

#[test]
fn without_an_access_log_nothing_is_written() {
    let origin = Origin::start();
    let program = start(&origin, "false");
    let mut dialog = Dialog::tcp(program.address(0));
    assert_eq!(dialog.get("/v2/").status, 401);
    drop(dialog);
    assert!(lines(program).is_empty());
}

#[test]
fn p3_a_dead_or_stuck_standard_output_stops_no_request() {
    let origin = Origin::start();
    for dead in [true, false] {
        let (reader, writer) = std::io::pipe().unwrap();
        let folder = TempDir::new().unwrap();
        let toml = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n[auth]\nanonymous = \"pull\"\n",
            origin.url()
        );
        fs::write(folder.path().join("proxy.toml"), toml).unwrap();
        let mut command = dockgate();
        command.arg("serve").stdout(Stdio::from(writer));
        let program = Program::spawn(folder, command);
        let reader = (!dead).then_some(reader);
        let mut dialog = Dialog::tcp(program.address(0));
        // More than a pipe holds.
        for _ in 0..1500 {
            assert_eq!(dialog.get("/_ping").status, 200);
        }
        program.signal(Signal::TERM);
        drop(dialog);
        let (code, _, err) = program.end();
        assert_eq!(code, Some(0), "{err}");
        assert!(!dead || err.contains("access log lines are lost"), "{err}");
        drop(reader);
    }
}

#[test]
fn the_version_of_tls_is_the_one_that_was_agreed_on() {
    let (origin, authority) = (Origin::start(), Authority::new("versions"));
    let pair = authority.server();
    let program = Program::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\
         [upstream]\nurl = \"{}\"\n[auth]\nanonymous = \"pull\"\n[log]\naccess = \"json\"\n",
        pair.certificate.display(),
        pair.key.display(),
        origin.url()
    ));
    let tls = |version| Tls::build(authority.ca(), peers::NAME, None, &[version]);
    let (old, new) = (tls(&rustls::version::TLS12), tls(&rustls::version::TLS13));
    Dialog::tls(program.address(1), &old).get("/v2/old/tags/list");
    Dialog::tls(program.address(1), &new).get("/v2/new/tags/list");
    Dialog::tcp(program.address(0)).get("/v2/clear/tags/list");
    let mut told: Vec<(String, Value)> = lines(program)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|line: Value| (line["repository"].to_string(), line["tls.version"].clone()))
        .collect();
    told.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        ("\"clear\"", Value::Null),
        ("\"new\"", "TLSv1.3".into()),
        ("\"old\"", "TLSv1.2".into()),
    ];
    assert_eq!(
        told,
        expected.map(|(name, version)| (name.to_owned(), version))
    );
}

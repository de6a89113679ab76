//! The listener itself: what it answers, to whom, how long, and that it harms nobody.

use std::net::TcpStream;
use std::os::unix::net::UnixListener;

use rustix::process::Signal;
use tempfile::TempDir;

use super::gates::{NOTHING, start, toml};
use crate::support::ask::ask;
use crate::support::dialog::Dialog;
use crate::support::origin::{Origin, SLOW};
use crate::support::program::{Program, dockgate};
use crate::support::scrape::{Scrape, readiness};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

#[test]
fn three_paths_are_answered_to_get_and_head_and_nothing_else() {
    let origin = Origin::start();
    let gate = start(&origin.url(), "");
    let admin = gate.admin();
    let health = ask(admin, "GET /healthz", &[], b"");
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    let ready = readiness(admin);
    assert_eq!(ready.status, 200);
    assert_eq!(ready.body, "ok serving\nok certificates\nok upstream\n");
    for path in ["/metrics", "/healthz", "/readyz", "/metrics?a=b"] {
        let head = ask(admin, &format!("HEAD {path}"), &[], b"");
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        let length: usize = head.one("content-length").parse().unwrap();
        assert!(length > 2, "{path}: {head:?}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let refused = ask(admin, &format!("{method} {path}"), &[], b"");
            assert_eq!(refused.status, 405, "{method} {path}");
            assert_eq!(refused.one("allow"), "GET, HEAD");
        }
    }
    for path in [
        "/",
        "/metrics/",
        "//metrics",
        "/metrics/../metrics",
        "/v2/",
        "/_ping",
        "/METRICS",
    ] {
        assert_eq!(
            ask(admin, &format!("GET {path}"), &[], b"").status,
            404,
            "{path}"
        );
    }
}

#[test]
fn a_scraper_gets_the_format_that_it_asks_for() {
    let origin = Origin::start();
    let gate = start(&origin.url(), "");
    let get = |accept: &str| {
        let header = format!("Accept: {accept}");
        ask(gate.admin(), "GET /metrics", &[&header], b"")
    };
    let open = get("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5");
    assert_eq!(open.one("content-type"), OPEN_METRICS);
    assert!(open.body.ends_with("# EOF\n"), "{}", open.body);
    assert!(
        open.body
            .contains("# TYPE dockgate_failed_logins counter\n")
    );
    let classic = get("text/plain;version=0.0.4");
    assert_eq!(classic.one("content-type"), CLASSIC);
    assert!(
        classic
            .body
            .contains("# TYPE dockgate_failed_logins_total counter\n")
    );
    assert!(!classic.body.contains("# EOF") && !classic.body.contains("# UNIT"));
    let names = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let mut names: Vec<_> = lines
            .map(|l| l.rsplit_once(' ').unwrap().0.to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&open.body), names(&classic.body));
}

#[test]
fn clients_cannot_reach_it_and_it_reaches_no_registry() {
    let origin = Origin::start();
    let gate = start(&origin.url(), "");
    for path in ["/metrics", "/healthz", "/readyz"] {
        let refused = ask(gate.address(0), &format!("GET {path}"), &[], b"");
        assert_eq!(refused.status, 404, "{path}");
        assert!(!refused.body.contains("dockgate_"), "{path}");
    }
    let seen = origin.seen().len();
    assert_eq!(ask(gate.admin(), "GET /v2/", &[], b"").status, 404);
    assert_eq!(
        ask(
            gate.admin(),
            "GET http://127.0.0.1/v2/a/manifests/1",
            &[],
            b""
        )
        .status,
        404
    );
    let others = origin.seen().into_iter().skip(seen);
    let others: Vec<_> = others
        .filter(|seen| !seen.head.contains("(readiness)"))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn it_tells_of_a_drain_until_the_end_of_it_and_closes_then() {
    let origin = Origin::start();
    let gate = start(&origin.url(), "[timeouts]\ndrain = \"60s\"\n");
    let admin = gate.admin();
    let mut download = Dialog::tcp(gate.address(0));
    let slow = format!("/v2/slow/blobs/{NOTHING}");
    download.request("GET", &slow, &[], b"").unwrap();
    assert_eq!(download.head().unwrap().0, 200);
    download.take(SLOW / 2).unwrap();
    assert_eq!(readiness(admin).status, 200);

    gate.signal(Signal::TERM);
    gate.err_line("draining");
    let report = readiness(admin);
    assert_eq!(report.status, 503);
    assert!(
        report.body.contains("fail serving: draining\n"),
        "{}",
        report.body
    );
    assert!(report.body.contains("ok upstream\n"), "{}", report.body);
    assert_eq!(ask(admin, "GET /healthz", &[], b"").status, 200);
    let told = Scrape::of(admin);
    assert!(told.one("dockgate_ready", &["part=\"serving\""]) < 0.1);
    assert!((told.one("dockgate_requests_open", &["route=\"blob\""]) - 1.0).abs() < 0.1);

    origin.release();
    download.take(SLOW / 2).unwrap();
    let (code, _, err) = gate.end();
    assert_eq!(code, Some(0), "{err}");
    assert!(TcpStream::connect(admin).is_err());
}

#[test]
fn scrapers_that_are_slow_or_dead_harm_neither_clients_nor_the_next_scraper() {
    let origin = Origin::start();
    let gate = start(&origin.url(), "");
    let admin = gate.admin();
    // More than it has places for: some say nothing, some half of a head, some take nothing of the answer.
    let mut held = Vec::new();
    for n in 0..90 {
        let mut dialog = Dialog::tcp(admin);
        match n % 3 {
            0 => {}
            1 => dialog
                .send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n")
                .unwrap(),
            _ => dialog
                .send(b"GET /readyz HTTP/1.1\r\nHost: a\r\nX: ")
                .unwrap(),
        }
        held.push(dialog);
    }
    for _ in 0..20 {
        assert_eq!(
            ask(gate.address(0), "GET /v2/a/manifests/1", &[], b"").status,
            200
        );
    }
    // The silent ones are given up after some seconds, and then it is this one's turn.
    assert_eq!(ask(admin, "GET /healthz", &[], b"").status, 200);
    drop(held);
    assert_eq!(
        ask(gate.address(0), "GET /v2/a/manifests/1", &[], b"").status,
        200
    );
}

#[test]
fn what_is_no_request_is_refused_and_ends_the_connection() {
    let origin = Origin::start();
    let gate = start(&origin.url(), "");
    let long = format!(
        "GET /healthz HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "y".repeat(40_000)
    );
    let many = format!(
        "GET /healthz HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: y\r\n".repeat(200)
    );
    for bytes in ["nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", &long, &many] {
        let mut dialog = Dialog::tcp(gate.admin());
        let _ = dialog.send(bytes.as_bytes());
        let said = String::from_utf8_lossy(&dialog.is_closed()).into_owned();
        assert!(!said.contains(" 200 "), "{said}");
    }
    // One request for each connection, whatever else was sent.
    let mut two = Dialog::tcp(gate.admin());
    two.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let said = String::from_utf8_lossy(&two.is_closed()).into_owned();
    assert_eq!(said.matches("HTTP/1.1 200").count(), 1, "{said}");
}

#[test]
fn it_may_be_a_unix_socket_and_an_address_that_is_taken_is_named() {
    let origin = Origin::start();
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("admin.sock");
    let admin = format!("address = \"unix:{}\"", socket.display());
    let configuration = toml(&origin.url(), "").replacen(
        "[admin]\naddress = \"127.0.0.1:0\"",
        &format!("[admin]\n{admin}"),
        1,
    );
    assert!(configuration.contains(&admin));
    let users = |dir: &std::path::Path| std::fs::write(dir.join("htpasswd"), "").unwrap();
    let gate = Program::start_with(&configuration, users);
    let health = Dialog::unix(&socket).get("/healthz");
    assert_eq!((health.status, health.text().as_str()), (200, "ok\n"));
    drop(gate);

    let taken = dir.path().join("taken.sock");
    let _taken = UnixListener::bind(&taken).unwrap();
    let configuration = configuration.replace("admin.sock", "taken.sock");
    let dir = TempDir::new().unwrap();
    users(dir.path());
    std::fs::write(dir.path().join("proxy.toml"), configuration).unwrap();
    let mut command = dockgate();
    command.arg("serve");
    let (code, _, err) = Program::spawn(dir, command).end();
    assert_eq!(code, Some(1), "{err}");
    assert!(
        err.contains("cannot listen on unix:") && err.contains("taken.sock"),
        "{err}"
    );
}

#[test]
fn without_the_table_nothing_is_opened() {
    let origin = Origin::start();
    let configuration =
        toml(&origin.url(), "").replacen("[admin]\naddress = \"127.0.0.1:0\"\n", "", 1);
    let gate = Program::start_with(&configuration, |dir| {
        std::fs::write(dir.join("htpasswd"), "").unwrap();
    });
    assert_eq!(
        ask(gate.address(0), "GET /v2/a/manifests/1", &[], b"").status,
        200
    );
    assert!(!gate.stderr().contains("answering /metrics"));
    let asked = origin
        .seen()
        .into_iter()
        .filter(|seen| seen.head.contains("(readiness)"));
    assert_eq!(asked.count(), 0, "the upstream is left in peace");
}

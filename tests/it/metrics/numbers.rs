//! Numbers move as what happens says they should.

use std::net::{SocketAddr, TcpStream};

use super::gates::{NOTHING, start};
use crate::support::ask::{ask, basic};
use crate::support::certs::Authority;
use crate::support::dialog::{Dialog, Tls};
use crate::support::origin::{Origin, SLOW};
use crate::support::peers::NAME;
use crate::support::program::Program;
use crate::support::scrape::Scrape;
use crate::support::upstream::{Next, Upstream};

const REQUESTS: &str = "dockgate_requests_total";

/// A registry that takes an upload and has a manifest.
fn registry() -> Upstream {
    Upstream::start(|request| {
        if request.read_body().is_err() {
            return Next::Close;
        }
        let line = request.head.lines().next().unwrap().to_owned();
        request.say(match line.split('/').next().unwrap().trim() {
            "POST" => "HTTP/1.1 202 Accepted\r\nLocation: /v2/a/blobs/uploads/1\r\nContent-Length: 0\r\n\r\n",
            "PATCH" => "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
            "PUT" => "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
            "DELETE" => "HTTP/1.1 204 No Content\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"some\":42}",
        });
        Next::Keep
    })
}

/// What a client of the upstream does: it pulls, pushes, and is refused.
fn nine_requests(address: SocketAddr) {
    let login = basic("ann", "secret");
    let (pull, upload) = ("GET /v2/a/manifests/1", "/v2/a/blobs/uploads/1");
    assert_eq!(ask(address, pull, &[], b"").status, 200);
    assert_eq!(ask(address, pull, &[], b"").status, 200);
    let start = "POST /v2/a/blobs/uploads/";
    assert_eq!(ask(address, start, &[&login], b"").status, 202);
    let patch = format!("PATCH {upload}");
    assert_eq!(ask(address, &patch, &[&login], b"12345").status, 202);
    let put = format!("PUT {upload}?digest={NOTHING}");
    assert_eq!(ask(address, &put, &[&login], b"678").status, 201);
    let delete = format!("DELETE {upload}");
    assert_eq!(ask(address, &delete, &[&login], b"").status, 204);
    assert_eq!(ask(address, start, &[], b"").status, 401);
    assert_eq!(ask(address, "GET /v2/a/nonsense", &[], b"").status, 404);
    assert_eq!(ask(address, "GET /_ping", &[], b"").status, 200);
}

#[test]
fn pulls_pushes_and_refusals_are_counted_by_route_method_status_and_backend() {
    let upstream = registry();
    let gate = start(&upstream.url(), "");
    nine_requests(gate.address(0));
    let all = |s: &Scrape| s.sum(REQUESTS, &[]) >= 9.0;
    let told = Scrape::until(gate.admin(), "nine requests", all);
    for (route, method, status, backend, times) in [
        ("manifest", "GET", "200", "upstream", 2.0),
        ("upload_start", "POST", "202", "upstream", 1.0),
        ("upload", "PATCH", "202", "upstream", 1.0),
        ("upload", "PUT", "201", "upstream", 1.0),
        ("upload", "DELETE", "204", "upstream", 1.0),
        ("upload_start", "POST", "401", "gate", 1.0),
        ("none", "GET", "404", "gate", 1.0),
        ("ping", "GET", "200", "gate", 1.0),
    ] {
        let labels = [
            format!("route=\"{route}\""),
            format!("method=\"{method}\""),
            format!("status=\"{status}\""),
            format!("backend=\"{backend}\""),
        ];
        told.is(REQUESTS, &labels.each_ref().map(String::as_str), times);
    }
    let manifest = "route=\"manifest\"";
    let duration = "dockgate_request_duration_seconds_count";
    let checks = "dockgate_password_checks_total";
    told.is(REQUESTS, &[], 9.0);
    told.is(duration, &[manifest, "method=\"GET\""], 2.0);
    told.is(
        "dockgate_request_body_bytes_total",
        &["route=\"upload\""],
        8.0,
    );
    told.is("dockgate_request_body_bytes_total", &[], 8.0);
    told.is("dockgate_response_body_bytes_total", &[manifest], 22.0);
    told.is("dockgate_refusals_total", &["reason=\"unauthorized\""], 1.0);
    told.is("dockgate_refusals_total", &["reason=\"no_route\""], 1.0);
    told.is("dockgate_uploads_total", &["event=\"started\""], 1.0);
    told.is("dockgate_uploads_total", &["event=\"finished\""], 1.0);
    told.is("dockgate_uploads_total", &["event=\"cancelled\""], 1.0);
    told.is(
        "dockgate_upstream_latency_seconds_count",
        &["method=\"GET\""],
        2.0,
    );
    told.is("dockgate_upstream_latency_seconds_count", &[], 6.0);
    told.is("dockgate_upstream_errors_total", &[], 0.0);
    told.is(checks, &["result=\"right\""], 1.0);
    told.is(checks, &["result=\"remembered_right\""], 3.0);
    told.is("dockgate_requests_open", &[], 0.0);
    told.is("dockgate_panics_total", &[], 0.0);
}

#[test]
fn bytes_are_counted_while_they_pass_and_the_duration_at_the_end_of_the_body() {
    let origin = Origin::start();
    let gate = start(&origin.url(), "");
    let admin = gate.admin();
    let mut download = Dialog::tcp(gate.address(0));
    let slow = format!("/v2/slow/blobs/{NOTHING}");
    download.request("GET", &slow, &[], b"").unwrap();
    assert_eq!(download.head().unwrap().0, 200);
    download.take(SLOW / 2).unwrap();

    let half = f64::from(u32::try_from(SLOW / 2).unwrap());
    let blob = &["route=\"blob\""];
    let sent = "dockgate_response_body_bytes_total";
    let told = Scrape::until(admin, "half of it", |s| s.sum(sent, blob) >= half);
    assert!((told.sum(sent, blob) - half).abs() < 0.1, "{}", told.text);
    assert!((told.one("dockgate_requests_open", blob) - 1.0).abs() < 0.1);
    assert!(
        told.sum(REQUESTS, blob) < 0.1,
        "it has not ended\n{}",
        told.text
    );
    assert!(told.sum("dockgate_request_duration_seconds_count", blob) < 0.1);
    let latency = "dockgate_upstream_latency_seconds_count";
    assert!(
        (told.sum(latency, &[]) - 1.0).abs() < 0.1,
        "the head has come"
    );

    origin.release();
    download.take(SLOW / 2).unwrap();
    let told = Scrape::until(admin, "the end", |s| s.sum(REQUESTS, blob) >= 1.0);
    assert!(
        (told.sum(sent, blob) - 2.0 * half).abs() < 0.1,
        "{}",
        told.text
    );
    assert!(told.one("dockgate_requests_open", blob) < 0.1);
}

#[test]
fn passwords_and_tokens_are_counted_by_what_became_of_them() {
    let upstream = registry();
    let gate = start(&upstream.url(), "");
    let (address, admin) = (gate.address(0), gate.admin());
    let (right, wrong) = (basic("ann", "secret"), basic("ann", "guess"));
    let nobody = basic("nobody", "secret");
    let version = "GET /v2/";
    assert_eq!(ask(address, version, &[&right], b"").status, 200);
    assert_eq!(ask(address, version, &[&right], b"").status, 200);
    assert_eq!(ask(address, version, &[&wrong], b"").status, 401);
    assert_eq!(ask(address, version, &[&wrong], b"").status, 401);
    assert_eq!(ask(address, version, &[&nobody], b"").status, 401);
    let token = "GET /v2/token?service=x&scope=repository:a:pull";
    assert_eq!(ask(address, token, &[], b"").status, 200);
    assert_eq!(ask(address, token, &[], b"").status, 200);
    assert_eq!(ask(address, token, &[&right], b"").status, 200);
    assert_eq!(ask(address, token, &[&wrong], b"").status, 401);

    let told = Scrape::until(admin, "all of it", |s| s.sum(REQUESTS, &[]) >= 9.0);
    for (result, times) in [
        ("right", 1.0),
        ("remembered_right", 2.0),
        ("wrong", 2.0),
        ("remembered_wrong", 2.0),
        ("refused", 0.0),
        ("failed", 0.0),
    ] {
        let found = told.one(
            "dockgate_password_checks_total",
            &[&format!("result=\"{result}\"")],
        );
        assert!((found - times).abs() < 0.1, "{result}: {found}");
    }
    assert!((told.one("dockgate_failed_logins_total", &[]) - 4.0).abs() < 0.1);
    for (kind, times) in [("anonymous", 2.0), ("user", 1.0), ("certificate", 0.0)] {
        let found = told.one(
            "dockgate_tokens_issued_total",
            &[&format!("kind=\"{kind}\"")],
        );
        assert!((found - times).abs() < 0.1, "{kind}: {found}");
    }
    assert!(
        !told.text.contains("ann") && !told.text.contains("nobody"),
        "{}",
        told.text
    );
}

/// A listener that wants client certificates, with the admin listener beside it.
fn with_certificates(authority: &Authority, limit: usize) -> Program {
    let pair = authority.server();
    Program::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\nclient_ca = \"{}\"\n\
         client_auth = \"optional\"\n[admin]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://127.0.0.1:1\"\n\
         [auth]\nanonymous = \"pull\"\n[limits]\nconnections = {limit}\n",
        pair.certificate.display(),
        pair.key.display(),
        authority.ca().display()
    ))
}

#[test]
fn handshakes_are_counted_by_version_and_failures_by_what_the_client_did() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("another"));
    let gate = with_certificates(&authority, 100);
    let (address, admin) = (gate.address(0), gate.admin());
    let tls = Tls::new(authority.ca(), NAME);
    let mut open = Dialog::tls(address, &tls);
    assert_eq!(open.get("/_ping").status, 200);
    let old = Tls::build(authority.ca(), NAME, None, &[&rustls::version::TLS12]);
    assert_eq!(Dialog::tls(address, &old).get("/_ping").status, 200);

    drop(TcpStream::connect(address).unwrap());
    assert_eq!(ask(address, "GET /", &[], b"").status, 400);
    let distrust = Tls::new(stranger.ca(), NAME);
    assert!(Dialog::tls(address, &distrust).handshake().is_err());
    let client = stranger.client("intruder");
    let intruder = Tls::build(authority.ca(), NAME, Some(&client), rustls::ALL_VERSIONS);
    let mut refused = Dialog::tls(address, &intruder);
    let answered = refused
        .request("GET", "/_ping", &[], b"")
        .and_then(|()| refused.answer("GET"));
    assert!(answered.is_err());
    let mut garbage = Dialog::tcp(address);
    garbage.send(&[0x16, 3, 1, 0, 4, 9, 9, 9, 9]).unwrap();
    let _ = garbage.until_the_end();

    let failures = "dockgate_handshake_failures_total";
    let told = Scrape::until(admin, "five failures", |s| s.sum(failures, &[]) >= 5.0);
    for reason in [
        "silent",
        "plain_http",
        "distrusted",
        "client_cert",
        "protocol",
    ] {
        let found = told.one(failures, &[&format!("reason=\"{reason}\"")]);
        assert!(
            (found - 1.0).abs() < 0.1,
            "{reason}: {found}\n{}",
            told.text
        );
    }
    let done = "dockgate_handshakes_total";
    let full = "resumed=\"false\"";
    assert!(
        (told.sum(done, &["version=\"TLSv1.2\"", full]) - 1.0).abs() < 0.1,
        "{}",
        told.text
    );
    assert!(
        told.sum(done, &["version=\"TLSv1.3\"", full]) >= 1.0,
        "{}",
        told.text
    );
    let listener = format!("listener=\"{address}\"");
    let accepted = told.one("dockgate_connections_accepted_total", &[&listener]);
    assert!((accepted - 7.0).abs() < 0.1, "{accepted}");
    let one_open =
        |s: &Scrape| (s.one("dockgate_connections_open", &[&listener]) - 1.0).abs() < 0.1;
    Scrape::until(admin, "one is open", one_open);
    drop(open);
    let none_open = |s: &Scrape| s.one("dockgate_connections_open", &[&listener]) < 0.1;
    Scrape::until(admin, "none is open", none_open);
}

#[test]
fn n28_connections_beyond_the_limit_are_counted_and_scrapers_have_places_of_their_own() {
    let gate = with_certificates(&Authority::new("limit"), 1);
    let (address, admin) = (gate.address(0), gate.admin());
    let _first = TcpStream::connect(address).unwrap();
    let accepted = "dockgate_connections_accepted_total";
    Scrape::until(admin, "the first is accepted", |s| {
        s.one(accepted, &[]) >= 1.0
    });
    Dialog::tcp(address).is_closed();
    let refused = "dockgate_connections_refused_total";
    Scrape::until(admin, "the second is refused", |s| {
        s.one(refused, &[]) >= 1.0
    });
}

#[test]
fn failures_of_the_upstream_are_counted_by_reason() {
    let upstream = Upstream::start(|request| {
        let _ = request.read_body();
        let line = request.head.lines().next().unwrap().to_owned();
        if line.contains("/cut/") {
            request.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
        } else if line.contains("/garbage/") {
            request.say("nonsense\r\n\r\n");
        } else if line.contains("/silent/") {
            request.wait_for_end();
        }
        Next::Close
    });
    let gate = start(&upstream.url(), "[log]\naccess = false\n");
    let (address, admin) = (gate.address(0), gate.admin());
    for name in ["cut", "garbage", "broken"] {
        let mut dialog = Dialog::tcp(address);
        let path = format!("/v2/{name}/manifests/1");
        dialog.request("GET", &path, &[], b"").unwrap();
        // A reset may overtake what came of a body that is cut.
        let _ = dialog.answer("GET");
    }
    let errors = "dockgate_upstream_errors_total";
    let told = Scrape::until(admin, "three errors", |s| s.sum(errors, &[]) >= 3.0);
    for reason in ["truncated", "bad_answer", "broken"] {
        let found = told.one(errors, &[&format!("reason=\"{reason}\"")]);
        assert!(
            (found - 1.0).abs() < 0.1,
            "{reason}: {found}\n{}",
            told.text
        );
    }
    assert!(
        (told.one("dockgate_upstream_retries_total", &[]) - 1.0).abs() < 0.1,
        "{}",
        told.text
    );
    let reasons = told.sum(
        "dockgate_refusals_total",
        &["reason=\"upstream_truncated\""],
    );
    assert!((reasons - 1.0).abs() < 0.1);

    let gone = start("http://127.0.0.1:1", "");
    assert_eq!(
        ask(gone.address(0), "GET /v2/a/manifests/1", &[], b"").status,
        502
    );
    let unreachable = &["reason=\"unreachable\""];
    Scrape::until(gone.admin(), "it is gone", |s| {
        s.one(errors, unreachable) >= 1.0
    });
}

#[test]
fn nothing_that_a_client_says_makes_new_series_without_end() {
    let upstream = registry();
    let gate = start(
        &upstream.url(),
        "[log]\naccess = false\n[clients]\nreject_old_docker = false\n",
    );
    let (address, admin) = (gate.address(0), gate.admin());
    let mut before = 0;
    for round in 0..2 {
        for n in 0..500 {
            let name = format!("name-{round}-{n}");
            let method = if n % 2 == 0 {
                format!("M{round}{n}")
            } else {
                "GET".to_owned()
            };
            let path = match n % 5 {
                0 => format!("/v2/{name}/manifests/{name}"),
                1 => format!("/{name}"),
                2 => format!("/v2/{name}/tags/list"),
                3 => format!("/v2/{name}/blobs/uploads/{name}"),
                _ => format!("/v2/{name}/blobs/sha256:{n:064x}"),
            };
            let headers = [
                format!("Host: {name}.test"),
                format!("User-Agent: {name}"),
                // The gate lets nobody guess at once: only some say who they are.
                if n % 50 == 7 {
                    basic(&name, "x")
                } else {
                    format!("X-Odd: {name}")
                },
            ];
            let headers: Vec<_> = headers.iter().map(String::as_str).collect();
            ask(address, &format!("{method} {path}"), &headers, b"");
        }
        let all = 500.0 * f64::from(round + 1);
        let told = Scrape::until(admin, "every request", |s| s.sum(REQUESTS, &[]) >= all);
        assert!(!told.text.contains("name-"), "{}", told.text);
        assert!(!told.text.contains(&format!("M{round}")), "{}", told.text);
        if round == 0 {
            before = told.count();
        } else {
            assert_eq!(told.count(), before, "the second 500 made new series");
        }
    }
    assert!(before < 600, "{before} series");
}

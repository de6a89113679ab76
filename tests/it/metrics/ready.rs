//! Ready only while the gate takes work, its certificates are valid and content can be had; and again without a restart.

use std::net::TcpListener;

use super::gates::{start, toml};
use crate::support::ask::ask;
use crate::support::certs::Authority;
use crate::support::clock;
use crate::support::house::eventually;
use crate::support::peers::need;
use crate::support::program::Program;
use crate::support::scrape::{Scrape, readiness, until_ready_says};
use crate::support::upstream::{Next, Upstream};

fn answering(text: &'static str) -> Upstream {
    Upstream::start(move |request| {
        let _ = request.read_body();
        request.say(text);
        Next::Close
    })
}

#[test]
fn u1_n35_an_upstream_that_is_down_makes_it_unready_and_one_that_came_back_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let gate = start(&format!("http://{address}"), "");
    let admin = gate.admin();
    until_ready_says(admin, 503, "fail upstream: refused\n");
    let report = readiness(admin).body;
    assert!(
        report.contains("ok serving\n") && report.contains("ok certificates\n"),
        "{report}"
    );
    let backend = &["part=\"backend\""];
    assert!(Scrape::of(admin).one("dockgate_ready", backend) < 0.1);
    assert_eq!(
        ask(admin, "GET /healthz", &[], b"").status,
        200,
        "it is alive"
    );
    gate.err_line("not ready: the upstream cannot be used");

    let listener = TcpListener::bind(address).unwrap();
    let _back = Upstream::on(listener, |request| {
        let _ = request.read_body();
        request.say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
        Next::Close
    });
    // A registry that wants a password is there.
    until_ready_says(admin, 200, "ok upstream\n");
    gate.err_line("ready: the upstream can be used again");
    assert!((Scrape::of(admin).one("dockgate_ready", backend) - 1.0).abs() < 0.1);
}

#[test]
fn a_registry_that_says_itself_that_it_is_broken_or_says_nothing_is_not_ready() {
    let broken = answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    let gate = start(&broken.url(), "");
    until_ready_says(gate.admin(), 503, "fail upstream: bad_upstream\n");

    let silent = Upstream::start(|request| {
        request.wait_for_end();
        Next::Close
    });
    let gate = start(&silent.url(), "");
    until_ready_says(gate.admin(), 503, "fail upstream: timeout\n");
}

#[test]
fn many_who_ask_make_few_looks_at_the_upstream() {
    let upstream = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    let gate = start(&upstream.url(), "");
    let admin = gate.admin();
    let begun = tokio::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    assert_eq!(readiness(admin).status, 200);
                    ask(admin, "GET /metrics", &[], b"");
                }
            });
        }
    });
    // One at the start, and one more for each second that it took.
    let most = 2 + begun.elapsed().as_secs();
    let looks = upstream.connections() as u64;
    assert!(looks <= most, "{looks} looks");
    let told = upstream.told();
    let [user_agent] = told[0].values("user-agent")[..] else {
        panic!("{told:?}");
    };
    assert!(user_agent.ends_with("(readiness)"), "{user_agent}");
    assert!(
        told.iter().all(|told| told.line() == "GET /v2/"),
        "{told:?}"
    );
}

#[test]
fn a_busy_upstream_is_not_taken_for_a_dead_one() {
    let upstream = Upstream::start(|request| {
        if request.head.starts_with("GET /v2/ ") {
            request.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        } else {
            request.wait_for_end();
        }
        Next::Close
    });
    let configuration =
        toml(&upstream.url(), "").replacen("[upstream]\n", "[upstream]\nmax_connections = 1\n", 1);
    let gate = Program::start_with(&configuration, |dir| {
        std::fs::write(dir.join("htpasswd"), "").unwrap();
    });
    let mut held = crate::support::dialog::Dialog::tcp(gate.address(0));
    held.request("GET", "/v2/a/manifests/1", &[], b"").unwrap();
    upstream.wait_for("the only place is taken", |told| {
        told.iter().any(|told| told.line().contains("manifests"))
    });
    // Looked at once more since then, and found well each time.
    eventually(|| {
        assert_eq!(readiness(gate.admin()).status, 200);
        let told = upstream.told();
        let since = told
            .iter()
            .skip_while(|told| !told.line().contains("manifests"));
        since
            .skip(1)
            .find(|told| told.line() == "GET /v2/")
            .map(drop)
    });
}

#[test]
fn a_certificate_that_has_expired_makes_it_unready() {
    if !need(clock::PROGRAMS) {
        return;
    }
    let upstream = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    let authority = Authority::new("dates");
    let mut params = rcgen::CertificateParams::new(vec!["registry.test".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2090, 1, 1);
    let usage = rcgen::ExtendedKeyUsagePurpose::ServerAuth;
    let pair = authority.issue("dates", params, usage);
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\
         [admin]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n[auth]\nanonymous = \"pull\"\n",
        pair.certificate.display(),
        pair.key.display(),
        upstream.url()
    );
    let (gate, clock) = clock::start(&toml, "+0", |_| {});
    let admin = gate.admin();
    until_ready_says(admin, 200, "ok certificates\n");
    let expiry = Scrape::of(admin).one("dockgate_certificate_expiry_timestamp_seconds", &[]);
    let as_issued = 3_786_912_000.0;
    assert!((expiry - as_issued).abs() < 0.1, "{expiry}");
    clock.set("+80y");
    until_ready_says(admin, 503, "has expired\n");
    let report = readiness(admin).body;
    assert!(
        report.contains("fail certificates: ") && report.contains("dates.crt of 127.0.0.1:"),
        "{report}"
    );
    let told = Scrape::of(admin);
    assert!(told.one("dockgate_ready", &["part=\"certificates\""]) < 0.1);
}

#[test]
fn a_store_that_is_gone_makes_it_unready_and_is_counted() {
    let gate = Program::start_with(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [registry.filesystem]\nrootdirectory = \"store\"\n[auth]\nhtpasswd = \"htpasswd\"\n",
        |dir| std::fs::write(dir.join("htpasswd"), "ann:{PLAIN}secret\n").unwrap(),
    );
    let admin = gate.admin();
    until_ready_says(admin, 200, "ok store\n");
    std::fs::rename(gate.path("store"), gate.path("away")).unwrap();
    until_ready_says(admin, 503, "fail store: storage_error\n");
    let report = readiness(admin).body;
    assert!(!report.contains("/store"), "no folder of ours: {report}");
    std::fs::rename(gate.path("away"), gate.path("store")).unwrap();
    until_ready_says(admin, 200, "ok store\n");
}

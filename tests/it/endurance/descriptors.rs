//! A process without file descriptors: it waits, serves those it has, and takes up again what it could not.

use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use super::{Backend, start_under};
use crate::support::dialog::Dialog;
use crate::support::figures::{CONNECTIONS, FAULTS, tell};
use crate::support::house::eventually;
use crate::support::peers::need;
use crate::support::program::Program;
use crate::support::registry::Registry;
use crate::support::scrape::Scrape;
use crate::support::site::{digest, login};

/// The processor time of a process, in hundredths of a second.
fn time_of(program: &Program) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", program.pid())).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = rest.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// As many as the process has room for, and many more that wait in the kernel.
fn crowd(program: &Program) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect(program.address(0)).unwrap();
    (0..150).map(connect).collect()
}

#[track_caller]
fn without_descriptors(backend: &Backend) {
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[log]\naccess = false\n\
         [auth]\nhtpasswd = \"htpasswd\"\n{}",
        backend.toml()
    );
    let limited = ["sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"];
    let program = start_under(&limited, &toml, |dir| {
        std::fs::write(dir.join("htpasswd"), "alice:{PLAIN}ecila\n").unwrap();
    });
    let login = login("alice");
    let login = [login.split_once(": ").unwrap()];
    let content = b"what was there before";
    let blob = digest(content);
    let mut open = Dialog::tcp(program.address(0));
    let push = format!("/v2/a/blobs/uploads/?digest={blob}");
    let put = open.ask("POST", &push, &login, content);
    if put.status == 202 {
        // registry:2 takes no blob with the first request.
        let place = put.header("location").unwrap();
        let place = &place[place.find("/v2/").unwrap()..];
        let put = open.ask("PUT", &format!("{place}&digest={blob}"), &login, content);
        assert_eq!(put.status, 201, "{}", put.head);
    }
    let target = format!("/v2/a/blobs/{blob}");
    assert_eq!(open.ask("GET", &target, &login, b"").body, content);

    let held = crowd(&program);
    let told = program.err_line("cannot accept connections");
    assert!(
        told.contains("WARN") && told.contains("open files"),
        "{told}"
    );
    // It pauses between its attempts; a look at the time that two seconds cost.
    let before = time_of(&program);
    let (_alive, pause) = mpsc::channel::<()>();
    let _ = pause.recv_timeout(Duration::from_secs(2));
    let cost = time_of(&program) - before;
    assert!(cost < 60, "it spins: {cost} of 200 hundredths");
    // Who has a connection is answered: with what there is, or with a fault that says so, and never with a half.
    assert_eq!(open.get("/_ping").status, 200);
    for _ in 0..5 {
        let answer = open.ask("GET", &target, &login, b"");
        match answer.status {
            200 => assert_eq!(answer.body, content),
            status => assert!(matches!(status, 500..=504), "{}", answer.head),
        }
        let begun = open.ask("POST", "/v2/a/blobs/uploads/", &login, b"");
        assert!(
            matches!(begun.status, 202 | 500..=504 | 507),
            "{}",
            begun.head
        );
    }

    drop(held);
    let answer = eventually(|| {
        let stream = TcpStream::connect(program.address(0)).ok()?;
        let answer = Dialog::connected(stream).ask("GET", &target, &login, b"");
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(answer.body, content);
    let scrape = Scrape::of(program.admin());
    let failed = scrape.sum("dockgate_accept_errors_total", &[]);
    assert!(failed >= 1.0, "{}", scrape.text);
    let panics = scrape.sum("dockgate_panics_total", &[]);
    assert!(panics < 0.1, "{}", scrape.text);
    tell(CONNECTIONS, 150);
    tell(FAULTS, 1);
}

#[test]
fn p2_g7_n63_without_descriptors_the_embedded_registry_waits_and_recovers() {
    without_descriptors(&Backend::Embedded);
}

#[test]
fn p2_n63_without_descriptors_the_gate_waits_and_recovers() {
    if need(&["docker-registry"]) {
        without_descriptors(&Backend::Upstream(Registry::start()));
    }
}

//! What a service manager is told: the messages of `sd_notify(3)`, on a socket of the test's own.

use std::fs;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::ask::ask;
use crate::support::program::{Program, dockgate};

/// For a message to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The socket that a manager listens on.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn new(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let heard = Vec::new();
        Self { socket, heard }
    }

    /// The lines of the next message, but for signs of life unless they are what is asked for.
    #[track_caller]
    fn hears(&mut self, first: &str) -> Vec<String> {
        let end = SystemTime::now() + PATIENCE;
        let mut buffer = [0; 4096];
        while SystemTime::now() < end {
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => panic!("no {first}: {error}; only {:#?}", self.heard),
            };
            let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
            self.heard.push(message.clone());
            let lines: Vec<String> = message.lines().map(ToOwned::to_owned).collect();
            if lines[0] == first {
                return lines;
            }
            assert!(
                lines[0] == "WATCHDOG=1" || lines[0].starts_with("STATUS="),
                "{message} in place of {first}"
            );
        }
        panic!("no {first} among {:#?}", self.heard);
    }

    /// The next line for people that has this in it.
    #[track_caller]
    fn reads(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        loop {
            let length = self.socket.recv(&mut buffer).unwrap();
            let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if message.starts_with("STATUS=") && message.contains(text) {
                return;
            }
        }
    }
}

const TOML: &str =
    "state_dir = \"state\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[timeouts]\ndrain = \"50s\"\n";

/// A gate that was told where its manager listens.
fn start(toml: &str, variables: &[(&str, &str)]) -> Program {
    let dir = TempDir::with_prefix("dockgate-notify-").unwrap();
    fs::write(dir.path().join("proxy.toml"), toml).unwrap();
    let mut command = dockgate();
    command
        .arg("serve")
        .envs(variables.iter().copied())
        .stdout(Stdio::piped());
    Program::spawn(dir, command)
}

/// Ready, reloading, ready again, stopping.
fn lives(mut manager: Manager, address: &str) {
    let gate = start(TOML, &[("NOTIFY_SOCKET", address)]);
    let ready = manager.hears("READY=1");
    let serving = format!("STATUS=serving on {}", gate.address(0));
    assert_eq!(ready[1..], *std::slice::from_ref(&serving));
    assert_eq!(ask(gate.address(0), "GET /_ping", &[], b"").status, 200);

    gate.signal(Signal::HUP);
    let reloading = manager.hears("RELOADING=1");
    let since: u64 = reloading[1]
        .strip_prefix("MONOTONIC_USEC=")
        .unwrap()
        .parse()
        .unwrap();
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    let age = Duration::from_secs_f64(uptime).checked_sub(Duration::from_micros(since));
    // The clocks agree but for time that the machine slept; what matters is that it is that clock.
    assert!(
        age.is_none_or(|age| age < Duration::from_secs(3600)),
        "{since} is no time of the monotonic clock ({uptime} s)"
    );
    assert_eq!(manager.hears("READY=1")[1..], [serving]);

    gate.signal(Signal::TERM);
    let stopping = manager.hears("STOPPING=1");
    let extend: u64 = stopping[1]
        .strip_prefix("EXTEND_TIMEOUT_USEC=")
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        (50_000_000..120_000_000).contains(&extend),
        "room for timeouts.drain, and not for ever: {extend}"
    );
    assert!(stopping[2].contains("draining"), "{stopping:?}");
    assert_eq!(gate.end().0, Some(0));
}

#[test]
fn a_manager_is_told_when_it_serves_reloads_and_stops() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    lives(Manager::new(socket), path.to_str().unwrap());
}

#[test]
fn a_manager_with_an_abstract_socket_is_told_the_same() {
    let name = format!("dockgate-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    lives(Manager::new(socket), &format!("@{name}"));
}

#[test]
fn a_reload_that_failed_is_seen_in_the_status_until_one_succeeds() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("notify");
    let mut manager = Manager::new(UnixDatagram::bind(&path).unwrap());
    let gate = start(TOML, &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    manager.hears("READY=1");
    fs::write(gate.path("proxy.toml"), "nonsense = true\n").unwrap();
    gate.signal(Signal::HUP);
    manager.hears("RELOADING=1");
    let ready = manager.hears("READY=1");
    assert!(ready[1].contains("the last reload failed"), "{ready:?}");
    // Nobody sends a signal this time: the file is seen to have changed.
    fs::write(gate.path("proxy.toml"), format!("{TOML}\n")).unwrap();
    manager.reads(&format!("serving on {}\n", gate.address(0)));
}

#[test]
fn a_watchdog_hears_from_it_as_long_as_it_runs() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("notify");
    let mut manager = Manager::new(UnixDatagram::bind(&path).unwrap());
    let socket = path.to_str().unwrap();
    let gate = start(
        TOML,
        &[("NOTIFY_SOCKET", socket), ("WATCHDOG_USEC", "400000")],
    );
    manager.hears("READY=1");
    for _ in 0..5 {
        manager.hears("WATCHDOG=1");
    }
    // One that is stuck, here by force, says nothing more.
    gate.signal(Signal::STOP);
    manager
        .socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let mut late = 0;
    while manager.socket.recv(&mut [0; 64]).is_ok() {
        late += 1;
        assert!(late < 3, "signs of life of a stopped process");
    }
    gate.signal(Signal::CONT);
    manager.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    manager.hears("WATCHDOG=1");
}

#[test]
fn the_watchdog_of_another_process_hears_nothing() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("notify");
    let mut manager = Manager::new(UnixDatagram::bind(&path).unwrap());
    let socket = path.to_str().unwrap();
    let variables = [
        ("NOTIFY_SOCKET", socket),
        ("WATCHDOG_USEC", "2000"),
        ("WATCHDOG_PID", "1"),
    ];
    let gate = start(TOML, &variables);
    manager.hears("READY=1");
    gate.signal(Signal::HUP);
    manager.hears("RELOADING=1");
    manager.hears("READY=1");
    assert!(
        manager.heard.iter().all(|m| !m.contains("WATCHDOG")),
        "{:?}",
        manager.heard
    );
}

#[test]
fn without_a_manager_at_the_address_it_serves_and_says_so() {
    for (address, why) in [
        ("/no/such/socket", "No such file"),
        ("vsock:2:1234", "neither an absolute path"),
    ] {
        let gate = start(TOML, &[("NOTIFY_SOCKET", address)]);
        assert_eq!(ask(gate.address(0), "GET /_ping", &[], b"").status, 200);
        let line = gate.err_line("NOTIFY_SOCKET");
        assert!(line.contains(why) && line.contains(address), "{line}");
    }
}

#[test]
fn a_manager_that_goes_away_is_complained_of_once() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("notify");
    let mut manager = Manager::new(UnixDatagram::bind(&path).unwrap());
    let gate = start(
        TOML,
        &[
            ("NOTIFY_SOCKET", path.to_str().unwrap()),
            ("WATCHDOG_USEC", "2000"),
        ],
    );
    manager.hears("READY=1");
    drop(manager);
    gate.err_line("cannot be told how we fare");
    gate.signal(Signal::HUP);
    gate.err_line("reloaded");
    assert_eq!(gate.stderr().matches("how we fare").count(), 1);
    assert!(Path::new(&path).exists());
}

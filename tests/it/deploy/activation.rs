//! Sockets that were opened by somebody else: `sd_listen_fds(3)`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::support::ask::ask;
use crate::support::peers::need;
use crate::support::process::search_path;
use crate::support::program::{Program, dockgate};

/// Starts `dockgate serve` as systemd would: with this socket as its third file. It comes in by the standard output,
/// because no other number can be chosen for one child alone.
fn start(toml: &str, socket: OwnedFd, pid: &str) -> Program {
    let dir = TempDir::with_prefix("dockgate-activated-").unwrap();
    fs::write(dir.path().join("proxy.toml"), toml).unwrap();
    let mut command = Command::new("sh");
    let script = format!(
        "exec 3>&1 >/dev/null; export LISTEN_PID={pid} LISTEN_FDS=1 LISTEN_FDNAMES=front; exec {} serve",
        env!("CARGO_BIN_EXE_dockgate")
    );
    command
        .env_clear()
        .env("PATH", search_path())
        .arg("-c")
        .arg(script)
        .stdout(Stdio::from(socket));
    Program::spawn(dir, command)
}

fn listeners(addresses: &[&str]) -> String {
    let listener = |address: &&str| format!("[[listener]]\naddress = \"{address}\"\n");
    let listeners: String = addresses.iter().map(listener).collect();
    format!("state_dir = \"state\"\n{listeners}")
}

/// A ping, and all of the answer.
fn ping(mut stream: impl std::io::Read + std::io::Write) -> String {
    stream
        .write_all(b"GET /_ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_listener_takes_the_socket_with_its_address_and_who_waited_is_served() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // Before there is anybody who serves.
    let early = TcpStream::connect(address).unwrap();
    // Ours stays open: opening the address anew would fail.
    let handed = OwnedFd::from(socket.try_clone().unwrap());
    let toml = listeners(&["127.0.0.1:0", &address.to_string()]);
    let gate = start(&toml, handed, "$$");
    assert_eq!(gate.address(1), address);
    assert!(ping(early).starts_with("HTTP/1.1 200 "));
    // A listener without a socket opens its address itself.
    assert_ne!(gate.address(0), address);
    assert_eq!(ask(gate.address(0), "GET /_ping", &[], b"").status, 200);
}

#[test]
fn a_socket_that_no_listener_has_is_named_with_the_cure() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let gate = start(&listeners(&["127.0.0.1:0"]), OwnedFd::from(socket), "$$");
    let (code, _, err) = gate.end();
    assert_eq!(code, Some(2), "{err}");
    let wanted = format!(
        "the socket \"front\" that the service manager handed over is on {address}, which no listener has; write \
         address = \"{address}\" in a [[listener]]"
    );
    assert!(err.contains(&wanted), "{err}");
}

#[test]
fn what_is_no_listening_socket_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let file = fs::File::open("/dev/null").unwrap();
    for (handed, why) in [
        (OwnedFd::from(connection), "write Accept=no in its unit"),
        (OwnedFd::from(file), "its unit needs ListenStream="),
    ] {
        let (code, _, err) = start(&listeners(&["127.0.0.1:0"]), handed, "$$").end();
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains(why) && err.contains("\"front\""), "{err}");
    }
}

#[test]
fn the_sockets_of_another_process_are_left_alone() {
    for pid in ["1", "''"] {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate = start(&listeners(&["127.0.0.1:0"]), OwnedFd::from(socket), pid);
        assert_eq!(ask(gate.address(0), "GET /_ping", &[], b"").status, 200);
    }
}

#[test]
fn a_unix_socket_is_taken_over_and_not_replaced() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("gate.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let early = UnixStream::connect(&path).unwrap();
    let toml = listeners(&[&format!("unix:{}", path.display())]);
    let _gate = start(&toml, OwnedFd::from(socket), "$$");
    assert!(ping(early).starts_with("HTTP/1.1 200 "));
}

#[test]
fn systemd_starts_it_for_the_first_connection() {
    if !need(&["systemd-socket-activate"]) {
        return;
    }
    let dir = TempDir::with_prefix("dockgate-activated-").unwrap();
    let path = dir.path().join("gate.sock");
    let toml = listeners(&[&format!("unix:{}", path.display())]);
    fs::write(dir.path().join("proxy.toml"), toml).unwrap();
    let mut command = Command::new("systemd-socket-activate");
    command
        .env("PATH", search_path())
        .arg("--listen")
        .arg(&path)
        .arg("--fdname=front")
        .arg(dockgate().get_program())
        .arg("serve");
    let gate = Program::spawn(dir, command);
    let mut stream = connect(&path);
    stream
        .write_all(b"GET /_ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    stream.shutdown(Shutdown::Both).unwrap_or_default();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    gate.err_line("listening");
}

/// As soon as somebody listens.
fn connect(path: &Path) -> UnixStream {
    let end = SystemTime::now() + Duration::from_secs(20);
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return stream,
            Err(error) => assert!(SystemTime::now() < end, "{error}"),
        }
        std::thread::yield_now();
    }
}

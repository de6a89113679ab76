//! Handshakes that stall, and handshakes that are begun by the thousand and dropped.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::certs::{Authority, Pair};
use crate::support::dialog::{Dialog, Tls};
use crate::support::figures::{CONNECTIONS, rounds, tell};
use crate::support::hello;
use crate::support::memory::peak;
use crate::support::origin::Origin;
use crate::support::peers::{self, NAME};
use crate::support::process;
use crate::support::program::Program;
use crate::support::scrape::Scrape;

const FAILURES: &str = "dockgate_handshake_failures_total";

fn start(origin: &Origin, pair: &Pair, more: &str) -> Program {
    Program::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\
         [admin]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n[auth]\nanonymous = \"pull\"\n{more}",
        pair.certificate.display(),
        pair.key.display(),
        origin.url()
    ))
}

#[test]
fn t4_n26_handshakes_that_stall_anywhere_are_closed_in_time_and_hold_up_nobody() {
    const EACH: usize = 20;
    let (origin, authority) = (Origin::start(), Authority::new("stall"));
    let program = start(
        &origin,
        &authority.server(),
        "[timeouts]\nhandshake = \"2s\"\n",
    );
    let (address, client) = (program.address(0), Tls::new(authority.ca(), NAME));
    let hello = hello::proper(NAME);
    let begun = Instant::now();
    let mut stalled = Vec::new();
    for _ in 0..EACH {
        // nothing, one byte, the head of a record, the middle of one, and all that the client has to say first
        for bytes in [&b""[..], &hello[..1], &hello[..5], &hello[..100], &hello] {
            let mut dialog = Dialog::tcp(address);
            dialog.send(bytes).unwrap();
            stalled.push(dialog);
        }
    }
    for _ in 0..10 {
        assert_eq!(Dialog::tls(address, &client).get("/v2/").status, 200);
    }
    let served = begun.elapsed();
    for dialog in &mut stalled {
        dialog.is_closed();
    }
    let waited = begun.elapsed().as_secs_f64();
    assert!((1.9..15.0).contains(&waited), "{waited}");
    // None of the stalled ones was closed yet: they were served beside them and not after them.
    assert!(served.as_secs_f64() < 2.0, "{served:?}");
    let all = f64::from(u32::try_from(stalled.len()).unwrap());
    let timeouts = ["reason=\"timeout\""];
    let counted = Scrape::until(program.admin(), "all are counted", |told| {
        told.sum(FAILURES, &timeouts) >= all
    });
    counted.is(FAILURES, &timeouts, all);
    assert_eq!(Dialog::tls(address, &client).get("/v2/").status, 200);
    tell(CONNECTIONS, stalled.len());
}

/// Begins handshakes and goes away, some with a reset.
fn drop_handshakes(address: SocketAddr, hello: &[u8], count: usize) {
    let left = AtomicUsize::new(count);
    thread::scope(|scope| {
        for reset in [false, true, false, true] {
            let left = &left;
            scope.spawn(move || {
                let next = |n: usize| n.checked_sub(1);
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
                    .is_ok()
                {
                    let mut stream = TcpStream::connect(address).unwrap();
                    if reset {
                        let linger = socket2::SockRef::from(&stream);
                        linger.set_linger(Some(std::time::Duration::ZERO)).unwrap();
                    }
                    stream.write_all(hello).unwrap();
                }
            });
        }
    });
}

/// A certificate of its own CA, with a key whose signatures are slow: some milliseconds each.
fn slow(dir: &Path) -> Pair {
    let pair = Pair {
        certificate: dir.join("slow.crt"),
        key: dir.join("slow.key"),
    };
    let mut command = Command::new("openssl");
    command.args([
        "req", "-x509", "-nodes", "-newkey", "rsa:4096", "-batch", "-subj", "/CN=slow",
    ]);
    command.args([
        "-days",
        "9",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]);
    command.args(["-addext", &format!("subjectAltName=DNS:{NAME}")]);
    command
        .arg("-keyout")
        .arg(&pair.key)
        .arg("-out")
        .arg(&pair.certificate);
    drop(process::run(&mut command).succeeds("openssl makes a certificate"));
    pair
}

#[test]
fn t12_dropped_handshakes_wait_behind_open_connections_and_cost_no_memory() {
    if !peers::need(&["openssl"]) {
        return;
    }
    let count = rounds(1500);
    let (origin, folder) = (Origin::start(), TempDir::new().unwrap());
    let pair = slow(folder.path());
    let program = start(&origin, &pair, "");
    let (address, client) = (program.address(0), Tls::new(&pair.certificate, NAME));
    let hello = hello::proper(NAME);
    let mut open = Dialog::tls(address, &client);
    assert_eq!(open.get("/v2/").status, 200);
    drop_handshakes(address, &hello, 200);
    let before = peak(program.dir());
    drop_handshakes(address, &hello, count);
    // All of them are there and most of them have yet to be computed, which takes seconds: whoever is in already is
    // served before them, and so is the operator.
    for _ in 0..3 {
        assert_eq!(open.get("/v2/").status, 200);
    }
    let waiting = Scrape::of(program.admin()).sum("dockgate_connections_open", &[]);
    let most = f64::from(u32::try_from(count / 4).unwrap());
    assert!(
        waiting > most,
        "only {waiting} of {count} were still waiting"
    );
    let over = Scrape::until(program.admin(), "one connection is open", |told| {
        told.sum("dockgate_connections_open", &[]) < 1.5
    });
    let grown = peak(program.dir()) - before;
    assert!(grown < 64, "grown by {grown} MiB");
    let dropped = f64::from(u32::try_from(count + 200).unwrap());
    let ended =
        over.sum(FAILURES, &["reason=\"broken\""]) + over.sum(FAILURES, &["reason=\"timeout\""]);
    assert!(
        (ended - dropped).abs() < 0.1,
        "{ended} of {dropped}: {}",
        over.text
    );
    assert_eq!(open.get("/v2/").status, 200);
    assert_eq!(Dialog::tls(address, &client).get("/v2/").status, 200);
    tell(CONNECTIONS, count);
}

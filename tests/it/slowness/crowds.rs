//! Very many connections.

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use super::{PULL, is_served};
use crate::support::binary::Binary;
use crate::support::figures::{CONNECTIONS, tell};
use crate::support::flow::Flow;
use crate::support::frames::Frames;
use crate::support::memory::many_files;
use crate::support::program::Program;
use crate::support::raw::{End, Raw};
use crate::support::scrape::Scrape;
use crate::support::upstream::Upstream;

/// What an idle connection may hold, in KiB.
const EACH: u64 = 32;

/// Opens so many connections, asks once over each, and tells what each of them holds, in KiB.
#[track_caller]
fn held(binary: &Binary, count: u64, open: &dyn Fn(&Binary) -> Raw) -> (u64, Vec<Raw>) {
    // What the first ones bring to life stays and is shared by all.
    let mut first: Vec<Raw> = (0..32).map(|_| open(binary)).collect();
    for raw in &mut first {
        raw.send(PULL);
        assert_eq!(raw.answer().status(), 200);
    }
    let before = binary.resident();
    let idle: Vec<Raw> = (0..count)
        .map(|_| {
            let mut raw = open(binary);
            raw.send(PULL);
            assert_eq!(raw.answer().status(), 200);
            raw
        })
        .collect();
    let after = binary.resident();
    (after.saturating_sub(before) / count, idle)
}

#[test]
fn h11_n28_four_thousand_idle_connections_hold_little_and_others_are_served() {
    many_files();
    let mut flow = None;
    let binary = Binary::start("", |path| flow = Some(Flow::listen(path)));
    let (plain, mut all) = held(&binary, 3300, &|binary| binary.connect(false));
    assert!(plain <= EACH, "{plain} KiB for each in clear");
    let (tls, encrypted) = held(&binary, 700, &|binary| binary.connect(true));
    assert!(tls <= EACH, "{tls} KiB for each over TLS");
    all.extend(encrypted);
    is_served(binary.connect(true));
    is_served(binary.connect(false));
    // They are all still there.
    for raw in &mut all {
        raw.send(PULL);
        assert_eq!(raw.answer().status(), 200);
    }
    tell(CONNECTIONS, all.len());
}

/// HTTP/2 has more state from its first byte on; what idles is bounded as well.
#[test]
fn n28_idle_http_2_connections_hold_little() {
    many_files();
    let mut flow = None;
    let binary = Binary::start("", |path| flow = Some(Flow::listen(path)));
    let open = || {
        let mut frames = Frames::begin(binary.connect_offering(true, &["h2"]), &[]);
        // The settings of the gate: it has read ours.
        frames.next().unwrap();
        frames
    };
    let first: Vec<_> = (0..32).map(|_| open()).collect();
    let before = binary.resident();
    let idle: Vec<_> = (0..500).map(|_| open()).collect();
    let each = (binary.resident() - before) / 500;
    assert!(each <= EACH, "{each} KiB for each");
    is_served(binary.connect(true));
    tell(CONNECTIONS, first.len() + idle.len());
}

#[test]
fn n28_n63_of_a_flood_beyond_the_bound_the_newest_are_refused_and_those_inside_are_served() {
    const PLACES: usize = 50;
    const FLOOD: usize = 1000;
    many_files();
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let gate = Program::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [upstream]\nurl = \"{}\"\n[auth]\nanonymous = \"pull\"\n[limits]\nconnections = {PLACES}\n\
         [log]\naccess = false\n",
        upstream.url()
    ));
    let (address, admin) = (gate.address(0), gate.admin());
    let mut inside: Vec<Raw> = (0..PLACES).map(|_| Raw::tcp(address)).collect();
    let ask_all = |inside: &mut Vec<Raw>| {
        for raw in inside {
            let begin = Instant::now();
            raw.send(PULL);
            assert_eq!(raw.answer().status(), 200);
            assert!(begin.elapsed() < Duration::from_secs(1));
        }
    };
    ask_all(&mut inside);
    let begin = Instant::now();
    let flood: Vec<TcpStream> = (0..FLOOD)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    ask_all(&mut inside);
    for stream in flood {
        // Not a byte, and the end at once.
        let (said, end) = Raw::over(stream).read_to_end();
        assert!(said.is_empty() && end != End::Open, "{end:?}");
    }
    assert!(begin.elapsed() < Duration::from_secs(20), "refused early");
    ask_all(&mut inside);
    let told = Scrape::until(admin, "all are counted", |s| {
        s.sum("dockgate_connections_refused_total", &[]) >= 1000.0
    });
    told.is("dockgate_connections_open", &[], 50.0);
    // One word about it in ten seconds, and not a thousand.
    let log = gate.stderr();
    let complaints = log.matches("limits.connections are open").count();
    assert!((1..=3).contains(&complaints), "{complaints}");
    drop(inside);
    let begin = Instant::now();
    Scrape::until(admin, "all places are free", |s| {
        s.sum("dockgate_connections_open", &[]) < 0.5
    });
    is_served(Raw::tcp(address));
    assert!(begin.elapsed() < Duration::from_secs(5), "recovery");
    tell(CONNECTIONS, FLOOD);
}

/// A shell's limit of 1024 open files is for programs that do not know better; the gate takes what it may.
#[test]
fn n28_n63_the_gate_takes_as_many_open_files_as_it_may_have() {
    many_files();
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let dir = TempDir::with_prefix("dockgate-files-").unwrap();
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n[auth]\nanonymous = \"pull\"\n",
        upstream.url()
    );
    std::fs::write(dir.path().join("proxy.toml"), toml).unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -Sn 64; exec \"$0\" serve"])
        .arg(env!("CARGO_BIN_EXE_dockgate"))
        .stdout(Stdio::null());
    let gate = Program::spawn(dir, command);
    let mut all: Vec<Raw> = (0..200).map(|_| Raw::tcp(gate.address(0))).collect();
    for raw in &mut all {
        raw.send(PULL);
        assert_eq!(raw.answer().status(), 200);
    }
    assert!(
        !gate.stderr().contains("cannot accept"),
        "{}",
        gate.stderr()
    );
}

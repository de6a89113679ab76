//! The units of systemd. No systemd runs here, so its own tools judge them, and strace what the filter would stop.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Signal, kill_process};
use tempfile::TempDir;

use super::here;
use crate::support::ask::{ask, basic};
use crate::support::peers::need;
use crate::support::process::{run, search_path};
use crate::support::program::Program;
use crate::support::site::digest;

/// The units as they are shipped, but for the place of the program.
fn units() -> TempDir {
    let dir = TempDir::with_prefix("dockgate-units-").unwrap();
    for unit in ["dockgate.service", "dockgate.socket"] {
        let text = fs::read_to_string(here("deploy/systemd").join(unit)).unwrap();
        let text = text.replace(
            "=/usr/bin/dockgate",
            concat!("=", env!("CARGO_BIN_EXE_dockgate")),
        );
        fs::write(dir.path().join(unit), text).unwrap();
    }
    dir
}

#[test]
fn systemd_finds_no_fault_in_the_units() {
    if !need(&["systemd-analyze"]) {
        return;
    }
    let units = units();
    let judged = run(Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(units.path().join("dockgate.service"))
        .arg(units.path().join("dockgate.socket")))
    .succeeds("the units are right");
    let said = judged.stdout + &judged.stderr;
    let about_ours: Vec<_> = said.lines().filter(|l| l.contains("dockgate")).collect();
    assert!(about_ours.is_empty(), "{about_ours:#?}");
}

/// What systemd thinks of a service, from 0 to 10.
#[track_caller]
fn exposure(service: &Path) -> f64 {
    let judged = run(Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(service))
    .succeeds("the unit is judged");
    number(&judged.stdout, "exposure level for dockgate.service: ")
}

fn number(text: &str, before: &str) -> f64 {
    let rest = text.split_once(before).unwrap().1;
    let digits = rest.split(|c: char| !c.is_ascii_digit() && c != '.');
    digits.into_iter().next().unwrap().parse().unwrap()
}

/// Another version of systemd may know of more; it must not find more that is open.
#[test]
fn the_exposure_is_what_the_documents_say() {
    if !need(&["systemd-analyze"]) {
        return;
    }
    let page = fs::read_to_string(here("docs/install.md")).unwrap();
    let units = units();
    let service = units.path().join("dockgate.service");
    let (found, written) = (
        exposure(&service),
        number(&page, "exposure level for dockgate.service: "),
    );
    assert!(found <= written, "{found} and not {written}");
    // With the drop-in of the page, as systemd would put it behind.
    let drop_in = page
        .split_once("no-ports.conf <<'UNIT'\n[Service]\n")
        .unwrap()
        .1;
    let drop_in = drop_in.split_once("UNIT").unwrap().0;
    let unit = fs::read_to_string(&service).unwrap();
    fs::write(
        &service,
        unit.replace("[Install]", &format!("{drop_in}\n[Install]")),
    )
    .unwrap();
    let (found, written) = (exposure(&service), number(&page, "that right can go ("));
    assert!(found <= written, "{found} and not {written}");
}

#[test]
fn what_it_asks_of_the_kernel_is_what_its_unit_allows() {
    if !need(&["systemd-analyze", "strace"]) {
        return;
    }
    let unit = fs::read_to_string(here("deploy/systemd/dockgate.service")).unwrap();
    let mut allowed = BTreeSet::new();
    for filter in unit
        .lines()
        .filter_map(|l| l.strip_prefix("SystemCallFilter="))
    {
        let (deny, sets) = match filter.strip_prefix('~') {
            Some(sets) => (true, sets),
            None => (false, filter),
        };
        for call in sets.split_whitespace().flat_map(calls) {
            if deny {
                allowed.remove(&call);
            } else {
                allowed.insert(call);
            }
        }
    }
    assert!(allowed.contains("accept4") && !allowed.contains("chown"));

    let dir = TempDir::with_prefix("dockgate-traced-").unwrap();
    let trace = dir.path().join("trace");
    let toml = "state_dir = \"state\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
                [listener.tls]\n[auth]\nhtpasswd = \"htpasswd\"\nanonymous = \"pull\"\n";
    fs::write(dir.path().join("proxy.toml"), toml).unwrap();
    fs::write(dir.path().join("htpasswd"), "ann:{PLAIN}secret\n").unwrap();
    let mut command = Command::new("strace");
    command
        .env("PATH", search_path())
        .args(["-f", "-qq", "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_dockgate"))
        .arg("serve")
        .stdout(Stdio::piped());
    let gate = Program::spawn(dir, command);
    let login = basic("ann", "secret");
    let push = format!("POST /v2/a/blobs/uploads/?digest={}", digest(b"content"));
    let pushed = ask(gate.address(0), &push, &[&login], b"content");
    assert_eq!(pushed.status, 201, "{pushed:?}");
    let pull = format!("GET /v2/a/blobs/{}", digest(b"content"));
    assert_eq!(ask(gate.address(0), &pull, &[], b"").status, 200);
    let pid = first_pid(&fs::read_to_string(&trace).unwrap());
    kill_process(pid, Signal::HUP).unwrap();
    gate.err_line("reloaded");
    kill_process(pid, Signal::TERM).unwrap();
    gate.err_line("stopped");
    let text = fs::read_to_string(&trace).unwrap();
    let used: BTreeSet<String> = text.lines().filter_map(call_of).collect();
    assert!(
        used.contains("fsync") && used.contains("listen"),
        "{used:?}"
    );
    let stopped: Vec<_> = used.difference(&allowed).collect();
    assert!(stopped.is_empty(), "the filter would stop {stopped:?}");
}

/// The system calls behind a name of systemd's.
fn calls(name: &str) -> Vec<String> {
    if !name.starts_with('@') {
        return vec![name.to_owned()];
    }
    let listed = run(Command::new("systemd-analyze").args(["syscall-filter", name]))
        .succeeds("systemd knows the set");
    let members = listed.stdout;
    let members = members.lines().skip(1).map(str::trim);
    members
        .filter(|member| !member.is_empty() && !member.starts_with('#'))
        .flat_map(calls)
        .collect()
}

fn first_pid(trace: &str) -> rustix::process::Pid {
    let pid = trace.split_whitespace().next().unwrap().parse().unwrap();
    rustix::process::Pid::from_raw(pid).unwrap()
}

/// `1234 openat(AT_FDCWD, ...` or `1234 <... read resumed>...`
fn call_of(line: &str) -> Option<String> {
    let rest = line.split_once(' ')?.1.trim_start();
    let rest = rest.strip_prefix("<... ").unwrap_or(rest);
    let name: String = rest
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

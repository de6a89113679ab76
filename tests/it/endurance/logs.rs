//! Standard output and standard error that nobody reads, that are full, that are gone: requests go on, and what is lost
//! is counted.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::dialog::Dialog;
use crate::support::figures::{FAULTS, tell};
use crate::support::house::eventually;
use crate::support::memory::kib;
use crate::support::peers::skip;
use crate::support::program::{Program, dockgate};
use crate::support::scrape::Scrape;

const ACCESS: &str = "dockgate_access_log_lines_lost_total";
const LOG: &str = "dockgate_log_lines_lost_total";

/// A stream of the process, and what has to live as long as it.
struct Target {
    stream: Stdio,
    _end: Option<std::io::PipeReader>,
}

fn target(kind: &str) -> Target {
    let (reader, writer) = std::io::pipe().unwrap();
    let (stream, end) = match kind {
        "full" => (
            File::options()
                .write(true)
                .open("/dev/full")
                .unwrap()
                .into(),
            None,
        ),
        "closed" => (writer.into(), None),
        _ => (writer.into(), Some(reader)),
    };
    Target { stream, _end: end }
}

/// A gate whose doors are sockets, since nobody may be able to read where it listens.
struct Mute {
    dir: TempDir,
    child: std::process::Child,
}

impl Mute {
    fn start(dir: TempDir, stdout: Stdio, stderr: Stdio) -> Self {
        let nowhere = dir.path().join("nowhere");
        let toml = format!(
            "[[listener]]\naddress = \"unix:{0}/door\"\n[admin]\naddress = \"unix:{0}/admin\"\n\
             [upstream]\nurl = \"unix:{1}\"\n[auth]\nanonymous = \"pull\"\n[log]\naccess = \"json\"\n",
            dir.path().display(),
            nowhere.display()
        );
        fs::write(dir.path().join("proxy.toml"), toml).unwrap();
        let mut command: Command = dockgate();
        command.arg("serve").current_dir(dir.path());
        let child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let child = child.spawn().unwrap();
        let gate = Self { dir, child };
        eventually(|| std::os::unix::net::UnixStream::connect(gate.path("admin")).ok());
        gate
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Requests that fail behind the gate, so that each makes a line in both logs.
    fn ask(&self, times: usize) {
        let mut dialog = Dialog::unix(&self.path("door"));
        for _ in 0..times {
            assert_eq!(dialog.get("/v2/a/manifests/1").status, 502);
        }
    }

    fn lost(&self) -> (f64, f64) {
        let answer = Dialog::unix(&self.path("admin")).get("/metrics");
        let told = Scrape::read(answer.text());
        (told.sum(ACCESS, &[]), told.sum(LOG, &[]))
    }

    /// Waits until so many lines of each are lost.
    #[track_caller]
    fn has_lost(&self, access: f64, log: f64) {
        eventually(|| {
            let (lost_access, lost_log) = self.lost();
            (lost_access >= access && lost_log >= log).then_some(())
        });
    }
}

impl Drop for Mute {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn p3_logs_that_are_full_or_gone_stop_no_request_and_what_is_lost_is_counted() {
    for kind in ["full", "closed"] {
        let (out, err) = (target(kind), target(kind));
        let dir = TempDir::with_prefix("dockgate-mute-").unwrap();
        let gate = Mute::start(dir, out.stream, err.stream);
        gate.ask(50);
        // The lines of the start are lost too.
        gate.has_lost(50.0, 51.0);
        tell(FAULTS, 2);
    }
}

#[test]
fn p3_logs_that_nobody_reads_stop_no_request_and_hold_no_memory() {
    let (out, err) = (target("stuck"), target("stuck"));
    let dir = TempDir::with_prefix("dockgate-mute-").unwrap();
    let gate = Mute::start(dir, out.stream, err.stream);
    // A line of the access log has 400 bytes and more: what may wait, and again as much.
    gate.ask(25_000);
    gate.has_lost(1.0, 1.0);
    let process = format!("/proc/{}", gate.child.id());
    let peak = kib(process.as_ref(), "VmHWM");
    assert!(peak < 120 * 1024, "{peak} KiB");
    tell(FAULTS, 2);
}

/// A disk of 64 KiB; `None` where nobody may mount.
struct Disk(TempDir);

impl Disk {
    fn new() -> Option<Self> {
        let dir = TempDir::with_prefix("dockgate-logs-").unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(dir.path())
            .output();
        if !mounted.is_ok_and(|done| done.status.success()) {
            skip("a file system cannot be mounted");
            return None;
        }
        Some(Self(dir))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn append(path: &Path) -> Stdio {
    let file = File::options().append(true).create(true).open(path);
    file.unwrap().into()
}

#[test]
fn p3_a_log_on_a_full_disk_misses_what_is_counted_and_has_every_other_line_whole() {
    let Some(disk) = Disk::new() else {
        return;
    };
    let filler = disk.path("filler");
    fs::write(&filler, vec![0; 32 << 10]).unwrap();
    let dir = TempDir::with_prefix("dockgate-mute-").unwrap();
    let log = disk.path("access.log");
    let gate = Mute::start(dir, append(&log), Stdio::null());
    gate.ask(300);
    gate.has_lost(1.0, 0.0);
    fs::remove_file(&filler).unwrap();
    gate.ask(20);
    // Each line is there as a whole, or it is counted.
    eventually(|| {
        let lost = gate.lost().0;
        let whole = f64::from(u32::try_from(lines(&log).0).unwrap());
        ((whole + lost) - 320.0).abs().lt(&0.1).then_some(())
    });
    let (whole, torn, last) = lines(&log);
    assert!(
        torn <= 1 && last && whole > 20,
        "{whole} whole, {torn} torn"
    );
    tell(FAULTS, 1);
}

/// How many lines are whole and how many are not, and whether the last is.
fn lines(log: &Path) -> (usize, usize, bool) {
    let text = fs::read_to_string(log).unwrap();
    let whole = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).is_ok());
    let whole: Vec<bool> = whole.collect();
    let good = whole.iter().filter(|whole| **whole).count();
    let last = whole.last().copied().unwrap_or_default();
    (good, whole.len() - good, last)
}

#[test]
fn p3_the_log_tells_that_the_access_log_is_lost() {
    let (reader, writer) = std::io::pipe().unwrap();
    let dir = TempDir::with_prefix("dockgate-mute-").unwrap();
    let toml = "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"unix:/nowhere\"\n[auth]\nanonymous = \"pull\"\n";
    fs::write(dir.path().join("proxy.toml"), toml).unwrap();
    let mut command = dockgate();
    command.arg("serve").stdout(Stdio::from(writer));
    let gate = Program::spawn(dir, command);
    gate.err_line("listening");
    drop(reader);
    let mut dialog = Dialog::tcp(gate.address(0));
    for _ in 0..3 {
        assert_eq!(dialog.get("/v2/a/manifests/1").status, 502);
    }
    let line = gate.err_line("access log lines are lost");
    assert!(line.contains("WARN"), "{line}");
}

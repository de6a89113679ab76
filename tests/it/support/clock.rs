//! The gate with a clock of its own, which a test can set (libfaketime). Waits and deadlines keep the machine's time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::program::{Program, dockgate};

/// The programs that this needs.
pub const PROGRAMS: &[&str] = &["faketime"];

/// The clock of one gate.
#[derive(Clone, Debug)]
pub struct Clock(PathBuf);

impl Clock {
    /// Sets it, from the machine's time on: `+10m`, `-30s`.
    pub fn set(&self, offset: &str) {
        // As a whole: the gate looks at it at any time.
        let new = self.0.with_extension("new");
        fs::write(&new, format!("{offset}\n")).unwrap();
        fs::rename(new, &self.0).unwrap();
    }
}

/// Starts `dockgate serve` with this configuration and this clock, after `prepare` has put files into its folder.
#[track_caller]
pub fn start(toml: &str, offset: &str, prepare: impl FnOnce(&Path)) -> (Program, Clock) {
    let dir = TempDir::with_prefix("dockgate-clock-").unwrap();
    prepare(dir.path());
    fs::write(dir.path().join("proxy.toml"), toml).unwrap();
    let clock = Clock(dir.path().join("clock"));
    clock.set(offset);
    sweep();
    let mut command = dockgate();
    command
        .arg("serve")
        .env("LD_PRELOAD", library())
        .env("FAKETIME_TIMESTAMP_FILE", &clock.0)
        .env("FAKETIME_NO_CACHE", "1")
        // One name for each version of the library.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    let program = Program::spawn(dir, command);
    program.err_line("listening");
    (program, clock)
}

/// The binary with a clock that is off by this much from the beginning: `+10m`, `-3d`.
#[track_caller]
pub fn dockgate_at(offset: &str) -> Command {
    sweep();
    let mut command = dockgate();
    command
        .env("LD_PRELOAD", library())
        .env("FAKETIME", offset)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    command
}

/// The library for programs with threads, where Debian puts it; asking `faketime` itself needs shared memory too.
#[track_caller]
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let name = Path::new("faketime/libfaketimeMT.so.1");
    let mut found = folders
        .map(|folder| folder.join(name))
        .filter(|path| path.exists());
    found
        .next()
        .unwrap_or_else(|| panic!("no {} below /usr/lib", name.display()))
}

/// Gates that were killed leave their shared memory behind, for the next process of their number to trip over.
fn sweep() {
    for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = ["faketime_shm_", "sem.faketime_sem_"]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix));
        if number.is_some_and(|number| !Path::new("/proc").join(number).exists()) {
            // Another test may have been faster.
            let _ = fs::remove_file(entry.path());
        }
    }
}

//! The gate with a clock of its own, which a test can set (libfaketime). Waits and deadlines keep the machine's time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process;
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
    let mut library = Command::new("faketime");
    library.args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"]);
    let library = process::run(&mut library).succeeds("faketime").stdout;
    let mut command = dockgate();
    command
        .arg("serve")
        .env("LD_PRELOAD", library.trim())
        .env("FAKETIME_TIMESTAMP_FILE", &clock.0)
        .env("FAKETIME_NO_CACHE", "1")
        // One name for each version of the library.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    let program = Program::spawn(dir, command);
    program.err_line("listening");
    (program, clock)
}

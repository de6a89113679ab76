//! What a program of the tests holds, and how many files the tests themselves may open.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::binary::Binary;

/// Lets the tests open as many files as the machine allows.
#[track_caller]
pub fn many_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, all).unwrap();
}

impl Binary {
    /// The memory that it holds now, in KiB.
    #[track_caller]
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(self.process().join("status")).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

/// The most that the gate in this folder has held at once, in MiB.
#[track_caller]
pub fn peak(folder: &Path) -> u64 {
    let status = fs::read_to_string(process(folder).join("status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}

#[track_caller]
fn process(folder: &Path) -> PathBuf {
    let folder = folder.canonicalize().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_dockgate"));
    let is = |process: &Path, link: &str, target: &Path| {
        fs::read_link(process.join(link)).is_ok_and(|found| found == target)
    };
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|process| is(process, "cwd", &folder) && is(process, "exe", program))
        .unwrap()
}

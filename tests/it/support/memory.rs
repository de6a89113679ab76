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

/// What the system says of the memory of a process, by its folder below `/proc`: one line of its `status`, in KiB.
#[track_caller]
pub fn kib(process: &Path, name: &str) -> u64 {
    let status = fs::read_to_string(process.join("status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.split(':').next() == Some(name));
    let number = line.unwrap().split_whitespace().nth(1);
    number.unwrap().parse().unwrap()
}

impl Binary {
    /// The memory that it holds now, in KiB.
    #[track_caller]
    pub fn resident(&self) -> u64 {
        kib(&self.process(), "VmRSS")
    }
}

/// The most that the gate in this folder has held at once, in MiB.
#[track_caller]
pub fn peak(folder: &Path) -> u64 {
    kib(&process(folder), "VmHWM") / 1024
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

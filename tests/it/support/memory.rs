//! What a program of the tests holds, and how many files the tests themselves may open.

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
        let status = std::fs::read_to_string(self.process().join("status")).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

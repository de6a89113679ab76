//! Which real programs this machine has, and what a test does without them.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};

/// The address of [`NAME`]: on `lo`, but outside of 127/8, where docker would not insist on TLS.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

/// The name that the clients use for the front: certificates are made for it.
pub const NAME: &str = "registry.test";

/// Whether all these programs are here. If not, the test is to return at once: what is missing has been said, and
/// where `CI=true` it has failed the test, because there nobody reads what was skipped.
#[must_use]
#[track_caller]
pub fn need(programs: &[&str]) -> bool {
    let missing = programs
        .iter()
        .filter(|p| find(p).is_none())
        .copied()
        .collect::<Vec<_>>();
    missing.is_empty()
        || skip(&format!(
            "{} not installed (scripts/setup-peers installs it)",
            missing.join(", ")
        ))
}

/// As [`need`], for a test whose clients call the front by its name and find its CA where root puts it.
#[must_use]
#[track_caller]
pub fn need_clients(programs: &[&str]) -> bool {
    need(programs) && (is_root() || skip("the clients need root")) && need_name()
}

#[track_caller]
fn need_name() -> bool {
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let named = hosts
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .any(|words| words.first() == Some(&ADDRESS.to_string().as_str()) && words.contains(&NAME));
    let bound = TcpListener::bind((ADDRESS, 0)).is_ok();
    (named && bound)
        || skip(&format!(
            "{NAME} is not {ADDRESS} on lo (scripts/setup-peers sets it up)"
        ))
}

/// Says why the test is left out; where `CI=true` it fails.
#[track_caller]
pub fn skip(why: &str) -> bool {
    assert!(env::var("CI").as_deref() != Ok("true"), "{why}");
    let test = std::thread::current().name().unwrap_or("test").to_owned();
    // Past the test harness, which keeps back what a passing test prints.
    let note = format!("skipped: {test}: {why}\n");
    io::stderr().write_all(note.as_bytes()).unwrap();
    false
}

fn find(program: &str) -> Option<()> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into))
        .find(|dir| dir.join(program).is_file())
        .map(|_| ())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

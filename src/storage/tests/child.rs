//! Tests that run a part of themselves in a process of its own: under other limits, or under the eyes of `strace`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the folder of a test to its child.
const GROUND: &str = "DOCKGATE_TEST_GROUND";

/// In a child: the folder to work in.
pub(super) fn ground() -> Option<PathBuf> {
    std::env::var_os(GROUND).map(PathBuf::from)
}

/// Runs the test of this name (without `storage::tests`) in a child below `wrapper`, and fails as it does.
pub(super) fn child(wrapper: &[&str], test: &str, ground: &Path) {
    let (program, arguments) = wrapper.split_first().unwrap();
    let done = Command::new("timeout")
        .args(["120", program])
        .args(arguments)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .arg(format!("storage::tests::{test}"))
        .env(GROUND, ground)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&done.stdout);
    let passed = done.status.success() && output.contains("1 passed");
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(passed, "{}\n{output}\n{errors}", done.status);
}

/// Runs a future to its end.
pub(super) fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Whether `strace` is here and may trace.
pub(super) fn has_strace() -> bool {
    let there = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .status();
    let there = there.is_ok_and(|status| status.success());
    if !there {
        skipped("there is no strace, or it may not trace");
    }
    there
}

/// Says that a test did not run; where everything must be there, that is a failure.
#[expect(clippy::print_stderr, reason = "whoever runs the tests is to know")]
pub(super) fn skipped(why: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "not skipped under CI: {why}"
    );
    eprintln!("skipped: {why}");
}

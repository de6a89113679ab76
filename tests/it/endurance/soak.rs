//! `scripts/soak` for some seconds, so that it works when somebody has half an hour for it.

use std::process::Command;
use std::time::Duration;

use crate::support::peers::need;
use crate::support::process::{run, run_within};

#[test]
fn p1_g9_a_short_soak_finds_nothing() {
    if !need(&["python3", "docker-registry", "skopeo", "curl"]) {
        return;
    }
    let mut soak = Command::new("scripts/soak");
    soak.args(["--seconds", "20", "--workers", "4", "--without-podman"])
        .args(["--binary", env!("CARGO_BIN_EXE_dockgate")]);
    let told = run_within(&mut soak, Duration::from_secs(240))
        .succeeds("the soak")
        .says("soak: no fault", "what it found");
    // Real clients did something, and the disturbances took place.
    let number = |row: &str, column: usize| -> u64 {
        let line = told.stdout.lines().find(|line| line.starts_with(row));
        let line = line.unwrap_or_else(|| panic!("no {row:?} in\n{told}"));
        let mut cells = line.strip_prefix(row).unwrap().split_whitespace();
        cells.nth(column).unwrap().parse().unwrap()
    };
    for row in ["skopeo_push", "skopeo_pull", "range", "bad_login"] {
        assert!(number(row, 0) > 0, "{row} in\n{told}");
    }
    assert!(
        number("reloads", 0) > 2 && number("reloads", 1) > 2,
        "{told}"
    );
    assert!(number("restarts of the registry", 0) > 0, "{told}");
    assert!(number("acknowledged images", 0) > 0, "{told}");
}

#[test]
fn a_soak_of_a_gate_that_does_not_start_says_so_and_fails() {
    if !need(&["python3", "docker-registry", "skopeo", "curl"]) {
        return;
    }
    let mut soak = Command::new("scripts/soak");
    soak.args(["--seconds", "5", "--binary", "/bin/false"]);
    run(&mut soak).fails_saying("gate did not start", "there is no gate");
}

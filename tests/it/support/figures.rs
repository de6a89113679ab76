//! The figures behind the table of promises in the README: tests tell them, `scripts/promises` adds them up.

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;

/// Requests, files or handshakes that were wrong on purpose; each got the answer that the test asserts.
pub const BAD_INPUTS: &str = "bad inputs";
/// Faults that were injected: of the registry behind the gate, of the disk, of the bucket, of the clock.
pub const FAULTS: &str = "faults";
/// Times that a process was killed at some instant.
pub const KILLS: &str = "kills";
/// Instants at which the power could have been cut, each looked at for what was acknowledged and for halves.
pub const POWER_CUTS: &str = "power cuts";
/// Acknowledged writes that were looked for again after a fault, a kill or a cut, and found whole.
pub const WRITES: &str = "acknowledged writes";
/// Reloads of the configuration under load.
pub const RELOADS: &str = "reloads";
/// Requests that were answered meanwhile, none of them with an error.
pub const REQUESTS: &str = "requests during reloads";
/// Connections that were held or thrown at the gate while others were served.
pub const CONNECTIONS: &str = "hostile connections";

/// Says that so many of `what` went as they must. Told when the assertions are past: a test that fails tells nothing.
pub fn tell(what: &str, count: usize) {
    let Ok(path) = env::var("TEST_FIGURES") else {
        return;
    };
    let test = std::thread::current().name().unwrap_or("test").to_owned();
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    // One write, so that tests side by side do not mix their lines.
    file.write_all(format!("{what}\t{count}\t{test}\n").as_bytes())
        .unwrap();
}

/// So many rounds as `TEST_SCALE` says of what a run of all tests does once: `make promises` has more time.
pub fn rounds(once: usize) -> usize {
    let scale = env::var("TEST_SCALE")
        .ok()
        .and_then(|text| text.parse().ok());
    once * scale.unwrap_or(1_usize).clamp(1, 1000)
}

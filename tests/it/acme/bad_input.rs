//! `[acme]` as it can be got wrong, and what `dockgate check` makes of it.

use std::fs;

use dockgate::config::Config;
use tempfile::TempDir;

use crate::support::process::{Outcome, run};
use crate::support::program::dockgate;

use super::GATE;

const ACME: &str = "[acme]\nnames = [\"registry.test\"]\naccept_terms = true\n";

fn check(dir: &TempDir, toml: &str) -> Outcome {
    fs::write(dir.path().join("proxy.toml"), toml).unwrap();
    run(dockgate().arg("check").current_dir(dir.path()))
}

#[test]
fn a_check_reads_what_serving_would_read_asks_nobody_and_makes_nothing() {
    let dir = TempDir::new().unwrap();
    let sound = format!("{GATE}{ACME}directory = \"https://127.0.0.1:9/dir\"\n");
    check(&dir, &sound).succeeds("an authority that is down is no fault of the configuration");
    assert!(!dir.path().join("dockgate-data").exists());

    let more = "directory_ca = \"ca.crt\"\neab_key_id = \"id\"\neab_key_file = \"eab.key\"\n";
    fs::write(dir.path().join("eab.key"), "?\n").unwrap();
    let outcome = check(&dir, &format!("{sound}{more}"));
    for words in [
        "ca.crt: cannot be read",
        "eab.key: its first line is not base64url",
    ] {
        assert!(outcome.stderr.contains(words), "no {words:?} in {outcome}");
    }
    outcome.fails_saying("eab.key", "files that cannot be used are faults");
}

#[test]
fn what_probably_was_not_meant_is_said() {
    let dir = TempDir::new().unwrap();
    let warned = |toml: &str, words: &str| {
        let outcome = check(&dir, toml).succeeds("a warning is no fault");
        assert!(outcome.stderr.contains(words), "no {words:?} in {outcome}");
    };
    let gate = GATE.replace("127.0.0.1:0", "127.0.0.1:8443");
    warned(&format!("{gate}{ACME}"), "proves each name on its port 443");
    let clear = "challenge = \"http-01\"\nhttp_address = \"127.0.0.1:8080\"\n";
    warned(
        &format!("{gate}{ACME}{clear}"),
        "proves each name on its port 80",
    );
    let plain = GATE.replace("[listener.tls]\n", "");
    warned(&format!("{plain}{ACME}"), "are for nobody");

    let good = gate.replace("127.0.0.1:8443", "127.0.0.1:443");
    for fine in [
        format!("{good}{ACME}"),
        format!("{good}{ACME}{}", clear.replace("8080", "80")),
    ] {
        let outcome = check(&dir, &fine).succeeds("it is right");
        assert!(!outcome.stderr.contains("acme"), "{outcome}");
    }
}

#[test]
fn a_certificate_that_is_damaged_is_a_warning_since_serving_gets_another() {
    let dir = TempDir::new().unwrap();
    let toml = format!("{GATE}{ACME}");
    check(&dir, &toml).succeeds("it is right");
    let loaded = Config::load(Some(&dir.path().join("proxy.toml")), &[]).unwrap();
    let file = loaded.config.acme.unwrap().certificate_file();
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "half").unwrap();
    let outcome = check(&dir, &toml).succeeds("serving starts all the same");
    assert!(
        outcome.stderr.contains("another one will be ordered"),
        "{outcome}"
    );
    assert_eq!(fs::read(&file).unwrap(), b"half");
    assert!(!dir.path().join("dockgate-data/tls").exists());
}

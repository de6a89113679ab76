//! A desk that is killed at each instant at which something is in half, and two at once.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use crate::support::desk::{Desk, ran};
use crate::support::peers;

/// The rename before which a command is killed; more than any command makes.
const RENAMES: std::ops::RangeInclusive<u32> = 1..=7;

/// Runs a command that is killed before one of its renames. Whether it came that far.
fn killed(desk: &Desk, rename: u32, arguments: &[&str]) -> bool {
    let inject = format!("inject=/^rename:signal=KILL:when={rename}");
    let mut strace = Command::new("strace");
    strace
        .current_dir(desk.beside(""))
        .args([
            "-f",
            "-o",
            "/dev/null",
            "-e",
            "trace=/^rename",
            "-e",
            &inject,
        ])
        .args([env!("CARGO_BIN_EXE_dockgate"), "cert"])
        .args(arguments)
        .args(["--dir", "pki"]);
    ran(&mut strace).code != Some(0)
}

fn names(desk: &Desk) -> Vec<String> {
    let list = desk.cert(&["list", "--format", "json"]).done().out;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let names = list.as_array().unwrap().iter();
    names
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_certificate_is_issued_as_a_whole_or_not_at_all() {
    if !peers::need(&["strace", "openssl"]) {
        return;
    }
    let mut instants = 0;
    for rename in RENAMES {
        let desk = Desk::new();
        if !killed(&desk, rename, &["client", "--name", "a"]) {
            continue;
        }
        instants += 1;
        let there = desk.path("a.crt").exists();
        let known = names(&desk).contains(&"a".to_owned());
        assert!(
            known || !there,
            "{rename}: a certificate that cannot be taken back"
        );
        // the next command finishes what can be finished
        desk.cert(&["renew", "--crl"]).done();
        assert_eq!(desk.path("a.crt").exists(), known, "{rename}");
        assert_eq!(desk.path("a.key").exists(), known, "{rename}");
        assert!(!desk.path(".staged").exists(), "{rename}");
        if known {
            let modulus = |what: &str| desk.openssl(what).stdout;
            assert_eq!(
                modulus("x509 -in a.crt -noout -pubkey"),
                modulus("pkey -in a.key -pubout"),
                "{rename}: the key is the certificate's"
            );
            desk.cert(&["renew", "a"]).done();
        } else {
            desk.cert(&["client", "--name", "a"]).done();
        }
    }
    assert_eq!(instants, 5, "crlnumber, crl.pem, index.txt, a.key, a.crt");
}

#[test]
fn no_crash_takes_a_revocation_back() {
    if !peers::need(&["strace", "openssl"]) {
        return;
    }
    let mut instants = 0;
    for rename in RENAMES {
        let desk = Desk::new();
        desk.cert(&["client", "--name", "a"]).done();
        if !killed(&desk, rename, &["revoke", "a"]) {
            continue;
        }
        instants += 1;
        let counted = desk.listed().len() == 1;
        desk.cert(&["client", "--name", "b"]).done();
        assert_eq!(desk.listed().len() == 1, counted, "{rename}");
        let marked = desk.text("index.txt").starts_with('R');
        assert_eq!(marked, counted, "{rename}: list and index agree again");
        desk.cert(&["revoke", "a"]).done();
        assert_eq!(desk.listed().len(), 1);
    }
    assert_eq!(instants, 3, "crlnumber, crl.pem, index.txt");
}

#[test]
fn a_ca_that_was_half_made_is_finished_or_made_anew() {
    if !peers::need(&["strace"]) {
        return;
    }
    for rename in RENAMES {
        let desk = Desk::empty();
        if !killed(&desk, rename, &["init-ca"]) {
            continue;
        }
        let again = desk.cert(&["init-ca"]);
        assert!(
            again.code == Some(0) || again.err.contains("is there already"),
            "{rename}: {again:?}"
        );
        desk.cert(&["client", "--name", "a"]).done();
        assert!(desk.path("crl.pem").exists(), "{rename}");
    }
}

#[test]
fn an_index_of_yesterday_gives_no_revoked_certificate_back() {
    if !peers::need(&["openssl"]) {
        return;
    }
    let desk = Desk::new();
    desk.cert(&["client", "--name", "a"]).done();
    let yesterday = desk.text("index.txt");
    desk.cert(&["revoke", "a"]).done();
    std::fs::write(desk.path("index.txt"), yesterday).unwrap();
    let listed = desk.cert(&["list"]).done();
    assert!(
        !listed.out.lines().nth(1).unwrap().ends_with("no"),
        "{listed:?}"
    );
    desk.cert(&["renew", "a"]).refused(2, "was taken back");
    desk.cert(&["client", "--name", "b"]).done();
    assert_eq!(desk.listed().len(), 1);
    assert!(
        desk.text("index.txt").starts_with('R'),
        "the index knows it again"
    );
}

#[test]
fn many_at_once_leave_every_line_and_one_number_each() {
    if !peers::need(&["openssl"]) {
        return;
    }
    let desk = Desk::new();
    let children: Vec<_> = (0..6)
        .map(|number| {
            let name = format!("c{number}");
            let mut command = desk.command(&["client", "--name", &name]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let found: BTreeSet<String> = names(&desk).into_iter().collect();
    assert_eq!(found.len(), 6, "{found:?}");
    assert_eq!(
        desk.text("crlnumber"),
        "08\n",
        "one list for each, and the first"
    );
    desk.openssl_ca("-updatedb")
        .succeeds("openssl reads the index");
}

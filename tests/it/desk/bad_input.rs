//! What a desk is given by mistake: it says what is wrong, and changes nothing.

use std::fs;
use std::process::Command;

use crate::support::desk::{Desk, openssl, ran};
use crate::support::peers;

/// Refused with these words, and every file as before.
#[track_caller]
fn refused(desk: &Desk, arguments: &[&str], words: &str) {
    let before = desk.files();
    desk.cert(arguments).refused(2, words);
    assert!(desk.files() == before, "{words}: files have changed");
}

#[test]
fn names_that_are_paths_or_control_characters_are_refused() {
    let desk = Desk::new();
    for name in [
        "../x",
        "a/b",
        "/etc/x",
        "..",
        ".",
        "",
        "a\nb",
        "a\tb",
        "a b",
        "\u{1b}[31m",
        "ca",
        "-x",
    ] {
        for command in ["client", "server"] {
            let name = format!("--name={name}");
            refused(&desk, &[command, &name], "cannot be used");
        }
    }
    for arguments in [
        &["renew", "../../etc/passwd"][..],
        &["renew", "a\nb"],
        &["revoke", "a\nb"],
        &[
            "bundle", "--client", "../ca", "--host", "h.test", "--format", "docker",
        ],
    ] {
        refused(&desk, arguments, "`dockgate cert list`");
    }
    refused(
        &desk,
        &["client", "--name", "a", "--san", "dns:a b"],
        "cannot be used",
    );
    refused(&desk, &["client", "--name", "a", "--days", "0"], "--days");
    refused(
        &desk,
        &["client", "--name", &"a".repeat(65)],
        "64 characters",
    );
    for host in ["a/b", "h.test:5000", "../x", ""] {
        let host = format!("--host={host}");
        refused(
            &desk,
            &["bundle", "--client", "a", &host, "--format", "script"],
            "not the name or address",
        );
    }
}

#[test]
fn what_is_there_is_never_written_over() {
    let desk = Desk::new();
    desk.cert(&["client", "--name", "a"]).done();
    refused(&desk, &["init-ca"], "is there already");
    refused(&desk, &["client", "--name", "a"], "`dockgate cert renew a`");
    fs::write(desk.path("b.key"), "somebody's").unwrap();
    refused(
        &desk,
        &["client", "--name", "b"],
        "index.txt does not know it",
    );
    let bundle = [
        "bundle", "--client", "a", "--host", "h.test", "--format", "docker",
    ];
    desk.cert(&bundle).done();
    desk.cert(&bundle).done();
    let key = desk.beside("certs.d/h.test/client.key");
    fs::write(&key, "other").unwrap();
    let ran = desk.cert(&bundle);
    assert!(
        ran.code == Some(2) && ran.err.contains("--force"),
        "{ran:?}"
    );
    assert_eq!(fs::read(&key).unwrap(), b"other");
    desk.cert(&[&bundle[..], &["--force"]].concat()).done();
    assert_eq!(
        fs::read(&key).unwrap(),
        fs::read(desk.path("a.key")).unwrap()
    );
}

#[test]
fn a_key_with_a_pass_phrase_or_of_another_ca_is_refused() {
    if !peers::need(&["openssl"]) {
        return;
    }
    let desk = Desk::new();
    let key = desk.text("ca.key");
    fs::write(desk.beside("plain.key"), &key).unwrap();
    let outside = desk.beside("");
    for (command, mark) in [
        (
            "pkcs8 -topk8 -v2 aes256 -in plain.key -out locked.key -passout pass:x",
            "ENCRYPTED PRIVATE KEY",
        ),
        (
            "ec -aes256 -in plain.key -out locked.key -passout pass:x",
            "Proc-Type: 4,ENCRYPTED",
        ),
    ] {
        openssl(&outside, command).succeeds("a key is locked");
        let locked = fs::read_to_string(desk.beside("locked.key")).unwrap();
        assert!(locked.contains(mark), "{locked}");
        fs::write(desk.path("ca.key"), locked).unwrap();
        refused(&desk, &["client", "--name", "a"], "is encrypted");
        refused(
            &desk,
            &[
                "client",
                "--name",
                "a",
                "--ca",
                "pki/ca.crt",
                "--ca-key",
                "locked.key",
            ],
            "openssl pkey -in",
        );
    }
    let other = Desk::new();
    fs::write(desk.path("ca.key"), other.text("ca.key")).unwrap();
    refused(
        &desk,
        &["client", "--name", "a"],
        "is not the key of the CA",
    );
    fs::write(desk.path("ca.key"), "garbage").unwrap();
    refused(&desk, &["client", "--name", "a"], "ca.key");
    fs::remove_file(desk.path("ca.key")).unwrap();
    refused(&desk, &["revoke", "a"], "ca.key");
    fs::write(desk.path("ca.key"), &key).unwrap();
    desk.cert(&["client", "--name", "a"]).done();

    // a leaf is no CA, and the folder is not another CA's
    refused(
        &desk,
        &[
            "client",
            "--name",
            "b",
            "--ca",
            "pki/a.crt",
            "--ca-key",
            "pki/a.key",
        ],
        "not the certificate of a CA",
    );
    let (ca, key) = (other.path("ca.crt"), other.path("ca.key"));
    let other = [
        "--ca",
        ca.to_str().unwrap(),
        "--ca-key",
        key.to_str().unwrap(),
    ];
    refused(
        &desk,
        &[&["client", "--name", "b"][..], &other].concat(),
        "the folder of another CA",
    );
}

#[test]
fn a_list_of_another_ca_is_not_written_over() {
    let (desk, other) = (Desk::new(), Desk::new());
    let own = desk.text("crl.pem");
    for (bytes, words) in [
        (other.text("crl.pem"), "is not a list of the CA"),
        ("garbage".to_owned(), "crl.pem"),
        (format!("{own}{}", other.text("crl.pem")), "holds 2 lists"),
        (own.replace("MI", "MJ"), "crl.pem"),
    ] {
        fs::write(desk.path("crl.pem"), bytes).unwrap();
        for command in [&["renew", "--crl"][..], &["client", "--name", "a"]] {
            refused(&desk, command, words);
        }
        desk.cert(&["list"]).refused(2, words);
    }
}

#[test]
fn a_damaged_index_is_named_by_its_line_and_left_alone() {
    let desk = Desk::new();
    desk.cert(&["client", "--name", "a"]).done();
    desk.cert(&["client", "--name", "b"]).done();
    let good = desk.text("index.txt");
    for (bad, words) in [
        (
            good.replacen("\t\t", "\t", 2),
            "index.txt, line 1: has 5 fields",
        ),
        (
            good.replacen("/CN=b", "/CN=b\tx", 1),
            "index.txt, line 2: has 7 fields",
        ),
        (good.replacen('V', "Q", 1), "line 1: begins with `Q`"),
        (good.trim_end().to_owned(), "line 2: does not end"),
        (
            format!("{good}{}\n", good.lines().next().unwrap()),
            "of line 1",
        ),
        (format!("{good}\0\n"), "line 3"),
    ] {
        fs::write(desk.path("index.txt"), bad).unwrap();
        for command in [
            &["client", "--name", "c"][..],
            &["revoke", "a"],
            &["renew", "--crl"],
            &["list"],
        ] {
            refused(&desk, command, words);
        }
    }
    fs::remove_file(desk.path("index.txt")).unwrap();
    refused(
        &desk,
        &["client", "--name", "c"],
        "is missing, though crl.pem is there",
    );
    fs::write(desk.path("index.txt"), good).unwrap();
    fs::write(desk.path("crlnumber"), "x").unwrap();
    refused(&desk, &["revoke", "a"], "crlnumber");
}

#[test]
fn a_ca_that_has_expired_issues_nothing_and_can_still_be_renewed() {
    if !peers::need(&["faketime", "openssl"]) {
        return;
    }
    let desk = Desk::empty();
    let mut command = Command::new("faketime");
    command
        .env("TZ", "UTC")
        .current_dir(desk.beside(""))
        .args([
            "2020-01-01 00:00:00",
            env!("CARGO_BIN_EXE_dockgate"),
            "cert",
            "init-ca",
        ])
        .args(["--days", "30", "--dir", "pki"]);
    ran(&mut command).done();
    refused(&desk, &["client", "--name", "a"], "expired on 2020-01-31");
    desk.cert(&["revoke", "a"]).refused(2, "no certificate");
    let listed = desk.cert(&["list"]).done();
    assert!(
        listed.err.contains("`dockgate cert renew ca`"),
        "{listed:?}"
    );
    assert!(
        listed.err.contains("refuses all client certificates"),
        "{listed:?}"
    );
    desk.cert(&["renew", "ca", "--days", "300"]).done();
    desk.cert(&["client", "--name", "a"]).done();
    desk.openssl("verify -crl_check -CRLfile crl.pem -CAfile ca.crt a.crt")
        .succeeds("the CA is good again");
}

#[test]
fn a_folder_that_cannot_be_written_is_named_and_left_as_it_is() {
    if !peers::need(&["unshare", "strace", "sh"]) {
        return;
    }
    let may = Command::new("unshare")
        .args(["-m", "sh", "-c", "mount -t tmpfs none /mnt"])
        .output();
    if !may.is_ok_and(|output| output.status.success()) {
        let _ = peers::skip("no mount namespace may be made here");
        return;
    }
    let desk = Desk::new();
    desk.cert(&["client", "--name", "a"]).done();
    let before = desk.files();
    let program = env!("CARGO_BIN_EXE_dockgate");
    let read_only = |command: &str| {
        let script = format!(
            "mount --bind pki pki && mount -o remount,ro,bind pki && exec {program} cert {command} --dir pki"
        );
        let mut unshare = Command::new("unshare");
        unshare
            .current_dir(desk.beside(""))
            .args(["-m", "sh", "-c", &script]);
        ran(&mut unshare)
    };
    read_only("list").done();
    for command in ["client --name b", "revoke a", "renew a", "renew --crl"] {
        read_only(command).refused(1, "Read-only file system");
        assert!(desk.files() == before, "{command}");
    }
    // a full disk, at each of the writes
    for command in [
        &["client", "--name", "b"][..],
        &["revoke", "a"],
        &["renew", "a"],
    ] {
        for write in 1..=3 {
            let inject = format!("inject=write:error=ENOSPC:when={write}");
            let mut strace = Command::new("strace");
            strace
                .current_dir(desk.beside(""))
                .args([
                    "-f",
                    "-o",
                    "/dev/null",
                    "-e",
                    "trace=write",
                    "-e",
                    &inject,
                    program,
                    "cert",
                ])
                .args(command)
                .args(["--dir", "pki"]);
            let ran = ran(&mut strace);
            assert_eq!(ran.code, Some(1), "{command:?} {write}: {ran:?}");
            assert!(ran.err.contains("No space left on device"), "{ran:?}");
            assert!(desk.files() == before, "{command:?} {write}");
        }
    }
}

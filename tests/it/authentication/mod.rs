//! Passwords through the front door: every format, everything that is not one, floods, reloads, and where a password
//! must never turn up.

mod headers;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1::{Digest as _, Sha1};

use crate::support::dialog::{Answer, Dialog};
use crate::support::gate::Gate;
use crate::support::origin::Origin;
use crate::support::process;
use crate::support::program::Program;

fn toml(origin: &Origin, more: &str) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n{more}",
        origin.url()
    )
}

const ASK: &str = "[auth]\nhtpasswd = \"htpasswd\"\n[log]\naccess = false\n";

fn gate(origin: &Origin, htpasswd: &str) -> Gate {
    Gate::start_with(&toml(origin, ASK), |dir| {
        fs::write(dir.join("htpasswd"), htpasswd).unwrap();
    })
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
}

fn login(dialog: &mut Dialog, user: &str, password: &str) -> Answer {
    with(dialog, &basic(user, password))
}

fn with(dialog: &mut Dialog, authorization: &str) -> Answer {
    dialog.ask("GET", "/v2/", &[("Authorization", authorization)], b"")
}

/// libc's crypt, by way of perl.
fn crypt(password: &str, setting: &str) -> String {
    process::run(Command::new("perl").args([
        "-e",
        "print crypt($ARGV[0], $ARGV[1])",
        password,
        setting,
    ]))
    .succeeds("perl has crypt")
    .stdout
}

fn bcrypt(password: &str, cost: u32) -> String {
    crypt(password, &format!("$2b${cost:02}$abcdefghijklmnopqrstuu"))
}

#[test]
fn c6_every_format_that_nginx_and_apache_write_lets_its_user_in() {
    let word = "correct horse";
    let salted = [
        &Sha1::digest([word.as_bytes(), b"salt"].concat())[..],
        b"salt",
    ]
    .concat();
    let apache = process::run(Command::new("htpasswd").args(["-nbm", "apr1", word]))
        .succeeds("htpasswd makes apr1")
        .stdout;
    let mut file = String::from("# the team\n\n");
    file += apache.trim_start();
    for (user, hash) in [
        ("2y", bcrypt(word, 4).replacen("$2b$", "$2y$", 1)),
        ("2b", bcrypt(word, 4)),
        ("2a", bcrypt(word, 4).replacen("$2b$", "$2a$", 1)),
        ("md5", crypt(word, "$1$saltsalt$")),
        ("sha256", crypt(word, "$5$rounds=1000$saltsalt$")),
        ("sha512", crypt(word, "$6$rounds=1000$saltsalt$")),
        (
            "sha",
            format!("{{SHA}}{}", BASE64.encode(Sha1::digest(word))),
        ),
        ("ssha", format!("{{SSHA}}{}", BASE64.encode(salted))),
        ("plain", format!("{{PLAIN}}{word}")),
        ("yescrypt", crypt(word, "$y$j75$saltsaltsaltsaltsaltsal.")),
        ("des", crypt(&word[..8], "ab")),
    ] {
        writeln!(file, "{user}:{hash}").unwrap();
    }
    file += "broken line\nold:$2x$04$abcdefghijklmnopqrstuuS.8cHkJnTtYg2gGJxnx.wX1TTtZjHOy\n";
    let origin = Origin::start();
    let gate = gate(&origin, &file);
    let mut dialog = Dialog::tcp(gate.address());
    for user in [
        "apr1", "2y", "2b", "2a", "md5", "sha256", "sha512", "sha", "ssha", "plain", "yescrypt",
    ] {
        assert_eq!(login(&mut dialog, user, word).status, 200, "{user}");
        assert_eq!(
            login(&mut dialog, user, "correct hors").status,
            401,
            "{user}"
        );
    }
    // DES looks at eight characters, here as everywhere.
    assert_eq!(login(&mut dialog, "des", &word[..8]).status, 200);
    assert_eq!(login(&mut dialog, "des", "correct").status, 401);
    assert_eq!(
        login(&mut dialog, "old", word).status,
        401,
        "$2x$ is refused"
    );
}

#[test]
fn n20_bcrypt_is_not_asked_about_more_than_it_looks_at() {
    let longest = "p".repeat(72);
    let origin = Origin::start();
    let gate = gate(&origin, &format!("ann:{}\n", bcrypt(&longest, 4)));
    let mut dialog = Dialog::tcp(gate.address());
    assert_eq!(login(&mut dialog, "ann", &longest).status, 200);
    assert_eq!(
        login(&mut dialog, "ann", &format!("{longest}x")).status,
        401
    );
    assert_eq!(login(&mut dialog, "ann", &longest[1..]).status, 401);
}

#[test]
fn names_and_passwords_may_hold_what_people_put_into_them() {
    let origin = Origin::start();
    let people = [
        ("ann@example.com", "p@ss:word%40+plus"),
        ("bob+ci", " blanks around "),
        ("пользователь", "密码🔑"),
        ("with space", "%00"),
        ("-Bbn", "'\";$(x)\\"),
    ];
    let mut file = String::new();
    for (user, password) in people {
        writeln!(file, "{user}:{}", bcrypt(password, 4)).unwrap();
    }
    let gate = gate(&origin, &file);
    let mut dialog = Dialog::tcp(gate.address());
    for (user, password) in people {
        assert_eq!(login(&mut dialog, user, password).status, 200, "{user}");
        let cut: String = password.chars().skip(1).collect();
        assert_eq!(login(&mut dialog, user, &cut).status, 401, "{user}");
    }
}

#[test]
fn a5_c7_n59_users_come_change_and_go_without_a_restart_and_a_broken_file_changes_nothing() {
    let origin = Origin::start();
    let program = Program::start_with(&toml(&origin, ASK), |dir| {
        fs::write(dir.join("htpasswd"), "ann:{PLAIN}old\n").unwrap();
    });
    let file = program.path("htpasswd");
    let mut dialog = Dialog::tcp(program.address(0));
    assert_eq!(login(&mut dialog, "ann", "old").status, 200);
    assert_eq!(login(&mut dialog, "bob", "new").status, 401);

    fs::write(&file, "ann:{PLAIN}changed\nbob:{PLAIN}new\n").unwrap();
    program.err_times("reload: reloaded", 1);
    assert_eq!(login(&mut dialog, "ann", "old").status, 401);
    assert_eq!(login(&mut dialog, "ann", "changed").status, 200);
    assert_eq!(login(&mut dialog, "bob", "new").status, 200);

    for (times, broken) in [&b"\x7fELF\0\0\0garbage\n\xff\xfe\n"[..], b"no colon here\n"]
        .into_iter()
        .enumerate()
    {
        fs::write(&file, broken).unwrap();
        program.err_times("credentials not reloaded, the old ones stay", times + 1);
        assert_eq!(login(&mut dialog, "bob", "new").status, 200);
    }
    fs::remove_file(&file).unwrap();
    program.err_times("credentials not reloaded, the old ones stay", 3);
    assert_eq!(login(&mut dialog, "bob", "new").status, 200);

    // As `mv` puts a new file in its place.
    let beside = program.path("htpasswd.new");
    fs::write(&beside, "ann:{PLAIN}changed\n").unwrap();
    fs::rename(&beside, &file).unwrap();
    program.err_times("reload: reloaded", 2);
    assert_eq!(login(&mut dialog, "bob", "new").status, 401, "removed");
    assert_eq!(login(&mut dialog, "ann", "changed").status, 200);
}

#[test]
fn a6_a_password_is_at_no_registry_and_in_no_log_unless_it_is_to_be_forwarded() {
    const SECRET: &str = "S3cret-of-ann";
    const OWN: &str = "S3cret-of-ours";
    for (setting, expected) in [
        ("authorization = \"strip\"", None),
        ("authorization = \"user\"", Some(basic("ann", ""))),
        ("authorization = \"forward\"", Some(basic("ann", SECRET))),
        (
            "username = \"gate\"\npassword_file = \"own\"",
            Some(basic("gate", OWN)),
        ),
    ] {
        let origin = Origin::start();
        let toml = toml(
            &origin,
            &format!("{setting}\n[auth]\nhtpasswd = \"htpasswd\"\n[log]\nlevel = \"trace\"\n"),
        );
        let program = Program::start_with(&toml, |dir| {
            fs::write(dir.join("htpasswd"), format!("ann:{}\n", bcrypt(SECRET, 4))).unwrap();
            fs::write(dir.join("own"), format!("{OWN}\n")).unwrap();
        });
        let mut dialog = Dialog::tcp(program.address(0));
        assert_eq!(login(&mut dialog, "ann", SECRET).status, 200);
        assert_eq!(login(&mut dialog, "bob", SECRET).status, 401);
        assert_eq!(login(&mut dialog, SECRET, "\0").status, 401);
        let body = dialog.ask(
            "POST",
            "/v2/a/blobs/uploads/",
            &[("Authorization", &basic("ann", SECRET))],
            b"x",
        );
        assert_eq!(body.status, 200);
        let seen = origin.seen();
        for seen in &seen {
            assert_eq!(
                seen.header("authorization"),
                expected.iter().map(String::as_str).collect::<Vec<_>>(),
                "{setting}"
            );
        }
        assert_eq!(seen.len(), 2);
        program.out_line("POST");
        program.signal(rustix::process::Signal::TERM);
        drop(dialog);
        let (code, out, err) = program.end();
        assert_eq!(code, Some(0));
        // The name that was claimed in vain is logged; a password typed into its place cannot be told from a name.
        let out = out.replacen(&format!("- {SECRET} ["), "- NAME [", 1);
        for text in [&out, &err] {
            for secret in [
                SECRET,
                OWN,
                &BASE64.encode(format!("ann:{SECRET}")),
                &BASE64.encode(format!("gate:{OWN}")),
                "$2b$",
            ] {
                assert!(!text.contains(secret), "{setting}: {secret} in\n{text}");
            }
        }
        assert!(out.contains(" - ann ["), "{out}");
    }
}

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// `dockgate htpasswd` by its other name, for a person who keeps the old commands.
#[test]
fn a_user_made_by_our_own_htpasswd_gets_in() {
    let origin = Origin::start();
    let gate = Gate::start_with(&toml(&origin, ASK), |dir| own_tool(&dir.join("htpasswd")));
    let mut dialog = Dialog::tcp(gate.address());
    assert_eq!(login(&mut dialog, "ann", "secret").status, 200);
    assert_eq!(login(&mut dialog, "bob", "builder").status, 200);
    assert_eq!(login(&mut dialog, "bob", "secret").status, 401);
}

fn own_tool(file: &Path) {
    let link = file.with_file_name("bin");
    fs::create_dir(&link).unwrap();
    let link = link.join("htpasswd");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_dockgate"), &link).unwrap();
    process::run(
        Command::new(&link)
            .arg("-cbB")
            .arg(file)
            .args(["ann", "secret"]),
    )
    .succeeds("called by the name of Apache's tool");
    let mut child = Command::new(env!("CARGO_BIN_EXE_dockgate"))
        .args(["htpasswd", "-i"])
        .arg(file)
        .arg("bob")
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"builder\n").unwrap();
    assert!(child.wait().unwrap().success());
}

//! Passwords through the front door: every format, everything that is not one, floods, reloads, and where a password
//! must never turn up.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

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
fn every_format_that_nginx_and_apache_write_lets_its_user_in() {
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

/// An answer without what differs from request to request.
fn anonymised(answer: &Answer) -> String {
    let id = answer.header("x-request-id").unwrap().to_owned();
    let head: Vec<_> = answer
        .head
        .lines()
        .filter(|line| !line.to_ascii_lowercase().starts_with("date:"))
        .collect();
    format!("{}\n{}", head.join("\n"), answer.text()).replace(&id, "ID")
}

#[test]
fn wrong_unknown_and_empty_users_get_the_same_answer() {
    let origin = Origin::start();
    let gate = gate(&origin, "ann:{PLAIN}secret\n");
    let mut dialog = Dialog::tcp(gate.address());
    let wrong = login(&mut dialog, "ann", "wrong");
    assert_eq!(wrong.status, 401);
    assert_eq!(
        wrong.header("www-authenticate"),
        Some("Basic realm=\"Registry\", charset=\"UTF-8\"")
    );
    assert!(
        wrong.text().contains("\"UNAUTHORIZED\""),
        "{}",
        wrong.text()
    );
    for (user, password) in [
        ("nobody", "secret"),
        ("", "secret"),
        ("ANN", "secret"),
        ("ann", ""),
    ] {
        let answer = login(&mut dialog, user, password);
        assert_eq!(anonymised(&answer), anonymised(&wrong), "{user}:{password}");
    }
    let bearer = with(&mut dialog, "Bearer abc");
    assert_eq!(anonymised(&bearer), anonymised(&wrong));
    assert!(origin.seen().is_empty());
}

#[test]
fn empty_name_and_password_are_like_no_credentials() {
    let origin = Origin::start();
    let closed = gate(&origin, "ann:{PLAIN}secret\n");
    let mut dialog = Dialog::tcp(closed.address());
    let none = dialog.get("/v2/");
    assert_eq!(none.status, 401);
    assert_eq!(
        anonymised(&with(&mut dialog, "Basic Og==")),
        anonymised(&none)
    );

    let open = Gate::start(&toml(
        &origin,
        "[auth]\nanonymous = \"pull\"\n[log]\naccess = false\n",
    ));
    let mut dialog = Dialog::tcp(open.address());
    assert_eq!(with(&mut dialog, "Basic Og==").status, 200);
}

#[test]
fn what_is_no_basic_is_refused_without_hash_work() {
    let origin = Origin::start();
    // One hash takes about a second: what is refused quickly was not hashed.
    let gate = gate(&origin, &format!("ann:{}\n", bcrypt("secret", 14)));
    let mut dialog = Dialog::tcp(gate.address());
    let begun = tokio::time::Instant::now();
    assert_eq!(login(&mut dialog, "ann", "wrong").status, 401);
    let one_hash = begun.elapsed();

    let begun = tokio::time::Instant::now();
    let long = format!("Basic {}", "A".repeat(40_000));
    let invalid = BASE64.encode(b"ann:\xff\0");
    for header in [
        "Basic",
        "Basic !!!",
        "Basic YW5u",
        &basic("ann", "secret\0anything"),
        &basic("an\0n", "secret"),
        &basic("an\nn", "secret"),
        &basic("ann", &"x".repeat(600)),
        &format!("Basic {invalid}"),
        &long,
        "Negotiate abc",
        "",
    ] {
        let answer = with(&mut dialog, header);
        assert_eq!(answer.status, 401, "{header}");
        assert_eq!(answer.headers("www-authenticate").count(), 1, "{header}");
    }
    let right = basic("ann", "secret");
    let twice = [
        ("Authorization", right.as_str()),
        ("Authorization", right.as_str()),
    ];
    assert_eq!(dialog.ask("GET", "/v2/", &twice, b"").status, 401);
    let elapsed = begun.elapsed();
    assert!(elapsed < one_hash, "{elapsed:?}, one hash: {one_hash:?}");
    let huge = with(
        &mut Dialog::tcp(gate.address()),
        &format!("Basic {}", "A".repeat(100_000)),
    );
    assert_eq!(huge.status, 431);
    assert!(origin.seen().is_empty());
}

#[test]
fn bcrypt_is_not_asked_about_more_than_it_looks_at() {
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
fn users_come_change_and_go_without_a_restart_and_a_broken_file_changes_nothing() {
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
        program.err_times("passwords not reloaded, the old ones stay", times + 1);
        assert_eq!(login(&mut dialog, "bob", "new").status, 200);
    }
    fs::remove_file(&file).unwrap();
    program.err_times("passwords not reloaded, the old ones stay", 3);
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
fn a_flood_of_guesses_is_told_to_wait_and_honest_people_are_served() {
    const GUESSERS: usize = 32;
    let origin = Origin::start();
    let toml = toml(&origin, &format!("{ASK}[limits]\npassword_checks = 1\n"));
    let gate = Gate::start_with(&toml, |dir| {
        let file = format!(
            "ann:{}\nbob:{}\n",
            bcrypt("secret", 12),
            bcrypt("builder", 6)
        );
        fs::write(dir.join("htpasswd"), file).unwrap();
    });
    let address = gate.address();
    let mut ann = Dialog::tcp(address);
    assert_eq!(login(&mut ann, "ann", "secret").status, 200);
    let refused = AtomicUsize::new(0);
    let running = AtomicUsize::new(GUESSERS);
    thread::scope(|scope| {
        for guesser in 0..GUESSERS {
            let (refused, running) = (&refused, &running);
            scope.spawn(move || {
                let mut dialog = Dialog::tcp(address);
                for guess in 0..6 {
                    let answer = login(&mut dialog, "ann", &format!("{guesser}-{guess}"));
                    if answer.status == 429 {
                        let wait = answer.header("retry-after").unwrap();
                        assert!(wait.parse::<u64>().unwrap() > 0);
                        assert!(answer.text().contains("TOOMANYREQUESTS"));
                        refused.fetch_add(1, Ordering::Relaxed);
                    } else {
                        assert_eq!(answer.status, 401);
                    }
                }
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let mut times = Vec::new();
        while running.load(Ordering::Relaxed) > 0 {
            let begun = tokio::time::Instant::now();
            assert_eq!(login(&mut ann, "ann", "secret").status, 200, "remembered");
            times.push(begun.elapsed());
            if times.len() == 20 {
                // From another address, and not remembered yet.
                assert_eq!(login(&mut elsewhere(address), "bob", "builder").status, 200);
            }
        }
        times.sort();
        let p95 = times[times.len() * 95 / 100];
        assert!(p95.as_millis() < 500, "{p95:?} of {}", times.len());
    });
    assert!(refused.load(Ordering::Relaxed) > 0);
}

/// A connection from 127.0.0.2.
fn elsewhere(address: SocketAddr) -> Dialog {
    use socket2::{Domain, Socket, Type};

    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let own = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0));
    socket.bind(&own.into()).unwrap();
    socket.connect(&address.into()).unwrap();
    Dialog::connected(socket.into())
}

#[test]
fn a_password_is_at_no_registry_and_in_no_log_unless_it_is_to_be_forwarded() {
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

#[test]
fn everybody_reads_where_pulling_is_anonymous_and_nobody_writes() {
    let origin = Origin::start();
    let toml = toml(
        &origin,
        "[auth]\nhtpasswd = \"htpasswd\"\nanonymous = \"pull\"\n[log]\naccess = false\n",
    );
    let gate = Gate::start_with(&toml, |dir| {
        fs::write(dir.join("htpasswd"), "ann:{PLAIN}secret\n").unwrap();
    });
    let blob = format!("/v2/a/b/blobs/{DIGEST}");
    let by_digest = format!("/v2/a/b/manifests/{DIGEST}");
    let referrers = format!("/v2/a/b/referrers/{DIGEST}");
    let upload = "/v2/a/b/blobs/uploads/3b0c";
    let mut dialog = Dialog::tcp(gate.address());
    for target in [
        "/v2/",
        "/v2/_catalog",
        "/v2/a/b/tags/list",
        "/v2/a/b/manifests/latest",
        &by_digest,
        &blob,
        &referrers,
        "/_ping",
        "/v1/_ping",
    ] {
        for method in ["GET", "HEAD"] {
            assert_eq!(
                dialog.ask(method, target, &[], b"").status,
                200,
                "{method} {target}"
            );
            if !target.ends_with("_ping") {
                let wrong = [("Authorization", basic("ann", "wrong"))];
                let wrong = wrong
                    .each_ref()
                    .map(|(name, value)| (*name, value.as_str()));
                let answer = dialog.ask(method, target, &wrong, b"");
                assert_eq!(
                    answer.status, 401,
                    "a wrong password is wrong everywhere: {method} {target}"
                );
            }
        }
    }
    for (method, target) in [
        ("PUT", "/v2/a/b/manifests/latest"),
        ("DELETE", &by_digest),
        ("DELETE", &blob),
        ("POST", "/v2/a/b/blobs/uploads/"),
        ("PATCH", upload),
        ("PUT", upload),
        ("GET", upload),
        ("HEAD", upload),
        ("DELETE", upload),
    ] {
        let before = origin.seen().len();
        let answer = dialog.ask(method, target, &[], b"");
        assert_eq!(answer.status, 401, "{method} {target}");
        assert_eq!(answer.headers("www-authenticate").count(), 1);
        assert_eq!(origin.seen().len(), before);
        let right = basic("ann", "secret");
        let answer = dialog.ask(method, target, &[("Authorization", &right)], b"");
        assert_eq!(answer.status, 200, "{method} {target}");
    }
    for (method, target) in [("get", "/v2/"), ("POST", "/v2/"), ("BREW", "/v2/_catalog")] {
        let answer = Dialog::tcp(gate.address()).ask(method, target, &[], b"");
        assert_eq!(answer.status, 405, "{method} {target}");
    }
}

#[test]
fn an_upload_that_is_refused_for_good_is_told_that_the_connection_ends() {
    let origin = Origin::start();
    let gate = gate(&origin, "ann:{PLAIN}secret\n");
    let right = basic("ann", "secret");
    let patch = "PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: a\r\n";
    for (rest, status) in [
        (
            "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n".to_owned(),
            401,
        ),
        (
            format!("Authorization: {right}\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
            400,
        ),
    ] {
        let mut dialog = Dialog::tcp(gate.address());
        dialog.send(format!("{patch}{rest}").as_bytes()).unwrap();
        let answer = dialog.answer("PATCH").unwrap();
        assert_eq!(answer.status, status, "{}", answer.head);
        assert_eq!(
            answer.header("connection"),
            Some("close"),
            "{}",
            answer.head
        );
        dialog.finish();
        dialog.is_closed();
    }
    // One that is read to its end leaves the connection as it was.
    let mut dialog = Dialog::tcp(gate.address());
    let answer = dialog.ask("PATCH", "/v2/a/blobs/uploads/1", &[], b"12345");
    assert_eq!(answer.status, 401);
    assert_eq!(answer.headers("connection").count(), 0, "{}", answer.head);
    assert_eq!(login(&mut dialog, "ann", "secret").status, 200);
}

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

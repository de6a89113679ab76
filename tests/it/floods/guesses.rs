//! Passwords guessed as fast as the gate answers, at hashes as expensive as it takes them.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::time::Instant;

use crate::support::dialog::{Answer, Dialog};
use crate::support::figures::{BAD_INPUTS, tell};
use crate::support::origin::Origin;
use crate::support::peers;
use crate::support::process;
use crate::support::program::Program;
use crate::support::scrape::Scrape;

fn login(dialog: &mut Dialog, user: &str, password: &str) -> io::Result<Answer> {
    let basic = format!("Basic {}", BASE64.encode(format!("{user}:{password}")));
    dialog.request("GET", "/v2/", &[("Authorization", &basic)], b"")?;
    dialog.answer("GET")
}

fn bcrypt(password: &str, cost: u32) -> String {
    let setting = format!("$2b${cost:02}$abcdefghijklmnopqrstuu");
    let crypt = ["-e", "print crypt($ARGV[0], $ARGV[1])", password, &setting];
    process::run(Command::new("perl").args(crypt))
        .succeeds("perl has crypt")
        .stdout
}

/// A thousand guesses are refused in less.
const LONG: Duration = Duration::from_secs(60);

/// What the guessers were told.
#[derive(Debug, Default)]
struct Told {
    over: AtomicBool,
    later: AtomicUsize,
    wrong: AtomicUsize,
}

/// Guesses until it is over, or until the gate ends.
fn guess(address: SocketAddr, guesser: usize, told: &Told) -> io::Result<()> {
    let mut dialog = Dialog::tcp(address);
    for guess in 0.. {
        let answer = login(&mut dialog, "ann", &format!("{guesser}-{guess}"))?;
        if told.over.load(Ordering::Relaxed) {
            break;
        }
        let answers = match answer.status {
            401 => &told.wrong,
            429 if answer.text().contains("TOOMANYREQUESTS") => {
                let wait = answer.header("retry-after").unwrap_or_default();
                assert!(wait.parse::<u64>().is_ok_and(|s| s > 0), "{}", answer.head);
                &told.later
            }
            _ => panic!("{}", answer.head),
        };
        answers.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[test]
fn a3_n22_guesses_at_bcrypt_14_are_told_to_wait_and_nobody_else_has_to() {
    const GUESSERS: usize = 32;
    if !peers::need(&["perl"]) {
        return;
    }
    let origin = Origin::start();
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n\
         [auth]\nhtpasswd = \"htpasswd\"\n[limits]\npassword_checks = 1\n",
        origin.url()
    );
    let program = Program::start_with(&toml, |dir| {
        let users = [
            ("ann", "secret", 14),
            ("bob", "builder", 5),
            ("cid", "campeador", 5),
        ];
        let line = |(user, password, cost)| format!("{user}:{}\n", bcrypt(password, cost));
        fs::write(dir.join("htpasswd"), users.map(line).concat()).unwrap();
    });
    let address = program.address(0);
    let mut ann = Dialog::tcp(address);
    let begun = Instant::now();
    assert_eq!(login(&mut ann, "ann", "secret").unwrap().status, 200);
    let one_hash = begun.elapsed();
    let told = Arc::new(Told::default());
    let guessers: Vec<_> = (0..GUESSERS)
        .map(|guesser| {
            let told = Arc::clone(&told);
            thread::spawn(move || guess(address, guesser, &told))
        })
        .collect();

    let mut times = Vec::new();
    let end = Instant::now() + LONG;
    while told.later.load(Ordering::Relaxed) < 1000 || times.len() < 100 {
        let begun = Instant::now();
        assert!(begun < end, "the guessers are not told to wait: {told:?}");
        assert_eq!(login(&mut ann, "ann", "secret").unwrap().status, 200);
        times.push(begun.elapsed());
    }
    // Somebody who comes from another address is next, though the queue is full.
    let bob = login(
        &mut Dialog::connected(Dialog::from_elsewhere(address)),
        "bob",
        "builder",
    )
    .unwrap();
    assert_eq!(bob.status, 200);
    times.sort();
    let p95 = times[times.len() * 95 / 100];
    assert!(p95 < one_hash / 2, "{p95:?}, and one hash {one_hash:?}");
    assert!(p95.as_millis() < 500, "{p95:?} of {}", times.len());

    let checks = "dockgate_password_checks_total";
    let scrape = Scrape::of(program.admin());
    assert!(
        scrape.one(checks, &["result=\"refused\""]) >= 1000.0,
        "{}",
        scrape.text
    );
    let computed = scrape.one(checks, &["result=\"wrong\""]);
    assert!(
        computed < 60.0,
        "{computed} hashes of a second each were computed"
    );

    // When it ends, it is over: from the same address, somebody who is not remembered comes in.
    told.over.store(true, Ordering::Relaxed);
    let end = Instant::now() + crate::support::dialog::PATIENCE;
    let mut cid = Dialog::tcp(address);
    while login(&mut cid, "cid", "campeador").unwrap().status == 429 {
        assert!(Instant::now() < end, "the queue is still full");
        thread::yield_now();
    }
    let answered = told.later.load(Ordering::Relaxed) + told.wrong.load(Ordering::Relaxed);
    drop(program);
    for guesser in guessers {
        // The last guess of some was cut by the end of the program.
        let _ended = guesser.join().unwrap();
    }
    tell(BAD_INPUTS, answered);
}

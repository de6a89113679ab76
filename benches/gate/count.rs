//! Instructions of one small request and of one handshake, counted by valgrind: the same on every machine and under any
//! load, so that a change that makes them more expensive is seen without a stopwatch. `scripts/count` runs it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::load::Order;
use crate::peer::{Peer, Setup};
use crate::site::Site;

/// What was counted when it was last agreed on, for the build that the tests use.
const AGREED: &str = "benches/instructions.txt";

/// How much more is let pass: the counts of two runs differ by a percent or two, since wake-ups fall differently.
const SLACK: f64 = 1.1;

/// Counts and compares; whether nothing has become more expensive.
pub fn run(dockgate: &Path) -> bool {
    let site = Site::new(1, 1);
    let upstream = Peer::fast_upstream(&site, None);
    let orders = [
        (
            "request",
            Order::new("get").with("target", "/v2/"),
            "requests",
            200,
            1200,
        ),
        (
            "request_with_password",
            Order::new("get").with("target", "/v2/").with(
                "login",
                format!("{}:{}", crate::site::USER, crate::site::PASSWORD),
            ),
            "requests",
            200,
            1200,
        ),
        ("handshake", Order::new("handshake"), "handshakes", 10, 60),
    ];
    let password = site.htpasswd(
        "count.htpasswd",
        &bcrypt::hash(crate::site::PASSWORD, 4).unwrap(),
    );
    let agreed = agreed();
    let mut fine = true;
    let mut text = String::new();
    for (name, order, word, few, many) in orders {
        let setup = Setup {
            pair: &site.ecdsa,
            client_ca: None,
            htpasswd: name.contains("password").then_some(&*password),
            masked: false,
            core: None,
            dockgate,
        };
        let count = |number: usize| {
            let (peer, out) = Peer::counted(&site, upstream.address, &setup);
            order.clone().with(word, number).run(&peer, &site.ca, None);
            drop(peer);
            counted(&fs::read_to_string(out).unwrap())
        };
        // What starting costs is in both.
        let each = (count(many) - count(few)) / (many - few) as f64;
        let before = agreed.get(name).copied();
        let verdict = match before {
            Some(before) if each > before * SLACK => {
                fine = false;
                format!("more than the {before:.0} agreed on")
            }
            Some(before) if each * SLACK < before => {
                format!("less than the {before:.0} agreed on: write it down in {AGREED}")
            }
            Some(before) => format!("as agreed on, {before:.0}"),
            None => format!("nothing agreed on in {AGREED}"),
        };
        println!("{name}: {each:.0} instructions, {verdict}");
        text += &format!("{name} {each:.0}\n");
    }
    println!("\n{text}");
    fine
}

/// cachegrind says `I   refs:      1,234`, with the process id before it.
fn counted(log: &str) -> f64 {
    let line = log.lines().rev().find(|line| line.contains("refs:"));
    let line = line.unwrap_or_else(|| panic!("valgrind counted nothing:\n{log}"));
    let digits: String = line
        .rsplit(':')
        .next()
        .unwrap()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap()
}

fn agreed() -> BTreeMap<String, f64> {
    let text = fs::read_to_string(AGREED).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, count)| Some((name.to_owned(), count.trim().parse().ok()?)))
        .collect()
}

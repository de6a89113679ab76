//! Instructions of one small request and of one handshake, counted by valgrind: nearly the same on every machine and under
//! any load, so that a change that makes them more expensive is seen without a stopwatch. `scripts/count` runs it.
//!
//! What is counted is the build that the tests use. It does more than a release, and a change that makes one of the two
//! dearer makes the other so; a release of its own would cost minutes each time. valgrind shows every program the same
//! processor, one with AVX2 and without what came later, so that the cryptography takes the same way everywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::load::Order;
use crate::peer::{Peer, Setup};
use crate::process::output;
use crate::site::{PASSWORD, Site, USER};

/// What was counted when it was last agreed on.
const AGREED: &str = "benches/instructions.txt";

/// How much more is let pass: the counts of two runs differ by a percent or two, since wake-ups fall differently.
const SLACK: f64 = 1.1;

const HEAD: &str = "# Instructions of the dev build, counted by `scripts/count --agree`, which writes this file.\n";

/// Before the compiler's name in that file: another one makes other code, and its counts say nothing about ours.
const COMPILER: &str = "# Compiled by ";

/// One thing that is counted.
struct Counted {
    name: &'static str,
    order: Order,
    /// The word of the order for how often.
    word: &'static str,
    few: usize,
    many: usize,
    embedded: bool,
    password: bool,
}

fn all() -> Vec<Counted> {
    let get = |name, target| Counted {
        name,
        order: Order::new("get").with("target", target),
        word: "requests",
        few: 200,
        many: 1200,
        embedded: false,
        password: false,
    };
    let handshake = |name, order| Counted {
        name,
        order,
        word: "handshakes",
        few: 10,
        many: 60,
        embedded: false,
        password: false,
    };
    let login = format!("{USER}:{PASSWORD}");
    let with_password = get("request_with_password", "/v2/");
    vec![
        get("request", "/v2/"),
        Counted {
            order: with_password.order.clone().with("login", login),
            password: true,
            ..with_password
        },
        get("manifest", "/v2/bench/image/manifests/latest"),
        Counted {
            embedded: true,
            ..get("manifest_embedded", "/v2/bench/image/manifests/latest")
        },
        handshake("handshake", Order::new("handshake")),
        handshake(
            "handshake_resumed",
            Order::new("handshake").with("resumed", 1),
        ),
    ]
}

/// Counts and compares; whether nothing has become more expensive. Or writes down what is agreed on from now on.
pub fn run(dockgate: &Path, agree: bool) -> bool {
    let compiler = output(Command::new("rustc").arg("--version"));
    let compiler = compiler.trim();
    let Some(agreed) = agreed_with(compiler, agree) else {
        return true;
    };
    let site = Site::new(1, 1);
    let upstream = Peer::fast_upstream(&site, None);
    let root = site.folder("counted-store");
    let manifest = fs::read(&site.manifest.file).unwrap();
    crate::growth::repository_with_a_tag(&root, "bench/image", "latest", &manifest);
    let password = site.htpasswd("count.htpasswd", &bcrypt::hash(PASSWORD, 4).unwrap());
    let mut fine = true;
    let mut text = format!("{HEAD}{COMPILER}{compiler}\n");
    for counted in all() {
        let setup = Setup {
            pair: &site.ecdsa,
            client_ca: None,
            htpasswd: counted.password.then_some(&*password),
            masked: false,
            core: None,
            dockgate,
        };
        let store = counted.embedded.then_some(&*root);
        let (peer, out) = Peer::counted(&site, upstream.address, store, &setup);
        tell(&peer, &["-i", "on"]);
        let ask = |number: usize, dump: u32| {
            let order = counted.order.clone().with(counted.word, number);
            order.run(&peer, &site.ca, None);
            tell(&peer, &["-d"]);
            instructions(&out, dump)
        };
        // What connecting costs is in both.
        let few = ask(counted.few, 1);
        let more = ask(counted.many, 2) - few;
        let each = more / (counted.many - counted.few) as f64;
        let name = counted.name;
        let (verdict, good) = judge(each, agreed.get(name).copied());
        fine &= good;
        println!("{name}: {each:.0} instructions, {verdict}");
        text += &format!("{name} {each:.0}\n");
    }
    if agree {
        fs::write(AGREED, text).unwrap();
        println!("written: {AGREED}");
    }
    fine || agree
}

/// What to say of a count, and whether it is good enough.
fn judge(each: f64, agreed: Option<f64>) -> (String, bool) {
    match agreed {
        Some(agreed) if each > agreed * SLACK => {
            let hint = "make it cheaper, or run scripts/count --agree and say why";
            let part = (each / agreed - 1.0) * 100.0;
            (
                format!("{part:.0} % more than the {agreed:.0} agreed on: {hint}"),
                false,
            )
        }
        Some(agreed) if each * SLACK < agreed => {
            let hint = "run scripts/count --agree, so that it stays so";
            (format!("less than the {agreed:.0} agreed on: {hint}"), true)
        }
        Some(agreed) => (format!("as agreed on, {agreed:.0}"), true),
        None => (format!("and nothing is agreed on in {AGREED}"), false),
    }
}

/// Has callgrind count, or write down what it has counted and begin anew.
fn tell(peer: &Peer, what: &[&str]) {
    let mut command = Command::new("callgrind_control");
    output(command.args(what).arg(peer.id().to_string()));
}

/// What one dump says of all functions together.
fn instructions(out: &Path, dump: u32) -> f64 {
    let dump = PathBuf::from(format!("{}.{dump}", out.display()));
    let text = fs::read_to_string(&dump).unwrap();
    let total = text.lines().find_map(|line| {
        line.strip_prefix("summary: ")
            .or(line.strip_prefix("totals: "))
    });
    let total = total.unwrap_or_else(|| panic!("{} has no sum", dump.display()));
    total.trim().parse().unwrap()
}

/// What was agreed on; `None` where that was counted of another compiler's code and is not to be agreed on anew.
fn agreed_with(compiler: &str, anew: bool) -> Option<BTreeMap<String, f64>> {
    let text = fs::read_to_string(AGREED).unwrap_or_default();
    let theirs = text.lines().find_map(|line| line.strip_prefix(COMPILER));
    if let Some(theirs) = theirs.filter(|theirs| !anew && *theirs != compiler) {
        println!("SKIPPED: {AGREED} was counted with {theirs}, and this is {compiler}");
        return None;
    }
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    Some(
        lines
            .filter_map(|(name, count)| Some((name.to_owned(), count.trim().parse().ok()?)))
            .collect(),
    )
}

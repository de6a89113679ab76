//! The same small request with a password. nginx and haproxy check it each time; dockgate and caddy remember.

use std::process::Command;

use super::Bench;
use crate::load::Order;
use crate::measure::{Row, cost, take_turns};
use crate::peer::{Kind, Peer, Setup};
use crate::process::output;
use crate::site::{PASSWORD, USER};

const UNIT: &str = "CPU-us/request";

/// A format of password files.
struct Format {
    name: &'static str,
    hash: String,
    goal: f64,
    /// Requests that nginx does in about a second.
    patience: usize,
    caddy: bool,
}

/// One row for each format against nginx, and one against caddy where caddy knows it.
pub fn rows(bench: &Bench<'_>) -> Vec<Row> {
    let upstream = Peer::fast_upstream(&bench.site, bench.core());
    let mut rows = Vec::new();
    for format in formats() {
        let name = format!("small, GET /v2/, password in {}", format.name);
        let Some(about) = bench.row(&name, UNIT, Some(format.goal)) else {
            continue;
        };
        let file = bench.site.htpasswd(
            &format!("{}.htpasswd", format.name.replace(' ', "-")),
            &format.hash,
        );
        let setup = Setup {
            htpasswd: Some(&file),
            ..bench.setup(&bench.site.ecdsa)
        };
        let mut kinds = vec![Kind::Dockgate, Kind::NginxBest];
        if format.caddy {
            kinds.push(Kind::Caddy);
        }
        let peers = bench.line_up(&kinds, &upstream, &setup);
        let mut peers: Vec<_> = peers
            .into_iter()
            .map(|(name, peer)| {
                let remembers = name != super::BEST;
                let number = if remembers { 8000 } else { format.patience };
                (name, (peer, bench.options.size(number, number.min(16))))
            })
            .collect();
        let run = |peer: &Peer, number: usize| {
            Order::new("get")
                .with("target", "/v2/")
                .with("login", format!("{USER}:{PASSWORD}"))
                .with("connections", 8)
                .with("requests", number)
                .run(peer, &bench.site.ca, bench.core());
        };
        for (_, (peer, _)) in &peers {
            run(peer, 8);
        }
        let row = take_turns(about, bench.options.rounds, &mut peers, |(peer, number)| {
            cost(&[peer], || run(peer, *number)).as_secs_f64() * 1e6 / *number as f64
        });
        if format.caddy {
            let mut against_caddy = row.clone();
            against_caddy.name += ", against caddy";
            against_caddy.against = Kind::Caddy.name();
            against_caddy.goal = Some(0.2);
            rows.push(row);
            rows.push(against_caddy);
        } else {
            rows.push(row);
        }
    }
    rows
}

fn formats() -> [Format; 4] {
    let bcrypt = |cost: u32| {
        let hash = bcrypt::hash(PASSWORD, cost).unwrap();
        // nginx hands it to crypt(3), which knows this letter everywhere.
        hash.replacen("$2b$", "$2y$", 1)
    };
    [
        Format {
            name: "apr1",
            hash: openssl("-apr1"),
            goal: 1.0 / 8.0,
            patience: 8000,
            caddy: false,
        },
        Format {
            name: "bcrypt 5",
            hash: bcrypt(5),
            goal: 0.01,
            patience: 400,
            caddy: true,
        },
        Format {
            name: "sha512-crypt",
            hash: openssl("-6"),
            goal: 0.01,
            patience: 400,
            caddy: false,
        },
        Format {
            name: "bcrypt 10",
            hash: bcrypt(10),
            goal: 1.0 / 3000.0,
            patience: 16,
            caddy: true,
        },
    ]
}

fn openssl(format: &str) -> String {
    let text = output(Command::new("openssl").args(["passwd", format, PASSWORD]));
    text.trim().to_owned()
}

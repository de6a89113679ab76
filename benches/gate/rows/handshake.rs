//! TLS 1.3 handshakes, from accept to close, with the tickets sent.

use super::{BEST, Bench};
use crate::load::Order;
use crate::measure::{Row, cost, take_turns};
use crate::peer::{Kind, Peer, Setup};

const KINDS: [Kind; 4] = [Kind::Dockgate, Kind::NginxBest, Kind::Haproxy, Kind::Caddy];

/// Full and resumed, with and without a client certificate.
pub fn rows(bench: &Bench<'_>) -> Vec<Row> {
    let site = &bench.site;
    let plain = bench.setup(&site.ecdsa);
    let asking = Setup {
        client_ca: Some(&site.ca),
        ..bench.setup(&site.ecdsa)
    };
    let rsa = bench.setup(&site.rsa);
    let kinds = [
        ("handshake, full, ECDSA", &plain, false, false, 0.55),
        ("handshake, full, RSA-2048", &rsa, false, false, 0.78),
        (
            "handshake, full, ECDSA, client certificate",
            &asking,
            true,
            false,
            0.30,
        ),
        ("handshake, resumed", &plain, false, true, 0.48),
        (
            "handshake, resumed, client certificate",
            &asking,
            true,
            true,
            0.22,
        ),
    ];
    debug_assert_eq!(BEST, Kind::NginxBest.name());
    let upstream = Peer::fast_upstream(site, bench.core());
    let mut rows = Vec::new();
    for (name, setup, certificate, resumed, goal) in kinds {
        let Some(about) = bench.row(name, "CPU-us/handshake", Some(goal)) else {
            continue;
        };
        let number = bench.options.size(1000, 40);
        let mut order = Order::new("handshake");
        if certificate {
            order = order
                .with("certificate", site.client.certificate.display())
                .with("key", site.client.key.display());
        }
        if resumed {
            order = order.with("resumed", 1);
        }
        let run = |peer: &Peer, number: usize| {
            let order = order.clone().with("handshakes", number);
            order.run(peer, &site.ca, bench.core());
        };
        let mut peers = bench.line_up(&KINDS, &upstream, setup);
        for (_, peer) in &peers {
            run(peer, number / 10);
        }
        rows.push(take_turns(
            about,
            bench.options.rounds,
            &mut peers,
            |peer| cost(&[peer], || run(peer, number)).as_secs_f64() * 1e6 / number as f64,
        ));
    }
    rows
}

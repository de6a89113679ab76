//! Small requests over connections that stay open, and what a gate adds to the time of one.

use super::{Bench, EVERYBODY};
use crate::load::Order;
use crate::measure::{About, Row, cost, take_turns};
use crate::peer::Peer;

const UNIT: &str = "CPU-us/request";

/// Without authentication, before an upstream that costs next to nothing; and one row before the real registry.
pub fn rows(bench: &Bench<'_>) -> Vec<Row> {
    let goal = Some(0.85);
    let manifest = "/v2/bench/image/manifests/latest".to_owned();
    let blob = Bench::blob_target(&bench.site.blob.digest);
    let orders = [
        ("GET /v2/", "GET", "/v2/".to_owned()),
        ("GET manifest", "GET", manifest.clone()),
        ("HEAD blob", "HEAD", blob),
    ];
    let wanted = orders.into_iter().filter_map(|(name, method, target)| {
        let about = bench.row(&format!("small, {name}"), UNIT, goal)?;
        Some((
            about,
            Order::new("get")
                .with("method", method)
                .with("target", target),
        ))
    });
    let wanted: Vec<_> = wanted.collect();
    let latency = bench.row("added latency at 1 connection, p50", "us", Some(1.0));
    let behind = bench.row("small, GET manifest, docker-registry behind", UNIT, None);
    let setup = bench.setup(&bench.site.ecdsa);
    let mut rows = Vec::new();
    if !wanted.is_empty() || latency.is_some() {
        let upstream = Peer::fast_upstream(&bench.site, bench.core());
        let mut peers = bench.line_up(&EVERYBODY, &upstream, &setup);
        for (about, order) in wanted {
            rows.push(requests(
                bench,
                about,
                &mut peers,
                &order,
                bench.options.size(24_000, 800),
            ));
        }
        rows.extend(latency.map(|about| added(bench, about, &mut peers, &upstream)));
    }
    rows.extend(behind.map(|about| {
        let registry = bench.filled_registry();
        let order = Order::new("get").with("target", manifest);
        let mut peers = bench.line_up(&EVERYBODY, &registry, &setup);
        requests(
            bench,
            about,
            &mut peers,
            &order,
            bench.options.size(2000, 80),
        )
    }));
    rows
}

fn requests(
    bench: &Bench<'_>,
    about: About,
    peers: &mut [(&'static str, Peer)],
    order: &Order,
    number: usize,
) -> Row {
    let ca = &bench.site.ca;
    let run = |peer: &Peer, number: usize| {
        let order = order
            .clone()
            .with("connections", 8)
            .with("requests", number);
        order.run(peer, ca, bench.core());
    };
    for (_, peer) in &*peers {
        run(peer, number / 10);
    }
    take_turns(about, bench.options.rounds, peers, |peer| {
        cost(&[peer], || run(peer, number)).as_secs_f64() * 1e6 / number as f64
    })
}

/// The median time of a request less that of one that goes to the upstream directly.
fn added(
    bench: &Bench<'_>,
    about: About,
    peers: &mut [(&'static str, Peer)],
    upstream: &Peer,
) -> Row {
    let order = Order::new("get")
        .with("target", "/v2/")
        .with("requests", bench.options.size(4000, 200));
    let p50 = |peer: &Peer| order.run(peer, &bench.site.ca, bench.core())["p50_ns"] / 1000.0;
    take_turns(about, bench.options.rounds, peers, |peer| {
        p50(peer) - p50(upstream)
    })
}

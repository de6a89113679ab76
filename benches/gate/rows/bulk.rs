//! Large bodies through TLS 1.3.

use super::{Bench, EVERYBODY};
use crate::load::{Order, Way};
use crate::measure::{About, Row, cost, take_turns};
use crate::peer::{Kind, Peer};

const UNIT: &str = "CPU-s/GiB";
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

const BEST_TWO: [Kind; 3] = [Kind::Dockgate, Kind::NginxBest, Kind::Haproxy];

/// Downloads.
pub fn pulls(bench: &Bench<'_>) -> Vec<Row> {
    let fast = bench.row("pull, 1 connection, static upstream", UNIT, None);
    let one = bench.row("pull, 1 connection", UNIT, Some(0.85));
    let eight = bench.row("pull, 8 connections", UNIT, Some(0.88));
    let masked = bench.row("pull, 1 connection, VAES masked", UNIT, Some(1.15));
    let mut rows = Vec::new();
    if one.is_some() || eight.is_some() || masked.is_some() {
        let registry = bench.filled_registry();
        let setup = bench.setup(&bench.site.ecdsa);
        let mut peers = bench.line_up(&EVERYBODY, &registry, &setup);
        rows.extend(one.map(|about| pull(bench, about, &mut peers, 1)));
        rows.extend(eight.map(|about| pull(bench, about, &mut peers, 8)));
        drop(peers);
        rows.extend(masked.map(|about| {
            let setup = crate::peer::Setup {
                masked: true,
                ..setup
            };
            pull(
                bench,
                about,
                &mut bench.line_up(&BEST_TWO, &registry, &setup),
                1,
            )
        }));
    }
    rows.extend(fast.map(|about| {
        let upstream = Peer::fast_upstream(&bench.site, bench.core());
        let setup = bench.setup(&bench.site.ecdsa);
        pull(
            bench,
            about,
            &mut bench.line_up(&BEST_TWO, &upstream, &setup),
            1,
        )
    }));
    rows
}

fn pull(
    bench: &Bench<'_>,
    about: About,
    peers: &mut [(&'static str, Peer)],
    connections: usize,
) -> Row {
    let site = &bench.site;
    let content = if connections == 1 {
        &site.blob
    } else {
        &site.part
    };
    let order = Order::new("get")
        .with("target", Bench::blob_target(&content.digest))
        .with("connections", connections)
        .with("requests", connections);
    let gib = content.size as f64 * connections as f64 / GIB;
    take_turns(about, bench.options.rounds, peers, |peer| {
        let cost = cost(&[peer], || {
            order.run(peer, &site.ca, bench.core());
        });
        cost.as_secs_f64() / gib
    })
}

/// Uploads.
pub fn pushes(bench: &Bench<'_>) -> Vec<Row> {
    let goal = Some(0.97);
    let rows = [
        (Way::Patch, "push, chunked PATCH", goal, false),
        (Way::Put, "push, monolithic PUT", goal, false),
        (
            Way::Patch,
            "push, chunked PATCH, upstream that discards",
            None,
            true,
        ),
        (
            Way::Put,
            "push, monolithic PUT, upstream that discards",
            None,
            true,
        ),
    ];
    let wanted = rows
        .into_iter()
        .filter_map(|(way, name, goal, sink)| Some((way, bench.row(name, UNIT, goal)?, sink)));
    let (fast, real): (Vec<_>, Vec<_>) = wanted.partition(|(_, _, sink)| *sink);
    let setup = bench.setup(&bench.site.ecdsa);
    let mut done = Vec::new();
    for (orders, kinds) in [(real, &EVERYBODY[..]), (fast, &BEST_TWO[..])] {
        let Some((_, _, sink)) = orders.first() else {
            continue;
        };
        let upstream = if *sink {
            Peer::sink(&bench.site, bench.core())
        } else {
            let root = bench.site.folder("store");
            Peer::registry(&bench.site, &root, None, bench.core())
        };
        let mut peers = bench.line_up(kinds, &upstream, &setup);
        for (way, about, _) in orders {
            done.push(push(bench, about, &mut peers, way));
        }
    }
    done
}

fn push(bench: &Bench<'_>, about: About, peers: &mut [(&'static str, Peer)], way: Way) -> Row {
    let site = &bench.site;
    let order = Order::new("push")
        .with("method", way.word())
        .with("file", site.blob.file.display())
        .with("digest", &site.blob.digest);
    take_turns(about, bench.options.rounds, peers, |peer| {
        let cost = cost(&[peer], || {
            order.run(peer, &site.ca, bench.core());
        });
        cost.as_secs_f64() / (site.blob.size as f64 / GIB)
    })
}

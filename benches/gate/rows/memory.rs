//! What connections cost in memory while nothing, or little, happens on them.

use std::thread::sleep;
use std::time::Duration;

use super::{Bench, EVERYBODY};
use crate::load::Order;
use crate::measure::{About, Figure, Row, take_turns};
use crate::peer::{Kind, Peer};
use crate::tree;

/// Connections that pull slowly, and how many bytes a second each takes.
const PULLS: usize = 64;
const RATE: usize = 8_000_000;
const MIB: f64 = 1024.0 * 1024.0;

/// Each figure from a fresh process: none of the servers gives back what it once had.
pub fn rows(bench: &Bench<'_>) -> Vec<Row> {
    let idle = bench.row("memory of an idle TLS connection", "KiB", Some(1.9));
    let slow = bench.row("memory of 64 slow pulls, each", "MiB", None);
    let files = bench.row("temporary files of 64 slow pulls", "MiB", None);
    let mut rows = Vec::new();
    if idle.is_none() && slow.is_none() && files.is_none() {
        return rows;
    }
    let upstream = Peer::fast_upstream(&bench.site, bench.core());
    rows.extend(idle.map(|about| idle_row(bench, about, &upstream)));
    if slow.is_some() || files.is_some() {
        rows.extend(slow_rows(bench, slow, files, &upstream));
    }
    rows
}

fn idle_row(bench: &Bench<'_>, about: About, upstream: &Peer) -> Row {
    let connections = bench.options.size(4000, 200);
    let kinds = [Kind::Dockgate, Kind::NginxBest, Kind::Haproxy, Kind::Caddy];
    let mut kinds = kinds.map(|kind| (kind.name(), kind));
    let order = Order::new("hold")
        .with("target", "/v2/")
        .with("connections", connections);
    let rounds = bench.options.rounds.min(3);
    take_turns(about, rounds, &mut kinds, |kind| {
        let setup = bench.setup(&bench.site.ecdsa);
        let peer = Peer::in_front(&bench.site, *kind, upstream.address, &setup);
        let one = Order::new("get").with("target", "/v2/").with("requests", 8);
        one.run(&peer, &bench.site.ca, bench.core());
        let before = tree::memory_kib(peer.id());
        let held = order.begin(&peer, &bench.site.ca, bench.core());
        let after = tree::memory_kib(peer.id());
        held.stop();
        after.saturating_sub(before) as f64 / connections as f64
    })
}

fn slow_rows(
    bench: &Bench<'_>,
    slow: Option<About>,
    files: Option<About>,
    upstream: &Peer,
) -> Vec<Row> {
    let mut kinds = EVERYBODY.map(|kind| (kind.name(), kind));
    let mut on_disk = vec![Vec::new(); kinds.len()];
    let about = slow.or_else(|| files.clone()).unwrap();
    let content = &bench.site.blob;
    // Nobody has taken a whole blob when the last look is over.
    let warm = Duration::from_millis(if bench.options.quick { 1000 } else { 4000 });
    let order = Order::new("slow")
        .with("target", Bench::blob_target(&content.digest))
        .with("connections", PULLS)
        .with("rate", RATE)
        .with("warm_ms", warm.as_millis());
    let row = take_turns(about, bench.options.rounds.min(3), &mut kinds, |kind| {
        let setup = bench.setup(&bench.site.ecdsa);
        let peer = Peer::in_front(&bench.site, *kind, upstream.address, &setup);
        let one = Order::new("get").with("target", "/v2/").with("requests", 8);
        one.run(&peer, &bench.site.ca, bench.core());
        let before = tree::memory_kib(peer.id());
        // Unpinned: the client is 64 threads that sleep, and must not be what is slow.
        let held = order.begin(&peer, &bench.site.ca, None);
        let mut highest = 0;
        let mut bytes = 0;
        for _ in 0..8 {
            highest = highest.max(tree::memory_kib(peer.id()));
            bytes = bytes.max(tree::open_file_bytes(peer.id(), &peer.dir));
            sleep(Duration::from_millis(250));
        }
        held.stop();
        let at = EVERYBODY.iter().position(|one| one == kind).unwrap();
        on_disk[at].push(bytes as f64 / MIB);
        highest.saturating_sub(before) as f64 / 1024.0 / PULLS as f64
    });
    let files = files.map(|about| Row {
        name: about.name,
        unit: about.unit,
        against: about.against,
        goal: about.goal,
        figures: kinds
            .iter()
            .zip(on_disk)
            .map(|((name, _), values)| Figure {
                name,
                median: crate::measure::median(values),
                ratio: f64::NAN,
            })
            .collect(),
    });
    if let Some(row) = &files {
        crate::report::print(row);
    }
    std::iter::once(row).chain(files).collect()
}

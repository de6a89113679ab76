//! The embedded registry against docker-registry, alone and behind nginx.

use super::Bench;
use crate::load::{Order, Way};
use crate::measure::{About, Row, cost, take_turns};
use crate::peer::{Kind, Peer};

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;
const CHAIN: &str = "nginx, tuned + docker-registry";

/// One way to a registry: the server that is asked, and all whose work counts.
struct Way2 {
    front: Peer,
    behind: Option<Peer>,
}

impl Way2 {
    fn servers(&self) -> Vec<&Peer> {
        std::iter::once(&self.front).chain(&self.behind).collect()
    }
}

/// Pull, push and a manifest.
pub fn rows(bench: &Bench<'_>) -> Vec<Row> {
    let wanted = bench.options.wants("embedded");
    if !wanted {
        return Vec::new();
    }
    let mut ways = line_up(bench);
    for (_, way) in &ways {
        bench.fill(&way.front);
    }
    let mut rows = Vec::new();
    let mut keep = |row: Row, goals: &[(&'static str, f64)]| {
        for (against, goal) in goals {
            let mut row = row.clone();
            row.name = format!("{}, against {against}", row.name);
            row.against = against;
            row.goal = Some(*goal);
            rows.push(row);
        }
    };
    let site = &bench.site;
    let about = |name: &str, unit| About {
        name: name.to_owned(),
        unit,
        against: "docker-registry",
        goal: None,
    };
    let order = Order::new("get").with("target", Bench::blob_target(&site.blob.digest));
    let pull = take_turns(
        about("embedded, pull over TLS", "CPU-s/GiB"),
        bench.options.rounds,
        &mut ways,
        |way| spent(bench, way, &order) / (site.blob.size as f64 / GIB),
    );
    let goals = [
        ("docker-registry", 1.15),
        ("docker-registry with TLS", 0.75),
        (CHAIN, 0.42),
    ];
    keep(pull, &goals);
    let order = Order::new("push")
        .with("method", Way::Patch.word())
        .with("finish", 1)
        .with("file", site.blob.file.display())
        .with("digest", &site.blob.digest);
    let push = take_turns(
        about("embedded, push over TLS", "CPU-s/GiB"),
        bench.options.rounds,
        &mut ways,
        |way| spent(bench, way, &order) / (site.blob.size as f64 / GIB),
    );
    keep(push, &[("docker-registry", 0.5), (CHAIN, 0.45)]);
    let number = bench.options.size(2000, 80);
    let order = Order::new("get")
        .with("target", "/v2/bench/image/manifests/latest")
        .with("connections", 8)
        .with("requests", number);
    let manifest = take_turns(
        about("embedded, GET manifest", "CPU-us/request"),
        bench.options.rounds,
        &mut ways,
        |way| spent(bench, way, &order) * 1e6 / number as f64,
    );
    keep(manifest, &[("docker-registry", 1.0 / 30.0)]);
    rows
}

fn spent(bench: &Bench<'_>, way: &Way2, order: &Order) -> f64 {
    cost(&way.servers(), || {
        order.run(&way.front, &bench.site.ca, bench.core());
    })
    .as_secs_f64()
}

fn line_up(bench: &Bench<'_>) -> Vec<(&'static str, Way2)> {
    let site = &bench.site;
    let setup = bench.setup(&site.ecdsa);
    let core = bench.core();
    let ours = Peer::embedded(site, &site.folder("store"), &setup);
    let plain = Peer::registry(site, &site.folder("store"), None, core);
    let secure = Peer::registry(site, &site.folder("store"), Some(&site.ecdsa), core);
    let behind = Peer::registry(site, &site.folder("store"), None, core);
    let front = Peer::in_front(site, Kind::NginxBest, behind.address, &setup);
    let alone = |front| Way2 {
        front,
        behind: None,
    };
    vec![
        ("dockgate", alone(ours)),
        ("docker-registry", alone(plain)),
        ("docker-registry with TLS", alone(secure)),
        (
            CHAIN,
            Way2 {
                front,
                behind: Some(behind),
            },
        ),
    ]
}

//! From the start of the program to its first answer over TLS.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Bench;
use crate::load::Order;
use crate::measure::{Row, take_turns};
use crate::peer::{Kind, Peer};
use crate::site::free_address;

/// The shortest of a few, for everything else on the machine only adds.
pub fn rows(bench: &Bench<'_>) -> Vec<Row> {
    let Some(about) = bench.row("start to first answer", "ms", Some(1.6)) else {
        return Vec::new();
    };
    let upstream = Peer::fast_upstream(&bench.site, None);
    let kinds = [Kind::Dockgate, Kind::NginxBest, Kind::Haproxy, Kind::Caddy];
    let mut kinds = kinds.map(|kind| (kind.name(), kind));
    let setup = crate::peer::Setup {
        core: None,
        ..bench.setup(&bench.site.ecdsa)
    };
    let row = take_turns(about, bench.options.rounds, &mut kinds, |kind| {
        let times = (0..3).map(|_| {
            let address = free_address();
            let client = Order::new("first").with("target", "/v2/");
            let client = client.begin_at(address, &bench.site.ca);
            let start = SystemTime::now();
            let peer = Peer::at(&bench.site, *kind, address, upstream.address, &setup);
            let answered = client.said();
            drop(peer);
            let nanos: u64 = answered.trim().parse().unwrap();
            let answered = UNIX_EPOCH + Duration::from_nanos(nanos);
            answered.duration_since(start).unwrap().as_secs_f64() * 1000.0
        });
        times.fold(f64::INFINITY, f64::min)
    });
    vec![row]
}

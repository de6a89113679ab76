//! The same request again and again, over a few connections that stay open.

use std::thread;

use rustls::client::Resumption;
use tokio::time::Instant;

use super::Told;
use super::wire::{Connection, request, tls};

pub(super) fn run(told: &Told) {
    let connections = told.number("connections", 1);
    let each = told.number("requests", 1).div_ceil(connections);
    let method = told.text("method").unwrap_or("GET");
    let target = told.text("target").unwrap();
    let status = told.number("status", 200);
    let bytes = request(told, method, target);
    let config = tls(told, Resumption::disabled());
    let begin = Instant::now();
    let mut took: Vec<u64> = thread::scope(|scope| {
        let works = (0..connections).map(|_| {
            scope.spawn(|| {
                let mut connection = Connection::open(told, config.as_ref());
                let mut took = Vec::with_capacity(each);
                for _ in 0..each {
                    let start = Instant::now();
                    let answer = connection.ask(&bytes, method != "HEAD", &mut |_| true);
                    assert_eq!(usize::from(answer.status), status, "{}", answer.head);
                    took.push(u64::try_from(start.elapsed().as_nanos()).unwrap());
                    if answer.header("connection") == Some("close") {
                        connection = Connection::open(told, config.as_ref());
                    }
                }
                took
            })
        });
        let works: Vec<_> = works.collect();
        let done = works.into_iter().map(|work| work.join().unwrap());
        done.collect::<Vec<_>>().concat()
    });
    took.sort_unstable();
    let at = |part: usize| took[(took.len() - 1) * part / 100];
    println!("requests={}", took.len());
    println!("p50_ns={}", at(50));
    println!("p99_ns={}", at(99));
    println!("wall_ns={}", begin.elapsed().as_nanos());
}

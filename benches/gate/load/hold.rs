//! Connections that are kept: idle ones, and such as take what they get slowly.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::Resumption;
use tokio::time::Instant;

use super::Told;
use super::wire::{Connection, request, tls};

/// Opens connections, asks once over each, says so, and keeps them until its input ends.
pub(super) fn idle(told: &Told) {
    let config = tls(told, Resumption::disabled());
    let bytes = request(told, "GET", told.text("target").unwrap());
    let mut held = Vec::new();
    for _ in 0..told.number("connections", 1) {
        let mut connection = Connection::open(told, config.as_ref());
        let answer = connection.ask(&bytes, true, &mut |_| true);
        assert_eq!(answer.status, 200, "{}", answer.head);
        connection.shrink();
        held.push(connection);
    }
    begun();
    until_told();
}

/// Pulls over many connections, each at so many bytes a second, until its input ends.
pub(super) fn slow(told: &Told) {
    let config = tls(told, Resumption::disabled());
    let bytes = request(told, "GET", told.text("target").unwrap());
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = told.number("rate", 1) as f64;
    let warm = Duration::from_millis(told.number("warm_ms", 3000) as u64);
    for _ in 0..told.number("connections", 1) {
        let mut connection = Connection::open(told, config.as_ref());
        let bytes = bytes.clone();
        thread::spawn(move || {
            let start = Instant::now();
            let mut taken = 0;
            connection.ask(&bytes, true, &mut |piece| {
                taken += piece;
                #[expect(clippy::cast_precision_loss, reason = "a rate")]
                let due = Duration::from_secs_f64(taken as f64 / rate);
                thread::sleep(due.saturating_sub(start.elapsed()));
                true
            });
        });
    }
    thread::sleep(warm);
    begun();
    until_told();
}

/// Asks until it is answered, and says when that was.
pub(super) fn first(told: &Told) {
    let config = tls(told, Resumption::disabled());
    let bytes = request(told, "GET", told.text("target").unwrap());
    begun();
    while TcpStream::connect(told.address()).is_err() {
        thread::sleep(Duration::from_micros(200));
    }
    let answer = Connection::open(told, config.as_ref()).ask(&bytes, true, &mut |_| true);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.head);
    println!("{}", now.as_nanos());
}

fn begun() {
    println!("begun");
    std::io::stdout().flush().unwrap();
}

fn until_told() {
    let _ = std::io::stdin().read(&mut [0]);
}

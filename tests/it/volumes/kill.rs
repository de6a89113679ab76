//! Killed at any instant: what was acknowledged is there, nothing half-written is served, and nothing is repaired.
#![expect(clippy::print_stdout, reason = "figures for who reads along")]

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::Instant;

use super::pusher::{BASE, Pusher};
use super::{Random, Served, is_named, push_blob};
use crate::support::figures::{KILLS, WRITES, rounds, tell};
use crate::support::site::digest;

/// Every so many times it is told to stop and not killed.
const STOPS: usize = 10;
const PUSHERS: u64 = 4;

/// Under every name of a blob lie the bytes that it names: there is no half of anything to be found.
fn verify_files(root: &Path) -> usize {
    let blobs = root.join("docker/registry/v2/blobs/sha256");
    let mut files = 0;
    for folder in fs::read_dir(blobs).unwrap() {
        for entry in fs::read_dir(folder.unwrap().path()).unwrap() {
            let entry = entry.unwrap();
            let name = format!("sha256:{}", entry.file_name().to_str().unwrap());
            if let Ok(content) = fs::read(entry.path().join("data")) {
                assert!(
                    is_named(&name, &content),
                    "{name} has {} bytes",
                    content.len()
                );
                files += 1;
            }
        }
    }
    files
}

/// One life of the process: it serves for so long and is killed, or told to stop, in the middle of everything.
fn live_and_die(
    root: &Path,
    pushers: &mut [Pusher],
    end: Option<Signal>,
    life: Duration,
) -> Duration {
    let last = end.is_none();
    let began = Instant::now();
    let mut served = Served::start(root);
    let start = began.elapsed();
    let address = served.address;
    thread::scope(|scope| {
        for pusher in &mut *pushers {
            scope.spawn(move || pusher.verify(address, last));
        }
    });
    let Some(signal) = end else {
        served.stop();
        return start;
    };
    // Nothing comes: what is waited for is the instant.
    let (_alive, instant) = mpsc::channel::<()>();
    thread::scope(|scope| {
        for pusher in &mut *pushers {
            scope.spawn(move || pusher.push(address));
        }
        let _ = instant.recv_timeout(life);
        served.program.signal(signal);
    });
    // One that is told to stop ends well: what it was at is finished, and what it cuts does not look whole.
    let code = (signal == Signal::TERM).then_some(0);
    assert_eq!(served.program.wait(), code, "{}", served.program.stderr());
    start
}

#[test]
fn g8_n52_p1_killed_at_any_instant_it_has_lost_nothing_and_serves_no_half() {
    let seed = std::env::var("DOCKGATE_TEST_SEED").ok();
    let seed = seed.map_or_else(
        || {
            u64::from(std::process::id())
                ^ u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos())
        },
        |text| text.parse().unwrap(),
    );
    println!("DOCKGATE_TEST_SEED={seed}");
    let volume = TempDir::with_prefix("dockgate-kill-").unwrap();
    let root = volume.path();
    let mut random = Random(seed);
    let served = Served::start(root);
    let mut base = Vec::new();
    for length in [0, 1, 5000, 2_000_000] {
        let content = random.bytes(length);
        base.push(digest(&content));
        push_blob(served.address, BASE, &digest(&content), &content);
    }
    served.kill();
    let mut pushers: Vec<Pusher> = (0..PUSHERS)
        .map(|n| Pusher::new(n, seed, base.clone()))
        .collect();
    let lives = rounds(220);
    let mut starts = Vec::new();
    for round in 1..=lives {
        let life = Duration::from_millis(5 + random.below(146) as u64);
        let signal = if round.is_multiple_of(STOPS) {
            Signal::TERM
        } else {
            Signal::KILL
        };
        starts.push(live_and_die(root, &mut pushers, Some(signal), life));
    }
    starts.push(live_and_die(root, &mut pushers, None, Duration::ZERO));
    // Without a repair of anything: on a busy machine the slowest tells nothing, half of them do.
    starts.sort();
    let half = starts[starts.len() / 2];
    assert!(half < Duration::from_secs(5), "{half:?}");
    let kills = lives - lives / STOPS;
    let files = verify_files(root);
    let sum = |count: fn(&Pusher) -> u64| pushers.iter().map(count).sum::<u64>();
    let (acknowledged, resumed, doubts) = (
        sum(|p| p.acknowledged),
        sum(|p| p.resumed),
        sum(|p| p.doubts),
    );
    println!(
        "{kills} kills, {acknowledged} acknowledged, lost: 0; {doubts} in doubt, all whole or absent; \
         {resumed} uploads resumed; {files} files whole"
    );
    // It was killed in the middle of something, and something had been done before.
    assert!(
        acknowledged > kills as u64 && doubts > 0,
        "{acknowledged}, {doubts}"
    );
    tell(KILLS, kills);
    tell(WRITES, usize::try_from(acknowledged).unwrap());
}

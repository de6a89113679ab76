//! Calls that fail around the real program, all of them or some: nothing is acknowledged that is not there.
#![expect(clippy::print_stdout, reason = "figures for who reads along")]

use tempfile::TempDir;

use super::full::{Ledger, is_ours, try_blob};
use super::{Random, Served, image, is_named, push_blob, push_manifest, put_manifest};
use crate::support::dialog::Answer;
use crate::support::figures::{FAULTS, WRITES, tell};
use crate::support::peers::need;
use crate::support::site::digest;

/// Blobs and manifests, one after the other, while calls fail: what was acknowledged, and how much was not.
fn push_through(
    served: &Served,
    rounds: u16,
    ledger: &mut Ledger,
    doubtful: &mut Vec<String>,
) -> u64 {
    let mut refused = 0;
    for round in 0..rounds {
        let content = Random(round.into()).bytes(1000 * (1 + usize::from(round)));
        let name = digest(&content);
        let blob = try_blob(served, usize::from(round) % 3, &content);
        let target = format!("/v2/a/blobs/{name}");
        if blob.status == 201 {
            ledger.0.insert(target, content.clone());
        } else {
            is_failure(&blob);
            doubtful.push(target);
            refused += 1;
            continue;
        }
        let text = image(&[(name, content.len())], round.into());
        let tag = format!("t{round}");
        let put = put_manifest(served.address, "a", &tag, &text);
        let target = format!("/v2/a/manifests/{}", digest(text.as_bytes()));
        if put.status == 201 {
            ledger.0.insert(target, text.clone().into_bytes());
            ledger
                .0
                .insert(format!("/v2/a/manifests/{tag}"), text.into_bytes());
        } else {
            is_failure(&put);
            doubtful.push(target);
            refused += 1;
        }
    }
    refused
}

#[track_caller]
fn is_failure(answer: &Answer) {
    assert!(
        matches!(answer.status, 500 | 503 | 507),
        "{}{}",
        answer.head,
        answer.text()
    );
    is_ours(answer, answer.status);
}

/// Lets calls fail around the real program: all of them or some.
fn failing(calls: &str, fault: &str, always: bool) {
    let volume = TempDir::with_prefix("dockgate-fault-").unwrap();
    let mut ledger = Ledger::default();
    let mut doubtful = Vec::new();
    let well = Served::start(volume.path());
    let before = Random(1000).bytes(50_000);
    push_blob(well.address, "a", &digest(&before), &before);
    push_manifest(
        well.address,
        "a",
        "old",
        &image(&[(digest(&before), before.len())], 1),
    );
    let old = image(&[(digest(&before), before.len())], 1).into_bytes();
    ledger
        .0
        .insert(format!("/v2/a/blobs/{}", digest(&before)), before);
    ledger.0.insert("/v2/a/manifests/old".into(), old);
    well.stop();

    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:{fault}"));
    let strace = [
        "strace",
        "-D",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        &*trace,
        "-e",
        &*inject,
    ];
    let served = Served::start_under(&strace, volume.path());
    let what = format!("{calls} {fault}");
    let known = ledger.0.len();
    let refused = push_through(
        &served,
        if always { 6 } else { 40 },
        &mut ledger,
        &mut doubtful,
    );
    let acknowledged = ledger.0.len() - known;
    println!("{what}: {acknowledged} acknowledged, {refused} refused");
    let injected = refused;
    assert!(refused > 0, "{what}: nothing failed");
    assert_eq!(acknowledged == 0, always, "{what}");
    if calls == "openat2" {
        ledger.is_served_or_fails(&served);
    } else {
        ledger.is_served_by(&served);
    }
    served.kill();
    // A disk that is well again.
    let served = Served::start(volume.path());
    ledger.is_served_by(&served);
    for target in doubtful {
        let answer = served.ask("GET", &target);
        let (_, name) = target.rsplit_once('/').unwrap();
        let whole = answer.status == 200 && is_named(name, &answer.body);
        assert!(
            whole || answer.status == 404,
            "{what}: {target}: {}",
            answer.head
        );
    }
    let mut after = Ledger::default();
    let refused = push_through(&served, 6, &mut after, &mut Vec::new());
    assert_eq!(refused, 0, "{what}");
    after.is_served_by(&served);
    served.stop();
    tell(FAULTS, usize::try_from(injected).unwrap());
    tell(WRITES, ledger.0.len());
}

#[test]
fn g7_n54_a_disk_that_always_fails_has_nothing_acknowledged() {
    if !need(&["strace"]) {
        return;
    }
    for (calls, fault) in [
        ("fsync", "error=EIO"),
        ("fdatasync", "error=EIO"),
        ("fdatasync", "error=ENOSPC"),
        ("renameat,renameat2", "error=EIO"),
        ("renameat,renameat2", "error=ENOSPC"),
        ("renameat,renameat2", "error=EROFS"),
    ] {
        failing(calls, fault, true);
    }
}

#[test]
fn g7_n54_a_disk_that_fails_now_and_then_loses_nothing_that_was_acknowledged() {
    if !need(&["strace"]) {
        return;
    }
    for (calls, fault) in [
        ("fsync", "error=EIO:when=3+17"),
        ("fdatasync", "error=EIO:when=5+17"),
        ("fdatasync", "error=ENOSPC:when=7+17"),
        ("renameat,renameat2", "error=EIO:when=5+17"),
        ("pwritev", "error=EIO:when=1+3"),
        ("mkdirat", "error=ENOSPC:when=3+17"),
        ("openat2", "error=EMFILE:when=9+41"),
        ("openat2", "error=EIO:when=9+41"),
    ] {
        failing(calls, fault, false);
    }
}

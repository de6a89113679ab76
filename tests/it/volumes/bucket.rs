//! A bucket on its bad days: slow, busy, broken, wrong, late, gone; and two processes over it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::full::{Ledger, is_ours};
use super::pusher::{BASE, Pusher};
use super::{Random, Served, begin, closing, image, place, push_blob, push_manifest, put_manifest};
use crate::support::ask::ask;
use crate::support::dialog::Dialog;
use crate::support::figures::{FAULTS, KILLS, WRITES, rounds, tell};
use crate::support::scrape::{Scrape, until_ready_says};
use crate::support::site::digest;
use crate::support::store::{Deed, Store};

/// More than one part of an upload.
const LARGE: usize = 11_000_000;

fn serve(store: &Store) -> Served {
    Served::start_with(&[], &store.toml())
}

/// Puts an image of one blob there, and notes both.
fn push(served: &Served, ledger: &mut Ledger, tag: &str, content: Vec<u8>) -> (String, String) {
    let blob = digest(&content);
    push_blob(served.address, "a", &blob, &content);
    let text = image(&[(blob.clone(), content.len())], 1);
    let manifest = push_manifest(served.address, "a", tag, &text);
    let mut note = |target: String, bytes: Vec<u8>| ledger.0.insert(target, bytes);
    note(format!("/v2/a/blobs/{blob}"), content);
    for reference in [tag, &manifest] {
        note(
            format!("/v2/a/manifests/{reference}"),
            text.clone().into_bytes(),
        );
    }
    (blob, manifest)
}

const SLOW_DOWN: &str =
    "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
const INTERNAL: &str = "<Error><Code>InternalError</Code><Message>We are sorry.</Message></Error>";
const EXPIRED: &str = "<Error><Code>ExpiredToken</Code><Message>The token has expired.</Message>\
                       <Token-0>s3cr3t-token</Token-0></Error>";
const SKEWED: &str = "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>";
const NO_BUCKET: &str =
    "<Error><Code>NoSuchBucket</Code><Message>The bucket does not exist.</Message></Error>";

#[test]
fn g10_n57_a_store_that_stumbles_is_asked_again_and_nobody_notices() {
    let Some(store) = Store::new() else {
        return;
    };
    let served = serve(&store);
    let count = AtomicUsize::new(0);
    store.rule(move |_, _| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let deeds = [
            Deed::Answer(503, SLOW_DOWN),
            Deed::Answer(500, INTERNAL),
            Deed::Answer(429, ""),
            Deed::Drop,
            Deed::PassAndAnswer(502),
            Deed::Late(Duration::from_millis(50)),
        ];
        match number % 3 {
            1 => deeds[number / 3 % deeds.len()].clone(),
            _ => Deed::Pass,
        }
    });
    let mut random = Random(10);
    let mut ledger = Ledger::default();
    for (tag, size) in [("one", 1), ("two", 5000), ("large", LARGE)] {
        push(&served, &mut ledger, tag, random.bytes(size));
    }
    // In chunks, each resumed from what is in the store.
    let content = random.bytes(30_000);
    let mut path = begin(served.address, "a");
    for chunk in content.chunks(10_000) {
        let patched = served.send("PATCH", &path, &[], chunk);
        assert_eq!(patched.status, 202, "{}{}", patched.head, patched.text());
        path = place(&patched);
    }
    let blob = digest(&content);
    let put = served.send("PUT", &closing(&path, &blob), &[], b"");
    assert_eq!(put.status, 201, "{}{}", put.head, put.text());
    ledger.0.insert(format!("/v2/a/blobs/{blob}"), content);
    ledger.is_served_by(&served);
    let gone = served.ask("DELETE", "/v2/a/manifests/two");
    assert_eq!(gone.status, 202, "{}", gone.head);
    assert_eq!(served.ask("GET", "/v2/a/manifests/two").status, 404);
    assert!(store.faults() > 20, "{}", store.faults());

    let faults = store.faults();
    store.mend();
    ledger.0.remove("/v2/a/manifests/two");
    ledger.is_served_by(&served);
    tell(FAULTS, faults);
    tell(WRITES, ledger.0.len());
}

/// Every way to ask a store for something gets the one answer, soon enough, and nothing is acknowledged.
fn a_lasting_fault(deed: Deed, says: &str) {
    let Some(store) = Store::new() else {
        return;
    };
    let served = serve(&store);
    let mut ledger = Ledger::default();
    let content = Random(11).bytes(50_000);
    let (blob, _) = push(&served, &mut ledger, "tag", content);
    let path = begin(served.address, "a");
    let text = image(&[(blob.clone(), 50_000)], 2);
    let admin = served.program.admin();
    until_ready_says(admin, 200, "ok store");

    let (served_too, path) = (&served, &path);
    let readiness = if matches!(deed, Deed::Stall) {
        "fail store: timeout"
    } else {
        "fail store: storage_unavailable"
    };
    store.rule(move |_, _| deed.clone());
    thread::scope(|scope| {
        let mut asked = Vec::new();
        let asks: [(&str, String, &[u8]); 6] = [
            ("GET", format!("/v2/a/blobs/{blob}"), b""),
            ("GET", "/v2/a/manifests/tag".to_owned(), b""),
            ("GET", "/v2/a/tags/list".to_owned(), b""),
            ("POST", "/v2/a/blobs/uploads/".to_owned(), b""),
            ("PATCH", path.clone(), b"bytes"),
            ("PUT", "/v2/a/manifests/new".to_owned(), text.as_bytes()),
        ];
        for (method, target, body) in asks {
            let kind = [("Content-Type", super::IMAGE)];
            asked.push(scope.spawn(move || {
                // A store that says nothing is given up after twenty seconds.
                let mut dialog = Dialog::patient(served_too.address, Duration::from_secs(60));
                let answer = dialog.ask(method, &target, &kind, body);
                is_ours(&answer, 503);
                assert_eq!(answer.header("retry-after"), Some("5"), "{}", answer.head);
                assert!(!answer.text().contains("bucket"), "{}", answer.text());
            }));
        }
        until_ready_says(admin, 503, readiness);
        for one in asked {
            one.join().unwrap();
        }
    });
    served.program.err_line(says);
    let log = served.program.stderr();
    assert!(!log.contains("s3cr3t"), "{log}");
    let faults = Scrape::of(admin);
    let counted = faults.sum("dockgate_storage_faults_total", &["kind=\"unavailable\""]);
    assert!(counted >= 6.0, "{}", faults.text);

    store.mend();
    until_ready_says(admin, 200, "ok store");
    ledger.is_served_by(&served);
    assert_eq!(served.ask("GET", "/v2/a/manifests/new").status, 404);
    // What was begun before goes on where it was acknowledged, and new things come.
    let put = served.send("PUT", &closing(path, &digest(b"bytes")), &[], b"bytes");
    assert_eq!(put.status, 201, "{}{}", put.head, put.text());
    push(&served, &mut ledger, "after", Random(12).bytes(100));
    ledger.is_served_by(&served);
    tell(FAULTS, 7);
    tell(WRITES, ledger.0.len());
}

#[test]
fn g10_n57_a_busy_store_is_told_with_a_time_to_come_back() {
    a_lasting_fault(Deed::Answer(503, SLOW_DOWN), "SlowDown");
}

#[test]
fn g10_n57_a_broken_store_is_told_with_a_time_to_come_back() {
    a_lasting_fault(Deed::Answer(500, INTERNAL), "InternalError");
}

#[test]
fn g10_n57_a_store_that_hangs_up_is_told_with_a_time_to_come_back() {
    a_lasting_fault(Deed::Drop, "the connection to 127.0.0.1 failed");
}

#[test]
fn g10_n57_a_store_that_does_not_answer_is_told_with_a_time_to_come_back() {
    a_lasting_fault(Deed::Stall, "127.0.0.1 does not answer any more");
}

#[test]
fn g10_expired_credentials_are_named_and_nothing_secret_is() {
    a_lasting_fault(Deed::Answer(403, EXPIRED), "renew the credentials");
}

#[test]
fn g10_a_clock_that_is_wrong_is_named() {
    a_lasting_fault(Deed::Answer(403, SKEWED), "set the clock of this machine");
}

#[test]
fn g10_a_bucket_that_is_missing_is_named() {
    a_lasting_fault(
        Deed::Answer(404, NO_BUCKET),
        "create it, or correct its name",
    );
}

/// What an answer is in the end: whole, or not.
fn whole(served: &Served, target: &str) -> Result<Vec<u8>, String> {
    let mut dialog = Dialog::tcp(served.address);
    dialog.request("GET", target, &[super::ANY], b"").unwrap();
    match dialog.answer("GET") {
        Ok(answer) if answer.status == 200 => Ok(answer.body),
        Ok(answer) => Err(answer.status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn g10_n57_bytes_that_break_off_or_are_too_few_never_look_like_a_blob() {
    let Some(store) = Store::new() else {
        return;
    };
    let served = serve(&store);
    let content = Random(13).bytes(3_000_000);
    let blob = digest(&content);
    push_blob(served.address, "a", &blob, &content);
    let target = format!("/v2/a/blobs/{blob}");
    let of_blob = |deed: Deed| {
        move |method: &str, target: &str| {
            let is_read =
                method == "GET" && target.contains("/blobs/") && target.ends_with("/data");
            if is_read { deed.clone() } else { Deed::Pass }
        }
    };
    // Broken off again and again, with some bytes each time: gone on with, and whole.
    store.rule(of_blob(Deed::Cut(900_000)));
    assert!(whole(&served, &target).is_ok_and(|body| body == content));
    for deed in [
        Deed::Cut(0),
        Deed::Short(0),
        Deed::Short(1_000_000),
        Deed::Short(2_999_999),
        Deed::Answer(200, "something else"),
    ] {
        store.rule(of_blob(deed.clone()));
        let found = whole(&served, &target);
        assert!(
            found.as_ref().is_err() || found.as_ref().is_ok_and(|body| *body == content),
            "{deed:?}: {:?} bytes",
            found.map(|body| body.len())
        );
    }
    assert!(store.faults() >= 8, "{}", store.faults());
    store.mend();
    assert!(whole(&served, &target).is_ok_and(|body| body == content));
    tell(FAULTS, store.faults());
}

#[test]
fn g6_n57_with_verify_other_bytes_from_the_store_never_look_whole() {
    let Some(store) = Store::new() else {
        return;
    };
    let toml = store
        .toml()
        .replace("[registry]\n", "[registry]\nverify = true\n");
    let served = Served::start_with(&[], &toml);
    for size in [1, 3_000_000] {
        let content = Random(19).bytes(size);
        let blob = digest(&content);
        push_blob(served.address, "a", &blob, &content);
        let target = format!("/v2/a/blobs/{blob}");
        assert!(whole(&served, &target).is_ok_and(|body| body == content));
        store.rule(|method, target| {
            let is_read = method == "GET" && target.ends_with("/data");
            if is_read { Deed::Flip } else { Deed::Pass }
        });
        assert!(whole(&served, &target).is_err(), "{size} bytes");
        store.mend();
    }
    served
        .program
        .err_line("its bytes are not those that its name says");
    tell(FAULTS, 2);
}

#[test]
fn g10_n57_small_objects_that_are_wrong_are_not_believed() {
    let Some(store) = Store::new() else {
        return;
    };
    let served = serve(&store);
    let mut ledger = Ledger::default();
    let (blob, _) = push(&served, &mut ledger, "tag", Random(14).bytes(1000));
    let other = Random(15).bytes(200_000);
    let path = begin(served.address, "a");
    let patched = served.send("PATCH", &path, &[], &other);
    assert_eq!(patched.status, 202, "{}", patched.head);
    for deed in [Deed::Flip, Deed::Short(10), Deed::Short(0)] {
        let wrong = deed.clone();
        store.rule(move |method, target| {
            let small = ["/link", "/data", "dockgate-state"];
            let is_read = method == "GET" && small.iter().any(|end| target.ends_with(end));
            if is_read { wrong.clone() } else { Deed::Pass }
        });
        // Anew, so that nothing is remembered.
        let fresh = serve(&store);
        for target in [
            "/v2/a/manifests/tag".to_owned(),
            format!("/v2/a/blobs/{blob}"),
        ] {
            let answer = fresh.ask("GET", &target);
            assert!(
                matches!(answer.status, 404 | 500 | 503),
                "{deed:?} {target}: {}",
                answer.head
            );
        }
        let put = fresh.send("PUT", &closing(&path, &digest(&other)), &[], b"");
        assert!(
            matches!(put.status, 404 | 416 | 500 | 503),
            "{deed:?}: {}",
            put.head
        );
        fresh.stop();
    }
    assert!(store.faults() >= 9, "{}", store.faults());
    store.mend();
    ledger.is_served_by(&served);
    let put = served.send("PUT", &closing(&path, &digest(&other)), &[], b"");
    assert_eq!(put.status, 201, "{}{}", put.head, put.text());
    tell(FAULTS, store.faults());
}

#[test]
fn g10_a_list_that_is_late_hides_nothing_that_is_asked_for_by_name() {
    let Some(store) = Store::new() else {
        return;
    };
    let served = serve(&store);
    let mut ledger = Ledger::default();
    let (blob, _) = push(&served, &mut ledger, "old", Random(16).bytes(1000));
    store.rule(|method, target| {
        if method == "GET" && target.contains("list-type=2") {
            Deed::Old
        } else {
            Deed::Pass
        }
    });
    let tags = || {
        let list = served.ask("GET", "/v2/a/tags/list");
        assert_eq!(list.status, 200, "{}", list.head);
        let list: serde_json::Value = serde_json::from_slice(&list.body).unwrap();
        list["tags"].clone()
    };
    assert_eq!(tags(), serde_json::json!(["old"]));
    let text = image(&[(blob, 1000)], 7);
    let name = push_manifest(served.address, "a", "new", &text);
    for reference in ["new", &name] {
        ledger.0.insert(
            format!("/v2/a/manifests/{reference}"),
            text.clone().into_bytes(),
        );
    }
    ledger.is_served_by(&served);
    assert_eq!(tags(), serde_json::json!(["old"]), "the list is late");
    // A deletion that does not see a tag leaves one that leads nowhere, and not to something else.
    let gone = served.ask("DELETE", &format!("/v2/a/manifests/{name}"));
    assert_eq!(gone.status, 202, "{}", gone.head);
    assert_eq!(served.ask("GET", "/v2/a/manifests/new").status, 404);
    store.mend();
    let tag = served.ask("GET", "/v2/a/manifests/new");
    assert_eq!(tag.status, 404, "{}", tag.head);
    push_manifest(served.address, "a", "new", &text);
    ledger.is_served_by(&served);
    assert_eq!(tags(), serde_json::json!(["new", "old"]));
}

#[test]
fn g9_an_upload_goes_on_at_another_process_over_the_same_bucket() {
    let Some(store) = Store::new() else {
        return;
    };
    let (one, two) = (serve(&store), serve(&store));
    let content = Random(17).bytes(6_000_000);
    let mut path = begin(one.address, "a");
    let mut chunks = content.chunks(1_500_000);
    for served in [&one, &two, &one] {
        let patched = served.send("PATCH", &path, &[], chunks.next().unwrap());
        assert_eq!(patched.status, 202, "{}{}", patched.head, patched.text());
        path = place(&patched);
    }
    one.kill();
    let blob = digest(&content);
    let put = two.send("PUT", &closing(&path, &blob), &[], chunks.next().unwrap());
    assert_eq!(put.status, 201, "{}{}", put.head, put.text());
    assert!(whole(&two, &format!("/v2/a/blobs/{blob}")).is_ok_and(|body| body == content));
    // And a third that never saw any of it.
    let three = serve(&store);
    assert!(whole(&three, &format!("/v2/a/blobs/{blob}")).is_ok_and(|body| body == content));
}

#[test]
fn g8_g9_n52_killed_at_any_instant_two_processes_over_one_bucket_lose_nothing() {
    const PUSHERS: u64 = 4;
    let Some(store) = Store::new() else {
        return;
    };
    let seed = u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos());
    let mut random = Random(seed);
    let first = serve(&store);
    let mut base = Vec::new();
    for length in [0, 1, 5000] {
        let content = random.bytes(length);
        base.push(digest(&content));
        push_blob(first.address, BASE, &digest(&content), &content);
    }
    let mut pushers: Vec<Pusher> = (0..PUSHERS)
        .map(|n| Pusher::new(n, seed, base.clone()))
        .collect();
    for pusher in &mut pushers {
        pusher.leases = true;
    }
    let kills = rounds(6);
    let mut survivor = first;
    for round in 0..=kills {
        // Every other pusher at each; one of the two dies, and the other takes over.
        let dies = serve(&store);
        let doors = [dies.address, survivor.address];
        thread::scope(|scope| {
            for (pusher, n) in pushers.iter_mut().zip(round..) {
                let door = doors[n % 2];
                scope.spawn(move || pusher.verify(door, round == kills));
            }
        });
        if round == kills {
            break;
        }
        thread::scope(|scope| {
            for (pusher, n) in pushers.iter_mut().zip(round..) {
                let door = doors[n % 2];
                scope.spawn(move || pusher.push(door));
            }
            // The instants are requests of theirs: the time that they take is the machine's.
            store.until_asked(40 + random.below(200));
            dies.program.signal(Signal::KILL);
            store.until_asked(10 + random.below(100));
            survivor.program.signal(Signal::KILL);
        });
        dies.gone();
        survivor.gone();
        store.until_it_is_quiet();
        survivor = serve(&store);
    }
    let acknowledged: u64 = pushers.iter().map(|p| p.acknowledged).sum();
    assert!(acknowledged > 20, "seed {seed}: {acknowledged}");
    let begun_anew: u64 = pushers.iter().map(|p| p.begun_anew).sum();
    let most = PUSHERS * kills as u64;
    assert!(begun_anew <= most, "seed {seed}: {begun_anew} of {most}");
    tell(KILLS, 2 * kills);
    tell(WRITES, usize::try_from(acknowledged).unwrap());
}

#[test]
fn n54_a_manifest_whose_bytes_were_written_and_whose_link_was_not_is_not_acknowledged() {
    let Some(store) = Store::new() else {
        return;
    };
    let served = serve(&store);
    let mut ledger = Ledger::default();
    let (blob, _) = push(&served, &mut ledger, "tag", Random(18).bytes(1000));
    let text = image(&[(blob, 1000)], 3);
    for step in ["/revisions/", "/tags/tag/index/", "/tags/tag/current/"] {
        let refused = AtomicUsize::new(0);
        store.rule(move |method, target| {
            if method == "PUT" && target.contains(step) {
                refused.fetch_add(1, Ordering::Relaxed);
                return Deed::Answer(403, EXPIRED);
            }
            Deed::Pass
        });
        is_ours(&put_manifest(served.address, "a", "tag", &text), 503);
        ledger.is_served_by(&served);
    }
    assert_eq!(store.faults(), 3);
    store.mend();
    push_manifest(served.address, "a", "tag", &text);
    ledger
        .0
        .insert("/v2/a/manifests/tag".into(), text.into_bytes());
    ledger.is_served_by(&served);
    assert_eq!(
        ask(served.address, "GET /v2/a/tags/list", &[], b"").json()["tags"],
        serde_json::json!(["tag"])
    );
}

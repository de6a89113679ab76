//! Uploads that go on: after a cut connection, after a restart, in another process; never from two sides at once.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{Random, Served, begin, closing};
use crate::support::dialog::{Answer, Dialog, PATIENCE};
use crate::support::site::digest;

fn volume() -> TempDir {
    TempDir::with_prefix("dockgate-resume-").unwrap()
}

fn status(address: SocketAddr, path: &str) -> Answer {
    Dialog::tcp(address).get(path)
}

/// How many bytes the upload has; `0-0` is none here, for the tests send more than one.
#[track_caller]
fn offset(answer: &Answer) -> usize {
    let range = answer.header("range").unwrap();
    let last: usize = range.strip_prefix("0-").unwrap().parse().unwrap();
    if last == 0 { 0 } else { last + 1 }
}

/// Adds the bytes `range` of the content.
#[track_caller]
fn add(address: SocketAddr, path: &str, content: &[u8], range: std::ops::Range<usize>) -> Answer {
    let place = format!("{}-{}", range.start, range.end - 1);
    Dialog::tcp(address).ask("PATCH", path, &[("Content-Range", &place)], &content[range])
}

/// A client that says it will add the bytes `range` and has sent those until `until`.
#[track_caller]
fn half(
    address: SocketAddr,
    path: &str,
    content: &[u8],
    range: std::ops::Range<usize>,
    until: usize,
) -> Dialog {
    let mut dialog = Dialog::tcp(address);
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: gate.test\r\nContent-Length: {}\r\nContent-Range: {}-{}\r\n\r\n",
        range.len(),
        range.start,
        range.end - 1
    );
    dialog.send(head.as_bytes()).unwrap();
    dialog.send(&content[range.start..until]).unwrap();
    dialog
}

/// Closes it with its last bytes and sees that it is what was sent.
#[track_caller]
fn finish(address: SocketAddr, repository: &str, path: &str, content: &[u8], from: usize) {
    let name = digest(content);
    let put = Dialog::tcp(address).ask("PUT", &closing(path, &name), &[], &content[from..]);
    assert_eq!(put.status, 201, "{}{}", put.head, put.text());
    let blob = Dialog::tcp(address).get(&format!("/v2/{repository}/blobs/{name}"));
    assert_eq!(blob.status, 200, "{}", blob.head);
    assert!(blob.body == content);
}

/// Asks until the answer is the one that is waited for.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = SystemTime::now();
    while !is_so() {
        assert!(begun.elapsed().unwrap() < PATIENCE, "never {what}");
        thread::yield_now();
    }
}

#[test]
fn h12_n36_an_upload_that_is_cut_goes_on_at_the_byte_that_is_told() {
    let volume = volume();
    let served = Served::start(volume.path());
    let content = Random(1).bytes(3_000_001);
    let path = begin(served.address, "a");
    drop(half(
        served.address,
        &path,
        &content,
        0..2_500_000,
        1_700_003,
    ));
    until("saved", || {
        offset(&status(served.address, &path)) == 1_700_003
    });
    // Who begins again where the cut chunk began is told where to go on.
    let wrong = add(served.address, &path, &content, 0..2_500_000);
    assert_eq!((wrong.status, offset(&wrong)), (416, 1_700_003));
    drop(half(
        served.address,
        &path,
        &content,
        1_700_003..2_000_000,
        1_700_005,
    ));
    until("saved", || {
        offset(&status(served.address, &path)) == 1_700_005
    });
    let added = add(served.address, &path, &content, 1_700_005..2_999_999);
    assert_eq!((added.status, offset(&added)), (202, 2_999_999));
    finish(served.address, "a", &path, &content, 2_999_999);
    assert_eq!(status(served.address, &path).status, 404);
}

/// A client has 300,000 bytes acknowledged and 200,000 more on their way when the process ends, and goes on after its
/// restart.
#[track_caller]
fn restarted(signal: Signal) -> usize {
    let volume = volume();
    let served = Served::start(volume.path());
    let content = Random(2).bytes(1_000_000);
    let path = begin(served.address, "a");
    let added = add(served.address, &path, &content, 0..300_000);
    assert_eq!((added.status, offset(&added)), (202, 300_000));
    let cut = half(served.address, &path, &content, 300_000..900_000, 500_000);
    if signal == Signal::TERM {
        // It does not wait for who is gone.
        served.program.signal(signal);
        drop(cut);
        served.program.err_line("draining");
        let Served { mut program, .. } = served;
        assert_eq!(program.wait(), Some(0), "{}", program.stderr());
    } else {
        served.kill();
    }
    let served = Served::start(volume.path());
    let safe = offset(&status(served.address, &path));
    let added = add(served.address, &path, &content, safe..900_000);
    assert_eq!(added.status, 202, "{}", added.head);
    finish(served.address, "a", &path, &content, 900_000);
    served.stop();
    safe
}

#[test]
fn g9_an_upload_goes_on_after_a_restart() {
    assert_eq!(restarted(Signal::TERM), 500_000, "all that came was saved");
}

#[test]
fn g8_g9_n52_an_upload_goes_on_from_what_was_acknowledged_before_a_kill() {
    assert_eq!(restarted(Signal::KILL), 300_000);
}

#[test]
fn g9_two_processes_take_turns_with_one_upload() {
    let volume = volume();
    let served = [Served::start(volume.path()), Served::start(volume.path())];
    let content = Random(3).bytes(1_100_000);
    let path = begin(served[0].address, "a");
    for turn in 0..10 {
        let (at, other) = (&served[turn % 2], &served[(turn + 1) % 2]);
        let range = turn * 100_000..(turn + 1) * 100_000;
        let added = add(at.address, &path, &content, range.clone());
        assert_eq!((added.status, offset(&added)), (202, range.end), "{turn}");
        assert_eq!(offset(&status(other.address, &path)), range.end);
    }
    finish(served[1].address, "a", &path, &content, 1_000_000);
    let name = digest(&content);
    let blob = served[0].ask("GET", &format!("/v2/a/blobs/{name}"));
    assert!(blob.status == 200 && blob.body == content);
}

/// Two clients in the middle of the same chunk, through one process or two: one of them has it.
fn collide(first: SocketAddr, second: SocketAddr) {
    let (ours, theirs) = (vec![b'a'; 2_000_000], vec![b'b'; 2_000_000]);
    let path = begin(first, "a");
    let mut one = half(first, &path, &ours, 0..2_000_000, 1_500_000);
    let two = add(second, &path, &theirs, 0..2_000_000);
    // Whoever lost may not be read any further.
    let _ = one.send(&ours[1_500_000..]);
    let one = one.answer("PATCH").unwrap();
    let mut statuses = [one.status, two.status];
    let winner = if one.status == 202 { &ours } else { &theirs };
    statuses.sort_unstable();
    assert!(matches!(statuses, [202, 409 | 416]), "{statuses:?}");
    finish(first, "a", &path, winner, 2_000_000);
}

#[test]
fn g2_n44_of_two_chunks_at_once_one_wins_and_none_is_mixed() {
    let volume = volume();
    let (one, two) = (Served::start(volume.path()), Served::start(volume.path()));
    collide(one.address, one.address);
    collide(one.address, two.address);
    for round in 0..10_u8 {
        let path = &begin(one.address, "race");
        let contents: Vec<Vec<u8>> = (0..6).map(|n| vec![16 * round + n; 300_000]).collect();
        let answers: Vec<u16> = thread::scope(|scope| {
            let racers: Vec<_> = contents
                .iter()
                .zip([one.address, two.address].into_iter().cycle())
                .map(|(content, at)| scope.spawn(move || add(at, path, content, 0..300_000).status))
                .collect();
            racers
                .into_iter()
                .map(|racer| racer.join().unwrap())
                .collect()
        });
        let won: Vec<usize> = (0..6).filter(|n| answers[*n] == 202).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        let lost = |status: &u16| matches!(status, 202 | 409 | 416);
        assert!(answers.iter().all(lost), "{answers:?}");
        finish(two.address, "race", path, &contents[won[0]], 300_000);
    }
}

/// Sets the time of all files of an upload, and of their folder, back by more than a week.
fn age(folder: &Path) {
    let then = SystemTime::now() - Duration::from_secs(169 * 3600);
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    for path in files.chain([folder.to_path_buf()]) {
        File::open(path).unwrap().set_modified(then).unwrap();
    }
}

#[test]
fn g11_n56_abandoned_uploads_are_swept_and_those_in_hand_are_not() {
    let volume = volume();
    let holder = Served::start(volume.path());
    let uploads = volume
        .path()
        .join("docker/registry/v2/repositories/a/_uploads");
    let content = Random(4).bytes(1000);
    let begun = || {
        let path = begin(holder.address, "a");
        let folder = uploads.join(path.rsplit('/').next().unwrap());
        (path, folder)
    };
    let (old, fresh, held) = (begun(), begun(), begun());
    assert_eq!(add(holder.address, &old.0, &content, 0..500).status, 202);
    assert_eq!(add(holder.address, &fresh.0, &content, 0..500).status, 202);
    let mut writer = half(holder.address, &held.0, &content, 0..500, 10);
    until("in hand", || {
        add(holder.address, &held.0, &content, 900..901).status == 409
    });
    let foreign = uploads.join("5498b0a1-6a0e-4d2f-9d7c-0e2b1c2d3e4f");
    fs::create_dir_all(&foreign).unwrap();
    fs::write(foreign.join("startedat"), "2020-01-01T00:00:00Z").unwrap();
    fs::write(foreign.join("data"), "half").unwrap();
    for folder in [&old.1, &held.1, &foreign] {
        age(folder);
    }

    let sweeper = Served::start(volume.path());
    let said = sweeper.program.err_line("abandoned uploads removed");
    assert!(said.contains("uploads=2"), "{said}");
    assert!(!old.1.exists() && !foreign.exists());
    assert_eq!(status(sweeper.address, &old.0).status, 404);
    writer.send(&content[10..500]).unwrap();
    assert_eq!(writer.answer("PATCH").unwrap().status, 202);
    for (path, _) in [&fresh, &held] {
        finish(sweeper.address, "a", path, &content, 500);
    }
}

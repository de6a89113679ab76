//! What would survive a power cut, read off the system calls; and system calls that fail.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::super::Storage;
use super::child::{child, ground, has_strace, run};
use super::cut::{CALLS, Cut, MARK};
use super::*;
use crate::config;

fn open(root: &Path) -> Storage {
    let root = root.to_path_buf();
    Storage::open(&config::Storage::FileSystem { root }).unwrap()
}

/// Says that what stands under the key, or that nothing does, was acknowledged.
fn acknowledged(key: &Key) {
    assert!(!Path::new(MARK).join(key.as_str()).exists());
}

/// Every verb that acknowledges something, each twice: into folders that are made, and into such as are there.
async fn acknowledge_everything(root: &Path) {
    let storage = &open(root);
    for n in 1..=2_u8 {
        write(storage, &file(&format!("v{n}")), "one").await;
        acknowledged(&file(&format!("v{n}")));
        write(storage, &file("v1"), "two").await;
        acknowledged(&file("v1"));

        let upload = upload(&n.to_string());
        storage.begin(&upload, Bytes::new()).await.unwrap();
        acknowledged(&upload.data());
        acknowledged(&upload.folder().below("dockgate-state"));
        let mut session = storage.resume(&upload).await.unwrap().unwrap();
        session.write(pattern(1, 3_000_000)).await.unwrap();
        session.save("saved".into()).await.unwrap();
        acknowledged(&upload.data());
        acknowledged(&upload.folder().below("dockgate-state"));
        session.write(pattern(n.into(), 2_000_000)).await.unwrap();
        session.commit(&blob(n)).await.unwrap();
        acknowledged(&blob(n));
        acknowledged(upload.folder());
    }
    // What another registry has put there was not synced; what has the wrong length goes.
    for (n, length) in [(3_u8, 500_000), (4, 400_000)] {
        let (there, upload) = (root.join(blob(n).as_str()), upload(&n.to_string()));
        fs::create_dir_all(there.parent().unwrap()).unwrap();
        fs::write(there, pattern(3, length)).unwrap();
        storage.begin(&upload, Bytes::new()).await.unwrap();
        let mut session = storage.resume(&upload).await.unwrap().unwrap();
        session.write(pattern(3, 500_000)).await.unwrap();
        session.commit(&blob(n)).await.unwrap();
        acknowledged(&blob(n));
    }
    assert!(storage.remove(&file("v1")).await.unwrap());
    acknowledged(&file("v1"));
    storage
        .remove_below(&Key::tags(&repository()))
        .await
        .unwrap();
    acknowledged(&Key::tags(&repository()));
    storage.begin(&upload("4"), Bytes::new()).await.unwrap();
    let session = storage.resume(&upload("4")).await.unwrap().unwrap();
    session.discard().await.unwrap();
    acknowledged(upload("4").folder());
}

#[test]
fn g8_n53_what_is_acknowledged_survives_a_power_cut() {
    if let Some(ground) = ground() {
        return run(acknowledge_everything(&ground.join("srv/registry")));
    }
    if !has_strace() {
        return;
    }
    let ground = TempDir::new().unwrap();
    let log = ground.path().join("log");
    let test = "order::g8_n53_what_is_acknowledged_survives_a_power_cut";
    let strace = [
        "strace",
        "-f",
        "-y",
        "-e",
        CALLS,
        "-o",
        log.to_str().unwrap(),
    ];
    child(&strace, test, ground.path());
    let log = fs::read(log).unwrap();
    // The root itself is made on the way.
    let root = ground.path().join("srv/registry");
    let cut = Cut::read(ground.path(), &root, &String::from_utf8_lossy(&log));
    assert_eq!(cut.marks, 21);
    assert!(cut.faults.is_empty(), "{:#?}", cut.faults);
}

#[test]
fn a_large_upload_is_synced_on_the_way() {
    if let Some(ground) = ground() {
        return run(async {
            let storage = open(&ground);
            storage.begin(&upload("1"), Bytes::new()).await.unwrap();
            let mut session = storage.resume(&upload("1")).await.unwrap().unwrap();
            let bytes = pattern(1, 1 << 20);
            for _ in 0..200 {
                session.write(bytes.clone()).await.unwrap();
            }
            acknowledged(&blob(1));
            session.discard().await.unwrap();
        });
    }
    if !has_strace() {
        return;
    }
    let ground = TempDir::new().unwrap();
    let log = ground.path().join("log");
    let test = "order::a_large_upload_is_synced_on_the_way";
    let strace = [
        "strace",
        "-f",
        "-y",
        "-e",
        CALLS,
        "-o",
        log.to_str().unwrap(),
    ];
    child(&strace, test, ground.path());
    let log = fs::read(log).unwrap();
    let log = String::from_utf8_lossy(&log);
    let (before, _) = log.split_once(MARK).unwrap();
    let syncs = before
        .lines()
        .filter(|line| line.contains("fdatasync(") && line.contains("/data>"));
    assert!(syncs.count() >= 3, "begun, and after each 64 MiB");
}

/// What stands before a call begins to fail, and has to stand afterwards.
async fn prepare(storage: &Storage) {
    write(storage, &file("v"), "old").await;
    storage.begin(&upload("1"), "begun".into()).await.unwrap();
    let mut session = storage.resume(&upload("1")).await.unwrap().unwrap();
    session.write("saved".into()).await.unwrap();
    session.save("saved".into()).await.unwrap();
}

fn is_eio<T: std::fmt::Debug>(what: &str, done: Result<T, Error>) {
    let done = done.map(drop);
    let text = format!("{done:?}");
    assert!(matches!(done, Err(Error::Failed { .. })), "{what}: {text}");
    assert!(text.contains("code: 5"), "{what}: {text}");
}

/// Nothing that would have been acknowledged is.
async fn everything_fails(storage: &Storage) {
    is_eio("write", storage.write(&file("v"), "new".into()).await);
    is_eio("write", storage.write(&file("w"), "new".into()).await);
    is_eio("begin", storage.begin(&upload("2"), Bytes::new()).await);
    let mut session = storage.resume(&upload("1")).await.unwrap().unwrap();
    session.write(" and more".into()).await.unwrap();
    is_eio("save", session.save("more".into()).await);
    drop(session);
    if let Some(mut session) = storage.resume(&upload("1")).await.unwrap() {
        session.write(" and more".into()).await.unwrap();
        is_eio("commit", session.commit(&blob(1)).await);
    }
}

/// Lets every call of this name fail in a child.
fn failing(call: &str, test: &str) -> Option<(TempDir, Storage)> {
    if !has_strace() {
        return None;
    }
    let ground = TempDir::new().unwrap();
    run(prepare(&open(ground.path())));
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:error=EIO"));
    let strace = [
        "strace",
        "-f",
        "-e",
        &trace,
        "-e",
        &inject,
        "-o",
        "/dev/null",
    ];
    child(&strace, test, ground.path());
    let storage = open(ground.path());
    Some((ground, storage))
}

async fn the_old_state_stands(ground: &TempDir, storage: &Storage) {
    assert_eq!(read(storage, &file("v")).await.unwrap(), "old");
    assert_eq!(read(storage, &blob(1)).await, None);
    assert_eq!(storage.offset(&upload("2")).await.unwrap(), None);
    let staging = ground.path().join("docker/registry/v2/_staging");
    assert_eq!(fs::read_dir(staging).unwrap().count(), 0);
    // And the disk is well again.
    write(storage, &file("w"), "new").await;
    storage.begin(&upload("2"), Bytes::new()).await.unwrap();
}

#[test]
fn g7_n54_bytes_that_cannot_be_synced_are_not_acknowledged() {
    if let Some(ground) = ground() {
        return run(everything_fails(&open(&ground)));
    }
    let test = "order::g7_n54_bytes_that_cannot_be_synced_are_not_acknowledged";
    if let Some((ground, storage)) = failing("fdatasync", test) {
        run(async {
            the_old_state_stands(&ground, &storage).await;
            // Nobody knows which of its bytes are there: it begins anew.
            assert!(storage.resume(&upload("1")).await.unwrap().is_none());
        });
    }
}

#[test]
fn g7_n54_what_cannot_be_renamed_leaves_the_old_state() {
    if let Some(ground) = ground() {
        return run(everything_fails_but_begin(&open(&ground)));
    }
    let test = "order::g7_n54_what_cannot_be_renamed_leaves_the_old_state";
    if let Some((ground, storage)) = failing("renameat,renameat2", test) {
        run(async {
            the_old_state_stands(&ground, &storage).await;
            let mut session = storage.resume(&upload("1")).await.unwrap().unwrap();
            assert_eq!(session.state(), "saved");
            let bytes = collect(session.read_back().await.unwrap()).await.unwrap();
            assert_eq!(bytes, "saved");
        });
    }
}

async fn everything_fails_but_begin(storage: &Storage) {
    is_eio("write", storage.write(&file("v"), "new".into()).await);
    let tags = Key::tags(&repository());
    is_eio("remove_below", storage.remove_below(&tags).await);
    let mut session = storage.resume(&upload("1")).await.unwrap().unwrap();
    session.write(" and more".into()).await.unwrap();
    is_eio("save", session.save("more".into()).await);
    drop(session);
    let mut session = storage.resume(&upload("1")).await.unwrap().unwrap();
    session.write(" and more".into()).await.unwrap();
    is_eio("commit", session.commit(&blob(1)).await);
}

#[test]
fn g7_n54_folders_that_cannot_be_synced_are_not_acknowledged() {
    if let Some(ground) = ground() {
        return run(everything_fails(&open(&ground)));
    }
    let test = "order::g7_n54_folders_that_cannot_be_synced_are_not_acknowledged";
    if let Some((_ground, storage)) = failing("fsync", test) {
        run(async {
            assert_eq!(storage.offset(&upload("2")).await.unwrap(), None);
            write(&storage, &file("v"), "newer").await;
            storage.begin(&upload("2"), Bytes::new()).await.unwrap();
        });
    }
}

#[test]
fn a_system_without_openat2_is_served_the_same() {
    let Some(ground) = ground() else {
        if !has_strace() {
            return;
        }
        let ground = TempDir::new().unwrap();
        let strace = [
            "strace",
            "-f",
            "-e",
            "trace=openat2",
            "-e",
            "inject=openat2:error=ENOSYS",
            "-o",
            "/dev/null",
        ];
        let test = "order::a_system_without_openat2_is_served_the_same";
        return child(&strace, test, ground.path());
    };
    run(async {
        strangers::links_out_are_not_followed(&ground.join("links")).await;
        acknowledge_everything(&ground.join("srv/registry")).await;
        let storage = open(&ground.join("srv/registry"));
        assert!(read(&storage, &blob(3)).await.unwrap() == pattern(3, 500_000));
        assert_eq!(names(&storage, &Key::repositories()).await, ["team"]);
    });
}

//! Faults of a disk.

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::super::OpenError;
use super::child::{child, ground, skipped};
use super::*;
use crate::config;

pub(super) fn open(root: &Path) -> Storage {
    let root = root.to_path_buf();
    Storage::open(&config::Storage::FileSystem { root }).unwrap()
}

/// Where a key lies on disk; the folder above it is there then.
pub(super) fn place(root: &Path, key: &Key) -> PathBuf {
    let path = root.join(key.as_str());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

pub(super) fn below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flat_map(|entry| {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                below(&entry.path())
            } else {
                vec![entry.path()]
            }
        })
        .collect()
}

pub(super) fn staged(root: &Path) -> Vec<PathBuf> {
    below(&root.join("docker/registry/v2/_staging"))
}

pub(super) fn run(program: &str, arguments: &[&str]) -> bool {
    let done = Command::new(program).args(arguments).output();
    done.is_ok_and(|done| done.status.success())
}

fn system(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error.raw_os_error();
        }
        next = error.source();
    }
    None
}

/// A file system of its own in memory.
struct Mounted(TempDir);

impl Mounted {
    fn new(options: &str) -> Option<Self> {
        let ground = TempDir::new().unwrap();
        let at = ground.path().to_str().unwrap();
        if !run("mount", &["-t", "tmpfs", "-o", options, "none", at]) {
            skipped("this user may not mount a tmpfs");
            return None;
        }
        Some(Self(ground))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, options: &str) {
        let at = self.path().to_str().unwrap();
        let options = format!("remount,{options}");
        assert!(run("mount", &["-o", &options, at]));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &["-l", self.path().to_str().unwrap()]);
    }
}

#[tokio::test]
async fn g7_n55_a_full_disk_keeps_the_old_state_and_recovers() {
    let Some(disk) = Mounted::new("size=1m") else {
        return;
    };
    let storage = open(disk.path());
    write(&storage, &file("v"), "old").await;
    storage.begin(&upload("1"), Bytes::new()).await.unwrap();
    let mut session = storage.resume(&upload("1")).await.unwrap().unwrap();
    session.write(pattern(1, 300_000)).await.unwrap();
    session.save("saved".into()).await.unwrap();
    drop(session);

    let full = storage.write(&file("v"), pattern(1, 2_000_000)).await;
    assert!(matches!(full, Err(Error::Full { .. })), "{full:?}");
    assert_eq!(system(&full.unwrap_err()), Some(28));
    assert_eq!(read(&storage, &file("v")).await.unwrap(), "old");
    assert_eq!(staged(disk.path()), [""; 0].map(PathBuf::from));

    let mut session = storage.resume(&upload("1")).await.unwrap().unwrap();
    let mut full = session.write(pattern(2, 3_000_000)).await;
    if full.is_ok() {
        full = session.save("never".into()).await;
    }
    assert!(matches!(full, Err(Error::Full { .. })), "{full:?}");
    let wrote = session.write("more".into()).await;
    let after = wrote.and(session.save(Bytes::new()).await);
    assert!(after.is_err(), "a broken session takes nothing");
    drop(session);
    // What did not fit is no reason for others to fail.
    write(&storage, &file("w"), pattern(3, 400_000)).await;
    assert_eq!(storage.offset(&upload("1")).await.unwrap(), Some(300_000));
    storage.remove(&file("w")).await.unwrap();

    disk.remount("size=8m");
    let mut session = storage.resume(&upload("1")).await.unwrap().unwrap();
    assert_eq!(
        (session.offset(), &session.state()[..]),
        (300_000, &b"saved"[..])
    );
    session.write(pattern(2, 3_000_000)).await.unwrap();
    session.commit(&blob(1)).await.unwrap();
    let whole = [pattern(1, 300_000), pattern(2, 3_000_000)].concat();
    assert!(read(&storage, &blob(1)).await.unwrap() == whole);
}

#[tokio::test]
async fn g7_n55_a_disk_without_room_for_names_leaves_no_half_upload() {
    let Some(disk) = Mounted::new("size=1m,nr_inodes=13") else {
        return;
    };
    let storage = open(disk.path());
    let mut begun = Vec::new();
    let full = loop {
        let upload = upload(&begun.len().to_string());
        match storage.begin(&upload, Bytes::new()).await {
            Ok(()) => begun.push(upload),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, Error::Full { .. }), "{full:?}");
    let listed = names(&storage, &Key::uploads(&repository())).await;
    assert_eq!(listed.len(), begun.len());
    assert_eq!(staged(disk.path()), [""; 0].map(PathBuf::from));
    // There is no room to set anything aside, and room is made all the same.
    let mut fillers = 0..;
    while fs::write(disk.path().join(format!("{:?}", fillers.next())), "").is_ok() {}
    storage.remove_below(begun[0].folder()).await.unwrap();
    assert_eq!(storage.touched(&begun[0]).await.unwrap(), None);
    storage.begin(&upload("again"), Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn g7_n54_a_read_only_volume_serves_and_refuses() {
    let Some(disk) = Mounted::new("size=1m") else {
        return;
    };
    write(&open(disk.path()), &file("v"), "old").await;
    disk.remount("ro");
    let storage = open(disk.path());
    assert_eq!(read(&storage, &file("v")).await.unwrap(), "old");
    for refused in [
        storage.write(&file("v"), "new".into()).await,
        storage.write(&file("w"), "new".into()).await,
        storage.remove(&file("v")).await.map(drop),
        storage.remove_below(&Key::repositories()).await,
        storage.begin(&upload("1"), Bytes::new()).await,
    ] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, Error::Failed { .. }), "{refused:?}");
        assert_eq!(system(&refused), Some(30), "{refused:?}");
    }
    assert_eq!(read(&storage, &file("v")).await.unwrap(), "old");
    let check = storage.check().await.unwrap_err();
    let text = check.source().unwrap().to_string();
    assert!(text.contains("read-only"), "{text}");
    disk.remount("rw");
    storage.check().await.unwrap();
    write(&storage, &file("v"), "new").await;
}

#[tokio::test]
async fn a_root_that_vanished_or_was_exchanged_does_not_pass_the_check() {
    let ground = TempDir::new().unwrap();
    let root = ground.path().join("r");
    let storage = open(&root);
    storage.check().await.unwrap();
    fs::rename(&root, ground.path().join("away")).unwrap();
    let gone = storage.check().await.unwrap_err();
    let text = gone.source().unwrap().to_string();
    assert!(
        text.contains("is gone") && text.contains(root.to_str().unwrap()),
        "{text}"
    );
    fs::create_dir(&root).unwrap();
    let other = storage.check().await.unwrap_err();
    let text = other.source().unwrap().to_string();
    assert!(text.contains("restart"), "{text}");
}

#[tokio::test]
async fn a_root_that_is_a_link_is_a_root() {
    let ground = TempDir::new().unwrap();
    fs::create_dir(ground.path().join("real")).unwrap();
    symlink("real", ground.path().join("r")).unwrap();
    let storage = open(&ground.path().join("r"));
    write(&storage, &file("v"), "x").await;
    storage.check().await.unwrap();
    assert!(ground.path().join("real/docker").is_dir());
}

#[test]
fn what_cannot_be_a_root_is_refused_by_name() {
    let ground = TempDir::new().unwrap();
    let file = ground.path().join("file");
    fs::write(&file, "x").unwrap();
    let led_out = ground.path().join("led-out");
    fs::create_dir(&led_out).unwrap();
    symlink(ground.path(), led_out.join("docker")).unwrap();
    fs::create_dir_all(ground.path().join("registry/v2")).unwrap();
    for root in [file.clone(), file.join("below"), led_out] {
        let open = Storage::open(&config::Storage::FileSystem { root: root.clone() });
        match open {
            Err(OpenError::Folder { folder, .. }) => assert_eq!(folder, root),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_folder_that_may_not_be_written_to_is_refused() {
    let ground = TempDir::new().unwrap();
    let at = ground.path().to_str().unwrap();
    if !run("chattr", &["+i", at]) {
        return skipped("this file system or user knows no chattr +i");
    }
    let root = ground.path().to_path_buf();
    let open = Storage::open(&config::Storage::FileSystem { root });
    assert!(run("chattr", &["-i", at]));
    assert!(matches!(open, Err(OpenError::Folder { .. })), "{open:?}");
}

#[test]
fn g7_n54_n63_without_descriptors_nothing_is_lost_and_then_all_is_well() {
    let Some(root) = ground() else {
        let ground = TempDir::new().unwrap();
        return child(
            &["sh", "-c", "ulimit -n 64; exec \"$@\"", "--"],
            "faults::g7_n54_n63_without_descriptors_nothing_is_lost_and_then_all_is_well",
            ground.path(),
        );
    };
    child::run(async {
        let storage = open(&root);
        write(&storage, &file("v"), "old").await;
        storage.begin(&upload("1"), "new".into()).await.unwrap();
        let mut taken = Vec::new();
        while let Ok(file) = fs::File::open("/dev/null") {
            taken.push(file);
        }
        // From none to all that a call may need, it works or it changes nothing.
        for _ in 0..8 {
            let failed = |error: &Error| {
                assert_eq!(system(error), Some(24), "{error:?}");
                assert!(matches!(error, Error::Failed { .. }), "{error:?}");
            };
            let _ = storage
                .write(&file("w"), "w".into())
                .await
                .inspect_err(failed);
            let _ = storage.read(&file("v"), 9).await.inspect_err(failed);
            let _ = storage
                .list(&Key::repositories(), None, 9)
                .await
                .inspect_err(failed);
            let _ = storage.resume(&upload("1")).await.inspect_err(failed);
            let begun = storage.begin(&upload("2"), Bytes::new()).await;
            if begun.inspect_err(failed).is_ok() {
                storage.remove_below(upload("2").folder()).await.unwrap();
            }
            taken.pop();
        }
        drop(taken);
        assert_eq!(read(&storage, &file("v")).await.unwrap(), "old");
        assert_eq!(read(&storage, &file("w")).await.unwrap(), "w");
        assert_eq!(names(&storage, &Key::uploads(&repository())).await, ["1"]);
        assert!(storage.resume(&upload("1")).await.unwrap().is_some());
        storage.tidy(Duration::ZERO).await.unwrap();
        assert_eq!(staged(&root), [""; 0].map(PathBuf::from));
    });
}

//! Faults of a disk, and what strangers leave in the folder.

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::super::OpenError;
use super::child::{child, ground, skipped};
use super::*;
use crate::config;

const DEADLINE: Duration = Duration::from_secs(20);

fn open(root: &Path) -> Storage {
    let root = root.to_path_buf();
    Storage::open(&config::Storage::FileSystem { root }).unwrap()
}

/// Where a key lies on disk; the folder above it is there then.
fn place(root: &Path, key: &Key) -> PathBuf {
    let path = root.join(key.as_str());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flat_map(|entry| {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => below(&entry.path()),
                false => vec![entry.path()],
            }
        })
        .collect()
}

fn staged(root: &Path) -> Vec<PathBuf> {
    below(&root.join("docker/registry/v2/_staging"))
}

fn run(program: &str, arguments: &[&str]) -> bool {
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

/// What is no file under a name: each is made at a path, beside a file outside the store.
type Stranger = (&'static str, fn(&Path, &Path));

const STRANGERS: [Stranger; 7] = [
    ("a fifo", |at, _| {
        assert!(run("mkfifo", &[at.to_str().unwrap()]));
    }),
    ("a device", |at, _| {
        // Without the right to make one the fifo stands for it.
        let at = at.to_str().unwrap();
        assert!(run("mknod", &[at, "c", "1", "5"]) || run("mkfifo", &[at]));
    }),
    ("a socket", |at, _| drop(UnixListener::bind(at).unwrap())),
    ("a link out", |at, outside| symlink(outside, at).unwrap()),
    ("a dangling link", |at, _| symlink("nowhere", at).unwrap()),
    ("a link to itself", |at, _| {
        symlink(at.file_name().unwrap(), at).unwrap();
    }),
    ("a folder", |at, _| fs::create_dir(at).unwrap()),
];

#[tokio::test]
async fn what_is_no_file_is_not_opened_and_not_listed() {
    for (what, make) in STRANGERS {
        let ground = TempDir::new().unwrap();
        let (root, outside) = (ground.path().join("r"), ground.path().join("outside"));
        fs::write(&outside, "secret").unwrap();
        let storage = open(&root);
        let key = Key::tags(&repository()).below("odd");
        let at = place(&root, &key);
        make(&at, &outside);
        let looked = async {
            assert_eq!(read(&storage, &key).await, None, "{what}");
            assert_eq!(storage.size(&key).await.unwrap(), None, "{what}");
            let opened = storage.stream(&key, 0..1).await.unwrap();
            assert!(opened.is_none(), "{what}");
            assert!(!storage.remove(&key).await.unwrap(), "{what}");
            if what != "a folder" {
                let names = names(&storage, &Key::tags(&repository())).await;
                assert_eq!(names, [""; 0], "{what}");
            }
        };
        tokio::time::timeout(DEADLINE, looked).await.expect(what);
        assert!(at.symlink_metadata().is_ok(), "{what} was removed");

        let written = storage.write(&key, "mine".into()).await;
        if what == "a folder" {
            assert!(matches!(written, Err(Error::Failed { .. })), "{written:?}");
        } else {
            written.unwrap();
            assert_eq!(read(&storage, &key).await.unwrap(), "mine", "{what}");
        }
        assert_eq!(fs::read_to_string(&outside).unwrap(), "secret", "{what}");
        assert_eq!(staged(&root), [""; 0].map(PathBuf::from), "{what}");
    }
}

#[tokio::test]
async fn the_data_of_an_upload_is_a_file_or_there_is_no_upload() {
    for (what, make) in STRANGERS {
        let ground = TempDir::new().unwrap();
        let (root, outside) = (ground.path().join("r"), ground.path().join("outside"));
        fs::write(&outside, "secret").unwrap();
        let storage = open(&root);
        storage.begin(&upload("1"), "new".into()).await.unwrap();
        let at = place(&root, &upload("1").data());
        fs::remove_file(&at).unwrap();
        make(&at, &outside);
        let key = upload("1");
        let resumed = tokio::time::timeout(DEADLINE, storage.resume(&key)).await;
        assert!(resumed.expect(what).unwrap().is_none(), "{what}");
        assert_eq!(storage.offset(&upload("1")).await.unwrap(), None, "{what}");
        assert!(
            storage.touched(&upload("1")).await.unwrap().is_some(),
            "{what}"
        );
        storage.remove_below(upload("1").folder()).await.unwrap();
        assert_eq!(storage.touched(&upload("1")).await.unwrap(), None, "{what}");
        assert_eq!(fs::read_to_string(&outside).unwrap(), "secret", "{what}");
    }
}

/// A folder of the store that is a link to one outside.
pub(super) async fn links_out_are_not_followed(ground: &Path) {
    let (root, outside) = (ground.join("r"), ground.join("outside"));
    let storage = open(&root);
    write(&storage, &file("v"), "inside").await;
    let theirs = outside.join("tags/v/current/link");
    fs::create_dir_all(theirs.parent().unwrap()).unwrap();
    fs::write(&theirs, "secret").unwrap();
    let manifests = root.join("docker/registry/v2/repositories/team/app/_manifests");
    fs::rename(&manifests, ground.join("kept")).unwrap();
    for target in [
        outside.clone(),
        PathBuf::from("../../../../../../../outside"),
    ] {
        symlink(&target, &manifests).unwrap();
        assert!(
            manifests.join("tags/v/current/link").exists(),
            "the link leads there"
        );
        assert_eq!(read(&storage, &file("v")).await, None);
        assert_eq!(storage.size(&file("v")).await.unwrap(), None);
        assert_eq!(names(&storage, &Key::tags(&repository())).await, [""; 0]);
        assert!(!storage.remove(&file("v")).await.unwrap());
        storage
            .remove_below(&Key::tags(&repository()))
            .await
            .unwrap();
        let written = storage.write(&file("v"), "mine".into()).await;
        assert!(matches!(written, Err(Error::Failed { .. })), "{written:?}");
        assert_eq!(below(&outside), [theirs.clone()]);
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "secret");
        fs::remove_file(&manifests).unwrap();
    }
}

#[tokio::test]
async fn a_folder_that_leads_out_is_not_followed() {
    links_out_are_not_followed(TempDir::new().unwrap().path()).await;
}

#[tokio::test]
async fn a_removed_folder_that_is_a_link_loses_the_link_only() {
    let ground = TempDir::new().unwrap();
    let storage = open(ground.path());
    write(&storage, &file("v"), "x").await;
    let repositories = ground.path().join("docker/registry/v2/repositories");
    symlink("team", repositories.join("alias")).unwrap();
    let alias = RepositoryName::parse("alias/app").unwrap();
    let key = Key::current(&alias, &Tag::parse("v").unwrap());
    assert_eq!(
        read(&storage, &key).await.unwrap(),
        "x",
        "a link within the store leads on"
    );
    assert_eq!(
        names(&storage, &Key::repositories()).await,
        ["alias", "team"]
    );
    storage
        .remove_below(&Key::repositories().below("alias"))
        .await
        .unwrap();
    assert_eq!(names(&storage, &Key::repositories()).await, ["team"]);
    assert_eq!(read(&storage, &file("v")).await.unwrap(), "x");
}

#[tokio::test]
async fn names_that_no_key_can_have_are_not_listed() {
    use std::os::unix::ffi::OsStrExt;
    let ground = TempDir::new().unwrap();
    let storage = open(ground.path());
    write(&storage, &Key::tags(&repository()).below("good"), "x").await;
    let tags = ground.path().join(Key::tags(&repository()).as_str());
    for name in [
        &b"\xff\xfe"[..],
        b"a b",
        b"#recycle",
        b"new\nline",
        "ä".as_bytes(),
        b"~x",
    ] {
        fs::write(tags.join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
    }
    assert_eq!(names(&storage, &Key::tags(&repository())).await, ["good"]);
    // And they are no reason to keep a folder.
    storage
        .remove_below(&Key::tags(&repository()))
        .await
        .unwrap();
    assert!(!tags.exists());
    storage.tidy(Duration::ZERO).await.unwrap();
    assert_eq!(below(ground.path()), [""; 0].map(PathBuf::from));
}

#[tokio::test]
async fn a_hundred_thousand_names_are_listed_in_pages() {
    let ground = TempDir::new().unwrap();
    let storage = open(ground.path());
    let tags = place(ground.path(), &Key::tags(&repository()).below("x"));
    for n in 0..100_000 {
        fs::File::create(tags.with_file_name(format!("t{n:06}"))).unwrap();
    }
    let tags = Key::tags(&repository());
    let page = storage.list(&tags, Some("t054321"), 3).await.unwrap();
    let page: Vec<_> = page.into_iter().map(|entry| entry.name).collect();
    assert_eq!(page, ["t054322", "t054323", "t054324"]);
    assert_eq!(
        storage.list(&tags, None, 200_000).await.unwrap().len(),
        100_000
    );
}

#[tokio::test]
async fn files_and_folders_can_be_read_by_others() {
    let ground = TempDir::new().unwrap();
    let storage = open(&ground.path().join("r"));
    write(&storage, &file("v"), "x").await;
    storage.begin(&upload("1"), Bytes::new()).await.unwrap();
    let session = storage.resume(&upload("1")).await.unwrap().unwrap();
    session.commit(&blob(1)).await.unwrap();
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(umask);
    for file in below(ground.path()) {
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o644 & !umask.as_raw_mode(), "{}", file.display());
        for folder in file
            .ancestors()
            .skip(1)
            .take_while(|it| *it != ground.path())
        {
            let mode = fs::metadata(folder).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o755 & !umask.as_raw_mode(), "{}", folder.display());
        }
    }
}

#[tokio::test]
async fn an_upload_of_registry_2_cannot_be_resumed_and_has_a_time() {
    let ground = TempDir::new().unwrap();
    let storage = open(ground.path());
    let data = place(
        ground.path(),
        &upload("5498b0a1-0000-4000-8000-000000000001").data(),
    );
    fs::write(&data, "some bytes").unwrap();
    fs::write(data.with_file_name("startedat"), "2020-01-01T00:00:00Z").unwrap();
    let upload = upload("5498b0a1-0000-4000-8000-000000000001");
    assert!(storage.resume(&upload).await.unwrap().is_none());
    assert_eq!(storage.offset(&upload).await.unwrap(), None);
    let written = fs::metadata(&data).unwrap().modified().unwrap();
    let touched = storage.touched(&upload).await.unwrap().unwrap();
    assert!(touched >= written && touched <= std::time::SystemTime::now());
    assert_eq!(fs::read_to_string(&data).unwrap(), "some bytes");
}

#[tokio::test]
async fn an_upload_whose_state_is_damaged_says_so() {
    let ground = TempDir::new().unwrap();
    let storage = open(ground.path());
    for (id, file, content) in [
        ("1", "dockgate-state", "nonsense"),
        ("2", "dockgate-state", ""),
        ("3", "data", ""),
    ] {
        storage.begin(&upload(id), Bytes::new()).await.unwrap();
        let mut session = storage.resume(&upload(id)).await.unwrap().unwrap();
        session.write("some bytes".into()).await.unwrap();
        session.save("state".into()).await.unwrap();
        drop(session);
        let folder = ground.path().join(upload(id).folder().as_str());
        fs::write(folder.join(file), content).unwrap();
        let resumed = storage.resume(&upload(id)).await;
        assert!(matches!(resumed, Err(Error::Corrupt { .. })), "{resumed:?}");
        let offset = storage.offset(&upload(id)).await;
        assert!(matches!(offset, Err(Error::Corrupt { .. })), "{offset:?}");
        storage.remove_below(upload(id).folder()).await.unwrap();
        assert_eq!(storage.offset(&upload(id)).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_upload_that_is_removed_under_its_writer_is_not_made_again() {
    let ground = TempDir::new().unwrap();
    let storage = open(ground.path());
    storage.begin(&upload("1"), Bytes::new()).await.unwrap();
    let mut session = storage.resume(&upload("1")).await.unwrap().unwrap();
    session.write("some bytes".into()).await.unwrap();
    storage.remove_below(upload("1").folder()).await.unwrap();
    let saved = session.save(Bytes::new()).await;
    assert!(matches!(saved, Err(Error::Failed { .. })), "{saved:?}");
    assert_eq!(storage.offset(&upload("1")).await.unwrap(), None);
    assert_eq!(below(ground.path()), [""; 0].map(PathBuf::from));
}

#[tokio::test]
async fn tidying_removes_what_is_old_and_keeps_what_is_new() {
    let ground = TempDir::new().unwrap();
    let storage = open(ground.path());
    storage.tidy(Duration::ZERO).await.unwrap();
    let staging = ground.path().join("docker/registry/v2/_staging");
    fs::create_dir_all(staging.join("b/c/d")).unwrap();
    for file in ["a", "b/c/d/e", "b/f"] {
        fs::write(staging.join(file), "x").unwrap();
    }
    let outside = ground.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "x").unwrap();
    symlink(&outside, staging.join("b/link")).unwrap();
    storage.tidy(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(staged(ground.path()).len(), 4);
    storage.tidy(Duration::ZERO).await.unwrap();
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 0);
    assert!(outside.join("kept").exists());
}

#[tokio::test]
async fn a_full_disk_keeps_the_old_state_and_recovers() {
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
async fn a_disk_without_room_for_names_leaves_no_half_upload() {
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
}

#[tokio::test]
async fn a_read_only_volume_serves_and_refuses() {
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
fn without_descriptors_nothing_is_lost_and_then_all_is_well() {
    let Some(root) = ground() else {
        let ground = TempDir::new().unwrap();
        return child(
            &["sh", "-c", "ulimit -n 64; exec \"$@\"", "--"],
            "faults::without_descriptors_nothing_is_lost_and_then_all_is_well",
            ground.path(),
        );
    };
    super::child::run(async {
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

//! What strangers leave in the folder of a store: it is passed over, and nothing outside is touched.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::faults::{below, open, place, run, staged};
use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

/// What is no file under a name: each is made at a path, beside a file outside the store.
type Stranger = (&'static str, fn(&Path, &Path));

const STRANGERS: [Stranger; 8] = [
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
    ("a link to another file of the store", |at, _| {
        let folder = at.parent().unwrap();
        fs::write(folder.with_file_name("other"), "other").unwrap();
        symlink("../other", at).unwrap();
    }),
    ("a dangling link", |at, _| symlink("nowhere", at).unwrap()),
    ("a link to itself", |at, _| {
        symlink(at.file_name().unwrap(), at).unwrap();
    }),
    ("a folder", |at, _| fs::create_dir(at).unwrap()),
];

#[tokio::test]
async fn g6_what_is_no_file_is_not_opened_and_not_listed() {
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
        assert_eq!(below(&outside), std::slice::from_ref(&theirs));
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "secret");
        fs::remove_file(&manifests).unwrap();
    }
}

#[tokio::test]
async fn g6_n41_a_folder_that_leads_out_is_not_followed() {
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
async fn g4_a_hundred_thousand_names_are_listed_in_pages() {
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
    let started = data.with_file_name("startedat");
    fs::write(&data, "some bytes").unwrap();
    fs::write(&started, "2020-01-01T00:00:00Z").unwrap();
    let upload = upload("5498b0a1-0000-4000-8000-000000000001");
    assert!(storage.resume(&upload).await.unwrap().is_none());
    assert_eq!(storage.offset(&upload).await.unwrap(), None);
    assert_eq!(fs::read_to_string(&data).unwrap(), "some bytes");
    // Whichever of its files changed last, that is its time.
    let day = |n: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(n * 86_400);
    for (begun, written, last) in [(1, 2, 2), (4, 3, 4)] {
        for (file, time) in [(&started, begun), (&data, written)] {
            let file = fs::File::options().write(true).open(file).unwrap();
            file.set_modified(day(time)).unwrap();
        }
        let touched = storage.touched(&upload).await.unwrap();
        assert_eq!(touched, Some(day(last)));
    }
    fs::remove_file(&data).unwrap();
    fs::remove_file(&started).unwrap();
    let empty = storage.touched(&upload).await.unwrap().unwrap();
    assert!(empty > day(18_000), "an empty folder has a time too");
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
    for is_under_way in [false, true] {
        let ground = TempDir::new().unwrap();
        let (root, aside) = (ground.path().join("r"), ground.path().join("aside"));
        let storage = open(&root);
        storage.begin(&upload("1"), Bytes::new()).await.unwrap();
        let mut session = storage.resume(&upload("1")).await.unwrap().unwrap();
        session.write("some bytes".into()).await.unwrap();
        if is_under_way {
            // Between the two steps of a removal by another process.
            fs::rename(root.join(upload("1").folder().as_str()), &aside).unwrap();
        } else {
            storage.remove_below(upload("1").folder()).await.unwrap();
        }
        let saved = session.save(Bytes::new()).await;
        assert!(matches!(saved, Err(Error::Failed { .. })), "{saved:?}");
        assert_eq!(storage.offset(&upload("1")).await.unwrap(), None);
        assert_eq!(below(&root), [""; 0].map(PathBuf::from));
    }
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

//! Claims on uploads.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;

use super::super::Session;
use super::*;

/// An upload that was just begun, with the state `new`.
async fn begun(storage: &Storage, id: &str) -> UploadKey {
    let upload = upload(id);
    storage.begin(&upload, "new".into()).await.unwrap();
    upload
}

async fn resume(storage: &Storage, upload: &UploadKey) -> Session {
    storage.resume(upload).await.unwrap().unwrap()
}

/// An upload with bytes that are saved.
async fn saved(storage: &Storage, id: &str, bytes: &Bytes) -> UploadKey {
    let upload = begun(storage, id).await;
    let mut session = resume(storage, &upload).await;
    session.write(bytes.clone()).await.unwrap();
    session.save("saved".into()).await.unwrap();
    upload
}

pub(super) async fn an_upload_begins_empty_with_its_state(storage: &Storage) {
    let upload = begun(storage, "1").await;
    assert_eq!(storage.offset(&upload).await.unwrap(), Some(0));
    let session = resume(storage, &upload).await;
    assert_eq!((session.offset(), &session.state()[..]), (0, &b"new"[..]));
}

pub(super) async fn an_unknown_upload_is_none(storage: &Storage) {
    begun(storage, "1").await;
    let other = upload("2");
    assert!(storage.resume(&other).await.unwrap().is_none());
    assert_eq!(storage.offset(&other).await.unwrap(), None);
    assert_eq!(storage.touched(&other).await.unwrap(), None);
}

pub(super) async fn saved_bytes_and_state_come_back(storage: &Storage) {
    let bytes = pattern(1, 100_001);
    let state = pattern(2, 300);
    let upload = begun(storage, "1").await;
    let mut session = resume(storage, &upload).await;
    session.write(bytes.clone()).await.unwrap();
    assert_eq!(session.offset(), 100_001);
    session.save(state.clone()).await.unwrap();
    drop(session);
    assert_eq!(storage.offset(&upload).await.unwrap(), Some(100_001));
    let mut session = resume(storage, &upload).await;
    assert_eq!((session.offset(), session.state()), (100_001, &state));
    assert!(collect(session.read_back().await.unwrap()).await.unwrap() == bytes);
}

pub(super) async fn unsaved_bytes_are_gone(storage: &Storage) {
    let bytes = pattern(1, 70_000);
    let upload = saved(storage, "1", &bytes).await;
    let mut session = resume(storage, &upload).await;
    // Enough to have reached the disk, and some that has not.
    for seed in 2..12 {
        session.write(pattern(seed, 1_000_000)).await.unwrap();
    }
    drop(session);
    assert_eq!(storage.offset(&upload).await.unwrap(), Some(70_000));
    let mut session = resume(storage, &upload).await;
    assert_eq!(
        (session.offset(), &session.state()[..]),
        (70_000, &b"saved"[..])
    );
    session.write(Bytes::from_static(b"end")).await.unwrap();
    session.commit(&blob(1)).await.unwrap();
    let blob = read(storage, &blob(1)).await.unwrap();
    assert!(blob == [&bytes[..], b"end"].concat());
}

pub(super) async fn an_upload_grows_over_many_sessions(storage: &Storage) {
    let bytes = pattern(9, 60_000);
    let upload = begun(storage, "1").await;
    for (n, piece) in bytes.chunks(7001).enumerate() {
        let mut session = resume(storage, &upload).await;
        assert_eq!(session.offset(), n as u64 * 7001);
        session.write(Bytes::copy_from_slice(piece)).await.unwrap();
        session.save(Bytes::from(n.to_string())).await.unwrap();
    }
    let session = resume(storage, &upload).await;
    assert_eq!(session.state(), "8");
    session.commit(&blob(1)).await.unwrap();
    assert!(read(storage, &blob(1)).await.unwrap() == bytes);
}

pub(super) async fn two_sessions_of_one_upload_are_refused(storage: &Storage) {
    let upload = begun(storage, "1").await;
    let mut first = resume(storage, &upload).await;
    first.write(Bytes::from_static(b"mine")).await.unwrap();
    let second = storage.resume(&upload).await;
    assert!(matches!(second, Err(Error::Busy(_))), "{second:?}");
    first.save(Bytes::new()).await.unwrap();
    let third = storage.resume(&upload).await;
    assert!(matches!(third, Err(Error::Busy(_))), "{third:?}");
    first.commit(&blob(1)).await.unwrap();
    assert_eq!(read(storage, &blob(1)).await.unwrap(), "mine");
}

pub(super) async fn a_session_ends_with_its_value(storage: &Storage) {
    let upload = begun(storage, "1").await;
    for _ in 0..20 {
        let mut session = resume(storage, &upload).await;
        // Work is under way when the session is dropped.
        session.write(pattern(1, 3_000_000)).await.unwrap();
    }
    assert_eq!(resume(storage, &upload).await.offset(), 0);
}

pub(super) async fn the_offset_is_told_while_somebody_writes(storage: &Storage) {
    let upload = saved(storage, "1", &pattern(1, 5000)).await;
    let before = storage.touched(&upload).await.unwrap().unwrap();
    let mut session = resume(storage, &upload).await;
    session.write(pattern(2, 3_000_000)).await.unwrap();
    assert_eq!(storage.offset(&upload).await.unwrap(), Some(5000));
    assert!(storage.touched(&upload).await.unwrap().unwrap() >= before);
    session.save(Bytes::new()).await.unwrap();
    assert_eq!(storage.offset(&upload).await.unwrap(), Some(3_005_000));
}

pub(super) async fn large_writes_arrive_whole(storage: &Storage) {
    let bytes = pattern(4, 40_000_000);
    let upload = begun(storage, "1").await;
    let mut session = resume(storage, &upload).await;
    let (mut at, mut sizes) = (
        0,
        [1, 5_000_000, 65_536, 1_048_576, 3, 16_384].iter().cycle(),
    );
    while at < bytes.len() {
        let end = bytes.len().min(at + sizes.next().unwrap());
        session.write(bytes.slice(at..end)).await.unwrap();
        at = end;
        assert_eq!(session.offset(), at as u64);
    }
    session.commit(&blob(1)).await.unwrap();
    assert!(stream(storage, &blob(1), 0..bytes.len() as u64).await == bytes);
}

pub(super) async fn many_small_writes_arrive_whole(storage: &Storage) {
    let bytes = pattern(4, 3000);
    let upload = begun(storage, "1").await;
    let mut session = resume(storage, &upload).await;
    for at in 0..bytes.len() {
        session.write(bytes.slice(at..=at)).await.unwrap();
        session.write(Bytes::new()).await.unwrap();
    }
    session.save(Bytes::new()).await.unwrap();
    session.commit(&blob(1)).await.unwrap();
    assert!(read(storage, &blob(1)).await.unwrap() == bytes);
}

pub(super) async fn all_bytes_can_be_read_back_saved_or_not(storage: &Storage) {
    let (first, second) = (pattern(1, 6_000_000), pattern(2, 2_500_000));
    let upload = saved(storage, "1", &first).await;
    let mut session = resume(storage, &upload).await;
    session.write(second.clone()).await.unwrap();
    let all = collect(session.read_back().await.unwrap()).await.unwrap();
    assert!(all == [&first[..], &second[..]].concat());
}

pub(super) async fn writing_goes_on_after_reading_back(storage: &Storage) {
    let upload = begun(storage, "1").await;
    let mut session = resume(storage, &upload).await;
    assert_eq!(
        collect(session.read_back().await.unwrap()).await.unwrap(),
        ""
    );
    session.write(Bytes::from_static(b"one ")).await.unwrap();
    assert_eq!(
        collect(session.read_back().await.unwrap()).await.unwrap(),
        "one "
    );
    session.write(Bytes::from_static(b"two")).await.unwrap();
    session.save(Bytes::new()).await.unwrap();
    session.commit(&blob(1)).await.unwrap();
    assert_eq!(read(storage, &blob(1)).await.unwrap(), "one two");
}

pub(super) async fn a_committed_blob_has_all_bytes_and_the_upload_is_gone(storage: &Storage) {
    let bytes = pattern(1, 300_000);
    let upload = saved(storage, "1", &bytes).await;
    resume(storage, &upload)
        .await
        .commit(&blob(1))
        .await
        .unwrap();
    assert!(read(storage, &blob(1)).await.unwrap() == bytes);
    gone(storage, &upload).await;
}

async fn gone(storage: &Storage, upload: &UploadKey) {
    assert!(storage.resume(upload).await.unwrap().is_none());
    assert_eq!(storage.offset(upload).await.unwrap(), None);
    assert_eq!(storage.touched(upload).await.unwrap(), None);
    assert_eq!(names(storage, &Key::uploads(&repository())).await, [""; 0]);
}

pub(super) async fn unsaved_bytes_are_committed_too(storage: &Storage) {
    let (first, second) = (pattern(1, 6_000_000), pattern(2, 12_345_678));
    let upload = saved(storage, "1", &first).await;
    let mut session = resume(storage, &upload).await;
    session.write(second.clone()).await.unwrap();
    session.commit(&blob(1)).await.unwrap();
    assert!(read(storage, &blob(1)).await.unwrap() == [&first[..], &second[..]].concat());
}

pub(super) async fn an_empty_upload_becomes_an_empty_blob(storage: &Storage) {
    let upload = begun(storage, "1").await;
    resume(storage, &upload)
        .await
        .commit(&blob(1))
        .await
        .unwrap();
    assert_eq!(read(storage, &blob(1)).await.unwrap(), "");
    gone(storage, &upload).await;
}

pub(super) async fn a_blob_of_another_length_is_replaced(storage: &Storage) {
    for damaged in ["", "cut", "longer than it should be"] {
        write(storage, &blob(1), damaged).await;
        let upload = saved(storage, "1", &Bytes::from_static(b"right")).await;
        resume(storage, &upload)
            .await
            .commit(&blob(1))
            .await
            .unwrap();
        assert_eq!(read(storage, &blob(1)).await.unwrap(), "right");
        gone(storage, &upload).await;
    }
}

pub(super) async fn one_blob_is_committed_by_many_at_once(storage: &Storage) {
    let bytes = pattern(1, 2_000_000);
    let pushes = (0..8).map(async |n: u8| {
        let upload = begun(storage, &n.to_string()).await;
        let mut session = resume(storage, &upload).await;
        session.write(bytes.clone()).await.unwrap();
        session.commit(&blob(1)).await.unwrap();
        assert!(read(storage, &blob(1)).await.unwrap() == bytes);
    });
    join_all(pushes).await;
    assert_eq!(names(storage, &Key::uploads(&repository())).await, [""; 0]);
}

pub(super) async fn nobody_takes_up_what_is_committed_meanwhile(storage: &Storage) {
    for n in 0..20 {
        let upload = begun(storage, "1").await;
        let mut session = resume(storage, &upload).await;
        session.write(Bytes::from_static(b"whole")).await.unwrap();
        let waiting = async {
            loop {
                match storage.resume(&upload).await {
                    Err(Error::Busy(_)) => tokio::task::yield_now().await,
                    other => return other,
                }
            }
        };
        let blob = blob(n);
        let (taken, committed) = tokio::join!(waiting, session.commit(&blob));
        committed.unwrap();
        assert!(taken.unwrap().is_none());
        assert_eq!(read(storage, &blob).await.unwrap(), "whole");
    }
}

pub(super) async fn a_discarded_upload_is_gone(storage: &Storage) {
    let upload = saved(storage, "1", &pattern(1, 6_000_000)).await;
    let mut session = resume(storage, &upload).await;
    session.write(pattern(1, 3_000_000)).await.unwrap();
    session.discard().await.unwrap();
    gone(storage, &upload).await;
}

pub(super) async fn a_removed_upload_is_gone(storage: &Storage) {
    let upload = saved(storage, "1", &pattern(1, 6_000_000)).await;
    storage.remove_below(upload.folder()).await.unwrap();
    gone(storage, &upload).await;
}

pub(super) async fn touching_moves_the_time(storage: &Storage) {
    let slack = Duration::from_secs(3);
    let start = SystemTime::now();
    let upload = begun(storage, "1").await;
    let begun = storage.touched(&upload).await.unwrap().unwrap();
    assert!(begun + slack >= start && begun <= SystemTime::now() + slack);
    let mut session = resume(storage, &upload).await;
    session.write(Bytes::from_static(b"x")).await.unwrap();
    session.save(Bytes::new()).await.unwrap();
    drop(session);
    assert!(storage.touched(&upload).await.unwrap().unwrap() >= begun);
}

pub(super) async fn uploads_are_listed(storage: &Storage) {
    for id in ["3", "1", "2"] {
        begun(storage, id).await;
    }
    let list = storage
        .list(&Key::uploads(&repository()), Some("1"), 9)
        .await;
    let list: Vec<_> = list
        .unwrap()
        .into_iter()
        .map(|it| (it.name, it.is_folder))
        .collect();
    assert_eq!(list, [("2".to_owned(), true), ("3".to_owned(), true)]);
}

pub(super) async fn uploads_do_not_disturb_each_other(storage: &Storage) {
    let pushes = (1..=8).map(async |n: u8| {
        let bytes = pattern(n.into(), 1_500_000 + usize::from(n));
        let upload = begun(storage, &n.to_string()).await;
        for piece in bytes.chunks(400_000) {
            let mut session = resume(storage, &upload).await;
            session.write(Bytes::copy_from_slice(piece)).await.unwrap();
            session.save(Bytes::new()).await.unwrap();
        }
        resume(storage, &upload)
            .await
            .commit(&blob(n))
            .await
            .unwrap();
        assert!(read(storage, &blob(n)).await.unwrap() == bytes);
    });
    join_all(pushes).await;
}

pub(super) async fn tidying_leaves_uploads_alone(storage: &Storage) {
    let bytes = pattern(1, 6_000_000);
    let upload = saved(storage, "1", &bytes).await;
    storage.tidy(Duration::ZERO).await.unwrap();
    let mut session = resume(storage, &upload).await;
    session.write(pattern(2, 2_000_000)).await.unwrap();
    storage.tidy(Duration::from_secs(3600)).await.unwrap();
    session.commit(&blob(1)).await.unwrap();
    assert_eq!(storage.size(&blob(1)).await.unwrap(), Some(8_000_000));
}

async fn pushed_again(storage: &Storage) -> Bytes {
    write(storage, &blob(1), "first").await;
    let upload = saved(storage, "1", &Bytes::from_static(b"again")).await;
    let session = resume(storage, &upload).await;
    session.commit(&blob(1)).await.unwrap();
    gone(storage, &upload).await;
    read(storage, &blob(1)).await.unwrap()
}

#[tokio::test]
async fn on_disk_a_push_mends_a_damaged_blob_of_the_same_length() {
    let store = stores::filesystem().await.unwrap();
    assert_eq!(pushed_again(&store.storage).await, "again");
}

#[tokio::test]
async fn in_a_bucket_a_blob_of_the_same_length_stays() {
    let store = stores::memory().await.unwrap();
    assert_eq!(pushed_again(&store.storage).await, "first");
}

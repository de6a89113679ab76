//! What the contract of stores does not say: replicas, crashes, bad days.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::StreamExt;
use http::{Method, StatusCode};

use super::super::tests::front::{Deed, Rule, front};
use super::super::tests::stores::s3_bucket;
use super::*;
use crate::oci::{Algorithm, Digest, RepositoryName};

const MIB: usize = 1024 * 1024;

fn upload() -> UploadKey {
    UploadKey::new(&RepositoryName::parse("team/app").unwrap(), "1").unwrap()
}

fn blob() -> Key {
    Key::blob(&Digest::of(Algorithm::Sha256, b"any"))
}

fn open(config: &config::S3) -> Bucket {
    Bucket::open(&config::Storage::S3(config.clone())).unwrap()
}

/// Two processes over one bucket of moto.
fn replicas() -> Option<[Bucket; 2]> {
    let config = s3_bucket()?;
    Some([open(&config), open(&config)])
}

/// A bucket of moto behind a rule.
async fn behind(
    rule: impl Fn(&http::request::Parts) -> Deed + Send + Sync + 'static,
) -> Option<Bucket> {
    let mut config = s3_bucket()?;
    let rule: Rule = Arc::new(rule);
    config.endpoint = Some(front(&config.endpoint?, rule).await);
    Some(open(&config))
}

async fn resume(bucket: &Bucket) -> Session {
    bucket.resume(&upload()).await.unwrap().unwrap()
}

async fn all(bucket: &Bucket, key: &Key) -> Bytes {
    let size = bucket.size(key).await.unwrap().unwrap();
    let mut stream = bucket.stream(key, 0..size).await.unwrap().unwrap();
    let mut bytes = Vec::new();
    while let Some(more) = stream.next().await {
        bytes.extend_from_slice(&more.unwrap());
    }
    bytes.into()
}

fn pattern(length: usize) -> Bytes {
    let bytes = (0_u32..).flat_map(|n| n.wrapping_mul(0x9e37_79b1).to_le_bytes());
    bytes.take(length).collect()
}

/// As if the process died: nothing is given back, and the lease has run out.
async fn die(bucket: &Bucket, session: Session) {
    std::mem::forget(session);
    let key = upload().state();
    let bytes = bucket.read(&key, u64::MAX).await.unwrap().unwrap();
    let mut state: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    state["lease"]["until"] = 1.into();
    bucket.write(&key, state.to_string().into()).await.unwrap();
}

#[tokio::test]
async fn g9_replicas_take_turns_at_one_upload() {
    let Some(replicas) = replicas() else { return };
    let bytes = pattern(18 * MIB);
    replicas[0].begin(&upload(), Bytes::new()).await.unwrap();
    let mut at = 0;
    for (turn, size) in [3, 4, 6, 1, 4].into_iter().enumerate() {
        let mut session = resume(&replicas[turn % 2]).await;
        assert_eq!(session.offset(), at as u64);
        for piece in bytes[at..at + size * MIB].chunks(300_000) {
            session.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        at += size * MIB;
        session.save(Bytes::from(at.to_string())).await.unwrap();
    }
    let session = resume(&replicas[1]).await;
    assert_eq!(session.state(), &at.to_string());
    session.commit(&blob()).await.unwrap();
    assert!(all(&replicas[0], &blob()).await == bytes);
    assert!(replicas[0].resume(&upload()).await.unwrap().is_none());
    assert_eq!(replicas[0].touched(&upload()).await.unwrap(), None);
}

#[tokio::test]
async fn g9_a_replica_keeps_its_hands_off_what_another_one_has() {
    let Some([first, second]) = replicas() else {
        return;
    };
    first.begin(&upload(), Bytes::new()).await.unwrap();
    let mut session = resume(&first).await;
    session.write(Bytes::from_static(b"one")).await.unwrap();
    assert!(matches!(
        second.resume(&upload()).await,
        Err(Error::Busy(_))
    ));
    session.save(Bytes::new()).await.unwrap();
    let mut other = resume(&second).await;
    other.write(Bytes::from_static(b" two")).await.unwrap();
    let late = session.write(Bytes::from_static(b" three")).await;
    assert!(matches!(late, Err(Error::Busy(_))), "{late:?}");
    other.commit(&blob()).await.unwrap();
    assert_eq!(all(&first, &blob()).await, "one two");
}

#[tokio::test]
async fn g9_who_lost_an_upload_can_neither_save_nor_commit() {
    let Some([first, second]) = replicas() else {
        return;
    };
    first.begin(&upload(), Bytes::new()).await.unwrap();
    let bytes = pattern(7 * MIB);
    for commit in [false, true] {
        let mut slow = resume(&first).await;
        let offset = slow.offset();
        slow.write(pattern(6 * MIB + 1)).await.unwrap();
        let key = upload().state();
        let state = first.read(&key, u64::MAX).await.unwrap().unwrap();
        let state = String::from_utf8(state.to_vec()).unwrap();
        let until = state.split("\"until\":").nth(1).unwrap();
        let until: String = until.chars().take_while(char::is_ascii_digit).collect();
        second
            .write(&key, state.replace(&until, "1").into())
            .await
            .unwrap();
        let mut quick = resume(&second).await;
        assert_eq!(quick.offset(), offset);
        quick.write(bytes.clone()).await.unwrap();
        quick.save(Bytes::new()).await.unwrap();
        let lost = if commit {
            slow.commit(&blob()).await
        } else {
            slow.save(Bytes::new()).await
        };
        assert!(matches!(lost, Err(Error::Busy(_))), "{lost:?}");
    }
    assert_eq!(first.size(&blob()).await.unwrap(), None);
    resume(&first).await.commit(&blob()).await.unwrap();
    assert!(all(&first, &blob()).await == [&bytes[..], &bytes[..]].concat());
}

#[tokio::test]
async fn g8_n52_a_crash_between_the_steps_of_an_end_loses_nothing() {
    let Some([first, second]) = replicas() else {
        return;
    };
    let bytes = pattern(12 * MIB);
    first.begin(&upload(), Bytes::new()).await.unwrap();
    let mut session = resume(&first).await;
    session.write(bytes.slice(..11 * MIB)).await.unwrap();
    session.save(Bytes::from_static(b"11")).await.unwrap();
    session.write(bytes.slice(11 * MIB..)).await.unwrap();
    // The parts are one object, which is longer than what was saved.
    session.begin_work().unwrap();
    session.seal().await.unwrap();
    die(&first, session).await;
    let mut session = resume(&second).await;
    assert_eq!(
        (session.offset(), &session.state()[..]),
        (11 * MIB as u64, &b"11"[..])
    );
    session.write(bytes.slice(11 * MIB..)).await.unwrap();
    session.save(Bytes::from_static(b"12")).await.unwrap();
    // Again, and this time all was saved.
    session.begin_work().unwrap();
    session.seal().await.unwrap();
    die(&second, session).await;
    let session = Bucket::over_same(&first)
        .resume(&upload())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&session.state()[..], b"12");
    session.commit(&blob()).await.unwrap();
    assert!(all(&first, &blob()).await == bytes);
}

#[tokio::test]
async fn parts_that_nobody_will_complete_are_tidied_away() {
    let Some([first, second]) = replicas() else {
        return;
    };
    first.begin(&upload(), Bytes::new()).await.unwrap();
    let mut session = resume(&first).await;
    session.write(pattern(6 * MIB)).await.unwrap();
    session.save(Bytes::new()).await.unwrap();
    drop(session);
    second.tidy(Duration::ZERO).await.unwrap();
    let mut session = resume(&second).await;
    session.write(pattern(6 * MIB)).await.unwrap();
    session.save(Bytes::new()).await.unwrap();
    drop(session);
    let unfinished = async || {
        let copy::Copying::Parts(requests) = &first.backend.copying else {
            panic!()
        };
        requests.unfinished("", None).await.unwrap().uploads.len()
    };
    assert_eq!(unfinished().await, 1);
    first.remove_below(upload().folder()).await.unwrap();
    assert_eq!(unfinished().await, 1);
    // Of whatever age: moto says of all that they are of 2010.
    second.tidy(Duration::ZERO).await.unwrap();
    assert_eq!(unfinished().await, 0);
}

#[tokio::test]
async fn g10_n57_a_store_that_stumbles_is_asked_again() {
    let count = AtomicU32::new(0);
    let stumbling = move |_: &http::request::Parts| match count.fetch_add(1, Ordering::Relaxed) % 3
    {
        0 => Deed::Answer(
            StatusCode::SERVICE_UNAVAILABLE,
            "<Error><Code>SlowDown</Code></Error>",
        ),
        1 => Deed::Answer(StatusCode::INTERNAL_SERVER_ERROR, ""),
        _ => Deed::Pass,
    };
    let Some(bucket) = behind(stumbling).await else {
        return;
    };
    let bytes = pattern(6 * MIB);
    bucket.check().await.unwrap();
    bucket.begin(&upload(), Bytes::new()).await.unwrap();
    let mut session = resume(&bucket).await;
    session.write(bytes.clone()).await.unwrap();
    session.save(Bytes::new()).await.unwrap();
    session.commit(&blob()).await.unwrap();
    assert!(all(&bucket, &blob()).await == bytes);
    assert!(bucket.remove(&blob()).await.unwrap());
}

#[tokio::test]
async fn g10_n57_a_state_whose_answer_was_lost_is_still_ours() {
    let count = AtomicU32::new(0);
    let losing = move |parts: &http::request::Parts| {
        let conditional = parts.headers.contains_key("if-match");
        if conditional && count.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            Deed::PassAndAnswer(StatusCode::BAD_GATEWAY)
        } else {
            Deed::Pass
        }
    };
    let Some(bucket) = behind(losing).await else {
        return;
    };
    bucket.begin(&upload(), Bytes::new()).await.unwrap();
    for n in 1..4 {
        let mut session = resume(&bucket).await;
        session.write(Bytes::from_static(b"x")).await.unwrap();
        session.save(Bytes::new()).await.unwrap();
        assert_eq!(bucket.offset(&upload()).await.unwrap(), Some(n));
    }
}

#[tokio::test]
async fn a_store_without_conditional_writes_will_do() {
    let refusing = |parts: &http::request::Parts| match parts.headers.get("if-match") {
        Some(_) => Deed::Answer(
            StatusCode::BAD_REQUEST,
            "<Error><Code>NotImplemented</Code></Error>",
        ),
        None => Deed::Pass,
    };
    let Some(bucket) = behind(refusing).await else {
        return;
    };
    bucket.begin(&upload(), Bytes::new()).await.unwrap();
    let mut session = resume(&bucket).await;
    session.write(Bytes::from_static(b"bytes")).await.unwrap();
    session.save(Bytes::new()).await.unwrap();
    drop(session);
    resume(&bucket).await.commit(&blob()).await.unwrap();
    assert_eq!(all(&bucket, &blob()).await, "bytes");
}

#[tokio::test]
async fn g10_n57_an_answer_that_breaks_off_is_gone_on_with() {
    let cutting = |parts: &http::request::Parts| match parts.method {
        Method::GET => Deed::Cut(700_000),
        _ => Deed::Pass,
    };
    let Some(bucket) = behind(cutting).await else {
        return;
    };
    let bytes = pattern(3 * MIB);
    bucket.write(&blob(), bytes.clone()).await.unwrap();
    assert!(all(&bucket, &blob()).await == bytes);
}

#[tokio::test]
async fn g10_n57_an_answer_without_a_byte_never_ends_well() {
    let cutting = |parts: &http::request::Parts| match parts.method {
        Method::GET => Deed::Cut(0),
        _ => Deed::Pass,
    };
    let Some(bucket) = behind(cutting).await else {
        return;
    };
    bucket.write(&blob(), pattern(1000)).await.unwrap();
    let read = bucket.read(&blob(), 10_000).await;
    assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
}

#[tokio::test]
async fn g10_refusals_say_why_and_betray_nothing() {
    const BODY: &str = "<Error><Code>ExpiredToken</Code><Message>The token has expired.</Message>\
        <Token-0>s3cr3t-token</Token-0></Error>";
    let refusing = |_: &http::request::Parts| Deed::Answer(StatusCode::FORBIDDEN, BODY);
    let Some(bucket) = behind(refusing).await else {
        return;
    };
    for error in [
        bucket.check().await.unwrap_err(),
        bucket.read(&blob(), 9).await.unwrap_err(),
        bucket.write(&blob(), Bytes::new()).await.unwrap_err(),
        bucket.tidy(Duration::ZERO).await.unwrap_err(),
        bucket.remove_below(upload().folder()).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        let said = std::error::Error::source(&error).unwrap().to_string();
        assert!(said.contains("the bucket `bucket-"), "{said}");
        assert!(
            said.contains("ExpiredToken: The token has expired.; renew"),
            "{said}"
        );
        assert!(
            !format!("{error:?} {bucket:?}").contains("s3cr3t"),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn g10_a_bucket_that_is_missing_is_named() {
    let Some(mut config) = s3_bucket() else {
        return;
    };
    config.bucket = "no-such-bucket".into();
    let bucket = open(&config);
    for error in [
        bucket.check().await.unwrap_err(),
        bucket.read(&blob(), 9).await.unwrap_err(),
        bucket.begin(&upload(), Bytes::new()).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        let said = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            said.contains("`no-such-bucket`") && said.contains("create it"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_presigned_address_gives_the_bytes() {
    let Some([bucket, _]) = replicas() else {
        return;
    };
    bucket
        .write(&blob(), Bytes::from_static(b"bytes"))
        .await
        .unwrap();
    let url = bucket
        .presigned(&blob(), Duration::from_secs(60))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        super::super::tests::emulators::request("GET", &url, &[], ""),
        200
    );
    assert!(
        url.contains("X-Amz-Expires=60") && !url.contains("s3cr3t"),
        "{url}"
    );
}

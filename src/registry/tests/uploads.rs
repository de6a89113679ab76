use futures_util::StreamExt;

use super::*;

async fn begin(room: &Room) -> String {
    room.registry.begin_upload(&name("a"), ann()).await.unwrap()
}

async fn append(room: &Room, id: &str, chunk: Chunk, frames: ByteSource<'_>) -> Result<u64, Error> {
    room.registry.append(&name("a"), id, chunk, frames).await
}

async fn close(
    room: &Room,
    id: &str,
    frames: ByteSource<'_>,
    digest: &Digest,
) -> Result<(), Error> {
    let registry = &room.registry;
    registry
        .close(&name("a"), id, Chunk::default(), frames, digest)
        .await
}

async fn offset(room: &Room, id: &str) -> u64 {
    room.registry.upload_offset(&name("a"), id).await.unwrap()
}

#[tokio::test]
async fn chunks_become_a_blob() {
    let room = Room::new();
    let id = begin(&room).await;
    assert_eq!(offset(&room, &id).await, 0);
    assert_eq!(
        append(&room, &id, range(0, 3), body(&[b"ab", b"cd"]))
            .await
            .unwrap(),
        4
    );
    assert_eq!(
        append(&room, &id, Chunk::default(), body(&[b"ef"]))
            .await
            .unwrap(),
        6
    );
    assert_eq!(
        append(&room, &id, Chunk::default(), body(&[]))
            .await
            .unwrap(),
        6
    );
    assert_eq!(offset(&room, &id).await, 6);
    let digest = sha256(b"abcdefgh");
    assert!(!room.has_blob("a", &digest).await);
    close(&room, &id, body(&[b"gh"]), &digest).await.unwrap();
    assert_eq!(room.read("a", &digest).await, b"abcdefgh");
    let again = close(&room, &id, body(&[]), &digest).await;
    assert!(matches!(again, Err(Error::UploadUnknown)));
}

#[tokio::test]
async fn another_process_goes_on_where_one_stopped() {
    let room = Room::new();
    let id = begin(&room).await;
    append(&room, &id, range(0, 2), body(&[b"abc"]))
        .await
        .unwrap();
    let other = room.another();
    let at = &name("a");
    assert_eq!(
        other
            .append(at, &id, range(3, 4), body(&[b"de"]))
            .await
            .unwrap(),
        5
    );
    let digest = sha256(b"abcdef");
    close(&room, &id, body(&[b"f"]), &digest).await.unwrap();
    assert!(other.blob(at, &digest).await.is_ok());
}

#[tokio::test]
async fn a_chunk_out_of_order_is_told_where_to_go_on_and_changes_nothing() {
    let room = Room::new();
    let id = begin(&room).await;
    append(&room, &id, range(0, 4), body(&[b"abcde"]))
        .await
        .unwrap();
    for (first, last) in [(0, 4), (4, 5), (6, 7), (1 << 40, 1 << 41)] {
        let out = append(&room, &id, range(first, last), body(&[b"xy"])).await;
        assert!(
            matches!(out, Err(Error::OutOfOrder { offset: 5 })),
            "{first}"
        );
    }
    let (at, digest) = (&name("a"), &sha256(b"abcxy"));
    let last = room
        .registry
        .close(at, &id, range(3, 4), body(&[b"xy"]), digest);
    assert!(matches!(last.await, Err(Error::OutOfOrder { offset: 5 })));
    assert_eq!(offset(&room, &id).await, 5);
    close(&room, &id, body(&[]), &sha256(b"abcde"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_chunk_of_another_length_than_was_said_changes_nothing() {
    let room = Room::new();
    let id = begin(&room).await;
    append(&room, &id, Chunk::default(), body(&[b"abc"]))
        .await
        .unwrap();
    let long = vec![b'x'; 600_000];
    let chunk = |range, length| Chunk { range, length };
    for (chunk, frames) in [
        (range(3, 5), body(&[b"xy"])),
        (range(3, 5), body(&[b"wxyz"])),
        (range(3, 5), body(&[&long])),
        (range(3, 2), body(&[])),
        (range(3, u64::MAX), body(&[b"x"])),
        (chunk(Some((3, 4)), Some(3)), body(&[b"xy"])),
        (chunk(None, Some(3)), body(&[b"xy"])),
        (chunk(None, Some(1)), body(&[b"xy"])),
    ] {
        let out = append(&room, &id, chunk, frames).await;
        assert!(matches!(out, Err(Error::SizeMismatch)), "{chunk:?} {out:?}");
        assert_eq!(offset(&room, &id).await, 3);
    }
    close(&room, &id, body(&[]), &sha256(b"abc")).await.unwrap();
}

#[tokio::test]
async fn a_body_that_breaks_off_is_kept_to_the_last_byte_that_came() {
    let room = Room::new();
    let id = begin(&room).await;
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let (first, second, third) = (
        &content[..800_001],
        &content[800_001..800_004],
        &content[800_004..],
    );
    let out = append(
        &room,
        &id,
        range(0, 1_199_999),
        cut(&[&first[..5], &first[5..]]),
    )
    .await;
    assert!(matches!(out, Err(Error::Client(ClientFault::Gone))));
    assert_eq!(offset(&room, &id).await, 800_001);
    let digest = sha256(&content);
    let out = close(&room, &id, cut(&[second]), &digest).await;
    assert!(matches!(out, Err(Error::Client(_))));
    assert_eq!(offset(&room, &id).await, 800_004);
    close(&room, &id, body(&[third]), &digest).await.unwrap();
    assert_eq!(room.read("a", &digest).await, content);
}

#[tokio::test]
async fn a_body_that_fails_for_another_reason_counts_as_a_client_that_went_away() {
    let room = Room::new();
    let id = begin(&room).await;
    let broken = stream::iter([Ok(Bytes::from("ab")), Err(BoxError::from("anything"))]).boxed();
    let out = append(&room, &id, Chunk::default(), broken).await;
    assert!(matches!(out, Err(Error::Client(ClientFault::Gone))));
    assert_eq!(offset(&room, &id).await, 2);
}

#[tokio::test]
async fn a_wrong_digest_ends_the_upload_and_links_nothing() {
    let room = Room::new();
    let id = begin(&room).await;
    append(&room, &id, Chunk::default(), body(&[b"abc"]))
        .await
        .unwrap();
    for wrong in [sha256(b"abd"), sha512(b"abd")] {
        let id = begin(&room).await;
        append(&room, &id, Chunk::default(), body(&[b"abc"]))
            .await
            .unwrap();
        let out = close(&room, &id, body(&[]), &wrong).await;
        assert!(matches!(out, Err(Error::DigestMismatch)));
        let gone = room.registry.upload_offset(&name("a"), &id).await;
        assert!(matches!(gone, Err(Error::UploadUnknown)));
    }
    assert!(!room.path("repositories/a/_layers").exists());
    close(&room, &id, body(&[]), &sha256(b"abc")).await.unwrap();
}

#[tokio::test]
async fn a_sha512_that_was_not_expected_is_made_by_reading_again() {
    let room = Room::new();
    let long: Vec<u8> = vec![7; 900_000];
    let whole = [&b"abc"[..], &long].concat();
    let digest = sha512(&whole);
    let id = begin(&room).await;
    append(&room, &id, Chunk::default(), body(&[b"abc"]))
        .await
        .unwrap();
    close(&room, &id, body(&[&long]), &digest).await.unwrap();
    assert_eq!(room.read("a", &digest).await, whole);
    assert_eq!(room.read("a", &sha256(&whole)).await, whole);
}

#[tokio::test]
async fn a_sha512_that_broke_off_goes_on() {
    let room = Room::new();
    let id = begin(&room).await;
    let digest = sha512(b"abcdef");
    close(&room, &id, cut(&[b"abc"]), &digest)
        .await
        .unwrap_err();
    close(&room, &id, body(&[b"def"]), &digest).await.unwrap();
    assert_eq!(room.read("a", &digest).await, b"abcdef");
}

#[tokio::test]
async fn one_writer_at_a_time() {
    let room = Room::new();
    let id = begin(&room).await;
    let (send, receive) = tokio::sync::mpsc::channel::<Bytes>(1);
    let slow = stream::unfold(receive, async |mut receive| {
        receive.recv().await.map(|frame| (Ok(frame), receive))
    });
    let first = append(&room, &id, Chunk::default(), slow.boxed());
    let second = async {
        send.send(Bytes::from("abc")).await.unwrap();
        let out = append(&room, &id, Chunk::default(), body(&[b"xyz"])).await;
        assert!(matches!(out, Err(Error::UploadBusy)), "{out:?}");
        let other = room.another();
        let out = other
            .append(&name("a"), &id, Chunk::default(), body(&[b"xyz"]))
            .await;
        assert!(matches!(out, Err(Error::UploadBusy)), "{out:?}");
        let out = room.registry.cancel_upload(&name("a"), &id).await;
        assert!(matches!(out, Err(Error::UploadBusy)), "{out:?}");
        assert_eq!(offset(&room, &id).await, 0);
        drop(send);
    };
    let (first, ()) = tokio::join!(first, second);
    assert_eq!(first.unwrap(), 3);
    close(&room, &id, body(&[]), &sha256(b"abc")).await.unwrap();
}

#[tokio::test]
async fn an_upload_is_known_in_its_own_repository_only_and_by_its_own_id() {
    let room = Room::new();
    let id = begin(&room).await;
    assert_eq!(id.len(), 36);
    for (repository, id) in [("b", id.as_str()), ("a", "0"), ("a", "../a"), ("a", "")] {
        let (registry, at) = (&room.registry, &name(repository));
        let unknown = |out: Result<(), Error>| assert!(matches!(out, Err(Error::UploadUnknown)));
        unknown(registry.upload_offset(at, id).await.map(drop));
        unknown(
            registry
                .append(at, id, Chunk::default(), body(&[b"x"]))
                .await
                .map(drop),
        );
        unknown(
            registry
                .close(at, id, Chunk::default(), body(&[]), &sha256(b""))
                .await,
        );
        unknown(registry.cancel_upload(at, id).await);
    }
    room.registry.cancel_upload(&name("a"), &id).await.unwrap();
    let out = append(&room, &id, Chunk::default(), body(&[b"x"])).await;
    assert!(matches!(out, Err(Error::UploadUnknown)));
}

#[tokio::test]
async fn closing_what_is_there_already_is_fine() {
    let room = Room::new();
    room.push_blob("b", b"abc").await;
    for _ in 0..2 {
        let id = begin(&room).await;
        close(&room, &id, body(&[b"abc"]), &sha256(b"abc"))
            .await
            .unwrap();
    }
    assert_eq!(room.read("a", &sha256(b"abc")).await, b"abc");
}

#[tokio::test]
async fn no_two_uploads_have_one_id() {
    let room = Room::new();
    let mut ids = std::collections::HashSet::new();
    for _ in 0..20 {
        let id = begin(&room).await;
        let parts: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(id.as_bytes()[14], b'8', "{id}");
        assert!(
            matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'),
            "{id}"
        );
        assert!(ids.insert(id));
    }
}

/// A state of another program, of another length, or none.
#[tokio::test]
async fn an_upload_that_cannot_be_trusted_begins_anew() {
    let room = Room::new();
    let (registry, at) = (&room.registry, &name("a"));
    for state in [&b"sha\x03"[..], b"", &sha256(b"").as_str().as_bytes()[..40]] {
        let id = begin(&room).await;
        let upload = storage::UploadKey::new(at, &id).unwrap();
        let mut session = registry.storage.resume(&upload).await.unwrap().unwrap();
        session.write(Bytes::from("abc")).await.unwrap();
        session.save(Bytes::copy_from_slice(state)).await.unwrap();
        drop(session);
        let out = append(&room, &id, Chunk::default(), body(&[b"x"])).await;
        assert!(matches!(out, Err(Error::UploadUnknown)), "{out:?}");
        let out = close(&room, &id, body(&[]), &sha256(b"abc")).await;
        assert!(matches!(out, Err(Error::UploadUnknown)), "{out:?}");
        registry.cancel_upload(at, &id).await.unwrap();
    }
    let id = begin(&room).await;
    let upload = storage::UploadKey::new(at, &id).unwrap();
    let mut session = registry.storage.resume(&upload).await.unwrap().unwrap();
    let state = session.state().clone();
    session.write(Bytes::from("abc")).await.unwrap();
    session.save(state).await.unwrap();
    drop(session);
    let out = close(&room, &id, body(&[]), &sha256(b"")).await;
    assert!(matches!(out, Err(Error::UploadUnknown)), "{out:?}");
}

/// As when the process ends: nobody is told that the body broke off.
#[tokio::test]
async fn a_long_chunk_is_saved_on_the_way() {
    let room = Room::new();
    let id = begin(&room).await;
    let content = vec![7; 5 << 18];
    let endless = body(&[&content]).chain(stream::pending()).boxed();
    let saved = async {
        while offset(&room, &id).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        end = append(&room, &id, Chunk::default(), endless) => panic!("{end:?}"),
        saved = tokio::time::timeout(Duration::from_secs(60), saved) => saved.unwrap(),
    }
    assert_eq!(offset(&room, &id).await, 5 << 18);
    close(
        &room,
        &id,
        body(&[b"x"]),
        &sha256(&[&content[..], b"x"].concat()),
    )
    .await
    .unwrap();
}

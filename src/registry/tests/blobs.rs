use super::*;

#[tokio::test]
async fn a_blob_comes_back_as_it_was_pushed() {
    let room = Room::new();
    let content: Vec<u8> = (0..700_000_u32).flat_map(u32::to_le_bytes).collect();
    let digest = sha256(&content);
    let frames: Vec<&[u8]> = content.chunks(10_007).collect();
    let put = room.put_blob("a/b", &digest, Some(2_800_000), body(&frames));
    put.await.unwrap();
    assert_eq!(room.read("a/b", &digest).await, content);
    let blob = room.registry.blob(&name("a/b"), &digest).await.unwrap();
    let some: Vec<Bytes> = room
        .registry
        .read_blob(&blob, 5..9)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(some.concat(), content[5..9]);
    assert_eq!(room.registry.blob_address(&blob).await.unwrap(), None);
}

#[tokio::test]
async fn a_link_is_the_digest_and_nothing_else() {
    let room = Room::new();
    let digest = room.push_blob("a", b"content").await;
    let link = room.link(&format!("repositories/a/_layers/sha256/{}", digest.hex()));
    assert_eq!(link.unwrap(), digest.as_str());
}

#[tokio::test]
async fn a_blob_without_bytes_is_a_blob() {
    let room = Room::new();
    let digest = room.push_blob("a", b"").await;
    assert_eq!(room.read("a", &digest).await, b"");
}

#[tokio::test]
async fn a_blob_of_another_repository_is_unknown_here() {
    let room = Room::new();
    let digest = room.push_blob("private", b"secret").await;
    assert!(!room.has_blob("public", &digest).await);
    assert!(!room.has_blob("private/below", &digest).await);
}

#[tokio::test]
async fn nothing_is_kept_of_a_body_that_is_not_what_was_said() {
    let room = Room::new();
    let (registry, at) = (&room.registry, &name("a"));
    let digest = sha256(b"right");
    let put = registry.put_blob(at, ann(), &digest, None, body(&[b"wrong"]));
    assert!(matches!(put.await, Err(Error::DigestMismatch)));
    for length in [4, 6] {
        let put = registry.put_blob(at, ann(), &digest, Some(length), body(&[b"right"]));
        assert!(matches!(put.await, Err(Error::SizeMismatch)), "{length}");
    }
    let put = registry.put_blob(at, ann(), &digest, None, cut(&[b"right"]));
    assert!(matches!(put.await, Err(Error::Client(ClientFault::Gone))));
    assert!(!room.has_blob("a", &digest).await);
    let left = std::fs::read_dir(room.path("repositories/a/_uploads")).unwrap();
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn a_blob_is_known_by_sha512_and_by_sha256_when_it_was_pushed_by_sha512() {
    let room = Room::new();
    let digest = sha512(b"content");
    let put = room.put_blob("a", &digest, None, body(&[b"con", b"tent"]));
    put.await.unwrap();
    let canonical = sha256(b"content");
    for digest in [&digest, &canonical] {
        assert_eq!(room.read("a", digest).await, b"content");
        let folder = format!(
            "repositories/a/_layers/{}",
            digest.as_str().replace(':', "/")
        );
        assert_eq!(room.link(&folder).unwrap(), canonical.as_str());
    }
    let blob = room.registry.blob(&name("a"), &digest).await.unwrap();
    assert_eq!(blob.digest, digest);
    let wrong = room.put_blob("a", &digest, None, body(&[b"other"]));
    assert!(matches!(wrong.await, Err(Error::DigestMismatch)));
}

#[tokio::test]
async fn a_mount_needs_the_source_to_have_it() {
    let room = Room::new();
    let digest = room.push_blob("source", b"content").await;
    let mount = |to: &'static str, from: &'static str| {
        let (room, digest) = (&room, &digest);
        async move {
            room.registry
                .mount(&name(to), digest, &name(from))
                .await
                .unwrap()
        }
    };
    assert!(!mount("target", "other").await);
    assert!(!room.has_blob("target", &digest).await);
    assert!(mount("target", "source").await);
    assert_eq!(room.read("target", &digest).await, b"content");
    std::fs::remove_dir_all(room.path("blobs")).unwrap();
    assert!(!mount("third", "source").await);
}

#[tokio::test]
async fn a_mount_by_sha512_gives_both_names() {
    let room = Room::new();
    let (long, short) = (sha512(b"x"), sha256(b"x"));
    room.put_blob("a", &long, None, body(&[b"x"]))
        .await
        .unwrap();
    assert!(
        room.registry
            .mount(&name("b"), &long, &name("a"))
            .await
            .unwrap()
    );
    assert!(room.has_blob("b", &long).await && room.has_blob("b", &short).await);
}

#[tokio::test]
async fn a_read_only_registry_refuses_every_write_and_serves() {
    let room = Room::new();
    let digest = room.push_blob("a", b"content").await;
    let id = room.registry.begin_upload(&name("a"), ann()).await.unwrap();
    let room = room.with(|config| config.read_only = true);
    let (registry, at) = (&room.registry, &name("a"));
    let refused = |result: Result<(), Error>| assert!(matches!(result, Err(Error::Unsupported(_))));
    refused(registry.begin_upload(at, ann()).await.map(drop));
    refused(
        registry
            .append(at, &id, Chunk::default(), body(&[b"x"]))
            .await
            .map(drop),
    );
    refused(
        registry
            .close(at, &id, Chunk::default(), body(&[]), &sha256(b""))
            .await,
    );
    refused(
        registry
            .put_blob(at, ann(), &digest, None, body(&[b"content"]))
            .await,
    );
    refused(registry.mount(&name("b"), &digest, at).await.map(drop));
    refused(registry.cancel_upload(at, &id).await);
    refused(registry.delete_blob(at, &digest).await);
    refused(room.try_push("a", "1", None, "{}").await.map(drop));
    refused(room.delete("a", "1").await);
    let swept = registry.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(swept, Swept::default());
    assert_eq!(room.read("a", &digest).await, b"content");
    assert_eq!(registry.upload_offset(at, &id).await.unwrap(), 0);
}

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[tokio::test]
async fn by_tag_the_tag_alone_goes() {
    let room = Room::new();
    let digest = room.push_image("a", "1", "layer").await;
    room.push_image("a", "2", "layer").await;
    room.delete("a", "1").await.unwrap();
    assert!(matches!(
        room.pull("a", "1").await,
        Err(Error::ManifestUnknown)
    ));
    assert_eq!(room.pull("a", "2").await.unwrap().digest, digest);
    assert!(matches!(
        room.delete("a", "1").await,
        Err(Error::ManifestUnknown)
    ));
    assert!(matches!(
        room.delete("b", "2").await,
        Err(Error::ManifestUnknown)
    ));
}

#[tokio::test]
async fn by_digest_the_manifest_goes_with_every_tag_that_stands_for_it_now() {
    let room = Room::new();
    let old = room.push_image("a", "moved", "old").await;
    let new = room.push_image("a", "moved", "new").await;
    for tag in ["x", "y", "z"] {
        room.push_image("a", tag, "old").await;
    }
    room.push_image("b", "x", "old").await;
    room.delete("a", old.as_str()).await.unwrap();
    for by in ["x", "y", "z", old.as_str()] {
        assert!(
            matches!(room.pull("a", by).await, Err(Error::ManifestUnknown)),
            "{by}"
        );
    }
    assert_eq!(
        room.registry.tags(&name("a"), None, 10).await.unwrap(),
        ["moved"]
    );
    assert_eq!(room.pull("a", "moved").await.unwrap().digest, new);
    assert_eq!(room.pull("b", "x").await.unwrap().digest, old);
    assert!(matches!(
        room.delete("a", old.as_str()).await,
        Err(Error::ManifestUnknown)
    ));
    assert!(room.has_blob("a", &sha256(b"old")).await);
    room.push_image("a", "x", "old").await;
    assert_eq!(room.pull("a", "x").await.unwrap().digest, old);
}

#[tokio::test]
async fn a_manifest_of_two_names_goes_by_either() {
    let room = Room::new();
    for by_long in [true, false] {
        let bytes = room.image("a", "layer").await;
        let (long, short) = (sha512(bytes.as_bytes()), sha256(bytes.as_bytes()));
        room.push("a", long.as_str(), &bytes).await;
        room.push("a", "1", &bytes).await;
        room.delete("a", if by_long { &long } else { &short }.as_str())
            .await
            .unwrap();
        for by in ["1", long.as_str(), short.as_str()] {
            assert!(
                matches!(room.pull("a", by).await, Err(Error::ManifestUnknown)),
                "{by}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_damaged_or_without_bytes_can_be_deleted() {
    let room = Room::new();
    let damaged = room.push_image("a", "damaged", "one").await;
    let gone = room.push_image("a", "gone", "two").await;
    let data = |d: &Digest| format!("blobs/sha256/{}/{}/data", &d.hex()[..2], d.hex());
    room.write(&data(&damaged), "damaged");
    std::fs::remove_file(room.path(&data(&gone))).unwrap();
    for digest in [damaged, gone] {
        room.delete("a", digest.as_str()).await.unwrap();
    }
    assert!(
        room.registry
            .tags(&name("a"), None, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_blob_goes_from_its_repository_and_stays_in_others() {
    let room = Room::new();
    let digest = room.push_blob("a", b"content").await;
    room.push_blob("b", b"content").await;
    room.registry
        .delete_blob(&name("a"), &digest)
        .await
        .unwrap();
    assert!(!room.has_blob("a", &digest).await);
    assert_eq!(room.read("b", &digest).await, b"content");
    let again = room.registry.delete_blob(&name("a"), &digest).await;
    assert!(matches!(again, Err(Error::BlobUnknown)));
    assert!(
        !room
            .registry
            .mount(&name("c"), &digest, &name("a"))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn nothing_is_deleted_where_that_is_switched_off() {
    let room = Room::new();
    let manifest = room.push_image("a", "1", "layer").await;
    let room = room.with(|config| config.delete = false);
    for by in ["1", manifest.as_str(), "unknown"] {
        assert!(
            matches!(room.delete("a", by).await, Err(Error::Unsupported(_))),
            "{by}"
        );
    }
    let layer = sha256(b"layer");
    let out = room.registry.delete_blob(&name("a"), &layer).await;
    assert!(matches!(out, Err(Error::Unsupported(_))));
    assert!(room.pull("a", "1").await.is_ok());
    room.push_image("a", "2", "other").await;
}

/// In one process: whoever comes last, a tag that is set stands for something.
#[tokio::test(flavor = "multi_thread")]
async fn pushes_and_deletions_of_one_manifest_never_leave_a_tag_without_it() {
    let room = Room::new();
    let bytes = room.image("a", "layer").await;
    let digest = sha256(bytes.as_bytes());
    for n in 0..12 {
        let pushing = AtomicBool::new(true);
        let push = async {
            room.push("a", &n.to_string(), &bytes).await;
            pushing.store(false, Ordering::Relaxed);
        };
        let deletions = async {
            while pushing.load(Ordering::Relaxed) {
                match room.delete("a", digest.as_str()).await {
                    Ok(()) | Err(Error::ManifestUnknown) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        };
        tokio::join!(push, deletions);
        let set = room.registry.tags(&name("a"), None, 100).await.unwrap();
        for tag in set {
            assert!(room.pull("a", &tag).await.is_ok(), "{tag}");
        }
    }
}

//! The same registry over memory, which stands for a bucket.

use super::*;

impl Room {
    fn in_memory() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = settings(&folder);
        config.storage = config::Storage::Memory;
        let registry = Registry::open(&config).unwrap();
        Self { registry, folder }
    }
}

#[tokio::test]
async fn a_push_in_pieces_is_pulled_listed_and_deleted() {
    let room = Room::in_memory();
    let (registry, at) = (&room.registry, &name("a"));
    registry.check().await.unwrap();
    let id = registry.begin_upload(at, ann()).await.unwrap();
    let content: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
    let (first, second) = content.split_at(1_300_001);
    let out = registry
        .append(at, &id, Chunk::default(), cut(&[first]))
        .await;
    assert!(matches!(out, Err(Error::Client(_))), "{out:?}");
    assert_eq!(registry.upload_offset(at, &id).await.unwrap(), 1_300_001);
    let out = registry.append(at, &id, range(0, 1), body(&[b"xy"])).await;
    assert!(
        matches!(out, Err(Error::OutOfOrder { offset: 1_300_001 })),
        "{out:?}"
    );
    let digest = sha512(&content);
    registry
        .close(at, &id, Chunk::default(), body(&[second]), &digest)
        .await
        .unwrap();
    assert_eq!(room.read("a", &digest).await, content);
    assert_eq!(room.read("a", &sha256(&content)).await, content);

    let old = room.push_image("a", "1", "old").await;
    let new = room.push_image("a", "2", "new").await;
    room.push_image("a-b", "1", "new").await;
    room.push_image("a/b", "1", "new").await;
    assert_eq!(room.pull("a", "1").await.unwrap().digest, old);
    assert_eq!(registry.tags(at, None, 10).await.unwrap(), ["1", "2"]);
    assert_eq!(registry.tags(at, Some("1"), 10).await.unwrap(), ["2"]);
    let names = registry.catalog(None, 10, &|_| true).await.unwrap();
    assert_eq!(names, ["a", "a-b", "a/b"]);
    let names = registry.catalog(Some("a-b"), 10, &|_| true).await.unwrap();
    assert_eq!(names, ["a/b"]);
    room.delete("a", old.as_str()).await.unwrap();
    room.delete("a", "2").await.unwrap();
    assert_eq!(registry.tags(at, None, 10).await.unwrap(), [""; 0]);
    assert!(matches!(
        room.pull("a", "1").await,
        Err(Error::ManifestUnknown)
    ));
    assert!(room.pull("a", new.as_str()).await.is_ok());
    registry.delete_blob(at, &digest).await.unwrap();
    assert!(!room.has_blob("a", &digest).await);
}

#[tokio::test]
async fn referrers_and_sweeps_work_alike() {
    let room = Room::in_memory();
    let (registry, at) = (&room.registry, &name("a"));
    let subject = room.push_image("a", "1", "layer").await;
    let mut index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []});
    index["subject"] = json!({"digest": subject.as_str(), "size": 1});
    let referrer = room.push("a", "2", &index.to_string()).await;
    let found = registry
        .referrers(at, &subject, None, None, 10)
        .await
        .unwrap();
    assert_eq!(found.descriptors[0].digest, referrer.as_str());
    let id = registry.begin_upload(at, ann()).await.unwrap();
    let swept = registry.sweep(Duration::from_secs(3600)).await.unwrap();
    let left = Swept {
        uploads: 0,
        open: 1,
    };
    assert_eq!(swept, left);
    assert_eq!(
        registry.sweep(Duration::ZERO).await.unwrap(),
        Swept {
            uploads: 1,
            open: 0
        }
    );
    let gone = registry.upload_offset(at, &id).await;
    assert!(matches!(gone, Err(Error::UploadUnknown)));
    assert!(room.pull("a", "1").await.is_ok());
}

#[tokio::test]
async fn other_switches_over_the_same_store_keep_what_is_in_it() {
    let room = Room::in_memory();
    room.push_image("a", "1", "layer").await;
    let mut config = room.registry.config.clone();
    config.read_only = true;
    assert!(!room.registry.is_made_of(&config));
    let other = room.registry.with_switches(&config).unwrap();
    assert!(other.is_made_of(&config));
    assert!(other.manifest(&name("a"), &reference("1")).await.is_ok());
    config.storage = settings(&room.folder).storage;
    assert!(other.with_switches(&config).is_none());
}

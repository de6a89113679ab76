//! What volumes hold that registry:2 wrote and its garbage collector went through.

use super::*;

fn data(digest: &Digest) -> String {
    format!("blobs/sha256/{}/{}/data", &digest.hex()[..2], digest.hex())
}

/// Content and its link in a repository, as registry:2 would have put them.
fn plant(room: &Room, folder: &str, bytes: &[u8]) -> Digest {
    let digest = sha256(bytes);
    room.write(&data(&digest), bytes);
    room.write(
        &format!("repositories/old/{folder}/sha256/{}/link", digest.hex()),
        digest.as_str(),
    );
    digest
}

#[tokio::test]
async fn what_registry_2_wrote_is_served() {
    let room = Room::new();
    let layer = plant(&room, "_layers", b"layer");
    let bytes = room.image("new", "layer").await;
    let manifest = plant(&room, "_manifests/revisions", bytes.as_bytes());
    room.write(
        "repositories/old/_manifests/tags/1/current/link",
        manifest.as_str(),
    );
    assert_eq!(room.read("old", &layer).await, b"layer");
    let pulled = room.pull("old", "1").await.unwrap();
    assert_eq!(pulled.content(), bytes.as_bytes());
    let names = room.registry.catalog(None, 10, &|_| true).await.unwrap();
    assert_eq!(names, ["new", "old"]);
}

#[tokio::test]
async fn a_link_to_nothing_is_unknown() {
    let room = Room::new();
    let layer = plant(&room, "_layers", b"layer");
    let manifest = plant(
        &room,
        "_manifests/revisions",
        room.image("x", "y").await.as_bytes(),
    );
    room.write(
        "repositories/old/_manifests/tags/1/current/link",
        manifest.as_str(),
    );
    std::fs::remove_file(room.path(&data(&layer))).unwrap();
    std::fs::remove_file(room.path(&data(&manifest))).unwrap();
    assert!(!room.has_blob("old", &layer).await);
    for by in ["1", manifest.as_str()] {
        assert!(
            matches!(room.pull("old", by).await, Err(Error::ManifestUnknown)),
            "{by}"
        );
    }
    // It is none of our business to clean up.
    assert!(
        room.path(&format!(
            "repositories/old/_layers/sha256/{}/link",
            layer.hex()
        ))
        .exists()
    );
    assert_eq!(
        room.registry.tags(&name("old"), None, 10).await.unwrap(),
        ["1"]
    );
}

#[tokio::test]
async fn a_tag_whose_manifest_the_repository_has_no_more_is_unknown() {
    let room = Room::new();
    let bytes = room.image("old", "x").await;
    room.push("other", "1", &{ room.image("other", "x").await })
        .await;
    room.write(
        "repositories/old/_manifests/tags/1/current/link",
        sha256(bytes.as_bytes()).as_str(),
    );
    assert!(matches!(
        room.pull("old", "1").await,
        Err(Error::ManifestUnknown)
    ));
}

#[tokio::test]
async fn a_link_that_says_something_else_is_unknown() {
    let room = Room::new();
    let layer = plant(&room, "_layers", b"layer");
    let other = plant(&room, "_layers", b"other");
    let bytes = room.image("old", "x").await;
    let manifest = plant(&room, "_manifests/revisions", bytes.as_bytes());
    let long = "x".repeat(1 << 20);
    let line = format!("{layer}\n");
    for content in [
        "",
        "sha256:abc",
        &long,
        &line,
        other.as_str(),
        sha512(b"layer").as_str(),
        "\u{fffd}\0",
    ] {
        room.write(
            &format!("repositories/old/_layers/sha256/{}/link", layer.hex()),
            content,
        );
        assert!(!room.has_blob("old", &layer).await, "{content:.20}");
        room.write(
            &format!(
                "repositories/old/_manifests/revisions/sha256/{}/link",
                manifest.hex()
            ),
            content,
        );
        room.write("repositories/old/_manifests/tags/1/current/link", content);
        for by in ["1", manifest.as_str()] {
            let out = room.pull("old", by).await;
            assert!(
                matches!(out, Err(Error::ManifestUnknown)),
                "{by} {content:.20}: {out:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_damaged_manifest_is_an_error_that_names_the_file_and_never_served() {
    let room = Room::new();
    let manifest = plant(
        &room,
        "_manifests/revisions",
        room.image("x", "y").await.as_bytes(),
    );
    // A manifest in its own right, and not this one.
    room.write(&data(&manifest), room.image("x", "z").await);
    let error = room.pull("old", manifest.as_str()).await.unwrap_err();
    assert!(error.to_string().contains(&data(&manifest)), "{error}");
    let nothing = plant(&room, "_manifests/revisions", b"no manifest");
    let error = room.pull("old", nothing.as_str()).await.unwrap_err();
    assert!(matches!(error, Error::Storage(_)), "{error}");
    // Pushed again, it is whole again.
    room.push("old", "1", &room.image("old", "y").await).await;
    assert!(room.pull("old", manifest.as_str()).await.is_ok());
}

#[tokio::test]
async fn an_alias_that_stands_for_other_bytes_is_never_served_as_a_manifest() {
    let room = Room::new();
    let manifest = plant(
        &room,
        "_manifests/revisions",
        room.image("x", "y").await.as_bytes(),
    );
    let wrong = sha512(b"something else");
    room.write(
        &format!(
            "repositories/old/_manifests/revisions/sha512/{}/link",
            wrong.hex()
        ),
        manifest.as_str(),
    );
    let out = room.pull("old", wrong.as_str()).await;
    assert!(matches!(out, Err(Error::Storage(_))), "{out:?}");
}

#[tokio::test]
async fn an_index_is_served_though_children_are_missing() {
    let room = Room::new();
    let gone = sha256(b"gone");
    let index = json!({"schemaVersion": 2, "manifests": [{"mediaType": OCI_MANIFEST, "digest": gone.as_str(), "size": 1}]});
    let index = plant(&room, "_manifests/revisions", index.to_string().as_bytes());
    assert_eq!(
        room.pull("old", index.as_str()).await.unwrap().media_type,
        OCI_INDEX
    );
}

#[tokio::test]
async fn the_type_of_what_others_accepted_is_found_as_they_find_it() {
    let room = Room::new();
    let signed = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    for (bytes, media_type) in [
        (
            r#"{"schemaVersion":1,"fsLayers":[],"signatures":[{}]}"#,
            signed,
        ),
        (
            r#"{"schemaVersion":1,"fsLayers":[]}"#,
            "application/vnd.docker.distribution.manifest.v1+json",
        ),
        (
            r#"{"schemaVersion":2,"config":{},"layers":[]}"#,
            OCI_MANIFEST,
        ),
        (r#"{"schemaVersion":2,"manifests":[]}"#, OCI_INDEX),
        (
            r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json"}"#,
            "application/vnd.docker.distribution.manifest.list.v2+json",
        ),
        (
            r#"{"schemaVersion":2,"config":7,"config":{},"layers":"x","annotations":[1]}"#,
            OCI_MANIFEST,
        ),
    ] {
        let manifest = plant(&room, "_manifests/revisions", bytes.as_bytes());
        let pulled = room.pull("old", manifest.as_str()).await.unwrap();
        assert_eq!(
            (pulled.media_type.as_str(), pulled.content()),
            (media_type, bytes.as_bytes())
        );
    }
}

#[tokio::test]
async fn a_tag_of_which_history_alone_is_left_is_none() {
    let room = Room::new();
    let manifest = room.push_image("old", "1", "x").await;
    let history = format!(
        "repositories/old/_manifests/tags/2/index/sha256/{}/link",
        manifest.hex()
    );
    room.write(&history, manifest.as_str());
    assert!(matches!(
        room.pull("old", "2").await,
        Err(Error::ManifestUnknown)
    ));
    assert!(matches!(
        room.delete("old", "2").await,
        Err(Error::ManifestUnknown)
    ));
    assert_eq!(
        room.registry.tags(&name("old"), None, 10).await.unwrap(),
        ["1"]
    );
    assert!(room.path(&history).exists());
}

#[tokio::test]
async fn an_alias_of_registry_2_is_followed() {
    let room = Room::new();
    let layer = plant(&room, "_layers", b"layer");
    let long = sha512(b"layer");
    room.write(
        &format!("repositories/old/_layers/sha512/{}/link", long.hex()),
        layer.as_str(),
    );
    assert_eq!(room.read("old", &long).await, b"layer");
}

use super::*;

fn descriptor(media_type: &str, digest: &Digest, size: usize) -> serde_json::Value {
    json!({"mediaType": media_type, "digest": digest.as_str(), "size": size})
}

fn why(result: Result<Stored, Error>) -> String {
    match result {
        Err(Error::ManifestInvalid(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn missing(result: Result<Stored, Error>) -> Vec<Digest> {
    match result {
        Err(Error::ManifestReferences(missing)) => missing,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_manifest_comes_back_byte_for_byte_by_tag_and_by_digest() {
    let room = Room::new();
    let bytes = format!(" {}\n", room.image("a", "layer").await);
    let stored = room
        .try_push("a", "1", Some(OCI_MANIFEST), &bytes)
        .await
        .unwrap();
    let digest = sha256(bytes.as_bytes());
    assert_eq!(
        stored,
        Stored {
            digest: digest.clone(),
            subject: None
        }
    );
    for by in ["1", digest.as_str()] {
        let manifest = room.pull("a", by).await.unwrap();
        assert_eq!(manifest.content(), bytes.as_bytes());
        assert_eq!(manifest.digest, digest);
        assert_eq!(manifest.media_type, OCI_MANIFEST);
    }
    for (repository, by) in [("a", "2"), ("b", "1"), ("b", digest.as_str()), ("a/b", "1")] {
        let out = room.pull(repository, by).await;
        assert!(
            matches!(out, Err(Error::ManifestUnknown)),
            "{repository} {by}"
        );
    }
}

#[tokio::test]
async fn the_links_are_those_of_registry_2() {
    let room = Room::new();
    let digest = room.push_image("a", "1", "layer").await;
    let hex = digest.hex();
    for folder in [
        format!("revisions/sha256/{hex}"),
        "tags/1/current".to_owned(),
        format!("tags/1/index/sha256/{hex}"),
    ] {
        let link = room.link(&format!("repositories/a/_manifests/{folder}"));
        assert_eq!(link.as_deref(), Some(digest.as_str()), "{folder}");
    }
    assert!(
        room.path(&format!("blobs/sha256/{}/{hex}/data", &hex[..2]))
            .is_file()
    );
}

#[tokio::test]
async fn a_tag_moves_and_its_history_stays() {
    let room = Room::new();
    let old = room.push_image("a", "1", "old").await;
    let new = room.push_image("a", "1", "new").await;
    assert_eq!(room.pull("a", "1").await.unwrap().digest, new);
    assert!(room.pull("a", old.as_str()).await.is_ok());
    let history = format!(
        "repositories/a/_manifests/tags/1/index/sha256/{}",
        old.hex()
    );
    assert!(room.link(&history).is_some());
}

#[tokio::test]
async fn a_manifest_by_digest_has_no_tag_and_has_to_have_the_digest() {
    let room = Room::new();
    let bytes = room.image("a", "layer").await;
    let wrong = sha256(b"other");
    let out = room.try_push("a", wrong.as_str(), None, &bytes).await;
    assert!(matches!(out, Err(Error::DigestMismatch)));
    let digest = sha256(bytes.as_bytes());
    assert_eq!(room.push("a", digest.as_str(), &bytes).await, digest);
    assert!(room.pull("a", digest.as_str()).await.is_ok());
    assert!(!room.path("repositories/a/_manifests/tags").exists());
}

#[tokio::test]
async fn a_manifest_by_sha512_is_known_by_both_digests() {
    let room = Room::new();
    let bytes = room.image("a", "layer").await;
    let (long, short) = (sha512(bytes.as_bytes()), sha256(bytes.as_bytes()));
    let wrong = sha512(b"other");
    let out = room.try_push("a", wrong.as_str(), None, &bytes).await;
    assert!(matches!(out, Err(Error::DigestMismatch)));
    assert_eq!(room.push("a", long.as_str(), &bytes).await, long);
    for digest in [&long, &short] {
        let manifest = room.pull("a", digest.as_str()).await.unwrap();
        assert_eq!(
            (&manifest.digest, manifest.content()),
            (digest, bytes.as_bytes())
        );
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX,
        "manifests": [descriptor(OCI_MANIFEST, &long, bytes.len())]});
    room.push("a", "index", &index.to_string()).await;
}

#[tokio::test]
async fn the_type_is_what_header_and_document_agree_upon() {
    let room = Room::new();
    let typed = room.image("a", "layer").await;
    let mut document: serde_json::Value = serde_json::from_str(&typed).unwrap();
    document.as_object_mut().unwrap().remove("mediaType");
    let bare = document.to_string();
    document["mediaType"] = DOCKER_MANIFEST.into();
    let docker = document.to_string();
    for (sent, bytes, served) in [
        (Some(OCI_MANIFEST), &typed, OCI_MANIFEST),
        (
            Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"),
            &typed,
            OCI_MANIFEST,
        ),
        (None, &typed, OCI_MANIFEST),
        (Some(""), &typed, OCI_MANIFEST),
        (Some(OCI_MANIFEST), &bare, OCI_MANIFEST),
        (Some(DOCKER_MANIFEST), &docker, DOCKER_MANIFEST),
    ] {
        room.try_push("a", "1", sent, bytes).await.unwrap();
        assert_eq!(room.pull("a", "1").await.unwrap().media_type, served);
    }
    for (sent, bytes, says) in [
        (None, &bare, "media type is not known"),
        (Some(DOCKER_MANIFEST), &typed, "calls itself"),
        (Some(OCI_INDEX), &bare, "does not look like one"),
        (Some(DOCKER_MANIFEST), &bare, "does not look like one"),
        (Some("application/json"), &typed, "none of the Docker"),
        (
            Some("application/vnd.docker.distribution.manifest.v1+json"),
            &typed,
            "schema 1",
        ),
        (
            Some("application/vnd.docker.distribution.manifest.v1+prettyjws"),
            &bare,
            "schema 1",
        ),
    ] {
        let why = why(room.try_push("b", "1", sent, bytes).await);
        assert!(why.contains(says), "{sent:?}: {why}");
    }
    assert!(!room.path("repositories/b").exists());
}

#[tokio::test]
async fn every_blob_that_is_missing_is_named_once() {
    let room = Room::new();
    let there = room.push_blob("a", b"there").await;
    let elsewhere = room.push_blob("b", b"elsewhere").await;
    let never = sha512(b"never");
    let bytes = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": descriptor("x/y", &elsewhere, 9),
        "layers": [descriptor("x/y", &there, 5), descriptor("x/y", &never, 5), descriptor("x/y", &elsewhere, 9)]});
    let out = room.try_push("a", "1", None, &bytes.to_string()).await;
    assert_eq!(missing(out), [elsewhere, never]);
    assert!(!room.path("repositories/a/_manifests").exists());
}

#[tokio::test]
async fn layers_that_lie_elsewhere_need_not_be_there() {
    let room = Room::new();
    let config = room.push_blob("a", b"{}").await;
    let far = sha256(b"far");
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let private = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    let linked =
        json!({"mediaType": "x/y", "digest": far.as_str(), "size": 3, "urls": ["https://far/x"]});
    let image = |layers: serde_json::Value| {
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(EMPTY, &config, 2), "layers": layers})
            .to_string()
    };
    let layers = json!([
        descriptor(foreign, &far, 3),
        descriptor(private, &far, 3),
        linked
    ]);
    room.push("a", "1", &image(layers)).await;
    let layers = json!([{"mediaType": "x/y", "digest": far.as_str(), "size": 3, "urls": []}]);
    let out = room.try_push("a", "1", None, &image(layers)).await;
    assert_eq!(missing(out), [far]);
}

#[tokio::test]
async fn artifacts_without_layers_are_fine() {
    let room = Room::new();
    let config = room.push_blob("a", b"{}").await;
    for layers in [
        json!([]),
        json!(null),
        json!([descriptor(EMPTY, &config, 2)]),
    ] {
        let bytes = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "x/y",
            "config": descriptor(EMPTY, &config, 2), "layers": layers});
        room.push("a", "1", &bytes.to_string()).await;
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []});
    room.push("a", "2", &index.to_string()).await;
}

#[tokio::test]
async fn the_children_of_an_index_have_to_be_in_the_repository() {
    let room = Room::new();
    let here = room.push_image("a", "child", "here").await;
    let elsewhere = room.push_image("b", "child", "elsewhere").await;
    let index = |children: &[&Digest]| {
        let children: Vec<_> = children
            .iter()
            .map(|d| descriptor(OCI_MANIFEST, d, 1))
            .collect();
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}).to_string()
    };
    let out = room
        .try_push("a", "1", None, &index(&[&here, &elsewhere]))
        .await;
    assert_eq!(missing(out), [elsewhere]);
    room.push("a", "1", &index(&[&here])).await;
    assert_eq!(room.pull("a", "1").await.unwrap().media_type, OCI_INDEX);
    // A cache of BuildKit: an index of layers.
    let layer = room.push_blob("a", b"a layer of a cache").await;
    room.push("a", "cache", &index(&[&layer])).await;
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_in_a_sentence() {
    let room = Room::new();
    let config = room.push_blob("a", b"{}").await;
    let digest = config.as_str();
    let layer = format!(r#"{{"digest":"{digest}","size":1}}"#);
    let image = |fields: &str| {
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{layer}{fields}}}"#)
    };
    let many = vec![layer.as_str(); 100_000].join(",");
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    for (bytes, says) in [
        (String::new(), "malformed"),
        ("[]".to_owned(), "malformed"),
        ("{".to_owned(), "malformed"),
        (image("") + "{}", "malformed"),
        (
            image(&format!(r#","layers":[{many}]"#)),
            "more than 8192 references",
        ),
        (image(&format!(r#","x":{deep}"#)), "nested deeper"),
        (image(&format!(r#","config":{layer}"#)), "duplicate field"),
        (image(r#","layers":[],"layers":[]"#), "duplicate field"),
        (image(r#","Layers":[]"#), "ambiguous"),
        (image(r#","layerſ":[]"#), "ambiguous"),
        (image(&format!(r#","manifests":[{layer}]"#)), "ambiguous"),
        (
            image(r#","layers":[{"digest":"sha256:abc","size":1}]"#),
            "sha256:abc",
        ),
        (
            image(&format!(r#","layers":[{{"digest":"{digest}","size":-1}}]"#)),
            "malformed",
        ),
        (
            image(&format!(
                r#","layers":[{{"digest":"{digest}","size":1.5}}]"#
            )),
            "malformed",
        ),
        (
            image(&format!(
                r#","layers":[{{"digest":"{digest}","size":18446744073709551615}}]"#
            )),
            "malformed",
        ),
        (
            image(&format!(r#","layers":[{{"digest":"{digest}"}}]"#)),
            "missing field `size`",
        ),
        (image(r#","subject":{"digest":"md5:0","size":1}"#), "md5:0"),
        (image(r#","annotations":{"a":1}"#), "malformed"),
        (image("").replace(":2,", ":1,"), "schemaVersion"),
        (
            image("").replace("\"schemaVersion\":2,", ""),
            "schemaVersion",
        ),
        (image("").replace("\"config\"", "\"other\""), "no config"),
        (
            format!(
                r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[],"config":{layer}}}"#
            ),
            "ambiguous",
        ),
    ] {
        let why = why(room.try_push("a", "1", None, &bytes).await);
        let head: String = bytes.chars().take(300).collect();
        assert!(why.contains(says), "{head}: {why}");
    }
    let latin = Bytes::from_static(b"{\"mediaType\":\"\xfc\"}");
    let (registry, at) = (&room.registry, &name("a"));
    let out = registry
        .put_manifest(at, &reference("1"), None, latin)
        .await;
    assert!(why(out).contains("UTF-8"));
    assert!(!room.path("repositories/a/_manifests").exists());
}

#[tokio::test]
async fn a_tag_never_stands_for_what_could_not_be_kept() {
    let room = Room::new();
    let bytes = room.image("a", "layer").await;
    let digest = sha256(bytes.as_bytes());
    room.write("repositories/a/_manifests/tags", "in the way");
    let out = room.try_push("a", "1", None, &bytes).await;
    assert!(matches!(out, Err(Error::Storage(_))), "{out:?}");
    let pulled = room.pull("a", digest.as_str()).await.unwrap();
    assert_eq!(pulled.content(), bytes.as_bytes());

    let bytes = room.image("b", "other").await;
    room.write("repositories/b/_manifests/revisions", "in the way");
    let out = room.try_push("b", "1", None, &bytes).await;
    assert!(matches!(out, Err(Error::Storage(_))), "{out:?}");
    assert!(!room.path("repositories/b/_manifests/tags").exists());
}

#[tokio::test]
async fn pushes_of_one_tag_at_the_same_time_leave_one_of_them() {
    let room = Room::new();
    let mut images = Vec::new();
    for seed in 0..8 {
        images.push(room.image("a", &format!("layer {seed}")).await);
    }
    let pushes = images.iter().map(|bytes| room.push("a", "1", bytes));
    let digests = futures_util::future::join_all(pushes).await;
    assert!(digests.contains(&room.pull("a", "1").await.unwrap().digest));
    for digest in digests {
        assert!(room.pull("a", digest.as_str()).await.is_ok());
    }
}

/// One that is large is not kept: it is read as it is taken, and what changes meanwhile never looks whole.
#[tokio::test]
async fn n38_n47_a_large_manifest_is_streamed_and_checked_while_it_is() {
    let room = Room::new();
    let note = "x".repeat(200_000);
    let text = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "annotations": { "note": note } });
    let text = text.to_string();
    let digest = room.push("a", "1", &text).await;
    for reference in ["1", digest.as_str()] {
        let manifest = room.pull("a", reference).await.unwrap();
        assert_eq!(
            (manifest.length, manifest.bytes.as_ref()),
            (text.len() as u64, None)
        );
        assert_eq!(room.sent(manifest).await.unwrap(), text.as_bytes());
    }
    let manifest = room.pull("a", "1").await.unwrap();
    room.write(
        Key::blob(&digest)
            .as_str()
            .trim_start_matches("docker/registry/v2/"),
        text.replace("xxx", "xyx"),
    );
    assert!(room.sent(manifest).await.is_err());
}

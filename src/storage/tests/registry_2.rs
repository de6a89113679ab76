//! One bucket, two programs: registry:2 itself and our store.

use std::process::Command;

use serde_json::json;

use super::emulators::{ask, peer, run};
use super::stores::s3_bucket;
use super::*;
use crate::config;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The real registry over a bucket of moto; `None` where one of them is not here, which has been said.
fn registry(config: &config::S3) -> Option<String> {
    if !peer("docker-registry") {
        return None;
    }
    let config = json!({
        "version": "0.1",
        "http": {"addr": "127.0.0.1:0"},
        "storage": {
            "delete": {"enabled": true},
            "s3": {
                "bucket": config.bucket,
                "region": config.region,
                "regionendpoint": config.endpoint,
                "forcepathstyle": true,
                "accesskey": config.access_key,
                "secretkey": config.secret_key.as_ref().map(|key| key.expose_text().into_owned()),
                "rootdirectory": config.root,
            }
        }
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    // JSON is YAML too.
    std::fs::write(&file, config.to_string()).unwrap();
    let address = run(Command::new("docker-registry")
        .arg("serve")
        .arg(file.path()));
    Some(address)
}

fn digest(bytes: &[u8]) -> Digest {
    use sha2::Digest as _;
    Digest::of(Algorithm::Sha256, &sha2::Sha256::digest(bytes))
}

fn manifest(blob: &Digest, size: usize) -> String {
    let descriptor =
        |kind: &str| json!({"mediaType": kind, "digest": blob.to_string(), "size": size});
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar")],
    })
    .to_string()
}

#[tokio::test]
async fn what_registry_2_wrote_to_a_bucket_is_there() {
    let Some(config) = s3_bucket() else { return };
    let Some(address) = registry(&config) else {
        return;
    };
    let bytes = "{\"some\": \"bytes\"}";
    let blob = digest(bytes.as_bytes());
    let uploads = format!("{address}/v2/team/app/blobs/uploads/");
    let (status, head, _) = ask("POST", &uploads, &[], "");
    assert_eq!(status, 202);
    let place = head
        .lines()
        .find_map(|line| line.strip_prefix("Location: "))
        .unwrap();
    let left = Storage::open(&config::Storage::S3(config.clone())).unwrap();
    let id = place
        .split('/')
        .next_back()
        .unwrap()
        .split('?')
        .next()
        .unwrap();
    let begun = upload(id);
    assert!(left.touched(&begun).await.unwrap().is_some());
    assert!(left.resume(&begun).await.unwrap().is_none());
    let put = format!("{place}&digest={blob}");
    assert_eq!(
        ask(
            "PUT",
            &put,
            &[("Content-Type", "application/octet-stream")],
            bytes
        )
        .0,
        201
    );
    let image = manifest(&blob, bytes.len());
    let put = format!("{address}/v2/team/app/manifests/1.0");
    assert_eq!(
        ask("PUT", &put, &[("Content-Type", MANIFEST)], &image).0,
        201
    );

    let storage = Storage::open(&config::Storage::S3(config)).unwrap();
    let (name, tag) = (repository(), Tag::parse("1.0").unwrap());
    let current = read(&storage, &Key::current(&name, &tag)).await.unwrap();
    assert_eq!(current, digest(image.as_bytes()).to_string());
    assert_eq!(
        read(&storage, &Key::blob(&digest(image.as_bytes())))
            .await
            .unwrap(),
        image
    );
    assert_eq!(read(&storage, &Key::blob(&blob)).await.unwrap(), bytes);
    assert_eq!(
        read(&storage, &Key::layer(&name, &blob)).await.unwrap(),
        blob.to_string()
    );
    assert_eq!(names(&storage, &Key::tags(&name)).await, ["1.0"]);
    assert_eq!(names(&storage, &Key::repositories()).await, ["team"]);
}

#[tokio::test]
async fn what_we_wrote_to_a_bucket_is_served_by_registry_2() {
    let Some(config) = s3_bucket() else { return };
    let Some(address) = registry(&config) else {
        return;
    };
    let storage = Storage::open(&config::Storage::S3(config)).unwrap();
    let bytes = pattern(3, 12_000_000);
    let blob = digest(&bytes);
    let begun = upload("9f9a1c2e-0000-4000-8000-000000000000");
    storage.begin(&begun, Bytes::new()).await.unwrap();
    let mut session = storage.resume(&begun).await.unwrap().unwrap();
    session.write(bytes.clone()).await.unwrap();
    session.commit(&Key::blob(&blob)).await.unwrap();
    let image = manifest(&blob, bytes.len());
    let image_digest = digest(image.as_bytes());
    let (name, tag) = (repository(), Tag::parse("1.0").unwrap());
    write(&storage, &Key::blob(&image_digest), image.clone()).await;
    for (key, digest) in [
        (Key::layer(&name, &blob), &blob),
        (Key::revision(&name, &image_digest), &image_digest),
        (Key::history(&name, &tag, &image_digest), &image_digest),
        (Key::current(&name, &tag), &image_digest),
    ] {
        write(&storage, &key, digest.to_string()).await;
    }

    let url = format!("{address}/v2/team/app/manifests/1.0");
    let (status, _, served) = ask("GET", &url, &[("Accept", MANIFEST)], "");
    assert_eq!((status, served), (200, image));
    let (status, head, _) = ask(
        "HEAD",
        &format!("{address}/v2/team/app/blobs/{blob}"),
        &[],
        "",
    );
    assert!(
        status == 307 || (status == 200 && head.contains("12000000")),
        "{head}"
    );
    let (_, _, tags) = ask("GET", &format!("{address}/v2/team/app/tags/list"), &[], "");
    assert_eq!(tags.trim(), r#"{"name":"team/app","tags":["1.0"]}"#);
    let (_, _, catalog) = ask("GET", &format!("{address}/v2/_catalog"), &[], "");
    assert_eq!(catalog.trim(), r#"{"repositories":["team/app"]}"#);
}

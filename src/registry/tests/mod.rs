//! The registry over a store in a folder, without HTTP.

mod blobs;
mod catalog;
mod deletes;
mod manifests;
mod memory;
mod old_volumes;
mod quotas;
mod referrers;
mod sweeps;
mod tags;
mod uploads;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use tempfile::TempDir;

use crate::body::{BoxError, ClientFault};
use crate::config;
use crate::oci::{Digest, Reference, RepositoryName};
use crate::storage;
use crate::storage::Key;

use super::digester::digests;
use super::*;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

impl Manifest {
    /// The bytes of a small one.
    fn content(&self) -> &[u8] {
        self.bytes.as_deref().unwrap()
    }
}

/// A registry, and the folder in which it keeps its content.
struct Room {
    registry: Registry,
    folder: TempDir,
}

impl Room {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(&settings(&folder)).unwrap();
        Self { registry, folder }
    }

    /// The same store under other settings.
    fn with(mut self, change: impl FnOnce(&mut config::Registry)) -> Self {
        let mut config = settings(&self.folder);
        change(&mut config);
        self.registry = self.registry.with_switches(&config).unwrap();
        self
    }

    /// Another process over the same store.
    fn another(&self) -> Registry {
        Registry::open(&settings(&self.folder)).unwrap()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join("docker/registry/v2").join(below)
    }

    fn link(&self, below: &str) -> Option<String> {
        std::fs::read_to_string(self.path(below).join("link")).ok()
    }

    /// Puts a file where another program would have.
    fn write(&self, below: &str, content: impl AsRef<[u8]>) {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    async fn push_blob(&self, repository: &str, content: &[u8]) -> Digest {
        let digest = sha256(content);
        self.put_blob(repository, &digest, None, body(&[content]))
            .await
            .unwrap();
        digest
    }

    async fn put_blob(
        &self,
        repository: &str,
        digest: &Digest,
        length: Option<u64>,
        body: ByteSource<'_>,
    ) -> Result<(), Error> {
        self.registry
            .put_blob(&name(repository), ann(), digest, length, body)
            .await
    }

    /// An image of one layer, which is `seed`.
    async fn push_image(&self, repository: &str, reference: &str, seed: &str) -> Digest {
        let bytes = self.image(repository, seed).await;
        self.push(repository, reference, &bytes).await
    }

    /// The manifest of an image whose blobs are pushed.
    async fn image(&self, repository: &str, seed: &str) -> String {
        let config = self.push_blob(repository, b"{}").await;
        let layer = self.push_blob(repository, seed.as_bytes()).await;
        json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": config.as_str()},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "size": seed.len(), "digest": layer.as_str()}],
        })
        .to_string()
    }

    async fn push(&self, repository: &str, by: &str, bytes: &str) -> Digest {
        self.try_push(repository, by, None, bytes)
            .await
            .unwrap()
            .digest
    }

    async fn try_push(
        &self,
        repository: &str,
        by: &str,
        media_type: Option<&str>,
        bytes: &str,
    ) -> Result<Stored, Error> {
        let bytes = Bytes::copy_from_slice(bytes.as_bytes());
        self.registry
            .put_manifest(&name(repository), &reference(by), media_type, bytes)
            .await
    }

    async fn pull(&self, repository: &str, by: &str) -> Result<Manifest, Error> {
        self.registry
            .manifest(&name(repository), &reference(by))
            .await
    }

    /// A manifest as a client gets it.
    async fn sent(&self, manifest: Manifest) -> Result<Vec<u8>, storage::Error> {
        match self.registry.read_manifest(manifest).await.unwrap() {
            Sent::Whole(bytes) => Ok(bytes.to_vec()),
            Sent::Streamed(bytes) => Ok(bytes.try_collect::<Vec<_>>().await?.concat()),
        }
    }

    async fn delete(&self, repository: &str, by: &str) -> Result<(), Error> {
        self.registry
            .delete_manifest(&name(repository), &reference(by))
            .await
    }

    async fn has_blob(&self, repository: &str, digest: &Digest) -> bool {
        match self.registry.blob(&name(repository), digest).await {
            Ok(_) => true,
            Err(Error::BlobUnknown) => false,
            Err(error) => panic!("{error}"),
        }
    }

    async fn read(&self, repository: &str, digest: &Digest) -> Vec<u8> {
        let blob = self.registry.blob(&name(repository), digest).await.unwrap();
        let whole = 0..blob.size;
        let stream = self.registry.read_blob(&blob, whole).await.unwrap();
        let frames: Vec<Bytes> = stream.try_collect().await.unwrap();
        frames.concat()
    }
}

fn settings(folder: &TempDir) -> config::Registry {
    config::Registry {
        storage: config::Storage::FileSystem {
            root: folder.path().to_path_buf(),
        },
        delete: true,
        read_only: false,
        redirect: false,
        verify: false,
        upload_expiry: Duration::from_secs(3600),
        uploads_per_user: 1000,
    }
}

fn ann() -> Owner {
    Owner::user("ann")
}

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).unwrap()
}

fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

fn sha256(bytes: &[u8]) -> Digest {
    digests(bytes).sha256
}

fn sha512(bytes: &[u8]) -> Digest {
    digests(bytes).sha512.unwrap()
}

fn body(frames: &[&[u8]]) -> ByteSource<'static> {
    let frames: Vec<Result<Bytes, BoxError>> = frames
        .iter()
        .map(|frame| Ok(Bytes::copy_from_slice(frame)))
        .collect();
    stream::iter(frames).boxed()
}

/// A body that ends before its end.
fn cut(frames: &[&[u8]]) -> ByteSource<'static> {
    let broken = stream::iter([Err(BoxError::from(ClientFault::Gone))]);
    body(frames).chain(broken).boxed()
}

fn range(first: u64, last: u64) -> Chunk {
    Chunk {
        range: Some((first, last)),
        length: None,
    }
}

/// The face runs on many threads.
#[test]
fn everything_can_be_awaited_on_any_thread() {
    fn send<T: Send>(_: T) {}
    let room = Room::new();
    let (registry, name) = (&room.registry, &name("a"));
    let digest = &sha256(b"");
    let by = &reference("a");
    send(registry.check());
    send(registry.blob(name, digest));
    send(registry.delete_blob(name, digest));
    send(registry.mount(name, digest, name));
    send(registry.begin_upload(name, ann()));
    send(registry.upload_offset(name, ""));
    send(registry.append(name, "", Chunk::default(), body(&[])));
    send(registry.close(name, "", Chunk::default(), body(&[]), digest));
    send(registry.put_blob(name, ann(), digest, None, body(&[])));
    send(registry.cancel_upload(name, ""));
    send(registry.manifest(name, by));
    send(registry.put_manifest(name, by, None, Bytes::new()));
    send(registry.delete_manifest(name, by));
    send(registry.tags(name, None, 1));
    send(registry.catalog(None, 1, &|_| true));
    send(registry.referrers(name, digest, None, None, 1));
    send(registry.sweep(Duration::ZERO));
}

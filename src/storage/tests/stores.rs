//! The stores that the contract is held over. One that needs a peer which is not here is `None`, and says so.

use tempfile::TempDir;

use super::super::Storage;
use super::super::bucket::Bucket;
use super::emulators::{Emulator, bucket_name, request};
use crate::config;

/// A store with what it stands on.
pub(super) struct Store {
    /// The store.
    pub storage: Storage,
    /// Gone with the store.
    _ground: Option<TempDir>,
}

/// A folder on disk.
pub(super) async fn filesystem() -> Option<Store> {
    let ground = TempDir::new().unwrap();
    // The root is missing at the start.
    let root = ground.path().join("srv/registry");
    let storage = Storage::open(&config::Storage::FileSystem { root }).unwrap();
    Some(Store {
        storage,
        _ground: Some(ground),
    })
}

/// A bucket in memory, with parts that are small enough for uploads to have some.
pub(super) async fn memory() -> Option<Store> {
    let storage = Storage::Bucket(Bucket::in_memory(1024 * 1024));
    Some(Store {
        storage,
        _ground: None,
    })
}

/// A bucket of moto, with the smallest parts that S3 takes.
pub(super) async fn s3() -> Option<Store> {
    let storage = Storage::open(&config::Storage::S3(s3_bucket()?)).unwrap();
    Some(Store {
        storage,
        _ground: None,
    })
}

/// The settings of a new bucket of moto.
pub(in crate::storage) fn s3_bucket() -> Option<config::S3> {
    let endpoint = Emulator::S3.address()?;
    let bucket = bucket_name();
    assert_eq!(
        request("PUT", &format!("{endpoint}/{bucket}"), &[], ""),
        200
    );
    Some(config::S3 {
        bucket,
        region: "us-east-1".into(),
        endpoint: Some(endpoint.to_owned()),
        access_key: Some("AKIDEXAMPLE".into()),
        secret_key: Some("s3cr3t-key".into()),
        chunk_size: 5 * 1024 * 1024,
        root: "/some/where".into(),
        ..config::S3::default()
    })
}

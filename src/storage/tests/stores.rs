//! The stores that the contract is held over. One that needs a peer which is not here is `None`, and says so.

use tempfile::TempDir;

use super::super::Storage;
use super::super::bucket::Bucket;
use super::emulators::{Emulator, bucket_name, request};
use super::front::{front, google};
use crate::config;
use crate::secret::Secret;

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
        secret_key: Some(Secret::new("s3cr3t-key")),
        chunk_size: 5 * 1024 * 1024,
        root: "/some/where".into(),
        ..config::S3::default()
    })
}

/// A container of Azurite.
pub(super) async fn azure() -> Option<Store> {
    let storage = Storage::open(&config::Storage::Azure(azure_container()?)).unwrap();
    storage.check().await.unwrap();
    Some(Store {
        storage,
        _ground: None,
    })
}

/// The settings of a new container of Azurite.
pub(in crate::storage) fn azure_container() -> Option<config::Azure> {
    // The key that Azurite comes with.
    let key =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    let address = Emulator::Azure.address()?;
    let config = config::Azure {
        account: "devstoreaccount1".into(),
        key: Some(Secret::new(key)),
        container: bucket_name(),
        realm: Some(address.to_owned()),
        root: "/some/where/".into(),
        ..config::Azure::default()
    };
    create_container(&config, key);
    Some(config)
}

/// A bucket of moto that is spoken to as Google is.
pub(super) async fn gcs() -> Option<Store> {
    let s3 = s3_bucket()?;
    let endpoint = front(&s3.endpoint?, std::sync::Arc::new(google)).await;
    let storage = Storage::open(&config::Storage::Gcs(config::Gcs {
        bucket: s3.bucket,
        endpoint: Some(endpoint),
        ..config::Gcs::default()
    }));
    Some(Store {
        storage: storage.unwrap(),
        _ground: None,
    })
}

/// Azurite makes containers only for those who sign: Shared Key, version 2015-02-21 and later.
fn create_container(config: &config::Azure, key: &str) {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let (account, container) = (&config.account, &config.container);
    let date = jiff::Timestamp::now()
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    let version = "2021-08-06";
    let text = format!(
        "PUT{}x-ms-date:{date}\nx-ms-version:{version}\n/{account}/{account}/{container}\nrestype:container",
        "\n".repeat(12)
    );
    let key = STANDARD.decode(key).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(text.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let url = format!(
        "{}/{account}/{container}?restype=container",
        config.realm.as_deref().unwrap()
    );
    let headers = [
        ("x-ms-date", &*date),
        ("x-ms-version", version),
        ("Authorization", &format!("SharedKey {account}:{signature}")),
    ];
    assert_eq!(request("PUT", &url, &headers, ""), 201);
}

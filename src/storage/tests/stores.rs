//! The stores that the contract is held over. One that needs a peer which is not here is `None`, and says so.

use tempfile::TempDir;

use super::super::Storage;
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

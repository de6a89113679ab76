//! Who may change the manifests of a repository at the same time.

use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::oci::RepositoryName;

/// Repositories that share a lock wait for one another now and then, and nothing more.
const LOCKS: usize = 64;

/// Locks by repository. Pushes go side by side; a deletion goes alone, so that it never takes the manifest from under a
/// tag that is being set. Other processes over the same store are not held back: there a deletion and a push of the
/// same manifest at the same instant may leave a tag that stands for nothing, and the push has to be made again.
#[derive(Debug)]
pub(super) struct Turns {
    locks: Vec<RwLock<()>>,
    /// For the index that is never out of reach.
    spare: RwLock<()>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            locks: std::iter::repeat_with(RwLock::default)
                .take(LOCKS)
                .collect(),
            spare: RwLock::default(),
        }
    }
}

impl Turns {
    /// Until it is dropped, nobody deletes.
    pub(super) async fn push(&self, name: &RepositoryName) -> RwLockReadGuard<'_, ()> {
        self.lock(name).read().await
    }

    /// Until it is dropped, nobody pushes or deletes.
    pub(super) async fn delete(&self, name: &RepositoryName) -> RwLockWriteGuard<'_, ()> {
        self.lock(name).write().await
    }

    fn lock(&self, name: &RepositoryName) -> &RwLock<()> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or(0);
        self.locks.get(at).unwrap_or(&self.spare)
    }
}

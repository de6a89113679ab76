//! The bytes of manifests, checked against their digest before anybody gets them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use crate::oci::{Digest, Outline};
use crate::storage;
use crate::storage::{Key, Storage};

use super::Error;
use super::aside::aside;
use super::digester::digests;

/// Larger manifests are neither taken nor served. A gate's own limit is far lower by default.
pub(super) const MAX_MANIFEST: u64 = 64 << 20;

/// Bytes of manifests that are kept in memory, so that a busy one is neither read nor hashed for each client.
const MEMORY: u64 = 16 << 20;

/// How long one is kept that nobody asks for.
const IDLE: Duration = Duration::from_secs(600);

/// What every entry takes beside its bytes, about.
const ENTRY: usize = 512;

/// Why a blob is not served as a manifest though a link says that it is one.
const NO_MANIFEST: &str = "a repository has it as a manifest, and it is none";

/// A manifest, as it lies in the store.
#[derive(Debug)]
pub(super) struct Content {
    pub bytes: Bytes,
    pub media_type: String,
    /// What it refers to.
    pub subject: Option<Digest>,
    /// Its other name.
    pub sha512: Option<Digest>,
}

/// Manifests that were asked for lately, by their sha256 digest: whose they are is not known here, so links come first.
pub(super) struct Contents {
    recent: Cache<Digest, Arc<Content>>,
}

impl Contents {
    pub(super) fn new() -> Self {
        let weigh = |_: &Digest, content: &Arc<Content>| {
            u32::try_from(content.bytes.len() + ENTRY).unwrap_or(u32::MAX)
        };
        let recent = Cache::builder()
            .max_capacity(MEMORY)
            .weigher(weigh)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(IDLE)
            .build();
        Self { recent }
    }

    /// The manifest of this digest, if its bytes are there.
    ///
    /// # Errors
    /// Bytes that do not have the digest, or are no manifest, are [`storage::Error::Corrupt`].
    pub(super) async fn get(
        &self,
        storage: &Storage,
        digest: &Digest,
    ) -> Result<Option<Arc<Content>>, Error> {
        if let Some(content) = self.recent.get(digest).await {
            return Ok(Some(content));
        }
        // In a box, so that what is kept is had without room for it.
        Box::pin(self.load(storage, digest)).await
    }

    async fn load(
        &self,
        storage: &Storage,
        digest: &Digest,
    ) -> Result<Option<Arc<Content>>, Error> {
        let key = Key::blob(digest);
        let Some(bytes) = storage.read(&key, MAX_MANIFEST).await? else {
            return Ok(None);
        };
        let (size, wanted) = (bytes.len(), digest.clone());
        let read = aside(size, &key, move || checked(bytes, &wanted)).await?;
        let content = Arc::new(read.map_err(|what| storage::Error::Corrupt { key, what })?);
        let kept = (digest.clone(), Arc::clone(&content));
        self.recent.insert(kept.0, kept.1).await;
        Ok(Some(content))
    }

    /// Forgets one, so that the next reader sees what the store has.
    pub(super) async fn forget(&self, digest: &Digest) {
        self.recent.invalidate(digest).await;
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents").finish_non_exhaustive()
    }
}

/// What bytes say of themselves.
pub(super) fn outline(bytes: &[u8]) -> Option<Outline> {
    Outline::parse(std::str::from_utf8(bytes).ok()?)
}

fn checked(bytes: Bytes, wanted: &Digest) -> Result<Content, &'static str> {
    let digests = digests(&bytes);
    if digests.like(wanted) != Some(wanted) {
        return Err("its bytes do not have the digest that it is called by");
    }
    let outline = outline(&bytes).ok_or(NO_MANIFEST)?;
    Ok(Content {
        media_type: outline.served_as().ok_or(NO_MANIFEST)?,
        subject: outline.subject,
        sha512: digests.sha512,
        bytes,
    })
}

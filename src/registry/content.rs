//! The bytes of manifests, checked against their digest before anybody gets them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::oci::{Digest, Outline};
use crate::storage;
use crate::storage::{Key, Storage};

use super::Error;
use super::aside::aside;
use super::digester::digests;

/// Larger manifests are neither taken nor served. A gate's own limit is far lower by default.
pub(super) const MAX_MANIFEST: u64 = 64 << 20;

/// A manifest of more bytes is large: few of them are read at a time, and none is kept, or held for a client that takes it.
pub(crate) const LARGE: u64 = 64 << 10;

/// Large ones that are read and checked at the same time. Each takes its bytes and as much again while it is looked through.
const LARGE_AT_ONCE: usize = 4;

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
    /// Of a large one there are none here: whoever wants them reads them.
    pub bytes: Option<Bytes>,
    pub length: u64,
    pub media_type: String,
    /// What it refers to.
    pub subject: Option<Digest>,
    /// Its other name.
    pub sha512: Option<Digest>,
}

/// Manifests that were asked for lately, by their sha256 digest: whose they are is not known here, so links come first.
pub(super) struct Contents {
    recent: Cache<Digest, Arc<Content>>,
    /// Has a place for each large one that is being read.
    reading: Semaphore,
}

impl Contents {
    pub(super) fn new() -> Self {
        let weigh = |_: &Digest, content: &Arc<Content>| {
            let bytes = content.bytes.as_ref().map_or(0, Bytes::len);
            u32::try_from(bytes + ENTRY).unwrap_or(u32::MAX)
        };
        let recent = Cache::builder()
            .max_capacity(MEMORY)
            .weigher(weigh)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(IDLE)
            .build();
        let reading = Semaphore::new(LARGE_AT_ONCE);
        Self { recent, reading }
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

    /// All bytes of a manifest that was found.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(super) async fn whole(
        &self,
        storage: &Storage,
        digest: &Digest,
        content: &Content,
    ) -> Result<Option<Bytes>, Error> {
        if let Some(bytes) = &content.bytes {
            return Ok(Some(bytes.clone()));
        }
        let _reading = self.reading().await;
        let content = read(storage, digest, MAX_MANIFEST).await?;
        Ok(content.and_then(|content| content.bytes))
    }

    async fn load(
        &self,
        storage: &Storage,
        digest: &Digest,
    ) -> Result<Option<Arc<Content>>, Error> {
        let found = match read(storage, digest, LARGE).await {
            // What is larger than was asked for, too; whether it is damaged shows when all of it is read.
            Err(storage::Error::Corrupt { .. }) => {
                let _reading = self.reading().await;
                // Of many who want the same one, the first has read it meanwhile.
                if let Some(content) = self.recent.get(digest).await {
                    return Ok(Some(content));
                }
                let found = read(storage, digest, MAX_MANIFEST).await?;
                found.map(Content::without_bytes)
            }
            found => found?,
        };
        let Some(content) = found.map(Arc::new) else {
            return Ok(None);
        };
        let kept = (digest.clone(), Arc::clone(&content));
        self.recent.insert(kept.0, kept.1).await;
        Ok(Some(content))
    }

    /// A turn to read a large one. Nobody closes the semaphore, so there always is a permit in the end.
    async fn reading(&self) -> Option<SemaphorePermit<'_>> {
        self.reading.acquire().await.ok()
    }

    /// Forgets one, so that the next reader sees what the store has.
    pub(super) async fn forget(&self, digest: &Digest) {
        self.recent.invalidate(digest).await;
    }
}

impl Content {
    fn without_bytes(self) -> Self {
        Self {
            bytes: None,
            ..self
        }
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

/// Reads and checks one of `most` bytes.
async fn read(
    storage: &Storage,
    digest: &Digest,
    most: u64,
) -> Result<Option<Content>, storage::Error> {
    let key = Key::blob(digest);
    let Some(bytes) = storage.read(&key, most).await? else {
        return Ok(None);
    };
    let (size, wanted) = (bytes.len(), digest.clone());
    let read = aside(size, &key, move || checked(bytes, &wanted)).await?;
    read.map(Some)
        .map_err(|what| storage::Error::Corrupt { key, what })
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
        length: bytes.len() as u64,
        bytes: Some(bytes),
    })
}

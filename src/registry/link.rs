//! Links: the small files by which a repository says that content belongs to it.

use bytes::Bytes;

use crate::oci::{Algorithm, Digest};
use crate::storage;
use crate::storage::{Key, Storage};

/// Longer files are no links.
const MAX_LINK: u64 = 256;

/// The sha256 digest that a link stands for; `None` where there is no link, or one that says something else.
pub(super) async fn read(storage: &Storage, key: &Key) -> Result<Option<Digest>, storage::Error> {
    match storage.read(key, MAX_LINK).await {
        Ok(link) => Ok(link.and_then(|bytes| target(&bytes))),
        Err(storage::Error::Corrupt { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Like [`read`], of a link that is called by a digest itself: by sha256 it can only stand for the same one. By sha512
/// it is an alias.
pub(super) async fn resolve(
    storage: &Storage,
    key: &Key,
    digest: &Digest,
) -> Result<Option<Digest>, storage::Error> {
    let target = read(storage, key).await?;
    Ok(target.filter(|target| digest.algorithm() == Algorithm::Sha512 || target == digest))
}

/// Writes a link, durably.
pub(super) async fn write(
    storage: &Storage,
    key: &Key,
    target: &Digest,
) -> Result<(), storage::Error> {
    let link = Bytes::copy_from_slice(target.as_str().as_bytes());
    storage.write(key, link).await
}

/// As registry:2 has it: the digest and nothing else, and by sha256, as all content of the store.
fn target(link: &[u8]) -> Option<Digest> {
    let digest = Digest::parse(std::str::from_utf8(link).ok()?).ok()?;
    (digest.algorithm() == Algorithm::Sha256).then_some(digest)
}

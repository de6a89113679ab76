//! Blobs of a repository: found, read, mounted, taken out (end-2, 10, 11).

use std::ops::Range;
use std::time::Duration;

use crate::oci::{Digest, RepositoryName};
use crate::storage::ByteStream;
use crate::storage::Key;

use super::verified::verified;
use super::{Blob, Error, Registry, link};

/// How long an address in the bucket can be used, as by registry:2: time to begin a download behind slow redirects.
const ADDRESS_VALID: Duration = Duration::from_secs(20 * 60);

impl Registry {
    /// A blob that the repository has: a link says so, and its bytes are there.
    ///
    /// # Errors
    /// [`Error::BlobUnknown`], whatever other repositories have.
    pub(crate) async fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Blob, Error> {
        let link = Key::layer(name, digest);
        let canonical = link::resolve(&self.storage, &link, digest).await?;
        let canonical = canonical.ok_or(Error::BlobUnknown)?;
        let size = self.storage.size(&Key::blob(&canonical)).await?;
        Ok(Blob {
            digest: digest.clone(),
            size: size.ok_or(Error::BlobUnknown)?,
            canonical,
        })
    }

    /// The bytes `range` of a blob, read as they are taken. Where the configuration has `verify`, all of a blob ends in an
    /// error in place of its last bytes when it is not what its name says.
    ///
    /// # Errors
    /// [`Error::BlobUnknown`] if they are gone by now.
    pub(crate) async fn read_blob(
        &self,
        blob: &Blob,
        range: Range<u64>,
    ) -> Result<ByteStream, Error> {
        let key = Key::blob(&blob.canonical);
        let whole = range == (0..blob.size);
        let stream = self.storage.stream(&key, range).await?;
        let stream = stream.ok_or(Error::BlobUnknown)?;
        Ok(if whole && self.config.verify {
            verified(stream, key, blob.canonical.clone())
        } else {
            stream
        })
    }

    /// Where the bytes can be had from the bucket itself, if the configuration has `redirect` and the store such
    /// addresses.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn blob_address(&self, blob: &Blob) -> Result<Option<String>, Error> {
        if !self.config.redirect {
            return Ok(None);
        }
        let key = Key::blob(&blob.canonical);
        Ok(self.storage.presigned(&key, ADDRESS_VALID).await?)
    }

    /// Takes a blob out of the repository. Its bytes stay: other repositories may have it. A blob that has two names
    /// stays under the other one, as by registry:2.
    ///
    /// # Errors
    /// [`Error::BlobUnknown`], [`Error::Unsupported`]
    pub(crate) async fn delete_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Error> {
        self.deletable()?;
        let removed = self.storage.remove(&Key::layer(name, digest)).await?;
        removed.then_some(()).ok_or(Error::BlobUnknown)
    }

    /// Takes over a blob of another repository without its bytes being sent; whether it was there.
    ///
    /// # Errors
    /// [`Error::Unsupported`], and those of the store.
    pub(crate) async fn mount(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: &RepositoryName,
    ) -> Result<bool, Error> {
        self.writable()?;
        let canonical = match self.blob(from, digest).await {
            Ok(blob) => blob.canonical,
            Err(Error::BlobUnknown) => return Ok(false),
            Err(error) => return Err(error),
        };
        let layer = Key::layer(name, &canonical);
        link::write(&self.storage, &layer, &canonical).await?;
        if *digest != canonical {
            link::write(&self.storage, &Key::layer(name, digest), &canonical).await?;
        }
        Ok(true)
    }
}

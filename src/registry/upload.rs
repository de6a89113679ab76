//! Uploads: begun, added to, closed, given up (end-4, 5, 6, 13, 14).

use crate::oci::{Digest, RepositoryName};
use crate::storage;
use crate::storage::{Key, UploadKey};

use super::digester::{Digester, Digests};
use super::intake::Intake;
use super::quota::Place;
use super::ticket::{Ticket, is_of};
use super::{ByteSource, Chunk, Error, Owner, Registry, link};

impl Registry {
    /// Begins an upload without bytes for somebody; its id is a UUID.
    ///
    /// # Errors
    /// [`Error::Unsupported`] of a registry that is read only; [`Error::TooManyUploads`] where its owner has enough of
    /// them.
    pub(crate) async fn begin_upload(
        &self,
        name: &RepositoryName,
        owner: Owner,
    ) -> Result<String, Error> {
        let (id, place) = self.begin(name, owner).await?;
        place.stay();
        Ok(id)
    }

    /// Whether an upload may be somebody's, by its id.
    ///
    /// # Errors
    /// [`Error::UploadUnknown`] to everybody but who began it.
    pub(crate) fn own(id: &str, owner: Owner) -> Result<(), Error> {
        is_of(id, owner).then_some(()).ok_or(Error::UploadUnknown)
    }

    /// How many bytes of an upload are safe: where the next chunk has to begin.
    ///
    /// # Errors
    /// [`Error::UploadUnknown`]
    pub(crate) async fn upload_offset(
        &self,
        name: &RepositoryName,
        id: &str,
    ) -> Result<u64, Error> {
        let offset = self.storage.offset(&upload_key(name, id)?).await;
        known(offset)
    }

    /// Adds a chunk at the end of an upload, and answers its new length. Without a range the chunk is taken to begin
    /// where the upload ends. A body that breaks off is kept as far as it came.
    ///
    /// Has to be driven to its end even when the client is gone: dropped, it leaves the upload as it was last saved.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`], [`Error::SizeMismatch`], [`Error::UploadBusy`], [`Error::UploadUnknown`] leave the upload
    /// as it was.
    pub(crate) async fn append(
        &self,
        name: &RepositoryName,
        id: &str,
        chunk: Chunk,
        body: ByteSource<'_>,
    ) -> Result<u64, Error> {
        self.writable()?;
        let mut intake = self.resume(name, id).await?;
        let expected = chunk.expected_at(intake.session.offset())?;
        intake.take(body, expected).await?;
        let state = intake.digester.save();
        intake.session.save(state).await?;
        Ok(intake.session.offset())
    }

    /// Adds the last chunk, which may be empty, and makes a blob of the repository of all bytes. It is on stable storage
    /// when this returns. A digest that does not match ends the upload.
    ///
    /// A sha512 digest costs nothing extra if all bytes come with this call; else the bytes are read once more, since it
    /// was not known when they passed that it would be wanted.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`], and those of [`Registry::append`].
    pub(crate) async fn close(
        &self,
        name: &RepositoryName,
        id: &str,
        chunk: Chunk,
        body: ByteSource<'_>,
        digest: &Digest,
    ) -> Result<(), Error> {
        self.writable()?;
        let mut intake = self.resume(name, id).await?;
        let expected = chunk.expected_at(intake.session.offset())?;
        intake.digester.include(digest.algorithm());
        intake.take(body, expected).await?;
        self.finish(name, id, intake, digest).await
    }

    /// Makes a blob of a body that comes in one go, `length` bytes long if that is known. While it comes it is one of the
    /// owner's uploads.
    ///
    /// # Errors
    /// As of [`Registry::close`]; nothing is kept of the body then.
    pub(crate) async fn put_blob(
        &self,
        name: &RepositoryName,
        owner: Owner,
        digest: &Digest,
        length: Option<u64>,
        body: ByteSource<'_>,
    ) -> Result<(), Error> {
        let (id, _place) = self.begin(name, owner).await?;
        let mut intake = self.resume(name, &id).await?;
        intake.digester.include(digest.algorithm());
        if let Err(error) = intake.take(body, length).await {
            // Nobody knows its id, so nobody can go on. What cannot be removed now is swept.
            let _ = intake.session.discard().await;
            return Err(error);
        }
        self.finish(name, &id, intake, digest).await
    }

    /// Gives an upload up, a damaged one too.
    ///
    /// # Errors
    /// [`Error::UploadUnknown`], and [`Error::UploadBusy`] while somebody writes it.
    pub(crate) async fn cancel_upload(&self, name: &RepositoryName, id: &str) -> Result<(), Error> {
        self.writable()?;
        let upload = upload_key(name, id)?;
        match self.storage.resume(&upload).await {
            Err(storage::Error::Corrupt { .. }) => {
                self.storage.remove_below(upload.folder()).await?;
            }
            Ok(None) => {
                self.uploads.free(id);
                return Err(Error::UploadUnknown);
            }
            session => known(session)?.discard().await?,
        }
        self.uploads.free(id);
        Ok(())
    }

    async fn begin(&self, name: &RepositoryName, owner: Owner) -> Result<(String, Place), Error> {
        self.writable()?;
        let ticket = Ticket::new(owner).map_err(|error| storage::Error::Unavailable {
            key: Key::uploads(name),
            source: error.into(),
        })?;
        let place = self.uploads.take(ticket, self.config.uploads_per_user)?;
        let id = ticket.to_string();
        let state = Digester::new().save();
        self.storage.begin(&upload_key(name, &id)?, state).await?;
        Ok((id, place))
    }

    async fn resume(&self, name: &RepositoryName, id: &str) -> Result<Intake, Error> {
        let upload = upload_key(name, id)?;
        let session = self.storage.resume(&upload).await;
        if matches!(session, Ok(None)) {
            // Somebody else has ended it.
            self.uploads.free(id);
        }
        let (folder, room) = (upload.folder().clone(), self.room.clone());
        Intake::resume(known(session)?, folder, room).ok_or(Error::UploadUnknown)
    }

    /// Bytes first, then the link to them; the name that the client gave comes last.
    async fn finish(
        &self,
        name: &RepositoryName,
        id: &str,
        mut intake: Intake,
        wanted: &Digest,
    ) -> Result<(), Error> {
        let digests = made(&mut intake, wanted).await?;
        if digests.like(wanted) != Some(wanted) {
            // What cannot be removed now is swept.
            if intake.session.discard().await.is_ok() {
                self.uploads.free(id);
            }
            return Err(Error::DigestMismatch);
        }
        let canonical = digests.sha256;
        intake.session.commit(&Key::blob(&canonical)).await?;
        self.uploads.free(id);
        let layer = Key::layer(name, &canonical);
        link::write(&self.storage, &layer, &canonical).await?;
        if *wanted != canonical {
            link::write(&self.storage, &Key::layer(name, wanted), &canonical).await?;
        }
        Ok(())
    }
}

/// The digests of all bytes, the one that is wanted among them.
async fn made(intake: &mut Intake, wanted: &Digest) -> Result<Digests, Error> {
    let digests = intake.digester.clone().finish();
    if digests.like(wanted).is_some() {
        return Ok(digests);
    }
    let again = intake.read_back().await?;
    if again.sha256 != digests.sha256 {
        return Err(Error::Storage(storage::Error::Corrupt {
            key: intake.key.clone(),
            what: "other bytes were read than were written",
        }));
    }
    Ok(again)
}

impl Chunk {
    /// How many bytes have to come, if the client said, for a chunk of an upload that is `offset` bytes long.
    fn expected_at(self, offset: u64) -> Result<Option<u64>, Error> {
        let Some((first, last)) = self.range else {
            return Ok(self.length);
        };
        if first != offset {
            return Err(Error::OutOfOrder { offset });
        }
        let by_range = last.checked_sub(first).and_then(|n| n.checked_add(1));
        match (by_range, self.length) {
            (None, _) => Err(Error::SizeMismatch),
            (Some(range), Some(length)) if range != length => Err(Error::SizeMismatch),
            (range, _) => Ok(range),
        }
    }
}

/// An id that is none is one of an upload that is not there.
fn upload_key(name: &RepositoryName, id: &str) -> Result<UploadKey, Error> {
    UploadKey::new(name, id).ok_or(Error::UploadUnknown)
}

/// An upload that is damaged is none any more: its client begins anew.
fn known<T>(found: Result<Option<T>, storage::Error>) -> Result<T, Error> {
    match found {
        Ok(Some(found)) => Ok(found),
        Ok(None) | Err(storage::Error::Corrupt { .. }) => Err(Error::UploadUnknown),
        Err(storage::Error::Busy(_)) => Err(Error::UploadBusy),
        Err(error) => Err(error.into()),
    }
}

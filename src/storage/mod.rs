//! Where the embedded registry keeps its bytes: the few verbs that it needs, over a folder, a bucket or memory.
//!
//! The layout is that of registry:2 ([`Key`] has every name), so an old volume or bucket opens in place and can go
//! back. What is acknowledged here is on stable storage: a crash at any instant leaves the old state or the new one.
//! Knows nothing of HTTP, of manifests, or of who asks.

mod bucket;
mod error;
mod filesystem;
mod key;
#[cfg(any(test, fuzzing))]
pub(crate) mod property;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::config;

pub(crate) use error::{Error, OpenError};
pub(crate) use key::{Key, UploadKey};

/// Bytes as they are read; an error ends them.
pub(crate) type ByteStream = BoxStream<'static, Result<Bytes, Error>>;

/// The store of one registry.
#[derive(Debug)]
pub(crate) enum Storage {
    /// A folder.
    FileSystem(filesystem::FileSystem),
    /// A bucket, or memory that looks like one.
    Bucket(bucket::Bucket),
}

/// What lies directly in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its last segment.
    pub name: String,
    /// Whether more lies below it.
    pub is_folder: bool,
}

impl Storage {
    /// Opens the store that the configuration names, and makes the folder where it is missing.
    ///
    /// # Errors
    /// Names the folder, bucket or setting that cannot be used.
    pub(crate) fn open(config: &config::Storage) -> Result<Self, OpenError> {
        match config {
            config::Storage::FileSystem { root } => {
                filesystem::FileSystem::open(root).map(Self::FileSystem)
            }
            config::Storage::Memory
            | config::Storage::S3(_)
            | config::Storage::Azure(_)
            | config::Storage::Gcs(_) => bucket::Bucket::open(config).map(Self::Bucket),
        }
    }

    /// Whether the store answers: a question that costs little and changes nothing.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn check(&self) -> Result<(), Error> {
        match self {
            Self::FileSystem(store) => store.check().await,
            Self::Bucket(store) => store.check().await,
        }
    }

    /// A whole small file (a link, a manifest); `None` where there is none. One that is longer than `most` is
    /// [`Error::Corrupt`].
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn read(&self, key: &Key, most: u64) -> Result<Option<Bytes>, Error> {
        match self {
            Self::FileSystem(store) => store.read(key, most).await,
            // In a box here and below: who reads from a disk carries no room for a request to a cloud.
            Self::Bucket(store) => Box::pin(store.read(key, most)).await,
        }
    }

    /// Puts a whole small file in its place, instead of what was there; readers see the old or the new one. On stable
    /// storage when this returns.
    ///
    /// # Errors
    /// See [`Error`]; the old file is still there then, or the new one, should only the last sync have failed.
    pub(crate) async fn write(&self, key: &Key, bytes: Bytes) -> Result<(), Error> {
        match self {
            Self::FileSystem(store) => store.write(key, bytes).await,
            Self::Bucket(store) => store.write(key, bytes).await,
        }
    }

    /// The length of a file; `None` where there is none (a folder, a device or a link out of the store is none).
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        match self {
            Self::FileSystem(store) => store.size(key).await,
            Self::Bucket(store) => Box::pin(store.size(key)).await,
        }
    }

    /// The bytes `range` of a file, read as they are taken; `None` where there is no such file. A file that turns out
    /// to be shorter ends in an error, never early.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn stream(
        &self,
        key: &Key,
        range: Range<u64>,
    ) -> Result<Option<ByteStream>, Error> {
        match self {
            Self::FileSystem(store) => store.stream(key, range).await,
            Self::Bucket(store) => Box::pin(store.stream(key, range)).await,
        }
    }

    /// Removes one file; whether there was one. Durable when this returns.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn remove(&self, key: &Key) -> Result<bool, Error> {
        match self {
            Self::FileSystem(store) => store.remove(key).await,
            Self::Bucket(store) => store.remove(key).await,
        }
    }

    /// Removes a folder with all that lies below it: at once on disk, in a bucket from the last name to the first.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn remove_below(&self, folder: &Key) -> Result<(), Error> {
        match self {
            Self::FileSystem(store) => store.remove_below(folder).await,
            Self::Bucket(store) => store.remove_below(folder).await,
        }
    }

    /// The first `most` names directly in a folder that come after `after`, in byte order; of a folder that is
    /// missing, none.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn list(
        &self,
        folder: &Key,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<Entry>, Error> {
        match self {
            Self::FileSystem(store) => store.list(folder, after, most).await,
            Self::Bucket(store) => store.list(folder, after, most).await,
        }
    }

    /// An address at which the bytes of a file can be had from the bucket itself for a while; `None` where the store
    /// has no such addresses.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn presigned(
        &self,
        key: &Key,
        valid: Duration,
    ) -> Result<Option<String>, Error> {
        match self {
            Self::FileSystem(_) => Ok(None),
            Self::Bucket(store) => Box::pin(store.presigned(key, valid)).await,
        }
    }

    /// Begins an upload without bytes; `state` is what [`Session::state`] gives back as long as nothing else is saved.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn begin(&self, upload: &UploadKey, state: Bytes) -> Result<(), Error> {
        match self {
            Self::FileSystem(store) => store.begin(upload, state).await,
            Self::Bucket(store) => store.begin(upload, state).await,
        }
    }

    /// How many bytes of an upload are safe, without disturbing whoever writes it; `None` where there is none.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn offset(&self, upload: &UploadKey) -> Result<Option<u64>, Error> {
        match self {
            Self::FileSystem(store) => store.offset(upload).await,
            Self::Bucket(store) => store.offset(upload).await,
        }
    }

    /// Takes up an upload where its last [`Session::save`] left it; what was written after that is gone. Nobody else,
    /// in this process or another one, can take it up until the session ends.
    ///
    /// # Errors
    /// [`Error::Busy`] while somebody has it; see [`Error`].
    pub(crate) async fn resume(&self, upload: &UploadKey) -> Result<Option<Session>, Error> {
        match self {
            Self::FileSystem(store) => Ok(store.resume(upload).await?.map(Session::FileSystem)),
            Self::Bucket(store) => {
                let session = store.resume(upload).await?;
                Ok(session.map(Box::new).map(Session::Bucket))
            }
        }
    }

    /// When an upload was last saved, or begun; `None` where there is none. Uploads that another registry left here,
    /// in a form that cannot be resumed, have a time too.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn touched(&self, upload: &UploadKey) -> Result<Option<SystemTime>, Error> {
        match self {
            Self::FileSystem(store) => store.touched(upload).await,
            Self::Bucket(store) => store.touched(upload).await,
        }
    }

    /// Removes what is left of writes that never ended (a crash), if it is older than `age`.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn tidy(&self, age: Duration) -> Result<(), Error> {
        match self {
            Self::FileSystem(store) => store.tidy(age).await,
            Self::Bucket(store) => store.tidy(age).await,
        }
    }
}

/// An upload in one pair of hands. Dropped, it is as the last save left it.
#[derive(Debug)]
pub(crate) enum Session {
    /// In a folder.
    FileSystem(filesystem::Session),
    /// In a bucket.
    Bucket(Box<bucket::Session>),
}

impl Session {
    /// Bytes that were written, saved or not.
    pub(crate) fn offset(&self) -> u64 {
        match self {
            Self::FileSystem(session) => session.offset(),
            Self::Bucket(session) => session.offset(),
        }
    }

    /// What was saved with the bytes that were there when the session was taken up.
    pub(crate) fn state(&self) -> &Bytes {
        match self {
            Self::FileSystem(session) => session.state(),
            Self::Bucket(session) => session.state(),
        }
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// See [`Error`]. After an error only dropping is of use.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        match self {
            Self::FileSystem(session) => session.write(bytes).await,
            Self::Bucket(session) => session.write(bytes).await,
        }
    }

    /// Gives what was gathered to the disk, so that memory is free of it soon. In a bucket a part has the size that it must have.
    ///
    /// # Errors
    /// See [`Error`]. After an error only dropping is of use.
    pub(crate) async fn hand_on(&mut self) -> Result<(), Error> {
        match self {
            Self::FileSystem(session) => session.hand_on().await,
            Self::Bucket(_) => Ok(()),
        }
    }

    /// Brings all that was written to stable storage, and `state` with it.
    ///
    /// # Errors
    /// See [`Error`]. After an error only dropping is of use; should the disk have failed to sync, the upload is gone.
    pub(crate) async fn save(&mut self, state: Bytes) -> Result<(), Error> {
        match self {
            Self::FileSystem(session) => session.save(state).await,
            Self::Bucket(session) => session.save(state).await,
        }
    }

    /// All bytes that were written, from the first on.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn read_back(&mut self) -> Result<ByteStream, Error> {
        match self {
            Self::FileSystem(session) => session.read_back().await,
            Self::Bucket(session) => session.read_back().await,
        }
    }

    /// Ends the upload: all bytes stand under `blob` and are on stable storage; the caller has checked their digest. On
    /// disk they take the place of what is there, which may have been damaged since. In a bucket, which watches over
    /// its objects itself, bytes of the same length stay, and no copy is made.
    ///
    /// # Errors
    /// See [`Error`]; nothing new stands under `blob` then, or all bytes do, should only the last sync have failed. The
    /// upload is as the last save left it or gone.
    pub(crate) async fn commit(self, blob: &Key) -> Result<(), Error> {
        match self {
            Self::FileSystem(session) => session.commit(blob).await,
            Self::Bucket(session) => session.commit(blob).await,
        }
    }

    /// Ends the upload and forgets its bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn discard(self) -> Result<(), Error> {
        match self {
            Self::FileSystem(session) => session.discard().await,
            Self::Bucket(session) => session.discard().await,
        }
    }
}

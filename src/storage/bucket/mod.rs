//! A store in a bucket: S3, Azure, Google, or memory that looks like one.
//!
//! An upload is one state object ([`document`]), the parts of a multipart upload, and an object with the bytes after
//! the last part. The state object names the others, and is replaced by conditional writes only: who holds the upload
//! is written there, so replicas over one bucket never mix bytes.

mod azure;
mod backend;
mod blocks;
mod copy;
mod document;
mod fault;
mod gcs;
mod hold;
mod line;
mod listing;
mod memory;
mod reading;
mod removal;
mod requests;
mod resume;
mod s3;
mod seal;
mod session;
#[cfg(test)]
mod tests;
mod tidy;
mod xml;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Method;
use object_store::{GetOptions, PutOptions, PutPayload};

use crate::config;

use super::{ByteStream, Entry, Error, Key, OpenError, UploadKey};
use backend::Backend;
use hold::Holds;

pub(crate) use session::Session;

/// A bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    backend: Arc<Backend>,
    holds: Arc<Holds>,
}

impl Bucket {
    pub(super) fn open(config: &config::Storage) -> Result<Self, OpenError> {
        let backend = match config {
            config::Storage::Memory => memory::open(),
            config::Storage::S3(config) => s3::open(config)?,
            config::Storage::Azure(config) => azure::open(config)?,
            config::Storage::Gcs(config) => gcs::open(config)?,
            config::Storage::FileSystem { .. } => {
                return Err(OpenError::Bucket("a folder is no bucket".into()));
            }
        };
        Ok(Self::over(backend))
    }

    /// A bucket in memory whose uploads have parts of `chunk` bytes.
    #[cfg(test)]
    pub(super) fn in_memory(chunk: u64) -> Self {
        Self::over(Backend {
            chunk,
            ..memory::open()
        })
    }

    /// Another process over the bucket of `other`.
    #[cfg(test)]
    fn over_same(other: &Self) -> Self {
        Self {
            backend: Arc::clone(&other.backend),
            holds: Arc::new(Holds::new()),
        }
    }

    fn over(backend: Backend) -> Self {
        Self {
            backend: Arc::new(backend),
            holds: Arc::new(Holds::new()),
        }
    }

    pub(super) async fn check(&self) -> Result<(), Error> {
        listing::touch(&self.backend).await
    }

    pub(super) async fn read(&self, key: &Key, most: u64) -> Result<Option<Bytes>, Error> {
        reading::whole(&self.backend, key, most).await
    }

    pub(super) async fn write(&self, key: &Key, bytes: Bytes) -> Result<(), Error> {
        self.backend.put(key, bytes.into()).await
    }

    pub(super) async fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        self.backend.size(key).await
    }

    pub(super) async fn stream(
        &self,
        key: &Key,
        range: Range<u64>,
    ) -> Result<Option<ByteStream>, Error> {
        reading::stream(&self.backend, key, range).await
    }

    pub(super) async fn remove(&self, key: &Key) -> Result<bool, Error> {
        // Stores say of a removal that it succeeded, whether there was something to remove or not.
        if self.backend.size(key).await?.is_none() {
            return Ok(false);
        }
        removal::one(&self.backend, key).await?;
        Ok(true)
    }

    pub(super) async fn remove_below(&self, folder: &Key) -> Result<(), Error> {
        removal::below(&self.backend, folder).await
    }

    pub(super) async fn list(
        &self,
        folder: &Key,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<Entry>, Error> {
        listing::list(&self.backend, folder, after, most).await
    }

    pub(super) async fn presigned(
        &self,
        key: &Key,
        valid: Duration,
    ) -> Result<Option<String>, Error> {
        let Some(signer) = &self.backend.signer else {
            return Ok(None);
        };
        let path = self.backend.path(key)?;
        let url = signer.signed_url(Method::GET, &path, valid).await;
        let url = url.map_err(|error| self.backend.fault(key, "signed", &error))?;
        Ok(Some(url.into()))
    }

    pub(super) async fn begin(&self, upload: &UploadKey, state: Bytes) -> Result<(), Error> {
        resume::begin(&self.backend, upload, &state).await
    }

    pub(super) async fn offset(&self, upload: &UploadKey) -> Result<Option<u64>, Error> {
        resume::offset(&self.backend, upload).await
    }

    pub(super) async fn resume(&self, upload: &UploadKey) -> Result<Option<Session>, Error> {
        resume::resume(&self.backend, &self.holds, upload).await
    }

    pub(super) async fn touched(&self, upload: &UploadKey) -> Result<Option<SystemTime>, Error> {
        listing::newest(&self.backend, upload.folder()).await
    }

    pub(super) async fn tidy(&self, age: Duration) -> Result<(), Error> {
        tidy::tidy(&self.backend, age).await
    }
}

impl Backend {
    async fn put(&self, key: &Key, payload: PutPayload) -> Result<(), Error> {
        let path = self.path(key)?;
        let options = PutOptions {
            attributes: self.attributes.clone(),
            ..PutOptions::default()
        };
        let put = self.objects.put_opts(&path, payload, options).await;
        put.map_err(|error| self.fault(key, "written", &error))?;
        Ok(())
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        let options = GetOptions::default().with_head(true);
        match self.objects.get_opts(&self.path(key)?, options).await {
            Ok(got) if copy::is_pending(&got.extensions) => Ok(None),
            Ok(got) => Ok(Some(got.meta.size)),
            Err(error) if fault::is_missing(&error) => Ok(None),
            Err(error) => Err(self.fault(key, "read", &error)),
        }
    }
}

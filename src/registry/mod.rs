//! The embedded registry: blobs, uploads, manifests, tags and referrers over a [`Storage`], as the distribution
//! specification (v1.1) has them. Domain in, domain out: it knows no HTTP, no rights and no configuration but its own.
//!
//! Content is served only where a link of the repository says that it belongs there. Every write names what it relies
//! on before it relies on it: bytes first, then the link to them, then what refers to the link.

mod error;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::body::BoxError;
use crate::config;
use crate::oci::{Digest, Reference, RepositoryName};
use crate::storage::ByteStream;
use crate::storage::OpenError;
use crate::storage::Storage;

pub(crate) use error::Error;

/// Bytes of a request as they come; the error is the client's ([`crate::body::ClientFault`]) or ours.
pub(crate) type ByteSource<'a> = BoxStream<'a, Result<Bytes, BoxError>>;

/// Whether somebody may see a repository.
pub(crate) type Visible<'a> = &'a (dyn Fn(&RepositoryName) -> bool + Sync);

/// One registry.
#[derive(Debug)]
pub(crate) struct Registry {
    storage: Storage,
    config: config::Registry,
}

/// A blob of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    /// As it was asked for.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// Under which it lies.
    canonical: Digest,
}

/// What a client says about the bytes that it sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// `Content-Range`: the first and the last byte.
    pub range: Option<(u64, u64)>,
    /// `Content-Length`
    pub length: Option<u64>,
}

/// A manifest of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// As it was asked for, or what the tag stands for.
    pub digest: Digest,
    /// As it was pushed.
    pub media_type: String,
    /// As they were pushed.
    pub bytes: Bytes,
}

/// What became of a manifest that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Its digest; the one that the client named, where it named one.
    pub digest: Digest,
    /// The manifest that it refers to.
    pub subject: Option<Digest>,
}

/// A descriptor in a list of referrers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Referrer {
    /// `mediaType`
    pub media_type: String,
    /// `digest`
    pub digest: String,
    /// `size`
    pub size: u64,
    /// `artifactType`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// `annotations`
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A page of what refers to a manifest, ordered by digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Referrers {
    /// The page.
    pub descriptors: Vec<Referrer>,
    /// Whether more come after the last one.
    pub more: bool,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Abandoned uploads that were removed.
    pub uploads: u64,
}

impl Registry {
    pub(crate) fn open(config: &config::Registry) -> Result<Self, OpenError> {
        todo!()
    }
    pub(crate) fn is_made_of(&self, config: &config::Registry) -> bool {
        todo!()
    }
    pub(crate) async fn check(&self) -> Result<(), Error> {
        todo!()
    }
    pub(crate) async fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Blob, Error> {
        todo!()
    }
    pub(crate) async fn read_blob(
        &self,
        blob: &Blob,
        range: Range<u64>,
    ) -> Result<ByteStream, Error> {
        todo!()
    }
    pub(crate) async fn blob_address(&self, blob: &Blob) -> Result<Option<String>, Error> {
        todo!()
    }
    pub(crate) async fn delete_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Error> {
        todo!()
    }
    pub(crate) async fn mount(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: &RepositoryName,
    ) -> Result<bool, Error> {
        todo!()
    }
    pub(crate) async fn begin_upload(&self, name: &RepositoryName) -> Result<String, Error> {
        todo!()
    }
    pub(crate) async fn upload_offset(
        &self,
        name: &RepositoryName,
        id: &str,
    ) -> Result<u64, Error> {
        todo!()
    }
    pub(crate) async fn append(
        &self,
        name: &RepositoryName,
        id: &str,
        chunk: Chunk,
        body: ByteSource<'_>,
    ) -> Result<u64, Error> {
        todo!()
    }
    pub(crate) async fn close(
        &self,
        name: &RepositoryName,
        id: &str,
        chunk: Chunk,
        body: ByteSource<'_>,
        digest: &Digest,
    ) -> Result<(), Error> {
        todo!()
    }
    pub(crate) async fn put_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        length: Option<u64>,
        body: ByteSource<'_>,
    ) -> Result<(), Error> {
        todo!()
    }
    pub(crate) async fn cancel_upload(&self, name: &RepositoryName, id: &str) -> Result<(), Error> {
        todo!()
    }
    pub(crate) async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Manifest, Error> {
        todo!()
    }
    pub(crate) async fn put_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        media_type: Option<&str>,
        bytes: Bytes,
    ) -> Result<Stored, Error> {
        todo!()
    }
    pub(crate) async fn delete_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<(), Error> {
        todo!()
    }
    pub(crate) async fn tags(
        &self,
        name: &RepositoryName,
        last: Option<&str>,
        most: usize,
    ) -> Result<Vec<String>, Error> {
        todo!()
    }
    pub(crate) async fn catalog(
        &self,
        last: Option<&str>,
        most: usize,
        visible: Visible<'_>,
    ) -> Result<Vec<String>, Error> {
        todo!()
    }
    pub(crate) async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
        most: usize,
    ) -> Result<Referrers, Error> {
        todo!()
    }
    pub(crate) async fn sweep(&self, expiry: Duration) -> Result<Swept, Error> {
        todo!()
    }
}

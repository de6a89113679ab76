//! The embedded registry: blobs, uploads, manifests, tags and referrers over a [`Storage`], as the distribution
//! specification (v1.1) has them. Domain in, domain out: it knows no HTTP, no rights and no configuration but its own.
//!
//! Content is served only where a link of the repository says that it belongs there. Every write names what it relies
//! on before it relies on it: bytes first, then the link to them, then what refers to the link.

mod aside;
mod blob;
mod catalog;
mod content;
mod digester;
mod error;
mod intake;
mod link;
mod manifest;
#[cfg(any(test, fuzzing))]
pub(crate) mod property;
mod quota;
mod referrer;
mod room;
mod sweep;
mod tag;
mod ticket;
mod turn;
mod upload;
mod verified;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::body::BoxError;
use crate::config;
use crate::oci::{Digest, RepositoryName};
use crate::storage::ByteStream;
use crate::storage::{OpenError, Storage};

use content::Contents;
use quota::Uploads;
use room::Room;
use turn::Turns;

pub(crate) use content::LARGE;
pub(crate) use error::Error;
pub(crate) use ticket::Owner;

/// Bytes of a request as they come; the error is the client's ([`crate::body::ClientFault`]) or ours.
pub(crate) type ByteSource<'a> = BoxStream<'a, Result<Bytes, BoxError>>;

/// Whether somebody may see a repository.
pub(crate) type Visible<'a> = &'a (dyn Fn(&RepositoryName) -> bool + Sync);

/// One registry.
#[derive(Debug)]
pub(crate) struct Registry {
    storage: Arc<Storage>,
    config: config::Registry,
    contents: Contents,
    uploads: Uploads,
    room: Room,
    turns: Turns,
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
    /// Bytes.
    pub length: u64,
    /// As they were pushed; those of a large one are to be read.
    bytes: Option<Bytes>,
    /// Under which it lies.
    canonical: Digest,
}

/// How the bytes of a manifest come.
pub(crate) enum Sent {
    /// All of them, and few.
    Whole(Bytes),
    /// Read as they are taken.
    Streamed(ByteStream),
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
    /// Uploads that are left.
    pub open: u64,
}

impl Registry {
    /// Opens the store that the configuration names.
    ///
    /// # Errors
    /// Names the folder, bucket or setting that cannot be used.
    pub(crate) fn open(config: &config::Registry) -> Result<Self, OpenError> {
        let storage = Storage::open(&config.storage)?;
        Ok(Self {
            storage: Arc::new(storage),
            config: config.clone(),
            contents: Contents::new(),
            uploads: Uploads::default(),
            room: Room::default(),
            turns: Turns::default(),
        })
    }

    /// This registry under other settings, if they are those of the same store: whoever has an upload in hand keeps it,
    /// and memory keeps what is in it.
    pub(crate) fn with_switches(&self, config: &config::Registry) -> Option<Self> {
        let same = self.config.storage == config.storage;
        same.then(|| Self {
            storage: Arc::clone(&self.storage),
            config: config.clone(),
            contents: Contents::new(),
            uploads: self.uploads.clone(),
            room: self.room.clone(),
            turns: Turns::default(),
        })
    }

    /// Whether these are its settings.
    pub(crate) fn is_made_of(&self, config: &config::Registry) -> bool {
        self.config == *config
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        Ok(self.storage.check().await?)
    }

    fn writable(&self) -> Result<(), Error> {
        if self.config.read_only {
            return Err(Error::Unsupported(
                "the registry is read only: nothing can be pushed, mounted or deleted",
            ));
        }
        Ok(())
    }

    fn deletable(&self) -> Result<(), Error> {
        self.writable()?;
        if !self.config.delete {
            return Err(Error::Unsupported(
                "deleting is switched off in this registry",
            ));
        }
        Ok(())
    }
}

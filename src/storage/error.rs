//! What can go wrong with a store, as decisions that a caller can take.

use std::path::PathBuf;

use crate::metrics::StorageFault;

use super::Key;

/// What lies beneath an error of a store.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The disk, or a quota on it, is full.
    #[error("no space is left for {key}; free some, or add to it")]
    Full {
        /// What was being written.
        key: Key,
        /// What the system said.
        #[source]
        source: Source,
    },
    /// Somebody else has the upload in hand.
    #[error("the upload {0} is being written by somebody else")]
    Busy(Key),
    /// The store is there and does not keep up, or does not answer: another time it may.
    #[error("the store does not answer for {key}")]
    Unavailable {
        /// What was asked for.
        key: Key,
        /// What came back.
        #[source]
        source: Source,
    },
    /// What lies under the name cannot be what was written there.
    #[error("{key} in the store is damaged: {what}")]
    Corrupt {
        /// What is damaged.
        key: Key,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Anything else: a person has to look.
    #[error("{key} in the store cannot be {verb}")]
    Failed {
        /// What was worked on.
        key: Key,
        /// `read`, `written`, `removed`, `listed`.
        verb: &'static str,
        /// What the system said.
        #[source]
        source: Source,
    },
}

impl Error {
    /// How it is counted; `None` where the store is well and somebody else was faster.
    pub(crate) fn fault(&self) -> Option<StorageFault> {
        match self {
            Self::Full { .. } => Some(StorageFault::Full),
            Self::Busy(_) => None,
            Self::Unavailable { .. } => Some(StorageFault::Unavailable),
            Self::Corrupt { .. } => Some(StorageFault::Damaged),
            Self::Failed { .. } => Some(StorageFault::Failed),
        }
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The folder cannot be made, or not be written to.
    #[error(
        "the folder {folder} of the registry cannot be used; make it, and let this user write to it"
    )]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The settings of a bucket do not go together.
    #[error("the bucket of [registry] cannot be used")]
    Bucket(#[source] Source),
}

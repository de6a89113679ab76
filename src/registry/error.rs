//! What a registry says no with.

use crate::body::ClientFault;
use crate::oci::Digest;
use crate::storage;

/// Why the registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such repository.
    #[error("the repository is not known")]
    NameUnknown,
    /// The repository has no such blob.
    #[error("the repository has no such blob")]
    BlobUnknown,
    /// The repository has no such manifest.
    #[error("the repository has no such manifest")]
    ManifestUnknown,
    /// There is no such upload, or no more.
    #[error("there is no such upload; begin a new one")]
    UploadUnknown,
    /// Another request writes this upload.
    #[error("another request is writing this upload; ask for its status and go on from there")]
    UploadBusy,
    /// No more uploads may be begun.
    #[error(
        "{whose} {open} uploads open, as many as may be; finish or cancel one, or try again later"
    )]
    TooManyUploads {
        /// Who has them, with the verb.
        whose: &'static str,
        /// How many.
        open: usize,
    },
    /// The chunk does not begin where the upload ends.
    #[error("the chunk does not begin where the upload ends, at byte {offset}")]
    OutOfOrder {
        /// Bytes that are there.
        offset: u64,
    },
    /// What came is not what the digest says.
    #[error("the content does not have the digest that was named")]
    DigestMismatch,
    /// What came is not as long as was said.
    #[error("the content is not as long as was said")]
    SizeMismatch,
    /// The manifest cannot be kept as it is.
    #[error("the manifest is refused: {0}")]
    ManifestInvalid(String),
    /// The manifest names content that the repository does not have.
    #[error("the manifest names content that the repository does not have")]
    ManifestReferences(Vec<Digest>),
    /// Too many large manifests are being pushed.
    #[error("too many large manifests are being pushed; try again later")]
    Crowded,
    /// The registry is not to do this.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The request's body broke off; what came of an upload is kept.
    #[error(transparent)]
    Client(#[from] ClientFault),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

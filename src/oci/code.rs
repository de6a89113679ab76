//! The error codes of the distribution specification.

/// A code of the table "Error Codes" (code-1 to code-14), and the few that registries in use add to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The repository name is malformed.
    NameInvalid,
    /// The repository, or the path below `/v2/`, is not known.
    NameUnknown,
    /// There is no such manifest in the repository.
    ManifestUnknown,
    /// There is no such blob in the repository.
    BlobUnknown,
    /// The upload cannot be gone on with in this way.
    BlobUploadInvalid,
    /// There is no such upload.
    BlobUploadUnknown,
    /// The manifest names content that the repository does not have.
    ManifestBlobUnknown,
    /// The tag is malformed (distribution's own; the specification folds it into the name).
    TagInvalid,
    /// The digest is malformed or does not match.
    DigestInvalid,
    /// A manifest is refused as it is.
    ManifestInvalid,
    /// The body is larger than may be, or than it said.
    SizeInvalid,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// The `n` of a list is not a number (distribution's own).
    PaginationNumberInvalid,
    /// The credentials are right and do not suffice.
    Denied,
    /// The method or feature is not carried.
    Unsupported,
    /// Come back later.
    TooManyRequests,
    /// The registry behind us, or we ourselves, cannot answer (distribution's own).
    Unavailable,
    /// An error without a better name (distribution's own).
    Unknown,
}

impl Code {
    /// The code as it stands in the JSON document.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::TagInvalid => "TAG_INVALID",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
        }
    }
}

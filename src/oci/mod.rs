//! The nouns of the OCI distribution specification as types that cannot hold an invalid value.
//!
//! Pure: no I/O, no HTTP. Follows distribution-spec v1.1, "Pulling manifests" for names and tags, image-spec
//! `descriptor.md` for digests, "Listing tags" for lists, and "Error Codes" for [`Code`].

mod code;
mod digest;
mod listing;
mod manifest;
mod media_type;
mod name;
mod outline;
mod pattern;
#[cfg(any(test, fuzzing))]
pub(crate) mod property;
mod reference;

pub(crate) use code::Code;
pub(crate) use digest::{Algorithm, Digest};
pub(crate) use listing::{ListReader, Repositories, Tags};
pub(crate) use manifest::Document;
pub(crate) use name::RepositoryName;
pub(crate) use outline::Outline;
pub(crate) use pattern::{Pattern, is_like_text};
pub(crate) use reference::{Reference, Tag};

/// Why a text is not the noun it should be; the HTTP answer carries the code and this sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Invalid {
    /// The code of the specification for this noun.
    pub code: Code,
    /// What is wrong and what would be right.
    pub message: &'static str,
}

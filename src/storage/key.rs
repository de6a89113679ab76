//! Every name in the store, once: the layout of registry:2 (`docker/registry/v2`).

use std::fmt;

use crate::oci::{Digest, RepositoryName, Tag};

/// What all names begin with.
const ROOT: &str = "docker/registry/v2";

/// The name of a file or folder in the store: segments of letters, digits and `._-:` with `/` between them, made of
/// nouns that cannot hold anything else. Never begins or ends in `/`, and has no dot segments.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(String);

impl Key {
    /// The folder of everything.
    pub(super) fn root() -> Self {
        Self(ROOT.to_owned())
    }

    /// The bytes of a blob; manifests are blobs too.
    pub(crate) fn blob(digest: &Digest) -> Self {
        let hex = digest.hex();
        let first = hex.get(..2).unwrap_or_default();
        let algorithm = digest.algorithm().as_str();
        Self(format!("{ROOT}/blobs/{algorithm}/{first}/{hex}/data"))
    }

    /// The folder of all repositories.
    pub(crate) fn repositories() -> Self {
        Self(format!("{ROOT}/repositories"))
    }

    /// The folder of one repository.
    pub(crate) fn repository(name: &RepositoryName) -> Self {
        Self(format!("{ROOT}/repositories/{name}"))
    }

    /// Says that the repository has a blob.
    pub(crate) fn layer(name: &RepositoryName, digest: &Digest) -> Self {
        Self::repository(name).linked("_layers", digest)
    }

    /// Says that the repository has a manifest.
    pub(crate) fn revision(name: &RepositoryName, digest: &Digest) -> Self {
        Self::repository(name).linked("_manifests/revisions", digest)
    }

    /// The folder of all tags.
    pub(crate) fn tags(name: &RepositoryName) -> Self {
        Self::repository(name).below("_manifests/tags")
    }

    /// The folder of one tag.
    pub(crate) fn tag(name: &RepositoryName, tag: &Tag) -> Self {
        Self::tags(name).below(tag.as_str())
    }

    /// What a tag stands for now.
    pub(crate) fn current(name: &RepositoryName, tag: &Tag) -> Self {
        Self::tag(name, tag).below("current/link")
    }

    /// Says that a tag stood for a manifest once.
    pub(crate) fn history(name: &RepositoryName, tag: &Tag, digest: &Digest) -> Self {
        Self::tag(name, tag).linked("index", digest)
    }

    /// The folder of what refers to a manifest: one folder for each referrer, called by its sha256 digest in
    /// hexadecimal. Our own, which registry:2 passes over.
    pub(crate) fn referrers(name: &RepositoryName, subject: &Digest) -> Self {
        let (algorithm, hex) = (subject.algorithm().as_str(), subject.hex());
        Self::repository(name).below(&format!("_manifests/referrers/{algorithm}/{hex}/sha256"))
    }

    /// Says that one manifest, known by its sha256 digest, refers to another.
    pub(crate) fn referrer(name: &RepositoryName, subject: &Digest, referrer: &Digest) -> Self {
        let hex = referrer.hex();
        Self::referrers(name, subject).below(&format!("{hex}/link"))
    }

    /// The folder of all uploads in progress.
    pub(crate) fn uploads(name: &RepositoryName) -> Self {
        Self::repository(name).below("_uploads")
    }

    /// What stands below; `path` is made of the store's own words.
    pub(super) fn below(&self, path: &str) -> Self {
        Self(format!("{}/{path}", self.0))
    }

    fn linked(&self, folder: &str, digest: &Digest) -> Self {
        let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
        self.below(&format!("{folder}/{algorithm}/{hex}/link"))
    }

    /// The name, without a slash at its beginning.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The folder of one upload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UploadKey(Key);

impl UploadKey {
    /// The upload of this id, which is letters, digits and `-` (a UUID); `None` for any other text.
    pub(crate) fn new(name: &RepositoryName, id: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let good = !id.is_empty() && id.len() <= 64 && id.bytes().all(plain);
        good.then(|| Self(Key::uploads(name).below(id)))
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Key {
        &self.0
    }

    /// When it was begun.
    pub(super) fn started_at(&self) -> Key {
        self.0.below("startedat")
    }

    /// Its bytes.
    pub(super) fn data(&self) -> Key {
        self.0.below("data")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_registry_2() {
        let name = RepositoryName::parse("team/app").unwrap();
        let hex = "ab".repeat(32);
        let digest = Digest::parse(&format!("sha256:{hex}")).unwrap();
        let tag = Tag::parse("1.0").unwrap();
        let repository = "docker/registry/v2/repositories/team/app";
        for (key, wanted) in [
            (
                Key::blob(&digest),
                format!("docker/registry/v2/blobs/sha256/ab/{hex}/data"),
            ),
            (
                Key::layer(&name, &digest),
                format!("{repository}/_layers/sha256/{hex}/link"),
            ),
            (
                Key::revision(&name, &digest),
                format!("{repository}/_manifests/revisions/sha256/{hex}/link"),
            ),
            (
                Key::current(&name, &tag),
                format!("{repository}/_manifests/tags/1.0/current/link"),
            ),
            (
                Key::history(&name, &tag, &digest),
                format!("{repository}/_manifests/tags/1.0/index/sha256/{hex}/link"),
            ),
            (
                UploadKey::new(&name, "5498b0a1-aa").unwrap().data(),
                format!("{repository}/_uploads/5498b0a1-aa/data"),
            ),
        ] {
            assert_eq!(key.as_str(), wanted);
        }
    }

    #[test]
    fn an_upload_id_is_no_path() {
        let name = RepositoryName::parse("a").unwrap();
        for id in ["", ".", "..", "a/b", "../x", "a.b", "a\0", &"a".repeat(65)] {
            assert!(UploadKey::new(&name, id).is_none(), "{id}");
        }
    }
}

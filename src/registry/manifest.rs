//! Manifests of a repository: found, kept, taken out (end-3, 7, 9).

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::oci::{Digest, Document, Reference, RepositoryName, Tag};
use crate::storage;
use crate::storage::Key;

use super::aside::aside;
use super::content::MAX_MANIFEST;
use super::digester::digests;
use super::verified::verified;
use super::{Error, Manifest, Registry, Sent, Stored, link};

/// Questions to the store at the same time, of one request.
pub(super) const AT_ONCE: usize = 16;

/// Tags that are looked at in one go.
const PAGE: usize = 1000;

impl Registry {
    /// A manifest that the repository has, by the tag that stands for it now or by a digest.
    ///
    /// # Errors
    /// [`Error::ManifestUnknown`]; [`Error::Storage`] where its bytes are damaged.
    pub(crate) async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Manifest, Error> {
        let canonical = self.standing(name, reference).await?;
        let canonical = canonical.ok_or(Error::ManifestUnknown)?;
        let content = self.contents.get(&self.storage, &canonical).await?;
        let content = content.ok_or(Error::ManifestUnknown)?;
        let digest = match reference {
            Reference::Digest(digest) => digest.clone(),
            Reference::Tag(_) => canonical.clone(),
        };
        if digest != canonical && content.sha512.as_ref() != Some(&digest) {
            return Err(Error::Storage(storage::Error::Corrupt {
                key: Key::revision(name, &digest),
                what: "it stands for other bytes",
            }));
        }
        Ok(Manifest {
            digest,
            media_type: content.media_type.clone(),
            length: content.length,
            bytes: content.bytes.clone(),
            canonical,
        })
    }

    /// The bytes of a manifest for a client that may take its time: what is large is read again as it is taken, so that nobody
    /// holds it, and ends in an error in place of its last bytes should it have changed since it was found.
    ///
    /// # Errors
    /// [`Error::ManifestUnknown`] if they are gone by now.
    pub(crate) async fn read_manifest(&self, manifest: Manifest) -> Result<Sent, Error> {
        if let Some(bytes) = manifest.bytes {
            return Ok(Sent::Whole(bytes));
        }
        let key = Key::blob(&manifest.canonical);
        let stream = self.storage.stream(&key, 0..manifest.length).await?;
        let stream = stream.ok_or(Error::ManifestUnknown)?;
        Ok(Sent::Streamed(verified(stream, key, manifest.canonical)))
    }

    /// The sha256 digest of what a reference stands for; the repository has to have it as a manifest.
    async fn standing(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<Digest>, Error> {
        let digest = match reference {
            Reference::Digest(digest) => digest.clone(),
            Reference::Tag(tag) => {
                match link::read(&self.storage, &Key::current(name, tag)).await? {
                    Some(digest) => digest,
                    None => return Ok(None),
                }
            }
        };
        self.revision(name, &digest).await
    }

    /// The sha256 digest of a manifest that the repository has.
    pub(super) async fn revision(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Digest>, Error> {
        let link = Key::revision(name, digest);
        Ok(link::resolve(&self.storage, &link, digest).await?)
    }

    /// Keeps a manifest, and has the tag stand for it if it is pushed by one. On stable storage when this returns.
    ///
    /// # Errors
    /// [`Error::ManifestInvalid`], [`Error::ManifestReferences`], [`Error::DigestMismatch`], [`Error::Unsupported`]
    pub(crate) async fn put_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        media_type: Option<&str>,
        bytes: Bytes,
    ) -> Result<Stored, Error> {
        self.writable()?;
        if bytes.len() as u64 > MAX_MANIFEST {
            let why = format!("it is longer than {MAX_MANIFEST} bytes");
            return Err(Error::ManifestInvalid(why));
        }
        let (read, sent) = (bytes.clone(), media_type.map(str::to_owned));
        let judge = move || (digests(&read), Document::parse(&read, sent.as_deref()));
        let (digests, document) = aside(bytes.len(), &Key::repository(name), judge).await?;
        let named = match reference {
            Reference::Digest(digest) if digests.like(digest) == Some(digest) => digest.clone(),
            Reference::Digest(_) => return Err(Error::DigestMismatch),
            Reference::Tag(_) => digests.sha256.clone(),
        };
        let document = document.map_err(|fault| Error::ManifestInvalid(fault.to_string()))?;
        self.expect_references(name, &document).await?;
        let canonical = digests.sha256;
        self.storage.write(&Key::blob(&canonical), bytes).await?;
        self.contents.forget(&canonical).await;

        let _turn = self.turns.push(name).await;
        let links = links(name, reference, &canonical, document.subject.as_ref());
        for key in links {
            link::write(&self.storage, &key, &canonical).await?;
        }
        Ok(Stored {
            digest: named,
            subject: document.subject,
        })
    }

    /// That the repository has all that a manifest needs; else every digest that it lacks.
    async fn expect_references(
        &self,
        name: &RepositoryName,
        document: &Document,
    ) -> Result<(), Error> {
        let blobs = document.blobs.iter().map(|digest| (digest, false));
        let manifests = document.manifests.iter().map(|digest| (digest, true));
        let mut seen = HashSet::new();
        let wanted: Vec<(Digest, bool)> = blobs
            .chain(manifests)
            .filter(|(digest, _)| seen.insert(*digest))
            .map(|(digest, is_manifest)| (digest.clone(), is_manifest))
            .collect();
        let missing: Vec<Option<Digest>> = stream::iter(wanted)
            .map(async |(digest, is_manifest)| {
                let there = self.has(name, &digest, is_manifest).await?;
                Ok::<_, Error>((!there).then_some(digest))
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let missing: Vec<Digest> = missing.into_iter().flatten().collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::ManifestReferences(missing))
    }

    /// What an index lists may be a blob as well, as by registry:2: `BuildKit` writes its caches so.
    async fn has(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        is_manifest: bool,
    ) -> Result<bool, Error> {
        if is_manifest && let Some(canonical) = self.revision(name, digest).await? {
            let size = self.storage.size(&Key::blob(&canonical)).await?;
            return Ok(size.is_some());
        }
        match self.blob(name, digest).await {
            Ok(_) => Ok(true),
            Err(Error::BlobUnknown) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// By a tag takes the tag away, and by a digest the manifest with all tags that stand for it now. Bytes stay.
    ///
    /// # Errors
    /// [`Error::ManifestUnknown`], [`Error::Unsupported`]
    pub(crate) async fn delete_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<(), Error> {
        self.deletable()?;
        let _turn = self.turns.delete(name).await;
        match reference {
            Reference::Tag(tag) => {
                let current = self.storage.size(&Key::current(name, tag)).await?;
                current.ok_or(Error::ManifestUnknown)?;
                Ok(self.storage.remove_below(&Key::tag(name, tag)).await?)
            }
            Reference::Digest(digest) => {
                let canonical = self.revision(name, digest).await?;
                let canonical = canonical.ok_or(Error::ManifestUnknown)?;
                self.delete_revision(name, digest, &canonical).await
            }
        }
    }

    /// Tags first, the name that was asked for last: after a crash in between it can be asked for again.
    async fn delete_revision(
        &self,
        name: &RepositoryName,
        asked: &Digest,
        canonical: &Digest,
    ) -> Result<(), Error> {
        self.delete_tags(name, canonical).await?;
        // Whoever deletes a damaged one wants to be rid of it, so what cannot be read is no obstacle.
        let content = self.contents.get(&self.storage, canonical).await;
        let content = content.ok().flatten();
        if let Some(subject) = content.as_ref().and_then(|c| c.subject.as_ref()) {
            let entry = Key::referrer(name, subject, canonical);
            self.storage.remove(&entry).await?;
        }
        let alias = content.as_ref().and_then(|c| c.sha512.as_ref());
        for other in alias.into_iter().chain([canonical]) {
            if other != asked {
                self.storage.remove(&Key::revision(name, other)).await?;
            }
        }
        self.storage.remove(&Key::revision(name, asked)).await?;
        self.contents.forget(canonical).await;
        Ok(())
    }

    async fn delete_tags(&self, name: &RepositoryName, canonical: &Digest) -> Result<(), Error> {
        let mut after: Option<String> = None;
        loop {
            let tags = Key::tags(name);
            let page = self.storage.list(&tags, after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.name.clone());
            let tags = page.into_iter().filter_map(|e| Tag::parse(&e.name).ok());
            stream::iter(tags)
                .map(Ok)
                .try_for_each_concurrent(AT_ONCE, async |tag| {
                    let current = link::read(&self.storage, &Key::current(name, &tag)).await?;
                    if current.as_ref() == Some(canonical) {
                        self.storage.remove_below(&Key::tag(name, &tag)).await?;
                    }
                    Ok::<_, Error>(())
                })
                .await?;
        }
    }
}

/// The links of a manifest in the order in which they are written: nothing stands for what is not there yet, and what
/// clients look up first, the tag, comes last.
fn links(
    name: &RepositoryName,
    reference: &Reference,
    canonical: &Digest,
    subject: Option<&Digest>,
) -> Vec<Key> {
    let mut links = vec![Key::revision(name, canonical)];
    if let Some(subject) = subject {
        links.push(Key::referrer(name, subject, canonical));
    }
    match reference {
        Reference::Digest(digest) if digest != canonical => {
            links.push(Key::revision(name, digest));
        }
        Reference::Digest(_) => {}
        Reference::Tag(tag) => {
            links.push(Key::history(name, tag, canonical));
            links.push(Key::current(name, tag));
        }
    }
    links
}

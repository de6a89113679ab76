//! What refers to a manifest (end-12).
//!
//! Known are the manifests with a subject that were pushed here, by a link for each, and those that clients listed in
//! the index of the fallback tag (`sha256-<hex>`) while another registry served this store, as "Enabling the Referrers
//! API" asks. A manifest that was pushed through registry:2 by a client that did not keep that index is not known.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use crate::oci::{Algorithm, Digest, Reference, RepositoryName, Tag};
use crate::storage::Key;

use super::content::{Content, outline};
use super::{Error, Referrer, Referrers, Registry};

/// Links that are asked of the store in one go.
const PAGE: usize = 1000;

/// Manifests that are read at the same time: up to 4 MiB each.
const AT_ONCE: usize = 4;

/// Bytes of the descriptors of one answer: as many as of a manifest, which clients read it like.
const MAX_ANSWER: usize = 4 << 20;

impl Registry {
    /// The first `most` descriptors of what refers to `subject`, ordered by digest, after `last`; of one type of artifact
    /// only, if one is named. Whatever does not exist has an empty list. A page ends early at 4 MiB.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
        most: usize,
    ) -> Result<Referrers, Error> {
        let mut page = Referrers::default();
        let mut size = 0;
        let mut listed = self.listed(name, subject).await?;
        let mut after = last.cloned();
        loop {
            let (batch, complete) = self
                .candidates(name, subject, after.as_ref(), &mut listed)
                .await?;
            after = batch.last().cloned();
            let mut found = stream::iter(batch)
                .map(async |digest| self.referrer(name, subject, &digest).await)
                .buffered(AT_ONCE);
            while let Some(found) = found.next().await {
                let wanted = |r: &Referrer| {
                    artifact_type.is_none_or(|wanted| r.artifact_type.as_deref() == Some(wanted))
                };
                let Some(referrer) = found?.filter(wanted) else {
                    continue;
                };
                size += referrer.weight();
                if page.descriptors.len() >= most
                    || (size > MAX_ANSWER && !page.descriptors.is_empty())
                {
                    page.more = true;
                    return Ok(page);
                }
                page.descriptors.push(referrer);
            }
            if complete || after.is_none() {
                return Ok(page);
            }
        }
    }

    /// The next digests after `after`, in order: of our links, and of those that were `listed` elsewhere as far as these
    /// go. And whether these are the last.
    async fn candidates(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        after: Option<&Digest>,
        listed: &mut BTreeSet<String>,
    ) -> Result<(Vec<Digest>, bool), Error> {
        if after.is_some_and(|digest| digest.algorithm() == Algorithm::Sha512) {
            // All are known by sha256 here, which comes before.
            return Ok((Vec::new(), true));
        }
        let after = after.map(Digest::hex);
        let folder = Key::referrers(name, subject);
        let links = self.storage.list(&folder, after, PAGE).await?;
        let complete = links.len() < PAGE;
        let mut batch: BTreeSet<String> = links.into_iter().map(|entry| entry.name).collect();
        let rest = match batch.last() {
            Some(end) if !complete => listed.split_off(end),
            _ => BTreeSet::new(),
        };
        let passed = |hex: &String| after.is_none_or(|after| hex.as_str() > after);
        batch.extend(std::mem::replace(listed, rest).into_iter().filter(passed));
        let digest = |hex: String| Digest::parse(&format!("sha256:{hex}")).ok();
        Ok((batch.into_iter().filter_map(digest).collect(), complete))
    }

    /// What the fallback tag's index lists, by sha256 in hexadecimal.
    async fn listed(
        &self,
        name: &RepositoryName,
        subject: &Digest,
    ) -> Result<BTreeSet<String>, Error> {
        let mut listed = BTreeSet::new();
        let Ok(tag) = Tag::parse(&fallback_tag(subject)) else {
            return Ok(listed);
        };
        let index = match self.manifest(name, &Reference::Tag(tag)).await {
            Ok(index) => index,
            Err(Error::ManifestUnknown) => return Ok(listed),
            Err(error) => return Err(error),
        };
        let found = self.contents.get(&self.storage, &index.canonical).await?;
        let Some(bytes) = self.bytes(&index.canonical, found.as_deref()).await? else {
            return Ok(listed);
        };
        let manifests = outline(&bytes).map(|outline| outline.manifests);
        for digest in manifests.unwrap_or_default() {
            let canonical = match digest.algorithm() {
                Algorithm::Sha256 => Some(digest),
                Algorithm::Sha512 => self.revision(name, &digest).await?,
            };
            listed.extend(canonical.map(|digest| digest.hex().to_owned()));
        }
        Ok(listed)
    }

    /// All bytes of a manifest, to be looked through.
    async fn bytes(
        &self,
        digest: &Digest,
        content: Option<&Content>,
    ) -> Result<Option<Bytes>, Error> {
        match content {
            Some(content) => self.contents.whole(&self.storage, digest, content).await,
            None => Ok(None),
        }
    }

    /// The descriptor of a manifest; `None` if the repository does not have it, or it does not refer to `subject`.
    async fn referrer(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<Option<Referrer>, Error> {
        if self.revision(name, digest).await?.is_none() {
            return Ok(None);
        }
        let content = self.contents.get(&self.storage, digest).await?;
        let content = content.filter(|content| content.subject.as_ref() == Some(subject));
        let bytes = self.bytes(digest, content.as_deref()).await?;
        let outline = bytes.and_then(|bytes| outline(&bytes));
        let (Some(content), Some(outline)) = (content, outline) else {
            return Ok(None);
        };
        Ok(Some(Referrer {
            media_type: content.media_type.clone(),
            digest: digest.as_str().to_owned(),
            size: content.length,
            artifact_type: outline.artifact_type().map(str::to_owned),
            annotations: outline.annotations,
        }))
    }
}

impl Referrer {
    /// Bytes in an answer, about.
    fn weight(&self) -> usize {
        let texts = self
            .annotations
            .iter()
            .map(|(key, value)| key.len() + value.len() + 8);
        let fixed =
            256 + self.media_type.len() + self.artifact_type.as_ref().map_or(0, String::len);
        texts.sum::<usize>() + fixed
    }
}

/// By "Referrers Tag Schema": algorithm and 64 digits at most.
fn fallback_tag(subject: &Digest) -> String {
    let hex = subject.hex();
    let digits = hex.get(..64).unwrap_or(hex);
    format!("{}-{digits}", subject.algorithm().as_str())
}

//! The tags of a repository (end-8).

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::oci::{RepositoryName, Tag};
use crate::storage::{Entry, Key};

use super::manifest::AT_ONCE;
use super::walk::Folder;
use super::{Error, Registry};

/// Names that are asked of the store in one go.
const PAGE: usize = 1000;

impl Registry {
    /// The first `most` tags after `last`, in byte order: those that stand for something. Whether that is still there
    /// is not looked up, as by registry:2.
    ///
    /// # Errors
    /// [`Error::NameUnknown`] of a repository that never had a manifest, as by registry:2.
    pub(crate) async fn tags(
        &self,
        name: &RepositoryName,
        last: Option<&str>,
        most: usize,
    ) -> Result<Vec<String>, Error> {
        let mut tags = Vec::new();
        let mut after = last.map(str::to_owned);
        while tags.len() < most {
            let folder = Key::tags(name);
            let page = self.storage.list(&folder, after.as_deref(), PAGE).await?;
            let Some(end) = page.last() else {
                break;
            };
            after = Some(end.name.clone());
            let set = self.set_tags(name, page, most - tags.len()).await?;
            tags.extend(set);
        }
        if tags.is_empty() && !Folder::of(&self.storage, name).await?.manifests {
            return Err(Error::NameUnknown);
        }
        Ok(tags)
    }

    /// Those of a page that are set; a tag in whose folder history alone is left is none.
    async fn set_tags(
        &self,
        name: &RepositoryName,
        page: Vec<Entry>,
        most: usize,
    ) -> Result<Vec<String>, Error> {
        let folders = page.into_iter().filter(|entry| entry.is_folder);
        let tags = folders.filter_map(|entry| Tag::parse(&entry.name).ok());
        stream::iter(tags)
            .map(async |tag| {
                let current = self.storage.size(&Key::current(name, &tag)).await?;
                Ok(current.map(|_| tag.as_str().to_owned()))
            })
            .buffered(AT_ONCE)
            .try_filter_map(async |tag| Ok(tag))
            .take(most)
            .try_collect()
            .await
    }
}

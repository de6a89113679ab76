//! Listing, in the order of names: stores have an order of their own.
//!
//! A store orders `1.0-rc/…` before `1.0/…`, because `-` comes before `/`; names are ordered the other way round. So a
//! folder may come later than names that stand after it. Such a folder's name is the beginning of one that was seen
//! already, so the few that are possible are asked for one by one, and the rest of a large folder need not be read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::SystemTime;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::ListResult;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;

use super::super::{Entry, Error, Key};
use super::backend::Backend;

/// Questions for single folders at a time.
const AT_ONCE: usize = 16;

/// The most that a store puts into one page.
const PAGE: usize = 1000;

/// Names, and whether they are folders.
type Names = BTreeMap<String, bool>;

/// Asks the store for one name.
pub(super) async fn touch(backend: &Backend) -> Result<(), Error> {
    let key = Key::repositories();
    if let Some(pages) = &backend.pages {
        let prefix = format!("{}docker/", backend.prefix);
        let options = PaginatedListOptions {
            max_keys: Some(1),
            ..PaginatedListOptions::default()
        };
        let page = pages.list_paginated(Some(&prefix), options).await;
        page.map_err(|error| backend.fault(&key, "listed", &error))?;
    }
    Ok(())
}

/// What lies directly in a folder.
pub(super) async fn list(
    backend: &Backend,
    folder: &Key,
    after: Option<&str>,
    most: usize,
) -> Result<Vec<Entry>, Error> {
    if most == 0 {
        return Ok(Vec::new());
    }
    let Some(pages) = &backend.pages else {
        let path = backend.path(folder)?;
        let all = backend.objects.list_with_delimiter(Some(&path)).await;
        let all = all.map_err(|error| backend.fault(folder, "listed", &error))?;
        let mut names = Names::new();
        gather(&mut names, &all, after);
        return Ok(entries(names, most));
    };
    let folder = Folder {
        backend,
        pages: &**pages,
        key: folder,
        prefix: format!("{}/", backend.name(folder)),
    };
    folder.list(after, most).await
}

/// When something in a folder was last written.
pub(super) async fn newest(backend: &Backend, folder: &Key) -> Result<Option<SystemTime>, Error> {
    let path = backend.path(folder)?;
    let newest = backend
        .objects
        .list(Some(&path))
        .try_fold(None, |newest, object| async move {
            Ok(newest.max(Some(SystemTime::from(object.last_modified))))
        });
    newest
        .await
        .map_err(|error| backend.fault(folder, "listed", &error))
}

struct Folder<'a> {
    backend: &'a Backend,
    pages: &'a dyn PaginatedListStore,
    key: &'a Key,
    /// With a slash at its end.
    prefix: String,
}

impl Folder<'_> {
    async fn list(&self, after: Option<&str>, most: usize) -> Result<Vec<Entry>, Error> {
        let mut names = Names::new();
        let mut token = None;
        loop {
            let (page, next) = self.page(after, token, most).await?;
            gather(&mut names, &page, after);
            token = next;
            if token.is_none() || names.len() >= most {
                break;
            }
        }
        if token.is_some() {
            let possible = beginnings(&names, after, most);
            let found: Vec<_> = stream::iter(possible)
                .map(|name| self.is_folder(name))
                .buffered(AT_ONCE)
                .try_collect()
                .await?;
            names.extend(found.into_iter().flatten().map(|name| (name, true)));
        }
        Ok(entries(names, most))
    }

    async fn page(
        &self,
        after: Option<&str>,
        token: Option<String>,
        most: usize,
    ) -> Result<(ListResult, Option<String>), Error> {
        let offset = after.filter(|after| self.backend.start_after && !after.is_empty());
        let options = PaginatedListOptions {
            offset: offset.map(|after| format!("{}{after}", self.prefix)),
            delimiter: Some(Cow::Borrowed("/")),
            // One more: the folder `after` itself may come first.
            max_keys: Some(most.saturating_add(1).min(PAGE)),
            page_token: token,
            ..PaginatedListOptions::default()
        };
        let page = self.pages.list_paginated(Some(&self.prefix), options).await;
        let page = page.map_err(|error| self.backend.fault(self.key, "listed", &error))?;
        Ok((page.result, page.page_token))
    }

    /// The name, if there is a folder of that name.
    async fn is_folder(&self, name: String) -> Result<Option<String>, Error> {
        let prefix = format!("{}{name}/", self.prefix);
        let options = PaginatedListOptions {
            max_keys: Some(1),
            ..PaginatedListOptions::default()
        };
        let page = self.pages.list_paginated(Some(&prefix), options).await;
        let page = page.map_err(|error| self.backend.fault(self.key, "listed", &error))?;
        Ok((!page.result.objects.is_empty()).then_some(name))
    }
}

/// Adds what a page has.
fn gather(names: &mut Names, page: &ListResult, after: Option<&str>) {
    let wanted = |path: &Path| {
        let name = path.filename()?;
        after
            .is_none_or(|after| name > after)
            .then(|| name.to_owned())
    };
    for object in &page.objects {
        if let Some(name) = wanted(&object.location) {
            names.entry(name).or_insert(false);
        }
    }
    for prefix in &page.common_prefixes {
        if let Some(name) = wanted(prefix) {
            names.insert(name, true);
        }
    }
}

/// The folders that a store may list after names that stand behind them.
fn beginnings(names: &Names, after: Option<&str>, most: usize) -> Vec<String> {
    let mut possible: Vec<_> = names
        .keys()
        .take(most)
        .flat_map(|name| {
            let smaller = name.bytes().enumerate().filter(|(_, byte)| *byte < b'/');
            smaller.filter_map(|(at, _)| name.get(..at))
        })
        .filter(|name| !name.is_empty() && !names.contains_key(*name))
        .filter(|name| after.is_none_or(|after| *name > after))
        .map(str::to_owned)
        .collect();
    possible.sort_unstable();
    possible.dedup();
    possible
}

fn entries(names: Names, most: usize) -> Vec<Entry> {
    let names = names.into_iter().take(most);
    names
        .map(|(name, is_folder)| Entry { name, is_folder })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_comes_late_is_asked_for() {
        let names = |of: &[&str]| of.iter().map(|name| ((*name).to_owned(), true)).collect();
        let some: Names = names(&["1.0-rc.1", "1.0-rc.2", "2", "a_b"]);
        assert_eq!(beginnings(&some, None, 9), ["1", "1.0", "1.0-rc"]);
        assert_eq!(beginnings(&some, Some("1"), 9), ["1.0", "1.0-rc"]);
        let some: Names = names(&["1", "1.0", "b-c"]);
        assert_eq!(beginnings(&some, None, 2), Vec::<String>::new());
    }
}

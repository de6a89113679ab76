//! All repositories of a store, in the byte order of their full names, one after the other.
//!
//! A folder is a repository, the parent of others, or both. Byte order has `a-b` before `a/b`, since `-` and `.` come
//! before `/`: what lies below a folder comes later than the folder itself, with some of its neighbours in between.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::oci::RepositoryName;
use crate::storage;
use crate::storage::{Entry, Key, Storage};

/// Names that are asked of the store in one go: few enough to keep one such list for every level of a name, and enough
/// that a folder of 100,000 is not read too often.
const PAGE: usize = 1000;

/// Folders that are looked into at the same time.
const AT_ONCE: usize = 16;

/// What a look into a folder asks for: the registry's own folders, and some others.
const LOOK: usize = 8;

/// Byte order has it right before the registry's own folders, which begin with `_`.
const BEFORE_OWN: &str = "^";

/// What lies in the folder of a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each of the four may lie there or not, whatever the others do"
)]
pub(super) struct Folder {
    /// It has blobs, or had.
    pub layers: bool,
    /// It has manifests, or had.
    pub manifests: bool,
    /// Uploads were begun in it.
    pub uploads: bool,
    /// Other repositories lie below it.
    parent: bool,
}

/// A walk through the store.
pub(super) struct Walk {
    storage: Arc<Storage>,
    /// From the outermost level to the one that is being walked.
    levels: Vec<Level>,
}

/// What is left of one folder of folders.
struct Level {
    folder: Option<RepositoryName>,
    /// Names come after this one; relative to the folder, it may go deeper.
    floor: String,
    /// Where the next page begins.
    after: Option<String>,
    complete: bool,
    unseen: VecDeque<RepositoryName>,
    seen: VecDeque<(RepositoryName, Folder)>,
    /// Folders that still have to be walked, the next one last; with what their names come after.
    below: Vec<(RepositoryName, String)>,
}

impl Folder {
    /// Looks into the folder of a repository.
    pub(super) async fn of(
        storage: &Storage,
        name: &RepositoryName,
    ) -> Result<Self, storage::Error> {
        let key = Key::repository(name);
        let mut folder = Self::default();
        let first = storage.list(&key, None, LOOK).await?;
        for entry in &first {
            folder.note(entry);
        }
        let beyond = first.last().is_some_and(|e| e.name.as_str() > "_z");
        if first.len() == LOOK && !beyond {
            let own = storage.list(&key, Some(BEFORE_OWN), LOOK).await?;
            for entry in &own {
                folder.note(entry);
            }
        }
        Ok(folder)
    }

    fn note(&mut self, entry: &Entry) {
        match entry.name.as_str() {
            _ if !entry.is_folder => {}
            "_layers" => self.layers = true,
            "_manifests" => self.manifests = true,
            "_uploads" => self.uploads = true,
            name if name.starts_with('_') => {}
            _ => self.parent = true,
        }
    }

    /// Whether it is a repository, as registry:2 sees it, and not only begun.
    pub(super) fn is_repository(self) -> bool {
        self.layers || self.manifests
    }
}

impl Walk {
    /// All folders whose full names come after `last`. What comes before is not walked.
    pub(super) fn after(storage: &Arc<Storage>, last: Option<&str>) -> Self {
        Self {
            storage: Arc::clone(storage),
            levels: vec![Level::new(None, last.unwrap_or_default())],
        }
    }

    /// The next folder; it may be no repository. `None` after the last one.
    pub(super) async fn next(
        &mut self,
    ) -> Result<Option<(RepositoryName, Folder)>, storage::Error> {
        while let Some(level) = self.levels.last_mut() {
            if level.seen.is_empty() {
                level.look(&self.storage).await?;
            }
            if let Some((folder, floor)) = level.due() {
                self.levels.push(Level::new(Some(folder), &floor));
                continue;
            }
            let Some((name, folder)) = level.seen.pop_front() else {
                self.levels.pop();
                continue;
            };
            if folder.parent {
                level.below.push((name.clone(), String::new()));
            }
            let own = level.relative(&name);
            if own > level.floor.as_str() {
                return Ok(Some((name, folder)));
            }
        }
        Ok(None)
    }
}

impl Level {
    /// The folders in `folder` that come after `floor`, which is empty or relative to it.
    fn new(folder: Option<RepositoryName>, floor: &str) -> Self {
        let mut level = Self {
            folder,
            floor: floor.to_owned(),
            after: None,
            complete: false,
            unseen: VecDeque::new(),
            seen: VecDeque::new(),
            below: Vec::new(),
        };
        if !floor.is_empty() {
            level.skip();
        }
        level
    }

    /// Goes to where `floor` is without listing what comes before.
    fn skip(&mut self) {
        let floor = self.floor.clone();
        let (first, rest) = match floor.split_once('/') {
            Some((first, rest)) => (first, Some(rest)),
            None => (floor.as_str(), None),
        };
        // `a` comes before `a-b`, and what lies in `a` after it.
        for (at, gap) in first.char_indices() {
            if gap < '/'
                && let Some(shorter) = first.get(..at)
            {
                self.below
                    .extend(self.child(shorter).map(|c| (c, String::new())));
            }
        }
        let below = self
            .child(first)
            .map(|c| (c, rest.unwrap_or_default().to_owned()));
        self.below.extend(below);
        self.after = Some(match rest {
            None => first.to_owned(),
            // All that begin so and go on with `-` or `.` come before the slash.
            Some(_) => format!("{first}.~"),
        });
    }

    fn child(&self, name: &str) -> Option<RepositoryName> {
        match &self.folder {
            Some(folder) => RepositoryName::parse(&format!("{folder}/{name}")).ok(),
            None => RepositoryName::parse(name).ok(),
        }
    }

    fn relative<'a>(&self, name: &'a RepositoryName) -> &'a str {
        let skipped = self.folder.as_ref().map_or(0, |f| f.as_str().len() + 1);
        name.as_str().get(skipped..).unwrap_or_default()
    }

    /// A folder below which everything comes before the next name.
    fn due(&mut self) -> Option<(RepositoryName, String)> {
        let (folder, _) = self.below.last()?;
        let next = self.seen.front().map(|(name, _)| name.as_str());
        let comes_first = next.is_none_or(|next| format!("{folder}/").as_str() < next);
        comes_first.then(|| self.below.pop()).flatten()
    }

    /// Looks into the next folders, so that there is a next name unless there is none.
    async fn look(&mut self, storage: &Storage) -> Result<(), storage::Error> {
        while self.unseen.is_empty() && !self.complete {
            let folder = match &self.folder {
                Some(name) => Key::repository(name),
                None => Key::repositories(),
            };
            let page = storage.list(&folder, self.after.as_deref(), PAGE).await?;
            self.complete = page.len() < PAGE;
            if let Some(last) = page.last() {
                self.after = Some(last.name.clone());
            }
            let folders = page.iter().filter(|entry| entry.is_folder);
            let names: Vec<RepositoryName> = folders.filter_map(|e| self.child(&e.name)).collect();
            self.unseen.extend(names);
        }
        let few = self.unseen.len().min(AT_ONCE);
        let looks = self.unseen.drain(..few).map(async |name| {
            let folder = Folder::of(storage, &name).await?;
            Ok::<_, storage::Error>((name, folder))
        });
        self.seen = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
        Ok(())
    }
}

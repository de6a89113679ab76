//! A store in a folder, in the layout of registry:2.
//!
//! What is acknowledged survives a power cut on a file system that keeps no more than POSIX promises: bytes are synced
//! before they take their name, the folder is synced after that, and so is every folder that was made on the way.
//! Nothing outside the root is read or written, whatever links lie in it. Blocking calls have threads of their own;
//! what the system has in memory is read without.

mod cached;
mod disk;
mod list;
mod place;
#[cfg(any(test, fuzzing))]
pub(super) mod property;
mod root;
mod saved;
mod session;
mod spare;
mod staging;
mod stream;
mod upload;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::fs::OFlags;

use super::{ByteStream, Entry, Error, Key, OpenError, UploadKey};
use disk::Disk;
use place::Place;
use stream::Opened;
use upload::Found;

pub(crate) use session::Session;

/// A folder in the layout of registry:2.
#[derive(Debug)]
pub(crate) struct FileSystem {
    disk: Disk,
}

impl FileSystem {
    /// Opens the folder, or makes it. One that is mounted read-only opens, and fails when it is written to.
    pub(super) fn open(root: &Path) -> Result<Self, OpenError> {
        let opened = root::open(root).map_err(|source| OpenError::Folder {
            folder: root.to_path_buf(),
            source,
        });
        Ok(Self {
            disk: Disk::new(opened?),
        })
    }

    pub(super) async fn check(&self) -> Result<(), Error> {
        let key = Key::root();
        let check = |place: &Place| Ok(root::check(place));
        let standing = self.disk.run(&key, "written", check).await?;
        standing.map_err(|source| Error::Failed {
            key,
            verb: "written",
            source: Box::new(source),
        })
    }

    pub(super) async fn read(&self, key: &Key, most: u64) -> Result<Option<Bytes>, Error> {
        if let Some(bytes) = self.disk.place().read_in_memory(key.as_str(), most) {
            return Ok(Some(bytes));
        }
        let path = key.as_str().to_owned();
        let read = move |place: &Place| match place.file(&path, OFlags::RDONLY)? {
            Some((file, facts)) => stream::read_whole(&file, facts.length, most).map(Some),
            None => Ok(None),
        };
        match self.disk.run(key, "read", read).await? {
            Some(None) => Err(Error::Corrupt {
                key: key.clone(),
                what: "it is longer than such a file can be",
            }),
            Some(Some(bytes)) => Ok(Some(bytes)),
            None => Ok(None),
        }
    }

    pub(super) async fn write(&self, key: &Key, bytes: Bytes) -> Result<(), Error> {
        let path = key.as_str().to_owned();
        let write = move |place: &Place| staging::write(place, &path, &bytes);
        self.disk.run(key, "written", write).await
    }

    pub(super) async fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        if let Some((_, facts)) = self.disk.place().file_in_memory(key.as_str()) {
            return Ok(Some(facts.length));
        }
        let path = key.as_str().to_owned();
        let size = move |place: &Place| {
            let file = place.file(&path, OFlags::RDONLY)?;
            Ok(file.map(|(_, facts)| facts.length))
        };
        self.disk.run(key, "read", size).await
    }

    pub(super) async fn stream(
        &self,
        key: &Key,
        range: Range<u64>,
    ) -> Result<Option<ByteStream>, Error> {
        let mut file = self.disk.place().file_in_memory(key.as_str());
        let in_memory = file.is_some();
        if file.is_none() {
            let path = key.as_str().to_owned();
            let open = move |place: &Place| place.file(&path, OFlags::RDONLY);
            file = self.disk.run(key, "read", open).await?;
        }
        let Some((file, _)) = file else {
            return Ok(None);
        };
        stream::read_on(&file);
        let (disk, key) = (self.disk.clone(), key.clone());
        let file = Arc::new(file);
        let opened = Opened { file, in_memory };
        Ok(Some(stream::stream(disk, key, opened, range)))
    }

    pub(super) async fn remove(&self, key: &Key) -> Result<bool, Error> {
        let path = key.as_str().to_owned();
        let remove = move |place: &Place| staging::remove(place, &path);
        self.disk.run(key, "removed", remove).await
    }

    pub(super) async fn remove_below(&self, folder: &Key) -> Result<(), Error> {
        let path = folder.as_str().to_owned();
        let remove = move |place: &Place| staging::remove_folder(place, &path);
        self.disk.run(folder, "removed", remove).await
    }

    pub(super) async fn list(
        &self,
        folder: &Key,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<Entry>, Error> {
        let (path, after) = (folder.as_str().to_owned(), after.map(str::to_owned));
        let list = move |place: &Place| list::list(place, &path, after.as_deref(), most);
        self.disk.run(folder, "listed", list).await
    }

    pub(super) async fn begin(&self, upload: &UploadKey, state: Bytes) -> Result<(), Error> {
        let path = upload.folder().as_str().to_owned();
        let begin = move |place: &Place| upload::begin(place, &path, state);
        self.disk.run(upload.folder(), "written", begin).await
    }

    pub(super) async fn offset(&self, upload: &UploadKey) -> Result<Option<u64>, Error> {
        let path = upload.folder().as_str().to_owned();
        let find = move |place: &Place| upload::find(place, &path);
        match self.disk.run(upload.folder(), "read", find).await? {
            Found::Here(saved) => Ok(Some(saved.offset)),
            Found::Damaged => Err(upload::damaged(upload)),
            Found::Nothing => Ok(None),
        }
    }

    pub(super) async fn resume(&self, upload: &UploadKey) -> Result<Option<Session>, Error> {
        upload::resume(&self.disk, upload).await
    }

    pub(super) async fn touched(&self, upload: &UploadKey) -> Result<Option<SystemTime>, Error> {
        let path = upload.folder().as_str().to_owned();
        let touched = move |place: &Place| upload::touched(place, &path);
        self.disk.run(upload.folder(), "read", touched).await
    }

    pub(super) async fn tidy(&self, age: Duration) -> Result<(), Error> {
        // A clock that does not reach back that far: nothing is that old.
        let Some(before) = SystemTime::now().checked_sub(age) else {
            return Ok(());
        };
        let tidy = move |place: &Place| staging::tidy(place, before);
        self.disk.run(&Key::root(), "removed", tidy).await
    }
}

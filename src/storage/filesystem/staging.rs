//! Files that come into being whole: written aside, synced, renamed, and the rename synced.

use bytes::Bytes;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, OFlags};
use rustix::io::{Errno, Result, retry_on_intr};
use std::time::SystemTime;

use super::place::{FILE, Place, facts_at, if_there, split};

/// Where files are written before they take their names, and where folders go to be removed. registry:2 looks into
/// `blobs` and `repositories` only, so it never sees it.
const STAGING: &str = "docker/registry/v2/_staging";

/// How often a rename is tried again whose target folder somebody else removes at the same time.
const ATTEMPTS: u32 = 16;

/// Puts `bytes` under a name, instead of what was there, and on stable storage.
pub(super) fn write(place: &Place, path: &str, bytes: &Bytes) -> Result<()> {
    let (above, name) = split(path);
    let staged = Staged::new(place, bytes)?;
    for _ in 0..ATTEMPTS {
        let folder = place.make(above)?;
        match staged.put(&folder, name) {
            Err(Errno::NOENT) => {}
            done => return done,
        }
    }
    Err(Errno::NOENT)
}

/// Puts `bytes` under a name in a folder that is open, and on stable storage.
pub(super) fn write_in(place: &Place, folder: &OwnedFd, name: &str, bytes: &Bytes) -> Result<()> {
    Staged::new(place, bytes)?.put(folder, name)
}

/// A file without a place, whose bytes are on stable storage. Dropped, it is gone.
#[derive(Debug)]
struct Staged {
    folder: OwnedFd,
    name: String,
}

impl Staged {
    fn new(place: &Place, bytes: &Bytes) -> Result<Self> {
        let staged = Self {
            folder: place.make(STAGING)?,
            name: fresh_name()?,
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&staged.folder, &*staged.name, flags, FILE)?;
        write_all(&file, bytes)?;
        rustix::fs::fdatasync(&file)?;
        Ok(staged)
    }

    fn put(&self, folder: &OwnedFd, name: &str) -> Result<()> {
        rustix::fs::renameat(&self.folder, &*self.name, folder, name)?;
        rustix::fs::fsync(folder)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After the rename there is nothing to remove; should it fail otherwise, `tidy` comes by later.
        let _ = rustix::fs::unlinkat(&self.folder, &*self.name, AtFlags::empty());
    }
}

/// Writes from the beginning of a file.
pub(super) fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match retry_on_intr(|| rustix::io::write(file, bytes))? {
            0 => return Err(Errno::IO),
            taken => bytes = bytes.get(taken..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// Removes a file, durably; whether there was one.
pub(super) fn remove(place: &Place, path: &str) -> Result<bool> {
    let (above, name) = split(path);
    let Some(folder) = place.folder(above)? else {
        return Ok(false);
    };
    let kind = facts_at(&folder, name)?.map(|facts| facts.kind);
    if kind != Some(FileType::RegularFile) {
        return Ok(false);
    }
    let removed = rustix::fs::unlinkat(&folder, name, AtFlags::empty());
    if if_there(removed)?.is_none() {
        return Ok(false);
    }
    rustix::fs::fsync(&folder)?;
    Ok(true)
}

/// Removes a folder and all below it: at once for whoever looks, then piece by piece.
pub(super) fn remove_folder(place: &Place, path: &str) -> Result<()> {
    let (above, name) = split(path);
    let Some(above) = place.folder(above)? else {
        return Ok(());
    };
    let kind = facts_at(&above, name)?.map(|facts| facts.kind);
    if !matches!(kind, Some(FileType::Directory | FileType::Symlink)) {
        return Ok(());
    }
    let staging = place.make(STAGING)?;
    let aside = fresh_name()?;
    place.forget(path);
    if if_there(rustix::fs::renameat(&above, name, &staging, &*aside))?.is_none() {
        return Ok(());
    }
    rustix::fs::fsync(&above)?;
    // Nobody sees it any more: what cannot be removed now is left to `tidy`.
    let _ = remove_tree(&staging, &aside);
    Ok(())
}

/// Removes what was staged before `before` and never taken away.
pub(super) fn tidy(place: &Place, before: SystemTime) -> Result<()> {
    let Some(staging) = place.folder(STAGING)? else {
        return Ok(());
    };
    for entry in Dir::read_from(&staging)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if is_dots(name) {
            continue;
        }
        if facts_at(&staging, name)?.is_some_and(|facts| facts.changed <= before) {
            if_there(remove_tree(&staging, name))?;
        }
    }
    Ok(())
}

/// Removes a name with all below it; links are removed, not followed.
fn remove_tree(folder: &OwnedFd, name: &str) -> Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        done => return done,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let below = rustix::fs::openat(folder, name, flags, rustix::fs::Mode::empty())?;
    for entry in Dir::read_from(&below)? {
        let entry = entry?;
        // A name that is no UTF-8 stays, and the folder with it: nothing of ours is called that.
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if !is_dots(name) {
            if_there(remove_tree(&below, name))?;
        }
    }
    rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)
}

fn is_dots(name: &str) -> bool {
    matches!(name, "." | "..")
}

/// A name that nobody else has.
fn fresh_name() -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Errno::IO)?;
    Ok(format!("{:032x}", u128::from_le_bytes(random)))
}

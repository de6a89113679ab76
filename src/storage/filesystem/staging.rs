//! Files that come into being whole: written aside, synced, renamed, and the rename synced.

use std::ffi::CStr;
use std::time::SystemTime;

use bytes::Bytes;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::{Errno, Result, retry_on_intr};
use rustix::path::Arg;

use super::place::{FILE, Facts, Place, facts_at, split, was_there};

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
    let removed = was_there(rustix::fs::unlinkat(&folder, name, AtFlags::empty()))?;
    if removed {
        rustix::fs::fsync(&folder)?;
    }
    Ok(removed)
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
    place.forget(path);
    match set_aside(place, &above, name) {
        // Room is made on a full disk too, if not at once.
        Err(Errno::NOSPC | Errno::DQUOT) => {
            remove_tree(&above, name)?;
            rustix::fs::fsync(&above)
        }
        done => done,
    }
}

fn set_aside(place: &Place, above: &OwnedFd, name: &str) -> Result<()> {
    let staging = place.make(STAGING)?;
    let aside = fresh_name()?;
    if was_there(rustix::fs::renameat(above, name, &staging, &*aside))? {
        rustix::fs::fsync(above)?;
        // Nobody sees it any more: what cannot be removed now is left to `tidy`.
        let _ = remove_tree(&staging, &*aside);
    }
    Ok(())
}

/// Removes what was staged before `before` and never taken away.
pub(super) fn tidy(place: &Place, before: SystemTime) -> Result<()> {
    let Some(staging) = place.folder(STAGING)? else {
        return Ok(());
    };
    for entry in Dir::read_from(&staging)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_old = |facts: Facts| facts.changed <= before;
        if !is_dots(name) && facts_at(&staging, name)?.is_some_and(is_old) {
            was_there(remove_tree(&staging, name))?;
        }
    }
    Ok(())
}

/// Removes a name with all below it; links are removed, not followed.
fn remove_tree(folder: &OwnedFd, name: impl Arg + Copy) -> Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        done => return done,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let below = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    for entry in Dir::read_from(&below)? {
        let entry = entry?;
        if !is_dots(entry.file_name()) {
            was_there(remove_tree(&below, entry.file_name()))?;
        }
    }
    rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

/// A name that nobody else has.
fn fresh_name() -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Errno::IO)?;
    Ok(format!("{:032x}", u128::from_le_bytes(random)))
}

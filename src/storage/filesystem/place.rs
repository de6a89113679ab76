//! The folder itself: names below it are opened, and folders made, without ever leaving it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::{Errno, Result, retry_on_intr};
use rustix::path::Arg;

use super::cached::Local;

/// Mode of a file, before the umask: another registry, run by another user, can read it.
pub(super) const FILE: Mode = Mode::from_raw_mode(0o644);

/// Mode of a folder, before the umask.
pub(super) const FOLDER: Mode = Mode::from_raw_mode(0o755);

/// Folders that are remembered as durable; past that, all are forgotten and learnt anew.
const REMEMBERED: usize = 4096;

/// How often a folder is made again that somebody else removes at the same time.
const ATTEMPTS: u32 = 16;

/// The root of a store.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
    folder: OwnedFd,
    /// The file system, if it is one of this machine.
    local: Option<Local>,
    /// Folders, each with its inode, whose entries in all folders above are known to be on stable storage.
    durable: Mutex<HashMap<String, u64>>,
}

/// What the system says of a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// What it is.
    pub kind: FileType,
    /// Bytes.
    pub length: u64,
    /// Tells two files of one name apart.
    pub inode: u64,
    /// When the content changed last.
    pub modified: SystemTime,
    /// When content, name or owner changed last.
    pub changed: SystemTime,
}

impl Facts {
    fn of(stat: &Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            length: u64::try_from(stat.st_size).unwrap_or(0),
            inode: stat.st_ino,
            modified: time(stat.st_mtime, u32::try_from(stat.st_mtime_nsec).ok()),
            changed: time(stat.st_ctime, u32::try_from(stat.st_ctime_nsec).ok()),
        }
    }
}

fn time(seconds: i64, nanoseconds: Option<u32>) -> SystemTime {
    // A time before 1970 is as good as 1970: both are long ago.
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let since = Duration::new(seconds, nanoseconds.unwrap_or(0).min(999_999_999));
    SystemTime::UNIX_EPOCH
        .checked_add(since)
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// What an open file is.
pub(super) fn facts(file: impl AsFd) -> Result<Facts> {
    rustix::fs::fstat(file).map(|stat| Facts::of(&stat))
}

/// What stands under a name in a folder, links not followed; `None` where nothing does.
pub(super) fn facts_at(folder: impl AsFd, name: impl Arg) -> Result<Option<Facts>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Facts::of(&stat))),
        Err(error) if is_missing(error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the system says that there is no such name, or none that it would open for us: a link at the end, a link
/// that leads out, a name longer than any can be, a socket.
fn is_missing(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOENT
            | Errno::NOTDIR
            | Errno::LOOP
            | Errno::XDEV
            | Errno::NAMETOOLONG
            | Errno::NXIO
            | Errno::NODEV
    )
}

/// `Ok(None)` where nothing was opened because nothing is there.
fn if_there<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_missing(error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether something was there to be moved or removed.
pub(super) fn was_there(done: Result<()>) -> Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The folder of a name and its last segment.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or((".", path))
}

impl Place {
    pub(super) fn new(root: &Path, folder: OwnedFd) -> Self {
        Self {
            root: root.to_path_buf(),
            local: Local::of(&folder),
            folder,
            durable: Mutex::default(),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn root_folder(&self) -> &OwnedFd {
        &self.folder
    }

    /// The file system, if no other machine and no program is asked for what lies in it.
    pub(super) fn local(&self) -> Option<Local> {
        self.local
    }

    /// A regular file, with its facts. A fifo, device or socket is no file, and opening one does not wait.
    pub(super) fn file(&self, path: &str, access: OFlags) -> Result<Option<(OwnedFd, Facts)>> {
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match if_there(self.open(path, flags)) {
            Err(Errno::ISDIR) | Ok(None) => return Ok(None),
            Ok(Some(file)) => file,
            Err(error) => return Err(error),
        };
        let facts = facts(&file)?;
        Ok((facts.kind == FileType::RegularFile).then_some((file, facts)))
    }

    /// A folder.
    pub(super) fn folder(&self, path: &str) -> Result<Option<OwnedFd>> {
        if_there(self.open(path, OFlags::RDONLY | OFlags::DIRECTORY))
    }

    /// Opens a name below the root. Links between folders of the store are followed, links out of it are not.
    fn open(&self, path: &str, flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let open = || rustix::fs::openat2(&self.folder, path, flags, Mode::empty(), resolve);
        for _ in 0..ATTEMPTS {
            match retry_on_intr(open) {
                // A folder was renamed somewhere while the kernel looked; it asks to be asked again.
                Err(Errno::AGAIN) => {}
                // Linux before 5.6, or a sandbox that does not know the call.
                Err(Errno::NOSYS | Errno::PERM) => return self.walk(path, flags),
                done => return done,
            }
        }
        Err(Errno::AGAIN)
    }

    /// As [`Place::open`], segment by segment, and following no link at all.
    fn walk(&self, path: &str, flags: OFlags) -> Result<OwnedFd> {
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (above, name) = split(path);
        let mut at = rustix::fs::openat(&self.folder, ".", step, Mode::empty())?;
        for segment in above.split('/') {
            at = rustix::fs::openat(&at, segment, step, Mode::empty())?;
        }
        retry_on_intr(|| rustix::fs::openat(&at, name, flags | OFlags::NOFOLLOW, Mode::empty()))
    }

    /// A folder, made where it is missing; its entry in the folder above, and theirs, are on stable storage then.
    pub(super) fn make(&self, path: &str) -> Result<OwnedFd> {
        for _ in 0..ATTEMPTS {
            match self.make_once(path) {
                Err(Errno::NOENT) => {}
                done => return done,
            }
        }
        Err(Errno::NOENT)
    }

    fn make_once(&self, path: &str) -> Result<OwnedFd> {
        if path == "." {
            return self.open(".", OFlags::RDONLY | OFlags::DIRECTORY);
        }
        if let Some(folder) = self.folder(path)?
            && self.is_durable(path, facts(&folder)?.inode)
        {
            return Ok(folder);
        }
        let (above, name) = split(path);
        let above = self.make_once(above)?;
        match rustix::fs::mkdirat(&above, name, FOLDER) {
            // That it is there does not say that whoever made it has synced it: another process may be about to.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let folder = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        rustix::fs::fsync(&above)?;
        self.remember(path, facts(&folder)?.inode);
        Ok(folder)
    }

    fn is_durable(&self, path: &str, inode: u64) -> bool {
        let durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        durable.get(path) == Some(&inode)
    }

    fn remember(&self, path: &str, inode: u64) {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.len() >= REMEMBERED {
            durable.clear();
        }
        durable.insert(path.to_owned(), inode);
    }

    /// Forgets what was known of a folder that is removed, and of all below it.
    pub(super) fn forget(&self, path: &str) {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        durable.retain(|known, _| {
            let rest = known.strip_prefix(path);
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
    }
}

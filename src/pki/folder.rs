//! The desk's folder: one run at a time, and changes that happen as a whole.
//!
//! Everything that a command writes is first written to `.staged` and brought to the disk; a disk that is full or a folder
//! that may not be written is found out there, before anything has changed. Then the files are renamed into place, one
//! after the other, each rename on the disk before the next: `crlnumber`, `crl.pem`, `index.txt`, the key, the certificate.
//! What a crash leaves, for each instant:
//!
//! - while writing: nothing but leftovers in `.staged`, which the next command removes;
//! - after `crlnumber`: a number that no list has, which is allowed (RFC 5280 section 5.2.3 wants them to grow);
//! - after `crl.pem`, before `index.txt`: a revocation that counts already; the next command marks it in the index;
//! - after `index.txt`, before the certificate is in place: it stands in the index, so that it can be revoked, and it waits
//!   in `.staged`. The next command puts it in place: the key first, then the certificate.
//!
//! So a certificate that somebody can have got hold of always stands in the index, and no crash takes a revocation back.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::state;

use super::error::Error;

/// The CA's own files are called so.
pub(super) const CA_STEM: &str = "ca";
const STAGED: &str = ".staged";
const LOCK: &str = ".lock";
/// For everybody: certificates and lists are public.
pub(super) const PUBLIC: u32 = 0o644;
/// For the owner alone.
pub(super) const PRIVATE: u32 = 0o600;
/// How long another run may take: it may be making RSA keys.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// The folder of a desk.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

/// A folder that nobody else changes as long as this lives.
#[derive(Debug)]
pub(super) struct Locked {
    folder: Folder,
    /// Holds the lock.
    _file: File,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// A file of it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn certificate(&self, stem: &str) -> PathBuf {
        self.0.join(format!("{stem}.crt"))
    }

    pub(super) fn key(&self, stem: &str) -> PathBuf {
        self.0.join(format!("{stem}.key"))
    }

    pub(super) fn exists(&self) -> bool {
        self.0.is_dir()
    }

    pub(super) fn root(&self) -> &Path {
        &self.0
    }

    /// Makes it where it is missing. The keys in it are the owner's alone, the folder is not: a gate that runs as somebody
    /// else reads `ca.crt` and `crl.pem`.
    pub(super) fn make(&self) -> Result<(), Error> {
        if self.exists() {
            return Ok(());
        }
        let failed = || Error::system(&self.0, "made");
        if let Some(above) = self.0.parent().filter(|path| !path.as_os_str().is_empty()) {
            state::folder(above).map_err(Error::system(above, "made"))?;
        }
        match fs::create_dir(&self.0) {
            // another run was faster
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => done.map_err(failed())?,
        }
        let file = File::open(&self.0).map_err(failed())?;
        let above = self.0.parent().unwrap_or(Path::new("."));
        take_owner(&file, above).map_err(failed())?;
        let mode = fs::Permissions::from_mode(0o755);
        file.set_permissions(mode).map_err(failed())
    }

    /// Locks it, and finishes what a run before did not.
    ///
    /// # Errors
    /// It cannot be written, or another run does not let go of it.
    pub(super) fn lock(&self) -> Result<Locked, Error> {
        let path = self.path(LOCK);
        let failed = || Error::system(&path, "locked");
        let file = self.lock_file(&path).map_err(failed())?;
        let mut waited = Duration::ZERO;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if waited < PATIENCE => {
                    thread::sleep(LOOK);
                    waited += LOOK;
                }
                Err(Errno::WOULDBLOCK) => {
                    return Err(Error::Busy {
                        path,
                        seconds: PATIENCE.as_secs(),
                    });
                }
                Err(error) => return Err(failed()(error.into())),
            }
        }
        let folder = self.clone();
        Ok(Locked {
            folder,
            _file: file,
        })
    }

    /// Never through a link that the folder's owner put there while root is at work.
    fn lock_file(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        match options.clone().create_new(true).mode(PRIVATE).open(path) {
            Ok(file) => take_owner(&file, &self.0).map(|()| file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options
                .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
                .open(path),
            Err(error) => Err(error),
        }
    }

    /// The bytes of a file; `None` where it is missing.
    pub(super) fn read(&self, name: &str, largest: u64) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(name);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(Error::system(&path, "read"))?,
        };
        let mut bytes = Vec::new();
        (&file)
            .take(largest + 1)
            .read_to_end(&mut bytes)
            .map_err(Error::system(&path, "read"))?;
        if bytes.len() as u64 > largest {
            let fault = format!("has more than {largest} bytes, which no such file has");
            return Err(Error::file(path, fault));
        }
        Ok(Some(bytes))
    }
}

impl Locked {
    /// What it holds.
    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Begins a change.
    pub(super) fn change(&self) -> Result<Change<'_>, Error> {
        let staged = self.folder.path(STAGED);
        self.clear()?;
        state::folder(&staged).map_err(Error::system(&staged, "made"))?;
        Ok(Change {
            locked: self,
            files: Vec::new(),
        })
    }

    /// The certificates that wait for their place, with their stems: a run before ended too early.
    pub(super) fn waiting(&self) -> Result<Vec<String>, Error> {
        let staged = self.folder.path(STAGED);
        let failed = || Error::system(&staged, "read");
        let entries = match fs::read_dir(&staged) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed())?,
        };
        let mut stems = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed())?.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(".crt"));
            stems.extend(stem.map(str::to_owned));
        }
        Ok(stems)
    }

    /// A certificate that waits.
    pub(super) fn staged(&self, stem: &str) -> PathBuf {
        self.folder.path(STAGED).join(format!("{stem}.crt"))
    }

    /// Puts a certificate that waits in its place, after its key.
    pub(super) fn finish(&self, stem: &str) -> Result<(), Error> {
        for name in [format!("{stem}.key"), format!("{stem}.crt")] {
            let staged = self.folder.path(STAGED).join(&name);
            if staged.exists() {
                self.put(&staged, &self.folder.path(&name))?;
            }
        }
        Ok(())
    }

    /// Removes what a run before left.
    pub(super) fn clear(&self) -> Result<(), Error> {
        let staged = self.folder.path(STAGED);
        match fs::remove_dir_all(&staged) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::system(&staged, "removed")(error))
            }
            _ => Ok(()),
        }
    }

    fn put(&self, staged: &Path, place: &Path) -> Result<(), Error> {
        fs::rename(staged, place).map_err(Error::system(place, "written"))?;
        let root = self.folder.root();
        state::sync(root).map_err(Error::system(root, "synced"))
    }
}

/// Files that are to change together.
#[derive(Debug)]
pub(super) struct Change<'a> {
    locked: &'a Locked,
    files: Vec<String>,
}

impl Change<'_> {
    /// Writes a file beside its place. One that replaces another takes over its owner and mode: a gate that could read the
    /// one before can read this one.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8], mode: u32) -> Result<(), Error> {
        let folder = &self.locked.folder;
        let place = folder.path(name);
        let staged = folder.path(STAGED).join(name);
        fill(&staged, &place, bytes, mode).map_err(|source| {
            // nothing was changed, and nothing is to lie around
            let _ = self.locked.clear();
            Error::system(&place, "written")(source)
        })?;
        self.files.push(name.to_owned());
        Ok(())
    }

    /// Puts everything in its place, in the order in which it was written.
    pub(super) fn commit(self) -> Result<(), Error> {
        let folder = &self.locked.folder;
        let staging = folder.path(STAGED);
        state::sync(&staging).map_err(Error::system(&staging, "synced"))?;
        for name in &self.files {
            self.locked.put(&staging.join(name), &folder.path(name))?;
        }
        self.locked.clear()
    }
}

fn fill(staged: &Path, place: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode & PRIVATE)
        .open(staged)?;
    file.write_all(bytes)?;
    let before = fs::symlink_metadata(place).ok();
    let mode = if let Some(before) = before.filter(Metadata::is_file) {
        own(&file, before.uid(), before.gid())?;
        // a group may have been let in on purpose, the world not
        let most = if mode == PRIVATE { 0o770 } else { 0o777 };
        before.permissions().mode() & most
    } else {
        take_owner(&file, place.parent().unwrap_or(Path::new(".")))?;
        mode
    };
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

/// What root makes in the folder of somebody else is theirs: else a gate that is not root could not read its own key.
fn take_owner(file: &File, folder: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let metadata = fs::metadata(folder)?;
    own(file, metadata.uid(), metadata.gid())
}

fn own(file: &File, uid: u32, gid: u32) -> io::Result<()> {
    let now = file.metadata()?;
    if (now.uid(), now.gid()) == (uid, gid) {
        return Ok(());
    }
    match fchown(file, Some(uid), Some(gid)) {
        // whoever may not give files away keeps them
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        done => done,
    }
}

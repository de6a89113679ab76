//! The root of a store: made, opened, and looked after.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{Access, AtFlags, Mode, OFlags, fstat};
use rustix::io::{Errno, Result as Step};

use super::place::{FOLDER, Place};

/// The folders of a store that everything else lies in.
const FOLDERS: [&str; 4] = [
    ".",
    "docker/registry/v2",
    "docker/registry/v2/blobs",
    "docker/registry/v2/repositories",
];

/// Opens the root; it is made where it is missing. That it is mounted read-only is no error.
pub(super) fn open(root: &Path) -> io::Result<Place> {
    make(root)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(root, flags, Mode::empty())?;
    let place = Place::new(root, folder);
    for name in FOLDERS {
        match may_write(&place, name) {
            Ok(()) | Err(Errno::ROFS) => {}
            Err(Errno::XDEV) => {
                let text = format!("a symbolic link or a mount leads from {name} out of it");
                return Err(io::Error::other(text));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(place)
}

/// Makes a folder with those above it, each on stable storage.
fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = match folder.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Err(Errno::NOTDIR.into()),
    };
    make(above)?;
    match rustix::fs::mkdir(folder, FOLDER) {
        // Somebody else may have made it at the same time; a file is found out when it is opened.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    fs::File::open(above)?.sync_all()
}

/// Whether the root still stands under its name and can be written to.
pub(super) fn check(place: &Place) -> io::Result<()> {
    let root = place.root().display();
    let told = |what: &str| io::Error::other(format!("the folder {root} {what}"));
    let there = match rustix::fs::stat(place.root()) {
        Ok(there) => there,
        Err(Errno::NOENT | Errno::NOTDIR) => return Err(told("is gone")),
        Err(error) => return Err(error.into()),
    };
    let opened = fstat(place.root_folder())?;
    if (there.st_dev, there.st_ino) != (opened.st_dev, opened.st_ino) {
        return Err(told("is another one than at the start; restart to use it"));
    }
    for name in FOLDERS {
        match may_write(place, name) {
            Ok(()) => {}
            Err(Errno::ROFS) => return Err(told("is mounted read-only")),
            Err(Errno::XDEV) => return Err(told("has a part on another file system")),
            Err(Errno::ACCESS) => return Err(told("may not be written to by this user")),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether a folder can be written to, if there is one.
fn may_write(place: &Place, name: &str) -> Step<()> {
    let root: &OwnedFd = place.root_folder();
    match place.folder(name)? {
        // Nothing can be renamed from one file system to another.
        Some(folder) if fstat(&folder)?.st_dev != fstat(root)?.st_dev => Err(Errno::XDEV),
        Some(folder) => {
            let access = Access::WRITE_OK | Access::EXEC_OK;
            rustix::fs::accessat(folder, ".", access, AtFlags::empty())
        }
        None if rustix::fs::statat(root, name, AtFlags::empty()).is_ok() => Err(Errno::XDEV),
        None => Ok(()),
    }
}

//! Writing what dockgate makes itself, below `state_dir`: certificates, keys, the first password.
//!
//! A file is whole under its name or not there, with the mode that it was made with, and on stable storage when it is
//! spoken of. Knows nothing of what is in it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Makes a folder, and those above it, for the owner alone; one that is there stays as it is.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(path)
}

/// Puts a file in its place: written beside it, and moved there.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = path.with_extension("new");
    let done = fill(&beside, bytes, mode).and_then(|()| fs::rename(&beside, path));
    if done.is_err() {
        // The first error is the one to report; what is half written would only take room.
        drop(fs::remove_file(&beside));
    }
    done?;
    path.parent().map_or(Ok(()), sync)
}

/// Makes a file of these bytes, whatever was left there under its name, and brings it to the disk.
pub(crate) fn fill(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Never through a link that somebody put there.
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Takes from everybody but owner and group what they may do with a file, and tells whether that was anything: a backup
/// that was put back may have lost the mode that it was made with.
pub(crate) fn withdraw(path: &Path) -> io::Result<bool> {
    let mut permissions = fs::metadata(path)?.permissions();
    let mode = permissions.mode();
    let others = mode & 0o007;
    if others == 0 {
        return Ok(false);
    }
    permissions.set_mode(mode - others);
    fs::set_permissions(path, permissions)?;
    Ok(true)
}

/// Brings the names in a folder to the disk.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    let here = Path::new(".");
    let folder = if folder.as_os_str().is_empty() {
        here
    } else {
        folder
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_takes_the_place_of_another_with_its_own_mode() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("key");
        fs::write(&path, "old").unwrap();
        write(&path, b"new", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_was_left_beside_it_is_not_written_through() {
        let root = tempfile::tempdir().unwrap();
        let (path, other) = (root.path().join("key"), root.path().join("other"));
        fs::write(&other, "other").unwrap();
        symlink(&other, root.path().join("key.new")).unwrap();
        write(&path, b"secret", 0o600).unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"other");
        assert_eq!(fs::read(&path).unwrap(), b"secret");
    }
}

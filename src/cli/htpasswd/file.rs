//! Changing a password file: all other bytes stay, and a crash leaves the old file or the new one.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::auth::htpasswd::MAX_FILE;
use crate::secret::Secret;

/// Why a password file is not read or not changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("cannot modify file {}; use '-c' to create it", .path.display())]
    Missing { path: PathBuf },
    #[error("cannot create file {}: {source}", .path.display())]
    Create {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot read file {}: {source}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write file {}, which is unchanged: {source}", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not a regular file of at most {} MiB", .path.display(), MAX_FILE >> 20)]
    NotAFile { path: PathBuf },
    #[error(
        "The file {} does not appear to be a valid htpasswd file: line {line} has no colon.",
        .path.display()
    )]
    Invalid { path: PathBuf, line: usize },
}

/// An existing password file, locked against other runs of this tool as long as it lives.
pub(super) struct PasswordFile {
    path: PathBuf,
    text: Secret,
    /// Holds the lock.
    _file: File,
}

impl PasswordFile {
    /// Locks and reads a file; every line must be blank, a comment or have a colon.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let (file, metadata) = lock(path)?;
        if !metadata.is_file() || metadata.len() > MAX_FILE {
            return Err(FileError::NotAFile { path: path.into() });
        }
        let mut text = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
        let read = (&file).take(MAX_FILE).read_to_end(&mut text);
        let text = Secret::new(text);
        read.map_err(|source| FileError::Read {
            path: path.into(),
            source,
        })?;
        for (number, line) in (1..).zip(lines(text.expose())) {
            if line.is_user() && !line.text.contains(&b':') {
                let path = path.into();
                return Err(FileError::Invalid { path, line: number });
            }
        }
        Ok(Self {
            path: path.into(),
            text,
            _file: file,
        })
    }

    /// The text with this record in place of every line of the user, else at the end; and whether there was one.
    pub(super) fn with_record(&self, user: &[u8], record: &[u8]) -> (Vec<u8>, bool) {
        let (mut text, found) = self.edited(user, Some(record));
        if !found {
            if text.last().is_some_and(|last| *last != b'\n') {
                text.push(b'\n');
            }
            text.extend_from_slice(record);
            text.push(b'\n');
        }
        (text, found)
    }

    /// The text without the lines of the user, and whether there was one.
    pub(super) fn without(&self, user: &[u8]) -> (Vec<u8>, bool) {
        self.edited(user, None)
    }

    fn edited(&self, user: &[u8], record: Option<&[u8]>) -> (Vec<u8>, bool) {
        let mut text = Vec::with_capacity(self.text.expose().len() + 1024);
        let mut found = false;
        for line in lines(self.text.expose()) {
            let whose = line.is_user().then(|| line.fields().0);
            if whose != Some(user) {
                text.extend_from_slice(line.mark);
                text.extend_from_slice(line.text);
                text.extend_from_slice(line.end);
                continue;
            }
            found = true;
            text.extend_from_slice(line.mark);
            if let Some(record) = record {
                text.extend_from_slice(record);
                text.extend_from_slice(line.end);
            }
        }
        (text, found)
    }

    /// What stands behind the name, on the first line of the user.
    pub(super) fn hash_of(&self, user: &[u8]) -> Option<&[u8]> {
        lines(self.text.expose())
            .filter(Line::is_user)
            .map(|line| line.fields())
            .find(|(name, _)| *name == user)
            .map(|(_, hash)| hash)
    }

    /// Puts a new text in place of the old one.
    pub(super) fn write(&self, text: &[u8]) -> Result<(), FileError> {
        replace(&self.path, text)
    }
}

/// A line in its parts, which together are all of its bytes.
struct Line<'a> {
    /// The byte order mark in front of the first line, where there is one.
    mark: &'a [u8],
    text: &'a [u8],
    /// LF, CR LF, or nothing at the end of the file.
    end: &'a [u8],
}

impl<'a> Line<'a> {
    fn is_user(&self) -> bool {
        !matches!(self.text.trim_ascii_start(), [] | [b'#', ..])
    }

    fn fields(&self) -> (&'a [u8], &'a [u8]) {
        let mut fields = self.text.splitn(3, |byte| *byte == b':');
        let name = fields.next().unwrap_or_default();
        (name, fields.next().unwrap_or_default())
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    const BOM: &[u8] = b"\xef\xbb\xbf";
    let mut mark = if text.starts_with(BOM) { BOM } else { b"" };
    let body = text.strip_prefix(BOM).unwrap_or(text);
    body.split_inclusive(|byte| *byte == b'\n')
        .map(move |line| {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            Line {
                mark: std::mem::take(&mut mark),
                text,
                end: line.get(text.len()..).unwrap_or_default(),
            }
        })
}

/// Opens and locks; again when the file was replaced while we waited for the lock.
fn lock(path: &Path) -> Result<(File, Metadata), FileError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => FileError::Missing { path: path.into() },
        _ => FileError::Read {
            path: path.into(),
            source,
        },
    };
    loop {
        // Opening a named pipe would wait for a writer.
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(FileError::NotAFile { path: path.into() });
        }
        let file = File::open(path).map_err(failed)?;
        // Some network file systems have no locks; Apache's tool never takes one.
        let _ = flock(&file, FlockOperation::LockExclusive);
        let locked = file.metadata().map_err(failed)?;
        let named = fs::metadata(path).map_err(failed)?;
        if (locked.dev(), locked.ino()) == (named.dev(), named.ino()) {
            return Ok((file, locked));
        }
    }
}

/// Says early that `replace` could not make this file: before a password is asked for.
pub(super) fn check_creatable(path: &Path) -> Result<(), FileError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(FileError::NotAFile { path: path.into() }),
        Err(_) => match fs::metadata(folder(path)) {
            Ok(folder) if folder.is_dir() => Ok(()),
            Ok(_) => Err(create_error(path, io::ErrorKind::NotADirectory.into())),
            Err(source) => Err(create_error(path, source)),
        },
    }
}

fn create_error(path: &Path, source: io::Error) -> FileError {
    FileError::Create {
        path: path.into(),
        source,
    }
}

/// Puts a file in place: written beside it, synced and renamed, with mode and owner of the one that it replaces.
///
/// Where that cannot be (a file that is a mount of its own in a container, a folder that is not ours, an owner that we
/// may not set), the existing file is written over, as Apache's tool does in all cases.
pub(super) fn replace(path: &Path, text: &[u8]) -> Result<(), FileError> {
    // Through a symbolic link, the file it names is replaced and not the link.
    let (target, before) = match fs::canonicalize(path) {
        Ok(target) => {
            let metadata = fs::metadata(&target);
            (
                target,
                Some(metadata.map_err(|source| create_error(path, source))?),
            )
        }
        Err(_) => (path.into(), None),
    };
    let Some(before) = before else {
        return rename_into(&target, text, None).map_err(|source| create_error(path, source));
    };
    if !before.is_file() {
        return Err(FileError::NotAFile { path: path.into() });
    }
    let done = match rename_into(&target, text, Some(&before)) {
        Err(error) if is_about_the_place(&error) => write_over(&target, text),
        done => done,
    };
    done.map_err(|source| FileError::Write {
        path: path.into(),
        source,
    })
}

/// Errors of making a file beside, setting its owner and renaming it; not of writing bytes.
fn is_about_the_place(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(
        error.kind(),
        PermissionDenied | ReadOnlyFilesystem | ResourceBusy | CrossesDevices
    )
}

fn rename_into(target: &Path, text: &[u8], before: Option<&Metadata>) -> io::Result<()> {
    let beside = name_beside(target)?;
    // A new file is as readable as the umask lets it be, as with Apache's tool: another user's server reads it.
    let mode = if before.is_some() { 0o600 } else { 0o666 };
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)?;
    let done = fill(&mut file, text, before).and_then(|()| fs::rename(&beside, target));
    if done.is_err() {
        // The first error is the one to report.
        drop(fs::remove_file(&beside));
    }
    done?;
    File::open(folder(target))?.sync_all()
}

fn fill(file: &mut File, text: &[u8], before: Option<&Metadata>) -> io::Result<()> {
    if let Some(before) = before {
        let now = file.metadata()?;
        if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
            fchown(&*file, Some(before.uid()), Some(before.gid()))?;
        }
        file.set_permissions(before.permissions())?;
    }
    file.write_all(text)?;
    file.sync_all()
}

fn write_over(target: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).open(target)?;
    file.rewind()?;
    file.write_all(text)?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) => Path::new("."),
        None => path,
    }
}

fn name_beside(target: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(format!(".{:016x}", u64::from_ne_bytes(random)));
    Ok(target.with_file_name(beside))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    const TEXT: &[u8] =
        b"\xef\xbb\xbf# users\r\nann:1:x\r\n\r\n  # old\nbob:?? unknown\n\xff\xfe:2\nann:3";

    #[test]
    fn only_the_lines_of_the_user_change() {
        let (_folder, path) = write(TEXT);
        let file = PasswordFile::open(&path).unwrap();
        let (text, found) = file.with_record(b"ann", b"ann:new");
        assert!(found);
        assert_eq!(
            text,
            b"\xef\xbb\xbf# users\r\nann:new\r\n\r\n  # old\nbob:?? unknown\n\xff\xfe:2\nann:new"
        );
        let (text, found) = file.without(b"ann");
        assert!(found);
        assert_eq!(
            text,
            b"\xef\xbb\xbf# users\r\n\r\n  # old\nbob:?? unknown\n\xff\xfe:2\n"
        );
        let (text, found) = file.with_record(b"cid", b"cid:new");
        assert!(!found);
        assert_eq!(text, [TEXT, b"\ncid:new\n"].concat());
        assert_eq!(file.without(b"cid"), (TEXT.to_vec(), false));
    }

    #[test]
    fn a_byte_order_mark_survives_the_first_user() {
        let (_folder, path) = write(b"\xef\xbb\xbfann:1\n");
        let file = PasswordFile::open(&path).unwrap();
        assert_eq!(file.hash_of(b"ann"), Some(&b"1"[..]));
        assert_eq!(file.with_record(b"ann", b"ann:2").0, b"\xef\xbb\xbfann:2\n");
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        let (_folder, path) = write(b"ann:1\n127.0.0.1 localhost\n");
        let refused = PasswordFile::open(&path).err().unwrap();
        assert!(matches!(refused, FileError::Invalid { line: 2, .. }));
    }

    #[test]
    fn mode_and_link_stay_and_nothing_is_left_beside() {
        let (folder, path) = write(b"ann:1\n");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        replace(&link, b"ann:2\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"ann:2\n");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let after = fs::metadata(&path).unwrap();
        assert_eq!(after.permissions().mode() & 0o777, 0o604);
        assert_ne!(after.ino(), inode);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn writing_over_leaves_no_tail_of_a_longer_file() {
        let (_folder, path) = write(b"ann:1\nbob:2\n");
        write_over(&path, b"ann:1\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"ann:1\n");
    }

    #[test]
    fn a_folder_or_device_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path(), Path::new("/dev/null")] {
            assert!(replace(path, b"ann:1\n").is_err());
            assert!(check_creatable(path).is_err());
            assert!(PasswordFile::open(path).is_err());
        }
    }
}

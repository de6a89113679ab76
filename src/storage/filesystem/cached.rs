//! What the system has in memory already, read at once: a thread to wait on would cost more than the reading.
//!
//! Nothing in here waits. The name has to be known to the system without a look at the disk (`RESOLVE_CACHED`), and so have
//! the bytes (`RWF_NOWAIT`); and the file system has to be one of this machine, since opening a file of another one asks the
//! other one. For all else there is the slow way, which every answer of `None` means.

use std::io::IoSliceMut;

use bytes::Bytes;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::ReadWriteFlags;

use super::place::{Facts, Place, facts};

/// The largest file that is read whole: links and tags are far smaller.
const MOST: usize = 4096;

/// ext4, XFS, Btrfs, F2FS (statfs(2)).
const DISKS: [u32; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010];

/// tmpfs, which knows no `RWF_NOWAIT` and has nothing to wait for.
const MEMORY: u32 = 0x0102_1994;

/// A file system that never asks another machine, or a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Local {
    /// On a disk of this machine.
    Disk,
    /// In its memory.
    Memory,
}

impl Local {
    /// That of a folder, if it is on one.
    pub(super) fn of(folder: impl AsFd) -> Option<Self> {
        // As the system has it, the type is a signed number; of 32 bits all are used.
        let kind = rustix::fs::fstatfs(folder).ok()?.f_type;
        let is = |known: &u32| i64::from(*known) == kind;
        if is(&MEMORY) {
            return Some(Self::Memory);
        }
        DISKS.iter().any(is).then_some(Self::Disk)
    }

    fn patience(self) -> ReadWriteFlags {
        match self {
            Self::Disk => ReadWriteFlags::NOWAIT,
            Self::Memory => ReadWriteFlags::empty(),
        }
    }
}

impl Place {
    /// A regular file that can be opened without waiting.
    pub(super) fn file_in_memory(&self, path: &str) -> Option<(OwnedFd, Facts)> {
        self.local()?;
        // Noting when it was read could wait for the disk's journal. Of a file of another owner that cannot be left out, and
        // the call fails.
        let flags = OFlags::RDONLY
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::NOATIME
            | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV
            | ResolveFlags::CACHED;
        let folder = self.root_folder();
        let file = rustix::fs::openat2(folder, path, flags, Mode::empty(), resolve).ok()?;
        let facts = facts(&file).ok()?;
        (facts.kind == FileType::RegularFile).then_some((file, facts))
    }

    /// The bytes of a small file that can be read without waiting.
    pub(super) fn read_in_memory(&self, path: &str, most: u64) -> Option<Bytes> {
        let patience = self.local()?.patience();
        let (file, facts) = self.file_in_memory(path)?;
        let length = usize::try_from(facts.length).ok()?;
        if facts.length > most || length >= MOST {
            return None;
        }
        let mut space = [0; MOST];
        // One byte more than there was a moment ago: if that comes, somebody is writing to it.
        let wanted = space.get_mut(..=length)?;
        let mut wanted = [IoSliceMut::new(wanted)];
        let read = rustix::io::preadv2(&file, &mut wanted, 0, patience).ok()?;
        (read == length).then(|| Bytes::copy_from_slice(space.get(..read).unwrap_or_default()))
    }

    /// Fills `bytes` from a file of [`Place::file_in_memory`] as far as that is possible without waiting; how far that is.
    pub(super) fn fill_from_memory(&self, file: &OwnedFd, at: u64, bytes: &mut [u8]) -> usize {
        let Some(patience) = self.local().map(Local::patience) else {
            return 0;
        };
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let mut wanted = [IoSliceMut::new(rest)];
            let at = at.saturating_add(filled as u64);
            // To the system, an offset of -1 is another question.
            if i64::try_from(at).is_err() {
                break;
            }
            match rustix::io::preadv2(file, &mut wanted, at, patience) {
                Ok(0) | Err(_) => break,
                Ok(read) => filled += read,
            }
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_in_memory_is_read_at_once_and_nothing_else_is() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        fs::write(outside.path(), "secret").unwrap();
        // In memory for certain, and not on the layers of a container.
        let ground = tempfile::TempDir::new_in("/dev/shm").unwrap();
        let place = super::super::root::open(ground.path()).unwrap();
        assert_eq!(place.local(), Some(Local::Memory));
        let put = |name: &str, bytes: &[u8]| fs::write(ground.path().join(name), bytes).unwrap();
        put("link", b"sha256:abc");
        put("empty", b"");
        put("long", &[b'x'; MOST]);
        symlink(outside.path(), ground.path().join("out")).unwrap();
        symlink("link", ground.path().join("in")).unwrap();
        fs::create_dir(ground.path().join("folder")).unwrap();
        let read = |name: &str, most| place.read_in_memory(name, most);
        assert_eq!(read("link", 256).as_deref(), Some(&b"sha256:abc"[..]));
        assert_eq!(read("link", 10).as_deref(), Some(&b"sha256:abc"[..]));
        assert_eq!(read("empty", 256).as_deref(), Some(&b""[..]));
        for (name, most) in [
            ("link", 9),
            ("long", 1 << 20),
            ("out", 256),
            ("in", 256),
            ("folder", 256),
            ("missing", 256),
            ("../link", 256),
        ] {
            assert_eq!(read(name, most), None, "{name}");
        }
    }

    #[test]
    fn a_part_of_a_file_is_filled_as_far_as_it_goes() {
        let ground = tempfile::TempDir::new_in("/dev/shm").unwrap();
        let place = super::super::root::open(ground.path()).unwrap();
        fs::write(ground.path().join("file"), "0123456789").unwrap();
        let (file, _) = place.file_in_memory("file").unwrap();
        let mut space = *b"......";
        assert_eq!(place.fill_from_memory(&file, 2, &mut space), 6);
        assert_eq!(&space, b"234567");
        assert_eq!(place.fill_from_memory(&file, 8, &mut space), 2);
        assert_eq!(&space[..2], b"89");
        assert_eq!(place.fill_from_memory(&file, 10, &mut space), 0);
        assert_eq!(place.fill_from_memory(&file, u64::MAX, &mut space), 0);
    }
}

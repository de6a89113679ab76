//! Which files have changed. Looks at them every second in place of asking the kernel: that works on network file
//! systems, bind mounts and the symbolic links by which Kubernetes swaps a whole folder.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// What a file looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

/// What a set of files looked like when it was read, and since.
#[derive(Debug, Default)]
pub(super) struct Watch {
    read: HashMap<PathBuf, Option<Look>>,
    last: HashMap<PathBuf, Option<Look>>,
}

impl Watch {
    /// The files as they are now count as read.
    pub(super) fn note(&mut self, files: Vec<PathBuf>) {
        self.read = look(files);
        self.last.clone_from(&self.read);
    }

    /// These files are watched from now on. What was known of those among them stays known: a change since then is still
    /// to be seen.
    pub(super) fn follow(&mut self, files: Vec<PathBuf>) {
        let mut read = look(files);
        for (file, now) in &mut read {
            if let Some(known) = self.read.get(file) {
                *now = *known;
            }
        }
        self.read = read;
        self.last.clone_from(&self.read);
    }

    /// Whether any file differs from what was read and has kept still since the last look: a file that is being written
    /// is left until it is whole.
    pub(super) fn has_settled_change(&mut self) -> bool {
        let now = look(self.read.keys().cloned().collect());
        let settled = self.read.iter().any(|(file, read)| {
            now.get(file) != Some(read) && now.get(file) == self.last.get(file)
        });
        self.last = now;
        settled
    }
}

fn look(files: Vec<PathBuf>) -> HashMap<PathBuf, Option<Look>> {
    let see = |file: &PathBuf| {
        let found = fs::metadata(file).ok()?;
        Some(Look {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            changed: (found.ctime(), found.ctime_nsec()),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    };
    files
        .into_iter()
        .map(|file| {
            let look = see(&file);
            (file, look)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_while_files_are_read_is_seen_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs::write(&old, "1").unwrap();
        fs::write(&new, "1").unwrap();
        let mut watch = Watch::default();
        watch.note(vec![old.clone()]);
        fs::write(&old, "22").unwrap();
        watch.follow(vec![old.clone(), new]);
        assert!(!watch.has_settled_change());
        assert!(watch.has_settled_change());
        watch.note(vec![old]);
        assert!(!watch.has_settled_change());
    }

    #[test]
    fn a_change_counts_once_it_has_kept_still() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        fs::write(&file, "1").unwrap();
        let mut watch = Watch::default();
        watch.note(vec![file.clone()]);
        assert!(!watch.has_settled_change());
        fs::write(&file, "22").unwrap();
        assert!(!watch.has_settled_change(), "just changed");
        fs::write(&file, "333").unwrap();
        assert!(!watch.has_settled_change(), "still changing");
        assert!(watch.has_settled_change());
        watch.note(vec![file.clone()]);
        assert!(!watch.has_settled_change());
        fs::remove_file(&file).unwrap();
        assert!(!watch.has_settled_change());
        assert!(watch.has_settled_change(), "a lost file is a change");
    }
}

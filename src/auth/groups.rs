//! Which users are in which groups: Apache's group file, `GROUP: USER USER`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Error, Warning};

/// Half a million users; more is another file.
const MAX_FILE: u64 = 16 << 20;

/// The groups of every user, as the file says now.
#[derive(Debug)]
pub(crate) struct Groups {
    file: Option<PathBuf>,
    of: ArcSwap<ByUser>,
}

impl Groups {
    /// Reads the file where one is configured; without one nobody is in a group.
    ///
    /// # Errors
    /// It cannot be read. Lines that cannot be used are warnings.
    pub(crate) fn load(file: Option<&Path>) -> Result<(Self, Vec<Warning>), Error> {
        let (of, warnings) = match file {
            Some(file) => read(file)?,
            None => (HashMap::new(), Vec::new()),
        };
        let groups = Self {
            file: file.map(Path::to_path_buf),
            of: ArcSwap::from_pointee(of),
        };
        Ok((groups, warnings))
    }

    /// Whether it would come out of the same file.
    pub(crate) fn is_made_of(&self, file: Option<&Path>) -> bool {
        self.file.as_deref() == file
    }

    /// Reads the file again. Reads from disk: not for an async thread.
    ///
    /// # Errors
    /// It cannot be read; the groups of before stay.
    pub(crate) fn reload(&self) -> Result<Vec<Warning>, Error> {
        let Some(file) = &self.file else {
            return Ok(Vec::new());
        };
        let (of, warnings) = read(file)?;
        self.of.store(Arc::new(of));
        Ok(warnings)
    }

    /// The file to watch.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The groups of a user.
    pub(crate) fn of(&self, user: &str) -> Arc<[Arc<str>]> {
        self.of.load().get(user).map(Arc::clone).unwrap_or_default()
    }
}

/// The groups of each user.
type ByUser = HashMap<Box<str>, Arc<[Arc<str>]>>;

fn read(path: &Path) -> Result<(ByUser, Vec<Warning>), Error> {
    let failed = |source: io::Error| Error::ReadGroups {
        path: path.to_path_buf(),
        source,
    };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    // Asked before it is opened: opening a pipe that nobody writes to would wait for ever.
    if !metadata.is_file() {
        return Err(failed(io::Error::other("is not a regular file")));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(failed(io::Error::other("is larger than 16 MiB")));
    }
    let text = String::from_utf8(bytes).map_err(|_| failed(io::Error::other("is not UTF-8")))?;
    let (of, wrong) = parse(&text);
    let warnings = wrong.into_iter().map(|line| Warning::GroupLine {
        path: path.to_path_buf(),
        line,
    });
    Ok((of, warnings.collect()))
}

/// The groups by user, and the numbers of the lines that name no group.
pub(super) fn parse(text: &str) -> (ByUser, Vec<u32>) {
    let mut found: HashMap<Box<str>, Vec<Arc<str>>> = HashMap::new();
    let mut wrong = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((group, users)) = line
            .split_once(':')
            .map(|(group, users)| (group.trim(), users))
            .filter(|(group, _)| !group.is_empty())
        else {
            wrong.push(number);
            continue;
        };
        let group: Arc<str> = group.into();
        for user in users.split_whitespace() {
            let groups = found.entry(user.into()).or_default();
            if !groups.contains(&group) {
                groups.push(Arc::clone(&group));
            }
        }
    }
    // A file of something else has many; the first few tell that.
    wrong.truncate(10);
    let of = found
        .into_iter()
        .map(|(user, groups)| (user, groups.into()));
    (of.collect(), wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c8_a_group_file_is_read_as_apache_reads_it() {
        let (of, wrong) =
            parse("# team\nci: ann bob\n\n ops :bob\tcarl \nci: dora\nnonsense\n: x\nempty:\n");
        let groups = |user: &str| of.get(user).map(|groups| groups.join(","));
        assert_eq!(groups("ann").as_deref(), Some("ci"));
        assert_eq!(groups("bob").as_deref(), Some("ci,ops"));
        assert_eq!(groups("dora").as_deref(), Some("ci"));
        assert_eq!(groups("x"), None);
        assert_eq!(wrong, [6, 7]);
    }

    #[test]
    fn c7_c8_a_lost_file_keeps_the_groups_of_before_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("groups");
        assert!(Groups::load(Some(&file)).is_err());
        std::fs::write(&file, "ci: ann\n").unwrap();
        let (groups, _) = Groups::load(Some(&file)).unwrap();
        assert_eq!(groups.of("ann").join(","), "ci");
        std::fs::remove_file(&file).unwrap();
        assert!(
            groups
                .reload()
                .unwrap_err()
                .to_string()
                .contains("auth.groups")
        );
        assert_eq!(groups.of("ann").join(","), "ci");
        std::fs::write(&file, "ops: ann\n").unwrap();
        groups.reload().unwrap();
        assert_eq!(groups.of("ann").join(","), "ops");
    }
}

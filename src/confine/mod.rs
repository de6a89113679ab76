//! What the process may touch: no file but those that it needs, and no copy of its memory.
//!
//! A fault in the gate is then a fault with the rights of the gate, and with few files: Landlock (Linux 5.19 and
//! newer) holds every thread that starts later to the folders of the configuration. It cannot be widened: what a reload names
//! elsewhere waits for a restart, and [`Confined::outside`] tells which that is. Knows nothing of what the files are for.

mod needs;
mod ruleset;

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::config::Config;
use crate::state;

use needs::Needs;

pub(crate) use ruleset::nothing;

/// Passwords and keys lie in memory, and whoever reads a core dump reads them: there is none, and no other process of
/// the same user may look into this one.
///
/// # Errors
/// When the system refuses, which it has no reason to.
pub(crate) fn keep_memory_private() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// What the process may touch from now on.
#[derive(Debug, Default)]
pub(crate) struct Confined {
    /// `None`: everything that its user may.
    granted: Option<Granted>,
}

/// Folders and files, by what the kernel knows them by: another folder under the same name is another folder.
#[derive(Debug, Default)]
struct Granted {
    read: HashSet<(u64, u64)>,
    own: HashSet<(u64, u64)>,
}

/// How it went.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The kernel holds us to it.
    Enforced {
        /// The folders in which anything may be changed.
        own: Vec<PathBuf>,
        /// Whether this kernel knows every part of it.
        whole: bool,
    },
    /// `process.landlock` is off.
    Off,
    /// The kernel cannot.
    Unknown,
    /// It should have worked; files are as open as before, and why.
    Not(String),
}

/// Confines this thread, and all that it starts, to what `config` needs; `file` is where it was read.
pub(crate) fn confine(config: &Config, file: Option<&Path>) -> (Confined, Outcome) {
    if !config.process.landlock {
        return (Confined::default(), Outcome::Off);
    }
    let needs = Needs::of(config, file);
    // Also where nothing is kept in it yet: a reload that begins to could not make it any more. Where it cannot be made,
    // whoever needs it says so.
    let _ = state::folder(&config.state_dir);
    for folder in needs.made() {
        if let Err(error) = fs::create_dir_all(folder) {
            let why = format!("{} cannot be made: {error}", folder.display());
            return (Confined::default(), Outcome::Not(why));
        }
    }
    match ruleset::enforce(&needs) {
        Ok(Some(whole)) => {
            let granted = Granted {
                read: needs.readable().iter().filter_map(|at| known(at)).collect(),
                own: needs.own().iter().filter_map(|at| known(at)).collect(),
            };
            let own = needs.own().iter().filter(|at| at.exists());
            let own = own.cloned().collect();
            let granted = Some(granted);
            (Confined { granted }, Outcome::Enforced { own, whole })
        }
        Ok(None) => (Confined::default(), Outcome::Unknown),
        Err(error) => (Confined::default(), Outcome::Not(error.to_string())),
    }
}

impl Confined {
    /// What a configuration needs and this process can no longer reach: only a restart lets it.
    pub(crate) fn outside(&self, config: &Config) -> Vec<PathBuf> {
        let Some(granted) = &self.granted else {
            return Vec::new();
        };
        let needs = Needs::of(config, None);
        let unread = needs.files().iter().filter(|file| !granted.reads(file));
        let unowned = needs.made().filter(|folder| !granted.owns(folder));
        unread.cloned().chain(unowned.map(Path::to_owned)).collect()
    }
}

impl Granted {
    /// A file that is not there is none of our business: whoever reads it says so.
    fn reads(&self, file: &Path) -> bool {
        let Ok(real) = file.canonicalize() else {
            return true;
        };
        real.ancestors()
            .filter_map(known)
            .any(|at| self.read.contains(&at) || self.own.contains(&at))
    }

    fn owns(&self, folder: &Path) -> bool {
        // One that is still to be made is made in the nearest that is there.
        let there = folder.ancestors().find_map(|at| at.canonicalize().ok());
        there.is_some_and(|real| {
            let mut above = real.ancestors().filter_map(known);
            above.any(|at| self.own.contains(&at))
        })
    }
}

fn known(path: &Path) -> Option<(u64, u64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enforced { own, whole } => {
                f.write_str("confined by Landlock")?;
                if !whole {
                    f.write_str(" (as far as this kernel goes)")?;
                }
                f.write_str(": writes ")?;
                if own.is_empty() {
                    f.write_str("no file")?;
                }
                for (at, folder) in own.iter().enumerate() {
                    let before = if at == 0 { "below " } else { " and " };
                    write!(f, "{before}{}", folder.display())?;
                }
                f.write_str(", reads what its configuration names, and the folders of the system")
            }
            Self::Off => f.write_str("not confined: process.landlock is false"),
            Self::Unknown => f.write_str(
                "not confined: this kernel has no Landlock, or one from before Linux 5.19, or a filter keeps it away",
            ),
            Self::Not(why) => write!(f, "not confined by Landlock: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(read: &[&Path], own: &[&Path]) -> Granted {
        let all = |paths: &[&Path]| paths.iter().filter_map(|at| known(at)).collect();
        Granted {
            read: all(read),
            own: all(own),
        }
    }

    #[test]
    fn another_folder_under_the_same_name_is_another_folder() {
        let root = tempfile::tempdir().unwrap();
        let (certs, file) = (root.path().join("certs"), root.path().join("certs/a"));
        fs::create_dir(&certs).unwrap();
        fs::write(&file, "").unwrap();
        let granted = granted(&[&certs], &[]);
        assert!(granted.reads(&file));
        assert!(granted.reads(&root.path().join("missing")));
        assert!(!granted.reads(root.path()));
        assert!(!granted.owns(&certs));
        fs::rename(&certs, root.path().join("old")).unwrap();
        fs::create_dir(&certs).unwrap();
        fs::write(&file, "").unwrap();
        assert!(!granted.reads(&file));
    }

    #[test]
    fn a_folder_that_is_still_to_be_made_is_made_in_one_of_ours_or_not() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("own");
        fs::create_dir(&own).unwrap();
        let granted = granted(&[], &[&own]);
        assert!(granted.owns(&own) && granted.owns(&own.join("a/b")));
        assert!(!granted.owns(&root.path().join("other/a")));
    }

    #[test]
    fn an_outcome_says_what_may_be_written() {
        let whole = Outcome::Enforced {
            own: vec!["/s".into(), "/r".into()],
            whole: true,
        };
        assert!(whole.to_string().contains("writes below /s and /r, reads"));
        let nothing = Outcome::Enforced {
            own: Vec::new(),
            whole: false,
        };
        let told = nothing.to_string();
        assert!(told.contains("as far as this kernel goes"), "{told}");
        assert!(told.contains("writes no file"), "{told}");
    }
}

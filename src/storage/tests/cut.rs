//! What a power cut would take, by a log of system calls.
//!
//! The model is the strictest that POSIX allows: bytes survive once their file was synced, a name once its folder was
//! synced after it was made, moved or removed.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Asked for by the child when something was acknowledged, so that it stands in the log.
pub(super) const MARK: &str = "/dockgate-acknowledged/";

/// The calls that the model knows, for `strace`.
pub(super) const CALLS: &str = "trace=openat,write,pwrite64,pwritev,pwritev2,ftruncate,fsync,fdatasync,mkdir,mkdirat,renameat,\
                     renameat2,unlinkat,statx";

/// What a power cut would take.
#[derive(Default)]
pub(super) struct Cut {
    /// Files with bytes that were not synced.
    bytes: BTreeSet<PathBuf>,
    /// Names that were made, moved or removed in a folder that was not synced since.
    names: BTreeSet<PathBuf>,
    /// Acknowledgements that were looked at.
    pub marks: usize,
    /// What was acknowledged and would be gone, each with its line in the log.
    pub faults: Vec<String>,
}

impl Cut {
    /// What a log tells of all below `ground`, where keys are below `root`.
    pub(super) fn read(ground: &Path, root: &Path, log: &str) -> Self {
        let mut cut = Self::default();
        for line in whole_lines(log) {
            let faults = cut.faults.len();
            if let Some(call) = Call::read(&line) {
                cut.step(ground, root, &call);
            }
            if cut.faults.len() > faults {
                cut.faults.push(line);
            }
        }
        cut
    }

    fn step(&mut self, ground: &Path, root: &Path, call: &Call<'_>) {
        let paths = call.paths();
        let path = |at: usize| paths.get(at).filter(|it| it.starts_with(ground)).cloned();
        match call.name {
            "openat" if call.arguments.contains("O_CREAT") => self.names.extend(path(0)),
            "mkdir" | "mkdirat" => self.names.extend(path(0)),
            "write" | "pwrite64" | "pwritev" | "pwritev2" | "ftruncate" => {
                self.bytes.extend(path(0));
            }
            "fsync" | "fdatasync" => {
                let Some(synced) = path(0) else { return };
                self.bytes.remove(&synced);
                self.names.retain(|name| name.parent() != Some(&synced));
            }
            "unlinkat" => {
                let Some(gone) = path(0) else { return };
                self.bytes.remove(&gone);
                self.names.insert(gone);
            }
            "renameat" | "renameat2" => {
                let (Some(from), Some(to)) = (path(0), path(1)) else {
                    return;
                };
                if self.bytes.contains(&from) {
                    self.faults
                        .push(format!("{} moved unsynced", from.display()));
                }
                // What stood there is no longer of interest.
                self.bytes.remove(&to);
                self.names.extend([from, to]);
            }
            "statx" => {
                let Some((_, key)) = call.arguments.split_once(MARK) else {
                    return;
                };
                let key = root.join(key.split('"').next().unwrap());
                self.marks += 1;
                if self.bytes.contains(&key) {
                    self.faults.push(format!("{}: bytes", key.display()));
                }
                let unsafe_names = self.names.iter().filter(|name| key.starts_with(name));
                let faults = unsafe_names.map(|name| format!("{}: name", name.display()));
                self.faults.extend(faults.collect::<Vec<_>>());
            }
            _ => {}
        }
    }
}

/// A system call that did what it was asked; or `statx`, whatever came of it.
struct Call<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> Call<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (_thread, call) = line.split_once(' ')?;
        let (name, rest) = call.trim_start().split_once('(')?;
        let (arguments, result) = rest.rsplit_once(") = ").or(rest.rsplit_once(" = "))?;
        let arguments = arguments.trim_end().trim_end_matches(')');
        let done = !result.starts_with('-') || name == "statx";
        done.then_some(Self { name, arguments })
    }

    /// The files that descriptors mean, or names in the folders that they mean.
    fn paths(&self) -> Vec<PathBuf> {
        let meant = |text: &str| Some(PathBuf::from(text.split_once('<')?.1.split('>').next()?));
        if self.name.contains("write") {
            return meant(self.arguments).into_iter().collect();
        }
        let mut paths: Vec<PathBuf> = Vec::new();
        for argument in self.arguments.split(", ") {
            match argument.strip_prefix('"') {
                Some(name) => {
                    let folder = paths.pop().unwrap_or_default();
                    paths.push(folder.join(name.trim_end_matches('"')));
                }
                None => paths.extend(meant(argument)),
            }
        }
        paths
    }
}

/// The lines of a log, those that were cut in two by another thread put together where they ended.
fn whole_lines(log: &str) -> Vec<String> {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut lines = Vec::new();
    for line in log.lines() {
        let Some((thread, call)) = line.split_once(' ') else {
            continue;
        };
        if let Some(beginning) = line.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, beginning);
        } else if let Some((_, end)) = call.split_once(" resumed>") {
            let beginning = begun.remove(thread).unwrap();
            lines.push(format!("{beginning}{end}"));
        } else {
            lines.push(line.to_owned());
        }
    }
    lines
}

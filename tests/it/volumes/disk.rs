//! A model of a disk that forgets, fed with the system calls of a program: bytes survive once their file was synced
//! after them, and a name once its folder was synced after it was made, moved or removed.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// The beginnings of answers that acknowledge.
const ANSWERS: [&str; 3] = ["\"HTTP/1.1 201", "\"HTTP/1.1 202", "\"HTTP/1.1 204"];

/// What an answer promises of a path below `docker/registry/v2`.
#[derive(Clone, Debug)]
pub enum Claim {
    /// A file of this length, or of whichever it has.
    Stands(String, Option<u64>),
    Gone(String),
}

/// A file, whatever it is called.
#[derive(Clone, Copy, Debug, Default)]
struct Inode {
    length: u64,
    /// The step of the last change that was not synced.
    dirty: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Folder,
    File(usize),
}

/// A disk, as everybody sees it and as it would be after a power cut.
#[derive(Debug, Default)]
struct Disk {
    inodes: Vec<Inode>,
    now: BTreeMap<PathBuf, Entry>,
    durable: BTreeMap<PathBuf, Entry>,
    /// Changes of names whose folder was not synced since: the step, the name, and what it means then.
    unsynced: Vec<(usize, PathBuf, Option<Entry>)>,
}

impl Disk {
    fn set(&mut self, step: usize, path: &Path, entry: Option<Entry>) {
        match entry {
            Some(entry) => self.now.insert(path.to_path_buf(), entry),
            None => self.now.remove(path),
        };
        self.unsynced.push((step, path.to_path_buf(), entry));
    }

    fn inode(&mut self, path: &Path) -> Option<&mut Inode> {
        match self.now.get(path) {
            Some(Entry::File(inode)) => self.inodes.get_mut(*inode),
            _ => None,
        }
    }

    fn create(&mut self, step: usize, path: &Path) {
        if !self.now.contains_key(path) {
            self.inodes.push(Inode::default());
            let entry = Entry::File(self.inodes.len() - 1);
            self.set(step, path, Some(entry));
        }
    }

    /// With all that is below it.
    fn rename(&mut self, step: usize, from: &Path, to: &Path) {
        let entry = self.now.get(from).copied();
        let below: Vec<PathBuf> = self
            .now
            .keys()
            .filter(|p| p.starts_with(from))
            .cloned()
            .collect();
        for path in below {
            let moved = self.now.remove(&path).unwrap();
            if path != from {
                self.now
                    .insert(to.join(path.strip_prefix(from).unwrap()), moved);
            }
        }
        self.set(step, to, entry);
        self.set(step, from, None);
    }

    /// What was there when the sync began, at step `begun`, survives.
    fn sync(&mut self, begun: usize, path: &Path) {
        if let Some(inode) = self.inode(path) {
            inode.dirty = inode.dirty.filter(|dirty| *dirty > begun);
        }
        let (synced, left) = std::mem::take(&mut self.unsynced)
            .into_iter()
            .partition(|(step, name, _)| *step < begun && name.parent() == Some(path));
        self.unsynced = left;
        let synced: Vec<(usize, PathBuf, Option<Entry>)> = synced;
        for (_, name, entry) in synced {
            match entry {
                Some(entry) => self.durable.insert(name, entry),
                None => self.durable.remove(&name),
            };
        }
    }

    /// Names of content that would be there after a power cut, and would not have their bytes.
    fn half(&self) -> impl Iterator<Item = &Path> {
        let content = |path: &Path| {
            path.ends_with("link")
                || (path.ends_with("data") && path.iter().any(|part| part == "blobs"))
        };
        let half = self
            .durable
            .iter()
            .filter(move |(path, entry)| match entry {
                Entry::File(inode) => content(path) && self.inodes[*inode].dirty.is_some(),
                Entry::Folder => false,
            });
        half.map(|(path, _)| path.as_path())
    }

    /// Why the claim would not hold after a power cut.
    fn fault(&self, ground: &Path, root: &Path, claim: &Claim) -> Option<String> {
        match claim {
            Claim::Stands(path, length) => {
                let path = root.join(path);
                let above = path
                    .ancestors()
                    .skip(1)
                    .take_while(|folder| *folder != ground);
                let mut lost = above.filter(|f| self.durable.get(*f) != Some(&Entry::Folder));
                if let Some(lost) = lost.next() {
                    return Some(format!("the folder {} is lost", lost.display()));
                }
                let Some(Entry::File(inode)) = self.now.get(&path) else {
                    return Some(format!("{} is not there", path.display()));
                };
                if self.durable.get(&path) != Some(&Entry::File(*inode)) {
                    return Some(format!("the name {} is lost", path.display()));
                }
                let file = self.inodes[*inode];
                let whole =
                    file.dirty.is_none() && length.is_none_or(|length| length == file.length);
                (!whole).then(|| format!("{} has {file:?}, not {length:?}", path.display()))
            }
            Claim::Gone(path) => {
                let path = root.join(path);
                let stands = path
                    .ancestors()
                    .take_while(|above| *above != ground)
                    .all(|above| self.durable.contains_key(above));
                stands.then(|| format!("{} is back", path.display()))
            }
        }
    }
}

/// One line of the log: a call that was begun at one step and done at another.
struct Call<'a> {
    name: &'a str,
    arguments: &'a str,
    result: Option<u64>,
}

impl<'a> Call<'a> {
    fn read(call: &'a str) -> Option<Self> {
        let (name, rest) = call.trim_start().split_once('(')?;
        let (arguments, result) = rest.rsplit_once(" = ")?;
        let number = result.split([' ', '<']).next()?;
        Some(Self {
            name,
            arguments: arguments.trim_end().trim_end_matches(')'),
            result: number.parse().ok(),
        })
    }

    /// The file that the first descriptor means.
    fn file(&self) -> Option<PathBuf> {
        let (_, rest) = self.arguments.split_once('<')?;
        rest.split('>').next().map(PathBuf::from)
    }

    /// The names that are made, moved or removed, each below the folder of the descriptor before it.
    fn names(&self) -> Vec<PathBuf> {
        let mut names = Vec::new();
        let mut folder = PathBuf::new();
        for argument in self.arguments.split(", ") {
            if let Some(name) = argument.strip_prefix('"') {
                names.push(folder.join(name.trim_end_matches('"')));
            } else if let Some((_, rest)) = argument.split_once('<') {
                folder = PathBuf::from(rest.split('>').next().unwrap_or_default());
            }
        }
        names
    }
}

/// What a replay has shown.
#[derive(Debug, Default)]
pub struct Replayed {
    /// What would be lost, or half there.
    pub faults: Vec<String>,
    /// The instants that were looked at: each answer, and each sync.
    pub cuts: usize,
}

/// Replays a log. At the n-th answer the n-th claims must hold, and at each sync there must be no half of anything.
pub fn replay(log: &str, ground: &Path, root: &Path, claims: &[Vec<Claim>]) -> Replayed {
    let mut disk = Disk::default();
    let mut begun: HashMap<&str, (usize, String)> = HashMap::new();
    let (mut answers, mut syncs, mut faults) = (0, 0, Vec::new());
    for (step, line) in log.lines().enumerate() {
        let Some((thread, call)) = line.split_once(' ') else {
            continue;
        };
        // An answer counts from when it begins to go out, and all else once it is done.
        if ANSWERS.iter().any(|answer| call.contains(answer)) {
            for claim in claims.get(answers).into_iter().flatten() {
                faults.extend(
                    disk.fault(ground, root, claim)
                        .map(|fault| format!("answer {answers}: {fault}")),
                );
            }
            answers += 1;
            continue;
        }
        if let Some(beginning) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, (step, beginning.to_owned()));
        } else if let Some((_, end)) = call.split_once(" resumed>") {
            if let Some((at, beginning)) = begun.remove(thread) {
                carry_out(&mut disk, ground, (at, step), &format!("{beginning}{end}"));
            }
        } else {
            carry_out(&mut disk, ground, (step, step), call);
        }
        if call.contains("sync") {
            syncs += 1;
            faults.extend(
                disk.half()
                    .map(|path| format!("step {step}: {} is there in part", path.display())),
            );
        }
    }
    if answers != claims.len() {
        faults.push(format!(
            "{answers} answers in the log, {} came",
            claims.len()
        ));
    }
    let cuts = answers + syncs;
    Replayed { faults, cuts }
}

fn carry_out(disk: &mut Disk, ground: &Path, (begun, done): (usize, usize), call: &str) {
    let Some(call) = Call::read(call) else { return };
    let Some(result) = call.result else { return };
    let below = |path: &PathBuf| path.starts_with(ground);
    match call.name {
        "open" | "openat" | "openat2" if call.arguments.contains("O_CREAT") => {
            if let Some(path) = call.names().first().filter(|path| below(path)) {
                disk.create(done, path);
            }
        }
        "mkdir" | "mkdirat" => {
            if let Some(path) = call.names().first().filter(|path| below(path)) {
                disk.set(done, path, Some(Entry::Folder));
            }
        }
        "unlink" | "unlinkat" => {
            if let Some(path) = call.names().first().filter(|path| below(path)) {
                disk.set(done, path, None);
            }
        }
        "rename" | "renameat" | "renameat2" => {
            if let [from, to] = &call.names()[..]
                && below(from)
            {
                disk.rename(done, from, to);
            }
        }
        "fsync" | "fdatasync" => {
            if let Some(path) = call.file().filter(below) {
                disk.sync(begun, &path);
            }
        }
        "write" | "pwrite64" | "pwritev" | "pwritev2" | "ftruncate" => {
            let Some(inode) = call.file().filter(below).and_then(|path| disk.inode(&path)) else {
                return;
            };
            let last = call
                .arguments
                .rsplit(", ")
                .next()
                .and_then(|last| last.parse().ok());
            inode.dirty = Some(done);
            inode.length = match (call.name, last) {
                ("ftruncate", Some(length)) => length,
                ("write", _) => inode.length + result,
                (_, at) => inode.length.max(at.unwrap_or(0) + result),
            };
        }
        _ => {}
    }
}

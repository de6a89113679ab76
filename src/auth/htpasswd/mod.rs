//! Password files as nginx's `auth_basic_user_file` and Apache's `AuthUserFile` have them: `NAME:HASH` lines.
//!
//! A line that cannot be used is reported and the others work. The first line of a name decides, as in both servers,
//! even when it cannot be used: somebody who locks `alice` by spoiling her line is not undone by an older one below.

mod crypt64;
mod des;
mod hash;
mod make;
mod md5crypt;
mod problem;
#[cfg(any(test, fuzzing))]
pub(super) mod property;
mod shacrypt;

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use crate::secret::Secret;

use super::{Error, Warning};

pub(crate) use hash::{BASE64, Hash};
pub(crate) use make::{MakeError, Recipe, make};
pub(crate) use problem::Problem;
pub(crate) use shacrypt::Sha;

/// User names are at most this long, as in Apache's tool.
pub(crate) const MAX_NAME: usize = 255;

/// Passwords are at most this long, as in libxcrypt. SHA-crypt reads the whole password in each of its rounds, so
/// without a bound the length of a header would multiply the cost of a check.
pub(crate) const MAX_PASSWORD: usize = 512;

/// The largest password file: about two million users. It is held in memory, with 24 bytes more for each user.
pub(crate) const MAX_FILE: u64 = 128 << 20;

/// Warnings of one file are at most this many; a file of garbage is one sentence in the log and not a million.
const MAX_WARNINGS: usize = 20;

/// A password file, read and indexed.
pub(super) struct Passwords {
    text: Secret,
    /// Usable lines, by the keyed hash of the name.
    index: Vec<Entry>,
    keyed: RandomState,
}

/// One line: where its parts stand in the text.
#[derive(Clone, Copy)]
struct Entry {
    key: u64,
    start: u32,
    line: u32,
    name: u16,
    /// Length of the hash; 0: the line is not usable.
    hash: u16,
}

impl Entry {
    fn name(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + usize::from(self.name)
    }

    fn hash(self) -> Range<usize> {
        let start = self.name().end + 1;
        start..start + usize::from(self.hash)
    }
}

/// What a password is checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate<'a> {
    /// The hash as it stands in the file.
    pub hash: &'a [u8],
    /// False: nobody has that name, and this is another user's hash, checked for the time it takes.
    pub known: bool,
}

impl Passwords {
    /// No users at all.
    pub(super) fn none() -> Self {
        let text = Secret::new(Vec::new());
        let keyed = RandomState::new();
        Self {
            text,
            index: Vec::new(),
            keyed,
        }
    }

    /// Reads a password file. `keyed` decides whose hash stands in for an unknown user; it stays the same over reloads.
    pub(super) fn read(path: &Path, keyed: &RandomState) -> Result<(Self, Vec<Warning>), Error> {
        Ok(Self::parse(contents(path)?, path, keyed))
    }

    fn parse(text: Secret, path: &Path, keyed: &RandomState) -> (Self, Vec<Warning>) {
        let mut warnings = Warnings::new(path);
        let mut index = entries(text.expose(), keyed, &mut warnings);
        keep_first_of_each_name(&mut index, text.expose(), &mut warnings);
        index.retain(|entry| entry.hash != 0);
        index.shrink_to_fit();
        if index.is_empty() {
            warnings.no_user();
        }
        let keyed = keyed.clone();
        (Self { text, index, keyed }, warnings.finish())
    }

    /// True when nobody can log in.
    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// True when the file says something, all of it unusable.
    pub(super) fn is_garbage(&self) -> bool {
        self.is_empty() && lines(self.text.expose()).any(|(_, line)| !is_comment(text_of(line)))
    }

    /// The hash for this user. For an unknown one it is the hash of whoever is next on the ring of keyed name hashes:
    /// always the same for a name, and spread over the file's formats and costs as its users are, so that time tells
    /// nothing, and a user who is added or removed moves only his own neighbours. `None` when there are no users.
    pub(super) fn find(&self, user: &[u8]) -> Option<Candidate<'_>> {
        let key = self.keyed.hash_one(user);
        let from = self.index.partition_point(|entry| entry.key < key);
        let at_key = self
            .index
            .iter()
            .skip(from)
            .take_while(|entry| entry.key == key);
        let text = self.text.expose();
        let known = at_key
            .copied()
            .find(|entry| text.get(entry.name()) == Some(user));
        let next = || self.index.get(from).or_else(|| self.index.first()).copied();
        let entry = known.or_else(next)?;
        Some(Candidate {
            hash: text.get(entry.hash())?,
            known: known.is_some(),
        })
    }
}

fn contents(path: &Path) -> Result<Secret, Error> {
    let failed = |source| Error::Read {
        path: path.into(),
        source,
    };
    // Looked at before it is opened: opening a named pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::NotAFile { path: path.into() });
    }
    let too_large = || Error::TooLarge { path: path.into() };
    if metadata.len() > MAX_FILE {
        return Err(too_large());
    }
    // With the whole length at once nothing is copied while it grows, and no copy is left behind unwiped.
    let mut text = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
    let file = File::open(path).map_err(failed)?;
    let length = file
        .take(MAX_FILE + 1)
        .read_to_end(&mut text)
        .map_err(failed)?;
    let text = Secret::new(text);
    if length as u64 > MAX_FILE {
        return Err(too_large());
    }
    Ok(text)
}

/// Lines with the offset of their first byte, without line feed. A byte order mark is not part of the first.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut offset = if text.starts_with(b"\xef\xbb\xbf") {
        3
    } else {
        0
    };
    let body = text.get(offset..).unwrap_or_default();
    body.split(|byte| *byte == b'\n').map(move |line| {
        let start = offset;
        offset += line.len() + 1;
        (start, line)
    })
}

/// The line without the carriage return of a file that was written on Windows.
fn text_of(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_comment(line: &[u8]) -> bool {
    matches!(line.trim_ascii_start(), [] | [b'#', ..])
}

fn entries(text: &[u8], keyed: &RandomState, warnings: &mut Warnings<'_>) -> Vec<Entry> {
    let mut index = Vec::new();
    for (number, (start, line)) in (1_u32..).zip(lines(text)) {
        let line = text_of(line);
        if is_comment(line) {
            continue;
        }
        let (name, hash, problem) = split(line);
        if let Some(problem) = problem {
            warnings.add(number, problem);
            if !problem.locks_the_name() {
                continue;
            }
        }
        let usable = problem.map_or(hash.len(), |_| 0);
        // The lengths fit: `split` bounds both, and the file's size bounds the start.
        let (Ok(start), Ok(name_length), Ok(hash)) =
            (start.try_into(), name.len().try_into(), usable.try_into())
        else {
            continue;
        };
        index.push(Entry {
            key: keyed.hash_one(name),
            start,
            line: number,
            name: name_length,
            hash,
        });
    }
    index
}

/// Name and hash of a line; what follows a second colon is not looked at, as in nginx and Apache.
fn split(line: &[u8]) -> (&[u8], &[u8], Option<Problem>) {
    let mut fields = line.splitn(3, |byte| *byte == b':');
    let (Some(name), Some(hash)) = (fields.next(), fields.next()) else {
        return (line, b"", Some(Problem::NoColon));
    };
    let problem = name_problem(name).or_else(|| hash_problem(hash));
    (name, hash, problem)
}

/// What is wrong with a user name, where something is.
pub(crate) fn name_problem(name: &[u8]) -> Option<Problem> {
    if name.is_empty() {
        Some(Problem::NoName)
    } else if name.len() > MAX_NAME {
        Some(Problem::NameTooLong)
    } else if std::str::from_utf8(name).is_err() {
        Some(Problem::NameNotUtf8)
    } else if name.iter().any(u8::is_ascii_control) {
        Some(Problem::NameControl)
    } else {
        None
    }
}

fn hash_problem(hash: &[u8]) -> Option<Problem> {
    // The longest hash is half as long; a longer `{PLAIN}` could not be sent.
    if hash.len() > 2 * MAX_PASSWORD {
        return Some(Problem::NotAHash);
    }
    Hash::parse(hash).err()
}

fn keep_first_of_each_name(index: &mut Vec<Entry>, text: &[u8], warnings: &mut Warnings<'_>) {
    let name = |entry: &Entry| text.get(entry.name());
    index.sort_unstable_by(|a, b| {
        (a.key.cmp(&b.key))
            .then_with(|| name(a).cmp(&name(b)))
            .then_with(|| a.line.cmp(&b.line))
    });
    index.dedup_by(|later, first| {
        let same = later.key == first.key && name(later) == name(first);
        if same {
            let first = first.line;
            warnings.add(later.line, Problem::Duplicate { first });
        }
        same
    });
}

/// The warnings of one file, bounded.
struct Warnings<'a> {
    path: &'a Path,
    lines: Vec<(u32, Problem)>,
    more: usize,
    no_user: bool,
}

impl<'a> Warnings<'a> {
    fn new(path: &'a Path) -> Self {
        Self {
            path,
            lines: Vec::new(),
            more: 0,
            no_user: false,
        }
    }

    fn add(&mut self, line: u32, problem: Problem) {
        if self.lines.len() < MAX_WARNINGS {
            self.lines.push((line, problem));
        } else {
            self.more += 1;
        }
    }

    fn no_user(&mut self) {
        self.no_user = true;
    }

    fn finish(mut self) -> Vec<Warning> {
        self.lines.sort_unstable_by_key(|(line, _)| *line);
        let path = self.path.to_path_buf();
        let mut warnings: Vec<_> = self
            .lines
            .iter()
            .map(|&(line, problem)| Warning::Line {
                path: path.clone(),
                line,
                problem,
            })
            .collect();
        if self.more > 0 {
            let count = self.more;
            warnings.push(Warning::MoreLines {
                path: path.clone(),
                count,
            });
        }
        if self.no_user {
            warnings.push(Warning::NoUser { path });
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SHA: &str = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";
    const DES: &str = "abJnggxhB/yWI";

    fn parse(text: impl AsRef<[u8]>) -> (Passwords, Vec<(u32, Problem)>) {
        let (passwords, warnings) = Passwords::parse(
            Secret::new(text.as_ref()),
            Path::new("file"),
            &RandomState::new(),
        );
        let lines = warnings.iter().filter_map(|warning| match warning {
            Warning::Line { line, problem, .. } => Some((*line, *problem)),
            _ => None,
        });
        let lines = lines.collect();
        (passwords, lines)
    }

    fn hash_of<'a>(passwords: &'a Passwords, user: &str) -> Option<&'a str> {
        let candidate = passwords.find(user.as_bytes())?;
        candidate
            .known
            .then(|| std::str::from_utf8(candidate.hash).unwrap())
    }

    #[test]
    fn c6_byte_order_mark_crlf_comments_blank_lines_and_third_fields_are_no_matter() {
        let text =
            format!("\u{feff}ann:{SHA}\r\n# bob:{DES}\r\n\r\n   \n  # x\ncid:{DES}:1000:Cid");
        let (passwords, warnings) = parse(text);
        assert_eq!(warnings, []);
        assert_eq!(hash_of(&passwords, "ann"), Some(SHA));
        assert_eq!(hash_of(&passwords, "cid"), Some(DES));
        assert_eq!(hash_of(&passwords, "# bob"), None);
        assert_eq!(hash_of(&passwords, "bob"), None);
    }

    #[test]
    fn c6_a_wrong_line_is_named_and_the_others_work() {
        let mut text = format!("ann:{SHA}\nno colon\n:{SHA}\nbob:secret\ncid:\n").into_bytes();
        text.extend_from_slice(b"d\xe9d:{PLAIN}x\ne\x1bf:{PLAIN}x\n");
        text.extend_from_slice(format!("{}:{SHA}\ngil:{DES}\n", "n".repeat(256)).as_bytes());
        let (passwords, warnings) = parse(text);
        let expected = [
            (2, Problem::NoColon),
            (3, Problem::NoName),
            (4, Problem::NotAHash),
            (5, Problem::NoHash),
            (6, Problem::NameNotUtf8),
            (7, Problem::NameControl),
            (8, Problem::NameTooLong),
        ];
        assert_eq!(warnings, expected);
        assert_eq!(hash_of(&passwords, "ann"), Some(SHA));
        assert_eq!(hash_of(&passwords, "gil"), Some(DES));
    }

    #[test]
    fn c6_the_first_line_of_a_name_decides_even_when_it_is_locked() {
        let (passwords, warnings) = parse(format!(
            "ann:{SHA}\nann:{DES}\nbob:!{DES}\nbob:{DES}\ncid:{DES}"
        ));
        let expected = [
            (2, Problem::Duplicate { first: 1 }),
            (3, Problem::NotAHash),
            (4, Problem::Duplicate { first: 3 }),
        ];
        assert_eq!(warnings, expected);
        assert_eq!(hash_of(&passwords, "ann"), Some(SHA));
        assert_eq!(hash_of(&passwords, "bob"), None);
    }

    #[test]
    fn a8_n21_an_unknown_user_meets_always_the_same_hash_and_all_unknown_users_meet_all_hashes() {
        let hashes: Vec<_> = (0..8).map(|n| format!("{{PLAIN}}{n}")).collect();
        let lines = (hashes.iter().enumerate()).map(|(n, hash)| format!("user{n}:{hash}\n"));
        let (passwords, _) = parse(lines.collect::<Vec<_>>().concat());
        let mut met = HashSet::new();
        for n in 0..10_000 {
            let name = format!("stranger{n}");
            let candidate = passwords.find(name.as_bytes()).unwrap();
            assert!(!candidate.known);
            assert_eq!(passwords.find(name.as_bytes()), Some(candidate));
            met.insert(candidate.hash);
        }
        assert_eq!(met.len(), 8);
    }

    #[test]
    fn an_unknown_user_keeps_the_hash_when_the_file_grows() {
        let keyed = RandomState::new();
        let read = |users: usize| {
            let lines = (0..users).map(|n| format!("user{n}:{{PLAIN}}{n}\n"));
            let text = lines.collect::<Vec<_>>().concat();
            Passwords::parse(Secret::new(text), Path::new("file"), &keyed).0
        };
        let (before, after) = (read(50), read(51));
        let moved = (0..1000)
            .map(|n| format!("stranger{n}"))
            .filter(|name| before.find(name.as_bytes()) != after.find(name.as_bytes()))
            .count();
        assert!(moved < 300, "{moved} of 1000 moved");
    }

    #[test]
    fn c6_an_empty_file_has_no_users_and_garbage_is_told_from_it() {
        for (text, garbage) in [
            (&b""[..], false),
            (b"# nobody\n", false),
            (b"\x7fELF\x02\x01\0\0\n\xff\xff:\xff\xff\n", true),
        ] {
            let (passwords, _) = parse(text);
            assert_eq!(passwords.find(b"ann"), None);
            assert_eq!(passwords.is_garbage(), garbage);
        }
    }

    #[test]
    fn c6_warnings_are_bounded() {
        let text = Secret::new("garbage\n".repeat(1000));
        let (_, warnings) = Passwords::parse(text, Path::new("file"), &RandomState::new());
        assert_eq!(warnings.len(), MAX_WARNINGS + 2);
    }

    #[test]
    fn c6_a_million_lines_are_read() {
        let lines = (0..1_000_000).map(|n| format!("user{n}:{DES}\n"));
        let (passwords, warnings) = parse(lines.collect::<Vec<_>>().concat());
        assert_eq!(warnings, []);
        assert_eq!(passwords.index.len(), 1_000_000);
        assert_eq!(hash_of(&passwords, "user999999"), Some(DES));
    }
}

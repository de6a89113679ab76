//! Files and what they include, as one tree.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::place::{Fault, shown};
use super::tree::{Directive, Numbers, parse};

/// Where files come from.
pub(crate) trait Files {
    /// A file's bytes, but no more than `most` of them and one.
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>>;

    /// The names in a folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
}

/// All files together. Debian's nginx with a hundred sites has half a megabyte.
const MOST_BYTES: u64 = 8 << 20;

/// A file includes a file that includes a file.
const DEEPEST: usize = 16;

/// Files in all.
const MOST_FILES: usize = 1000;

/// Folders whose files nginx includes into the `http` block of the nginx.conf beside them.
const FRAGMENTS: [&str; 7] = [
    "conf.d",
    "http.d",
    "default.d",
    "sites-available",
    "sites-enabled",
    "snippets",
    "vhosts.d",
];

/// What was read.
#[derive(Debug)]
pub(super) struct Read {
    /// Every file's directives, one after the other, includes in their place.
    pub list: Vec<Directive>,
    /// Where relative paths begin.
    pub prefix: PathBuf,
    /// Lines that were replaced by what they include.
    pub includes: Vec<(Directive, usize)>,
}

/// Reads files and all that they include. Paths must be absolute.
///
/// # Errors
/// The first thing that cannot be read.
pub(super) fn read(
    source: &dyn Files,
    files: &[PathBuf],
    prefix: Option<&Path>,
) -> Result<Read, Fault> {
    let mut loader = Loader {
        source,
        prefix: prefix.map(clean).unwrap_or_default(),
        numbers: Numbers::default(),
        bytes: 0,
        seen: BTreeSet::new(),
        count: 0,
        chain: Vec::new(),
        includes: Vec::new(),
    };
    let mut list = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let file = clean(file);
        if loader.seen.contains(&file) {
            continue;
        }
        let found = loader
            .load(&file)
            .map_err(|text| Fault::File(shown(&file.display().to_string()), text))?;
        let found = found?;
        if at == 0 && prefix.is_none() {
            loader.prefix = prefix_of(&file, &found);
        }
        loader.chain.push(file);
        let found = loader.expanded(found)?;
        loader.chain.pop();
        list.extend(found);
    }
    Ok(Read {
        list,
        prefix: loader.prefix,
        includes: loader.includes,
    })
}

/// Where the relative paths of a file begin, unless it was said: nginx's begin at the folder of its nginx.conf.
fn prefix_of(file: &Path, list: &[Directive]) -> PathBuf {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let whole = list.iter().any(|d| d.name == "http" || d.name == "events");
    let name = folder.file_name().and_then(|name| name.to_str());
    let above = folder.parent().filter(|_| !whole);
    match (name.filter(|name| FRAGMENTS.contains(name)), above) {
        (Some(_), Some(above)) => above.to_owned(),
        _ => folder.to_owned(),
    }
}

/// A path without `.` and `..`, as text alone.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}

struct Loader<'s> {
    source: &'s dyn Files,
    prefix: PathBuf,
    numbers: Numbers,
    bytes: u64,
    seen: BTreeSet<PathBuf>,
    count: usize,
    /// The files that are being read, each included by the one before it.
    chain: Vec<PathBuf>,
    includes: Vec<(Directive, usize)>,
}

impl Loader<'_> {
    /// One file; the outer error is one of the file itself.
    fn load(&mut self, path: &Path) -> Result<Result<Vec<Directive>, Fault>, String> {
        if self.count == MOST_FILES {
            return Err(format!("is one file more than {MOST_FILES}"));
        }
        self.count += 1;
        self.seen.insert(path.to_owned());
        let left = MOST_BYTES.saturating_sub(self.bytes);
        let bytes = self
            .source
            .read(path, left)
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => "there is no such file".to_owned(),
                _ => format!("cannot be read: {error}"),
            })?;
        self.bytes += bytes.len() as u64;
        if self.bytes > MOST_BYTES {
            return Err(format!(
                "with what was read before it is longer than {} MiB; name the file of one site instead",
                MOST_BYTES >> 20
            ));
        }
        let name: Arc<str> = path.display().to_string().into();
        let text = String::from_utf8_lossy(&bytes);
        Ok(parse(&name, &text, &mut self.numbers))
    }

    /// The list with every `include` replaced by what it includes.
    fn expanded(&mut self, list: Vec<Directive>) -> Result<Vec<Directive>, Fault> {
        let mut expanded = Vec::with_capacity(list.len());
        for mut directive in list {
            if directive.name == "include" && directive.block.is_none() {
                let included = self.included(&directive)?;
                expanded.extend(included);
                continue;
            }
            if let Some(block) = directive.block.take() {
                directive.block = Some(self.expanded(block)?);
            }
            expanded.push(directive);
        }
        Ok(expanded)
    }

    fn included(&mut self, directive: &Directive) -> Result<Vec<Directive>, Fault> {
        let [name] = directive.args.as_slice() else {
            return Err(directive.fault("takes one file name"));
        };
        if self.chain.len() == DEEPEST {
            let text = format!("is nested deeper than {DEEPEST} files");
            return Err(directive.fault(text));
        }
        let path = self.prefix.join(name);
        let files = if name.contains(['*', '?', '[']) {
            self.matching(&path)
                .map_err(|error| directive.fault(format!("cannot be looked up: {error}")))?
        } else {
            vec![clean(&path)]
        };
        self.includes.push((directive.clone(), files.len()));
        let mut list = Vec::new();
        for file in files {
            if let Some(at) = self.chain.iter().position(|open| *open == file) {
                let round = self.chain.iter().skip(at).chain([&file]);
                let round: Vec<String> = round.map(|p| shown(&p.display().to_string())).collect();
                let text = format!("includes itself: {}", round.join(" -> "));
                return Err(directive.fault(text));
            }
            let found = self.load(&file).map_err(|text| {
                let file = shown(&file.display().to_string());
                directive.fault(format!(
                    "{file}: {text}; relative names begin at {}, --prefix names another folder",
                    self.prefix.display()
                ))
            })?;
            self.chain.push(file);
            let found = found.and_then(|found| self.expanded(found))?;
            self.chain.pop();
            list.extend(found);
        }
        Ok(list)
    }

    /// The files that a pattern stands for, sorted, as glob(3) has them. A pattern may match nothing.
    fn matching(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let mut found = vec![PathBuf::new()];
        let parts: Vec<_> = pattern.components().collect();
        for (at, part) in parts.iter().enumerate() {
            let part = part.as_os_str();
            let Some(text) = part.to_str().filter(|text| text.contains(['*', '?', '['])) else {
                for path in &mut found {
                    path.push(part);
                }
                continue;
            };
            let mut next = Vec::new();
            for folder in found {
                let mut names = match self.source.list(&folder) {
                    Ok(names) => names,
                    Err(error)
                        if matches!(
                            error.kind(),
                            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                        ) =>
                    {
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                names.retain(|name| fits(text, name));
                names.sort_unstable();
                next.extend(names.into_iter().map(|name| folder.join(name)));
                if next.len() > MOST_FILES {
                    let text = format!("it stands for more than {MOST_FILES} files");
                    return Err(io::Error::other(text));
                }
            }
            found = next;
            // What follows a pattern need not be there in every folder.
            if at + 1 < parts.len() && found.is_empty() {
                break;
            }
        }
        Ok(found.iter().map(|path| clean(path)).collect())
    }
}

/// Whether a file name is like a pattern of glob(7). Files that begin with a dot are hidden from `*`.
fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    // Positions in both; on a mismatch the last star takes one more character.
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = name.get(n).and_then(|c| one(pattern.get(p..)?, *c));
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
        } else if let Some(step) = step {
            p += step;
            n += 1;
        } else if let Some((sp, sn)) = star {
            p = sp + 1;
            n = sn + 1;
            star = Some((sp, n));
        } else {
            return false;
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

/// How many characters of the pattern stand for this one character of the name.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => {
            let negated = matches!(pattern.get(1), Some('!' | '^'));
            let begin = 1 + usize::from(negated);
            // A bracket that comes first is one of the characters.
            let end = pattern.iter().skip(begin + 1).position(|c| *c == ']')? + begin + 1;
            let set = pattern.get(begin..end)?;
            let mut hit = false;
            let mut at = 0;
            while let Some(first) = set.get(at) {
                if let (Some('-'), Some(last)) = (set.get(at + 1), set.get(at + 2)) {
                    hit |= (*first..=*last).contains(&c);
                    at += 3;
                } else {
                    hit |= *first == c;
                    at += 1;
                }
            }
            (hit != negated).then_some(end + 1)
        }
        '\\' => (pattern.get(1)? == &c).then_some(2),
        literal => (*literal == c).then_some(1),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Files that are nowhere.
    #[derive(Debug, Default)]
    pub(in crate::import) struct Memory(pub(in crate::import) BTreeMap<PathBuf, String>);

    impl Memory {
        pub(in crate::import) fn new(files: &[(&str, &str)]) -> Self {
            let files = files
                .iter()
                .map(|(p, t)| (PathBuf::from(p), (*t).to_owned()));
            Self(files.collect())
        }
    }

    impl Files for Memory {
        fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
            let text = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
            let most = usize::try_from(most).unwrap() + 1;
            Ok(text.as_bytes()[..most.min(text.len())].to_vec())
        }

        fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
            let below = self.0.keys().filter_map(|p| p.strip_prefix(folder).ok());
            let names = below.filter_map(|p| p.components().next());
            let names: BTreeSet<String> = names
                .map(|n| n.as_os_str().to_str().unwrap().to_owned())
                .collect();
            Ok(names.into_iter().collect())
        }
    }

    fn read_all(files: &[(&str, &str)], first: &str) -> Result<String, String> {
        let read = read(&Memory::new(files), &[first.into()], None);
        let names = |read: Read| {
            let names: Vec<String> = read.list.into_iter().map(|d| d.name).collect();
            names.join(" ")
        };
        read.map(names).map_err(|fault| fault.to_string())
    }

    #[test]
    fn includes_stand_in_their_place_in_the_order_of_their_names() {
        let files = [
            (
                "/etc/nginx/nginx.conf",
                "events {} a; include conf.d/*.conf; z;",
            ),
            ("/etc/nginx/conf.d/2.conf", "two;"),
            ("/etc/nginx/conf.d/1.conf", "one; include snippets/s;"),
            ("/etc/nginx/conf.d/.hidden.conf", "hidden;"),
            ("/etc/nginx/conf.d/1.conf.bak", "old;"),
            ("/etc/nginx/snippets/s", "s;"),
        ];
        assert_eq!(
            read_all(&files, "/etc/nginx/nginx.conf"),
            Ok("events a one s two z".into())
        );
        // A file of conf.d by itself belongs to the nginx.conf above it.
        assert_eq!(
            read_all(&files, "/etc/nginx/conf.d/1.conf"),
            Ok("one s".into())
        );
    }

    #[test]
    fn a_pattern_may_match_nothing_and_a_name_must_be_there() {
        let files = [
            ("/n/a.conf", "include none/*.conf; x;"),
            ("/n/b.conf", "x;\n include none/x.conf;"),
        ];
        assert_eq!(read_all(&files, "/n/a.conf"), Ok("x".into()));
        let fault = read_all(&files, "/n/b.conf").unwrap_err();
        assert!(
            fault.starts_with(
                "/n/b.conf:2:2: include none/x.conf: /n/none/x.conf: there is no such file"
            ) && fault.contains("--prefix"),
            "{fault}"
        );
        let fault = read_all(&files, "/n/c.conf").unwrap_err();
        assert_eq!(fault, "/n/c.conf: there is no such file");
    }

    #[test]
    fn a_loop_is_named_with_all_its_files() {
        let files = [
            ("/n/nginx.conf", "http { include a; }"),
            ("/n/a", "include b;"),
            ("/n/b", "include ./a;"),
        ];
        let fault = read_all(&files, "/n/nginx.conf").unwrap_err();
        assert_eq!(
            fault,
            "/n/b:1:1: include ./a: includes itself: /n/a -> /n/b -> /n/a"
        );
    }

    #[test]
    fn depth_and_bytes_are_bounded() {
        let chain: Vec<(String, String)> = (0..40)
            .map(|at| (format!("/n/{at}"), format!("include {};", at + 1)))
            .collect();
        let chain: Vec<(&str, &str)> = chain.iter().map(|(p, t)| (&**p, &**t)).collect();
        assert!(
            read_all(&chain, "/n/0")
                .unwrap_err()
                .contains("nested deeper")
        );
        let long = format!("#{}\na;", "x".repeat(10 << 20));
        let fault = read_all(&[("/n/0", &long)], "/n/0").unwrap_err();
        assert!(fault.contains("longer than 8 MiB"), "{fault}");
    }

    #[test]
    fn names_are_like_patterns_as_glob_has_it() {
        for (pattern, name, fit) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".a.conf", false),
            (".*", ".a", true),
            ("*", "a", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?.c", "x.c", true),
            ("?.c", ".c", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("[", "[", false),
        ] {
            assert_eq!(fits(pattern, name), fit, "{pattern} {name}");
        }
    }
}

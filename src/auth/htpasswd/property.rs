//! What holds of every password file.

use std::collections::HashMap;
use std::hash::RandomState;
use std::path::Path;

use crate::secret::Secret;

use super::{Hash, Passwords, hash_problem, name_problem};

/// The first line of a name decides, and nobody has a name that no usable line says.
pub(crate) fn file(data: &[u8]) {
    let (read, warnings) = Passwords::parse(
        Secret::new(data),
        Path::new("/etc/htpasswd"),
        &RandomState::new(),
    );
    for warning in &warnings {
        let text = warning.to_string();
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let mut first: HashMap<&[u8], Option<&[u8]>> = HashMap::new();
    for line in text.split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if matches!(line.trim_ascii_start().first(), None | Some(b'#')) {
            continue;
        }
        let mut fields = line.split(|b| *b == b':');
        let (Some(name), Some(hash)) = (fields.next(), fields.next()) else {
            continue;
        };
        if name_problem(name).is_none() {
            let usable = hash_problem(hash).is_none().then_some(hash);
            first.entry(name).or_insert(usable);
        }
    }
    let users = first.values().flatten().count();
    assert_eq!(read.is_empty(), users == 0);
    for (name, hash) in &first {
        let found = read.find(name);
        assert_eq!(found.is_some_and(|c| c.known), hash.is_some());
        if let (Some(found), Some(hash)) = (found, hash) {
            assert_eq!(found.hash, *hash);
        }
    }
    for nobody in [&b""[..], b"nobody else", b"a:b", b"\0"] {
        let known = read.find(nobody).is_some_and(|c| c.known);
        assert_eq!(known, first.get(nobody).is_some_and(Option::is_some));
    }
    for line in text.split(|b| *b == b'\n').take(8) {
        cheap(line.split(|b| *b == b':').nth(1).unwrap_or(line));
    }
}

/// A hash of a kind that costs nothing is checked, too.
fn cheap(hash: &[u8]) {
    if let Ok(read @ (Hash::Md5 { .. } | Hash::Sha1 { .. } | Hash::Plain(_) | Hash::Des { .. })) =
        Hash::parse(hash)
    {
        let fits = read.matches(b"");
        assert!(!fits || !matches!(read, Hash::Plain(text) if !text.is_empty()));
    }
}

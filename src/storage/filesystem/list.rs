//! What lies in a folder, in byte order.

use std::collections::BinaryHeap;

use rustix::fs::{Dir, FileType};
use rustix::io::Result;

use super::super::Entry;
use super::place::{Place, facts_at};

/// The first `most` names of a folder after `after`. However many there are, `most` are kept in memory.
pub(super) fn list(
    place: &Place,
    path: &str,
    after: Option<&str>,
    most: usize,
) -> Result<Vec<Entry>> {
    let mut first: BinaryHeap<(String, bool)> = BinaryHeap::new();
    let Some(folder) = place.folder(path)? else {
        return Ok(Vec::new());
    };
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().ok().filter(|name| is_ours(name)) else {
            continue;
        };
        let is_past =
            first.len() >= most && first.peek().is_none_or(|(last, _)| name > last.as_str());
        if is_past || after.is_some_and(|after| name <= after) {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match facts_at(&folder, name)? {
                Some(facts) => facts.kind,
                None => continue,
            },
            kind => kind,
        };
        let is_folder = match kind {
            FileType::Directory => true,
            FileType::RegularFile => false,
            // A link between folders of the store is followed on reading, so it is listed.
            FileType::Symlink if place.folder(&format!("{path}/{name}"))?.is_some() => true,
            _ => continue,
        };
        first.push((name.to_owned(), is_folder));
        if first.len() > most {
            first.pop();
        }
    }
    let entry = |(name, is_folder)| Entry { name, is_folder };
    Ok(first.into_sorted_vec().into_iter().map(entry).collect())
}

/// Whether a name can be part of a [`super::super::Key`]; what other programs leave in a folder seldom can.
fn is_ours(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':');
    !matches!(name, "." | "..") && name.bytes().all(plain)
}

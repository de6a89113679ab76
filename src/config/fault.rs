//! What is wrong with a configuration: every fault at once, each with its place, its key and its cure.

use std::fmt;

/// Nobody repairs more faults than this at once; a file with more is probably another file.
const MOST: usize = 100;

/// Where a setting was written, or should have been.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The configuration as a whole: something is missing and no line is to blame.
    Whole,
    /// A line of the file, from 1.
    Line(usize),
    /// An environment variable, by its name.
    Variable(String),
}

/// One fault, or one warning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fault {
    pub(super) place: Place,
    pub(super) key: String,
    pub(super) text: String,
}

impl Fault {
    pub(super) fn new(place: Place, key: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            place,
            key: key.into(),
            text: text.into(),
        }
    }

    /// The line that a person reads. A variable says more than the key it stands for, so the key is left out there.
    pub(super) fn line(&self, file: &str) -> String {
        let Self { place, key, text } = self;
        let colon = if key.is_empty() { "" } else { ": " };
        one_line(match place {
            Place::Whole => format!("{file}: {key}{colon}{text}"),
            Place::Line(line) => format!("{file}:{line}: {key}{colon}{text}"),
            Place::Variable(name) => format!("{name}: {text}"),
        })
    }
}

/// Every fault of a configuration, one line each, in the order of the file and then of the environment.
///
/// Never empty. A line reads `proxy.toml:12: listener.address: "0.0.0.0" has no port; write "0.0.0.0:443"`; a fault
/// that came from the environment begins with the name of the variable instead of the file, the line and the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    lines: Vec<String>,
}

impl Faults {
    pub(super) fn new(mut faults: Vec<Fault>, file: &str) -> Self {
        faults.sort();
        faults.dedup();
        let more = faults.len().saturating_sub(MOST);
        let lines = faults.iter().take(MOST).map(|fault| fault.line(file));
        let mut lines: Vec<String> = lines.collect();
        if more > 0 {
            lines.push(format!("{file}: and {more} more; is it the right file?"));
        }
        Self { lines }
    }

    /// A fault of the file itself, before anything in it could be read.
    pub(super) fn of_file(file: &str, text: &str) -> Self {
        Self {
            lines: vec![one_line(format!("{file}: {text}"))],
        }
    }

    /// One line for each fault.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl std::error::Error for Faults {}

/// What is told is one line, and nothing in it commands a terminal: it repeats keys, and a key may hold any character.
pub(super) fn one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut line = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// The candidate that is spelled most like `word`, unless none is near enough to be what was meant.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = word.chars().count();
    // Beyond this a key can be neither a slip nor worth the quadratic comparison.
    if length > 100 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= length.max(candidate.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace) that make one word the other: Levenshtein's distance, one row at a time.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        let mut left = i + 1;
        next.push(left);
        for ((b, up), diagonal) in to.iter().zip(row.iter().skip(1)).zip(&row) {
            left = (left + 1).min(up + 1).min(diagonal + usize::from(a != *b));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_the_word_that_was_meant() {
        let keys = ["address", "plaintext", "http2", "tls"];
        for (written, meant) in [
            ("adress", Some("address")),
            ("addres", Some("address")),
            ("plain_text", Some("plaintext")),
            ("htttp2", Some("http2")),
            ("certificate", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, keys), meant, "{written}");
        }
    }

    #[test]
    fn distances_are_counted_in_edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }
}

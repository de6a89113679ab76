//! Where something stands in a configuration, and what is wrong there.

use std::fmt;
use std::sync::Arc;

/// A file, a line and a column, both from 1; the column counts characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The file as messages call it.
    pub file: Arc<str>,
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// File and line, without the column.
    pub(crate) fn line(&self) -> String {
        format!("{}:{}", shown(&self.file), self.line)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line(), self.column)
    }
}

/// Why a configuration cannot be read, or not be carried over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// Something at a place.
    #[error("{0}: {text}", text = on_one_line(.1))]
    At(Place, String),
    /// A file as a whole.
    #[error("{file}: {text}", file = on_one_line(.0), text = on_one_line(.1))]
    File(String, String),
    /// All of it.
    #[error("{}", on_one_line(.0))]
    Whole(String),
}

/// The most characters of one argument or name that a message repeats.
const LONGEST: usize = 80;

/// Text as messages and comments repeat it: on one line, and short.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => {
            let start = text.get(..end).unwrap_or_default();
            format!("{}...", on_one_line(start))
        }
        None => on_one_line(text),
    }
}

/// Text without what would end a line or command a terminal.
pub(super) fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

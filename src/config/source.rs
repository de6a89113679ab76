//! What was written: the text of the file and the variables of the environment, with the place of each value.
//!
//! Every setting is asked for through a [`Section`], which looks into the environment first and into the file
//! second. What nobody asked for is unknown; so the list of known settings is the reading code itself.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Faults, Place};
use super::section::Section;

/// A variable that stands for a setting.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    pub(super) value: String,
    /// The name that messages use: its own, or that of the container variable or file it was derived from.
    pub(super) label: String,
}

/// Settings from the environment, by `DOCKGATE_` name.
pub(super) type Variables = BTreeMap<String, Variable>;

/// A key that nobody asked for.
pub(super) struct Unknown {
    pub(super) place: Place,
    pub(super) section: String,
    pub(super) key: String,
    pub(super) siblings: Vec<&'static str>,
}

/// The file and the environment, and what was noticed while reading them.
pub(super) struct Source<'a> {
    root: Spanned<DeTable<'a>>,
    starts: Vec<usize>,
    pub(super) folder: &'a Path,
    pub(super) variables: &'a Variables,
    pub(super) asked_variables: RefCell<BTreeSet<String>>,
    pub(super) keys: RefCell<BTreeSet<String>>,
    pub(super) unknown: RefCell<Vec<Unknown>>,
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<Fault>>,
}

impl<'a> Source<'a> {
    /// Parses the text. Faults of the syntax come alone: behind a broken line nothing else can be trusted.
    pub(super) fn parse(
        text: &'a str,
        name: &str,
        folder: &'a Path,
        variables: &'a Variables,
    ) -> Result<Self, Faults> {
        // A byte order mark is an editor's habit, not a fault.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (root, errors) = DeTable::parse_recoverable(text);
        let source = Self {
            root,
            starts: std::iter::once(0)
                .chain(text.match_indices('\n').map(|(at, _)| at + 1))
                .collect(),
            folder,
            variables,
            asked_variables: RefCell::default(),
            keys: RefCell::default(),
            unknown: RefCell::default(),
            faults: RefCell::default(),
            warnings: RefCell::default(),
        };
        if errors.is_empty() {
            return Ok(source);
        }
        let mut faults = Vec::new();
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            let (line, column) = source.position(text, at);
            // One slip often raises several complaints about the same line; the first one is about its cause.
            if faults.last().map(|fault: &Fault| &fault.place) != Some(&Place::Line(line)) {
                let written = error.span().and_then(|span| text.get(span));
                let text = match (error.message().trim(), written) {
                    ("duplicate key", Some(key)) => {
                        format!(
                            "not TOML at column {column}: {key} stands here a second time; keep one of them"
                        )
                    }
                    (what, _) => {
                        format!("not TOML at column {column}: {}", what.replace('\n', "; "))
                    }
                };
                faults.push(Fault::new(Place::Line(line), "", text));
            }
        }
        Err(Faults::new(faults, name))
    }

    /// The top level.
    pub(super) fn top(&self) -> Section<'_> {
        Section::top(self, self.root.get_ref())
    }

    pub(super) fn fault(&self, place: Place, key: &str, text: impl Into<String>) {
        self.faults.borrow_mut().push(Fault::new(place, key, text));
    }

    pub(super) fn fault_count(&self) -> usize {
        self.faults.borrow().len()
    }

    pub(super) fn has_fault_at(&self, key: &str) -> bool {
        self.faults.borrow().iter().any(|fault| fault.key == key)
    }

    pub(super) fn has_fault_below(&self, key: &str) -> bool {
        self.faults
            .borrow()
            .iter()
            .any(|fault| fault.key.starts_with(key))
    }

    pub(super) fn warn(&self, place: Place, key: &str, text: impl Into<String>) {
        self.warnings
            .borrow_mut()
            .push(Fault::new(place, key, text));
    }

    pub(super) fn line(&self, span: &Range<usize>) -> Place {
        Place::Line(self.starts.partition_point(|start| *start <= span.start))
    }

    /// The faults and the warnings.
    pub(super) fn into_noticed(self) -> (Vec<Fault>, Vec<Fault>) {
        (self.faults.into_inner(), self.warnings.into_inner())
    }

    /// Line and column, both from 1, the column in characters.
    fn position(&self, text: &str, at: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= at);
        let start = line.checked_sub(1).and_then(|line| self.starts.get(line));
        let before = text.get(start.copied().unwrap_or_default()..at);
        (line, before.map_or(1, |before| before.chars().count() + 1))
    }
}

/// One written value.
#[derive(Clone, Copy)]
pub(super) enum Written<'s> {
    /// In the file.
    Toml(&'s DeValue<'s>),
    /// In the environment.
    Variable(&'s str),
}

impl Written<'_> {
    /// What kind of thing stands there, for a message.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Variable(_) => "a text",
            Self::Toml(value) => match value {
                DeValue::String(_) => "a string",
                DeValue::Integer(_) => "an integer",
                DeValue::Float(_) => "a float",
                DeValue::Boolean(_) => "a boolean",
                DeValue::Datetime(_) => "a date",
                DeValue::Array(_) => "an array",
                DeValue::Table(_) => "a table",
            },
        }
    }
}

/// A written value as messages repeat it: quoted, escaped, and short.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}...", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

//! What becomes of every line.

use std::collections::BTreeMap;
use std::fmt;

use super::place::{Fault, Place, on_one_line};
use super::tree::Directive;

/// What becomes of a directive. Later ones say more, and stand where two are true.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// It has no effect here.
    NoEffect(String),
    /// dockgate does the same unless told otherwise.
    Same(String),
    /// It is in the result.
    Carried(String),
    /// It is not carried, and nobody gets in by that.
    Left(String),
    /// It is not carried, and the result is stricter than nginx was.
    Stricter(String),
    /// It is not carried, and the result lets in more than nginx did.
    Opens(String),
}

impl Fate {
    /// Whether something was left out.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(self, Self::Left(_) | Self::Stricter(_) | Self::Opens(_))
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, why) = match self {
            Self::NoEffect(why) => ("no effect here", why),
            Self::Same(why) => ("the same by default", why),
            Self::Carried(why) => ("carried", why),
            Self::Left(why) => ("NOT CARRIED", why),
            Self::Stricter(why) => ("NOT CARRIED, stricter", why),
            Self::Opens(why) => ("NOT CARRIED, more open", why),
        };
        write!(f, "{word}: {}", on_one_line(why))
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where the directive stands.
    pub place: Place,
    /// What it is called.
    pub directive: String,
    /// What becomes of it.
    pub fate: Fate,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place,
            directive,
            fate,
        } = self;
        write!(f, "{}: {directive}: {fate}", place.line())
    }
}

/// What was found out until now.
#[derive(Debug, Default)]
pub(super) struct Report {
    fates: BTreeMap<usize, Fate>,
    /// Why there can be no result.
    pub faults: Vec<Fault>,
    /// What the result does otherwise, without a line of nginx that says so.
    pub notes: Vec<String>,
}

impl Report {
    /// Notes what becomes of a directive; of two fates the one that says more stays.
    pub(super) fn note(&mut self, directive: &Directive, fate: Fate) {
        let known = self.fates.get(&directive.id);
        if known.is_none_or(|known| *known < fate) {
            self.fates.insert(directive.id, fate);
        }
    }

    pub(super) fn carried(&mut self, directive: &Directive, setting: impl Into<String>) {
        self.note(directive, Fate::Carried(setting.into()));
    }

    pub(super) fn same(&mut self, directive: &Directive, why: impl Into<String>) {
        self.note(directive, Fate::Same(why.into()));
    }

    pub(super) fn left(&mut self, directive: &Directive, why: impl Into<String>) {
        self.note(directive, Fate::Left(why.into()));
    }

    pub(super) fn stricter(&mut self, directive: &Directive, why: impl Into<String>) {
        self.note(directive, Fate::Stricter(why.into()));
    }

    pub(super) fn opens(&mut self, directive: &Directive, why: impl Into<String>) {
        self.note(directive, Fate::Opens(why.into()));
    }

    /// Notes something that leaves nothing to write.
    pub(super) fn refuse(&mut self, directive: &Directive, why: impl Into<String>) {
        let fault = directive.fault(why);
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    pub(super) fn note_once(&mut self, text: &str) {
        if !self.notes.iter().any(|note| note == text) {
            self.notes.push(text.to_owned());
        }
    }

    pub(super) fn knows(&self, directive: &Directive) -> bool {
        self.fates.contains_key(&directive.id)
    }

    /// Whether something would let in more than nginx did.
    pub(super) fn has_opening(&self) -> bool {
        let mut fates = self.fates.values();
        fates.any(|fate| matches!(fate, Fate::Opens(_)))
    }

    /// The same fate for a directive and all that stands below it, where nothing better is known.
    pub(super) fn rest(&mut self, directive: &Directive, fate: &Fate) {
        if !self.knows(directive) {
            self.note(directive, fate.clone());
        }
        for child in directive.children() {
            self.rest(child, fate);
        }
    }

    /// One line for each directive, in the order of the files.
    pub(super) fn entries(&self, list: &[Directive], entries: &mut Vec<Entry>) {
        for directive in list {
            if let Some(fate) = self.fates.get(&directive.id) {
                entries.push(Entry {
                    place: directive.place.clone(),
                    directive: directive.called(),
                    fate: fate.clone(),
                });
            }
            self.entries(directive.children(), entries);
        }
    }
}

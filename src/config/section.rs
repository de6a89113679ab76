//! One table of the configuration, as the reading code sees it: settings by name, whatever wrote them.

use std::cell::RefCell;
use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use super::environment::is_noise;
use super::fault::Place;
use super::source::{Source, Unknown, Written};

/// One table, in the file or in the environment or in both.
pub(super) struct Section<'s> {
    pub(super) source: &'s Source<'s>,
    /// `listener.tls`; empty at the top.
    path: String,
    table: Option<&'s DeTable<'s>>,
    place: Place,
    /// The names in the environment that stand for it: `DOCKGATE_LISTENER_0` and `DOCKGATE_LISTENER`.
    prefixes: Vec<String>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'s> Section<'s> {
    pub(super) fn top(source: &'s Source<'s>, table: &'s DeTable<'s>) -> Self {
        Self {
            source,
            path: String::new(),
            table: Some(table),
            place: Place::Whole,
            prefixes: vec!["DOCKGATE".into()],
            asked: RefCell::default(),
        }
    }

    /// Whether the file has this table; one that only the environment speaks of is not in it.
    pub(super) fn is_in_file(&self) -> bool {
        self.table.is_some()
    }

    /// Whether what stands in its place is no table, which was reported already.
    pub(super) fn is_misshapen(&self) -> bool {
        self.source.has_fault_at(&self.path)
    }

    /// Reads a table that may be absent: everything in it has a default.
    pub(super) fn table<T>(&self, key: &'static str, read: impl FnOnce(&Self) -> T) -> T {
        let section = self.child(key);
        let value = read(&section);
        section.finish();
        value
    }

    /// Reads a table whose absence has a meaning.
    pub(super) fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Self) -> T,
    ) -> Option<T> {
        let section = self.child(key);
        let spoken_of = section.prefixes.iter().any(|p| self.has_variables(p));
        if section.table.is_none() && !spoken_of {
            return None;
        }
        let value = read(&section);
        section.finish();
        Some(value)
    }

    /// Reads an array of tables, those of the file first and then what only the environment has.
    pub(super) fn entries<T>(&self, key: &'static str, mut read: impl FnMut(&Self) -> T) -> Vec<T> {
        let tables = self.array_of_tables(key);
        let mut values = Vec::new();
        for index in 0.. {
            let written = tables.get(index);
            let prefixes = self.entry_prefixes(key, index);
            // The environment goes on where the file ends, without a gap: this ends with the first number it lacks.
            if written.is_none() && !prefixes.iter().any(|p| self.has_variables(p)) {
                break;
            }
            let section = Self {
                source: self.source,
                path: self.path_of(key),
                table: written.map(|(table, _)| *table),
                place: written.map_or(Place::Whole, |(_, place)| place.clone()),
                prefixes,
                asked: RefCell::default(),
            };
            values.push(read(&section));
            section.finish();
        }
        values
    }

    /// Whether anything was written, right or wrong.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.find(key).is_some()
    }

    /// Where a key was written, or else its table.
    pub(super) fn place(&self, key: &'static str) -> Place {
        self.find(key)
            .map_or_else(|| self.place.clone(), |(_, place)| place)
    }

    pub(super) fn fault(&self, key: &'static str, text: impl Into<String>) {
        let path = self.path_of(key);
        self.source.fault(self.place(key), &path, text);
    }

    pub(super) fn warn(&self, key: &'static str, text: impl Into<String>) {
        let path = self.path_of(key);
        self.source.warn(self.place(key), &path, text);
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    /// Looks a setting up for its value, which makes it a known one.
    pub(super) fn ask(&self, key: &'static str) -> Option<(Written<'s>, Place)> {
        self.asked.borrow_mut().insert(key);
        self.source.keys.borrow_mut().insert(self.path_of(key));
        let found = self.find(key);
        let mut first: Option<&str> = None;
        for prefix in &self.prefixes {
            let name = variable(prefix, key);
            let Some(written) = self.source.variables.get(&name) else {
                continue;
            };
            self.source.asked_variables.borrow_mut().insert(name);
            if let Some(first) = first {
                let place = Place::Variable(written.label.clone());
                let text = format!("means the same as {first}; remove one of them");
                self.source.fault(place, &self.path_of(key), text);
            }
            first = Some(&written.label);
        }
        found
    }

    fn find(&self, key: &str) -> Option<(Written<'s>, Place)> {
        let variables = self.source.variables;
        let from_environment = self
            .prefixes
            .iter()
            .find_map(|prefix| variables.get(&variable(prefix, key)));
        if let Some(found) = from_environment {
            let place = Place::Variable(found.label.clone());
            return Some((Written::Variable(&found.value), place));
        }
        let (name, value) = self.table?.get_key_value(key)?;
        let place = self.source.line(&name.span());
        Some((Written::Toml(value.get_ref()), place))
    }

    pub(super) fn numbered(&self, key: &'static str) -> Vec<(String, Place)> {
        let mut items = Vec::new();
        for prefix in &self.prefixes {
            for index in 0.. {
                let name = format!("{}_{index}", variable(prefix, key));
                let Some(found) = self.source.variables.get(&name) else {
                    break;
                };
                items.push((found.value.clone(), Place::Variable(found.label.clone())));
                self.source.asked_variables.borrow_mut().insert(name);
            }
        }
        items
    }

    /// A table by its name, not yet read.
    pub(super) fn child(&self, key: &'static str) -> Self {
        self.asked.borrow_mut().insert(key);
        let written = self.table.and_then(|table| table.get_key_value(key));
        let mut table = None;
        let mut place = self.place.clone();
        if let Some((name, value)) = written {
            place = self.source.line(&name.span());
            match value.get_ref() {
                DeValue::Table(found) => table = Some(found),
                DeValue::Array(_) => {
                    let text = format!("there is one of it; write [{}], once", self.path_of(key));
                    self.source.fault(place.clone(), &self.path_of(key), text);
                }
                other => {
                    let kind = Written::Toml(other).kind();
                    let text = format!("is {kind}; write the table [{}]", self.path_of(key));
                    self.source.fault(place.clone(), &self.path_of(key), text);
                }
            }
        }
        Self {
            source: self.source,
            path: self.path_of(key),
            table,
            place,
            prefixes: self.prefixes.iter().map(|p| variable(p, key)).collect(),
            asked: RefCell::default(),
        }
    }

    fn array_of_tables(&self, key: &'static str) -> Vec<(&'s DeTable<'s>, Place)> {
        self.asked.borrow_mut().insert(key);
        let Some((name, value)) = self.table.and_then(|table| table.get_key_value(key)) else {
            return Vec::new();
        };
        let wrong = |place: Place, kind: &str| {
            let path = self.path_of(key);
            let text = format!("is {kind}; there may be several, so write [[{path}]]");
            self.source.fault(place, &path, text);
        };
        let DeValue::Array(array) = value.get_ref() else {
            wrong(
                self.source.line(&name.span()),
                Written::Toml(value.get_ref()).kind(),
            );
            return Vec::new();
        };
        let tables = array.iter().filter_map(|item| {
            let place = self.source.line(&item.span());
            if let DeValue::Table(table) = item.get_ref() {
                return Some((table, place));
            }
            wrong(place, Written::Toml(item.get_ref()).kind());
            None
        });
        tables.collect()
    }

    /// `DOCKGATE_LISTENER_0`, and for the first one `DOCKGATE_LISTENER` too.
    fn entry_prefixes(&self, key: &str, index: usize) -> Vec<String> {
        let bare = self.prefixes.iter().map(|prefix| variable(prefix, key));
        let numbered = bare.clone().map(|name| format!("{name}_{index}"));
        if index == 0 {
            numbered.chain(bare).collect()
        } else {
            numbered.collect()
        }
    }

    /// Whether the environment has a setting below `prefix`.
    fn has_variables(&self, prefix: &str) -> bool {
        let below = format!("{prefix}_");
        let found = self.source.variables.range(below.clone()..);
        found
            .take_while(|(name, _)| name.starts_with(&below))
            .any(|(name, variable)| !is_noise(name, &variable.value))
    }

    /// Notes what nobody asked for.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for name in self.table.into_iter().flat_map(|table| table.keys()) {
            if !asked.contains(name.get_ref().as_ref()) {
                self.source.unknown.borrow_mut().push(Unknown {
                    place: self.source.line(&name.span()),
                    section: self.path.clone(),
                    key: name.get_ref().to_string(),
                    siblings: asked.iter().copied().collect(),
                });
            }
        }
    }
}

/// The name in the environment.
pub(super) fn variable(prefix: &str, key: &str) -> String {
    format!("{prefix}_{}", key.to_ascii_uppercase())
}

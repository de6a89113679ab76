//! One setting, read as what it should be: a text, a path, a number, a wait.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::fault::{Place, nearest};
use super::section::Section;
use super::source::{Written, shown};
use super::unit;

impl<'s> Section<'s> {
    /// A string that `parse` understands; its complaint becomes the fault.
    pub(super) fn parsed<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (written, _) = self.ask(key)?;
        let parsed = match (written, text(written)) {
            (_, Ok("")) => Err("is empty; give it a value or remove it".into()),
            (_, Ok(text)) => parse(text),
            // A number without quotes may lack more than them: a unit, an address.
            (Written::Toml(DeValue::Integer(number)), Err(unquoted)) => {
                parse(number.as_str()).and(Err(unquoted))
            }
            (_, Err(wrong)) => Err(wrong),
        };
        self.noticed(key, parsed)
    }

    /// A string that may be empty.
    pub(super) fn text(&self, key: &'static str) -> Option<String> {
        let (written, _) = self.ask(key)?;
        self.noticed(key, text(written).map(str::to_owned))
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, allowed: &[(&str, T)]) -> Option<T> {
        self.parsed(key, |text| choose(text, allowed))
    }

    /// A file or folder; a relative one is below the folder of the configuration file.
    pub(super) fn path(&self, key: &'static str) -> Option<PathBuf> {
        self.parsed(key, |text| path(text, self.source.folder))
    }

    /// The folder that relative paths start from.
    pub(super) fn folder(&self) -> &'s Path {
        self.source.folder
    }

    /// A wait of at least `least`.
    pub(super) fn duration(&self, key: &'static str, least: Duration) -> Option<Duration> {
        self.parsed(key, |text| {
            let duration = unit::duration(text)?;
            if duration < least {
                return Err(format!("{} is too short; at least {least:?}", shown(text)));
            }
            Ok(duration)
        })
    }

    /// A number of bytes.
    pub(super) fn size(&self, key: &'static str, allowed: RangeInclusive<u64>) -> Option<u64> {
        let (written, _) = self.ask(key)?;
        let size = match written {
            Written::Toml(DeValue::Integer(number)) => unit::size(number.as_str()),
            other => text(other).and_then(unit::size),
        };
        let size = size.and_then(|size| within(size, &allowed, "bytes"));
        self.noticed(key, size)
    }

    /// A number of things.
    pub(super) fn count(&self, key: &'static str, allowed: RangeInclusive<u64>) -> Option<usize> {
        let (written, _) = self.ask(key)?;
        let number = match written {
            Written::Toml(DeValue::Integer(number)) => Ok(number.as_str()),
            Written::Variable(text) => Ok(text.trim()),
            other @ Written::Toml(_) => Err(format!("is {}; write an integer", other.kind())),
        };
        let count = number.and_then(|text| {
            let number = text.parse::<u64>();
            let number = number.map_err(|_| format!("{} is not a whole number", shown(text)))?;
            let number = within(number, &allowed, "")?;
            usize::try_from(number).map_err(|_| format!("{number} is too much for this machine"))
        });
        self.noticed(key, count)
    }

    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        let (written, _) = self.ask(key)?;
        let value = match written {
            Written::Toml(DeValue::Boolean(value)) => Ok(*value),
            Written::Variable("true") => Ok(true),
            Written::Variable("false") => Ok(false),
            Written::Variable(text) => Err(format!("{} is neither true nor false", shown(text))),
            other @ Written::Toml(_) => Err(format!(
                "is {}; write true or false, without quotes",
                other.kind()
            )),
        };
        self.noticed(key, value)
    }

    /// A list, each item with its place. In the environment: separated by commas, or one variable for each item.
    pub(super) fn list(&self, key: &'static str) -> Vec<(String, Place)> {
        let numbered = self.numbered(key);
        let (written, place) = match (self.ask(key), numbered.first()) {
            (Some((Written::Variable(_), whole)), Some((_, first))) => {
                let text = "and its numbered form are both there; remove one of them";
                self.item_fault(key, whole.min(first.clone()), text.to_owned());
                return numbered;
            }
            (Some(found), None) => found,
            (Some(_) | None, _) => return numbered,
        };
        let items = match written {
            Written::Variable(text) => text.split(',').map(str::trim),
            Written::Toml(DeValue::Array(array)) => {
                return array
                    .iter()
                    .filter_map(|item| {
                        let place = self.source.line(&item.span());
                        match item.get_ref() {
                            DeValue::String(text) => Some((text.to_string(), place)),
                            other => {
                                let kind = Written::Toml(other).kind();
                                let text =
                                    format!("holds {kind}; every item is a string in quotes");
                                self.source.fault(place, &self.path_of(key), text);
                                None
                            }
                        }
                    })
                    .collect();
            }
            other @ Written::Toml(_) => {
                self.fault(
                    key,
                    format!("is {}; write an array of strings: [\"...\"]", other.kind()),
                );
                return Vec::new();
            }
        };
        items
            .filter(|item| !item.is_empty())
            .map(|item| (item.to_owned(), place.clone()))
            .collect()
    }

    /// A fault of one item of a list.
    pub(super) fn item_fault(&self, key: &'static str, place: Place, text: String) {
        self.source.fault(place, &self.path_of(key), text);
    }

    fn noticed<T>(&self, key: &'static str, result: Result<T, String>) -> Option<T> {
        result.map_err(|text| self.fault(key, text)).ok()
    }
}

/// One of a few words, or a fault that lists them.
pub(super) fn choose<T: Copy>(text: &str, allowed: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = allowed.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let words: Vec<String> = allowed
        .iter()
        .map(|(word, _)| format!("{word:?}"))
        .collect();
    let meant = nearest(
        &text.to_ascii_lowercase(),
        allowed.iter().map(|(word, _)| *word),
    );
    let meant = meant.map_or_else(String::new, |word| format!("did you mean {word:?}? "));
    Err(format!(
        "{} is not known; {meant}allowed: {}",
        shown(text),
        words.join(", ")
    ))
}

/// A path, relative to `folder`, without the `./` that people write in front.
pub(super) fn path(text: &str, folder: &Path) -> Result<PathBuf, String> {
    if text.contains('\0') {
        return Err("holds a NUL, which no path can".into());
    }
    if text.starts_with('~') {
        return Err(format!(
            "{}: ~ is the shell's word and means nothing here; write the whole path",
            shown(text)
        ));
    }
    Ok(folder.join(text).components().collect())
}

fn text(written: Written<'_>) -> Result<&str, String> {
    match written {
        Written::Variable(text) => Ok(text),
        Written::Toml(DeValue::String(text)) => Ok(text),
        Written::Toml(DeValue::Integer(number)) => Err(format!(
            "is an integer; write it in quotes: \"{}\"",
            number.as_str()
        )),
        Written::Toml(DeValue::Float(number)) => Err(format!(
            "is a float; write it in quotes: \"{}\"",
            number.as_str()
        )),
        other @ Written::Toml(_) => Err(format!("is {}; write a string in quotes", other.kind())),
    }
}

fn within(number: u64, allowed: &RangeInclusive<u64>, unit: &str) -> Result<u64, String> {
    if allowed.contains(&number) {
        return Ok(number);
    }
    let (least, most) = (allowed.start(), allowed.end());
    let unit = if unit.is_empty() {
        String::new()
    } else {
        format!(" {unit}")
    };
    Err(format!(
        "{number}{unit} is out of range; allowed: {least} to {most}{unit}"
    ))
}

//! registry:2's `config.yml` as a flat list: `storage.s3.bucket`, its value, its line.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// The file has five levels; what is nested deeper is another file.
const DEEPEST: usize = 16;

/// One value of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// Keys with dots between them; items of lists have numbers.
    pub(super) path: String,
    /// Empty for null and for an empty mapping.
    pub(super) value: String,
    /// Counted from 1.
    pub(super) line: usize,
}

/// What cannot be read, and its line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) line: usize,
    pub(super) text: String,
}

/// All values of the one document.
pub(super) fn flatten(text: &str) -> Result<Vec<Given>, Broken> {
    let mut reader = Reader {
        found: Vec::new(),
        open: Vec::new(),
        documents: 0,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Broken {
            line: error.marker().line(),
            text: format!(
                "not YAML at column {}: {}",
                error.marker().col() + 1,
                error.info()
            ),
        })?;
        reader.take(&event, span)?;
    }
    Ok(reader.found)
}

/// A mapping or list that is being read.
enum Open {
    /// The keys that it had, and the one whose value comes next.
    Mapping {
        seen: Vec<String>,
        key: Option<String>,
        empty: bool,
    },
    /// How many items it had.
    List(usize),
}

struct Reader {
    found: Vec<Given>,
    open: Vec<Open>,
    documents: usize,
}

impl Reader {
    fn take(&mut self, event: &Event<'_>, span: Span) -> Result<(), Broken> {
        let line = span.start.line();
        let broken = |text: &str| Broken {
            line,
            text: text.to_owned(),
        };
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(broken("is a second document; a configuration is one"));
                }
            }
            Event::Alias(_) => {
                return Err(broken(
                    "is an alias (*), which is not followed; write the value out",
                ));
            }
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                if self.open.len() == DEEPEST {
                    return Err(broken("is nested deeper than any configuration"));
                }
                if self.awaits_key() {
                    return Err(broken("is a mapping or list in the place of a key"));
                }
                self.open.push(match event {
                    Event::MappingStart(..) => Open::Mapping {
                        seen: Vec::new(),
                        key: None,
                        empty: true,
                    },
                    _ => Open::List(0),
                });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                let ended = self.open.pop();
                let empty = matches!(
                    ended,
                    Some(Open::Mapping { empty: true, .. } | Open::List(0))
                );
                if empty {
                    self.add(String::new(), line);
                }
                self.done();
            }
            Event::Scalar(text, style, ..) => self.scalar(text, *style, line)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, line: usize) -> Result<(), Broken> {
        if let Some(Open::Mapping { seen, key, empty }) = self.open.last_mut()
            && key.is_none()
        {
            if seen.iter().any(|before| before == text) {
                return Err(Broken {
                    line,
                    text: format!("{text} stands here a second time; keep one of them"),
                });
            }
            seen.push(text.to_owned());
            *key = Some(text.to_owned());
            *empty = false;
            return Ok(());
        }
        if self.open.is_empty() && !text.trim().is_empty() {
            return Err(Broken {
                line,
                text: "is no mapping; the file begins with version: 0.1".into(),
            });
        }
        let null =
            style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
        let value = if null { "" } else { text };
        if !self.open.is_empty() {
            self.add(value.to_owned(), line);
        }
        self.done();
        Ok(())
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Mapping { key: None, .. }))
    }

    fn add(&mut self, value: String, line: usize) {
        let parts = self.open.iter().filter_map(|open| match open {
            Open::Mapping { key, .. } => key.clone(),
            Open::List(at) => Some(at.to_string()),
        });
        let path = parts.collect::<Vec<_>>().join(".");
        if !path.is_empty() {
            self.found.push(Given { path, value, line });
        }
    }

    /// A value ended: the next one has another key.
    fn done(&mut self) {
        match self.open.last_mut() {
            Some(Open::Mapping { key, .. }) => *key = None,
            Some(Open::List(at)) => *at += 1,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_path_and_line() {
        let text = "version: 0.1\nstorage:\n  delete:\n    enabled: true\n  inmemory:\nhttp:\n  tls:\n    \
                    clientcas: [a.crt, 'b.crt']\n  headers: {}\n";
        let found: Vec<_> = flatten(text)
            .unwrap()
            .into_iter()
            .map(|given| (given.path, given.value, given.line))
            .collect();
        let wanted = [
            ("version", "0.1", 1),
            ("storage.delete.enabled", "true", 4),
            ("storage.inmemory", "", 5),
            ("http.tls.clientcas.0", "a.crt", 8),
            ("http.tls.clientcas.1", "b.crt", 8),
            ("http.headers", "", 9),
        ];
        let wanted = wanted.map(|(path, value, line)| (path.to_owned(), value.to_owned(), line));
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_is_no_configuration_names_its_line() {
        for (text, line) in [
            ("a: 1\na: 2\n", 2),
            ("a: [\n", 2),
            ("a: &x 1\nb: *x\n", 2),
            ("just text\n", 1),
            ("a: 1\n---\nb: 1\n", 2),
            ("? [a]\n: 1\n", 1),
            (&format!("{}1", "[".repeat(40)), 1),
        ] {
            let broken = flatten(text).unwrap_err();
            assert_eq!(broken.line, line, "{text}: {}", broken.text);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_a_surprise(text in "[a-z:\\-\\[\\]{}&*#'\"\n |>?!%@,]{0,200}") {
            let _ = flatten(&text);
        }
    }
}

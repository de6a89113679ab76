//! The command line of Apache's tool: single letters, joined or apart, then file, user and password by position.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::auth::htpasswd::{Recipe, Sha};
use crate::secret::Secret;

/// The cost of `-B` without `-C`, and of no option at all: a twentieth of a second.
const DEFAULT_COST: u32 = 10;

/// Characters of a password that traditional crypt looks at.
const DES_PASSWORD: usize = 8;

/// What is wrong with a command line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The positions do not add up.
    #[error("wrong usage")]
    Usage,
    /// A letter that is none of ours.
    #[error("illegal option -- {0}")]
    Unknown(char),
    /// `-C` or `-r` at the end.
    #[error("option requires an argument -- {0}")]
    Missing(char),
    /// `-C` or `-r` with something else than a number.
    #[error("argument to -C/-r must be a positive integer")]
    Number,
    /// Two things at once.
    #[error("only one of -c -n -v -D may be specified")]
    Actions,
}

impl Fault {
    pub(super) fn shows_usage(&self) -> bool {
        !matches!(self, Self::Number | Self::Actions)
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Update,
    Print,
    Delete,
    Verify,
}

/// Where the password comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    Argument(Secret),
    Stdin,
    Prompt,
}

/// A command line, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub action: Action,
    pub source: Source,
    pub recipe: Recipe,
    /// `None` with `-n`.
    pub path: Option<PathBuf>,
    pub user: Vec<u8>,
    /// To be told before anything is done.
    pub notes: Vec<&'static str>,
}

/// The letters as they are found.
#[derive(Default)]
struct Letters {
    actions: Vec<Action>,
    batch: bool,
    stdin: bool,
    algorithm: Option<u8>,
    cost: Option<u32>,
    rounds: Option<u32>,
}

impl Options {
    /// Reads what follows `htpasswd`. Options end at the first word without a dash, or at `--`.
    pub(super) fn parse(arguments: &[OsString]) -> Result<Self, Fault> {
        let mut letters = Letters::default();
        let mut words = arguments.iter().map(OsString::as_os_str);
        let mut positions = Vec::new();
        while let Some(word) = words.next() {
            match word.as_bytes() {
                b"--" => break,
                [b'-', cluster @ ..] if !cluster.is_empty() => {
                    letters.read(cluster, &mut words)?;
                }
                _ => {
                    positions.push(word);
                    break;
                }
            }
        }
        positions.extend(words);
        letters.build(&positions)
    }

    /// What a person should know of the hash that is made of a password of this length.
    pub(super) fn recipe_note(&self, password: usize) -> Option<&'static str> {
        match self.recipe {
            Recipe::Des if password > DES_PASSWORD => {
                Some("Warning: Password truncated to 8 characters by CRYPT algorithm.")
            }
            Recipe::Plain => Some(
                "Warning: whoever reads the file reads the password; Apache does not accept it.",
            ),
            _ => None,
        }
    }
}

impl Letters {
    fn read<'a>(
        &mut self,
        cluster: &'a [u8],
        words: &mut impl Iterator<Item = &'a OsStr>,
    ) -> Result<(), Fault> {
        let mut rest = cluster;
        while let [letter, after @ ..] = rest {
            rest = after;
            match letter {
                b'c' => self.act(Action::Create),
                b'n' => self.act(Action::Print),
                b'D' => self.act(Action::Delete),
                b'v' => self.act(Action::Verify),
                b'b' => self.batch = true,
                b'i' => self.stdin = true,
                b'm' | b'B' | b'2' | b'5' | b'd' | b's' | b'p' => self.algorithm = Some(*letter),
                b'C' | b'r' => {
                    let name = char::from(*letter);
                    let value = match after {
                        [] => words
                            .next()
                            .map(OsStr::as_bytes)
                            .ok_or(Fault::Missing(name))?,
                        joined => joined,
                    };
                    let number = Some(positive(value)?);
                    match letter {
                        b'C' => self.cost = number,
                        _ => self.rounds = number,
                    }
                    return Ok(());
                }
                other => return Err(Fault::Unknown(char::from(*other))),
            }
        }
        Ok(())
    }

    fn act(&mut self, action: Action) {
        if !self.actions.contains(&action) {
            self.actions.push(action);
        }
    }

    fn build(self, positions: &[&OsStr]) -> Result<Options, Fault> {
        let action = match self.actions[..] {
            [] => Action::Update,
            [action] => action,
            _ => return Err(Fault::Actions),
        };
        let (path, user, password) = match (action == Action::Print, self.batch, positions) {
            (true, false, [user]) => (None, user, None),
            (true, true, [user, password]) => (None, user, Some(password)),
            (false, false, [path, user]) => (Some(path), user, None),
            (false, true, [path, user, password]) => (Some(path), user, Some(password)),
            _ => return Err(Fault::Usage),
        };
        let source = match (password, self.stdin) {
            (Some(password), false) => Source::Argument(Secret::new(password.as_bytes())),
            (None, true) => Source::Stdin,
            (None, false) => Source::Prompt,
            (Some(_), true) => return Err(Fault::Usage),
        };
        let (recipe, notes) = self.recipe();
        Ok(Options {
            action,
            source,
            recipe,
            path: path.map(PathBuf::from),
            user: user.as_bytes().to_vec(),
            notes,
        })
    }

    fn recipe(&self) -> (Recipe, Vec<&'static str>) {
        let rounds = self.rounds;
        let recipe = match self.algorithm {
            None | Some(b'B') => Recipe::Bcrypt {
                cost: self.cost.unwrap_or(DEFAULT_COST),
            },
            Some(b'2') => Recipe::ShaCrypt {
                sha: Sha::Sha256,
                rounds,
            },
            Some(b'5') => Recipe::ShaCrypt {
                sha: Sha::Sha512,
                rounds,
            },
            Some(b'd') => Recipe::Des,
            Some(b's') => Recipe::Sha1,
            Some(b'p') => Recipe::Plain,
            Some(_) => Recipe::Apache,
        };
        let ignored = match recipe {
            Recipe::Bcrypt { .. } => self.rounds.is_some(),
            Recipe::ShaCrypt { .. } => self.cost.is_some(),
            _ => self.cost.or(self.rounds).is_some(),
        };
        let notes = if ignored {
            vec!["Warning: Ignoring -C/-r argument for this algorithm."]
        } else {
            Vec::new()
        };
        (recipe, notes)
    }
}

fn positive(value: &[u8]) -> Result<u32, Fault> {
    let text = std::str::from_utf8(value).map_err(|_| Fault::Number)?;
    match u32::from_str(text) {
        Ok(0) | Err(_) => Err(Fault::Number),
        Ok(number) => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Fault> {
        let words: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        Options::parse(&words)
    }

    fn argument(password: &str) -> Source {
        Source::Argument(Secret::new(password))
    }

    #[test]
    fn letters_may_be_joined_and_may_be_apart() {
        let expected = Options {
            action: Action::Print,
            source: argument("pass"),
            recipe: Recipe::Bcrypt { cost: 12 },
            path: None,
            user: b"user".to_vec(),
            notes: Vec::new(),
        };
        for line in [
            "-Bbn -C 12 user pass",
            "-BbnC12 user pass",
            "-B -b -n -C12 user pass",
            "-BbnC 12 -- user pass",
            "-mbnC 12 -B user pass",
        ] {
            assert_eq!(parse(line).as_ref(), Ok(&expected), "{line}");
        }
    }

    #[test]
    fn the_positions_depend_on_n_and_b() {
        for (line, action, path, source) in [
            ("file user", Action::Update, Some("file"), Source::Prompt),
            ("-c file user", Action::Create, Some("file"), Source::Prompt),
            ("-ic file user", Action::Create, Some("file"), Source::Stdin),
            (
                "-b file user x",
                Action::Update,
                Some("file"),
                argument("x"),
            ),
            ("-D file user", Action::Delete, Some("file"), Source::Prompt),
            (
                "-vb file user x",
                Action::Verify,
                Some("file"),
                argument("x"),
            ),
            ("-n user", Action::Print, None, Source::Prompt),
            ("-ni user", Action::Print, None, Source::Stdin),
        ] {
            let options = parse(line).unwrap();
            assert_eq!(options.action, action, "{line}");
            assert_eq!(options.path, path.map(PathBuf::from), "{line}");
            assert_eq!(options.source, source, "{line}");
            assert_eq!(options.user, b"user", "{line}");
        }
    }

    #[test]
    fn wrong_lines_are_refused_as_apache_refuses_them() {
        for (line, fault) in [
            ("", Fault::Usage),
            ("user", Fault::Usage),
            ("-n user pass", Fault::Usage),
            ("-nb user", Fault::Usage),
            ("-nbi user pass", Fault::Usage),
            ("file -b user pass", Fault::Usage),
            ("-c -n user", Fault::Actions),
            ("-Dv file user", Fault::Actions),
            ("-z", Fault::Unknown('z')),
            ("--version", Fault::Unknown('-')),
            ("-nC", Fault::Missing('C')),
            ("-nC x user", Fault::Number),
            ("-nr 0 user", Fault::Number),
        ] {
            assert_eq!(parse(line), Err(fault), "{line}");
        }
    }

    #[test]
    fn a_number_for_another_algorithm_is_ignored_aloud() {
        assert_eq!(parse("-nmC 12 user").unwrap().notes.len(), 1);
        assert_eq!(parse("-nBr 5000 user").unwrap().notes.len(), 1);
        assert_eq!(parse("-n5r 5000 user").unwrap().notes.len(), 0);
    }
}

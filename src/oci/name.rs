//! Repository names.

use std::fmt;

use super::{Code, Invalid};

/// Longer names are refused by registry:2 too (with a 500), and by file systems.
const MAX_LENGTH: usize = 255;

/// A repository name: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, such components joined by `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RepositoryName(String);

impl RepositoryName {
    /// The name, or why it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() > MAX_LENGTH {
            return Err(invalid("a repository name has at most 255 characters"));
        }
        if !text.split('/').all(is_component) {
            return Err(invalid(
                "a repository name consists of lower-case letters, digits and single separators (. _ __ -), in parts joined by /",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn invalid(message: &'static str) -> Invalid {
    Invalid {
        code: Code::NameInvalid,
        message,
    }
}

fn is_component(part: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let edges = bytes.first().copied().is_some_and(alphanumeric)
        && bytes.last().copied().is_some_and(alphanumeric);
    edges
        && bytes
            .split(|b| alphanumeric(*b))
            .all(|gap| matches!(gap, b"" | b"." | b"_" | b"__") || gap.iter().all(|b| *b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_specification_are_accepted() {
        for name in [
            "a",
            "library/ubuntu",
            "a.b_c__d-e---f/0/1x",
            "a/b/c/d/e/f",
            "sha256/x",
            &"a".repeat(255),
        ] {
            assert!(RepositoryName::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for name in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "A",
            "Foo/bar",
            ".",
            "..",
            "a/../b",
            "-a",
            "a-",
            ".a",
            "a.",
            "_a",
            "a..b",
            "a._b",
            "a___b",
            "a.-b",
            "a b",
            "a%2fb",
            "ü",
            "a\0b",
            "a:b",
            "a@b",
            &"a".repeat(256),
        ] {
            assert!(RepositoryName::parse(name).is_err(), "{name}");
        }
    }
}

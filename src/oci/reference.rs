//! What a manifest is asked by.

use std::fmt;

use super::{Code, Digest, Invalid};

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tag(String);

impl Tag {
    /// The tag, or why it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let head = text.bytes().next().is_some_and(word);
        if !head || text.len() > 128 || !text.bytes().all(|b| word(b) || b == b'.' || b == b'-') {
            return Err(Invalid {
                code: Code::TagInvalid,
                message: "a tag has 1 to 128 letters, digits, _ . - and begins with none of . -",
            });
        }
        Ok(Self(text.to_owned()))
    }

    /// The tag as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reference {
    /// By name.
    Tag(Tag),
    /// By content.
    Digest(Digest),
}

impl Reference {
    /// The reference, or why it is none; whatever has a colon is meant as a digest.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        if text.contains(':') {
            Digest::parse(text).map(Self::Digest)
        } else {
            Tag::parse(text).map(Self::Tag)
        }
    }

    /// The reference as text.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Tag(tag) => tag.as_str(),
            Self::Digest(digest) => digest.as_str(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_digests_are_told_apart() {
        assert!(matches!(
            Reference::parse("v1.0-rc_1"),
            Ok(Reference::Tag(_))
        ));
        assert!(matches!(Reference::parse("_"), Ok(Reference::Tag(_))));
        let digest = format!("sha256:{}", "0".repeat(64));
        assert!(matches!(
            Reference::parse(&digest),
            Ok(Reference::Digest(_))
        ));
    }

    #[test]
    fn malformed_references_say_which_noun_is_wrong() {
        let code = |text: &str| Reference::parse(text).map_err(|e| e.code);
        for tag in ["", "-x", ".x", "a b", "a/b", "a%", "ü", &"x".repeat(129)] {
            assert_eq!(code(tag), Err(Code::TagInvalid), "{tag}");
        }
        assert_eq!(code("sha256:abc"), Err(Code::DigestInvalid));
    }
}

//! A value that does not print itself and is wiped when it is dropped.

use std::borrow::Cow;
use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A password, key or token.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes into custody.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves; the caller must not print or keep them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The same as text, for whoever takes nothing else.
    #[must_use]
    pub fn expose_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

/// In the time that its length takes, and not in that of what is alike.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_alike_or_not_and_never_printed() {
        let one = Secret::new("word");
        assert_eq!(one, Secret::new("word"));
        assert_ne!(one, Secret::new("work"));
        assert_ne!(one, Secret::new("wor"));
        assert_eq!(format!("{one:?}"), "[redacted]");
    }
}

//! Content digests.

use std::fmt;

use super::{Code, Invalid};

/// `sha256:<64 hex>` or `sha512:<128 hex>`: the registered algorithms of image-spec `descriptor.md`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Digest(String);

/// The algorithms of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Algorithm {
    /// SHA-256, which every store is ordered by.
    Sha256,
    /// SHA-512
    Sha512,
}

impl Algorithm {
    /// The word before the colon.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl Digest {
    /// The digest, or why it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = |message| Invalid {
            code: Code::DigestInvalid,
            message,
        };
        let Some((algorithm, hex)) = text.split_once(':') else {
            return Err(invalid("a digest is written algorithm:hex"));
        };
        let length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => return Err(invalid("the digest algorithm is neither sha256 nor sha512")),
        };
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hex.len() != length || !hex.bytes().all(is_hex) {
            return Err(invalid(
                "a sha256 digest has 64, a sha512 digest 128 lower-case hexadecimal digits",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The digest of these bytes by an algorithm's hexadecimal result.
    pub(crate) fn of(algorithm: Algorithm, hash: &[u8]) -> Self {
        use fmt::Write;
        let mut text = format!("{}:", algorithm.as_str());
        for byte in hash {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// How it was computed.
    pub(crate) fn algorithm(&self) -> Algorithm {
        if self.0.starts_with("sha512:") {
            Algorithm::Sha512
        } else {
            Algorithm::Sha256
        }
    }

    /// The hexadecimal digits.
    pub(crate) fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// The digest as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_registered_algorithms_are_accepted() {
        assert!(Digest::parse(&format!("sha256:{}", "a0".repeat(32))).is_ok());
        assert!(Digest::parse(&format!("sha512:{}", "a0".repeat(64))).is_ok());
    }

    #[test]
    fn wrong_length_case_algorithm_and_paths_are_refused() {
        let hex = "a0".repeat(32);
        for digest in [
            "",
            "sha256",
            "sha256:",
            "sha256:abc",
            &format!("sha256:{}", "A0".repeat(32)),
            &format!("SHA256:{hex}"),
            &format!("md5:{hex}"),
            &format!("sha512:{hex}"),
            &format!("sha256:{hex}0"),
            &format!("sha256:../{}", "a".repeat(61)),
            &format!("sha256:{hex}:x"),
            &hex,
        ] {
            assert!(Digest::parse(digest).is_err(), "{digest}");
        }
    }
}

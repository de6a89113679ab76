//! New hashes, as Apache's tool writes them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::hash::{MAX_BCRYPT_COST, MAX_BCRYPT_PASSWORD};
use super::md5crypt::{self, Magic};
use super::shacrypt::{self, DEFAULT_ROUNDS, MAX_ROUNDS, MIN_ROUNDS, Sha};
use super::{MAX_PASSWORD, crypt64, des};

/// The cheapest bcrypt that the format knows.
pub(crate) const MIN_BCRYPT_COST: u32 = 4;

/// What is made of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recipe {
    /// `$2y$`
    Bcrypt {
        /// Base-two logarithm of the rounds.
        cost: u32,
    },
    /// `$apr1$`
    Apache,
    /// `$5$` or `$6$`
    ShaCrypt {
        /// Which of the two.
        sha: Sha,
        /// `None`: the 5000 of the specification, which the line then does not name.
        rounds: Option<u32>,
    },
    /// `{SHA}`
    Sha1,
    /// Thirteen characters.
    Des,
    /// `{PLAIN}`
    Plain,
}

/// Why no hash was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeError {
    /// Longer than what can be verified.
    #[error("password too long (> {max} bytes){hint}")]
    TooLong {
        /// The bound.
        max: usize,
        /// What to do.
        hint: &'static str,
    },
    /// A byte that the format or the file cannot hold.
    #[error("the password holds {what}, which no password file can hold in this format")]
    Forbidden {
        /// The byte's name.
        what: &'static str,
    },
    /// Out of the format's range or of what we verify.
    #[error(
        "bcrypt cost {cost} is not between {MIN_BCRYPT_COST} and {MAX_BCRYPT_COST}, the most that dockgate verifies"
    )]
    Cost {
        /// What was asked for.
        cost: u32,
    },
    /// Out of the format's range or of what we verify.
    #[error(
        "{rounds} rounds are not between {MIN_ROUNDS} and {MAX_ROUNDS}, the most that dockgate verifies"
    )]
    Rounds {
        /// What was asked for.
        rounds: u32,
    },
    /// The system has no randomness.
    #[error("the system gives no random bytes for the salt")]
    Random(#[source] getrandom::Error),
    /// bcrypt refused.
    #[error("bcrypt made no hash")]
    Bcrypt(#[source] bcrypt::BcryptError),
}

/// What stands behind the colon for this password.
///
/// # Errors
/// When the result could not be verified again, or no salt could be made.
pub(crate) fn make(recipe: Recipe, password: &[u8]) -> Result<Vec<u8>, MakeError> {
    if password.contains(&0) {
        return Err(MakeError::Forbidden { what: "a NUL byte" });
    }
    if password.len() > MAX_PASSWORD {
        let (max, hint) = (MAX_PASSWORD, "");
        return Err(MakeError::TooLong { max, hint });
    }
    match recipe {
        Recipe::Bcrypt { cost } => make_bcrypt(password, cost),
        Recipe::Apache => {
            let salt = salt::<{ md5crypt::MAX_SALT }>()?;
            let magic = Magic::Apache;
            let digest = md5crypt::digest(password, &salt, magic);
            Ok([magic.prefix().as_bytes(), &salt, b"$", &digest].concat())
        }
        Recipe::ShaCrypt { sha, rounds } => make_sha_crypt(password, sha, rounds),
        Recipe::Sha1 => Ok(format!("{{SHA}}{}", STANDARD.encode(Sha1::digest(password))).into()),
        Recipe::Des => {
            let salt = salt::<2>()?;
            let digest = des::digest(password, salt).unwrap_or_default();
            Ok([&salt[..], &digest].concat())
        }
        Recipe::Plain => make_plain(password),
    }
}

fn make_bcrypt(password: &[u8], cost: u32) -> Result<Vec<u8>, MakeError> {
    if password.len() > MAX_BCRYPT_PASSWORD {
        return Err(MakeError::TooLong {
            max: MAX_BCRYPT_PASSWORD,
            hint: ": bcrypt ignores what follows; shorten it or use -5",
        });
    }
    if !(MIN_BCRYPT_COST..=MAX_BCRYPT_COST).contains(&cost) {
        return Err(MakeError::Cost { cost });
    }
    let parts = bcrypt::hash_with_result(password, cost).map_err(MakeError::Bcrypt)?;
    Ok(parts.format_for_version(bcrypt::Version::TwoY).into())
}

fn make_sha_crypt(password: &[u8], sha: Sha, rounds: Option<u32>) -> Result<Vec<u8>, MakeError> {
    let number = rounds.unwrap_or(DEFAULT_ROUNDS);
    let outside = MakeError::Rounds { rounds: number };
    if number > MAX_ROUNDS {
        return Err(outside);
    }
    let salt = salt::<{ shacrypt::MAX_SALT }>()?;
    let digest = shacrypt::digest(sha, password, &salt, number).ok_or(outside)?;
    let named = rounds.map_or_else(String::new, |rounds| format!("rounds={rounds}$"));
    let prefix = sha.prefix().as_bytes();
    Ok([prefix, named.as_bytes(), &salt, b"$", &digest].concat())
}

/// The line must come back as it was written: the hash ends at a colon or at the end of the line.
fn make_plain(password: &[u8]) -> Result<Vec<u8>, MakeError> {
    for (byte, what) in [
        (b':', "a colon"),
        (b'\n', "a line feed"),
        (b'\r', "a carriage return"),
    ] {
        if password.contains(&byte) {
            return Err(MakeError::Forbidden { what });
        }
    }
    Ok([b"{PLAIN}", password].concat())
}

fn salt<const N: usize>() -> Result<[u8; N], MakeError> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).map_err(MakeError::Random)?;
    // 64 divides 256, so every character is equally likely.
    Ok(bytes.map(|byte| crypt64::letter(u32::from(byte))))
}

#[cfg(test)]
mod tests {
    use super::super::Hash;
    use super::*;

    const RECIPES: [Recipe; 8] = [
        Recipe::Bcrypt { cost: 4 },
        Recipe::Apache,
        Recipe::ShaCrypt {
            sha: Sha::Sha256,
            rounds: None,
        },
        Recipe::ShaCrypt {
            sha: Sha::Sha512,
            rounds: None,
        },
        Recipe::ShaCrypt {
            sha: Sha::Sha512,
            rounds: Some(1000),
        },
        Recipe::Sha1,
        Recipe::Des,
        Recipe::Plain,
    ];

    #[test]
    fn what_is_made_is_verified() {
        for recipe in RECIPES {
            for password in [&b""[..], b"secret", "\u{e9}t\u{e9}".as_bytes(), b"\xff\xfe"] {
                let text = make(recipe, password).unwrap();
                let hash = Hash::parse(&text).unwrap();
                assert!(hash.matches(password), "{recipe:?}");
                assert!(!hash.matches(b"other"), "{recipe:?}");
            }
        }
    }

    #[test]
    fn two_salts_differ() {
        let recipe = Recipe::Apache;
        assert_ne!(
            make(recipe, b"secret").unwrap(),
            make(recipe, b"secret").unwrap()
        );
    }

    #[test]
    fn nothing_is_made_that_would_be_refused_later() {
        for (recipe, password) in [
            (Recipe::Bcrypt { cost: 3 }, &b"secret"[..]),
            (Recipe::Bcrypt { cost: 15 }, b"secret"),
            (Recipe::Bcrypt { cost: 4 }, &[b'a'; 73]),
            (Recipe::Apache, b"secret\0more"),
            (Recipe::Apache, &[b'a'; MAX_PASSWORD + 1]),
            (
                Recipe::ShaCrypt {
                    sha: Sha::Sha256,
                    rounds: Some(999),
                },
                b"secret",
            ),
            (
                Recipe::ShaCrypt {
                    sha: Sha::Sha256,
                    rounds: Some(MAX_ROUNDS + 1),
                },
                b"secret",
            ),
            (Recipe::Plain, b"two:words"),
            (Recipe::Plain, b"two\nlines"),
        ] {
            assert!(make(recipe, password).is_err(), "{recipe:?}");
        }
    }
}

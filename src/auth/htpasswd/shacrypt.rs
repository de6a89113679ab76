//! `$5$` and `$6$`: SHA-crypt (Ulrich Drepper's specification of 2007), over the raw functions of `sha-crypt`.
//!
//! The crate's own line parser refuses salts that libc takes, so lines are parsed in this room.

use sha_crypt::{Params, sha256_crypt, sha512_crypt};
use zeroize::Zeroize;

use super::crypt64;

/// Which digest is underneath.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sha {
    /// `$5$`
    Sha256,
    /// `$6$`
    Sha512,
}

impl Sha {
    /// How a line of this kind begins.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Sha256 => "$5$",
            Self::Sha512 => "$6$",
        }
    }

    /// Length of the encoded digest.
    pub(super) fn encoded(self) -> usize {
        match self {
            Self::Sha256 => 43,
            Self::Sha512 => 86,
        }
    }
}

/// Salts are at most this long; libc cuts longer ones, and so never writes them.
pub(super) const MAX_SALT: usize = 16;

/// The rounds of a line that names none.
pub(crate) const DEFAULT_ROUNDS: u32 = 5_000;

/// The fewest rounds that the specification allows.
pub(crate) const MIN_ROUNDS: u32 = 1_000;

/// The most rounds that are accepted. passlib writes 656,000 by default, so that many must work; one million is
/// about a second of hash work for each check, the same as bcrypt at its own bound. The format allows
/// 999,999,999, a quarter of an hour for each wrong password that anybody sends.
pub(crate) const MAX_ROUNDS: u32 = 1_000_000;

/// The encoded digest of a password; `None` when `rounds` is out of the specification's range.
pub(super) fn digest(sha: Sha, password: &[u8], salt: &[u8], rounds: u32) -> Option<Vec<u8>> {
    let params = Params::new(rounds).ok()?;
    Some(match sha {
        Sha::Sha256 => {
            let mut state = sha256_crypt(password, salt, params);
            let text = encode_256(&state);
            state.zeroize();
            text
        }
        Sha::Sha512 => {
            let mut state = sha512_crypt(password, salt, params);
            let text = encode_512(&state);
            state.zeroize();
            text
        }
    })
}

/// The specification's transposition: columns of a three-row table, turned by one more place each.
fn encode_256(state: &[u8; 32]) -> Vec<u8> {
    let mut text = Vec::with_capacity(Sha::Sha256.encoded());
    for column in 0..10 {
        let mut triple = [state[column], state[column + 10], state[column + 20]];
        triple.rotate_right(column % 3);
        crypt64::push_triple(&mut text, triple, 4);
    }
    crypt64::push_triple(&mut text, [0, state[31], state[30]], 3);
    text
}

fn encode_512(state: &[u8; 64]) -> Vec<u8> {
    let mut text = Vec::with_capacity(Sha::Sha512.encoded());
    for column in 0..21 {
        let mut triple = [state[column], state[column + 21], state[column + 42]];
        triple.rotate_left(column % 3);
        crypt64::push_triple(&mut text, triple, 4);
    }
    crypt64::push(&mut text, u32::from(state[63]), 2);
    text
}

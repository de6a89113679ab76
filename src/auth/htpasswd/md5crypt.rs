//! `$1$` and Apache's `$apr1$`: 1000 rounds of MD5 (Poul-Henning Kamp's crypt of FreeBSD, 1994).
//!
//! Weak by today's measure; it is read because Apache's tool writes it when it is given no option.

use md5::{Digest, Md5};
use zeroize::Zeroize;

use super::crypt64;

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Magic {
    /// `$1$`, as libc's crypt has it.
    Crypt,
    /// `$apr1$`, as Apache has it.
    Apache,
}

impl Magic {
    /// How a line of this kind begins.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Crypt => "$1$",
            Self::Apache => "$apr1$",
        }
    }
}

/// Salts are at most this long; every implementation cuts longer ones, and so never writes them.
pub(super) const MAX_SALT: usize = 8;

/// Length of the encoded digest.
pub(super) const ENCODED: usize = 22;

/// The encoded digest of a password.
pub(super) fn digest(password: &[u8], salt: &[u8], magic: Magic) -> Vec<u8> {
    let mut state: [u8; 16] = Md5::new()
        .chain_update(password)
        .chain_update(salt)
        .chain_update(password)
        .finalize()
        .into();

    let mut md5 = Md5::new();
    md5.update(password);
    md5.update(magic.prefix());
    md5.update(salt);
    for chunk in password.chunks(16) {
        md5.update(state.get(..chunk.len()).unwrap_or(&state));
    }
    let mut length = password.len();
    while length != 0 {
        // The original cleared its buffer before this loop, so one branch adds a zero.
        match (length & 1, password.first()) {
            (0, Some(first)) => md5.update([*first]),
            _ => md5.update([0]),
        }
        length >>= 1;
    }
    state = md5.finalize().into();

    for round in 0..1000 {
        let odd = round % 2 == 1;
        let mut md5 = Md5::new();
        md5.update(if odd { password } else { &state });
        if round % 3 != 0 {
            md5.update(salt);
        }
        if round % 7 != 0 {
            md5.update(password);
        }
        md5.update(if odd { &state } else { password });
        state = md5.finalize().into();
    }
    let text = encode(&state);
    state.zeroize();
    text
}

fn encode(state: &[u8; 16]) -> Vec<u8> {
    const ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
    let mut text = Vec::with_capacity(ENCODED);
    for triple in ORDER {
        crypt64::push_triple(&mut text, triple.map(|index| state[index]), 4);
    }
    crypt64::push(&mut text, u32::from(state[11]), 2);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl passwd -1 -salt xxxxxxxx password` and `-apr1`.
    #[test]
    fn known_vectors_of_both_magics() {
        let crypt = digest(b"password", b"xxxxxxxx", Magic::Crypt);
        assert_eq!(crypt, b"UYCIxa628.9qXjpQCjM4a.");
        let apache = digest(b"password", b"xxxxxxxx", Magic::Apache);
        assert_eq!(apache, b"dxHfLAsjHkDRmG83UXe8K0");
    }
}

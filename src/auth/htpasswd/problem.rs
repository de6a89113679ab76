//! What can be wrong with one line. The texts never hold anything of the hash itself.

use super::hash::{MAX_BCRYPT_COST, MAX_YESCRYPT_MEMORY};
use super::shacrypt::{MAX_ROUNDS, MIN_ROUNDS};

/// Why a line of a password file is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// There is no colon.
    #[error("no colon; a line is NAME:HASH, and a comment begins with #")]
    NoColon,
    /// Nothing stands before the colon.
    #[error("no user name before the colon; write NAME:HASH")]
    NoName,
    /// The name is longer than Apache's tool writes.
    #[error(
        "the user name is longer than {} bytes; choose a shorter one",
        super::MAX_NAME
    )]
    NameTooLong,
    /// The name is no UTF-8.
    #[error(
        "the user name is not UTF-8; save the file as UTF-8 or make the user anew with `dockgate htpasswd`"
    )]
    NameNotUtf8,
    /// The name holds control characters, which RFC 7617 section 2 forbids and which would forge log lines.
    #[error("the user name holds a control character; make the user anew with `dockgate htpasswd`")]
    NameControl,
    /// An earlier line names the same user.
    #[error(
        "line {first} names the same user and decides, as in nginx and Apache; remove one of the two"
    )]
    Duplicate {
        /// The line that is used.
        first: u32,
    },
    /// Nothing stands behind the colon.
    #[error("the hash is empty, so no password fits; set one with `dockgate htpasswd`")]
    NoHash,
    /// The text after the colon has no mark of any format.
    #[error(
        "what follows the colon is not a hash (plain text must say {{PLAIN}}); set the password anew with `dockgate htpasswd`"
    )]
    NotAHash,
    /// A known mark, and then something else than its format.
    #[error(
        "the {kind} hash is damaged (cut short, or with foreign characters); set the password anew with `dockgate htpasswd`"
    )]
    Damaged {
        /// The format's mark.
        kind: &'static str,
    },
    /// A format that is known by name and not read.
    #[error("{kind} hashes are not supported; set the password anew with `dockgate htpasswd -B`")]
    Unsupported {
        /// The format's mark.
        kind: &'static str,
    },
    /// The format of a broken bcrypt.
    #[error(
        "$2x$ marks hashes of a bcrypt with a known fault (CVE-2011-2483), which are not verified; set the password anew with `dockgate htpasswd -B`"
    )]
    Bcrypt2x,
    /// bcrypt, too expensive.
    #[error(
        "bcrypt cost {cost} is above {MAX_BCRYPT_COST}, so each wrong password would cost seconds of CPU; set the password anew with `dockgate htpasswd -B -C 10`"
    )]
    BcryptCost {
        /// The base-two logarithm of the rounds.
        cost: u32,
    },
    /// SHA-crypt, too expensive.
    #[error(
        "more than {MAX_ROUNDS} rounds of {kind}, so each wrong password would cost seconds of CPU; set the password anew with `dockgate htpasswd -B`"
    )]
    ManyRounds {
        /// The format's mark.
        kind: &'static str,
    },
    /// SHA-crypt with a number of rounds that no crypt computes.
    #[error(
        "rounds of {kind} below {MIN_ROUNDS}, which crypt refuses; set the password anew with `dockgate htpasswd -B`"
    )]
    FewRounds {
        /// The format's mark.
        kind: &'static str,
    },
    /// yescrypt, too expensive.
    #[error(
        "the $y$ hash asks for more than {} MiB of memory for each check; set the password anew with `dockgate htpasswd -B`",
        MAX_YESCRYPT_MEMORY >> 20
    )]
    YescryptMemory,
}

impl Problem {
    /// True when the line names a user, who then cannot log in; false when the line says nothing of any user.
    pub(super) fn locks_the_name(self) -> bool {
        !matches!(
            self,
            Self::NoColon
                | Self::NoName
                | Self::NameTooLong
                | Self::NameNotUtf8
                | Self::NameControl
        )
    }
}

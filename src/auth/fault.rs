//! What is wrong with credentials, and with the files that they are checked against.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::htpasswd::{MAX_FILE, Problem};

/// Why nobody in particular could be made out, and the request is not anonymous either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The header is no Basic credentials; no password was looked at.
    #[error("the authorization header is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// An authentication scheme that is not spoken here; to be answered like a wrong password.
    #[error("the authorization scheme is not supported")]
    Scheme,
    /// The token is none of ours, is damaged, has expired, or is for somebody or something else.
    #[error("the token is not valid, or no longer; ask for a new one")]
    Token,
    /// There is no such user, or it is not the password. Which of the two is not told to anybody.
    #[error("user name or password is wrong")]
    Wrong,
    /// Too many passwords are waiting to be checked.
    #[error("too many passwords are being checked")]
    Busy {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The check itself broke: our fault, not the client's.
    #[error("the password check failed")]
    Failed,
}

/// What is wrong with an authorization header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// More than one header.
    #[error("it is sent more than once")]
    Repeated,
    /// A header without a value.
    #[error("it is empty")]
    Empty,
    /// Not base64.
    #[error("the credentials are not base64")]
    Base64,
    /// No colon between name and password.
    #[error("there is no colon between user name and password")]
    NoColon,
    /// A NUL in the password, which `crypt()` takes for its end.
    #[error("the password holds a NUL")]
    Nul,
    /// A control character in the name, which RFC 7617 section 2 forbids.
    #[error("the user name holds a control character")]
    Control,
    /// Longer than any password file can hold.
    #[error("the credentials are too long")]
    TooLong,
}

/// Why there is no password file to check against.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It is not there, or not for us to read.
    #[error(
        "cannot read the password file {path:?}; make it with `dockgate htpasswd -c {path:?} NAME`, or correct `auth.htpasswd`"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A folder, pipe or device.
    #[error("the password file {path:?} is not a regular file; correct `auth.htpasswd`")]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Larger than what is held in memory.
    #[error(
        "the password file {path:?} is larger than {} MiB; correct `auth.htpasswd`, or remove users",
        MAX_FILE >> 20
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// On reload: lines, and not one that can be used.
    #[error(
        "not one line of the password file {path:?} can be used, so the users of before stay; correct it, or empty it to lock everybody out"
    )]
    Garbage {
        /// The file.
        path: PathBuf,
        /// What is wrong with its lines.
        warnings: Vec<Warning>,
    },
    /// The group file.
    #[error("cannot read the group file {path:?}; correct `auth.groups`")]
    ReadGroups {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The key that signs tokens.
    #[error("the token key {path:?} {why}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is no key, and none could be made.
    #[error(
        "cannot make the token key {path:?}; let `state_dir` be writable, or name a key in `token.signing_key`"
    )]
    MakeKey {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system has no randomness.
    #[error("the system gives no random bytes for a key")]
    Random(#[source] getrandom::Error),
}

/// Something in a password file that is not as it should be; the rest of it works. Never holds a hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Warning {
    /// One line.
    #[error("{path:?}, line {line}: {problem}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: u32,
        /// What is wrong with it and what to do.
        problem: Problem,
    },
    /// More lines than are worth printing.
    #[error("{path:?}: {count} more lines cannot be used")]
    MoreLines {
        /// The file.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// A line of the group file.
    #[error(
        "{path:?}, line {line}: no colon; a line is GROUP: USER USER, and a comment begins with #"
    )]
    GroupLine {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: u32,
    },
    /// Everybody on the machine can read the key.
    #[error(
        "{path:?} may be read by everybody on this machine, who can then make tokens; take that right away: chmod o= {path:?}"
    )]
    KeyExposed {
        /// The file.
        path: PathBuf,
    },
    /// Everybody on the machine could read the key of our own.
    #[error(
        "{path:?} could be read by everybody on this machine, who could then make tokens; that right is taken away now. If somebody may have used it, move the file away: another key is made, and tokens of this one are refused"
    )]
    KeyWasExposed {
        /// The file.
        path: PathBuf,
    },
    /// The keys of before cannot be kept.
    #[error(
        "{path:?} cannot be kept ({why}): tokens are refused after the key was changed and the gate restarted, and clients must ask for new ones"
    )]
    Previous {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// Nobody can log in.
    #[error(
        "{path:?} holds no user, so no password fits; add one with `dockgate htpasswd {path:?} NAME`"
    )]
    NoUser {
        /// The file.
        path: PathBuf,
    },
}

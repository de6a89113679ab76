//! Why the desk did not do what it was asked to.

use std::io;
use std::path::{Path, PathBuf};

use crate::tls;

/// A refusal or a failure. Nothing was changed, unless it says so.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What was asked for cannot be.
    #[error("{0}")]
    Asked(String),
    /// The content of a file of the desk is not what it should be.
    #[error("{path}: {fault}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        fault: String,
    },
    /// A line of the index is damaged.
    #[error("{path}, line {line}: {fault}; nothing was changed, mend the line or put back a backup", path = .path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        fault: String,
    },
    /// A file of certificates, keys or lists cannot be used.
    #[error(transparent)]
    Read(#[from] tls::Error),
    /// The system refused.
    #[error("{path}: cannot be {verb}", path = .path.display())]
    System {
        /// Which file or folder.
        path: PathBuf,
        /// What was to be done with it: a participle.
        verb: &'static str,
        /// Why it was not.
        #[source]
        source: io::Error,
    },
    /// Another run does not let go of the folder.
    #[error("{path}: another `dockgate cert` has worked in this folder for {seconds} seconds: try again when it is done", path = .path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// No random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// The cryptography failed.
    #[error("the key cannot be made, or cannot sign")]
    Key(#[source] rcgen::Error),
}

impl Error {
    /// Whether a person has to change what was asked for, or a file, before it can work.
    pub(crate) fn is_wrong(&self) -> bool {
        match self {
            Self::Asked(_) | Self::File { .. } | Self::Index { .. } | Self::Read(_) => true,
            Self::System { .. } | Self::Busy { .. } | Self::Random(_) | Self::Key(_) => false,
        }
    }

    /// A fault of a file's content.
    pub(super) fn file(path: impl Into<PathBuf>, fault: impl Into<String>) -> Self {
        Self::File {
            path: path.into(),
            fault: fault.into(),
        }
    }

    /// What the system said when something was to be done with a file.
    pub(crate) fn system(path: &Path, verb: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::System { path, verb, source }
    }
}

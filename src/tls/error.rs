//! What can be wrong with the files of TLS, and what only deserves a word.

use std::fmt;
use std::io;
use std::path::PathBuf;

use x509_cert::time::Time;

/// A fault that stops the start, or a reload.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file could not be read.
    #[error("{what} {path}: cannot be read", path = .path.display())]
    Read {
        /// What it is for.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bytes of a file are not what they should be.
    #[error("{what} {path}: {fault}", path = .path.display())]
    File {
        /// What it is for.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong and what to do.
        fault: String,
    },
    /// A key and a certificate that do not belong together.
    #[error(
        "the key {key} is not the key of the certificate {certificate}: give the pair that was made together",
        key = .key.display(), certificate = .certificate.display()
    )]
    KeyOfAnother {
        /// The key.
        key: PathBuf,
        /// The certificate.
        certificate: PathBuf,
    },
    /// Something could not be made below `state_dir`.
    #[error("{path}: cannot be made", path = .path.display())]
    Make {
        /// What was to be made.
        path: PathBuf,
        /// Why it was not.
        #[source]
        source: io::Error,
    },
    /// The cryptography itself failed.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

impl Error {
    /// A fault of a file's content.
    pub(super) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
        fault: impl Into<String>,
    ) -> Self {
        Self::File {
            what,
            path: path.into(),
            fault: fault.into(),
        }
    }
}

/// Something that a person should know and that stops nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    /// The file it is about.
    pub path: PathBuf,
    /// What is to be known, and what to do.
    pub text: String,
}

impl Warning {
    pub(super) fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.text)
    }
}

/// A date for people, in UTC.
pub(super) fn date(time: Time) -> String {
    time.to_date_time().to_string()
}

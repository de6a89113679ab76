//! How a registry is asked: the words that `compare` and `doctor` have in common.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Who asks, and whom to trust.
#[derive(Debug, Args)]
pub(crate) struct Access {
    /// Log in as this user; the password is asked for on the terminal unless --password-file is given
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// The file whose first line is the password; /dev/stdin works
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,
    /// The CAs to trust, as a PEM file, in the place of the machine's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// A client certificate to show, as a PEM file
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_cert: Option<PathBuf>,
    /// The key of the client certificate
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,
}

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

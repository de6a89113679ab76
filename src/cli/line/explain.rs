//! The words of `dockgate explain`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Who wants to do what.
#[derive(Debug, Args)]
pub(crate) struct Question {
    /// Who logged in with the right password [default: nobody did]
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// The client certificate that was shown, as a PEM file; it is taken for one that the gate accepts
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// The address that the connection comes from
    #[arg(long, value_name = "IP")]
    pub(crate) from: Option<IpAddr>,
    /// What is to be done
    pub(crate) action: Action,
    /// To which repository; a tag or digest behind it makes no difference. `catalog` has none
    #[arg(
        value_name = "REPOSITORY[:TAG]",
        required_if_eq_any = [("action", "pull"), ("action", "push"), ("action", "delete")]
    )]
    pub(crate) repository: Option<String>,
}

/// What rules are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    /// Read content
    Pull,
    /// Write content
    Push,
    /// Remove content
    Delete,
    /// List repositories, and search
    Catalog,
}

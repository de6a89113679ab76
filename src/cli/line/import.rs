//! The words of `dockgate import`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Where a configuration comes from.
#[derive(Debug, Subcommand)]
pub(crate) enum From {
    /// nginx: a whole nginx.conf, a file of conf.d, or a snippet of locations
    ///
    /// The result goes to standard output, and what could not be carried to standard error. Exit 0: written; 1: not
    /// all was carried and --strict was given, or the result could not be written; 2: a file cannot be read, or the
    /// result would let in more than nginx did.
    Nginx(Nginx),
}

/// What is to be made of nginx's files.
#[derive(Debug, Args)]
pub(crate) struct Nginx {
    /// Files of nginx; what they include is read too
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Where relative paths begin [default: the folder of nginx.conf, as far as the first FILE tells]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) prefix: Option<PathBuf>,
    /// The server that is meant, by one of its names, where several lead to registries
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Option<String>,
    /// Write the result to this file, which must not be there
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file of --output
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
    /// Leave out what cannot be carried even where the result lets in more than nginx did
    #[arg(long)]
    pub(crate) partial: bool,
    /// Exit 1 when anything was left out
    #[arg(long)]
    pub(crate) strict: bool,
}

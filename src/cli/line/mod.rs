//! What may be typed: every command and option, with the words that help, man pages and completions are made of.
//!
//! `build.rs` includes this folder to write the man pages and completions, so nothing in it may import a room.

pub(crate) mod access;
pub(crate) mod cert;
pub(crate) mod compare;
pub(crate) mod doctor;
pub(crate) mod explain;
mod htpasswd;
pub(crate) mod import;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use compare::Compare;
use doctor::Doctor;
use explain::Question;
pub(crate) use htpasswd::USAGE;
use import::From;

/// Version and commit, as `build.rs` found them; while it runs itself there is the version alone.
pub(crate) const VERSION: &str = match option_env!("BUILT_AS") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// The gate in front of a container registry: TLS, passwords, client certificates, streaming.
#[derive(Debug, Parser)]
#[command(name = "dockgate", version = VERSION)]
pub(crate) struct Arguments {
    /// What to do; without a command, serve.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// The configuration file: a proxy.toml, or the config.yml of registry:2 [default: ./proxy.toml, then
    /// /etc/dockgate/proxy.toml, if there is one]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gate; what happens without a command
    Serve {
        /// The configuration file, as with --config
        #[arg(value_name = "FILE", conflicts_with = "config")]
        file: Option<PathBuf>,
    },
    /// Load all that `serve` would load, report every fault with file, line and fix; exit 2 if there is any
    Check {
        /// The configuration file, as with --config
        #[arg(value_name = "FILE", conflicts_with = "config")]
        file: Option<PathBuf>,
    },
    /// Make and change password files, with the options of Apache's tool; `dockgate htpasswd -h` lists them
    #[command(disable_help_flag = true, after_help = USAGE)]
    Htpasswd {
        /// Options and operands of htpasswd
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Make, renew, take back and list certificates of a CA of your own, and bundle them for clients
    Cert(cert::Asked),
    /// Tell which rule decides whether somebody may do something: exit 0 if it is allowed, 1 if it is denied
    Explain(Question),
    /// Ask two registries the same and tell what differs: exit 0 if no client will notice, 1 if clients will or not all
    /// could be asked
    Compare(Box<Compare>),
    /// Name the layer that fails between this machine and a registry, and what to do: exit 0 if none does, 1 if one does
    Doctor(Box<Doctor>),
    /// Ask a running gate whether it answers: exit 0 if so, 1 if not within five seconds
    Health {
        /// The gate to ask, such as <https://localhost:5443> [default: the first listener of the configuration]
        #[arg(long)]
        url: Option<String>,
    },
    /// Make a proxy.toml of the configuration of another program, with a comment for every line of it
    Import {
        /// The program
        #[command(subcommand)]
        from: From,
    },
    /// Write a completion script for a shell to standard output
    Completions {
        /// The shell that is to complete
        shell: Shell,
    },
}

//! The words of `dockgate doctor`.

use clap::Args;

use super::access::{Access, Format};

/// Which registry.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The registry, such as <https://registry.example.com>
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Connect to this address in the place of the URL's
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) address: Option<String>,
    /// Who asks.
    #[command(flatten)]
    pub(crate) access: Access,
    /// Where an upload is begun and cancelled
    #[arg(long, value_name = "NAME", default_value = "dockgate-doctor")]
    pub(crate) repository: String,
    /// How the result is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

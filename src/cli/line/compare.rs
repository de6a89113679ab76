//! The words of `dockgate compare`.

use clap::Args;

use super::access::{Access, Format};

/// Which two registries, and what may be done to them.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// The registry that is there, such as <https://registry.example.com>
    #[arg(long, value_name = "URL")]
    pub(crate) old: String,
    /// The one that is to take its place
    #[arg(long, value_name = "URL")]
    pub(crate) new: String,
    /// Connect to this address for the old one, so that both can have the same name in their URLs
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) old_address: Option<String>,
    /// Connect to this address for the new one
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) new_address: Option<String>,
    /// Who asks.
    #[command(flatten)]
    pub(crate) access: Access,
    /// Where a small image is pushed, pulled and deleted; nothing is written anywhere else
    #[arg(long, value_name = "NAME", default_value = "compare-scratch")]
    pub(crate) repository: String,
    /// An image that both have, to be pulled too; without a tag, `latest`
    #[arg(long, value_name = "NAME[:TAG]")]
    pub(crate) image: Option<String>,
    /// Write nothing: no push, and no deletion
    #[arg(long)]
    pub(crate) read_only: bool,
    /// How the result is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

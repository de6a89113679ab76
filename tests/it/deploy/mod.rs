//! How dockgate is installed: every package, unit, image and example of `deploy/`, built or started with the tools that
//! people use.

mod activation;
mod ansible;
mod chef;
mod compose;
mod debian;
mod image;
mod kubernetes;
mod notify;
mod units;

use std::env;
use std::path::PathBuf;

use crate::support::peers::skip;

/// A file of the repository.
fn here(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A program that `scripts/setup-peers` puts into a folder of its own.
fn peer(program: &str) -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let folder = set("DOCKGATE_PEERS").map_or_else(
        || {
            let home = || PathBuf::from(set("HOME").unwrap_or_default()).join(".cache");
            let cache = set("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
            cache.join("dockgate/peers")
        },
        PathBuf::from,
    );
    folder.join(program)
}

/// As [`need`](crate::support::peers::need), for one of these.
#[track_caller]
fn need_peer(program: &str) -> bool {
    peer(program).is_file()
        || skip(&format!(
            "{program} not installed (scripts/setup-peers installs it)"
        ))
}

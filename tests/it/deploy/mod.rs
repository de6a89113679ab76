//! How dockgate is installed: every package, unit, image and example of `deploy/`, built or started with the tools that
//! people use.

mod activation;
mod notify;
mod units;

use std::path::PathBuf;

/// A file of the repository.
fn here(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

//! Finding and loading the configuration, the same for every command that needs one.

use std::env;
use std::path::{Path, PathBuf};

use crate::config::{Config, Loaded, find};

/// A configuration and where it came from.
pub(super) struct Found {
    pub(super) loaded: Loaded,
    /// The file; `None` when there is none.
    pub(super) file: Option<PathBuf>,
}

/// Loads the file that was named, or the one that is found, or what the environment says alone.
///
/// # Errors
/// One line for each fault.
pub(super) fn load(named: Option<&Path>) -> Result<Found, Vec<String>> {
    let environment = environment()?;
    let file = named.map(Path::to_path_buf).or_else(find);
    match Config::load(file.as_deref(), &environment) {
        Ok(loaded) => Ok(Found { loaded, file }),
        Err(faults) => Err(faults.lines().to_vec()),
    }
}

/// The variables of the environment. One of ours that is not UTF-8 is a fault; others do not concern us.
pub(super) fn environment() -> Result<Vec<(String, String)>, Vec<String>> {
    const CONTAINER: [&str; 2] = ["SERVER_NAME", "PROXY_TIMEOUT"];
    let ours = |name: &str| {
        ["DOCKGATE_", "REGISTRY_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    let mut variables = Vec::new();
    let mut faults = Vec::new();
    for (name, value) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        match value.into_string() {
            Ok(value) => variables.push((name, value)),
            Err(_) if ours(&name) || CONTAINER.contains(&name.as_str()) => {
                faults.push(format!("{name}: is not UTF-8 text"));
            }
            Err(_) => {}
        }
    }
    if faults.is_empty() {
        return Ok(variables);
    }
    faults.sort();
    Err(faults)
}

//! Password files, made by Apache's own tool.

use std::path::Path;
use std::process::Command;

use super::process;

/// Writes a bcrypt file, the one format that nginx, the registry and dockgate all read, at the lowest cost.
#[track_caller]
pub fn write(file: &Path, user: &str, password: &str) {
    process::run(
        Command::new("htpasswd")
            .args(["-cbB", "-C", "4"])
            .arg(file)
            .args([user, password]),
    )
    .succeeds("a password file is made");
}

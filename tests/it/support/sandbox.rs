//! A machine to install things on: this one, with everything that an installation writes kept apart and thrown away.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Outcome, run_within, search_path};

/// The programs that this needs.
pub const PROGRAMS: &[&str] = &["unshare", "mount"];

/// The folders that an installation writes to. Each is seen as it is, and written to somewhere else.
const FOLDERS: &str = "etc usr var opt srv mnt root";

/// Everything that is written goes to memory, which ends with the script.
const PRELUDE: &str = r#"
set -eu
mount -t tmpfs tmpfs "$SCRATCH"
for folder in $FOLDERS; do
    mkdir -p "$SCRATCH/$folder/upper" "$SCRATCH/$folder/work"
    mount -t overlay overlay \
        -o "lowerdir=/$folder,upperdir=$SCRATCH/$folder/upper,workdir=$SCRATCH/$folder/work" "/$folder"
done
"#;

/// Runs a shell script, as root, to its end or its first fault.
#[must_use]
#[track_caller]
pub fn sandboxed(script: &str, variables: &[(&str, &str)]) -> Outcome {
    let scratch = TempDir::with_prefix("dockgate-sandbox-").unwrap();
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .arg(format!("{PRELUDE}{script}"))
        .current_dir(scratch.path())
        .env("PATH", search_path())
        .env("SCRATCH", scratch.path())
        .env("FOLDERS", FOLDERS)
        .env("LC_ALL", "C.UTF-8")
        .envs(variables.iter().copied());
    run_within(&mut command, Duration::from_secs(300))
}

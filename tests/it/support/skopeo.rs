//! The real skopeo. It has no state but its logins.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::process::{self, Outcome};

/// The `skopeo` of one person.
#[derive(Debug)]
pub struct Skopeo {
    dir: TempDir,
}

impl Skopeo {
    /// A person who is logged in nowhere.
    pub fn new() -> Self {
        let dir = TempDir::with_prefix("dockgate-skopeo-").unwrap();
        fs::write(dir.path().join("auth.json"), "{}").unwrap(); // a named file must be there
        Self { dir }
    }

    /// `skopeo ARGS`, to its end.
    #[must_use]
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Outcome {
        process::run(
            Command::new("skopeo")
                .env("REGISTRY_AUTH_FILE", self.dir.path().join("auth.json"))
                .env("TMPDIR", self.dir.path())
                .args(args),
        )
    }
}

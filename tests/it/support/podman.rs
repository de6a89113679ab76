//! The real podman, with images, logins and locks of its own.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::process::{self, Outcome};

/// The `podman` of one person.
#[derive(Debug)]
pub struct Podman {
    dir: TempDir,
}

impl Podman {
    /// A person without images, who is logged in nowhere.
    pub fn new() -> Self {
        let dir = TempDir::with_prefix("dockgate-podman-").unwrap();
        fs::write(dir.path().join("auth.json"), "{}").unwrap(); // a named file must be there
        Self { dir }
    }

    /// `podman ARGS`, to its end.
    #[must_use]
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Outcome {
        let at = |name: &str| self.dir.path().join(name);
        process::run(
            Command::new("podman")
                .env("REGISTRY_AUTH_FILE", at("auth.json"))
                .env("TMPDIR", self.dir.path())
                .arg("--root")
                .arg(at("root"))
                .arg("--runroot")
                .arg(at("run"))
                .arg("--tmpdir")
                .arg(at("tmp"))
                .args(["--storage-driver=vfs", "--events-backend=none"])
                .args(args),
        )
    }
}

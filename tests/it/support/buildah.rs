//! The real buildah, with images of its own.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::process::{self, Outcome};

/// The `buildah` of one person.
#[derive(Debug)]
pub struct Buildah {
    dir: TempDir,
}

impl Buildah {
    /// A person without images, who is logged in nowhere.
    pub fn new() -> Self {
        let dir = TempDir::with_prefix("dockgate-buildah-").unwrap();
        fs::write(dir.path().join("auth.json"), "{}").unwrap(); // a named file must be there
        Self { dir }
    }

    /// `buildah ARGS`, to its end.
    #[must_use]
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Outcome {
        let at = |name: &str| self.dir.path().join(name);
        process::run(
            Command::new("buildah")
                .env("REGISTRY_AUTH_FILE", at("auth.json"))
                .env("TMPDIR", self.dir.path())
                .arg("--root")
                .arg(at("root"))
                .arg("--runroot")
                .arg(at("run"))
                .arg("--storage-driver=vfs")
                .args(args),
        )
    }
}

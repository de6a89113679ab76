//! The real docker: one daemon for all tests of a run, one command line for each person.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::process::{self, Daemon, Outcome};

/// The programs that this needs.
pub const PROGRAMS: &[&str] = &["docker", "dockerd", "containerd", "setpriv", "unshare"];

/// The `docker` command of one person, with that person's logins.
#[derive(Debug)]
pub struct Docker {
    config: TempDir,
    host: String,
}

impl Docker {
    /// A person who is logged in nowhere. The first one starts the daemon.
    pub fn new() -> Self {
        Self {
            config: TempDir::with_prefix("dockgate-docker-cli-").unwrap(),
            host: format!("unix://{}", daemon().dir().join("docker.sock").display()),
        }
    }

    /// `docker ARGS`, to its end.
    #[must_use]
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Outcome {
        process::run(
            Command::new("docker")
                .env("DOCKER_HOST", &self.host)
                .env_remove("DOCKER_CONTEXT")
                .arg("--config")
                .arg(self.config.path())
                .args(args),
        )
    }

    /// Another program that speaks to the daemon, for this person.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command
            .env("DOCKER_HOST", &self.host)
            .env("DOCKER_CONFIG", self.config.path())
            .env_remove("DOCKER_CONTEXT");
        command
    }

    /// Makes an image of the daemon's out of the tar of a root file system, and tells its id.
    #[track_caller]
    pub fn import(&self, tar: &Path, reference: &str) -> String {
        self.run(&["import", tar.to_str().unwrap(), reference])
            .succeeds("a tar is imported")
            .stdout
            .trim()
            .to_owned()
    }
}

/// Nothing of the machine's own docker is touched: no bridge, no firewall rule, no default folder. (A `static` is
/// not dropped: the guardian stops the daemon when the test process ends.)
fn daemon() -> &'static Daemon {
    static DAEMON: OnceLock<Daemon> = OnceLock::new();
    DAEMON.get_or_init(|| {
        let dir = TempDir::with_prefix("dockgate-dockerd-").unwrap();
        fs::write(dir.path().join("daemon.json"), "{}").unwrap(); // not the machine's own
        let at = |name: &str| dir.path().join(name).display().to_string();
        let argv: [PathBuf; 14] = [
            // What it mounts for containers goes with it, so that its folder can be removed.
            "unshare".into(),
            "--mount".into(),
            "dockerd".into(),
            "--iptables=false".into(),
            "--ip6tables=false".into(),
            "--ip-forward=false".into(),
            "--bridge=none".into(),
            "--storage-driver=vfs".into(),
            format!("--config-file={}", at("daemon.json")).into(),
            format!("--data-root={}", at("data")).into(),
            format!("--exec-root={}", at("exec")).into(),
            format!("--pidfile={}", at("pid")).into(),
            format!("--host=unix://{}", at("docker.sock")).into(),
            "--log-level=info".into(),
        ];
        let daemon = Daemon::start(dir, &argv);
        daemon
            .wait_for("API listen on ")
            .unwrap_or_else(|log| panic!("dockerd did not start:\n{log}"));
        daemon
    })
}

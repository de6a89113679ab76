//! The real containerd and its `ctr`: a daemon and images of its own.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::certs::Pair;
use super::process::{self, Daemon, Outcome};

/// The programs that this needs.
pub const PROGRAMS: &[&str] = &["ctr", "containerd", "setpriv"];

/// A containerd, and the folder where it learns whom to trust.
#[derive(Debug)]
pub struct Ctr {
    daemon: Daemon,
}

impl Ctr {
    /// A containerd without images.
    pub fn start() -> Self {
        let dir = TempDir::with_prefix("dockgate-containerd-").unwrap();
        let config = dir.path().join("config.toml");
        fs::write(&config, settings(dir.path())).unwrap();
        let argv = ["containerd".into(), "--config".into(), config];
        let daemon = Daemon::start(dir, &argv);
        daemon
            .wait_for("containerd successfully booted")
            .unwrap_or_else(|log| panic!("containerd did not start:\n{log}"));
        Self { daemon }
    }

    /// Says for `HOST:PORT` which CA is right and which client certificate to show. (containerd 1.6 takes them from
    /// the table of the host alone.)
    pub fn trust(&self, address: &str, ca: &Path, client: Option<&Pair>) {
        let dir = self.hosts().join(address);
        fs::create_dir_all(&dir).unwrap();
        let mut toml = format!("[host.\"https://{address}\"]\nca = \"{}\"\n", ca.display());
        if let Some(pair) = client {
            let (certificate, key) = (pair.certificate.display(), pair.key.display());
            writeln!(toml, "client = [[\"{certificate}\", \"{key}\"]]").unwrap();
        }
        fs::write(dir.join("hosts.toml"), toml).unwrap();
    }

    /// `ctr images ARGS`, to its end.
    #[must_use]
    #[track_caller]
    pub fn images(&self, args: &[&str]) -> Outcome {
        process::run(
            Command::new("ctr")
                .arg("--address")
                .arg(self.daemon.dir().join("containerd.sock"))
                .arg("images")
                .args(args),
        )
    }

    /// `ctr images VERB`, a verb that talks to a registry, with the trust of [`Self::trust`].
    #[must_use]
    #[track_caller]
    pub fn remote(&self, verb: &str, args: &[&str]) -> Outcome {
        let hosts = self.hosts();
        self.images(&[&[verb, "--hosts-dir", hosts.to_str().unwrap()], args].concat())
    }

    fn hosts(&self) -> std::path::PathBuf {
        self.daemon.dir().join("hosts")
    }
}

/// Without what talks to the machine: no CRI, no runtime of containers, no networks.
fn settings(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "version = 2\n\
         root = \"{dir}/root\"\n\
         state = \"{dir}/state\"\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n\
         [grpc]\n\
         address = \"{dir}/containerd.sock\"\n"
    )
}

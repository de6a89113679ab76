//! The real registry: Debian's `docker-registry`, distribution 2.8.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::certs::Pair;
use super::process::{self, Daemon, Outcome};

/// How a registry is to be reached. The default is plain HTTP on a loopback port, for everybody.
#[derive(Debug, Default)]
pub struct Options<'a> {
    /// On a Unix socket in its folder in place of a port.
    pub unix: bool,
    /// With TLS of its own.
    pub tls: Option<&'a Pair>,
    /// With TLS: only for clients with a certificate of this CA.
    pub client_ca: Option<&'a Path>,
    /// Only with a password of this file. The registry knows bcrypt alone.
    pub htpasswd: Option<&'a Path>,
    /// Over this folder, which it does not remove, in place of an empty one of its own.
    pub storage: Option<&'a Path>,
}

/// A running registry with empty storage and deletion switched on.
#[derive(Debug)]
pub struct Registry {
    daemon: Daemon,
    url: String,
    storage: PathBuf,
}

impl Registry {
    /// Starts one with plain HTTP on a port of loopback.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&Options::default())
    }

    /// Starts one that is reached as told.
    #[track_caller]
    pub fn start_with(options: &Options<'_>) -> Self {
        let dir = TempDir::with_prefix("dockgate-registry-").unwrap();
        let config = dir.path().join("config.yml");
        let own = dir.path().join("storage");
        let storage = options.storage.map_or(own, Path::to_path_buf);
        fs::write(&config, yaml(dir.path(), &storage, options)).unwrap();
        let argv = ["docker-registry".into(), "serve".into(), config];
        let daemon = Daemon::start::<PathBuf>(dir, &argv);
        let line = daemon
            .wait_for("msg=\"listening on ")
            .unwrap_or_else(|log| panic!("docker-registry did not start:\n{log}"));
        let address = line
            .split_once("listening on ")
            .and_then(|(_, rest)| rest.split(['"', ',']).next())
            .unwrap();
        let url = match (options.unix, options.tls) {
            (true, _) => format!("unix:{address}"),
            (false, Some(_)) => format!("https://{address}"),
            (false, None) => format!("http://{address}"),
        };
        Self {
            daemon,
            url,
            storage,
        }
    }

    /// `http://127.0.0.1:PORT`, `https://127.0.0.1:PORT` or `unix:/PATH`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the images are: the folder that has `docker/registry/v2` in it.
    pub fn storage(&self) -> PathBuf {
        self.storage.clone()
    }

    /// How many uploads of a repository have bytes. The registry leaves the states of its hashes behind for any other.
    pub fn unfinished(&self, repository: &str) -> usize {
        let folder = format!("docker/registry/v2/repositories/{repository}/_uploads");
        let uploads = fs::read_dir(self.storage.join(folder))
            .into_iter()
            .flatten();
        uploads
            .filter(|upload| upload.as_ref().unwrap().path().join("data").exists())
            .count()
    }

    /// Where it listens, if it is on a port.
    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        let (_, address) = self.url.split_once("://").unwrap();
        address.parse().unwrap()
    }

    /// `docker-registry garbage-collect` over its storage, while it goes on.
    #[must_use]
    #[track_caller]
    pub fn collect_garbage(&self, arguments: &[&str]) -> Outcome {
        let config = self.daemon.dir().join("config.yml");
        process::run(
            Command::new("docker-registry")
                .arg("garbage-collect")
                .args(arguments)
                .arg(config),
        )
    }

    /// The first line of its log or access log that contains this, as soon as it is written.
    #[track_caller]
    pub fn logged(&self, text: &str) -> String {
        self.daemon
            .wait_for(text)
            .unwrap_or_else(|log| panic!("no {text:?} in the log of docker-registry:\n{log}"))
    }

    /// Its log and access log until now. To see that something is not there, wait first for what comes after it.
    pub fn log(&self) -> String {
        self.daemon.log()
    }
}

fn yaml(dir: &Path, storage: &Path, options: &Options<'_>) -> String {
    let (dir, storage) = (dir.display(), storage.display());
    let mut yaml = format!(
        "version: 0.1\n\
         log: {{ level: info }}\n\
         storage:\n  \
           filesystem: {{ rootdirectory: \"{storage}\" }}\n  \
           delete: {{ enabled: true }}\n  \
           maintenance: {{ uploadpurging: {{ enabled: false }} }}\n"
    );
    if let Some(file) = options.htpasswd {
        let file = file.display();
        writeln!(
            yaml,
            "auth: {{ htpasswd: {{ realm: upstream, path: \"{file}\" }} }}"
        )
        .unwrap();
    }
    yaml += "http:\n  secret: one-for-the-test\n";
    if options.unix {
        writeln!(yaml, "  net: unix\n  addr: \"{dir}/registry.sock\"").unwrap();
    } else {
        writeln!(yaml, "  addr: \"127.0.0.1:0\"").unwrap();
    }
    if let Some(tls) = options.tls {
        let (certificate, key) = (tls.certificate.display(), tls.key.display());
        writeln!(
            yaml,
            "  tls:\n    certificate: \"{certificate}\"\n    key: \"{key}\""
        )
        .unwrap();
        if let Some(ca) = options.client_ca {
            writeln!(yaml, "    clientcas: [\"{}\"]", ca.display()).unwrap();
        }
    }
    yaml
}

//! `dockgate doctor` before things that are really broken, one at a time: it names that layer and no other.

mod encryption;
mod entrance;
mod network;
mod upload;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::certs::{Authority, Pair};
use crate::support::gate::Gate;
use crate::support::nginx::Nginx;
use crate::support::passwords;
use crate::support::process;
use crate::support::program::dockgate;
use crate::support::registry::Registry;

const USER: &str = "alice";
const PASSWORD: &str = "correct: horse";

/// The tool is bounded everywhere; this is more than all bounds of a test together.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the doctor says.
struct Told(Value);

/// Runs it.
#[track_caller]
fn doctor(url: &str, arguments: &[&str]) -> Told {
    let mut command = dockgate();
    command.arg("doctor").arg(url).args(arguments);
    told(&mut command)
}

#[track_caller]
fn told(command: &mut Command) -> Told {
    command.args(["--format", "json"]);
    let outcome = process::run_within(command, PATIENCE);
    let document: Value = serde_json::from_str(&outcome.stdout)
        .unwrap_or_else(|fault| panic!("{fault}: no document\n{outcome}"));
    assert!(!outcome.stdout.contains(PASSWORD) && !outcome.stderr.contains(PASSWORD));
    let told = Told(document);
    let healthy = told.failed().is_empty();
    assert_eq!(outcome.ok(), healthy, "the exit code says so\n{outcome}");
    told
}

impl Told {
    fn checks(&self) -> &[Value] {
        self.0["checks"].as_array().unwrap()
    }

    fn failed(&self) -> Vec<&str> {
        let failed = self.checks().iter().filter(|c| c["status"] == "failed");
        failed.map(|c| c["layer"].as_str().unwrap()).collect()
    }

    /// Status and text of a layer.
    #[track_caller]
    fn layer(&self, layer: &str) -> (&str, &str) {
        let mut found = self.checks().iter().filter(|c| c["layer"] == layer);
        let check = found
            .next()
            .unwrap_or_else(|| panic!("no {layer} in {:#}", self.0));
        assert!(found.next().is_none(), "{layer} twice in {:#}", self.0);
        (
            check["status"].as_str().unwrap(),
            check["text"].as_str().unwrap(),
        )
    }

    /// This layer fails and no other, and these words are in the sentence.
    #[track_caller]
    fn names(&self, layer: &str, words: &[&str]) {
        assert_eq!(self.failed(), [layer], "{:#}", self.0);
        assert_eq!(self.0["verdict"], layer);
        let (_, text) = self.layer(layer);
        for word in words {
            assert!(text.contains(word), "no {word:?} in {text:?}");
        }
    }

    /// Nothing fails, and these layers were looked at.
    #[track_caller]
    fn is_healthy(&self, layers: &[&str]) {
        assert!(self.failed().is_empty(), "{:#}", self.0);
        assert_eq!(self.0["verdict"], Value::Null);
        for layer in layers {
            let (status, text) = self.layer(layer);
            assert_eq!(status, "ok", "{layer}: {text}");
        }
    }
}

/// Certificates, a password file and a registry: what a front is made of.
struct Site {
    authority: Authority,
    server: Pair,
    registry: Registry,
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let authority = Authority::new("the CA of the test");
        let folder = TempDir::with_prefix("dockgate-doctor-").unwrap();
        passwords::write(&folder.path().join("htpasswd"), USER, PASSWORD);
        fs::write(folder.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        fs::write(folder.path().join("wrong"), "correct: hors\n").unwrap();
        Self {
            server: authority.server(),
            authority,
            registry: Registry::start(),
            folder,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ca(&self) -> &str {
        text(self.authority.ca())
    }

    /// The gate, with this certificate and these lines in `[listener.tls]`, and these behind `[auth]`'s first.
    fn gate(&self, server: &Pair, tls: &str, auth: &str) -> Gate {
        Gate::start(&format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n{tls}\n\
             [upstream]\nurl = \"{}\"\n[log]\naccess = false\n[auth]\nhtpasswd = \"{}\"\n{auth}\n",
            text(&server.certificate),
            text(&server.key),
            self.registry.url(),
            text(&self.file("htpasswd")),
        ))
    }

    /// nginx with TLS: `server` stands in its server block, where `UPSTREAM`, `HTPASSWD` and `CLIENT_CA` stand for ours.
    fn nginx(&self, server: &str) -> Nginx {
        let server = server
            .replace("UPSTREAM", self.registry.url())
            .replace("HTPASSWD", text(&self.file("htpasswd")))
            .replace("CLIENT_CA", self.ca());
        let (certificate, key) = (text(&self.server.certificate), text(&self.server.key));
        let http = format!(
            "server {{ listen LISTEN ssl; ssl_certificate {certificate}; ssl_certificate_key {key};\n{server}\n}}"
        );
        Nginx::start(std::net::Ipv4Addr::LOCALHOST, &http)
    }

    /// The doctor, who knows the CA and the user.
    #[track_caller]
    fn doctor(&self, address: std::net::SocketAddr, more: &[&str]) -> Told {
        let password = self.file("password");
        let mut arguments = vec!["--ca", self.ca(), "--user", USER];
        arguments.extend(["--password-file", text(&password)]);
        arguments.extend(more);
        doctor(&format!("https://{address}"), &arguments)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A location of nginx as it should be; a test breaks it.
const GOOD: &str = "
    client_max_body_size 0;
    location / {
        auth_basic Registry;
        auth_basic_user_file HTPASSWD;
        add_header Docker-Distribution-Api-Version registry/2.0 always;
        proxy_pass UPSTREAM;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-Proto $scheme;
    }
";

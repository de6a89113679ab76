//! A gate in clear on loopback in front of the real registry, with users, groups and a few images: what tests of rules
//! and tokens begin with.

use std::fs;

use sha2::{Digest as _, Sha256};

use super::ask::{Reply, ask, basic};
use super::gate::Gate;
use super::registry::Registry;

/// Name and password of everybody; the password is the name backwards.
const USERS: [&str; 4] = ["alice", "bob", "carol", "root"];

/// A gate and its registry.
#[derive(Debug)]
pub struct Site {
    /// The gate.
    pub gate: Gate,
    /// What stands behind it.
    pub registry: Registry,
}

impl Site {
    /// With these lines at the end of its configuration; what stands before them ends in the table `[auth]`.
    #[track_caller]
    pub fn new(toml: &str) -> Self {
        let registry = Registry::start();
        let toml = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n[log]\naccess = false\n\
             [auth]\nhtpasswd = \"htpasswd\"\n{toml}",
            registry.url()
        );
        let gate = Gate::start_with(&toml, |folder| {
            let users = USERS.map(|user| format!("{user}:{{PLAIN}}{}\n", backwards(user)));
            fs::write(folder.join("htpasswd"), users.concat()).unwrap();
            fs::write(folder.join("groups"), "ci: alice\n").unwrap();
        });
        Self { gate, registry }
    }

    /// One request of a user; `""` is nobody in particular.
    #[track_caller]
    pub fn ask(&self, user: &str, request: &str) -> Reply {
        self.send(user, request, &[], b"")
    }

    /// The same with headers and a body.
    #[track_caller]
    pub fn send(&self, user: &str, request: &str, headers: &[&str], body: &[u8]) -> Reply {
        let login = login(user);
        let mut headers = headers.to_vec();
        if !user.is_empty() {
            headers.push(&login);
        }
        ask(self.gate.address(), request, &headers, body)
    }

    /// One request with a token.
    #[track_caller]
    pub fn bear(&self, token: &str, request: &str) -> Reply {
        let line = format!("Authorization: Bearer {token}");
        ask(self.gate.address(), request, &[&line, ACCEPT], b"")
    }

    /// The token that a user is given for these scopes.
    #[track_caller]
    pub fn token(&self, user: &str, scopes: &[&str]) -> String {
        let query: Vec<String> = scopes
            .iter()
            .map(|scope| format!("scope={scope}"))
            .collect();
        let reply = self.ask(
            user,
            &format!("GET /v2/token?service=x&{}", query.join("&")),
        );
        assert_eq!(reply.status, 200, "{reply:#?}");
        reply.json()["token"].as_str().unwrap().to_owned()
    }

    /// Puts an image of one blob into a repository, straight into the registry, and tells the blob's digest.
    #[track_caller]
    pub fn image(&self, repository: &str, content: &str) -> String {
        let address = self
            .registry
            .url()
            .trim_start_matches("http://")
            .parse()
            .unwrap();
        let digest = digest(content.as_bytes());
        let begun = ask(
            address,
            &format!("POST /v2/{repository}/blobs/uploads/"),
            &[],
            b"",
        );
        let location = begun.one("location");
        let path = location
            .split_once("//")
            .unwrap()
            .1
            .split_once('/')
            .unwrap()
            .1;
        let put = ask(
            address,
            &format!("PUT /{path}&digest={digest}"),
            &["Content-Type: application/octet-stream"],
            content.as_bytes(),
        );
        assert_eq!(put.status, 201, "{put:#?}");
        let manifest = manifest(&digest, content.len());
        let kind = format!("Content-Type: {MANIFEST}");
        let put = ask(
            address,
            &format!("PUT /v2/{repository}/manifests/1"),
            &[&kind],
            manifest.as_bytes(),
        );
        assert_eq!(put.status, 201, "{put:#?}");
        digest
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const ACCEPT: &str = "Accept: application/vnd.oci.image.manifest.v1+json";

/// The header line that a user logs in with.
pub fn login(user: &str) -> String {
    basic(user, &backwards(user))
}

/// The password of a user.
pub fn backwards(user: &str) -> String {
    user.chars().rev().collect()
}

/// The digest of some bytes.
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: Vec<String> = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

fn manifest(digest: &str, size: usize) -> String {
    let blob = format!(
        "{{\"mediaType\":\"application/octet-stream\",\"digest\":\"{digest}\",\"size\":{size}}}"
    );
    format!("{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST}\",\"config\":{blob},\"layers\":[]}}")
}

//! A gate in clear on loopback with the registry inside of it, and a few users.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::ask::{Reply, ask};
use super::gate::Gate;
use super::raw::Raw;
use super::site::{backwards, digest, login};

/// Name and password of everybody; the password is the name backwards.
const USERS: [&str; 4] = ["alice", "bob", "carol", "root"];

/// The media type of the manifests that [`House::image`] makes.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The gate and its empty registry.
#[derive(Debug)]
pub struct House {
    /// The gate.
    pub gate: Gate,
}

impl House {
    /// With these lines at the end of its configuration; what stands before them ends in the table `[auth]`.
    #[track_caller]
    pub fn start(toml: &str) -> Self {
        let gate = Gate::start_with(&configuration(toml), |folder| {
            let users = USERS.map(|user| format!("{user}:{{PLAIN}}{}\n", backwards(user)));
            fs::write(folder.join("htpasswd"), users.concat()).unwrap();
            fs::write(folder.join("groups"), "ci: alice\n").unwrap();
        });
        Self { gate }
    }

    /// Changes these lines and tells the gate.
    #[track_caller]
    pub fn change(&self, toml: &str) {
        fs::write(self.gate.dir().join("proxy.toml"), configuration(toml)).unwrap();
        self.gate.reload();
    }

    /// The folder that `docker/registry/v2` lies in.
    pub fn storage(&self) -> PathBuf {
        self.gate.dir().join("dockgate-data/registry")
    }

    /// The file that holds a blob.
    pub fn blob_file(&self, digest: &str) -> PathBuf {
        let (algorithm, hex) = digest.split_once(':').unwrap();
        let below = format!(
            "docker/registry/v2/blobs/{algorithm}/{}/{hex}/data",
            &hex[..2]
        );
        self.storage().join(below)
    }

    /// One request of `root`, who may do everything.
    #[track_caller]
    pub fn ask(&self, request: &str) -> Reply {
        self.send("root", request, &[], b"")
    }

    /// The same with headers and a body, of any user; `""` is nobody in particular.
    #[track_caller]
    pub fn send(&self, user: &str, request: &str, headers: &[&str], body: &[u8]) -> Reply {
        let login = login(user);
        let mut headers = headers.to_vec();
        if !user.is_empty() {
            headers.push(&login);
        }
        ask(self.gate.address(), request, &headers, body)
    }

    /// A connection to it.
    #[track_caller]
    pub fn connect(&self) -> Raw {
        Raw::tcp(self.gate.address())
    }

    /// Begins an upload, and tells the path of its `Location`.
    #[track_caller]
    pub fn begin(&self, repository: &str) -> String {
        let begun = self.ask(&format!("POST /v2/{repository}/blobs/uploads/"));
        assert_eq!(begun.status, 202, "{begun:#?}");
        self.path(begun.one("location"))
    }

    /// The path in a `Location`, which is on this gate.
    #[track_caller]
    pub fn path(&self, location: &str) -> String {
        let base = format!("http://{}", self.gate.address());
        let path = location.strip_prefix(&base);
        path.unwrap_or_else(|| panic!("{location} is not below {base}"))
            .to_owned()
    }

    /// Puts a blob into a repository, and tells its digest.
    #[track_caller]
    pub fn blob(&self, repository: &str, content: &[u8]) -> String {
        let digest = digest(content);
        let path = self.begin(repository);
        let put = self.send("root", &format!("PUT {path}?digest={digest}"), &[], content);
        assert_eq!(put.status, 201, "{put:#?}");
        digest
    }

    /// Puts a manifest into a repository, and tells its digest.
    #[track_caller]
    pub fn manifest(&self, repository: &str, reference: &str, text: &str) -> String {
        let put = self.put(repository, reference, text);
        assert_eq!(put.status, 201, "{put:#?}");
        put.one("docker-content-digest").to_owned()
    }

    /// What becomes of a manifest that is put into a repository, by the media type that it gives itself.
    #[track_caller]
    pub fn put(&self, repository: &str, reference: &str, text: &str) -> Reply {
        let document: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let kind = document["mediaType"].as_str().unwrap_or(MANIFEST);
        self.send(
            "root",
            &format!("PUT /v2/{repository}/manifests/{reference}"),
            &[&format!("Content-Type: {kind}")],
            text.as_bytes(),
        )
    }

    /// Puts an image of one blob into a repository under the tag `1`, and tells the digests of blob and manifest.
    #[track_caller]
    pub fn image(&self, repository: &str, content: &str) -> (String, String) {
        let blob = self.blob(repository, content.as_bytes());
        let manifest = self.manifest(repository, "1", &image_of(&blob, content.len()));
        (blob, manifest)
    }
}

/// What becomes of something that is asked again and again, for as long as a test has.
#[track_caller]
pub fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let end = SystemTime::now() + Duration::from_secs(20);
    loop {
        if let Some(done) = ask() {
            return done;
        }
        assert!(SystemTime::now() < end, "it did not come to pass");
    }
}

fn configuration(toml: &str) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[log]\naccess = false\n[auth]\nhtpasswd = \"htpasswd\"\n{toml}"
    )
}

/// An image manifest whose config is this blob.
pub fn image_of(blob: &str, size: usize) -> String {
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob, "size": size },
        "layers": [],
    })
    .to_string()
}

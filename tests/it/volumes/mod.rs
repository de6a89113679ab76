//! What a volume or a bucket is worth: it is registry:2's own, and holds what was acknowledged through whatever befalls
//! the process, the disk, the store and the client.

mod bucket;
mod content;
mod damaged;
mod disk;
mod faults;
mod full;
mod kill;
mod power;
mod pusher;
mod registry2;
mod resume;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use sha2::{Digest as _, Sha512};
use tempfile::TempDir;

use crate::support::dialog::{Answer, Dialog};
use crate::support::program::Program;

/// The media types of what the tests push.
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// All that such a manifest may be, for a registry that serves only what is asked for.
const ANY: (&str, &str) = (
    "Accept",
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json",
);

/// The program itself over a folder, open to everybody.
struct Served {
    program: Program,
    address: SocketAddr,
}

impl Served {
    #[track_caller]
    fn start(root: &Path) -> Self {
        Self::start_under(&[], root)
    }

    /// Started by another program, such as `strace`.
    #[track_caller]
    fn start_under(wrapper: &[&str], root: &Path) -> Self {
        let root = root.display();
        Self::start_with(
            wrapper,
            &format!("[registry]\n[registry.filesystem]\nrootdirectory = \"{root}\"\n"),
        )
    }

    /// With these tables for its registry.
    #[track_caller]
    fn start_with(wrapper: &[&str], registry: &str) -> Self {
        let dir = TempDir::with_prefix("dockgate-volume-").unwrap();
        let toml = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[log]\naccess = false\n{registry}\
             [[rule]]\nwho = [\"anonymous\"]\nrepositories = [\"**\"]\nactions = [\"*\"]\n"
        );
        std::fs::write(dir.path().join("proxy.toml"), toml).unwrap();
        let argv = [wrapper, &[env!("CARGO_BIN_EXE_dockgate"), "serve"]].concat();
        let mut command = Command::new(argv[0]);
        command.args(&argv[1..]).env_clear().env("TZ", "UTC");
        command.stdout(Stdio::null());
        let program = Program::spawn(dir, command);
        let address = program.address(0);
        Self { program, address }
    }

    #[track_caller]
    fn ask(&self, method: &str, target: &str) -> Answer {
        self.send(method, target, &[], b"")
    }

    #[track_caller]
    fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        Dialog::tcp(self.address).ask(method, target, headers, body)
    }

    /// As an operator stops it, to its end.
    #[track_caller]
    fn stop(self) {
        self.end(Signal::TERM);
    }

    /// As nobody should.
    #[track_caller]
    fn kill(self) {
        self.end(Signal::KILL);
    }

    /// Waits for the end of one that was killed.
    #[track_caller]
    fn gone(mut self) {
        assert_eq!(self.program.wait(), None, "{}", self.program.stderr());
    }

    #[track_caller]
    fn end(mut self, signal: Signal) {
        self.program.signal(signal);
        let code = self.program.wait();
        let wanted = (signal == Signal::TERM).then_some(0);
        assert_eq!(code, wanted, "{}", self.program.stderr());
    }
}

/// Puts a blob into the repository of a registry, whichever it is.
#[track_caller]
fn push_blob(address: SocketAddr, repository: &str, digest: &str, content: &[u8]) {
    let path = begin(address, repository);
    let put = Dialog::tcp(address).ask("PUT", &closing(&path, digest), &[], content);
    assert_eq!(put.status, 201, "{}{}", put.head, put.text());
}

/// Puts a manifest into it, and tells its digest.
#[track_caller]
fn push_manifest(address: SocketAddr, repository: &str, reference: &str, text: &str) -> String {
    let put = put_manifest(address, repository, reference, text);
    assert_eq!(put.status, 201, "{}{}", put.head, put.text());
    put.header("docker-content-digest").unwrap().to_owned()
}

/// What becomes of a manifest that is put there, under the media type that it gives itself.
#[track_caller]
fn put_manifest(address: SocketAddr, repository: &str, reference: &str, text: &str) -> Answer {
    let document: serde_json::Value = serde_json::from_str(text).unwrap();
    let kind = document["mediaType"].as_str().unwrap_or(IMAGE);
    Dialog::tcp(address).ask(
        "PUT",
        &format!("/v2/{repository}/manifests/{reference}"),
        &[("Content-Type", kind)],
        text.as_bytes(),
    )
}

/// Begins an upload and tells its path.
#[track_caller]
fn begin(address: SocketAddr, repository: &str) -> String {
    let target = format!("/v2/{repository}/blobs/uploads/");
    let begun = Dialog::tcp(address).ask("POST", &target, &[], b"");
    assert_eq!(begun.status, 202, "{}{}", begun.head, begun.text());
    place(&begun)
}

/// The path in a `Location`, with its query.
fn place(answer: &Answer) -> String {
    let location = answer.header("location").unwrap();
    let (_, rest) = location.split_once("/v2/").unwrap();
    format!("/v2/{rest}")
}

/// Where an upload is closed.
fn closing(path: &str, digest: &str) -> String {
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("{path}{mark}digest={digest}")
}

fn descriptor(kind: &str, digest: &str, size: usize) -> serde_json::Value {
    serde_json::json!({ "mediaType": kind, "digest": digest, "size": size })
}

/// An image of these blobs, the first of which is its config; the note tells it from others of the same blobs.
fn image(blobs: &[(String, usize)], note: u64) -> String {
    let (config, layers) = blobs.split_first().unwrap();
    let layers: Vec<_> = layers
        .iter()
        .map(|(d, n)| descriptor(LAYER, d, *n))
        .collect();
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "config": descriptor(CONFIG, &config.0, config.1),
        "layers": layers,
        "annotations": { "note": note.to_string() },
    })
    .to_string()
}

/// An index of these images.
fn index(images: &[(String, usize)], note: u64) -> String {
    let images: Vec<_> = images
        .iter()
        .map(|(d, n)| descriptor(IMAGE, d, *n))
        .collect();
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": images,
        "annotations": { "note": note.to_string() },
    })
    .to_string()
}

fn sha512(content: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = "sha512:".to_owned();
    for byte in Sha512::digest(content) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// Whether these bytes are those that the digest names.
fn is_named(digest: &str, content: &[u8]) -> bool {
    let made = if digest.starts_with("sha512:") {
        sha512(content)
    } else {
        crate::support::site::digest(content)
    };
    made == digest
}

/// Numbers and bytes that come the same again from the same seed (splitmix64).
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

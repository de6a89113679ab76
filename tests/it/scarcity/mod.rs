//! A machine that has nothing left to give: no thread, no memory. Nothing ends but what could not be had, and afterwards
//! all is as before.

mod memory;
mod tasks;

use std::path::Path;

use crate::support::certs::{Authority, Pair};
use crate::support::cgroup::Cgroup;
use crate::support::dialog::{Dialog, Tls};
use crate::support::passwords;
use crate::support::peers::need;
use crate::support::program::Program;
use crate::support::registry::Registry;
use crate::support::site::digest;

/// The password file has its hash by bcrypt.
const LOGIN: (&str, &str) = ("Authorization", "Basic dXNlcjpzZWNyZXQ=");

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A gate in a group: a door in clear, one with TLS, and one for the operator.
struct Scarce {
    // Dropped first: its group is removed when it has ended.
    program: Program,
    group: Cgroup,
    authority: Authority,
    _pair: Pair,
    _registry: Option<Registry>,
}

impl Scarce {
    /// With the registry inside, or the real one behind it.
    #[track_caller]
    fn start(group: Cgroup, registry: Option<Registry>, more: &str) -> Self {
        let authority = Authority::new("the CA of the test");
        let pair = authority.server_for(&["localhost"]);
        let backend = match &registry {
            // By name: names are looked up by threads.
            Some(registry) => format!(
                "[upstream]\nurl = \"{}\"\n",
                registry.url().replace("127.0.0.1", "localhost")
            ),
            None => "[registry.filesystem]\nrootdirectory = \"store\"\n".to_owned(),
        };
        let toml = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\n\
             certificate = \"{}\"\nkey = \"{}\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
             [auth]\nhtpasswd = \"htpasswd\"\nanonymous = \"pull\"\n{more}{backend}",
            pair.certificate.display(),
            pair.key.display(),
        );
        let program = spawn(&group, &toml, |dir| {
            passwords::write(&dir.join("htpasswd"), "user", "secret");
        });
        program.err_times("listening", 2);
        Self {
            program,
            group,
            authority,
            _pair: pair,
            _registry: registry,
        }
    }

    /// An honest client, who comes from another address than the crowd.
    fn plain(&self) -> Dialog {
        Dialog::connected(Dialog::from_elsewhere(self.program.address(0)))
    }

    fn encrypted(&self) -> Dialog {
        let tls = Tls::new(self.authority.ca(), "localhost");
        Dialog::tls_connected(Dialog::from_elsewhere(self.program.address(1)), &tls)
    }
}

/// The program in this group, which need not come to serve.
#[track_caller]
fn spawn(group: &Cgroup, toml: &str, prepare: impl FnOnce(&Path)) -> Program {
    Program::under(&group.entering(), toml, prepare)
}

/// The real registry, where this machine has it.
#[track_caller]
fn real() -> Option<Registry> {
    need(&["docker-registry"]).then(Registry::start)
}

/// Puts a blob into `repository`.
#[track_caller]
fn push_blob(dialog: &mut Dialog, repository: &str, content: &[u8]) -> String {
    let target = format!("/v2/{repository}/blobs/uploads/");
    let begun = dialog.ask("POST", &target, &[LOGIN], b"");
    assert_eq!(begun.status, 202, "{}", begun.head);
    let place = begun.header("location").unwrap();
    let place = place[place.find("/v2/").unwrap()..].to_owned();
    let sign = if place.contains('?') { '&' } else { '?' };
    let digest = digest(content);
    let close = format!("{place}{sign}digest={digest}");
    let kind = ("Content-Type", "application/octet-stream");
    let put = dialog.ask("PUT", &close, &[LOGIN, kind], content);
    assert_eq!(put.status, 201, "{}\n{}", put.head, put.text());
    digest
}

/// Puts an image of one blob into `repository`; its manifest is as long as it is made by `padding`.
#[track_caller]
fn push_image(dialog: &mut Dialog, repository: &str, tag: &str, padding: usize) -> Vec<u8> {
    let blob = push_blob(dialog, repository, tag.as_bytes());
    let manifest = manifest(&blob, tag.len(), padding);
    let target = format!("/v2/{repository}/manifests/{tag}");
    let kind = ("Content-Type", MANIFEST);
    let put = dialog.ask("PUT", &target, &[LOGIN, kind], &manifest);
    assert_eq!(put.status, 201, "{}\n{}", put.head, put.text());
    manifest
}

fn manifest(blob: &str, size: usize, padding: usize) -> Vec<u8> {
    let note = "x".repeat(padding);
    let kind = "application/vnd.oci.image.config.v1+json";
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": kind, "digest": blob, "size": size },
        "layers": [],
        "annotations": { "note": note },
    })
    .to_string()
    .into_bytes()
}

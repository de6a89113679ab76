//! Everything that a client can put into a registry, whichever it is, and where it is to be had.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::{
    ANY, IMAGE, Random, begin, descriptor, image, index, push_blob, push_manifest, sha512,
};
use crate::support::dialog::{Answer, Dialog};
use crate::support::site::digest;

const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

#[track_caller]
pub fn ask(address: SocketAddr, method: &str, target: &str) -> Answer {
    Dialog::tcp(address).ask(method, target, &[ANY], b"")
}

#[track_caller]
pub fn delete(address: SocketAddr, target: &str) {
    let deleted = ask(address, "DELETE", target);
    assert_eq!(
        deleted.status,
        202,
        "{target}: {}{}",
        deleted.head,
        deleted.text()
    );
}

/// A blob with its size.
pub fn blob(address: SocketAddr, repository: &str, content: &[u8]) -> (String, usize) {
    let name = digest(content);
    push_blob(address, repository, &name, content);
    (name, content.len())
}

fn docker_image(blobs: &[(String, usize)]) -> String {
    let layer = |(digest, size): &(String, usize)| {
        descriptor(
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            digest,
            *size,
        )
    };
    let layers: Vec<_> = blobs[1..].iter().map(layer).collect();
    let kind = "application/vnd.docker.container.image.v1+json";
    serde_json::json!({
        "schemaVersion": 2, "mediaType": DOCKER_IMAGE,
        "config": descriptor(kind, &blobs[0].0, blobs[0].1), "layers": layers,
    })
    .to_string()
}

fn docker_list(images: &[(String, usize)]) -> String {
    let entry = |(digest, size): &(String, usize)| {
        let mut entry = descriptor(DOCKER_IMAGE, digest, *size);
        entry["platform"] = serde_json::json!({ "architecture": "amd64", "os": "linux" });
        entry
    };
    let manifests: Vec<_> = images.iter().map(entry).collect();
    serde_json::json!({ "schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": manifests })
        .to_string()
}

/// All that is to be served by whoever opens the folder: paths of the API.
#[derive(Debug, Default)]
pub struct Content {
    pub targets: BTreeSet<String>,
    /// Those of them that a tag keeps from the garbage collection.
    pub tagged: BTreeSet<String>,
}

impl Content {
    pub fn note(&mut self, repository: &str, folder: &str, name: &str) {
        self.targets
            .insert(format!("/v2/{repository}/{folder}/{name}"));
    }

    /// An image with its tag, digest and blobs.
    pub fn note_image(
        &mut self,
        repository: &str,
        tag: &str,
        name: &str,
        blobs: &[(String, usize)],
    ) {
        let blobs = blobs.iter().map(|(blob, _)| format!("blobs/{blob}"));
        let manifests = [format!("manifests/{tag}"), format!("manifests/{name}")];
        for target in blobs.chain(manifests) {
            self.tagged.insert(format!("/v2/{repository}/{target}"));
        }
        self.targets.extend(self.tagged.iter().cloned());
    }
}

/// Everything that a client can put into a registry, whichever it is.
pub fn populate(address: SocketAddr, seed: u64) -> Content {
    let mut random = Random(seed);
    let mut content = Content::default();
    let config = blob(
        address,
        "lib/app",
        br#"{"architecture":"amd64","os":"linux"}"#,
    );
    let layers = [0, 1, 300_000].map(|n| blob(address, "lib/app", &random.bytes(n)));
    let whole = [&[config][..], &layers].concat();

    // OCI: a tag that moved, two tags of one image, a manifest without a tag.
    let old = push_manifest(address, "lib/app", "v1", &image(&whole, 1));
    let now = push_manifest(address, "lib/app", "v1", &image(&whole, 2));
    push_manifest(address, "lib/app", "latest", &image(&whole, 2));
    content.note("lib/app", "manifests", &old);
    for tag in ["v1", "latest"] {
        content.note_image("lib/app", tag, &now, &whole);
    }
    let text = image(&whole[..2], 3);
    let child = (digest(text.as_bytes()), text.len());
    push_manifest(address, "lib/app", &child.0, &text);
    content.note("lib/app", "manifests", &child.0);
    let name = push_manifest(
        address,
        "lib/app",
        "index",
        &index(std::slice::from_ref(&child), 4),
    );
    content.note_image("lib/app", "index", &name, &[]);

    // Docker: an image, and a list of it.
    let text = docker_image(&whole);
    let name = push_manifest(address, "lib/app", "docker", &text);
    content.note_image("lib/app", "docker", &name, &whole);
    let list = push_manifest(
        address,
        "lib/app",
        "list",
        &docker_list(&[(name, text.len())]),
    );
    content.note_image("lib/app", "list", &list, &[]);

    // A repository that mounts made, and one with a blob of two names.
    let mount = format!(
        "/v2/mounted/only/blobs/uploads/?mount={}&from=lib/app",
        layers[2].0
    );
    let mounted = Dialog::tcp(address).ask("POST", &mount, &[], b"");
    assert_eq!(mounted.status, 201, "{}", mounted.head);
    content.note("mounted/only", "blobs", &layers[2].0);
    let bytes = random.bytes(70_000);
    push_blob(address, "aliased", &sha512(&bytes), &bytes);
    content.note("aliased", "blobs", &sha512(&bytes));
    content.note("aliased", "blobs", &digest(&bytes));

    // What was deleted: a manifest with its tag, a blob.
    let gone = push_manifest(address, "lib/app", "gone", &image(&whole, 5));
    delete(address, &format!("/v2/lib/app/manifests/{gone}"));
    let taken_out = blob(address, "lib/app", &random.bytes(100)).0;
    delete(address, &format!("/v2/lib/app/blobs/{taken_out}"));
    content.note("lib/app", "manifests", "gone");
    content.note("lib/app", "manifests", &gone);
    content.note("lib/app", "blobs", &taken_out);

    // Uploads that nobody went on with.
    begin(address, "begun");
    let half = Dialog::tcp(address).ask("PATCH", &begin(address, "lib/app"), &[], b"half");
    assert_eq!(half.status, 202, "{}", half.head);
    content
}

/// What registry:2 does not know, and must not fall over: a subject, a tag that was deleted by its name, a blob in one
/// request.
pub fn push_more(address: SocketAddr, content: &mut Content) {
    let bytes = Random(9).bytes(5000);
    let name = digest(&bytes);
    let single = format!("/v2/more/blobs/uploads/?digest={name}");
    let put = Dialog::tcp(address).ask("POST", &single, &[], &bytes);
    assert_eq!(put.status, 201, "{}", put.head);
    let blobs = [(name, bytes.len())];
    let text = image(&blobs, 6);
    let subject = push_manifest(address, "more", "subject", &text);
    content.note_image("more", "subject", &subject, &blobs);
    let mut signature: serde_json::Value = serde_json::from_str(&image(&blobs, 7)).unwrap();
    signature["subject"] = descriptor(IMAGE, &subject, text.len());
    let signature = push_manifest(address, "more", "signature", &signature.to_string());
    content.note_image("more", "signature", &signature, &blobs);
    push_manifest(address, "more", "untagged", &image(&blobs, 8));
    delete(address, "/v2/more/manifests/untagged");
    content.note("more", "manifests", "untagged");
    content.note("more", "manifests", &digest(image(&blobs, 8).as_bytes()));
}

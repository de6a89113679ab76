//! One folder, two registries: what `docker-registry` wrote is served by dockgate as it served it, and the other way
//! round, with all that old volumes hold.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{
    ANY, IMAGE, INDEX, Random, Served, begin, closing, descriptor, image, index, place, push_blob,
    push_manifest, sha512,
};
use crate::support::dialog::{Answer, Dialog};
use crate::support::image::Image;
use crate::support::peers::need;
use crate::support::process;
use crate::support::registry::{Options, Registry};
use crate::support::site::digest;
use crate::support::skopeo::Skopeo;

const PEERS: &[&str] = &["docker-registry", "setpriv", "skopeo"];
const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const NOBODYS: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn volume() -> TempDir {
    TempDir::with_prefix("dockgate-registry2-").unwrap()
}

fn registry_over(root: &Path) -> Registry {
    Registry::start_with(&Options {
        storage: Some(root),
        ..Options::default()
    })
}

#[track_caller]
fn ask(address: SocketAddr, method: &str, target: &str) -> Answer {
    Dialog::tcp(address).ask(method, target, &[ANY], b"")
}

#[track_caller]
fn delete(address: SocketAddr, target: &str) {
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
fn blob(address: SocketAddr, repository: &str, content: &[u8]) -> (String, usize) {
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
struct Content {
    targets: BTreeSet<String>,
    /// Those of them that a tag keeps from the garbage collection.
    tagged: BTreeSet<String>,
}

impl Content {
    fn note(&mut self, repository: &str, folder: &str, name: &str) {
        self.targets
            .insert(format!("/v2/{repository}/{folder}/{name}"));
    }

    /// An image with its tag, digest and blobs.
    fn note_image(&mut self, repository: &str, tag: &str, name: &str, blobs: &[(String, usize)]) {
        let blobs = blobs.iter().map(|(blob, _)| format!("blobs/{blob}"));
        let manifests = [format!("manifests/{tag}"), format!("manifests/{name}")];
        for target in blobs.chain(manifests) {
            self.tagged.insert(format!("/v2/{repository}/{target}"));
        }
        self.targets.extend(self.tagged.iter().cloned());
    }
}

/// Everything that a client can put into a registry, whichever it is.
fn populate(address: SocketAddr, seed: u64) -> Content {
    let mut random = Random(seed);
    let mut content = Content::default();
    let config = blob(
        address,
        "lib/app",
        br#"{"architecture":"amd64","os":"linux"}"#,
    );
    let layers = [0, 1, 300_000].map(|n| blob(address, "lib/app", &random.bytes(n)));
    let whole = [&[config.clone()][..], &layers].concat();

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
    let name = push_manifest(address, "lib/app", "index", &index(&[child.clone()], 4));
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
    let lost = blob(address, "lib/app", &random.bytes(100)).0;
    delete(address, &format!("/v2/lib/app/blobs/{lost}"));
    content.note("lib/app", "manifests", "gone");
    content.note("lib/app", "manifests", &gone);
    content.note("lib/app", "blobs", &lost);

    // Uploads that nobody went on with.
    begin(address, "begun");
    let half = Dialog::tcp(address).ask("PATCH", &begin(address, "lib/app"), &[], b"half");
    assert_eq!(half.status, 202, "{}", half.head);
    content
}

/// The paths beside those of the content that are to be the same.
fn lists(content: &Content) -> Vec<String> {
    let mut lists: Vec<String> = [
        "/v2/_catalog",
        "/v2/_catalog?n=1",
        "/v2/_catalog?n=1&last=aliased",
        "/v2/lib/app/tags/list",
        "/v2/mounted/only/tags/list",
        "/v2/begun/tags/list",
        "/v2/nobody/tags/list",
        "/v2/lib/app/manifests/none",
    ]
    .map(str::to_owned)
    .into();
    lists.push(format!("/v2/lib/app/blobs/{NOBODYS}"));
    lists.push(format!("/v2/lib/app/manifests/{NOBODYS}"));
    // Content of one repository is not that of another.
    let foreign = content
        .targets
        .iter()
        .filter(|target| target.contains("/v2/aliased/"));
    lists.extend(foreign.map(|target| target.replace("/v2/aliased/", "/v2/lib/app/")));
    lists
}

/// What must be the same in two answers.
///
/// A blob that is asked for by its sha512 name is told under that name by us, as the specification has it, and under
/// the sha256 one by registry:2.
fn shown<'a>(target: &str, answer: &'a Answer) -> (u16, Vec<Option<&'a str>>, String) {
    let mut names = vec!["content-type", "docker-distribution-api-version"];
    if answer.status == 200 {
        names.extend(["content-length", "cache-control"]);
    }
    if answer.status == 200 && !target.contains("sha512:") {
        names.extend(["docker-content-digest", "etag"]);
    }
    let headers = names.into_iter().map(|name| answer.header(name)).collect();
    let body = match answer.status {
        200 => crate::support::site::digest(&answer.body),
        // Words may differ, codes may not.
        _ => serde_json::from_slice::<serde_json::Value>(&answer.body)
            .map(|document| document["errors"][0]["code"].to_string())
            .unwrap_or_default(),
    };
    (answer.status, headers, body)
}

/// Both serve the same under every path; how many are had from both is told.
#[track_caller]
fn serve_the_same(one: SocketAddr, other: SocketAddr, content: &Content) -> usize {
    let mut had = 0;
    for target in content.targets.iter().cloned() {
        for method in ["HEAD", "GET"] {
            let (wanted, found) = (ask(one, method, &target), ask(other, method, &target));
            assert_eq!(
                shown(&target, &found),
                shown(&target, &wanted),
                "{method} {target}\n{}\n{}",
                found.head,
                wanted.head
            );
            assert!(found.status != 200 || found.body == wanted.body);
            had += usize::from(found.status == 200);
        }
    }
    for target in lists(content) {
        let (wanted, found) = (ask(one, "GET", &target), ask(other, "GET", &target));
        let list = |answer: &Answer| {
            (answer.status == 200).then(|| {
                // The order of the two parameters is nobody's concern.
                let link: BTreeSet<String> = answer
                    .header("link")
                    .into_iter()
                    .flat_map(|link| link.split(['?', '&', '>']).map(str::to_owned))
                    .collect();
                let mut list: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                // registry:2 lists tags in the order of the disk, and we in the one of the specification.
                if let Some(tags) = list
                    .get_mut("tags")
                    .and_then(serde_json::Value::as_array_mut)
                {
                    tags.sort_by_key(ToString::to_string);
                }
                (list, link)
            })
        };
        assert_eq!(
            (found.status, list(&found)),
            (wanted.status, list(&wanted)),
            "{target}"
        );
        if found.status != 200 {
            assert_eq!(
                shown(&target, &found).2,
                shown(&target, &wanted).2,
                "{target}"
            );
        }
    }
    had
}

#[test]
fn a_volume_of_registry_2_opens_in_place_and_serves_the_same() {
    if !need(PEERS) {
        return;
    }
    let volume = volume();
    let registry = registry_over(volume.path());
    let mut content = populate(registry.address(), 1);
    copy(registry.address(), "skopeo/image", &mut content);
    let before = tree(volume.path());
    let served = Served::start(volume.path());
    let had = serve_the_same(registry.address(), served.address, &content);
    assert_eq!(
        had,
        2 * (content.targets.len() - 3),
        "all but what was deleted"
    );
    // Nothing was moved, repaired or swept by looking.
    assert_eq!(difference(&before, &tree(volume.path())), [""; 0]);
    served.stop();
}

#[test]
fn what_dockgate_wrote_is_served_the_same_by_registry_2() {
    if !need(PEERS) {
        return;
    }
    let volume = volume();
    let served = Served::start(volume.path());
    let mut content = populate(served.address, 2);
    push_more(served.address, &mut content);
    copy(served.address, "skopeo/image", &mut content);
    let registry = registry_over(volume.path());
    let had = serve_the_same(registry.address(), served.address, &content);
    assert_eq!(
        had,
        2 * (content.targets.len() - 4),
        "all but what was deleted"
    );
    served.stop();
}

/// What registry:2 does not know, and must not fall over: a subject, a tag that was deleted by its name, a blob in one
/// request.
fn push_more(address: SocketAddr, content: &mut Content) {
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

/// An image of a real client, there and back.
#[track_caller]
fn copy(address: SocketAddr, repository: &str, content: &mut Content) {
    let image = Image::unique();
    let remote = format!("docker://{address}/{repository}:1");
    let source = format!("oci:{}", image.layout().display());
    let pushed = Skopeo::new().run(&["copy", "--dest-tls-verify=false", &source, &remote]);
    pushed.succeeds("skopeo pushes");
    let target = format!("dir:{}", image.folder("back").display());
    let pulled = Skopeo::new().run(&["copy", "--src-tls-verify=false", &remote, &target]);
    pulled.succeeds("skopeo pulls");
    let manifest = ask(address, "GET", &format!("/v2/{repository}/manifests/1"));
    let document: serde_json::Value = serde_json::from_slice(&manifest.body).unwrap();
    // Compressed by the client, so that only it knows its digest.
    let blobs = [&document["config"], &document["layers"][0]]
        .map(|blob| (blob["digest"].as_str().unwrap().to_owned(), 0));
    content.note_image(repository, "1", &digest(&manifest.body), &blobs);
}

#[test]
fn both_take_pushes_in_turn_over_one_folder() {
    if !need(PEERS) {
        return;
    }
    let volume = volume();
    let mut content = Content::default();
    for turn in 0..3 {
        let registry = registry_over(volume.path());
        let of_theirs = populate(registry.address(), 100 + turn);
        content.targets.extend(of_theirs.targets);
        push_tag(registry.address(), turn * 2);
        drop(registry);
        let served = Served::start(volume.path());
        let of_ours = populate(served.address, 200 + turn);
        content.targets.extend(of_ours.targets);
        push_tag(served.address, turn * 2 + 1);
        served.stop();
    }
    let (registry, served) = (registry_over(volume.path()), Served::start(volume.path()));
    let had = serve_the_same(registry.address(), served.address, &content);
    assert!(had > content.targets.len(), "{had}");
    let moved = ask(registry.address(), "GET", "/v2/moving/manifests/tag");
    assert!(moved.text().contains("\"note\":\"5\""), "{}", moved.text());
    served.stop();
}

/// A tag that both move.
#[track_caller]
fn push_tag(address: SocketAddr, turn: u64) {
    let blobs = [blob(address, "moving", b"config")];
    push_manifest(address, "moving", "tag", &image(&blobs, turn));
}

/// Every name below the folder with what it is, its length and the time of its last change.
fn tree(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let facts = path.symlink_metadata().unwrap();
            let (kind, length) = (facts.mode(), facts.len());
            let times = (facts.mtime(), facts.mtime_nsec());
            found.insert(format!("{} {kind:o} {length} {times:?}", path.display()));
            if facts.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

fn difference(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Vec<String> {
    before.symmetric_difference(after).cloned().collect()
}

#[test]
fn garbage_collection_by_registry_2_loses_nothing_that_is_tagged_and_its_leavings_are_tolerated() {
    if !need(PEERS) {
        return;
    }
    let volume = volume();
    let served = Served::start(volume.path());
    let mut content = populate(served.address, 3);
    push_more(served.address, &mut content);
    let registry = registry_over(volume.path());
    let before: Vec<Answer> = content
        .tagged
        .iter()
        .map(|t| ask(served.address, "GET", t))
        .collect();
    for arguments in [&[][..], &["--delete-untagged"]] {
        let collected = registry.collect_garbage(arguments);
        collected.succeeds("garbage-collect works on what dockgate wrote");
        // A process that knows nothing of before, and the one that was there.
        let fresh = Served::start(volume.path());
        for address in [served.address, fresh.address] {
            for (target, wanted) in content.tagged.iter().zip(&before) {
                let found = ask(address, "GET", target);
                assert_eq!(
                    shown(target, &found),
                    shown(target, wanted),
                    "{target} after {arguments:?}"
                );
                assert!(found.body == wanted.body);
            }
        }
        let listing = tree(volume.path());
        let had = serve_the_same(registry.address(), fresh.address, &content);
        assert!(had >= content.tagged.len(), "{had}");
        assert_eq!(difference(&listing, &tree(volume.path())), [""; 0]);
        fresh.stop();
    }
    // The index stands, and its child is gone: that is what registry:2 makes of it.
    let list = ask(served.address, "GET", "/v2/lib/app/manifests/index");
    let list: serde_json::Value = serde_json::from_slice(&list.body).unwrap();
    let child = list["manifests"][0]["digest"].as_str().unwrap();
    let child = ask(
        served.address,
        "GET",
        &format!("/v2/lib/app/manifests/{child}"),
    );
    assert_eq!(child.status, 404);
    // A link to nothing is no obstacle for who pushes it anew.
    let dangling = ask(
        served.address,
        "HEAD",
        &format!("/v2/aliased/blobs/{}", aliased(&content)),
    );
    assert_eq!(dangling.status, 404);
    let again = populate(served.address, 3);
    let had = serve_the_same(registry.address(), served.address, &again);
    assert_eq!(had, 2 * (again.targets.len() - 3));
    served.stop();
}

/// The sha256 name of the blob with two names, which no manifest refers to.
fn aliased(content: &Content) -> &str {
    let mut targets = content.targets.iter();
    targets
        .find_map(|target| {
            target
                .strip_prefix("/v2/aliased/blobs/sha256:")
                .map(|_| &target["/v2/aliased/blobs/".len()..])
        })
        .unwrap()
}

//! One folder, two registries: what `docker-registry` wrote is served by dockgate as it served it, and the other way
//! round, with all that old volumes hold.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::content::{Content, ask, blob, populate, push_more};
use super::{Served, image, push_manifest};
use crate::support::dialog::Answer;
use crate::support::image::Image;
use crate::support::peers::need;
use crate::support::registry::{Options, Registry};
use crate::support::site::digest;
use crate::support::skopeo::Skopeo;

const PEERS: &[&str] = &["docker-registry", "setpriv", "skopeo"];
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
        200 => digest(&answer.body),
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
    for target in &content.targets {
        for method in ["HEAD", "GET"] {
            let (wanted, found) = (ask(one, method, target), ask(other, method, target));
            assert_eq!(
                shown(target, &found),
                shown(target, &wanted),
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
fn g9_both_take_pushes_in_turn_over_one_folder() {
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

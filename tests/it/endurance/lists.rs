//! Lists without end: paged through while they change, none lost and none twice, and no more memory than a page.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tempfile::TempDir;

use super::Backend;
use crate::support::dialog::Dialog;
use crate::support::figures::rounds;
use crate::support::peers::need;
use crate::support::program::Program;
use crate::support::registry::{Options, Registry};
use crate::support::site::digest;

/// As many as there are in the largest registries that people have told of.
const MOST: usize = 100_000;

/// What a list may cost beyond what the process has anyway, in MiB.
const COST: u64 = 64;

const MANIFEST: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// A folder with a manifest in it under this name.
fn tag(repository: &Path, name: &str) {
    let name_of = digest(MANIFEST.as_bytes());
    let current = repository
        .join("_manifests/tags")
        .join(name)
        .join("current");
    fs::create_dir_all(&current).unwrap();
    fs::write(current.join("link"), name_of).unwrap();
}

/// The folder that all repositories are below.
fn repositories(root: &Path) -> std::path::PathBuf {
    root.join("docker/registry/v2/repositories")
}

/// A folder in memory, where there is such a thing: a disk takes minutes to make and remove so many.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let mut name = tempfile::Builder::new();
    name.prefix("dockgate-lists-");
    name.tempdir_in(memory).or_else(|_| name.tempdir()).unwrap()
}

fn start(backend: &Backend) -> Program {
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[log]\naccess = false\n\
         [[rule]]\nwho = [\"anonymous\"]\nrepositories = [\"**\"]\nactions = [\"*\"]\n{}",
        backend.toml()
    );
    Program::start(&toml)
}

fn peak(program: &Program) -> u64 {
    program.memory("VmHWM") / 1024
}

/// All names of a list, page by page, as a client follows the links.
fn follow(program: &Program, first: &str, key: &str, most: usize) -> Vec<String> {
    let mut dialog = Dialog::tcp(program.address(0));
    let mut next = Some(first.to_owned());
    let mut all = Vec::new();
    while let Some(target) = next.take() {
        let answer = dialog.get(&target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.head);
        assert!(
            answer.body.len() < 1 << 20,
            "{target}: {}",
            answer.body.len()
        );
        let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let names = document[key].as_array().unwrap();
        all.extend(names.iter().map(|name| name.as_str().unwrap().to_owned()));
        assert!(all.len() <= most, "it does not end: {target}");
        next = answer.header("link").map(|link| {
            let (target, _) = link.trim_start_matches('<').split_once('>').unwrap();
            target.to_owned()
        });
    }
    all
}

/// Those that stood still are there once each, in order, and what came and went at most once.
#[track_caller]
fn is_whole(found: &[String], stood: &[String]) {
    assert!(found.is_sorted(), "it is out of order");
    let twice = found.windows(2).find(|pair| pair[0] == pair[1]);
    assert!(twice.is_none(), "{twice:?}");
    let found: std::collections::HashSet<_> = found.iter().collect();
    let lost: Vec<_> = stood.iter().filter(|name| !found.contains(name)).collect();
    assert!(
        lost.is_empty(),
        "{} are lost: {:?}",
        lost.len(),
        lost.first()
    );
}

/// Tags that others push and delete, until it is over.
fn come_and_go(
    program: &Program,
    target: impl Fn(usize) -> String,
    goes: bool,
    over: &AtomicBool,
) -> usize {
    let mut dialog = Dialog::tcp(program.address(0));
    let kind = [("Content-Type", "application/vnd.oci.image.index.v1+json")];
    let mut changes = 0;
    while !over.load(Ordering::Relaxed) {
        let target = target(changes);
        let put = dialog.ask("PUT", &target, &kind, MANIFEST.as_bytes());
        assert_eq!(put.status, 201, "{}{}", put.head, put.text());
        if goes && changes.is_multiple_of(2) {
            let gone = dialog.ask("DELETE", &target, &[], b"");
            assert_eq!(gone.status, 202, "{}{}", gone.head, gone.text());
        }
        changes += 1;
    }
    changes
}

/// Pages through both lists while others change them.
#[track_caller]
fn pages(backend: &Backend, root: &Path, tags: usize, names: usize) {
    let program = start(backend);
    let kind = [("Content-Type", "application/vnd.oci.image.index.v1+json")];
    let mut dialog = Dialog::tcp(program.address(0));
    for repository in ["big", "other"] {
        let target = format!("/v2/{repository}/manifests/zzz");
        let put = dialog.ask("PUT", &target, &kind, MANIFEST.as_bytes());
        assert_eq!(put.status, 201, "{}{}", put.head, put.text());
    }
    let big = repositories(root).join("big");
    let tag_names: Vec<String> = (0..tags).map(|n| format!("v{n:06}")).collect();
    for name in &tag_names {
        tag(&big, name);
    }
    // Some in each of many folders, as teams have them.
    let all: Vec<String> = (0..names)
        .map(|n| format!("t{:03}/r{n:06}", n / 200))
        .collect();
    for name in &all {
        fs::create_dir_all(repositories(root).join(name).join("_layers")).unwrap();
    }
    let before = peak(&program);
    // registry:2 deletes no tags.
    let goes = matches!(backend, Backend::Folder(_));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (over, program) = (&over, &program);
        let changing = scope.spawn(move || {
            come_and_go(
                program,
                |n| match n % 4 {
                    0 | 1 => format!("/v2/big/manifests/v{:06}x", n * 997 % tags),
                    _ => format!("/v2/t{:03}/new{n}/manifests/1", n * 7 % 50),
                },
                goes,
                over,
            )
        });
        let listed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let most = 2 * (tags + names) + 10_000;
            let found = follow(program, "/v2/big/tags/list?n=1000", "tags", most);
            is_whole(&found, &tag_names);
            let found = follow(program, "/v2/_catalog?n=1000", "repositories", most);
            is_whole(&found, &all);
        }));
        over.store(true, Ordering::Relaxed);
        let changes = changing.join().unwrap();
        assert!(changes > 10, "nothing changed meanwhile: {changes}");
        listed.unwrap_or_else(|fault| std::panic::resume_unwind(fault));
    });
    // A client that asks for everything at once gets a page.
    for target in [
        "/v2/_catalog?n=1000000000",
        "/v2/_catalog",
        "/v2/big/tags/list?n=1000000000",
    ] {
        let answer = dialog.get(target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.head);
        assert!(
            answer.body.len() < 1 << 20,
            "{target}: {}",
            answer.body.len()
        );
    }
    let cost = peak(&program) - before;
    assert!(
        cost < COST,
        "{cost} MiB for {tags} tags and {names} repositories"
    );
}

#[test]
fn g4_n42_lists_of_a_hundred_thousand_are_paged_whole_while_they_change_in_the_embedded_registry() {
    let count = rounds(20_000).min(MOST);
    let dir = folder();
    pages(
        &Backend::Folder(dir.path().to_path_buf()),
        dir.path(),
        count,
        count,
    );
}

#[test]
fn g4_n42_long_lists_are_paged_whole_while_they_change_in_front_of_a_registry() {
    if !need(&["docker-registry"]) {
        return;
    }
    let dir = folder();
    let registry = Registry::start_with(&Options {
        storage: Some(dir.path()),
        ..Options::default()
    });
    // It walks all of its folders for each page of its catalog.
    let count = rounds(2000).min(MOST);
    pages(&Backend::Upstream(registry), dir.path(), 10 * count, count);
}

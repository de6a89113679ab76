//! A disk that is full or read-only: a clear answer, nothing acknowledged, the old state as it was, and work
//! as before once it is well again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{Random, Served, begin, closing, image, place, push_blob, push_manifest, put_manifest};
use crate::support::dialog::Answer;
use crate::support::figures::{FAULTS, WRITES, tell};
use crate::support::peers::skip;
use crate::support::site::digest;

/// A file system of its own, in memory.
struct Mount(TempDir);

impl Mount {
    /// `None` where nobody may mount.
    fn new(options: &str) -> Option<Self> {
        let dir = TempDir::with_prefix("dockgate-disk-").unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(dir.path())
            .output();
        if !mounted.is_ok_and(|done| done.status.success()) {
            skip("a file system cannot be mounted");
            return None;
        }
        Some(Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    #[track_caller]
    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let done = Command::new("mount")
            .args(["-o", &options])
            .arg(self.path())
            .status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: what is still open in it keeps nobody waiting.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// An answer that says clearly that it is our fault, in JSON.
#[track_caller]
pub fn is_ours(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}{}", answer.head, answer.text());
    assert_eq!(
        answer.header("content-type"),
        Some("application/json; charset=utf-8"),
        "{}",
        answer.head
    );
    let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(document["errors"][0]["code"].is_string(), "{document}");
    assert!(
        !answer.text().contains("docker/registry"),
        "no path of ours is told: {document}"
    );
}

/// What was acknowledged, by target.
#[derive(Default)]
pub struct Ledger(pub BTreeMap<String, Vec<u8>>);

impl Ledger {
    #[track_caller]
    pub fn is_served_by(&self, served: &Served) {
        for (target, content) in &self.0 {
            let answer = served.ask("GET", target);
            assert_eq!(
                answer.status,
                200,
                "{target}: {}{}",
                answer.head,
                answer.text()
            );
            assert!(&answer.body == content, "{target}");
        }
    }
}

impl Ledger {
    /// What the disk does not give now is told, and nothing else is given in its place.
    #[track_caller]
    pub fn is_served_or_fails(&self, served: &Served) {
        for (target, content) in &self.0 {
            let answer = served.ask("GET", target);
            if answer.status == 200 {
                assert!(&answer.body == content, "{target}");
            } else {
                is_ours(&answer, 500);
            }
        }
    }
}

/// One way to push a blob each; the answer that decides, which is the first that is no success.
pub fn try_blob(served: &Served, way: usize, content: &[u8]) -> Answer {
    let name = digest(content);
    if way == 0 {
        let single = format!("/v2/a/blobs/uploads/?digest={name}");
        return served.send("POST", &single, &[], content);
    }
    let begun = served.ask("POST", "/v2/a/blobs/uploads/");
    if begun.status != 202 {
        return begun;
    }
    let path = place(&begun);
    if way == 1 {
        return served.send("PUT", &closing(&path, &name), &[], content);
    }
    let added = served.send("PATCH", &path, &[], content);
    if added.status != 202 {
        return added;
    }
    served.send("PUT", &closing(&path, &name), &[], b"")
}

/// Pushes until there is no room in any way that there is; what was acknowledged on the way.
fn fill(served: &Served, random: &mut Random, ledger: &mut Ledger) {
    for size in [900_000, 40_000, 1] {
        let mut refused = 0;
        while refused < 3 {
            let content = random.bytes(size + refused);
            let answer = try_blob(served, refused, &content);
            if answer.status == 201 {
                ledger
                    .0
                    .insert(format!("/v2/a/blobs/{}", digest(&content)), content);
            } else {
                is_ours(&answer, 507);
                refused += 1;
            }
        }
    }
}

#[test]
fn g7_n55_a_full_disk_is_told_and_nothing_is_lost_and_then_all_is_well() {
    let Some(mount) = Mount::new("size=8m") else {
        return;
    };
    let root = mount.path().join("root");
    let served = Served::start(&root);
    let mut random = Random(6);
    let mut ledger = Ledger::default();
    let config = random.bytes(100);
    let blobs = [(digest(&config), config.len())];
    push_blob(served.address, "a", &digest(&config), &config);
    let text = image(&blobs, 1);
    push_manifest(served.address, "a", "tag", &text);
    ledger
        .0
        .insert("/v2/a/manifests/tag".into(), text.into_bytes());
    let path = begin(served.address, "a");
    assert_eq!(served.send("PATCH", &path, &[], &config).status, 202);
    fs::write(mount.path().join("filler"), vec![0; 3 << 20]).unwrap();

    fill(&served, &mut random, &mut ledger);
    // What is left is taken by others.
    while fs::write(
        mount.path().join(format!("rest{}", random.next())),
        vec![0; 4096],
    )
    .is_ok()
    {}
    let other = image(&blobs, 2);
    for reference in ["tag", "new", &digest(other.as_bytes())] {
        is_ours(&put_manifest(served.address, "a", reference, &other), 507);
    }
    is_ours(&served.ask("POST", "/v2/a/blobs/uploads/"), 507);
    is_ours(
        &served.send("PATCH", &path, &[], &random.bytes(100_000)),
        507,
    );
    let mount_other = format!("/v2/other/blobs/uploads/?mount={}&from=a", blobs[0].0);
    is_ours(&served.ask("POST", &mount_other), 507);
    ledger.is_served_by(&served);
    assert_eq!(served.ask("GET", "/v2/a/manifests/new").status, 404);
    assert_eq!(
        served
            .ask("GET", &format!("/v2/other/blobs/{}", blobs[0].0))
            .status,
        404
    );
    served
        .program
        .err_line("no space is left for docker/registry/v2/");

    fs::remove_file(mount.path().join("filler")).unwrap();
    for (number, size) in [900_000, 40_000, 1].into_iter().enumerate() {
        let content = random.bytes(size);
        assert_eq!(try_blob(&served, number, &content).status, 201);
        ledger
            .0
            .insert(format!("/v2/a/blobs/{}", digest(&content)), content);
    }
    push_manifest(served.address, "a", "tag", &other);
    ledger
        .0
        .insert("/v2/a/manifests/tag".into(), other.into_bytes());
    // The upload of before goes on where it was acknowledged.
    let put = served.send("PUT", &closing(&path, &digest(&config)), &[], b"");
    assert_eq!(put.status, 201, "{}", put.head);
    served.stop();
    let served = Served::start(&root);
    ledger.is_served_by(&served);
    served.stop();
    tell(FAULTS, 14);
    tell(WRITES, ledger.0.len());
}

#[test]
fn g7_n54_a_disk_that_is_read_only_serves_and_takes_nothing() {
    let Some(mount) = Mount::new("size=8m") else {
        return;
    };
    let served = Served::start(mount.path());
    let mut ledger = Ledger::default();
    let content = Random(7).bytes(100_000);
    let name = digest(&content);
    push_blob(served.address, "a", &name, &content);
    ledger
        .0
        .insert(format!("/v2/a/blobs/{name}"), content.clone());
    let text = image(&[(name.clone(), content.len())], 1);
    push_manifest(served.address, "a", "tag", &text);
    ledger
        .0
        .insert("/v2/a/manifests/tag".into(), text.into_bytes());
    let path = begin(served.address, "a");

    mount.remount("ro");
    for way in 0..2 {
        is_ours(&try_blob(&served, way, b"other"), 500);
    }
    is_ours(&served.send("PATCH", &path, &[], b"other"), 500);
    is_ours(
        &put_manifest(
            served.address,
            "a",
            "tag",
            &image(&[(name, content.len())], 2),
        ),
        500,
    );
    is_ours(&served.ask("DELETE", "/v2/a/manifests/tag"), 500);
    ledger.is_served_by(&served);
    let second = Served::start(mount.path());
    ledger.is_served_by(&second);
    second.stop();

    mount.remount("rw");
    assert_eq!(served.send("PATCH", &path, &[], b"other").status, 202);
    let put = served.send("PUT", &closing(&path, &digest(b"other")), &[], b"");
    assert_eq!(put.status, 201, "{}", put.head);
    ledger.is_served_by(&served);
    served.stop();
    tell(FAULTS, 5);
}

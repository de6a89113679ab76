//! Damaged content: no answer but 404 or 500, the file named in the log, and never the bytes of another file.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Random, Served, image, push_blob, push_manifest};
use crate::support::dialog::{Answer, Dialog};
use crate::support::figures::{FAULTS, tell};
use crate::support::peers::need;
use crate::support::site::digest;

/// A volume with one image under a tag, and something outside of it that is nobody's business.
struct Volume {
    dir: TempDir,
    blob: String,
    content: Vec<u8>,
    manifest: String,
    other: String,
}

impl Volume {
    fn new() -> Self {
        let dir = TempDir::with_prefix("dockgate-damaged-").unwrap();
        let content = Random(5).bytes(200_000);
        let blob = digest(&content);
        let served = Served::start(&dir.path().join("root"));
        push_blob(served.address, "a", &blob, &content);
        let blobs = [(blob.clone(), content.len())];
        let manifest = push_manifest(served.address, "a", "tag", &image(&blobs, 1));
        let other = push_manifest(served.address, "b", "other", &{
            push_blob(served.address, "b", &blob, &content);
            image(&blobs, 2)
        });
        served.stop();
        fs::write(dir.path().join("outside"), "sha256:secret").unwrap();
        Self {
            dir,
            blob,
            content,
            manifest,
            other,
        }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn below(&self, path: &str) -> PathBuf {
        self.root().join("docker/registry/v2").join(path)
    }

    fn data(&self, name: &str) -> PathBuf {
        let hex = name.strip_prefix("sha256:").unwrap();
        self.below(&format!("blobs/sha256/{}/{hex}/data", &hex[..2]))
    }

    fn link(&self, folder: &str, name: &str) -> PathBuf {
        let hex = name.strip_prefix("sha256:").unwrap();
        self.below(&format!("repositories/a/{folder}/sha256/{hex}/link"))
    }
}

/// Its name, and how it is made.
type Stranger = (&'static str, Box<dyn Fn()>);

/// What stands in place of a file.
fn strangers(volume: &Volume, at: &Path) -> Vec<Stranger> {
    let outside = volume.dir.path().join("outside");
    // Relative, so that it leads nowhere out of the store.
    let base = volume.below("");
    let up: PathBuf = at
        .strip_prefix(&base)
        .unwrap()
        .iter()
        .skip(1)
        .map(|_| "..")
        .collect();
    let other = up.join(volume.data(&volume.other).strip_prefix(&base).unwrap());
    let at = at.to_path_buf();
    let make = |program: &'static str, arguments: &'static [&'static str]| {
        let at = at.clone();
        Box::new(move || {
            let made = Command::new(program).arg(&at).args(arguments).status();
            assert!(made.unwrap().success());
        })
    };
    let link = |to: PathBuf| {
        let at = at.clone();
        Box::new(move || symlink(&to, &at).unwrap())
    };
    let folder = at.clone();
    vec![
        ("nothing", Box::new(|| {})),
        (
            "a folder",
            Box::new(move || fs::create_dir(&folder).unwrap()),
        ),
        ("a fifo", make("mkfifo", &[])),
        ("a device", device(&at)),
        ("a link out of the store", link(outside)),
        ("a link to another file of the store", link(other)),
        ("a link to nothing", link("nowhere".into())),
    ]
}

/// `/dev/zero` has bytes without end. Where nobody may make a device it is a socket, which has none.
fn device(at: &Path) -> Box<dyn Fn()> {
    let at = at.to_path_buf();
    Box::new(move || {
        let made = Command::new("mknod")
            .arg(&at)
            .args(["c", "1", "5"])
            .output();
        if !made.is_ok_and(|made| made.status.success()) {
            drop(std::os::unix::net::UnixListener::bind(&at).unwrap());
        }
    })
}

#[track_caller]
fn is_refused(served: &Served, answer: &Answer, what: &str) {
    assert!(
        matches!(answer.status, 404 | 500),
        "{what}: {}{}",
        answer.head,
        answer.text()
    );
    let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(
        document["errors"][0]["code"].is_string(),
        "{what}: {document}"
    );
    assert!(!answer.text().contains("secret"), "{what}");
    if answer.status == 500 {
        served.program.err_line("docker/registry/v2/");
    }
}

#[test]
fn g6_what_is_no_file_is_not_served() {
    let volume = Volume::new();
    let (blob, manifest) = (volume.blob.clone(), volume.manifest.clone());
    let layer = volume.link("_layers", &blob);
    let revision = volume.link("_manifests/revisions", &manifest);
    let tag = volume.below("repositories/a/_manifests/tags/tag/current/link");
    let by_digest = format!("/v2/a/manifests/{manifest}");
    for (file, target) in [
        (volume.data(&blob), format!("/v2/a/blobs/{blob}")),
        (layer, format!("/v2/a/blobs/{blob}")),
        (volume.data(&manifest), by_digest.clone()),
        (revision, by_digest),
        (tag, "/v2/a/manifests/tag".to_owned()),
    ] {
        let aside = volume.dir.path().join("aside");
        fs::rename(&file, &aside).unwrap();
        for (what, make) in strangers(&volume, &file) {
            make();
            // Anew each time: what was read before is not asked for again.
            let served = Served::start(&volume.root());
            let what = format!("{what} for {}", file.display());
            is_refused(&served, &served.ask("GET", &target), &what);
            assert!(
                matches!(served.ask("HEAD", &target).status, 404 | 500),
                "{what}"
            );
            served.kill();
            tell(FAULTS, 1);
            match file.symlink_metadata() {
                Ok(facts) if facts.is_dir() => fs::remove_dir(&file).unwrap(),
                Ok(_) => fs::remove_file(&file).unwrap(),
                Err(_) => {}
            }
        }
        fs::rename(&aside, &file).unwrap();
    }
    let served = Served::start(&volume.root());
    let whole = served.ask("GET", &format!("/v2/a/blobs/{blob}"));
    assert!(whole.body == volume.content);
    assert_eq!(served.ask("GET", "/v2/a/manifests/tag").status, 200);
}

#[test]
fn g6_n57_a_manifest_of_other_bytes_is_not_served_and_its_file_is_named() {
    let volume = Volume::new();
    let file = volume.data(&volume.manifest);
    let right = fs::read(&file).unwrap();
    let other = fs::read(volume.data(&volume.other)).unwrap();
    let mut flipped = right.clone();
    flipped[10] ^= 1;
    for bytes in [&right[..right.len() / 2], b"", &flipped, &other] {
        fs::write(&file, bytes).unwrap();
        let served = Served::start(&volume.root());
        for reference in ["tag", &volume.manifest] {
            let answer = served.ask("GET", &format!("/v2/a/manifests/{reference}"));
            assert_eq!(answer.status, 500, "{}", answer.head);
            is_refused(&served, &answer, "other bytes");
        }
        let name = volume.manifest.strip_prefix("sha256:").unwrap();
        served.program.err_line(&format!("{name}/data"));
        // Whoever pushes it again mends it.
        let text = String::from_utf8(right.clone()).unwrap();
        push_manifest(served.address, "a", "tag", &text);
        let mended = served.ask("GET", "/v2/a/manifests/tag");
        assert!(mended.status == 200 && mended.body == right);
        served.kill();
    }
}

#[test]
fn g6_a_link_that_says_something_else_leads_nowhere() {
    let volume = Volume::new();
    let layer = volume.link("_layers", &volume.blob);
    let revision = volume.link("_manifests/revisions", &volume.manifest);
    let long = "sha256:".repeat(1000);
    let served = Served::start(&volume.root());
    for text in [
        "",
        "sha256:",
        &volume.other,
        "../../../../outside",
        &long,
        "\0\0\0",
    ] {
        fs::write(&layer, text).unwrap();
        fs::write(&revision, text).unwrap();
        for target in [
            format!("/v2/a/blobs/{}", volume.blob),
            format!("/v2/a/manifests/{}", volume.manifest),
            "/v2/a/manifests/tag".to_owned(),
        ] {
            let answer = served.ask("GET", &target);
            is_refused(&served, &answer, &format!("{text:.40} for {target}"));
        }
    }
}

#[test]
fn g6_a_blob_that_is_too_short_is_never_taken_for_whole_by_who_pushes_it_again() {
    let volume = Volume::new();
    let file = volume.data(&volume.blob);
    fs::write(&file, &volume.content[..100_000]).unwrap();
    let served = Served::start(&volume.root());
    let target = format!("/v2/a/blobs/{}", volume.blob);
    let short = served.ask("GET", &target);
    // Nobody knows its length but who has its manifest: it is told as it is, and every client sees it by the digest.
    assert!(short.status == 200 && short.body == volume.content[..100_000]);
    push_blob(served.address, "a", &volume.blob, &volume.content);
    assert!(served.ask("GET", &target).body == volume.content);
}

#[test]
fn g6_with_verify_other_bytes_of_the_same_length_never_look_whole() {
    let volume = Volume::new();
    let file = volume.data(&volume.blob);
    let target = format!("/v2/a/blobs/{}", volume.blob);
    let root = volume.root();
    let toml = format!(
        "[registry]\nverify = true\n[registry.filesystem]\nrootdirectory = \"{}\"\n",
        root.display()
    );
    let served = Served::start_with(&[], &toml);
    assert!(served.ask("GET", &target).body == volume.content);
    let length = volume.content.len();
    for at in [0, length / 2, length - 1] {
        let mut other = volume.content.clone();
        other[at] ^= 1;
        fs::write(&file, &other).unwrap();
        let mut dialog = Dialog::tcp(served.address);
        dialog.request("GET", &target, &[], b"").unwrap();
        let (status, _) = dialog.head().unwrap();
        assert_eq!(
            status, 200,
            "the head is on its way before the last byte is seen"
        );
        let answer = dialog.take(length);
        assert!(answer.is_err(), "byte {at} is another, and all of it came");
    }
    let name = volume.blob.strip_prefix("sha256:").unwrap();
    served.program.err_line(&format!(
        "{name}/data in the store is damaged: its bytes are not those that its name says"
    ));
    fs::write(&file, &volume.content).unwrap();
    assert!(served.ask("GET", &target).body == volume.content);
    tell(FAULTS, 3);
}

#[test]
fn g6_g7_n54_bytes_that_cannot_be_read_end_the_answer_and_are_named() {
    if !need(&["strace"]) {
        return;
    }
    let volume = Volume::new();
    let (blob, manifest) = (volume.data(&volume.blob), volume.data(&volume.manifest));
    let strace = [
        "strace",
        "-D",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-P",
        blob.to_str().unwrap(),
        "-P",
        manifest.to_str().unwrap(),
        "-e",
        "trace=pread64,preadv2",
        "-e",
        "inject=pread64,preadv2:error=EIO",
    ];
    let served = Served::start_under(&strace, &volume.root());
    let manifest = served.ask("GET", "/v2/a/manifests/tag");
    is_refused(&served, &manifest, "EIO");
    assert_eq!(
        manifest.status, 500,
        "a file that cannot be read is not a file that is not there"
    );
    let hex = volume.manifest.strip_prefix("sha256:").unwrap();
    served.program.err_line(&format!("{hex}/data"));
    // The head may be on its way when the disk fails: then the answer breaks off.
    let mut dialog = Dialog::tcp(served.address);
    dialog
        .request("GET", &format!("/v2/a/blobs/{}", volume.blob), &[], b"")
        .unwrap();
    let answer = dialog.answer("GET");
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 500));
    let hex = volume.blob.strip_prefix("sha256:").unwrap();
    served.program.err_line(&format!("{hex}/data"));
}

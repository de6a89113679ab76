//! A power cut at the moment of every answer, on the strictest file system that POSIX allows: bytes survive once their
//! file was synced after them, and a name once its folder was synced after it was made, moved or removed.
//!
//! The system calls of the real program are replayed into a model of such a disk; when an answer goes out that
//! acknowledges something, what it acknowledges must survive; and wherever the power goes, no content is there by half.
#![expect(clippy::print_stdout, reason = "figures for who reads along")]

use std::fs;

use tempfile::TempDir;

use super::disk::{Claim, replay};
use super::{IMAGE, Random, Served, begin, closing, descriptor, image, put_manifest, sha512};
use crate::support::dialog::Answer;
use crate::support::figures::{POWER_CUTS, WRITES, tell};
use crate::support::peers::need;
use crate::support::site::digest;

const CALLS: &str = "trace=open,openat,openat2,write,writev,pwrite64,pwritev,pwritev2,ftruncate,fsync,fdatasync,\
                     mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,sendto,sendmsg";

/// Asks for everything that is acknowledged, and notes what each answer promises.
struct Client<'a> {
    served: &'a Served,
    claims: Vec<Vec<Claim>>,
}

fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap()
}

fn data(name: &str, length: usize) -> Claim {
    let (algorithm, hex) = split(name);
    let path = format!("blobs/{algorithm}/{}/{hex}/data", &hex[..2]);
    Claim::Stands(path, Some(length as u64))
}

fn link_path(repository: &str, folder: &str, name: &str) -> String {
    let (algorithm, hex) = split(name);
    format!("repositories/{repository}/{folder}/{algorithm}/{hex}/link")
}

fn link(repository: &str, folder: &str, name: &str) -> Claim {
    Claim::Stands(link_path(repository, folder, name), Some(71))
}

impl Client<'_> {
    #[track_caller]
    fn acknowledged(&mut self, answer: &Answer, status: u16, claims: Vec<Claim>) {
        assert_eq!(answer.status, status, "{}{}", answer.head, answer.text());
        self.claims.push(claims);
    }

    /// The path of an upload, and its folder.
    fn begin(&mut self, repository: &str) -> (String, String) {
        let path = begin(self.served.address, repository);
        let id = path.rsplit('/').next().unwrap();
        let folder = format!("repositories/{repository}/_uploads/{id}");
        let stands = |name: &str, length| Claim::Stands(format!("{folder}/{name}"), length);
        self.claims.push(vec![
            stands("startedat", Some(20)),
            stands("data", Some(0)),
            stands("dockgate-state", None),
        ]);
        (path, folder)
    }

    fn blobs(&mut self, repository: &str, random: &mut Random) -> Vec<(String, usize)> {
        let single = random.bytes(70_000);
        let one = digest(&single);
        let target = format!("/v2/{repository}/blobs/uploads/?digest={one}");
        let answer = self.served.send("POST", &target, &[], &single);
        self.acknowledged(
            &answer,
            201,
            vec![data(&one, 70_000), link(repository, "_layers", &one)],
        );

        let content = random.bytes(3_000_000);
        let two = digest(&content);
        let (path, folder) = self.begin(repository);
        for end in [1_200_000, 2_500_000] {
            let start = if end == 1_200_000 { 0 } else { 1_200_000 };
            let answer = self.served.send("PATCH", &path, &[], &content[start..end]);
            let stands = Claim::Stands(format!("{folder}/data"), Some(end as u64));
            let state = Claim::Stands(format!("{folder}/dockgate-state"), None);
            self.acknowledged(&answer, 202, vec![stands, state]);
        }
        let answer = self
            .served
            .send("PUT", &closing(&path, &two), &[], &content[2_500_000..]);
        self.acknowledged(
            &answer,
            201,
            vec![data(&two, 3_000_000), link(repository, "_layers", &two)],
        );

        // The same bytes again, by their other name, in another repository.
        let (path, _) = self.begin("other");
        let answer = self
            .served
            .send("PUT", &closing(&path, &sha512(&content)), &[], &content);
        let claims = vec![
            data(&two, 3_000_000),
            link("other", "_layers", &two),
            link("other", "_layers", &sha512(&content)),
        ];
        self.acknowledged(&answer, 201, claims);
        let mount =
            format!("/v2/mounted/{repository}/blobs/uploads/?mount={one}&from={repository}");
        let answer = self.served.ask("POST", &mount);
        let mounted = link(&format!("mounted/{repository}"), "_layers", &one);
        self.acknowledged(&answer, 201, vec![mounted]);
        vec![(one, 70_000), (two, 3_000_000)]
    }

    fn manifest(
        &mut self,
        repository: &str,
        reference: &str,
        text: &str,
        mut more: Vec<Claim>,
    ) -> String {
        let answer = put_manifest(self.served.address, repository, reference, text);
        let name = digest(text.as_bytes());
        more.extend([
            data(&name, text.len()),
            link(repository, "_manifests/revisions", &name),
        ]);
        if !reference.contains(':') {
            let tag = format!("_manifests/tags/{reference}");
            more.push(link(repository, &format!("{tag}/index"), &name));
            let current = format!("repositories/{repository}/{tag}/current/link");
            more.push(Claim::Stands(current, Some(71)));
        }
        self.acknowledged(&answer, 201, more);
        name
    }

    #[track_caller]
    fn delete(&mut self, target: &str, status: u16, gone: String) {
        let answer = self.served.ask("DELETE", target);
        self.acknowledged(&answer, status, vec![Claim::Gone(gone)]);
    }

    /// Every way to have something acknowledged.
    fn everything(&mut self, repository: &str, seed: u64) {
        let blobs = self.blobs(repository, &mut Random(seed));
        let old = self.manifest(repository, "tag", &image(&blobs, seed), vec![]);
        let text = image(&blobs, seed + 1);
        let new = self.manifest(repository, "tag", &text, vec![]);
        self.manifest(repository, "other", &text, vec![]);
        let mut signature: serde_json::Value =
            serde_json::from_str(&image(&blobs, seed + 2)).unwrap();
        signature["subject"] = descriptor(IMAGE, &new, text.len());
        let signature = signature.to_string();
        let name = digest(signature.as_bytes());
        let (_, subject) = split(&new);
        let referrer = link(
            repository,
            &format!("_manifests/referrers/sha256/{subject}"),
            &name,
        );
        self.manifest(repository, &name, &signature, vec![referrer]);

        let base = format!("/v2/{repository}");
        let tags = format!("repositories/{repository}/_manifests/tags");
        self.delete(
            &format!("{base}/manifests/other"),
            202,
            format!("{tags}/other"),
        );
        let revision = |name| link_path(repository, "_manifests/revisions", name);
        self.delete(&format!("{base}/manifests/{old}"), 202, revision(&old));
        self.delete(
            &format!("{base}/manifests/{new}"),
            202,
            format!("{tags}/tag"),
        );
        let (blob, _) = &blobs[0];
        self.delete(
            &format!("{base}/blobs/{blob}"),
            202,
            link_path(repository, "_layers", blob),
        );
        let (path, folder) = self.begin(repository);
        self.delete(&path, 204, folder);
    }
}

#[test]
fn g8_n53_no_answer_promises_what_a_power_cut_would_take() {
    if !need(&["strace"]) {
        return;
    }
    let ground = TempDir::with_prefix("dockgate-power-").unwrap();
    let (log, root) = (
        ground.path().join("log"),
        ground.path().join("srv/registry"),
    );
    let strace = [
        "strace",
        "-D",
        "-f",
        "-y",
        "-s",
        "256",
        "-e",
        CALLS,
        "-o",
        log.to_str().unwrap(),
    ];
    let served = Served::start_under(&strace, &root);
    let mut client = Client {
        served: &served,
        claims: Vec::new(),
    };
    // Into folders that are made for it, and then into such as are there.
    client.everything("a", 10);
    client.everything("a", 20);
    client.everything("b/c", 10);
    let claims = client.claims;
    served.stop();
    let log = fs::read(log).unwrap();
    let base = root.join("docker/registry/v2");
    let replayed = replay(
        &String::from_utf8_lossy(&log),
        ground.path(),
        &base,
        &claims,
    );
    println!(
        "{} answers, {} promises, {} cuts",
        claims.len(),
        claims.iter().flatten().count(),
        replayed.cuts
    );
    assert!(replayed.faults.is_empty(), "{:#?}", replayed.faults);
    assert!(replayed.cuts > 2 * claims.len(), "{}", replayed.cuts);
    tell(POWER_CUTS, replayed.cuts);
    tell(WRITES, claims.len());
}

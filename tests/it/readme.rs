//! What the documents say can be done: their configurations load, their links lead somewhere, the first steps work.

use std::fs;
use std::path::{Path, PathBuf};

use dockgate::config::Config;

use crate::support::docker::{self, Docker};
use crate::support::gate::Gate;
use crate::support::image::Image;
use crate::support::passwords;
use crate::support::peers::need_clients;
use crate::support::registry::Registry;

fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// All documents for readers, with their text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut folders = vec![house(), house().join("docs")];
    folders.extend(crate::support::examples::folders());
    let entries = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// What stands between lines that begin with `begin` and `end`.
fn blocks(text: &str, begin: &str, end: &str) -> Vec<String> {
    let pieces = text.split(begin).skip(1);
    pieces
        .map(|piece| piece.split_once(end).unwrap().0.to_owned())
        .collect()
}

#[test]
fn every_configuration_in_the_documents_loads() {
    let mut loaded = 0;
    for (path, text) in documents() {
        let here = blocks(&text, "<<'TOML'\n", "\nTOML\n");
        for toml in here.into_iter().chain(blocks(&text, "```toml\n", "```")) {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("proxy.toml");
            fs::write(&file, &toml).unwrap();
            Config::load(Some(&file), &[])
                .unwrap_or_else(|faults| panic!("{}: {faults}\n{toml}", path.display()));
            loaded += 1;
        }
    }
    assert_eq!(loaded, 15);
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let mut followed = 0;
    for (path, text) in documents() {
        let from = path.parent().unwrap();
        for link in blocks(&text, "](", ")") {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                from.join(file)
            };
            assert!(target.exists(), "{}: {link} leads nowhere", path.display());
            if !anchor.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let headings: Vec<String> = text
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .map(anchor_of)
                    .collect();
                assert!(
                    headings.iter().any(|heading| heading == anchor),
                    "{}: no heading for {link}",
                    path.display()
                );
            }
            followed += 1;
        }
    }
    assert!(followed > 30, "only {followed} links");
}

/// How a heading is called in links.
fn anchor_of(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The ten lines of the README: a certificate of the gate's own making, and docker on the same machine.
#[test]
fn docker_logs_in_and_pushes_to_a_gate_that_was_just_unpacked() {
    let peers = [docker::PROGRAMS, &["docker-registry", "htpasswd"]].concat();
    if !need_clients(&peers) {
        return;
    }
    let readme = fs::read_to_string(house().join("README.md")).unwrap();
    let toml = blocks(&readme, "<<'TOML'\n", "\nTOML\n").remove(0);
    let registry = Registry::start();
    let url = "\"http://localhost:5000\"";
    assert!(toml.contains(url), "{toml}");
    let toml = toml.replace(url, &format!("\"{}\"", registry.url()));
    // The one line more: the port that everybody has may be taken here.
    let gate = Gate::start_with(
        &format!("[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\n{toml}"),
        |folder| passwords::write(&folder.join("htpasswd"), "alice", "secret"),
    );
    let host = format!("localhost:{}", gate.address().port());
    let image = format!("{host}/hello-world");
    let docker = Docker::new();
    docker.import(&Image::unique().root_tar(), &image);
    docker
        .run(&["push", &image])
        .fails_saying("no basic auth credentials", "not without a login");
    docker
        .run(&["login", "-u", "alice", "-p", "secret", &host])
        .succeeds("docker logs in, without being told of the CA");
    docker.run(&["push", &image]).succeeds("and pushes");
    assert!(
        registry
            .storage()
            .join("docker/registry/v2/repositories/hello-world")
            .is_dir()
    );
}

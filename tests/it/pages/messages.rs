//! The messages of `docs/troubleshooting.md`, held to the code and to the clients; and the reasons of `docs/security.md`.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use regex::bytes;

use crate::support::peers::need;

use super::house;

/// The clients whose words the page has.
const CLIENTS: &[&str] = &["docker", "podman", "skopeo", "curl"];

/// All production code, with its strings in one line.
fn source(folder: &Path) -> String {
    let mut text = String::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().unwrap() != "tests" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let code = fs::read_to_string(path).unwrap();
                text += code.split("#[cfg(test)]\nmod tests {").next().unwrap();
            }
        }
    }
    let goes_on = Regex::new("\\\\\n *").unwrap();
    goes_on.replace_all(&text, "").into_owned()
}

/// A string of the code as it is printed.
fn printed(text: &str) -> String {
    text.replace("\\\"", "\"")
        .replace("{{", "{")
        .replace("}}", "}")
}

/// The first cells of the page's tables.
fn cells() -> Vec<(usize, String)> {
    let text = fs::read_to_string(house().join("docs/troubleshooting.md")).unwrap();
    let rows = (1..).zip(text.lines());
    rows.filter(|(_, line)| line.starts_with("| ") && line.contains('`'))
        .map(|(number, line)| (number, line[2..].split(" | ").next().unwrap().to_owned()))
        .collect()
}

/// What of a message is the same each time: without what stands for something, `...` or a word in capitals.
fn fixed(message: &str) -> Vec<String> {
    let message = message.strip_prefix("reason=").unwrap_or(message);
    let stands = Regex::new(r"\b(?:FILE|LINE|COLUMN|N|A|B)\b").unwrap();
    let message = stands.replace_all(message, "...");
    message
        .split("...")
        .map(|piece| piece.trim_matches([' ', ':']).to_owned())
        .filter(|piece| piece.chars().any(char::is_alphabetic))
        .collect()
}

#[test]
fn every_message_is_one_of_ours_or_of_the_client_that_it_names() {
    if !need(CLIENTS) {
        return;
    }
    let ours = printed(&source(&house().join("src")));
    let client =
        Regex::new(r"^ \(((?:docker|podman|skopeo|curl)(?:, (?:docker|podman|skopeo|curl))*)\)")
            .unwrap();
    let mut found = (0, 0);
    for (line, cell) in cells() {
        let mut pieces = cell.split('`').skip(1);
        while let Some(message) = pieces.next() {
            let after = pieces.next().unwrap_or_default();
            // What is a value and no message: a status, a protocol, an end.
            if matches!(message, "413" | "EOF" | "https://") {
                continue;
            }
            if let Some(clients) = client.captures(after) {
                for client in clients[1].split(", ") {
                    assert!(
                        said_by(client, message),
                        "docs/troubleshooting.md:{line}: {client} does not say {message:?}"
                    );
                    found.1 += 1;
                }
                continue;
            }
            let parts = fixed(message);
            assert!(
                !parts.is_empty(),
                "docs/troubleshooting.md:{line}: {message:?}"
            );
            for part in parts {
                assert!(
                    ours.contains(&part),
                    "docs/troubleshooting.md:{line}: nothing in src says {part:?}"
                );
                found.0 += 1;
            }
        }
    }
    assert!(found.0 > 60 && found.1 > 15, "only {found:?}");
}

/// Whether the program has these words in it.
fn said_by(client: &str, message: &str) -> bool {
    // What docker says of registries its daemon says.
    let programs = match client {
        "docker" => vec!["dockerd", "docker"],
        // curl takes the words of the system.
        "curl" => return message == "connection refused",
        other => vec![other],
    };
    programs.into_iter().any(|program| {
        let bytes = fs::read(path_of(program)).unwrap();
        let words = bytes::Regex::new(&regex::escape(message)).unwrap();
        words.is_match(&bytes)
    })
}

fn path_of(program: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap();
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into))
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .unwrap()
}

#[test]
fn every_warning_and_error_of_the_log_is_explained() {
    let ours = source(&house().join("src"));
    let page = fs::read_to_string(house().join("docs/troubleshooting.md")).unwrap();
    let macros = Regex::new(r#"\b(?:warn|error)!\((?:[^"]|"(?:[^"\\]|\\.)*")*?\);"#).unwrap();
    let strings = Regex::new(r#""((?:[^"\\]|\\.){12,})""#).unwrap();
    let value = Regex::new(r"\{[^}]*\}").unwrap();
    let mut explained = 0;
    for call in macros.find_iter(&ours) {
        let Some(message) = strings.captures_iter(call.as_str()).last() else {
            continue;
        };
        let message = printed(&value.replace_all(&message[1], "..."));
        for part in fixed(&message) {
            assert!(
                page.contains(&part),
                "docs/troubleshooting.md does not explain {part:?}"
            );
            explained += 1;
        }
    }
    assert!(explained > 12, "only {explained}");
}

#[test]
fn every_reason_of_the_access_log_is_listed() {
    let page = fs::read_to_string(house().join("docs/security.md")).unwrap();
    let listed: BTreeSet<&str> = page.split('`').skip(1).step_by(2).collect();
    let code = Regex::new(r#""([a-z]+(?:_[a-z]+)*)""#).unwrap();
    let mut reasons = BTreeSet::new();
    for file in ["answer.rs", "embedded.rs"] {
        let text = fs::read_to_string(house().join("src/error").join(file)).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap().to_owned();
        reasons.extend(code.captures_iter(&text).map(|found| found[1].to_owned()));
    }
    assert!(reasons.len() > 25, "{reasons:?}");
    for reason in reasons {
        assert!(
            listed.contains(reason.as_str()),
            "docs/security.md does not list {reason}"
        );
    }
}

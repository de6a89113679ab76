//! What the pages say beside their commands: configurations load, links lead somewhere, settings and options exist.

use std::fs;

use dockgate::config::Config;

use crate::support::process;

use super::page::Page;
use super::{found, house};

#[test]
fn every_configuration_in_the_pages_loads() {
    let mut loaded = 0;
    for path in found() {
        let page = Page::read(&house(), &path);
        let shown = page.blocks("toml").map(|block| block.text.clone());
        let made = page
            .blocks("sh")
            .flat_map(|block| between(&block.text, "<<'TOML'\n", "\nTOML\n"));
        for toml in shown.chain(made) {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("proxy.toml");
            fs::write(&file, &toml).unwrap();
            Config::load(Some(&file), &[])
                .unwrap_or_else(|faults| panic!("{}: {faults}\n{toml}", path.display()));
            loaded += 1;
        }
    }
    assert!(loaded > 12, "only {loaded} configurations");
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let mut followed = 0;
    for page in found() {
        let path = house().join(&page);
        let text = fs::read_to_string(&path).unwrap();
        let from = path.parent().unwrap();
        for link in between(&text, "](", ")") {
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

/// What stands between the two, each time.
fn between(text: &str, begin: &str, end: &str) -> Vec<String> {
    let pieces = text.split(begin).skip(1);
    pieces
        .map(|piece| piece.split_once(end).unwrap().0.to_owned())
        .collect()
}

#[test]
fn every_command_of_dockgate_in_the_text_is_one_that_it_knows() {
    let mut tried = 0;
    for path in found() {
        for (line, span) in Page::read(&house(), &path).spans {
            let Some(arguments) = span.strip_prefix("dockgate ") else {
                continue;
            };
            if let Some(unknown) = unknown_to_dockgate(arguments) {
                panic!(
                    "{}:{line}: `{span}`: {unknown} is not known",
                    path.display()
                );
            }
            tried += 1;
        }
    }
    assert!(tried > 10, "only {tried} commands");
    assert!(unknown_to_dockgate("no-such-command").is_some());
    assert!(unknown_to_dockgate("health --no-such-option").is_some());
}

/// The first word of a command line that its help does not have.
fn unknown_to_dockgate(arguments: &str) -> Option<String> {
    let plain = arguments.replace(['[', ']'], "");
    let words: Vec<&str> = plain.split_whitespace().collect();
    let is_command = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let commands: Vec<&str> = words
        .iter()
        .take_while(is_command)
        .take_while(|word| !word.starts_with('-'))
        .copied()
        .collect();
    let mut help = help(&[]);
    for (depth, command) in commands.iter().enumerate() {
        let listed = help
            .lines()
            .any(|line| line.trim_start().split(' ').next() == Some(command));
        if !listed {
            // A word of its own, such as the action of `explain`, where there are no further commands.
            if depth > 0 && !help.contains("Commands:") {
                break;
            }
            return Some((*command).to_owned());
        }
        help = self::help(&commands[..=depth]);
    }
    let options = words.iter().filter(|word| word.starts_with("--"));
    options
        .map(|word| word.split('=').next().unwrap_or_default())
        .find(|option| !help.contains(option))
        .map(ToOwned::to_owned)
}

fn help(commands: &[&str]) -> String {
    let mut dockgate = crate::support::program::dockgate();
    let outcome = process::run(dockgate.args(commands).arg("--help"));
    format!("{}{}", outcome.stdout, outcome.stderr)
}

#[test]
fn json_and_yaml_in_the_pages_are_well_formed() {
    let mut read = 0;
    for path in found() {
        let page = Page::read(&house(), &path);
        for block in page.blocks("json") {
            let place = format!("{}:{}", path.display(), block.line);
            serde_json::from_str::<serde_json::Value>(&block.text)
                .unwrap_or_else(|fault| panic!("{place}: {fault}"));
            read += 1;
        }
        for block in page.blocks("yaml") {
            let place = format!("{}:{}", path.display(), block.line);
            for event in saphyr_parser::Parser::new_from_str(&block.text) {
                event.unwrap_or_else(|fault| panic!("{place}: {fault}"));
            }
            read += 1;
        }
    }
    assert!(read > 2, "only {read} blocks");
}

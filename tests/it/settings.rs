//! `docs/configuration.md` against the code: each default, each word, each bound that it tells is the one in force.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dockgate::config::{Config, Faults, Loaded};
use regex::Regex;

/// One setting as its row tells it.
struct Row {
    key: String,
    default: String,
    meaning: String,
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string("docs/configuration.md").unwrap();
    text.lines()
        .filter(|line| line.starts_with("| `") && line.matches(" | ").count() >= 2)
        .map(|line| {
            let line = line.trim_start_matches("| ").trim_end_matches(" |");
            let mut cells = line.splitn(3, " | ").map(str::to_owned);
            Row {
                key: cells.next().unwrap().trim_matches('`').to_owned(),
                default: cells.next().unwrap(),
                meaning: cells.next().unwrap(),
            }
        })
        .collect()
}

/// A configuration in which the setting means something.
fn around(key: &str) -> String {
    let backend = match key.split('.').collect::<Vec<_>>()[..] {
        ["registry", "s3", _] => {
            "[registry]\nstorage = \"s3\"\n[registry.s3]\nbucket = \"images\"\nregion = \"here\"\n"
        }
        ["registry", "azure", ..] => {
            "[registry]\nstorage = \"azure\"\n[registry.azure]\naccountname = \"images\"\ncontainer = \"images\"\n"
        }
        ["registry", "gcs", _] => {
            "[registry]\nstorage = \"gcs\"\n[registry.gcs]\nbucket = \"images\"\n"
        }
        ["registry", ..] => "[registry]\n",
        // What accepts terms is a yes, whose default is only allowed where there is nothing to accept.
        ["acme", "accept_terms"] => "",
        ["acme", ..] => "[acme]\nnames = [\"registry.example.com\"]\naccept_terms = true\n",
        _ => "[upstream]\nurl = \"http://localhost:5000\"\n",
    };
    let listener = match key.split('.').collect::<Vec<_>>()[..] {
        ["listener", "tls", ..] => "[[listener]]\n[listener.tls]\n",
        ["listener", _] => "[[listener]]\n",
        _ => "",
    };
    format!("{backend}{listener}")
}

/// That configuration, with this value for the setting.
fn with(key: &str, value: Option<&str>) -> Result<Loaded, Faults> {
    let name = format!("DOCKGATE_{}", key.replace('.', "_").to_ascii_uppercase());
    let environment: Vec<_> = value
        .map(|value| (name, value.to_owned()))
        .into_iter()
        .collect();
    Config::parse(&around(key), Path::new("/etc/dockgate"), &environment)
}

/// What is said against this value of the setting, if it is about this setting.
fn said_against(key: &str, value: &str) -> Option<String> {
    let faults = with(key, Some(value)).err()?;
    let name = format!("DOCKGATE_{}: ", key.replace('.', "_").to_ascii_uppercase());
    let line = faults.lines().iter().find(|line| line.starts_with(&name))?;
    Some(line.clone())
}

/// A default that is written as a value, as it stands in the environment.
fn literal(cell: &str) -> Option<String> {
    let inner = cell.strip_prefix('`')?.strip_suffix('`')?;
    if inner.contains('`') {
        return None;
    }
    Some(inner.trim_matches('"').trim_matches(['[', ']']).to_owned())
}

/// What stands in double quotes between backticks: the words that may be written.
fn words(text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2);
    spans
        .filter_map(|span| span.strip_prefix('"')?.strip_suffix('"'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_documented_default_is_what_goes_without_saying() {
    let mut tried = 0;
    for Row { key, default, .. } in rows() {
        let Some(value) = literal(&default) else {
            continue;
        };
        let unsaid = with(&key, None).unwrap_or_else(|faults| panic!("{key}: {faults}"));
        let said = with(&key, Some(&value)).unwrap_or_else(|faults| panic!("{key}: {faults}"));
        assert_eq!(unsaid.config, said.config, "{key} = {value}");
        tried += 1;
    }
    assert!(tried > 35, "only {tried} defaults");
}

/// `proxy.toml` is held to the code elsewhere; a default that it has is one that the page has.
#[test]
fn every_default_is_documented() {
    let rows: BTreeMap<_, _> = rows()
        .into_iter()
        .map(|row| (row.key, row.default))
        .collect();
    let mut table = String::new();
    let mut compared = 0;
    for line in fs::read_to_string("proxy.toml").unwrap().lines() {
        let written = line.trim_start_matches("#: ").trim_start_matches('#');
        if written.starts_with('[') {
            written.trim_matches(['[', ']']).clone_into(&mut table);
        }
        let Some((key, value)) = line
            .strip_prefix('#')
            .and_then(|line| line.split_once(" = "))
        else {
            continue;
        };
        if !key
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            || key == "key" && table.is_empty()
        {
            continue;
        }
        let path = [&table, key].into_iter().filter(|part| !part.is_empty());
        let path = path.map(ToOwned::to_owned).collect::<Vec<_>>().join(".");
        assert_eq!(rows[&path], format!("`{value}`"), "{path}");
        compared += 1;
    }
    assert!(compared > 30, "only {compared} defaults");
}

#[test]
fn what_is_needed_is_missed_when_it_is_not_there_and_nothing_else_is() {
    let mut needed = 0;
    for Row { key, default, .. } in rows() {
        let Some((table, name)) = key.rsplit_once('.') else {
            continue;
        };
        // An entry that says nothing, where the setting is one of an entry.
        let empty = match table {
            "rule" => "[[rule]]\n",
            "listener.tls.certificates" => "[[listener.tls.certificates]]\n",
            _ => "",
        };
        let text: String = around(&key)
            .lines()
            .filter(|line| !line.starts_with(&format!("{name} = ")))
            .fold(String::new(), |text, line| text + line + "\n");
        let missed = Config::parse(&format!("{text}{empty}"), Path::new("/"), &[]).is_err();
        assert_eq!(missed, default.starts_with("needed"), "{key}: {default}");
        needed += usize::from(missed);
    }
    assert!(needed > 8, "only {needed} settings");
}

#[test]
fn the_words_of_a_setting_are_the_documented_ones() {
    let mut tried = 0;
    for Row { key, meaning, .. } in rows() {
        let Some(said) = said_against(&key, "no-such-word") else {
            continue;
        };
        let Some((_, allowed)) = said
            .split_once("allowed: ")
            .filter(|(_, allowed)| allowed.starts_with('"'))
        else {
            continue;
        };
        let mut allowed: Vec<&str> = allowed.split('"').skip(1).step_by(2).collect();
        allowed.sort_unstable();
        let mut documented = words(&meaning);
        documented.sort_unstable();
        documented.dedup();
        assert_eq!(documented, allowed, "{key}");
        tried += 1;
    }
    assert!(tried > 9, "only {tried} settings");
}

/// A number as the page writes it: `8 KiB`, `65536`, `1h`, `30 days`.
fn number(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        // Sizes are told in bytes, waits in milliseconds.
        "" | "ms" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" | "days" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// `A to B` in a text.
fn range(text: &str) -> Option<(u64, u64)> {
    let amount = "([0-9]+(?: ?(?:KiB|MiB|GiB|ms|s|m|h|days|d))?)";
    let range = Regex::new(&format!("{amount}[`\"]* to [`\"]*{amount}\\b")).unwrap();
    let found = range.captures(text)?;
    Some((number(&found[1])?, number(&found[2])?))
}

#[test]
fn the_bounds_of_a_setting_are_the_documented_ones() {
    let mut tried = 0;
    for Row { key, meaning, .. } in rows() {
        let bounds = ["0", "99999999999999999"].iter().find_map(|value| {
            let said = said_against(&key, value)?;
            let (_, allowed) = said.split_once("allowed: ")?;
            let (least, most) = allowed.split_once(" to ")?;
            Some((
                least.parse::<u64>().ok()?,
                most.split(' ').next()?.parse::<u64>().ok()?,
            ))
        });
        let Some((least, most)) = bounds else {
            continue;
        };
        // No other bound than that of the numbers themselves.
        if (least, most) == (1, u64::MAX) {
            continue;
        }
        assert_eq!(range(&meaning), Some((least, most)), "{key}: {meaning}");
        tried += 1;
    }
    assert!(tried > 5, "only {tried} settings");
}

#[test]
fn the_bounds_of_a_wait_are_the_documented_ones() {
    let mut tried = 0;
    for Row {
        key,
        meaning,
        default,
    } in rows()
    {
        let is_wait =
            said_against(&key, "7").is_some_and(|said| said.contains("has no unit; write \"7s\""));
        if !is_wait {
            continue;
        }
        let month = 30 * 24 * 3_600_000;
        let zero = said_against(&key, "0s").is_none();
        // What is said of all waits: more than nothing, a month at most.
        let (least, most) = range(&meaning).unwrap_or((u64::from(!zero), month));
        let refused = |wait: u64| said_against(&key, &format!("{wait}ms"));
        assert_eq!(refused(least), None, "{key}");
        assert_eq!(refused(most), None, "{key}");
        assert!(
            refused(most + 1).is_some(),
            "{key} may be longer than {most} ms"
        );
        if zero {
            assert!(meaning.contains("`\"0s\"`"), "{key} may be nothing");
        } else {
            assert!(
                refused(least - 1).is_some(),
                "{key} may be shorter than {least} ms"
            );
        }
        assert!(literal(&default).is_some(), "{key}: {default}");
        tried += 1;
    }
    assert!(tried > 6, "only {tried} waits");
}

#[test]
fn the_defaults_that_other_pages_tell_are_the_same() {
    let defaults: BTreeMap<_, _> = rows()
        .into_iter()
        .map(|row| (row.key, row.default))
        .collect();
    let told = Regex::new(r"`([a-z_]+\.[a-z_.]+)`, ([0-9]+(?: ?(?:KiB|MiB|s))?)").unwrap();
    let page = fs::read_to_string("docs/limits.md").unwrap();
    let mut compared = 0;
    for found in told.captures_iter(&page) {
        let default = literal(&defaults[&found[1]]).unwrap();
        assert_eq!(number(&found[2]), number(&default), "{}", &found[0]);
        compared += 1;
    }
    assert!(compared > 5, "only {compared} defaults");
}

//! What holds of every configuration, ours and registry:2's.

use std::path::Path;

use super::source::Variables;
use super::{Config, Faults, Loaded};
use super::{distribution, finished};

/// A `proxy.toml`.
pub(crate) fn toml(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let read = || Config::parse(text, Path::new("/etc/dockgate"), &[]);
        told(&read(), &read());
    }
}

/// A `config.yml`; behind a line of `---` stand variables.
pub(crate) fn distribution(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (text, variables) = text.split_once("\n---\n").unwrap_or((text, ""));
    let environment: Vec<(String, String)> = variables
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let read = || {
        let mut variables = Variables::new();
        let name = "config.yml";
        let found = distribution::apply(Some((name, text)), &environment, &mut variables);
        finished(name, &variables, found, false)
    };
    told(&read(), &read());
}

/// The same text means the same, and whatever is told of it is told in lines.
fn told(one: &Result<Loaded, Faults>, other: &Result<Loaded, Faults>) {
    assert_eq!(one, other);
    let lines = match one {
        Ok(loaded) => {
            assert!(!loaded.config.listeners.is_empty());
            [&loaded.warnings[..], &loaded.notes].concat()
        }
        Err(faults) => {
            assert!(!faults.lines().is_empty());
            faults.lines().to_vec()
        }
    };
    for line in lines {
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

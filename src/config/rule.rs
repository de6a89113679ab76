//! `[[rule]]`: who may do what where.

use super::fault::{Place, nearest};
use super::section::Section;
use super::source::shown;
use super::types::{Rule, RuleAction, Who};
use super::value::choose;

const WHO: &str =
    "\"anonymous\", \"authenticated\", \"user:NAME\", \"group:NAME\" or \"cert:PATTERN\"";

const ACTIONS: [(&str, RuleAction); 5] = [
    ("pull", RuleAction::Pull),
    ("push", RuleAction::Push),
    ("delete", RuleAction::Delete),
    ("catalog", RuleAction::Catalog),
    ("*", RuleAction::All),
];

/// One rule; `None` after a fault.
pub(super) fn read(section: &Section<'_>) -> Option<Rule> {
    let faults = section.source.fault_count();
    let clean = || section.source.fault_count() == faults;
    let who = items(section, "who", who);
    let repositories = items(section, "repositories", repository);
    let actions = items(section, "actions", |text| choose(text, &ACTIONS));
    if !clean() {
        return None;
    }
    let lists = actions.iter().all(|action| *action == RuleAction::Catalog);
    // A rule of the environment has no line; it is called by one of its variables.
    let home = match section.place("") {
        Place::Whole => ["who", "repositories", "actions"]
            .into_iter()
            .find(|key| section.has(key))
            .map_or(Place::Whole, |key| section.place(key)),
        place => place,
    };
    if home == Place::Whole {
        // The environment speaks of another rule alone.
        return None;
    }
    let lacks = |key, text: String| {
        let place = if section.has(key) {
            section.place(key)
        } else {
            home.clone()
        };
        section.item_fault(key, place, text);
    };
    if who.is_empty() {
        lacks("who", format!("names nobody; write who = [...] with {WHO}"));
    }
    if actions.is_empty() {
        let text = "allows nothing; write actions = [\"pull\"], or \"push\", \"delete\", \"catalog\", \"*\"";
        lacks("actions", text.to_owned());
    } else if repositories.is_empty() && !lists {
        let text = "names no repository; write repositories = [\"team/**\"], or [\"**\"] for all";
        lacks("repositories", text.to_owned());
    }
    clean().then(|| Rule {
        who,
        repositories,
        actions,
        place: match home {
            Place::Whole => "configuration".to_owned(),
            Place::Line(line) => format!("line {line}"),
            Place::Variable(name) => name,
        },
    })
}

fn items<T>(
    section: &Section<'_>,
    key: &'static str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut found = Vec::new();
    for (text, place) in section.list(key) {
        match read(&text) {
            Ok(item) => found.push(item),
            Err(fault) => section.item_fault(key, place, fault),
        }
    }
    found
}

fn who(text: &str) -> Result<Who, String> {
    let unknown = || {
        let meant = nearest(text, ["anonymous", "authenticated"]);
        let meant = meant.map_or_else(String::new, |word| format!("did you mean {word:?}? "));
        format!("{} is nobody; {meant}allowed: {WHO}", shown(text))
    };
    let (kind, name) = match text {
        "anonymous" => return Ok(Who::Anonymous),
        "authenticated" => return Ok(Who::Authenticated),
        text => text.split_once(':').ok_or_else(unknown)?,
    };
    if name.is_empty() || name.trim() != name || name.chars().any(char::is_control) {
        return Err(format!("{} names nobody behind the colon", shown(text)));
    }
    match kind {
        "user" | "group" if name == "*" => Err(format!(
            "{} would be the one called \"*\"; for everybody who is logged in write \"authenticated\"",
            shown(text)
        )),
        "user" if name.contains(':') => Err(format!(
            "{}: a user name has no colon (RFC 7617 section 2)",
            shown(text)
        )),
        "user" => Ok(Who::User(name.to_owned())),
        "group" => Ok(Who::Group(name.to_owned())),
        "cert" => Ok(Who::Certificate(name.to_owned())),
        _ => Err(unknown()),
    }
}

/// A pattern that some repository name can be like.
fn repository(text: &str) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("{} {why}", shown(text)));
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-*".contains(&b);
    if text.len() > 255 {
        return wrong("is longer than 255 characters, and so than every repository name");
    }
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return wrong("has capitals, and repository names have none; write it in lower case");
    }
    if text.bytes().any(|b| !letter(b) && b != b'/') {
        return wrong(
            "has characters that no repository name has; neither tag nor host belongs here",
        );
    }
    if text.split('/').any(str::is_empty) {
        return wrong(
            "begins or ends with a slash, or has two in a row; write \"team/**\" for what lies below team",
        );
    }
    if text
        .split('/')
        .any(|part| part.contains("**") && part != "**")
    {
        return wrong(
            "has ** inside a part; it stands alone between slashes, as in \"team/**\" or \"**/app\"",
        );
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_patterns_that_some_name_can_be_like_are_taken() {
        for fine in ["**", "*", "a/b", "team/**", "**/app", "a-*/b_*.c"] {
            assert!(repository(fine).is_ok(), "{fine}");
        }
        for wrong in [
            "A",
            "/a",
            "a/",
            "a//b",
            "a**",
            "a/b**/c",
            "a:1",
            "host:5000/a",
            "a b",
            "a?",
            "[a]",
            "ü",
            "a@b",
        ] {
            assert!(repository(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn everybody_is_called_by_a_word_and_others_by_a_kind_and_a_name() {
        assert_eq!(who("anonymous"), Ok(Who::Anonymous));
        assert_eq!(who("user:a b@c"), Ok(Who::User("a b@c".into())));
        assert_eq!(who("group:ci"), Ok(Who::Group("ci".into())));
        assert_eq!(
            who("cert:spiffe://x/*"),
            Ok(Who::Certificate("spiffe://x/*".into()))
        );
        for wrong in [
            "",
            "alice",
            "user:",
            "user: a",
            "users:a",
            "user:*",
            "group:*",
            "cert:",
            "Anonymous",
            "user:a\n",
        ] {
            assert!(who(wrong).is_err(), "{wrong}");
        }
        assert!(
            who("anonymus")
                .unwrap_err()
                .contains("did you mean \"anonymous\"")
        );
    }
}

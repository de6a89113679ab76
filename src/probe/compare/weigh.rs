//! What differs between two answers, and whether a client of a registry will notice.

use super::facts::{Body, Facts, ORIGIN, short};
use super::steps::Step;

/// How much a difference matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// Clients act on it.
    Noticed,
    /// Nobody acts on it; the reason says why.
    Harmless,
}

/// One difference.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    /// The step.
    pub step: &'static str,
    /// Method and path.
    pub request: String,
    /// Of which part of the answer.
    pub part: String,
    /// What the old one says; `None`: nothing.
    pub old: Option<String>,
    /// What the new one says.
    pub new: Option<String>,
    /// How much it matters.
    pub weight: Weight,
    /// Why.
    pub why: &'static str,
}

/// Headers that no client of a registry acts on, and what they are.
const HARMLESS: [(&str, &str); 20] = [
    ("date", "the time of the answer"),
    ("server", "the name of the software"),
    ("x-request-id", "the id under which the request is in a log"),
    ("x-content-type-options", "for browsers"),
    ("x-frame-options", "for browsers"),
    ("content-security-policy", "for browsers"),
    ("cross-origin-resource-policy", "for browsers"),
    ("referrer-policy", "for browsers"),
    ("strict-transport-security", "for browsers"),
    ("alt-svc", "for browsers"),
    ("set-cookie", "clients of registries keep no cookies"),
    ("connection", "of the connection, not of the answer"),
    ("keep-alive", "of the connection, not of the answer"),
    ("transfer-encoding", "how the body is framed"),
    ("cache-control", "for caches; clients go by digests"),
    ("expires", "for caches; clients go by digests"),
    ("etag", "for caches; clients go by digests"),
    ("last-modified", "for caches; clients go by digests"),
    ("vary", "for caches; clients go by digests"),
    (
        "accept-ranges",
        "clients ask for a range and look at what comes",
    ),
];

const FOLLOWS: &str = "comes with the other status";
const ERROR_TEXT: &str = "what a person is shown of an error";
const FIRST_PROTOCOL: &str = "a ping of the first protocol: no client of today needs it";
const NO_SLASH: &str = "clients ask for /v2/ with its slash";
const NO_NAME: &str = "no client asks for a name that cannot be; it is refused either way";

/// All differences between two answers to a step.
pub(super) fn differences(step: &Step, old: &Facts, new: &Facts) -> Vec<Difference> {
    let mut found = Found {
        step,
        differences: Vec::new(),
    };
    let other_status = old.status != new.status;
    if other_status {
        let (weight, why) = status(step, old.status, new.status);
        let text = |status: u16| Some(status.to_string());
        found.note("status", text(old.status), text(new.status), weight, why);
    }
    let names = old.headers.keys().chain(new.headers.keys());
    let mut names: Vec<&String> = names.collect();
    names.sort();
    names.dedup();
    for name in names {
        let value = |facts: &Facts| facts.headers.get(name).cloned().unwrap_or_default();
        let (before, after) = (value(old), value(new));
        if before != after {
            let (mut weight, mut why) = header(name, &before, &after, new.status);
            if other_status && matches!(name.as_str(), "content-type" | "content-length" | "allow")
            {
                (weight, why) = (Weight::Harmless, FOLLOWS);
            }
            let text = |values: Vec<String>| (!values.is_empty()).then(|| values.join(" | "));
            found.note(name, text(before), text(after), weight, why);
        }
    }
    if old.cut != new.cut {
        let text = |cut| Some(if cut { "cut short" } else { "whole" }.to_owned());
        let (weight, why) = if new.cut {
            (Weight::Noticed, "the answer ends before its length")
        } else {
            (
                Weight::Harmless,
                "the old one announces more than it sends, the new one does not",
            )
        };
        found.note("end of the body", text(old.cut), text(new.cut), weight, why);
    }
    found.bodies(&old.body, &new.body, other_status, new.status);
    found.differences
}

/// One side has an answer and the other has none.
pub(super) fn silence(step: &Step, old: Result<u16, &str>, new: Result<u16, &str>) -> Difference {
    let text = |said: Result<u16, &str>| match said {
        Ok(status) => status.to_string(),
        Err(why) => format!("no answer: {why}"),
    };
    let mut found = Found {
        step,
        differences: Vec::new(),
    };
    let why = "one answers and the other does not";
    Difference {
        old: Some(text(old)),
        new: Some(text(new)),
        ..found.difference("answer", Weight::Noticed, why)
    }
}

struct Found<'a> {
    step: &'a Step,
    differences: Vec<Difference>,
}

impl Found<'_> {
    fn difference(&mut self, part: &str, weight: Weight, why: &'static str) -> Difference {
        Difference {
            step: self.step.name,
            request: format!("{} {}", self.step.method, self.step.path),
            part: part.to_owned(),
            old: None,
            new: None,
            weight,
            why,
        }
    }

    fn note(
        &mut self,
        part: &str,
        old: Option<String>,
        new: Option<String>,
        weight: Weight,
        why: &'static str,
    ) {
        let (weight, why) = if self.step.name == "ping/v2-no-slash" {
            (Weight::Harmless, NO_SLASH)
        } else {
            (weight, why)
        };
        let difference = self.difference(part, weight, why);
        self.differences.push(Difference {
            old,
            new,
            ..difference
        });
    }

    fn bodies(&mut self, old: &Body, new: &Body, other_status: bool, status: u16) {
        if old == new {
            return;
        }
        if let (
            Body::Error {
                codes,
                messages,
                details,
            },
            Body::Error {
                codes: new_codes,
                messages: new_messages,
                details: new_details,
            },
        ) = (old, new)
        {
            let code = if other_status {
                (Weight::Harmless, FOLLOWS)
            } else if is_no_name(self.step) {
                (Weight::Harmless, NO_NAME)
            } else {
                (Weight::Noticed, "clients act on the code of an error")
            };
            let text = (Weight::Harmless, ERROR_TEXT);
            for (part, old, new, (weight, why)) in [
                ("error code", codes, new_codes, code),
                ("error message", messages, new_messages, text),
                ("error detail", details, new_details, text),
            ] {
                if old != new {
                    self.note(part, Some(short(old)), Some(short(new)), weight, why);
                }
            }
            return;
        }
        let (weight, why) = if other_status {
            (Weight::Harmless, FOLLOWS)
        } else if status >= 400 {
            match (old, new) {
                (Body::Error { .. }, Body::Empty | Body::Text(_)) => (
                    Weight::Noticed,
                    "clients show the message of a JSON error, and of anything else its source",
                ),
                _ => (Weight::Harmless, ERROR_TEXT),
            }
        } else {
            match (old, new) {
                (Body::Json(_) | Body::Empty | Body::Text(_), _)
                    if self.step.name.starts_with("ping/") && self.step.name != "ping/v2" =>
                {
                    (Weight::Harmless, FIRST_PROTOCOL)
                }
                _ => (Weight::Noticed, "the content is another"),
            }
        };
        let (old, new) = (shown(old), shown(new));
        self.note("body", old, new, weight, why);
    }
}

fn shown(body: &Body) -> Option<String> {
    match body {
        Body::Empty => None,
        Body::Error {
            codes, messages, ..
        } => Some(short(&format!("{codes}: {messages}"))),
        Body::Json(value) => Some(short(&value.to_string())),
        Body::List(text) | Body::Text(text) => Some(text.clone()),
    }
}

fn is_no_name(step: &Step) -> bool {
    matches!(
        step.name,
        "unknown/bad-name" | "unknown/bad-digest" | "unknown/path"
    )
}

fn status(step: &Step, old: u16, new: u16) -> (Weight, &'static str) {
    let both_refuse = [old, new]
        .iter()
        .all(|status| matches!(status, 400 | 404 | 405));
    match step.name {
        "ping/ping" | "ping/v1-ping" if new == 200 => (Weight::Harmless, FIRST_PROTOCOL),
        _ if is_no_name(step) && both_refuse => (Weight::Harmless, NO_NAME),
        _ => (Weight::Noticed, "clients act on the status"),
    }
}

fn header(name: &str, old: &[String], new: &[String], status: u16) -> (Weight, &'static str) {
    if let Some((_, why)) = HARMLESS.iter().find(|(harmless, _)| *harmless == name) {
        return (Weight::Harmless, why);
    }
    let gained = old.is_empty();
    match name {
        "docker-distribution-api-version" if new.is_empty() => {
            (Weight::Noticed, "by it clients know a registry")
        }
        "docker-distribution-api-version" => (
            Weight::Harmless,
            "said once is what clients look for; more often does no harm",
        ),
        "www-authenticate" => challenge(old, new),
        "location" => location(old, new),
        "link" if gained => (
            Weight::Harmless,
            "pages, as the specification wants; who asked for one follows them",
        ),
        "link" if page(old) == page(new) => (
            Weight::Harmless,
            "the same next page, or that of a list that holds other things",
        ),
        "link" => (
            Weight::Noticed,
            "without the next page a list seems to end; or one of the two holds less",
        ),
        "content-type" if kind(old) == kind(new) => {
            (Weight::Harmless, "the same type; registries speak UTF-8")
        }
        "content-type" if status >= 400 && kind(new).contains("json") => (
            Weight::Harmless,
            "an error in JSON, whose message clients show",
        ),
        "content-type" if status >= 400 && !kind(old).contains("json") => {
            (Weight::Harmless, ERROR_TEXT)
        }
        "content-length" if status >= 400 => (Weight::Harmless, ERROR_TEXT),
        "allow" => (Weight::Harmless, "for people"),
        _ if name.starts_with("x-") => (
            Weight::Harmless,
            "of no standard: no client of a registry acts on it",
        ),
        _ => (Weight::Noticed, "clients may act on it"),
    }
}

fn kind(values: &[String]) -> String {
    let first = values.first().map(String::as_str).unwrap_or_default();
    let kind = first.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

fn challenge(old: &[String], new: &[String]) -> (Weight, &'static str) {
    let schemes = |lines: &[String]| -> Vec<String> {
        let first = |line: &String| {
            line.split(' ')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase()
        };
        lines.iter().map(first).collect()
    };
    let (before, after) = (schemes(old), schemes(new));
    if before == after && before == ["basic"] {
        return (
            Weight::Harmless,
            "the same question for a password; its words are for people",
        );
    }
    (Weight::Noticed, "by it clients decide how to log in")
}

fn location(old: &[String], new: &[String]) -> (Weight, &'static str) {
    let own = |values: &[String]| -> Option<String> {
        let [only] = values else { return None };
        let path = only.strip_prefix(ORIGIN).unwrap_or(only);
        (path.starts_with('/') && !path.starts_with("//")).then(|| path.to_owned())
    };
    let path = |location: &str| location.split('?').next().unwrap_or_default().to_owned();
    match (own(old), own(new)) {
        (Some(before), Some(after)) if before == after => {
            (Weight::Harmless, "the same place, with or without its host")
        }
        (Some(before), Some(after)) if path(&before) == path(&after) => (
            Weight::Harmless,
            "the same place; clients carry the query along as it is",
        ),
        (None, Some(_)) if !old.is_empty() => (
            Weight::Noticed,
            "the old one leads away from itself, the new one does not",
        ),
        (Some(_), None) if !new.is_empty() => (
            Weight::Noticed,
            "the new one leads clients away from itself",
        ),
        _ => (Weight::Noticed, "clients go on there"),
    }
}

/// The next page: its path, and the parameters in order. Where it begins depends on what the list holds.
fn page(values: &[String]) -> Option<(String, Vec<String>)> {
    let target = values.first()?.split(['<', '>']).nth(1)?;
    let target = target.strip_prefix(ORIGIN).unwrap_or(target);
    let (path, query) = target.split_once('?')?;
    let parameter = |text: &str| match text.split_once('=') {
        Some(("last", _)) => "last".to_owned(),
        _ => text.to_owned(),
    };
    let mut parameters: Vec<String> = query.split('&').map(parameter).collect();
    parameters.sort();
    Some((path.to_owned(), parameters))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(name: &str, old: &str, new: &str, status: u16) -> Weight {
        let values = |text: &str| -> Vec<String> {
            text.split('|')
                .filter(|v| !v.is_empty())
                .map(str::to_owned)
                .collect()
        };
        header(name, &values(old), &values(new), status).0
    }

    #[test]
    fn what_clients_act_on_is_noticed() {
        for (name, old, new) in [
            ("location", "ORIGIN/v2/x", "http://HOST/v2/x"),
            ("location", "ORIGIN/v2/x", "https://other/v2/x"),
            ("location", "ORIGIN/v2/x", ""),
            ("docker-distribution-api-version", "registry/2.0", ""),
            ("www-authenticate", "Basic realm=\"a\"", ""),
            (
                "www-authenticate",
                "Basic realm=\"a\"",
                "Bearer realm=\"ORIGIN/token\"",
            ),
            (
                "www-authenticate",
                "Basic realm=\"a\"",
                "Basic realm=\"a\"|Bearer realm=\"b\"",
            ),
            ("docker-content-digest", "LAYER", "OTHER"),
            ("content-type", "application/json", "text/html"),
            ("link", "</v2/_catalog?n=1&last=a>; rel=\"next\"", ""),
        ] {
            assert_eq!(
                weight(name, old, new, 200),
                Weight::Noticed,
                "{name}: {old} {new}"
            );
        }
    }

    #[test]
    fn what_nobody_acts_on_is_harmless() {
        for (name, old, new, status) in [
            ("date", "a", "b", 200),
            ("location", "ORIGIN/v2/x?_state=1", "/v2/x", 202),
            (
                "docker-distribution-api-version",
                "registry/2.0|registry/2.0",
                "registry/2.0",
                200,
            ),
            ("docker-distribution-api-version", "", "registry/2.0", 401),
            (
                "www-authenticate",
                "Basic realm=\"a\"",
                "Basic realm=\"b\", charset=\"UTF-8\"",
                401,
            ),
            (
                "content-type",
                "application/json",
                "application/json; charset=utf-8",
                200,
            ),
            ("content-type", "text/html", "application/json", 401),
            (
                "link",
                "<ORIGIN/v2/_catalog?last=a%2Fb&n=1>; rel=\"next\"",
                "</v2/_catalog?n=1&last=a/b>; rel=\"next\"",
                200,
            ),
            ("x-anything", "", "1", 200),
        ] {
            assert_eq!(
                weight(name, old, new, status),
                Weight::Harmless,
                "{name}: {old} {new}"
            );
        }
    }
}

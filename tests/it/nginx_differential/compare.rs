//! Two answers to the same request, and what of their difference is meant.

use regex::Regex;

use crate::support::exchange::Answer;

use super::fronts::{Front, Fronts};
use super::requests::{Step, authorization, steps};

/// A difference that is meant.
pub struct Wanted {
    /// The set-ups.
    pub fronts: &'static [&'static str],
    /// The steps; a `*` at one end stands for anything.
    pub steps: &'static [&'static str],
    /// The lines: `-` nginx alone says it, `+` dockgate alone does; `*` at the end stands for any rest.
    pub lines: &'static [&'static str],
    /// Why.
    pub why: &'static str,
}

impl Wanted {
    fn covers(&self, fronts: &str, step: &str, line: &str) -> bool {
        let one =
            |patterns: &[&str], text: &str| patterns.iter().any(|pattern| matches(pattern, text));
        self.fronts.contains(&fronts) && one(self.steps, step) && one(self.lines, line)
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        (Some(beginning), _) => text.starts_with(beginning),
        (None, Some(end)) => text.ends_with(end),
        (None, None) => text == pattern,
    }
}

/// What was found so far.
pub struct Comparison {
    meant: Vec<Meant>,
    faults: Vec<String>,
}

/// A difference that is meant, and what was found of it.
struct Meant {
    wanted: &'static Wanted,
    /// Every line of it has to be found.
    needed: bool,
    /// Which were.
    used: Vec<bool>,
}

impl Comparison {
    /// These differences have to be found.
    pub fn new(wanted: &'static [Wanted]) -> Self {
        let none = Self {
            meant: Vec::new(),
            faults: Vec::new(),
        };
        none.with(wanted, true)
    }

    /// These may be found too.
    pub fn allowing(self, wanted: &'static [Wanted]) -> Self {
        self.with(wanted, false)
    }

    fn with(mut self, wanted: &'static [Wanted], needed: bool) -> Self {
        self.meant.extend(wanted.iter().map(|wanted| Meant {
            wanted,
            needed,
            used: vec![false; wanted.lines.len()],
        }));
        self
    }

    /// Asks both everything.
    #[track_caller]
    pub fn run(&mut self, fronts: &Fronts) {
        let ends = [fronts.nginx(), fronts.gate()];
        let mut uploads = [None, None];
        let steps = steps();
        assert!(steps.len() > 100, "only {} requests", steps.len());
        for step in steps {
            let [nginx, gate] = [0, 1].map(|at| ask(&ends[at], &step, &mut uploads[at]));
            for line in differences(&nginx, &gate) {
                if !self.is_meant(fronts.name, step.name, &line) {
                    self.faults
                        .push(format!("{}: {}: {line}", fronts.name, step.name));
                }
            }
        }
    }

    fn is_meant(&mut self, fronts: &str, step: &str, line: &str) -> bool {
        let mut meant = false;
        for Meant { wanted, used, .. } in &mut self.meant {
            if wanted.covers(fronts, step, line) {
                meant = true;
                for (used, pattern) in used.iter_mut().zip(wanted.lines) {
                    *used |= matches(pattern, line);
                }
            }
        }
        meant
    }

    /// Fails with every difference that is not meant, and with every line of the table that means nothing.
    #[track_caller]
    pub fn end(mut self) {
        for Meant { wanted, used, .. } in self.meant.iter().filter(|meant| meant.needed) {
            assert!(!wanted.why.is_empty());
            for (line, _) in wanted.lines.iter().zip(used).filter(|(_, used)| !**used) {
                self.faults.push(format!(
                    "{:?}: nothing differs as {line:?} says",
                    wanted.steps
                ));
            }
        }
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
    }
}

/// The answer as lines that can be compared.
fn ask(front: &Front<'_>, step: &Step, upload: &mut Option<String>) -> Vec<String> {
    let mut request = step.request.clone();
    if request.target.contains("{upload}") {
        let upload = upload
            .as_deref()
            .unwrap_or_else(|| panic!("{}: {} began no upload", step.name, front.name));
        request.target = request.target.replace("{upload}", upload);
    }
    if let Some(value) = authorization(step.who).filter(|_| !front.wants_certificates()) {
        request.headers.push(("Authorization".into(), value));
    }
    let answer = front.wire(step.who).ask(&request);
    if let Some(location) = answer.header("location")
        && let Some(path) = location.find("/v2/")
    {
        let sign = if location.contains('?') { '&' } else { '?' };
        *upload = Some(format!("{}{sign}", &location[path..]));
    }
    lines(step, &answer, &front.address.to_string())
}

fn lines(step: &Step, answer: &Answer, address: &str) -> Vec<String> {
    let mut lines = vec![format!("status {}", answer.status)];
    for (name, value) in &answer.headers {
        let length = step.request.method != "HEAD" && *value == answer.body.len().to_string();
        // A length that is the body's says no more than the body.
        if name != "date" && !(name == "content-length" && length) {
            lines.push(masked(&format!("{name}: {value}"), address));
        }
    }
    let body = String::from_utf8_lossy(&answer.body);
    let body = body.replace('\r', "\\r").replace('\n', "\\n");
    lines.push(masked(&format!("body {body}"), address));
    lines
}

/// What is different each time, under one name.
fn masked(text: &str, address: &str) -> String {
    const MASKS: [(&str, &str); 4] = [
        ("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
        ("_state=[^&]*", "_state=STATE"),
        (r"\b[0-9a-f]{60}\b", "BOUNDARY"),
        (r#"(x-request-id: |"request":")[0-9a-f]{16}"#, "${1}ID"),
    ];
    let text = text.replace(address, "FRONT");
    MASKS.iter().fold(text, |text, (pattern, name)| {
        let pattern = Regex::new(pattern).unwrap();
        pattern.replace_all(&text, *name).into_owned()
    })
}

/// Lines of one alone, each as often as the other lacks it.
fn differences(nginx: &[String], gate: &[String]) -> Vec<String> {
    let mut left: Vec<&String> = gate.iter().collect();
    let mut found = Vec::new();
    for line in nginx {
        match left.iter().position(|other| other == &line) {
            Some(at) => {
                left.remove(at);
            }
            None => found.push(shown('-', line)),
        }
    }
    found.extend(left.into_iter().map(|line| shown('+', line)));
    found
}

fn shown(sign: char, line: &str) -> String {
    const MOST: usize = 300;
    let text: String = line.chars().take(MOST).collect();
    format!("{sign}{text}")
}

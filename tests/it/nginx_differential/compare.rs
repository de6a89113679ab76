//! Two answers to the same request, and what of their difference is meant.

use regex::Regex;

use crate::support::exchange::Answer;

use super::fronts::{Front, Fronts};
use super::requests::{Step, authorization, steps};

/// A difference that is meant.
pub struct Wanted {
    /// The steps, each by its name or by the beginning of it before a `*`.
    pub steps: &'static [&'static str],
    /// The lines: `-` nginx alone says it, `+` dockgate alone does; `*` at the end stands for any rest.
    pub lines: &'static [&'static str],
    /// Why.
    pub why: &'static str,
}

impl Wanted {
    fn covers(&self, step: &str, line: &str) -> bool {
        let one = |patterns: &[&str], text: &str| patterns.iter().any(|pattern| matches(pattern, text));
        one(self.steps, step) && one(self.lines, line)
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => text.starts_with(beginning),
        None => text == pattern,
    }
}

/// Asks both everything, and fails with every difference that no line of `tables` means, and with every line that
/// means nothing.
#[track_caller]
pub fn compare(fronts: &Fronts, tables: &[&[Wanted]]) {
    let wanted: Vec<&Wanted> = tables.iter().copied().flatten().collect();
    let mut used: Vec<Vec<bool>> = wanted.iter().map(|w| vec![false; w.lines.len()]).collect();
    let mut faults = Vec::new();
    let mut asked = 0;
    let ends = [fronts.nginx(), fronts.gate()];
    let mut uploads = [None, None];
    for step in steps() {
        let [nginx, gate] = [0, 1].map(|at| ask(&ends[at], &step, &mut uploads[at]));
        asked += 1;
        for line in differences(&nginx, &gate) {
            let mut meant = false;
            for (at, wanted) in wanted.iter().enumerate() {
                if !wanted.covers(step.name, &line) {
                    continue;
                }
                meant = true;
                for (used, pattern) in used[at].iter_mut().zip(wanted.lines) {
                    *used |= matches(pattern, &line);
                }
            }
            if !meant {
                faults.push(format!("{}: {line}", step.name));
            }
        }
    }
    for (wanted, used) in wanted.iter().zip(used) {
        for (line, used) in wanted.lines.iter().zip(used) {
            if !used {
                faults.push(format!("{:?}: nothing differs as {line:?} says", wanted.steps));
            }
        }
    }
    assert!(asked > 100, "only {asked} requests");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The answer as lines that can be compared.
fn ask(front: &Front<'_>, step: &Step, upload: &mut Option<String>) -> Vec<String> {
    let mut request = step.request.clone();
    if request.target.contains("{upload}") {
        let upload = upload.as_deref().unwrap_or_else(|| panic!("{}: {} began no upload", step.name, front.name));
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

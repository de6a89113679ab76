//! The lines that nothing asked for, and the result as text.

use std::fmt::Write as _;

use super::draft::{Draft, Prefix};
use super::known;
use super::location::{Kind, kind};
use super::report::{Entry, Fate, Report};
use super::tree::Directive;

/// Lines that never stand inside of `http`.
const MAIN: [&str; 4] = ["events", "stream", "mail", "http"];

/// The lines of the `http` block: those in it, and those of files that are made to be included into it.
pub(super) fn of_http(list: &[Directive]) -> Vec<&Directive> {
    let mut http = Vec::new();
    for directive in list {
        if directive.name == "http" {
            http.extend(directive.children());
        } else if !MAIN.contains(&directive.name.as_str()) {
            http.push(directive);
        }
    }
    http
}

/// Gives a fate to every line that has none.
pub(super) fn finish(list: &[Directive], report: &mut Report) {
    for line in list {
        match line.name.as_str() {
            "http" => {
                report.carried(line, "line by line, below");
                finish(line.children(), report);
            }
            "events" => report.rest(line, &Fate::NoEffect("is about nginx's processes".into())),
            "stream" | "mail" => aside(line, "is no HTTP; it stays with nginx", report),
            "types" => report.rest(
                line,
                &Fate::NoEffect("is about files that nginx serves itself".into()),
            ),
            "map" | "geo" | "split_clients" | "geoip2" | "match" => {
                report.rest(line, &variable(line));
            }
            "upstream" if !report.knows(line) => {
                report.rest(line, &Fate::NoEffect("is not the registry's".into()));
            }
            "server" if !report.knows(line) => aside(line, other_server(line), report),
            "location" if !report.knows(line) => location(line, report),
            _ => {
                if !report.knows(line) {
                    report.note(line, by_name(line));
                }
                finish(line.children(), report);
            }
        }
    }
}

/// A block that is not carried: one warning for all of it.
fn aside(block: &Directive, why: &str, report: &mut Report) {
    report.left(block, why);
    let below = Fate::NoEffect("belongs to the block around it, which is not carried".into());
    for child in block.children() {
        report.rest(child, &below);
    }
}

fn other_server(server: &Directive) -> &'static str {
    let redirects = |d: &Directive| {
        let away = |text: &str| text.starts_with('3') || text.starts_with("http");
        (d.name == "return" && away(d.arg(0))) || (d.name == "rewrite" && away(d.arg(1)))
    };
    let below = |d: &Directive| redirects(d) || d.children().iter().any(redirects);
    if server.children().iter().any(below) {
        "sends clients elsewhere; dockgate does not redirect, and no client of a registry needs it"
    } else {
        "is another site; dockgate serves the registry alone, and this stays with nginx"
    }
}

fn location(line: &Directive, report: &mut Report) {
    let path = match kind(line) {
        Kind::Exact(path) | Kind::Prefix(path, _) => path,
        Kind::Expression(_) | Kind::Named => "",
    };
    if matches!(path, "/_ping" | "/v1/_ping") {
        report.rest(
            line,
            &Fate::Same("answered by dockgate itself, to everybody".into()),
        );
    } else if matches!(path, "/v2" | "/v1" | "/v1/" | "/v1/search") {
        aside(
            line,
            "of the first protocol dockgate answers the pings and /v1/search, and /v2 as /v2/",
            report,
        );
    } else {
        aside(
            line,
            "is no path of the registry API; dockgate answers 404 there, and what it serves needs a name or an address of its own",
            report,
        );
    }
}

fn variable(line: &Directive) -> Fate {
    if line.arg(0).contains("docker_distribution_api_version") {
        return Fate::Same(
            "Docker-Distribution-Api-Version stands exactly once on every answer".into(),
        );
    }
    Fate::NoEffect(
        "dockgate has no variables; where one decides something, that line says so".into(),
    )
}

fn by_name(line: &Directive) -> Fate {
    if let Some(fate) = known::of(&line.name) {
        return fate;
    }
    if known::is_asked_for(&line.name) {
        return Fate::NoEffect(
            "another line of this name is nearer, or nothing here needs it".into(),
        );
    }
    Fate::Left("is not known to dockgate; look up what it did for the registry".into())
}

/// The configuration, and below it a comment for every line that it came from.
pub(super) fn written(
    draft: &Draft,
    entries: &[Entry],
    notes: &[String],
    prefix: &Prefix,
) -> String {
    let mut out = String::from(
        "# Made by `dockgate import nginx`. What became of every line of nginx stands at the end.\n\n",
    );
    out.push_str(&draft.written());
    if !notes.is_empty() {
        out.push_str("\n# Otherwise than nginx:\n");
        for note in notes {
            comment(note, &mut out);
        }
    }
    let _ = writeln!(
        out,
        "\n# Line by line; relative paths begin at {}:",
        one_line(&prefix.0.display().to_string())
    );
    for entry in entries {
        comment(&entry.to_string(), &mut out);
    }
    out
}

fn comment(text: &str, out: &mut String) {
    // Writing to a text cannot fail.
    let _ = writeln!(out, "# {}", one_line(text));
}

/// TOML has no control characters in comments.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

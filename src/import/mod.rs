//! Configurations of others, as one of ours: nginx's, as people put it before a registry.
//!
//! Pure over text and a reader of files: nothing is written here, nothing is asked of the network. Every line of the
//! input has a fate, and what would let in more than nginx did is refused unless it is consented to. Follows nginx's
//! own reading of its files (`ngx_conf_file.c`) and choice of locations (`ngx_http_core_module`).

mod access;
mod condition;
mod disk;
mod draft;
mod headers;
mod include;
mod known;
mod lexer;
mod limits;
mod listen;
mod location;
mod place;
mod policy;
#[cfg(any(test, fuzzing))]
pub(crate) mod property;
mod report;
mod rest;
mod scope;
mod server;
#[cfg(test)]
mod tests;
mod tree;
mod upstream;

use std::path::Path;
use std::path::PathBuf;

use crate::config::Config;

use draft::{Draft, Prefix};
use report::Report;
use server::{Around, Candidate};
use tree::Directive;

pub(crate) use disk::Disk;
pub(crate) use include::Files;
pub(crate) use place::Fault;
pub(crate) use report::{Entry, Fate};

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// The files, by absolute paths.
    pub files: Vec<PathBuf>,
    /// Where relative paths begin; `None`: at the folder of nginx.conf, as far as the first file tells.
    pub prefix: Option<PathBuf>,
    /// The one server that is meant, by one of its names.
    pub server: Option<String>,
    /// Lines may be left out by which the result lets in more than nginx did.
    pub partial: bool,
}

/// A configuration of ours that does what nginx did.
#[derive(Clone, Debug)]
pub(crate) struct Imported {
    /// The text, with a line of comment for each line of nginx.
    pub text: String,
    /// What becomes of every line.
    pub entries: Vec<Entry>,
    /// What it does otherwise.
    pub notes: Vec<String>,
    /// What our own check says of it.
    pub warnings: Vec<String>,
}

/// Reads nginx's files and writes what does the same.
///
/// # Errors
/// What cannot be read, the first of them; or everything that cannot be carried and must not be left out.
pub(crate) fn nginx(files: &dyn Files, request: &Request) -> Result<Imported, Vec<Fault>> {
    let read = include::read(files, &request.files, request.prefix.as_deref())
        .map_err(|fault| vec![fault])?;
    let prefix = Prefix(read.prefix);
    bounded(&read.list).map_err(|fault| vec![fault])?;
    let http = rest::of_http(&read.list);
    let servers: Vec<&Directive> = http
        .iter()
        .filter(|d| d.name == "server")
        .copied()
        .collect();
    let chosen = chosen(&http, &servers, request.server.as_deref()).map_err(|fault| vec![fault])?;
    let around = Around {
        shared: listen::shared(&servers),
        http,
        prefix,
    };
    let mut report = Report::default();
    let draft = combined(&chosen, &around, &mut report);
    rest::finish(&read.list, &mut report);
    let mut entries = Vec::new();
    for (line, count) in &read.includes {
        let count = format!("{count} files, line by line, in their place");
        entries.push(Entry {
            place: line.place.clone(),
            directive: line.called(),
            fate: Fate::Carried(count),
        });
    }
    report.entries(&read.list, &mut entries);
    refuse_openings(&entries, request.partial, &mut report);
    if !report.faults.is_empty() {
        return Err(report.faults);
    }
    let text = rest::written(&draft, &entries, &report.notes, &around.prefix);
    match Config::parse(&text, Path::new("/"), &[]) {
        Ok(loaded) => Ok(Imported {
            text,
            entries,
            notes: report.notes,
            warnings: loaded.warnings,
        }),
        Err(faults) => Err(faults
            .lines()
            .iter()
            .map(|line| Fault::Whole(format!("what it comes to is refused by dockgate: {line}")))
            .collect()),
    }
}

/// Every block is compared with the others of its kind, so there is an end to their number.
fn bounded(list: &[Directive]) -> Result<(), Fault> {
    /// A registry has one of each, and a big site a few dozen.
    const MOST: usize = 500;
    let (mut servers, mut locations) = (0, 0);
    let mut open = vec![list];
    while let Some(level) = open.pop() {
        for line in level {
            let count = match line.name.as_str() {
                "server" if line.block.is_some() => &mut servers,
                "location" => &mut locations,
                _ => {
                    open.push(line.children());
                    continue;
                }
            };
            *count += 1;
            if *count > MOST {
                let text = format!(
                    "there are more than {MOST} blocks of this name; import the files of the registry alone"
                );
                return Err(line.fault(text));
            }
            open.push(line.children());
        }
    }
    Ok(())
}

/// The servers that are about the registry.
fn chosen<'a>(
    http: &[&'a Directive],
    servers: &[&'a Directive],
    name: Option<&str>,
) -> Result<Vec<Candidate<'a>>, Fault> {
    let locations = http.iter().find(|d| d.name == "location");
    if let (Some(location), Some(_)) = (locations, servers.first()) {
        let text = "stands outside of a server, and there are servers too; name the file that includes it instead";
        return Err(location.fault(text));
    }
    if servers.is_empty() {
        return Candidate::bare(http)
            .map(|found| vec![found])
            .ok_or_else(nothing);
    }
    let is_called = |server: &&&Directive, name: &str| {
        let names = server.children().iter().filter(|d| d.name == "server_name");
        names.flat_map(|d| &d.args).any(|arg| arg == name)
    };
    let named: Vec<&Directive> = match name {
        None => servers.to_vec(),
        Some(name) => servers
            .iter()
            .filter(|s| is_called(s, name))
            .copied()
            .collect(),
    };
    if let (Some(name), true) = (name, named.is_empty()) {
        let text = format!("no server has the server_name {}", place::shown(name));
        return Err(Fault::Whole(text));
    }
    let mut found: Vec<Candidate<'_>> = named
        .iter()
        .filter_map(|server| Candidate::new(http, server))
        .collect();
    if found.iter().any(|candidate| candidate.speaks_of_a_registry) {
        found.retain(|candidate| candidate.speaks_of_a_registry);
    }
    if found.is_empty() {
        return Err(nothing());
    }
    Ok(found)
}

fn nothing() -> Fault {
    Fault::Whole(
        "no location leads /v2/ to a registry with proxy_pass, so there is nothing to carry over; is it the right file?"
            .into(),
    )
}

/// All chosen servers as one; they must differ in names, addresses and certificates alone.
fn combined(chosen: &[Candidate<'_>], around: &Around<'_>, report: &mut Report) -> Draft {
    let mut drafts = chosen
        .iter()
        .map(|candidate| (candidate, candidate.translated(around, report)));
    let Some((first, mut whole)) = drafts.next() else {
        return Draft::default();
    };
    let others: Vec<_> = drafts.collect();
    for (candidate, draft) in others {
        if let (Some(first), Some(server)) = (first.server, candidate.server)
            && draft.tables != whole.tables
        {
            let text = format!(
                "does otherwise than the server of {}: another registry, other users or other limits; choose one of \
                 them with --server NAME, and run one dockgate for each",
                first.place.line()
            );
            report.refuse(server, text);
            continue;
        }
        for door in draft.doors {
            let Some(known) = whole.doors.iter_mut().find(|d| d.address == door.address) else {
                whole.doors.push(door);
                continue;
            };
            let (Some(mine), Some(theirs)) = (&mut known.tls, door.tls) else {
                continue;
            };
            if mine.more != theirs.more {
                if let Some(server) = candidate.server {
                    report.refuse(
                        server,
                        "asks for client certificates or TLS versions otherwise than another server of the same \
                         address; choose one of them with --server NAME",
                    );
                }
                continue;
            }
            let new: Vec<_> = theirs
                .pairs
                .into_iter()
                .filter(|p| !mine.pairs.contains(p))
                .collect();
            let at = if door.is_default { 0 } else { mine.pairs.len() };
            mine.pairs.splice(at..at, new);
        }
    }
    whole
}

/// What would let in more than nginx did is a fault, unless it is consented to.
fn refuse_openings(entries: &[Entry], partial: bool, report: &mut Report) {
    if partial {
        return;
    }
    let opens = entries.iter().filter(|e| matches!(e.fate, Fate::Opens(_)));
    let faults: Vec<Fault> = opens
        .map(|entry| {
            let text = format!("{}: {}", entry.directive, entry.fate);
            Fault::At(entry.place.clone(), text)
        })
        .collect();
    if !faults.is_empty() {
        report.faults.extend(faults);
        report.faults.push(Fault::Whole(
            "nothing is written: without these lines dockgate would let in more than nginx did; --partial writes the rest"
                .into(),
        ));
    }
}

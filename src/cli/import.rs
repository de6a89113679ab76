//! `dockgate import`: the configuration of another program as one of ours.

use std::fs;
use std::io;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::import;
use crate::import::Disk;
use crate::import::Entry;
use crate::import::Fate;
use crate::import::Imported;
use crate::import::Request;
use crate::state;

use super::line::import::{From, Nginx};
use super::{DONE, FAILED, WRONG, say};

/// More warnings than this nobody reads on a terminal; the result has them all.
const MOST: usize = 200;

pub(super) fn run(from: From) -> u8 {
    let From::Nginx(asked) = from;
    if let Some(output) = &asked.output
        && !asked.force
        && fs::symlink_metadata(output).is_ok()
    {
        say(&format!(
            "{}: is there already, and stays as it is; name another file, or add --force",
            output.display()
        ));
        return WRONG;
    }
    let request = match request(&asked) {
        Ok(request) => request,
        Err(error) => {
            say(&format!(
                "the working directory cannot be found out: {error}"
            ));
            return FAILED;
        }
    };
    let imported = match import::nginx(&Disk, &request) {
        Ok(imported) => imported,
        Err(faults) => {
            for fault in faults.iter().take(MOST) {
                say(&fault.to_string());
            }
            return WRONG;
        }
    };
    tell(&imported);
    let written = match &asked.output {
        None => io::stdout().lock().write_all(imported.text.as_bytes()),
        Some(file) => write(file, imported.text.as_bytes()),
    };
    if let Err(error) = written {
        let name = asked
            .output
            .as_deref()
            .unwrap_or(Path::new("standard output"));
        say(&format!("{}: cannot be written: {error}", name.display()));
        return FAILED;
    }
    let lost = imported.entries.iter().any(|entry| entry.fate.is_loss());
    if asked.strict && lost { FAILED } else { DONE }
}

fn request(asked: &Nginx) -> io::Result<Request> {
    let whole = |path: &PathBuf| std::path::absolute(path);
    Ok(Request {
        files: asked.files.iter().map(whole).collect::<io::Result<_>>()?,
        prefix: asked.prefix.as_ref().map(whole).transpose()?,
        server: asked.server.clone(),
        partial: asked.partial,
    })
}

/// What was left out, what is otherwise, and how much of everything there was.
fn tell(imported: &Imported) {
    let lost: Vec<&Entry> = imported
        .entries
        .iter()
        .filter(|e| e.fate.is_loss())
        .collect();
    for entry in lost.iter().take(MOST) {
        say(&format!("warning: {entry}"));
    }
    if lost.len() > MOST {
        say(&format!(
            "warning: and {} more, which the result lists",
            lost.len() - MOST
        ));
    }
    for warning in &imported.warnings {
        say(&format!("warning: {warning}"));
    }
    for note in &imported.notes {
        say(&format!("note: {note}"));
    }
    let count = |fits: fn(&Fate) -> bool| imported.entries.iter().filter(|e| fits(&e.fate)).count();
    say(&format!(
        "{} lines of nginx: {} carried, {} the same by default, {} without effect here, {} not carried",
        imported.entries.len(),
        count(|fate| matches!(fate, Fate::Carried(_))),
        count(|fate| matches!(fate, Fate::Same(_))),
        count(|fate| matches!(fate, Fate::NoEffect(_))),
        count(Fate::is_loss),
    ));
}

/// Puts the file in its place whole: written beside it, and moved there.
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    const MODE: u32 = 0o644;
    let name = file
        .file_name()
        .ok_or_else(|| io::Error::other("is no name of a file"))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}.new", std::process::id()));
    let beside = file.with_file_name(beside);
    let done = state::fill(&beside, bytes, MODE).and_then(|()| fs::rename(&beside, file));
    if done.is_err() {
        // It may not even have been made.
        let _ = fs::remove_file(&beside);
    }
    done?;
    file.parent().map_or(Ok(()), state::sync)
}

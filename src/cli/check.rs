//! `dockgate check`: everything that `serve` would load, and every fault of it. Nothing is bound, nothing is made.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::config::Config;
use crate::config::ListenerTls;
use crate::server::Server;
use crate::telemetry::chain;
use crate::tls::Issued;
use crate::tls::found_own_certificate;

use super::first_start;
use super::load::Found;
use super::{DONE, WRONG, answer, load, say};

pub(super) fn run(config: Option<&Path>) -> u8 {
    let found = match load::load(config) {
        Ok(found) => found,
        Err(faults) => return wrong(&faults),
    };
    let Found { loaded, file } = found;
    for note in &loaded.notes {
        say(&format!("note: {note}"));
    }
    let files = files(loaded.config);
    for warning in loaded.warnings.iter().chain(files.iter().flatten()) {
        say(&format!("warning: {warning}"));
    }
    if let Err(faults) = files {
        return wrong(&faults);
    }
    let name = file.map_or_else(|| "environment".into(), |file| file.display().to_string());
    answer(&format!("{name}: no faults"));
    DONE
}

fn wrong(faults: &[String]) -> u8 {
    for fault in faults {
        say(fault);
    }
    WRONG
}

/// Loads all files that the configuration names; the warnings, or one line for each fault.
fn files(mut config: Config) -> Result<Vec<String>, Vec<String>> {
    config.log.access = None;
    first_start::without_making(&mut config);
    let mut warnings = Vec::new();
    let _scratch = without_making(&mut config, &mut warnings)?;
    let server = Server::load(config)?;
    warnings.extend_from_slice(server.warnings());
    Ok(warnings)
}

/// Listeners without a certificate get the one that was made before, or one that goes with the result.
fn without_making(
    config: &mut Config,
    warnings: &mut Vec<String>,
) -> Result<Option<Scratch>, Vec<String>> {
    let state_dir = config.state_dir.clone();
    let bare = config.listeners.iter_mut().filter_map(|l| l.tls.as_mut());
    let bare = bare.filter(|tls| tls.certificate.is_none());
    let bare: Vec<_> = bare.filter(|tls| !has_issued(tls, warnings)).collect();
    if bare.is_empty() {
        return Ok(None);
    }
    if let Some(files) = found_own_certificate(&state_dir) {
        for tls in bare {
            tls.certificate = Some(files.clone());
        }
        return Ok(None);
    }
    if state_dir.join("tls").exists() {
        // Half of it is there: loading says so, and touches nothing.
        return Ok(None);
    }
    let place = state_dir.ancestors().find(|path| path.exists());
    let place = place.unwrap_or(Path::new("."));
    access(place, Access::WRITE_OK | Access::EXEC_OK).map_err(|fault| {
        let (dir, place) = (state_dir.display(), place.display());
        vec![format!(
            "state_dir {dir}: no certificate can be made there, {place} is not writable: {fault}; \
             give it to the user that runs dockgate, or name a certificate in listener.tls"
        )]
    })?;
    let scratch = Scratch::new().map_err(|(path, fault)| {
        vec![format!(
            "{}: cannot be made for the check: {fault}; set TMPDIR to a writable folder",
            path.display()
        )]
    })?;
    config.state_dir.clone_from(&scratch.0);
    Ok(Some(scratch))
}

/// Whether an authority's certificate is there that serving would show.
fn has_issued(tls: &ListenerTls, warnings: &mut Vec<String>) -> bool {
    match tls.issued.as_deref().map(Issued::read) {
        None | Some(Ok(None)) => false,
        Some(Ok(Some(_))) => true,
        Some(Err(faults)) => {
            let told = faults.iter().map(|fault| {
                format!(
                    "{}; another one will be ordered, and this one moved aside",
                    chain(fault)
                )
            });
            warnings.extend(told);
            false
        }
    }
}

/// A folder for this user alone, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, (PathBuf, io::Error)> {
        let path = std::env::temp_dir().join(format!("dockgate-check-{}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Self(path)),
            Err(fault) => Err((path, fault)),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left in a temporary folder is removed by the system in time.
        let _ = fs::remove_dir_all(&self.0);
    }
}

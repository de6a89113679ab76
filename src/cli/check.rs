//! `dockgate check`: everything that `serve` would load, and every fault of it.

use std::path::Path;

use crate::server::Server;

use super::{DONE, WRONG, answer, load, say};

pub(super) fn run(config: Option<&Path>) -> u8 {
    let found = match load::load(config) {
        Ok(found) => found,
        Err(faults) => {
            for fault in &faults {
                say(fault);
            }
            return WRONG;
        }
    };
    for note in &found.loaded.notes {
        say(&format!("note: {note}"));
    }
    for warning in &found.loaded.warnings {
        say(&format!("warning: {warning}"));
    }
    match Server::check(found.loaded.config) {
        Ok(warnings) => {
            for warning in &warnings {
                say(&format!("warning: {warning}"));
            }
        }
        Err(faults) => {
            for fault in &faults {
                say(fault);
            }
            return WRONG;
        }
    }
    let name = found
        .file
        .map_or_else(|| "environment".into(), |file| file.display().to_string());
    answer(&format!("{name}: no faults"));
    DONE
}

//! `dockgate serve`: load, then run until told to stop.

use std::path::Path;

use super::load::{self, Found};
use super::{FAILED, WRONG, say};

pub(super) fn run(config: Option<&Path>) -> u8 {
    match load::load(config) {
        Ok(found) => start(&found),
        Err(faults) => {
            for fault in &faults {
                say(fault);
            }
            WRONG
        }
    }
}

fn start(found: &Found) -> u8 {
    for note in &found.loaded.notes {
        say(&format!("note: {note}"));
    }
    for warning in &found.loaded.warnings {
        say(&format!("warning: {warning}"));
    }
    say("the server room is not built into this binary");
    FAILED
}

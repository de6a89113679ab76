//! `dockgate htpasswd`: being built.

use std::ffi::OsString;

use super::{FAILED, say};

pub(super) fn run(_arguments: &[OsString]) -> u8 {
    say("htpasswd is not built into this binary");
    FAILED
}

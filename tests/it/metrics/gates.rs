//! The gates of these tests.

use crate::support::program::Program;

/// A plain listener that everybody may pull from, with one user; `more` ends in whatever table it likes.
#[track_caller]
pub fn start(upstream: &str, more: &str) -> Program {
    Program::start_with(&toml(upstream, more), |dir| {
        std::fs::write(dir.join("htpasswd"), "ann:{PLAIN}secret\n").unwrap();
    })
}

/// Its configuration.
pub fn toml(upstream: &str, more: &str) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{upstream}\"\n\
         [auth]\nhtpasswd = \"htpasswd\"\nanonymous = \"pull\"\n{more}"
    )
}

/// The digest of nothing.
pub const NOTHING: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

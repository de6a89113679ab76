//! The client, which runs as a process of its own so that its work is not counted: `gate load KIND NAME=VALUE...`.
//! It prints one number a line, each with a name.

mod get;
mod handshake;
mod hold;
mod push;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use push::Way;

use crate::peer::Peer;
use crate::process::{Holder, output, pinned};

/// What the client is told.
#[derive(Clone, Debug)]
pub struct Order {
    kind: &'static str,
    words: Vec<(String, String)>,
}

impl Order {
    /// An order of this kind: `get`, `push`, `handshake`, `hold`, `slow`.
    pub fn new(kind: &'static str) -> Self {
        Self {
            kind,
            words: Vec::new(),
        }
    }

    /// One word more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.words.push((name.to_owned(), value.to_string()));
        self
    }

    fn command(&self, peer: &Peer, ca: &Path, core: Option<usize>) -> Command {
        self.command_at(peer.address, peer.tls.then_some(ca), core)
    }

    fn command_at(&self, address: SocketAddr, ca: Option<&Path>, core: Option<usize>) -> Command {
        let mut command = pinned(core, &std::env::current_exe().unwrap());
        command.args(["load", self.kind]);
        command.arg(format!("address={address}"));
        if let Some(ca) = ca {
            command.arg(format!("ca={}", ca.display()));
        }
        for (name, value) in &self.words {
            command.arg(format!("{name}={value}"));
        }
        command
    }

    /// Carries it out against a server and gives the numbers.
    pub fn run(&self, peer: &Peer, ca: &Path, core: Option<usize>) -> HashMap<String, f64> {
        let text = output(&mut self.command(peer, ca, core));
        text.lines()
            .filter_map(|line| line.split_once('='))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect()
    }

    /// Begins it; it goes on until it is stopped.
    pub fn begin(&self, peer: &Peer, ca: &Path, core: Option<usize>) -> Holder {
        Holder::start(&mut self.command(peer, ca, core))
    }

    /// Begins it against a server that need not be there yet.
    pub fn begin_at(&self, address: SocketAddr, ca: &Path) -> Holder {
        Holder::start(&mut self.command_at(address, Some(ca), None))
    }
}

/// The words of an order, on the side of the client.
#[derive(Debug)]
struct Told(HashMap<String, String>);

impl Told {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &str, default: usize) -> usize {
        self.text(name)
            .map_or(default, |text| text.parse().unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.text("address").unwrap().parse().unwrap()
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }
}

/// The client's `main`.
pub fn main(arguments: &[String]) {
    let (kind, words) = arguments.split_first().unwrap();
    let words = words.iter().map(|word| {
        let (name, value) = word.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    });
    let told = Told(words.collect());
    match kind.as_str() {
        "get" => get::run(&told),
        "push" => push::run(&told),
        "handshake" => handshake::run(&told),
        "hold" => hold::idle(&told),
        "slow" => hold::slow(&told),
        "first" => hold::first(&told),
        "manifest" => push::manifest(&told),
        "sink" => push::sink(&told),
        other => panic!("no such order: {other}"),
    }
}

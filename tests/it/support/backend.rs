//! A gate before a registry and one with the registry inside, for what must be the same with either.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::fronts::Fronts;
use super::raw::text;
use super::tree::below;
use super::upstream::Upstream;

/// One of the two, and what nothing that is refused may change.
pub struct Backend {
    /// For messages.
    pub name: &'static str,
    /// Its doors.
    pub fronts: Fronts,
    upstream: Option<Upstream>,
    stored: BTreeMap<PathBuf, Option<Vec<u8>>>,
}

impl Backend {
    /// Both of them.
    #[track_caller]
    pub fn either() -> [Self; 2] {
        let upstream = Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let gate = Self {
            name: "a gate before a registry",
            fronts: Fronts::before(&upstream.url(), ""),
            upstream: Some(upstream),
            stored: BTreeMap::new(),
        };
        let mut registry = Self {
            name: "the embedded registry",
            fronts: Fronts::embedded(),
            upstream: None,
            stored: BTreeMap::new(),
        };
        registry.stored = registry.store();
        [gate, registry]
    }

    /// Fails if the upstream has heard a byte, or the store has changed.
    #[track_caller]
    pub fn is_untouched(&self) {
        if let Some(upstream) = &self.upstream {
            let came = upstream.bytes();
            assert!(came.is_empty(), "reached the upstream: {}", text(&came));
        }
        assert_eq!(self.store(), self.stored, "something was stored");
    }

    fn store(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        below(&self.fronts.gate.dir().join("dockgate-data/registry"))
    }
}

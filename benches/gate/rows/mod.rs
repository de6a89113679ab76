//! What is measured. The goals are those that the project has set itself.

mod auth;
mod bulk;
mod embedded;
mod handshake;
mod memory;
mod small;
mod start;

use crate::measure::{About, Row};
use crate::options::Options;
use crate::peer::{Kind, Peer, Setup};
use crate::site::{Pair, Site};

/// nginx at its best: whom the goals are about.
pub const BEST: &str = "nginx, tuned";

/// Everybody that stands in front of a registry, ours first.
pub const EVERYBODY: [Kind; 5] = [
    Kind::Dockgate,
    Kind::NginxBest,
    Kind::NginxRecipe,
    Kind::Haproxy,
    Kind::Caddy,
];

/// What all rows share.
#[derive(Debug)]
pub struct Bench<'a> {
    pub options: &'a Options,
    pub site: Site,
}

impl Bench<'_> {
    /// How servers are started unless a row says otherwise.
    pub fn setup<'s>(&'s self, pair: &'s Pair) -> Setup<'s> {
        Setup {
            pair,
            client_ca: None,
            htpasswd: None,
            masked: false,
            core: Some(self.options.core),
            dockgate: &self.options.dockgate,
        }
    }

    /// These kinds of servers before an upstream.
    pub fn line_up(
        &self,
        kinds: &[Kind],
        upstream: &Peer,
        setup: &Setup<'_>,
    ) -> Vec<(&'static str, Peer)> {
        let start = |kind: &Kind| {
            let peer = Peer::in_front(&self.site, *kind, upstream.address, setup);
            (peer.name, peer)
        };
        kinds.iter().map(start).collect()
    }

    /// A row about nginx at its best, if it is wanted.
    pub fn row(&self, name: &str, unit: &'static str, goal: Option<f64>) -> Option<About> {
        self.row_against(name, unit, BEST, goal)
    }

    /// A row about somebody, if it is wanted.
    pub fn row_against(
        &self,
        name: &str,
        unit: &'static str,
        against: &'static str,
        goal: Option<f64>,
    ) -> Option<About> {
        self.options.wants(name).then(|| About {
            name: name.to_owned(),
            unit,
            against,
            goal,
        })
    }

    /// The core that everything is pinned to.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "servers may run on any core as well"
    )]
    pub fn core(&self) -> Option<usize> {
        Some(self.options.core)
    }

    /// Where a blob is.
    pub fn blob_target(digest: &str) -> String {
        format!("/v2/bench/image/blobs/{digest}")
    }

    /// A docker-registry that has the blobs and the manifest.
    pub fn filled_registry(&self) -> Peer {
        let root = self.site.folder("store");
        let peer = Peer::registry(&self.site, &root, None, self.core());
        self.fill(&peer);
        peer
    }

    /// Pushes the blobs and the manifest.
    pub fn fill(&self, peer: &Peer) {
        let site = &self.site;
        for content in [&site.blob, &site.part] {
            crate::load::Order::new("push")
                .with("method", "PUT")
                .with("file", content.file.display())
                .with("digest", &content.digest)
                .run(peer, &site.ca, None);
        }
        crate::load::Order::new("manifest")
            .with("file", site.manifest.file.display())
            .run(peer, &site.ca, None);
    }
}

/// Measures all rows that are wanted.
pub fn all(options: &Options) -> Vec<Row> {
    let bench = Bench {
        options,
        site: Site::new(options.size(1024, 64), options.size(128, 8)),
    };
    let mut rows = Vec::new();
    rows.extend(bulk::pulls(&bench));
    rows.extend(bulk::pushes(&bench));
    rows.extend(small::rows(&bench));
    rows.extend(auth::rows(&bench));
    rows.extend(handshake::rows(&bench));
    rows.extend(memory::rows(&bench));
    rows.extend(start::rows(&bench));
    rows.extend(embedded::rows(&bench));
    rows
}

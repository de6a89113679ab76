//! Until when certificates and revocation lists are good: looked up at each scrape, so that it is what is in force.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// What has a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A certificate that a listener shows.
    Certificate,
    /// A CA that client certificates come from.
    ClientCa,
    /// A list of client certificates that were taken back.
    ClientCrl,
}

/// A file of one listener, and the time of its content that counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Dated {
    /// What it is.
    pub kind: Kind,
    /// The listener, as its address is written.
    pub listener: String,
    /// The file.
    pub file: PathBuf,
    /// From when on it is good, in seconds since 1970.
    pub from: u64,
    /// Until when.
    pub until: u64,
}

type Source = Box<dyn Fn() -> Vec<Dated> + Send + Sync>;

/// Where the dates come from; clones share it.
#[derive(Clone, Default)]
pub(super) struct Dates(Arc<OnceLock<Source>>);

impl Dates {
    pub(super) fn come_from(&self, of: impl Fn() -> Vec<Dated> + Send + Sync + 'static) {
        // A second source is a mistake that changes nothing.
        let _ = self.0.set(Box::new(of));
    }

    pub(super) fn now(&self) -> Vec<Dated> {
        self.0.get().map_or_else(Vec::new, |source| source())
    }
}

impl fmt::Debug for Dates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dates").finish_non_exhaustive()
    }
}

const METRICS: [(Kind, &str, &str); 3] = [
    (
        Kind::Certificate,
        "certificate_expiry_timestamp",
        "When the certificate that a listener shows expires, since 1970.",
    ),
    (
        Kind::ClientCa,
        "client_ca_expiry_timestamp",
        "When the first CA of client certificates in this file expires, since 1970.",
    ),
    (
        Kind::ClientCrl,
        "client_crl_next_update_timestamp",
        "When the first revocation list in this file ends, since 1970.",
    ),
];

impl Collector for Dates {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.now();
        for (kind, name, help) in METRICS {
            // A file that stands twice in a listener is one series.
            let mut series = BTreeMap::new();
            for dated in now.iter().filter(|dated| dated.kind == kind) {
                let file = dated.file.to_string_lossy();
                series.insert((dated.listener.as_str(), file), dated.until);
            }
            if series.is_empty() {
                continue;
            }
            // The descriptor's own unit would have to outlive it.
            let name = format!("{name}_seconds");
            let gauge = MetricType::Gauge;
            let mut metric = encoder.encode_descriptor(&name, help, None::<&Unit>, gauge)?;
            for ((listener, file), until) in series {
                let labels = [("listener", listener), ("file", &file)];
                metric.encode_family(&labels)?.encode_gauge(&until)?;
            }
        }
        Ok(())
    }
}

//! What is counted, and how it is told to a scraper: handles for each room that counts, and one text of all of it.
//!
//! There is no global: the server makes one [`Metrics`], and it outlives every reload. Whoever counts gets a handle with
//! the words that it may say. Labels come from enumerations and from the configuration, never from a request.
//! Knows no sockets and no HTTP.

mod date;
mod listener;
mod request;
mod service;
mod text;
mod word;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use date::{Dated, Kind};
pub(crate) use listener::{Failure, Listener};
pub(crate) use request::{Answerer, Ended, Flow, Requests, Tally};
pub(crate) use service::{
    Bearer, Check, Logins, StorageFault, Store, Tokens, Upstream, UpstreamFault,
};
pub(crate) use text::Format;
pub(crate) use word::{Count, Word};

use date::Dates;
use listener::Listeners;
use word::{Numbers, words};

words! {
    /// How a reload ended.
    "result" Reload {
        /// Everything that was read is in force.
        Good = "good",
        /// Something could not be read, and stays as it was.
        Failed = "failed",
    }
}

words! {
    /// What has to be well for the gate to be ready.
    "part" Part {
        /// It takes new work.
        Serving = "serving",
        /// Every server certificate is valid now.
        Certificates = "certificates",
        /// The upstream, or the store of the embedded registry, answers.
        Backend = "backend",
    }
}

/// One number that goes up and down; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Level(Arc<AtomicU64>);

impl Level {
    fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl EncodeMetric for Level {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_gauge(&self.0.load(Ordering::Relaxed))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

/// Everything that is counted in this process; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(Arc<All>);

#[derive(Debug)]
struct All {
    registry: Registry,
    requests: Requests,
    listeners: Listeners,
    logins: Logins,
    tokens: Tokens,
    upstream: Upstream,
    store: Store,
    reloads: Numbers<Reload>,
    reload_good: Level,
    reload_time: Level,
    ready: Numbers<Part>,
    panics: Count,
    access_lines_lost: Count,
    log_lines_lost: Count,
    dates: Dates,
}

impl Metrics {
    /// Nothing has happened yet. This is taken for the start of the process.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("dockgate");
        let panics = Count::default();
        let all = All {
            requests: Requests::register(&mut registry, panics.clone()),
            listeners: Listeners::register(&mut registry, panics.clone()),
            logins: Logins::register(&mut registry),
            tokens: Tokens::register(&mut registry),
            upstream: Upstream::register(&mut registry),
            store: Store::register(&mut registry),
            reloads: Numbers::counters(),
            reload_good: Level::default(),
            reload_time: Level::default(),
            ready: Numbers::gauges(),
            panics,
            access_lines_lost: Count::default(),
            log_lines_lost: Count::default(),
            dates: Dates::default(),
            registry,
        };
        Self(Arc::new(all.registered()))
    }

    /// For the walk of requests.
    pub(crate) fn requests(&self) -> Requests {
        self.0.requests.clone()
    }

    /// For one listener of the configuration.
    pub(crate) fn listener(&self, address: &str) -> Listener {
        self.0.listeners.of(address)
    }

    /// For whoever judges passwords.
    pub(crate) fn logins(&self) -> Logins {
        self.0.logins.clone()
    }

    /// For whoever makes tokens.
    pub(crate) fn tokens(&self) -> Tokens {
        self.0.tokens.clone()
    }

    /// For whoever asks the registry behind the gate.
    pub(crate) fn upstream(&self) -> Upstream {
        self.0.upstream.clone()
    }

    /// For whoever answers for the store.
    pub(crate) fn store(&self) -> Store {
        self.0.store.clone()
    }

    /// Lines of the access log that nobody will read.
    pub(crate) fn access_lines_lost(&self) -> Count {
        self.0.access_lines_lost.clone()
    }

    /// Lines of the log that nobody will read.
    pub(crate) fn log_lines_lost(&self) -> Count {
        self.0.log_lines_lost.clone()
    }

    /// A reload ended.
    pub(crate) fn reloaded(&self, result: Reload) {
        self.0.reloads.add(result, 1);
        self.0.reload_good.set(u64::from(result == Reload::Good));
        if result == Reload::Good {
            self.0.reload_time.set(now());
        }
    }

    /// Whether a part of readiness is well.
    pub(crate) fn ready(&self, part: Part, is_well: bool) {
        self.0.ready.set(part, u64::from(is_well));
    }

    /// Where the dates of certificates and lists are looked up at each scrape. Given once.
    pub(crate) fn date(&self, of: impl Fn() -> Vec<Dated> + Send + Sync + 'static) {
        self.0.dates.come_from(of);
    }

    /// The dates of certificates and lists.
    pub(crate) fn dates(&self) -> Vec<Dated> {
        self.0.dates.now()
    }

    /// All of it as text.
    ///
    /// # Errors
    /// A number could not be written; there is none for which that is known.
    pub(crate) fn encode(&self, format: Format) -> Result<String, fmt::Error> {
        let mut open_metrics = String::new();
        encode(&mut open_metrics, &self.0.registry)?;
        Ok(format.of(open_metrics))
    }
}

impl All {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("reloads", "Reloads, by result", self.reloads.clone());
        self.reload_good.set(1);
        registry.register(
            "reload_successful",
            "1: everything that was read last is in force; 0: something of it could not be used",
            self.reload_good.clone(),
        );
        let start = Level::default();
        start.set(now());
        self.reload_time.set(now());
        registry.register_with_unit(
            "reload_success_timestamp",
            "When everything that was read was put in force last, the start included, since 1970",
            Unit::Seconds,
            self.reload_time.clone(),
        );
        registry.register_with_unit(
            "start_time",
            "When the process started, since 1970",
            Unit::Seconds,
            start,
        );
        registry.register(
            "ready",
            "1: this part of readiness is well; 0: it is not, and /readyz says why",
            self.ready.clone(),
        );
        registry.register(
            "panics",
            "Panics that were caught; please report them",
            self.panics.clone(),
        );
        registry.register(
            "access_log_lines_lost",
            "Lines of the access log that are lost, because standard output was stuck, full or gone",
            self.access_lines_lost.clone(),
        );
        registry.register(
            "log_lines_lost",
            "Lines of the log that are lost, because standard error was stuck, full or gone",
            self.log_lines_lost.clone(),
        );
        registry.register("build_info", "1; the labels say what runs", build());
        registry.register_collector(Box::new(self.dates.clone()));
        self
    }
}

fn build() -> Family<Vec<(&'static str, &'static str)>, Gauge> {
    let build: Family<_, Gauge> = Family::default();
    let labels = vec![("version", env!("CARGO_PKG_VERSION")), ("commit", commit())];
    let _ = build.get_or_create_owned(&labels).set(1);
    build
}

/// What the build script wrote in brackets behind the version: hash and date, where it could.
fn commit() -> &'static str {
    let built_as = option_env!("BUILT_AS").unwrap_or_default();
    let bracket = built_as.split_once(" (").map(|(_, rest)| rest);
    let commit = bracket.and_then(|rest| rest.strip_suffix(')'));
    commit.unwrap_or("unknown")
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

//! What the services count: passwords, tokens, the registry behind the gate, the store.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::request::Verb;
use super::word::{Count, Numbers, words};

words! {
    /// How a password was judged.
    "result" Check {
        /// It was looked at, and it was right.
        Right = "right",
        /// It was looked at, and it was wrong.
        Wrong = "wrong",
        /// It was found right a moment ago.
        RememberedRight = "remembered_right",
        /// It was found wrong a moment ago.
        RememberedWrong = "remembered_wrong",
        /// Not at all: too many waited (429).
        Refused = "refused",
        /// Not at all: the check broke.
        Failed = "failed",
    }
}

words! {
    /// Whom a token was made for.
    "kind" Bearer {
        /// Nobody in particular.
        Anonymous = "anonymous",
        /// A user who gave a password.
        User = "user",
        /// The owner of a client certificate.
        Certificate = "certificate",
    }
}

words! {
    /// Why the registry behind the gate gave no answer, or not all of one.
    "reason" UpstreamFault {
        /// All connections, or one client's share of them, were in use.
        Busy = "busy",
        /// No connection could be made.
        Unreachable = "unreachable",
        /// None could be made in time.
        ConnectTimeout = "connect_timeout",
        /// Nothing moved for `upstream.read_timeout`.
        Silent = "silent",
        /// The connection broke before an answer came.
        Broken = "broken",
        /// The answer could not be used.
        BadAnswer = "bad_answer",
        /// The answer's body broke off.
        Truncated = "truncated",
    }
}

words! {
    /// What is wrong with the store of the embedded registry.
    "kind" StorageFault {
        /// No space is left.
        Full = "full",
        /// It does not answer.
        Unavailable = "unavailable",
        /// What lies in it is damaged.
        Damaged = "damaged",
        /// Anything else.
        Failed = "failed",
    }
}

/// Seconds until the head of an answer is there: registry:2 is silent while it checks a big layer.
const BUCKETS: [f64; 13] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0,
];

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

/// Passwords; clones share the numbers.
#[derive(Clone, Debug)]
pub(crate) struct Logins {
    checks: Numbers<Check>,
    failed: Count,
}

impl Default for Logins {
    /// Numbers that nobody reads: for commands that ask what the gate would say.
    fn default() -> Self {
        Self {
            checks: Numbers::counters(),
            failed: Count::default(),
        }
    }
}

impl Logins {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let logins = Self::default();
        registry.register(
            "password_checks",
            "Passwords judged, by result",
            logins.checks.clone(),
        );
        registry.register(
            "failed_logins",
            "Requests with a wrong user name or password",
            logins.failed.clone(),
        );
        logins
    }

    /// A password was judged like this.
    pub(crate) fn checked(&self, result: Check) {
        self.checks.add(result, 1);
    }

    /// A request brought a wrong password, or a name that nobody has.
    pub(crate) fn failed(&self) {
        self.failed.one();
    }
}

/// Tokens that were made; clones share the numbers.
#[derive(Clone, Debug)]
pub(crate) struct Tokens(Numbers<Bearer>);

impl Tokens {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let made = Numbers::counters();
        registry.register("tokens_issued", "Tokens made, by whom for", made.clone());
        Self(made)
    }

    /// One was made.
    pub(crate) fn issued(&self, to: Bearer) {
        self.0.add(to, 1);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sent {
    method: Verb,
}

/// The registry behind the gate; clones share the numbers.
#[derive(Clone, Debug)]
pub(crate) struct Upstream(Arc<Tables>);

#[derive(Debug)]
struct Tables {
    latency: Family<Sent, Histogram, fn() -> Histogram>,
    faults: Numbers<UpstreamFault>,
    retries: Count,
}

impl Default for Upstream {
    fn default() -> Self {
        Self(Arc::new(Tables {
            latency: Family::new_with_constructor(histogram),
            faults: Numbers::counters(),
            retries: Count::default(),
        }))
    }
}

impl Upstream {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let upstream = Self::default();
        let tables = &upstream.0;
        registry.register_with_unit(
            "upstream_latency",
            "From a request's way to the upstream, the wait for a connection included, to the head of the answer",
            Unit::Seconds,
            tables.latency.clone(),
        );
        registry.register(
            "upstream_errors",
            "Requests to which the upstream gave no answer, or not all of one",
            tables.faults.clone(),
        );
        registry.register(
            "upstream_retries",
            "Requests sent a second time, over a new connection",
            tables.retries.clone(),
        );
        upstream
    }

    /// The head of an answer came after this time.
    pub(crate) fn answered(&self, method: &Method, after: Duration) {
        let sent = Sent {
            method: method.into(),
        };
        let latency = self.0.latency.get_or_create(&sent);
        latency.observe(after.as_secs_f64());
    }

    /// None came, or not all of it.
    pub(crate) fn failed(&self, why: UpstreamFault) {
        self.0.faults.add(why, 1);
    }

    /// A request was sent once more.
    pub(crate) fn retried(&self) {
        self.0.retries.one();
    }
}

/// The store of the embedded registry; clones share the numbers.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    faults: Numbers<StorageFault>,
    open: super::Level,
}

impl Store {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let store = Self {
            faults: Numbers::counters(),
            open: super::Level::default(),
        };
        registry.register(
            "storage_faults",
            "Times that the embedded registry's store failed, by kind",
            store.faults.clone(),
        );
        registry.register(
            "upload_sessions",
            "Upload sessions in the embedded registry's store when it was last swept",
            store.open.clone(),
        );
        store
    }

    /// The store failed.
    pub(crate) fn failed(&self, kind: StorageFault) {
        self.faults.add(kind, 1);
    }

    /// A sweep left so many uploads.
    pub(crate) fn open_uploads(&self, uploads: u64) {
        self.open.set(uploads);
    }
}

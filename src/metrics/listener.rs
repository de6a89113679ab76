//! Connections and handshakes, by listener. A listener is in the configuration, so there are few.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::word::{Count, Word, words};

words! {
    /// Why a connection came to no request.
    "reason" Failure {
        /// The client connected and left without a word: a port check, mostly.
        Silent = "silent",
        /// Plain HTTP on a TLS listener.
        PlainHttp = "plain_http",
        /// The client does not trust the certificate that it was shown.
        Distrusted = "distrusted",
        /// None: an authority looked at the proof of a name, and has seen it.
        Proof = "proof",
        /// The client's own certificate was refused.
        ClientCertificate = "client_cert",
        /// The client shares no version or algorithm with us, or broke the protocol.
        Protocol = "protocol",
        /// The connection broke.
        Broken = "broken",
        /// It took longer than `timeouts.handshake`.
        Timeout = "timeout",
        /// No PROXY header where there has to be one.
        ProxyHeader = "proxy_header",
        /// The gate stopped.
        Drain = "drain",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    listener: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Done {
    listener: Arc<str>,
    version: &'static str,
    resumed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    listener: Arc<str>,
    reason: Failure,
}

/// What is counted of all listeners.
#[derive(Clone, Debug, Default)]
pub(super) struct Listeners {
    open: Family<Of, Gauge>,
    accepted: Family<Of, Counter>,
    refused: Family<Of, Counter>,
    errors: Family<Of, Counter>,
    handshakes: Family<Done, Counter>,
    failures: Family<Failed, Counter>,
    panics: Count,
}

/// What is counted of one listener; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Listener(Arc<Numbers>);

#[derive(Debug)]
struct Numbers {
    name: Arc<str>,
    open: Gauge,
    accepted: Counter,
    refused: Counter,
    errors: Counter,
    handshakes: Family<Done, Counter>,
    failures: Vec<Counter>,
    panics: Count,
}

/// A connection that is open until this is dropped.
#[derive(Debug)]
pub(crate) struct Open(Gauge);

impl Listeners {
    pub(super) fn register(registry: &mut Registry, panics: Count) -> Self {
        let all = Self {
            panics,
            ..Self::default()
        };
        registry.register(
            "connections_open",
            "Connections of clients open now",
            all.open.clone(),
        );
        registry.register(
            "connections_accepted",
            "Connections accepted",
            all.accepted.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections closed at once, because limits.connections were open",
            all.refused.clone(),
        );
        registry.register(
            "accept_errors",
            "Connections that could not be accepted, for want of open files mostly",
            all.errors.clone(),
        );
        registry.register(
            "handshakes",
            "TLS handshakes completed",
            all.handshakes.clone(),
        );
        registry.register(
            "handshake_failures",
            "Connections that came to no request, by reason",
            all.failures.clone(),
        );
        all
    }

    /// The numbers of the listener of this name; all of them are there from now on.
    pub(super) fn of(&self, name: &str) -> Listener {
        let name: Arc<str> = name.into();
        let of = Of {
            listener: Arc::clone(&name),
        };
        let failure = |reason: &Failure| {
            self.failures.get_or_create_owned(&Failed {
                listener: Arc::clone(&name),
                reason: *reason,
            })
        };
        Listener(Arc::new(Numbers {
            open: self.open.get_or_create_owned(&of),
            accepted: self.accepted.get_or_create_owned(&of),
            refused: self.refused.get_or_create_owned(&of),
            errors: self.errors.get_or_create_owned(&of),
            handshakes: self.handshakes.clone(),
            failures: Failure::ALL.iter().map(failure).collect(),
            panics: self.panics.clone(),
            name,
        }))
    }
}

impl Listener {
    /// A connection was accepted.
    pub(crate) fn accepted(&self) -> Open {
        self.0.accepted.inc();
        self.0.open.inc();
        Open(self.0.open.clone())
    }

    /// One was closed at once, because too many were open.
    pub(crate) fn refused(&self) {
        self.0.refused.inc();
    }

    /// One could not be accepted.
    pub(crate) fn accept_failed(&self) {
        self.0.errors.inc();
    }

    /// A handshake is done.
    pub(crate) fn handshake(&self, version: Option<&'static str>, resumed: bool) {
        let done = Done {
            listener: Arc::clone(&self.0.name),
            version: version.unwrap_or("other"),
            resumed,
        };
        self.0.handshakes.get_or_create(&done).inc();
    }

    /// The task of one panicked.
    pub(crate) fn panicked(&self) {
        self.0.panics.one();
    }

    /// One came to nothing.
    pub(crate) fn failed(&self, reason: Failure) {
        if let Some(failures) = self.0.failures.get(reason.at()) {
            failures.inc();
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

//! Requests: how many, how long, how many bytes, and what they say of uploads.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::route::Target;

use super::word::{Count, Numbers, words};

words! {
    /// What is asked for. Repositories, tags and digests are not told apart.
    "route" Endpoint {
        /// No route: refused before there was one.
        None = "none",
        /// `/_ping` and `/v1/_ping`.
        Ping = "ping",
        /// `/`.
        Root = "root",
        /// `/v2/`.
        Version = "version",
        /// `/v2/_catalog`.
        Catalog = "catalog",
        /// `/v1/search`.
        Search = "search",
        /// `/v2/NAME/tags/list`.
        Tags = "tags",
        /// `/v2/NAME/manifests/REFERENCE`.
        Manifest = "manifest",
        /// `/v2/NAME/blobs/DIGEST`.
        Blob = "blob",
        /// `/v2/NAME/blobs/uploads/`.
        UploadStart = "upload_start",
        /// `/v2/NAME/blobs/uploads/ID`.
        Upload = "upload",
        /// `/v2/NAME/referrers/DIGEST`.
        Referrers = "referrers",
        /// The token service.
        Token = "token",
        /// `/.well-known/acme-challenge/TOKEN`.
        Proof = "proof",
    }
}

words! {
    /// How it is asked for.
    "method" Verb {
        /// `GET`
        Get = "GET",
        /// `HEAD`
        Head = "HEAD",
        /// `POST`
        Post = "POST",
        /// `PUT`
        Put = "PUT",
        /// `PATCH`
        Patch = "PATCH",
        /// `DELETE`
        Delete = "DELETE",
        /// Any other, and what could not be read.
        Other = "other",
    }
}

words! {
    /// Who answered.
    "backend" Answerer {
        /// The gate itself: pings, tokens, refusals.
        Gate = "gate",
        /// The registry behind the gate.
        Upstream = "upstream",
        /// The embedded registry.
        Registry = "registry",
    }
}

words! {
    /// What became of an upload, as the answers to its requests tell.
    "event" UploadEvent {
        /// A session was opened.
        Started = "started",
        /// A blob is there: the session was closed, or the blob came in one request.
        Finished = "finished",
        /// A blob of another repository was taken; no bytes came.
        Mounted = "mounted",
        /// The client gave it up.
        Cancelled = "cancelled",
        /// Nobody came back to it, and the embedded registry removed it.
        Swept = "swept",
    }
}

/// From a ping to a layer of gigabytes over a slow line, in seconds.
const BUCKETS: [f64; 15] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0, 3600.0,
];

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

impl From<&Target> for Endpoint {
    fn from(target: &Target) -> Self {
        match target {
            Target::Ping => Self::Ping,
            Target::Root => Self::Root,
            Target::Version => Self::Version,
            Target::Catalog => Self::Catalog,
            Target::Search => Self::Search,
            Target::Tags(_) => Self::Tags,
            Target::Manifest(..) => Self::Manifest,
            Target::Blob(..) => Self::Blob,
            Target::UploadStart(..) => Self::UploadStart,
            Target::Upload(..) => Self::Upload,
            Target::Referrers(..) => Self::Referrers,
            Target::Token(_) => Self::Token,
            Target::Proof(_) => Self::Proof,
        }
    }
}

impl From<&Method> for Verb {
    fn from(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            _ => Self::Other,
        }
    }
}

/// A status that has a name; a registry behind the gate can say any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Status(Option<StatusCode>);

impl From<StatusCode> for Status {
    fn from(status: StatusCode) -> Self {
        // 499 is the log's word for a client that went away before it was answered.
        let known = status.canonical_reason().is_some() || status.as_u16() == 499;
        Self(known.then_some(status))
    }
}

impl EncodeLabelValue for Status {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match &self.0 {
            Some(status) => status.as_str().encode(encoder),
            None => "other".encode(encoder),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: Endpoint,
    method: Verb,
    status: Status,
    backend: Answerer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    route: Endpoint,
    method: Verb,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

/// What is counted of requests; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Requests(Arc<Tables>);

#[derive(Debug)]
struct Tables {
    answered: Family<Answered, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
    open: Numbers<Endpoint>,
    received: Numbers<Endpoint>,
    sent: Numbers<Endpoint>,
    /// Reasons are words of this program, so they are as many as it has.
    refusals: Family<Why, Counter>,
    uploads: Numbers<UploadEvent>,
    panics: Count,
}

/// One request that is being served; it counts as open until it is dropped.
#[derive(Debug)]
pub(crate) struct Tally {
    tables: Arc<Tables>,
    route: Endpoint,
    mounts: bool,
}

/// Where bytes of a request's body are counted while they come.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    tables: Arc<Tables>,
    route: Endpoint,
}

/// What is known of a request when its answer has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'a> {
    /// The method; `None` where no request could be read.
    pub method: Option<&'a Method>,
    /// The status that was sent.
    pub status: StatusCode,
    /// Who answered.
    pub backend: Answerer,
    /// From the head of the request to the end of the answer.
    pub duration: Duration,
    /// Why it was refused or cut short.
    pub reason: Option<&'static str>,
}

impl Requests {
    pub(super) fn register(registry: &mut Registry, panics: Count) -> Self {
        let tables = Tables {
            answered: Family::default(),
            durations: Family::new_with_constructor(histogram),
            open: Numbers::gauges(),
            received: Numbers::counters(),
            sent: Numbers::counters(),
            refusals: Family::default(),
            uploads: Numbers::counters(),
            panics,
        };
        registry.register(
            "requests",
            "Requests whose answer has ended",
            tables.answered.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "From the head of a request to the end of its answer's body",
            Unit::Seconds,
            tables.durations.clone(),
        );
        registry.register(
            "requests_open",
            "Requests being served now",
            tables.open.clone(),
        );
        registry.register_with_unit(
            "request_body",
            "Bytes of request bodies that came from clients",
            Unit::Bytes,
            tables.received.clone(),
        );
        registry.register_with_unit(
            "response_body",
            "Bytes of answers' bodies that were handed to clients",
            Unit::Bytes,
            tables.sent.clone(),
        );
        registry.register(
            "refusals",
            "Requests refused or cut short, by the reason of the access log",
            tables.refusals.clone(),
        );
        registry.register(
            "uploads",
            "Events of uploads, as the answers to clients tell them",
            tables.uploads.clone(),
        );
        Self(Arc::new(tables))
    }

    /// A request has come.
    pub(crate) fn begin(&self) -> Tally {
        let route = Endpoint::None;
        self.0.open.add(route, 1);
        Tally {
            tables: Arc::clone(&self.0),
            route,
            mounts: false,
        }
    }

    /// The handling of a request panicked.
    pub(crate) fn panicked(&self) {
        self.0.panics.one();
    }

    /// The embedded registry removed so many uploads that nobody came back to.
    pub(crate) fn swept(&self, uploads: u64) {
        self.0.uploads.add(UploadEvent::Swept, uploads);
    }
}

impl Tally {
    /// It has a route.
    pub(crate) fn routed(&mut self, target: &Target) {
        self.tables.open.subtract(self.route, 1);
        self.route = target.into();
        self.tables.open.add(self.route, 1);
        self.mounts = matches!(target, Target::UploadStart(_, Some(_)));
    }

    /// Where the bytes of its body are counted, from its route on.
    pub(crate) fn flow(&self) -> Flow {
        Flow {
            tables: Arc::clone(&self.tables),
            route: self.route,
        }
    }

    /// Bytes of the answer went to the client.
    pub(crate) fn sent(&self, bytes: u64) {
        self.tables.sent.add(self.route, bytes);
    }

    /// The answer has ended.
    pub(crate) fn ended(&self, ended: &Ended<'_>) {
        let method = ended.method.map_or(Verb::Other, Verb::from);
        let tables = &self.tables;
        let answered = Answered {
            route: self.route,
            method,
            status: ended.status.into(),
            backend: ended.backend,
        };
        tables.answered.get_or_create(&answered).inc();
        let asked = Asked {
            route: self.route,
            method,
        };
        let seconds = ended.duration.as_secs_f64();
        tables.durations.get_or_create(&asked).observe(seconds);
        if let Some(reason) = ended.reason {
            tables.refusals.get_or_create(&Why { reason }).inc();
        }
        if let Some(event) = event(self.route, method, ended.status, self.mounts) {
            tables.uploads.add(event, 1);
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.tables.open.subtract(self.route, 1);
    }
}

impl Flow {
    /// So many more bytes came.
    pub(crate) fn add(&self, bytes: u64) {
        self.tables.received.add(self.route, bytes);
    }
}

/// What an answer says of an upload; the same for the registry behind the gate and the embedded one.
fn event(route: Endpoint, method: Verb, status: StatusCode, mounts: bool) -> Option<UploadEvent> {
    match (route, method, status) {
        (Endpoint::UploadStart, Verb::Post, StatusCode::ACCEPTED) => Some(UploadEvent::Started),
        (Endpoint::UploadStart, Verb::Post, StatusCode::CREATED) if mounts => {
            Some(UploadEvent::Mounted)
        }
        (Endpoint::UploadStart, Verb::Post, StatusCode::CREATED)
        | (Endpoint::Upload, Verb::Put, StatusCode::CREATED) => Some(UploadEvent::Finished),
        (Endpoint::Upload, Verb::Delete, StatusCode::NO_CONTENT) => Some(UploadEvent::Cancelled),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_without_a_name_and_a_strange_method_are_other() {
        assert_eq!(Status::from(StatusCode::OK).0, Some(StatusCode::OK));
        assert_eq!(Status::from(StatusCode::from_u16(799).unwrap()).0, None);
        let strange = Method::from_bytes(b"BREW").unwrap();
        assert_eq!(Verb::from(&strange), Verb::Other);
    }

    #[test]
    fn answers_tell_what_became_of_an_upload() {
        let cases = [
            (
                Endpoint::UploadStart,
                Verb::Post,
                202,
                false,
                Some(UploadEvent::Started),
            ),
            (
                Endpoint::UploadStart,
                Verb::Post,
                202,
                true,
                Some(UploadEvent::Started),
            ),
            (
                Endpoint::UploadStart,
                Verb::Post,
                201,
                true,
                Some(UploadEvent::Mounted),
            ),
            (
                Endpoint::UploadStart,
                Verb::Post,
                201,
                false,
                Some(UploadEvent::Finished),
            ),
            (Endpoint::UploadStart, Verb::Post, 401, false, None),
            (Endpoint::Upload, Verb::Patch, 202, false, None),
            (
                Endpoint::Upload,
                Verb::Put,
                201,
                false,
                Some(UploadEvent::Finished),
            ),
            (Endpoint::Upload, Verb::Put, 400, false, None),
            (
                Endpoint::Upload,
                Verb::Delete,
                204,
                false,
                Some(UploadEvent::Cancelled),
            ),
            (Endpoint::Manifest, Verb::Put, 201, false, None),
        ];
        for (route, method, status, mounts, expected) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                event(route, method, status, mounts),
                expected,
                "{route:?} {method:?}"
            );
        }
    }
}

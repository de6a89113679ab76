//! The facts of one request, gathered along the walk, and the access line made of them when the answer's body ends.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT, REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, error};

use crate::body::Body;
use crate::body::End;
use crate::body::Watch;
use crate::body::Watched;
use crate::body::empty;
use crate::error::Error;
use crate::header::Origin;
use crate::header::origin;
use crate::identity::Identity;
use crate::metrics;
use crate::metrics::Answerer;
use crate::metrics::Tally;
use crate::metrics::UpstreamFault;
use crate::net::TrustedNetworks;
use crate::peer::Address;
use crate::peer::Peer;
use crate::route::Action;
use crate::route::Route;
use crate::telemetry::AccessLog;
use crate::telemetry::Entry;
use crate::telemetry::RequestLine;
use crate::telemetry::chain;

use super::challenge::About;
use super::counts::Counts;
use super::request_id::new_request_id;
use super::strict::named_host;
use super::upload::Received;

/// One request, from its head to the end of its answer.
#[derive(Debug)]
pub(super) struct Exchange {
    begun: Instant,
    origin: Origin,
    request_id: HeaderValue,
    received: Arc<Received>,
    /// The client holds its body back until it is told to send it, and may send it though it was refused.
    expects_continue: bool,
    entry: Entry,
    about: About,
    log: Option<AccessLog>,
    tally: Tally,
    counts: Arc<Counts>,
    told: bool,
}

/// What nginx logs for a client that went away before it was answered; no client ever sees it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The registry behind the gate among the backends, and the embedded one.
const UPSTREAM: &str = "upstream";
const EMBEDDED: &str = "registry";

/// A body of ours was cut, because its bytes could not be read.
const STORAGE_ERROR: &str = "storage_error";

impl Exchange {
    /// Notes what the head says.
    pub(super) fn begin(
        peer: &Peer,
        parts: &Parts,
        trusted: &TrustedNetworks,
        log: Option<AccessLog>,
        counts: &Arc<Counts>,
    ) -> Self {
        let host = named_host(parts);
        let origin = origin(peer, host.as_ref(), &parts.headers, trusted);
        let request_id = new_request_id();
        let target = parts
            .uri
            .path_and_query()
            .map_or_else(|| parts.uri.to_string(), |path| path.as_str().to_owned());
        let entry = Entry {
            peer: origin
                .address
                .map_or(peer.address, |ip| Address::Ip(SocketAddr::new(ip, 0))),
            user: None,
            time: Timestamp::UNIX_EPOCH,
            request: Some(RequestLine {
                method: parts.method.clone(),
                target,
                version: parts.version,
            }),
            status: StatusCode::OK,
            bytes_sent: 0,
            bytes_received: 0,
            host: host
                .as_ref()
                .and_then(|host| host.to_str().ok())
                .map(ToOwned::to_owned),
            referer: parts.headers.get(REFERER).cloned(),
            user_agent: parts.headers.get(USER_AGENT).cloned(),
            repository: None,
            action: None,
            duration: Duration::ZERO,
            backend: None,
            upstream_status: None,
            request_id: request_id.to_str().unwrap_or_default().to_owned(),
            reason: None,
            certificate: peer.certificate.as_ref().map(|c| c.name().to_owned()),
            tls: peer.tls_version,
        };
        Self {
            begun: Instant::now(),
            origin,
            request_id,
            received: Arc::default(),
            expects_continue: parts.headers.contains_key(EXPECT),
            entry,
            about: About::default(),
            log,
            tally: counts.requests.begin(),
            counts: Arc::clone(counts),
            told: false,
        }
    }

    /// What came was no request; it is logged as what it was.
    pub(super) fn unread(
        peer: &Peer,
        status: StatusCode,
        reason: &'static str,
        log: Option<AccessLog>,
        counts: &Arc<Counts>,
    ) -> Self {
        let mut parts = http::Request::new(()).into_parts().0;
        parts.headers.clear();
        let mut exchange = Self::begin(peer, &parts, &TrustedNetworks::default(), log, counts);
        exchange.entry.request = None;
        exchange.entry.status = status;
        exchange.entry.reason = Some(reason);
        exchange
    }

    /// How the client sees itself.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Host and port as the client named them.
    pub(super) fn host(&self) -> Option<&str> {
        self.origin
            .host
            .as_ref()
            .and_then(|host| host.to_str().ok())
    }

    /// What a challenge tells of the request.
    pub(super) fn about(&self) -> &About {
        &self.about
    }

    /// The connection as the one behind a trusted proxy would have made it: whom login delays are about.
    pub(super) fn client<'p>(&self, peer: &'p Peer) -> Cow<'p, Peer> {
        if self
            .origin
            .address
            .is_none_or(|ip| Some(ip) == peer.address.ip())
        {
            return Cow::Borrowed(peer);
        }
        Cow::Owned(Peer {
            address: self.entry.peer,
            ..peer.clone()
        })
    }

    /// The id under which the request stands in the log.
    pub(super) fn request_id(&self) -> &HeaderValue {
        &self.request_id
    }

    /// Where the bytes of the request's body are counted.
    pub(super) fn received(&self) -> Arc<Received> {
        Arc::clone(&self.received)
    }

    /// Notes what is asked for.
    pub(super) fn route(&mut self, route: &Route) {
        let access = route.access();
        self.tally.routed(&route.target);
        self.received.flows_into(self.tally.flow());
        self.entry.repository = access.repository.map(|name| name.as_str().to_owned());
        self.about = About {
            scope: access.scope(),
            token_service: access.action == Action::Token,
        };
        self.entry.action = (access.action != Action::Public).then_some(access.action.as_str());
    }

    /// Notes who asks.
    pub(super) fn identity(&mut self, identity: &Identity) {
        self.entry.user = identity.name().map(ToOwned::to_owned);
    }

    /// Notes who claims to ask and could not prove it, as nginx's `$remote_user` does.
    pub(super) fn claimed(&mut self, name: Option<String>) {
        self.entry.user = name;
    }

    /// Whether the connection is over with this refusal, as far as is known now: the rest of the request's body can or
    /// will not be read. HTTP/2 ends the stream alone.
    pub(super) fn closes_after(&self, error: &Error) -> bool {
        let http1 = self
            .entry
            .request
            .as_ref()
            .is_some_and(|line| line.version < Version::HTTP_2);
        http1 && (self.expects_continue || error.breaks_the_body())
    }

    /// Notes who is to answer.
    pub(super) fn backend(&mut self, name: &'static str) {
        self.entry.backend = Some(name);
    }

    /// Notes what the registry behind us answered.
    pub(super) fn upstream(&mut self, status: Option<u16>) {
        self.entry.upstream_status = status.and_then(|s| StatusCode::from_u16(s).ok());
    }

    /// Notes why the request was refused.
    pub(super) fn reason(&mut self, reason: &'static str) {
        self.entry.reason = Some(reason);
    }

    /// Tells the operator what went wrong, with its causes, once.
    pub(super) fn alarm(&self, fault: &dyn StdError) {
        error!(
            request.id = self.entry.request_id,
            reason = self.entry.reason,
            repo = self.entry.repository,
            "request failed: {}",
            chain(fault)
        );
    }

    /// The answer, which writes the access line when its body has ended, however it ends.
    pub(super) fn finish(mut self, response: Response<Body>) -> Response<Body> {
        self.entry.status = response.status();
        let response = if self.is_head() {
            head_alone(response)
        } else {
            response
        };
        if self.entry.backend == Some(EMBEDDED) {
            return response.map(|body| self.watch_ours(body));
        }
        response.map(|body| Watched::new(body, self).boxed_unsync())
    }

    fn is_head(&self) -> bool {
        let request = self.entry.request.as_ref();
        request.is_some_and(|line| line.method == Method::HEAD)
    }

    /// A body of our own that breaks is a matter for the operator: the store has failed in the middle of it.
    fn watch_ours(self, body: Body) -> Body {
        let broken: Arc<OnceLock<String>> = Arc::default();
        let cause = Arc::clone(&broken);
        let counts = Arc::clone(&self.counts);
        let body = body.map_err(move |error| {
            if cause.set(chain(&*error)).is_ok() {
                counts.cut(&*error);
            }
            error
        });
        let ours = Ours {
            exchange: self,
            broken,
        };
        Watched::new(body, ours).boxed_unsync()
    }

    fn tell(&mut self, end: End, bytes: u64) {
        self.told = true;
        let entry = &mut self.entry;
        match end {
            End::Complete => {}
            // It is the body of the registry, behind us or ours, that did not come to its end.
            End::Cut if entry.backend == Some(EMBEDDED) => entry.reason = Some(STORAGE_ERROR),
            End::Cut => {
                entry.reason = entry.reason.or(Some("upstream_truncated"));
                self.counts.upstream.failed(UpstreamFault::Truncated);
            }
            End::Abandoned => entry.reason = entry.reason.or(Some("client_aborted")),
        }
        entry.bytes_sent = bytes;
        entry.bytes_received = self.received.bytes();
        entry.duration = self.begun.elapsed();
        debug!(
            request.id = entry.request_id,
            status = entry.status.as_u16(),
            ?end,
            "request ended"
        );
        self.tally.ended(&metrics::Ended {
            method: entry.request.as_ref().map(|line| &line.method),
            status: entry.status,
            backend: match entry.backend {
                Some(UPSTREAM) => Answerer::Upstream,
                Some(EMBEDDED) => Answerer::Registry,
                _ => Answerer::Gate,
            },
            duration: entry.duration,
            reason: entry.reason,
        });
        if let Some(log) = &self.log {
            entry.time = Timestamp::now();
            log.write(entry);
        }
    }
}

impl Watch for Exchange {
    fn passed(&mut self, bytes: u64) {
        self.tally.sent(bytes);
    }

    fn ended(&mut self, end: End, bytes: u64) {
        self.tell(end, bytes);
    }
}

/// An exchange whose answer is the embedded registry's.
struct Ours {
    exchange: Exchange,
    /// What the store said when it failed in the middle of the answer.
    broken: Arc<OnceLock<String>>,
}

impl Watch for Ours {
    fn passed(&mut self, bytes: u64) {
        self.exchange.tally.sent(bytes);
    }

    fn ended(&mut self, end: End, bytes: u64) {
        if let Some(text) = self.broken.get() {
            let entry = &self.exchange.entry;
            error!(
                request.id = entry.request_id,
                reason = STORAGE_ERROR,
                repo = entry.repository,
                "answer cut short: {text}"
            );
        }
        self.exchange.tell(end, bytes);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // The connection ended, and hyper let go of the request, before there was an answer.
        if !self.told {
            self.entry.status = StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or_default();
            self.tell(End::Abandoned, 0);
        }
    }
}

/// The answer to HEAD: that of GET, and nothing of its body (RFC 9110 section 9.3.2). hyper leaves the body out over
/// HTTP/1 alone.
fn head_alone(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    if let Some(length @ 1..) = body.size_hint().exact() {
        let of_get = HeaderValue::from(length);
        parts.headers.entry(CONTENT_LENGTH).or_insert(of_get);
    }
    Response::from_parts(parts, empty())
}

//! The registry behind the gate: one request sent, one answer back.
//!
//! Bounds what the upstream can make us hold (connections, waiting requests) and how long it may be silent, repeats
//! only what is safe to repeat, and refuses answers that two readers could frame in two ways. Knows nothing of who
//! asks or may.

mod check;
mod error;
mod progress;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderValue, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::body::Body;
use crate::body::empty;
use crate::client::Answer;
use crate::client::Client;
use crate::client::Target;
use crate::config;
use crate::config::Authorization;
use crate::config::UpstreamUrl;
use crate::metrics;
use crate::tls::client_config;
use crate::turns::{Bounds, Full, Source, Turns};

pub(crate) use error::{Error, LoadError};
use progress::{Patient, Progress, Watching, silence};

/// A request waits this long for a free connection; docker gives up its ping after 15 s.
const QUEUE_WAIT: Duration = Duration::from_secs(10);

/// Who asks whether a registry answers, as its log has it.
const ASKING: HeaderValue = HeaderValue::from_static(concat!(
    "dockgate/",
    env!("CARGO_PKG_VERSION"),
    " (readiness)"
));

/// The registry behind the gate.
#[derive(Debug)]
pub(crate) struct Upstream {
    client: Client,
    connections: Turns,
    read_timeout: Duration,
    authorization: Outgoing,
    counts: metrics::Upstream,
}

/// What the upstream gets as `Authorization`.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Nothing.
    Strip,
    /// The name of who asks, with an empty password.
    User,
    /// What the client sent.
    Forward,
    /// This.
    Own(HeaderValue),
}

/// Makes the head of a request, once more for a second attempt, which hardly any request needs.
pub(crate) type Heads<'a> = &'a (dyn Fn() -> Head + Sync);

/// A request to the upstream, but for its body.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The method.
    pub method: Method,
    /// Path and query, in the spelling that was judged.
    pub path_and_query: String,
    /// All headers; `Host` among them where the client named one.
    pub headers: HeaderMap,
    /// Whose share of the connections it takes a part of.
    pub source: Source,
}

impl Upstream {
    /// Reads what the configuration names (CA, client certificate, password) and makes ready to connect.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub(crate) fn load(
        config: &config::Upstream,
        counts: metrics::Upstream,
    ) -> Result<Self, Vec<LoadError>> {
        let mut faults = Vec::new();
        let target = match &config.url {
            UpstreamUrl::Http { host, port } => Some(Target::Tcp {
                host: host.clone(),
                port: *port,
            }),
            UpstreamUrl::Https { host, port } => {
                match client_config(config.ca.as_deref(), config.client_certificate.as_ref()) {
                    Ok(tls) => Some(Target::Tls {
                        host: host.clone(),
                        port: *port,
                        tls,
                    }),
                    Err(errors) => {
                        faults.extend(errors.into_iter().map(LoadError::Tls));
                        None
                    }
                }
            }
            UpstreamUrl::Unix(path) => Some(Target::Unix(path.clone())),
        };
        let authorization = match &config.authorization {
            Authorization::Strip => Ok(Outgoing::Strip),
            Authorization::User => Ok(Outgoing::User),
            Authorization::Forward => Ok(Outgoing::Forward),
            Authorization::Own {
                username,
                password_file,
            } => own_credentials(username, password_file).map(Outgoing::Own),
        };
        let (target, authorization) = match (target, authorization) {
            (Some(target), Ok(authorization)) => (target, authorization),
            (_, authorization) => {
                faults.extend(authorization.err());
                return Err(faults);
            }
        };
        Ok(Self {
            client: Client::new(target, config.connect_timeout, config.max_connections),
            connections: Turns::new(bounds(config.max_connections)),
            read_timeout: config.read_timeout,
            authorization,
            counts,
        })
    }

    /// What to send as `Authorization`.
    pub(crate) fn authorization(&self) -> &Outgoing {
        &self.authorization
    }

    /// Host and port of the upstream as a URL has them.
    pub(crate) fn authority(&self) -> &str {
        self.client.authority()
    }

    /// Sends a request and returns the answer when its head is there; its body still streams.
    ///
    /// # Errors
    /// Says who is at fault: the upstream, the client's body, or the bound on connections.
    pub(crate) async fn send(
        &self,
        heads: Heads<'_>,
        body: Option<Body>,
    ) -> Result<Response<Body>, Error> {
        let (begun, head) = (Instant::now(), heads());
        let method = head.method.clone();
        let answer = self.attempt(head, heads, body).await;
        match &answer {
            Ok(_) => self.counts.answered(&method, begun.elapsed()),
            Err(error) => error
                .fault()
                .into_iter()
                .for_each(|f| self.counts.failed(f)),
        }
        answer
    }

    /// Whether a registry answers: asks for `/v2/` over a connection of its own, beside the bound on connections, so that
    /// a busy registry is not taken for a dead one. Whoever asks has a deadline.
    ///
    /// # Errors
    /// It cannot be reached, or says itself that it is broken.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, ASKING);
        let head = Head {
            method: Method::GET,
            path_and_query: "/v2/".to_owned(),
            headers,
            source: Source::Unix,
        };
        let request = Self::request(head, None)?;
        let answer = self.client.send(request, true).await;
        let answer = answer.map_err(Error::from_client)?;
        if answer.status().is_server_error() {
            return Err(Error::BadAnswer {
                what: "it answers /v2/ with a server error",
                source: None,
            });
        }
        Ok(())
    }

    async fn attempt(
        &self,
        head: Head,
        heads: Heads<'_>,
        body: Option<Body>,
    ) -> Result<Response<Body>, Error> {
        let place = self.connections.enter(head.source).await;
        let place = place.map_err(|Full| Error::Busy)?;
        let repeatable = body.is_none() && is_repeatable(&head.method);
        let progress = body.is_some().then(|| Arc::new(Progress::new()));
        let body = body
            .zip(progress.clone())
            .map(|(body, progress)| Watching::new(body, progress).boxed_unsync());
        let begun = Instant::now();
        let request = Self::request(head, body)?;
        let first = self.exchange(request, false, begun, progress.as_deref());
        let mut answer = first.await;
        // GET and HEAD without a body meet a pooled connection that the upstream is just closing now and then.
        if let (Err(Error::Broken(_)), true) = (&answer, repeatable) {
            self.counts.retried();
            let again = Self::request(heads(), None)?;
            // Both together have the time of one.
            answer = Box::pin(self.exchange(again, true, begun, None)).await;
        }
        let (parts, mut body) = answer?.into_parts();
        // Who frames one answer in two ways may mean the rest of its bytes as another one.
        check::answer(&parts).inspect_err(|_| body.distrust())?;
        let body = Patient::new(body, self.read_timeout, place);
        Ok(Response::from_parts(parts, body.boxed_unsync()))
    }

    async fn exchange(
        &self,
        request: Request<Body>,
        fresh: bool,
        begun: Instant,
        progress: Option<&Progress>,
    ) -> Result<Response<Answer>, Error> {
        tokio::select! {
            biased;
            answer = self.client.send(request, fresh) => answer.map_err(Error::from_client),
            () = silence(begun, progress, self.read_timeout) => Err(Error::Silent(self.read_timeout)),
        }
    }

    fn request(head: Head, body: Option<Body>) -> Result<Request<Body>, Error> {
        // Where a body is usual, its absence is told (RFC 9110 section 8.6); some servers answer 411 otherwise.
        let told_empty = body.is_none() && !is_bodyless(&head.method);
        let target = PathAndQuery::try_from(head.path_and_query);
        let mut request = Request::new(body.unwrap_or_else(empty));
        *request.method_mut() = head.method;
        *request.uri_mut() = target
            .map_err(|error| Error::Unsendable(error.into()))?
            .into();
        *request.headers_mut() = head.headers;
        if told_empty {
            request
                .headers_mut()
                .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(request)
    }
}

/// A client that takes nothing of its answers, or very many of them, leaves half of the connections to all others.
fn bounds(connections: usize) -> Bounds {
    let half = (connections / 2).max(1);
    Bounds {
        places: connections,
        places_each: half,
        waiting: connections,
        waiting_each: half,
        patience: QUEUE_WAIT,
    }
}

fn is_bodyless(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::DELETE)
}

fn is_repeatable(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn own_credentials(username: &str, file: &Path) -> Result<HeaderValue, LoadError> {
    let read = std::fs::read(file).map_err(|source| LoadError::Password {
        file: file.to_owned(),
        source,
    })?;
    let text = Zeroizing::new(read);
    let password = text.split(|b| *b == b'\n').next().unwrap_or_default();
    let password = password.strip_suffix(b"\r").unwrap_or(password);
    if password.is_empty() {
        return Err(LoadError::EmptyPassword {
            file: file.to_owned(),
        });
    }
    Ok(basic(username, password))
}

/// The value of an `Authorization: Basic` header (RFC 7617); it is marked sensitive, so that no log shows it.
pub(crate) fn basic(username: &str, password: &[u8]) -> HeaderValue {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    let pair = Zeroizing::new([username.as_bytes(), b":", password].concat());
    let encoded = Zeroizing::new(STANDARD.encode(&*pair));
    // What is sent stays in memory as long as it may be sent; nothing else of it does.
    let text = Bytes::from(["Basic ", &encoded].concat());
    // Base64 is visible ASCII, so the fallback is never taken; an empty value would be refused upstream.
    let mut value = HeaderValue::from_maybe_shared(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

//! The walk of one request, in one readable line: route, limit, authenticate, authorize, handle. Each step yields the
//! value that the next one needs, so the order, which is a security property, cannot be mixed up.
//!
//! Nothing fallible leaves here: an error becomes its answer in [`Gateway::serve`] alone. Knows no sockets.

mod agents;
mod challenge;
mod contain;
mod counts;
mod desk;
mod document;
mod exchange;
mod limit;
mod request_id;
mod strict;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONNECTION, HeaderValue, STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::acl::Acl;
use crate::acl::Denied;
use crate::acme::Tokens;
use crate::auth;
use crate::body::Body;
use crate::config;
use crate::config::Config;
use crate::error::Answer;
use crate::error::Challenge;
use crate::error::Error;
use crate::handler::Asked;
use crate::handler::Backend;
use crate::handler::Call;
use crate::handler::Challenging;
use crate::handler::Embedded;
use crate::handler::Wanted;
use crate::handler::handle;
use crate::handler::hidden;
use crate::header::API_VERSION;
use crate::header::REQUEST_ID;
use crate::header::guard_browsers;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::net::TrustedNetworks;
use crate::peer::Peer;
use crate::peer::Scheme;
use crate::registry;
use crate::registry::Swept;
use crate::route::Action;
use crate::route::Route;
use crate::storage::OpenError;
use crate::telemetry::AccessLog;
use crate::upstream::LoadError;
use crate::upstream::Upstream;

use agents::UserAgents;
use challenge::Challenger;
use contain::contained;
use counts::Counts;
use desk::Desk;
use document::{document, head};
use exchange::Exchange;
use limit::Limits;
use upload::Upload;

/// Everything between a request and its answer, built from one configuration and swapped as a whole on reload.
#[derive(Debug)]
pub(crate) struct Gateway {
    agents: UserAgents,
    limits: Limits,
    desk: Desk,
    acl: Acl,
    backend: Backend,
    trusted: TrustedNetworks,
    strict_transport_security: Option<HeaderValue>,
    challenger: Challenger,
    proofs: Tokens,
    access_log: Option<AccessLog>,
    counts: Arc<Counts>,
}

/// Why a gateway cannot be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The files of passwords, groups and token keys.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// What the upstream needs.
    #[error(transparent)]
    Upstream(#[from] LoadError),
    /// Where the embedded registry keeps its content.
    #[error(transparent)]
    Storage(#[from] OpenError),
    /// A pattern of user agents; the configuration has compiled it before.
    #[error(transparent)]
    Pattern(#[from] agents::PatternError),
}

impl Gateway {
    /// Reads what the configuration names and builds every room from its own section. A `previous` gateway hands over
    /// its users where they come from the same file: should that be broken just now, the last good ones stay.
    ///
    /// # Errors
    /// All that is wrong with them, and not the first fault alone.
    pub(crate) fn build(
        config: &Config,
        access_log: Option<AccessLog>,
        metrics: &Metrics,
        previous: Option<&Self>,
    ) -> Result<(Self, Vec<auth::Warning>), Vec<BuildError>> {
        let desk = Desk::load(config, metrics, previous.map(|old| &old.desk));
        let backend = backend(config, metrics, previous.map(|old| &old.backend));
        let agents = UserAgents::new(&config.clients);
        match (desk, backend, agents) {
            (Ok((desk, warnings)), Ok(backend), Ok(agents)) => Ok((
                Self {
                    agents,
                    limits: Limits::new(&config.limits),
                    desk,
                    acl: Acl::new(config),
                    backend,
                    trusted: TrustedNetworks::new(config.headers.trusted_proxies.clone()),
                    strict_transport_security: config.headers.strict_transport_security.clone(),
                    challenger: Challenger::new(config),
                    proofs: previous.map(Self::tokens).unwrap_or_default(),
                    access_log,
                    counts: Arc::new(Counts::of(metrics)),
                },
                warnings,
            )),
            (desk, backend, agents) => {
                let mut all: Vec<BuildError> = Vec::new();
                all.extend(desk.err().into_iter().flatten().map(BuildError::from));
                all.extend(backend.err().unwrap_or_default());
                all.extend(agents.err().map(BuildError::from));
                Err(all)
            }
        }
    }

    /// The files whose change means a reload of passwords, groups or token keys.
    pub(crate) fn credential_files(&self) -> Vec<PathBuf> {
        self.desk.files()
    }

    /// Reads these files again; each that is broken leaves what was in force before.
    pub(crate) fn reload_credentials(&self) -> Vec<Result<Vec<auth::Warning>, auth::Error>> {
        self.desk.reload()
    }

    /// Where the proofs of names are put for an authority to find; the same through every reload.
    pub(crate) fn tokens(&self) -> Tokens {
        self.proofs.clone()
    }

    /// Whether content can be had, as far as that can be told without a request.
    ///
    /// # Errors
    /// The store of the embedded registry does not answer.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        let checked = self.backend.check().await;
        checked.inspect_err(|error| self.counts.refused(error))
    }

    /// Whether content can be had now; a registry behind the gate is asked.
    ///
    /// # Errors
    /// It does not answer, or says itself that it is broken.
    pub(crate) async fn ready(&self) -> Result<(), Error> {
        self.backend.ready().await
    }

    /// The word for where content comes from.
    pub(crate) fn content(&self) -> &'static str {
        match self.backend {
            Backend::Upstream(_) => "upstream",
            Backend::Registry(_) => "store",
        }
    }

    /// Removes what clients of the embedded registry left behind; of a registry behind the gate that is its own job.
    ///
    /// # Errors
    /// Its storage failed; what was removed before is gone.
    pub(crate) async fn sweep(&self) -> Result<Swept, registry::Error> {
        match &self.backend {
            Backend::Upstream(_) => Ok(Swept::default()),
            Backend::Registry(embedded) => {
                let swept = embedded.sweep().await;
                self.counts.swept(swept.as_ref());
                swept
            }
        }
    }

    /// Waits until the embedded registry has done what was begun for connections that are closed by now, `patience` at
    /// most.
    pub(crate) async fn settle(&self, patience: Duration) {
        if let Backend::Registry(embedded) = &self.backend {
            embedded.settle(patience).await;
        }
    }

    /// Answers one request, whatever happens.
    pub(crate) async fn serve(
        self: Arc<Self>,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let log = self.access_log.clone();
        let mut exchange = Exchange::begin(peer, &parts, &self.trusted, log, &self.counts);
        let walked = contained(self.walk(peer, parts, body, &mut exchange)).await;
        self.desk.tell_failed_logins();
        let mut response = walked.unwrap_or_else(|error| self.refuse(&error, &mut exchange));
        self.fixed_headers(response.headers_mut(), peer.scheme, exchange.request_id());
        exchange.finish(response)
    }

    async fn walk(
        &self,
        peer: &Peer,
        parts: Parts,
        body: Incoming,
        exchange: &mut Exchange,
    ) -> Result<Response<Body>, Error> {
        // From here on the body has an owner that drains it, so that a refused client reads its answer.
        let body = Upload::new(body, &parts, exchange.received());
        strict::judge(&parts, &body)?;
        let route = Route::parse(&parts.method, &parts.uri, self.desk.token_path())?;
        exchange.route(&route);
        route.is_for(peer)?;
        let mut body = self
            .limits
            .admit(&route, &parts.headers, &self.agents, body)?;
        Acl::admit(peer, &route.access())?;
        let asked = if route.is_for_tokens() {
            Box::pin(Asked::read(&route, &parts.headers, &mut body)).await?
        } else {
            Asked::default()
        };
        let client = exchange.client(peer);
        let identity = self
            .authenticate(&client, &route, &parts.headers, &asked, exchange)
            .await?;
        exchange.identity(&identity);
        let permit = self.acl.authorize(&identity, peer, &route.access());
        match &permit {
            Ok(_) if route.reaches_a_registry() => exchange.backend(self.backend.name()),
            Err(Denied::Hidden(_)) => exchange.reason("hidden"),
            _ => {}
        }
        let challenge = || self.challenge(exchange, Challenge::Credentials);
        let tokens = self.desk.tokens().filter(|_| route.is_for_tokens());
        let call = Call {
            route: &route,
            method: &parts.method,
            headers: parts.headers,
            identity: &identity,
            acl: &self.acl,
            peer,
            origin: exchange.origin(),
            challenge: Challenging(&challenge),
            request_id: exchange.request_id(),
            proofs: &self.proofs,
            token: tokens.map(|tokens| Wanted {
                tokens,
                acl: &self.acl,
                grants: asked.grants,
                service: tokens.service(exchange.host()).into_owned(),
            }),
        };
        let permit = match (permit, hidden(&self.backend, &call)) {
            (Err(Denied::Hidden(_)), Some(nothing)) => return nothing,
            (permit, _) => permit?,
        };
        let (response, upstream_status) = handle(&self.backend, permit, call, body).await?;
        exchange.upstream(upstream_status);
        self.counts.done(&route, &identity);
        Ok(response)
    }

    /// Who asks; where everybody may, nobody is asked, and a wrong password does no harm.
    async fn authenticate(
        &self,
        peer: &Peer,
        route: &Route,
        headers: &HeaderMap,
        asked: &Asked,
        exchange: &mut Exchange,
    ) -> Result<Identity, Error> {
        if route.access().action == Action::Public {
            return Ok(Identity::anonymous());
        }
        let proven = self
            .desk
            .authenticate(headers, asked, peer, exchange.host())
            .await;
        if proven.is_err() {
            exchange.claimed(Desk::claimed(headers, asked));
        }
        proven
    }

    fn challenge(&self, exchange: &Exchange, why: Challenge) -> HeaderValue {
        let tokens = self.desk.tokens();
        self.challenger
            .line(tokens, exchange.origin(), exchange.about(), why)
    }

    /// The one place where an error becomes an answer.
    fn refuse(&self, error: &Error, exchange: &mut Exchange) -> Response<Body> {
        let answer = error.answer();
        exchange.reason(answer.reason);
        self.counts.refused(error);
        if answer.alarm {
            exchange.alarm(error);
        }
        let mut response = document(&answer, exchange.request_id());
        if exchange.closes_after(error) {
            let headers = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(why) = answer.challenge {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, self.challenge(exchange, why));
        }
        response
    }

    /// The bytes of an answer to what never became a request: an HTTP/1 head that the guard refused.
    pub(crate) fn refuse_bytes(
        &self,
        peer: &Peer,
        status: StatusCode,
        reason: &'static str,
        message: &str,
    ) -> Bytes {
        let log = self.access_log.clone();
        let exchange = Exchange::unread(peer, status, reason, log, &self.counts);
        let answer = Answer::unread(status, reason, message);
        let mut response = document(&answer, exchange.request_id());
        self.fixed_headers(response.headers_mut(), peer.scheme, exchange.request_id());
        let mut text = head(status, &response);
        let response = exchange.finish(response);
        // The body is all there: one frame, without waiting.
        if let Some(Some(Ok(frame))) = response.into_body().frame().now_or_never() {
            text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
        Bytes::from(text)
    }

    /// Headers that every answer carries, whoever made it.
    fn fixed_headers(&self, headers: &mut HeaderMap, scheme: Scheme, request_id: &HeaderValue) {
        headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        guard_browsers(headers);
        headers.insert(REQUEST_ID, request_id.clone());
        headers.remove(STRICT_TRANSPORT_SECURITY);
        if let (Scheme::Https, Some(value)) = (scheme, &self.strict_transport_security) {
            headers.insert(STRICT_TRANSPORT_SECURITY, value.clone());
        }
    }
}

/// Where content comes from.
fn backend(
    config: &Config,
    metrics: &Metrics,
    previous: Option<&Backend>,
) -> Result<Backend, Vec<BuildError>> {
    match &config.backend {
        config::Backend::Upstream(section) => {
            let loaded = Upstream::load(section, metrics.upstream()).map(Backend::Upstream);
            loaded.map_err(|all| all.into_iter().map(BuildError::from).collect())
        }
        config::Backend::Registry(section) => {
            let previous = match previous {
                Some(Backend::Registry(old)) => Some(old),
                _ => None,
            };
            let opened = Embedded::open(section, previous).map(Backend::Registry);
            opened.map_err(|error| vec![error.into()])
        }
    }
}

//! The administrator's listener: `/metrics`, `/healthz` and `/readyz`, in plain HTTP, for the operator's own tools.
//!
//! It shares nothing with clients but the process: connections of its own, few of them, one request each, and a deadline
//! for the whole. It answers to the very end of a drain.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info};

use crate::config::ListenAddress;
use crate::header::guard_browsers;
use crate::metrics::Format;
use crate::metrics::Metrics;
use crate::telemetry::chain;

use super::accept::{Listening, text};
use super::readiness::{Readiness, readiness};
use super::reload::Reloader;
use super::settings::Phase;
use super::transport::Socket;

/// Connections at once; more of them wait in the system's queue.
const PLACES: usize = 64;

/// For the head of a request.
const HEAD: Duration = Duration::from_secs(5);

/// For all of a connection: an answer has some tens of KiB, and a look at the backend takes some seconds at most.
const WHOLE: Duration = Duration::from_secs(15);

/// After a failed accept.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes and lines of a request's head; scrapers send a few hundred.
const HEAD_SIZE: usize = 16 * 1024;
const HEADERS: usize = 64;

/// What a scraper reads that asks in words.
const TEXT: &str = "text/plain; charset=utf-8";

/// What there is to tell.
#[derive(Debug)]
struct Admin {
    metrics: Metrics,
    readiness: Readiness,
}

/// What answers the operator's tools, until the very end.
pub(super) fn watching(
    admin: Option<(Listening, ListenAddress)>,
    reloader: &Reloader,
    phases: &watch::Receiver<Phase>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    if let Some((listening, address)) = admin {
        let metrics = reloader.metrics.clone();
        let (readiness, watchman) =
            readiness(reloader.live.clone(), metrics.clone(), phases.clone());
        tasks.spawn(watchman.run());
        tasks.spawn(run(listening, Admin { metrics, readiness }));
        let address = text(&address);
        info!(address, "answering /metrics, /healthz and /readyz");
    }
    tasks
}

/// Answers until it is dropped.
async fn run(listening: Listening, admin: Admin) {
    let admin = Arc::new(admin);
    let places = Arc::new(Semaphore::new(PLACES));
    let mut connections: JoinSet<()> = JoinSet::new();
    loop {
        // First the place: whoever cannot be answered now is not taken from the queue.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        while let Some(ended) = connections.try_join_next() {
            if let Err(error) = ended {
                error!(%error, "an answer to the operator ended in a panic; please report this");
            }
        }
        match listening.accept().await {
            Ok((socket, _)) => {
                let admin = Arc::clone(&admin);
                connections.spawn(async move {
                    serve(socket, admin).await;
                    drop(place);
                });
            }
            Err(error) => {
                debug!(%error, "cannot accept a connection to the admin listener; trying again");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(socket: Socket, admin: Arc<Admin>) {
    let service = service_fn(move |request| {
        let admin = Arc::clone(&admin);
        async move { Ok::<_, Infallible>(admin.answer(&request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_SIZE)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(socket), service);
    match timeout(WHOLE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(
            error = chain(&error),
            "connection to the admin listener broken"
        ),
        Err(_) => debug!("connection to the admin listener given up: it took too long"),
    }
}

impl Admin {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if !matches!(path, "/metrics" | "/healthz" | "/readyz") {
            let text = "there is /metrics, /healthz and /readyz\n";
            return said(StatusCode::NOT_FOUND, TEXT, text);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = said(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET or HEAD\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            answer.headers_mut().insert(ALLOW, allowed);
            return answer;
        }
        match path {
            "/metrics" => self.metrics(request),
            "/readyz" => self.ready().await,
            _ => said(StatusCode::OK, TEXT, "ok\n"),
        }
    }

    fn metrics(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let accepted = request.headers().get_all(ACCEPT).iter();
        let accepted: Vec<_> = accepted.filter_map(|value| value.to_str().ok()).collect();
        let format = Format::wanted(&accepted.join(","));
        self.readiness.note();
        match self.metrics.encode(format) {
            Ok(text) => said(StatusCode::OK, format.content_type(), text),
            Err(error) => {
                error!(%error, "metrics cannot be written; please report this");
                said(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "see the log\n")
            }
        }
    }

    async fn ready(&self) -> Response<Full<Bytes>> {
        let report = self.readiness.report().await;
        let status = if report.ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        said(status, TEXT, report.text)
    }
}

fn said(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    guard_browsers(headers);
    answer
}

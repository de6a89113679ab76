//! How requests of `object_store` leave the house: over our own client, with our rules for TLS.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, Limited};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::body::{Body, BoxError};
use crate::client::{self, Answer, Client, Target};
use crate::tls::ClientTls;

use super::{copy, fault, xml};

const CONNECT: Duration = Duration::from_secs(5);

/// An answer that makes no progress for this long does not come.
const STALL: Duration = Duration::from_secs(20);

/// As [`STALL`], for what a store may have to think about: copies, and the end of multipart uploads.
const LONG_STALL: Duration = Duration::from_secs(300);

/// Connections that are kept while they are idle.
const IDLE: usize = 32;

/// Other ends: the store, and who gives out credentials.
const ENDS: usize = 16;

/// What is read of the body of an error.
const ERROR_BODY: usize = 64 * 1024;

/// Opens lines for `object_store`.
#[derive(Clone, Debug)]
pub(super) struct Line(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tls: ClientTls,
    clients: Mutex<HashMap<String, Client>>,
}

impl Line {
    pub(super) fn new(tls: ClientTls) -> Self {
        let clients = Mutex::default();
        Self(Arc::new(Inner { tls, clients }))
    }

    fn client(&self, uri: &Uri) -> Result<Client, HttpError> {
        let bad = |what: &str| HttpError::new_boxed(HttpErrorKind::Unknown, what.into());
        let host = uri.host().ok_or_else(|| bad("an address without a host"))?;
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let mut clients = self
            .0
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let name = format!("{secure} {host} {port}");
        if let Some(client) = clients.get(&name) {
            return Ok(client.clone());
        }
        let target = if secure {
            let tls = self.0.tls.clone();
            Target::Tls { host, port, tls }
        } else {
            Target::Tcp { host, port }
        };
        if clients.len() >= ENDS {
            clients.clear();
        }
        let client = Client::new(target, CONNECT, IDLE);
        clients.insert(name, client.clone());
        Ok(client)
    }

    /// Sends a request and judges the head of its answer.
    pub(super) async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let client = self.client(request.uri())?;
        let host = request.uri().host().unwrap_or_default().to_owned();
        let patience = patience(&request);
        let progress = Arc::new(AtomicU64::new(0));
        let request = outgoing(request, &progress);
        let sent = client.send(request, false);
        tokio::pin!(sent);
        let mut seen = 0;
        let answer = loop {
            match timeout(patience, &mut sent).await {
                Ok(answer) => break answer,
                Err(_) if progress.load(Ordering::Relaxed) == seen => {
                    return Err(HttpError::new(HttpErrorKind::Timeout, Stalled { host }));
                }
                Err(_) => seen = progress.load(Ordering::Relaxed),
            }
        };
        let answer = answer.map_err(|error| lost(&host, error))?;
        let (mut parts, body) = answer.into_parts();
        copy::mark(&parts.headers, &mut parts.extensions);
        if parts.status.is_success() || parts.status == StatusCode::NOT_MODIFIED {
            let body = Watched::new(body, host, patience);
            return Ok(Response::from_parts(parts, HttpResponseBody::new(body)));
        }
        Ok(refused(&host, parts, body).await)
    }
}

/// Some answers take long to think about.
fn patience(request: &HttpRequest) -> Duration {
    let headers = request.headers();
    let copies = [
        "x-amz-copy-source",
        "x-ms-copy-source",
        "x-goog-copy-source",
    ]
    .iter()
    .any(|name| headers.contains_key(*name));
    let query = request.uri().query().unwrap_or_default();
    let completes = (request.method() == http::Method::POST && query.contains("uploadId="))
        || query.contains("comp=blocklist");
    if copies || completes {
        LONG_STALL
    } else {
        STALL
    }
}

/// The address stays as it is, because it was signed: a client is chosen by it, and dials its own target.
fn outgoing(request: HttpRequest, progress: &Arc<AtomicU64>) -> Request<Body> {
    let progress = Arc::clone(progress);
    request.map(|inner| Counted { inner, progress }.boxed_unsync())
}

/// No answer came.
fn lost(host: &str, error: client::Error) -> HttpError {
    let broken = |error: &hyper::Error| {
        error.is_closed() || error.is_incomplete_message() || error.is_body_write_aborted()
    };
    let kind = match &error {
        client::Error::Connect(_) => HttpErrorKind::Connect,
        client::Error::Broken(hyper) if broken(hyper) || hyper.is_canceled() => {
            HttpErrorKind::Request
        }
        client::Error::Broken(_) => HttpErrorKind::Interrupted,
    };
    let host = host.to_owned();
    let source = error.into();
    HttpError::new(kind, Lost { host, source })
}

/// What an answer says that is no success, without what must not reach a log.
async fn refused(host: &str, parts: http::response::Parts, body: Answer) -> HttpResponse {
    let body = timeout(STALL, Limited::new(body, ERROR_BODY).collect()).await;
    let body = match body {
        Ok(Ok(body)) => body.to_bytes(),
        _ => Bytes::new(),
    };
    let said = xml::said(&parts.headers, &body);
    let mut parts = parts;
    if parts.status.is_redirection() {
        // `object_store` would keep to itself what it was told, and follows nothing.
        parts.status = StatusCode::BAD_REQUEST;
    }
    let answer = fault::answer(host, parts.status, &said.code, &said.message);
    parts.headers.remove(http::header::CONTENT_LENGTH);
    Response::from_parts(parts, answer.into())
}

impl HttpService for Line {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.send(request))
    }
}

impl HttpConnector for Line {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

/// The other end went quiet.
#[derive(Debug, thiserror::Error)]
#[error("{host} does not answer any more")]
struct Stalled {
    host: String,
}

/// The connection did not come about, or broke.
#[derive(Debug, thiserror::Error)]
#[error("the connection to {host} failed")]
struct Lost {
    host: String,
    source: BoxError,
}

/// A body on its way out, which tells that it moves.
struct Counted {
    inner: HttpRequestBody,
    progress: Arc<AtomicU64>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.progress.fetch_add(1, Ordering::Relaxed);
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        frame.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

/// A body on its way in, which fails when it stands still.
struct Watched {
    inner: Answer,
    host: String,
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl Watched {
    fn new(inner: Answer, host: String, patience: Duration) -> Self {
        Self {
            inner,
            host,
            patience,
            deadline: Box::pin(sleep(patience)),
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            let next = Instant::now() + self.patience;
            self.deadline.as_mut().reset(next);
            let host = || self.host.clone();
            return Poll::Ready(frame.map(|frame| {
                frame.map_err(|error| {
                    let (host, source) = (host(), error.into());
                    HttpError::new(HttpErrorKind::Interrupted, Lost { host, source })
                })
            }));
        }
        if self.deadline.as_mut().poll(cx).is_ready() {
            let host = self.host.clone();
            let stalled = HttpError::new(HttpErrorKind::Timeout, Stalled { host });
            return Poll::Ready(Some(Err(stalled)));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

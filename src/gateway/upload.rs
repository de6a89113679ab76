//! The body of a request on its way in: counted, bounded, never silent for long, and drained when nobody wants it.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http::header::EXPECT;
use http::request::Parts;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep, timeout, timeout_at};

use crate::body::BoxError;
use crate::body::ClientFault;
use crate::metrics::Flow;

/// A body that does not move for this long is given up, as nginx's `client_body_timeout` does. There is no limit to
/// the whole: an upload may take days as long as it moves.
const STALL: Duration = Duration::from_secs(60);

/// A refused body is read to its end for this long, so that the client comes to read the answer (containerd waits for
/// ever otherwise), as nginx's `lingering_time` and `lingering_timeout` do; then the connection is closed.
const DRAIN: Duration = Duration::from_secs(30);
/// Nothing for this long ends the draining early.
const DRAIN_SILENCE: Duration = Duration::from_secs(5);

/// The bytes that came of a request's body.
#[derive(Debug, Default)]
pub(super) struct Received {
    bytes: AtomicU64,
    /// Where they are counted while they come, from the route on; before it nobody reads them.
    flow: OnceLock<Flow>,
}

impl Received {
    /// Counts what comes from now on here too.
    pub(super) fn flows_into(&self, flow: Flow) {
        // A request has one route.
        let _ = self.flow.set(flow);
    }

    /// All of them until now.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn add(&self, more: u64) -> u64 {
        if let Some(flow) = self.flow.get() {
            flow.add(more);
        }
        self.bytes.fetch_add(more, Ordering::Relaxed) + more
    }
}

/// A request body. Dropping it before its end drains what is left, within a bound, while the answer is on its way.
#[derive(Debug)]
pub(super) struct Upload {
    inner: Option<Incoming>,
    received: Arc<Received>,
    limit: Option<u64>,
    timer: Option<Pin<Box<Sleep>>>,
    /// The client waits for `100 Continue`, which hyper sends with the first look at the body: until then there is
    /// nothing to drain.
    untouched_expectation: bool,
    /// Over HTTP/2 hyper calls a body ended that the client reset with `NO_ERROR`; only `END_STREAM` is an end.
    has_end_stream: bool,
}

impl Upload {
    /// Takes a request's body into care; `received` counts its bytes.
    pub(super) fn new(body: Incoming, head: &Parts, received: Arc<Received>) -> Self {
        Self {
            inner: Some(body),
            received,
            limit: None,
            timer: None,
            untouched_expectation: head.headers.contains_key(EXPECT),
            has_end_stream: head.version == Version::HTTP_2,
        }
    }

    /// Lets no more than `limit` bytes pass.
    pub(super) fn bound(&mut self, limit: u64) {
        self.limit = Some(limit);
    }

    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer
            .get_or_insert_with(|| Box::pin(sleep(STALL)))
            .as_mut()
            .poll(cx)
    }

    fn count(&self, data: &Bytes) -> Result<(), ClientFault> {
        let more = data.len() as u64;
        let received = self.received.add(more);
        match self.limit {
            Some(limit) if received > limit => Err(ClientFault::TooLarge(limit)),
            _ => Ok(()),
        }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.untouched_expectation = false;
        loop {
            let Some(inner) = &mut self.inner else {
                return Poll::Ready(None);
            };
            let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) else {
                if self.poll_stall(cx).is_pending() {
                    return Poll::Pending;
                }
                self.inner = None;
                return Poll::Ready(Some(Err(ClientFault::Stalled.into())));
            };
            self.timer = None;
            match frame {
                Some(Ok(frame)) => {
                    // Trailers are dropped: nothing a client says after its body may become a header.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    return match self.count(&data) {
                        Ok(()) => Poll::Ready(Some(Ok(Frame::data(data)))),
                        Err(fault) => Poll::Ready(Some(Err(fault.into()))),
                    };
                }
                Some(Err(error)) => {
                    self.inner = None;
                    return Poll::Ready(Some(Err(fault_of(&error).into())));
                }
                None => {
                    let cut = self.has_end_stream && !self.is_end_stream();
                    self.inner = None;
                    return Poll::Ready(cut.then(|| Err(ClientFault::Gone.into())));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else {
            return;
        };
        if inner.is_end_stream() || self.untouched_expectation {
            return;
        }
        // The connection does not end before its request body does, so the task's owner is the connection; it ends by
        // itself within `DRAIN` at the latest.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(drain(inner));
        }
    }
}

async fn drain(mut body: Incoming) {
    let end = Instant::now() + DRAIN;
    let all = async { while let Ok(Some(Ok(_))) = timeout(DRAIN_SILENCE, body.frame()).await {} };
    // Whether it came to its end or not: dropping the body then closes the connection if it did not.
    let _ = timeout_at(end, all).await;
}

/// Who or what ended the body before its end; the guard reports broken framing and silence as I/O errors.
fn fault_of(error: &hyper::Error) -> ClientFault {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            match io.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                    return ClientFault::Malformed;
                }
                io::ErrorKind::TimedOut => return ClientFault::Stalled,
                _ => {}
            }
        }
        next = error.source();
    }
    ClientFault::Gone
}

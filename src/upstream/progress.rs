//! Idle timeouts: a body may take for ever as long as it moves.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::body::Body;
use crate::body::BoxError;
use crate::client::Answer;
use crate::turns::Place;

/// When the request body of one exchange last moved.
#[derive(Debug)]
pub(super) struct Progress {
    start: Instant,
    last_ms: AtomicU64,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            last_ms: AtomicU64::new(0),
        }
    }

    fn touch(&self) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(elapsed, Ordering::Relaxed);
    }
}

/// Returns once nothing has moved for `limit`; where there is no body, nothing has since the exchange was begun.
pub(super) async fn silence(begun: Instant, progress: Option<&Progress>, limit: Duration) {
    let (start, mut seen) = match progress {
        Some(progress) => (progress.start, progress.last_ms.load(Ordering::Relaxed)),
        None => (begun, 0),
    };
    loop {
        sleep_until(start + Duration::from_millis(seen) + limit).await;
        let last = progress.map_or(seen, |p| p.last_ms.load(Ordering::Relaxed));
        if last == seen {
            return;
        }
        seen = last;
    }
}

pin_project! {
    /// A request body that notes when it moves.
    pub(super) struct Watching {
        #[pin]
        inner: Body,
        progress: Arc<Progress>,
    }
}

impl Watching {
    pub(super) fn new(inner: Body, progress: Arc<Progress>) -> Self {
        Self { inner, progress }
    }
}

impl HttpBody for Watching {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let polled = this.inner.poll_frame(cx);
        if polled.is_ready() {
            this.progress.touch();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

pin_project! {
    /// The body of an answer, which fails when the upstream is silent for too long; it holds the connection's place
    /// in the bound until it ends.
    pub(super) struct Patient {
        #[pin]
        inner: Answer,
        #[pin]
        deadline: Option<Sleep>,
        limit: Duration,
        place: Option<Place>,
    }
}

/// The upstream stopped in the middle of a body.
#[derive(Debug, thiserror::Error)]
#[error("the upstream was silent for {0:?} in the middle of a body")]
struct Stalled(Duration);

impl Patient {
    pub(super) fn new(inner: Answer, limit: Duration, place: Place) -> Self {
        let ended = inner.is_end_stream();
        Self {
            inner,
            deadline: None,
            limit,
            place: (!ended).then_some(place),
        }
    }
}

impl HttpBody for Patient {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        if let Poll::Ready(frame) = this.inner.poll_frame(cx) {
            // The timer stands only while we wait: a reader that is slow is no silence of the upstream.
            this.deadline.set(None);
            if !matches!(frame, Some(Ok(_))) {
                *this.place = None;
            }
            return Poll::Ready(frame.map(|f| f.map_err(Into::into)));
        }
        if this.deadline.is_none() {
            this.deadline.set(Some(sleep(*this.limit)));
        }
        match this
            .deadline
            .as_mut()
            .as_pin_mut()
            .map(|timer| timer.poll(cx))
        {
            Some(Poll::Ready(())) => Poll::Ready(Some(Err(Stalled(*this.limit).into()))),
            _ => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

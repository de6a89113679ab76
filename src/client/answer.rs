//! The body of an answer, which carries the connection that it comes over.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use crate::pace::Pace;

use super::bell::quietly;
use super::line::Line;
use super::pool::Pool;

/// The body of an answer. When it was read to its end the connection goes back to where it came from; when it is dropped
/// before, the connection is closed.
pub(crate) struct Answer {
    inner: Incoming,
    line: Option<Box<Line>>,
    /// `None` for a connection that serves once.
    pool: Option<Arc<Pool>>,
    pace: Pace,
}

impl Answer {
    pub(super) fn new(inner: Incoming, line: Box<Line>, pool: Option<Arc<Pool>>) -> Self {
        Self {
            inner,
            line: Some(line),
            pool,
            pace: Pace::default(),
        }
    }

    /// No further request goes over its connection.
    pub(crate) fn distrust(&mut self) {
        self.pool = None;
    }

    fn release(&mut self) {
        if let (Some(line), Some(pool)) = (self.line.take(), self.pool.take()) {
            pool.give_back(line);
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        // Only driving the connection brings a piece, so the piece itself has nobody to wake.
        let mut nobody = Context::from_waker(Waker::noop());
        let mut frame = quietly(|| Pin::new(&mut this.inner).poll_frame(&mut nobody));
        if frame.is_pending()
            && let Some(line) = &mut this.line
        {
            line.drive(cx);
            frame = Pin::new(&mut this.inner).poll_frame(&mut nobody);
        }
        if let Poll::Ready(frame) = &frame {
            let data = match frame {
                Some(Ok(frame)) => frame.data_ref(),
                _ => None,
            };
            if let (Some(data), Some(line)) = (data, &this.line) {
                line.appetite.hand_over(&mut this.pace, data.len());
            }
            match frame {
                Some(Ok(_)) if !this.inner.is_end_stream() => {}
                Some(Err(_)) => this.line = None,
                _ => this.release(),
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.inner.is_end_stream() {
            self.release();
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

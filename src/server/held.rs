//! The body of an answer as hyper gets it: while it lives, its exchange is open, and if it breaks, so must the connection.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::body::Body;
use crate::body::BoxError;

use super::guard::Exchange;
use super::pulse::Beat;

/// An answer's body and what hangs on it.
pub(super) struct Held {
    body: Body,
    exchange: Exchange,
    /// Of HTTP/2 alone: an HTTP/1 connection has the guard for this.
    beat: Option<Beat>,
}

impl Held {
    pub(super) fn new(body: Body, exchange: Exchange, beat: Option<Beat>) -> Self {
        Self {
            body,
            exchange,
            beat,
        }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match (&frame, &mut self.beat) {
            (Poll::Ready(Some(Err(_))), _) => self.exchange.truncate(),
            (_, None) => {}
            (Poll::Ready(_), Some(beat)) => beat.handed_over(),
            (Poll::Pending, Some(beat)) => beat.waiting_for_us(),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! The one body type of the program, and the wrappers around it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use pin_project_lite::pin_project;

/// What can go wrong inside a body, from whichever side.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The bytes of a request or an answer, streamed.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body without bytes.
pub(crate) fn empty() -> Body {
    full(Bytes::new())
}

/// A body whose bytes are all there.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body of `length` bytes made of a stream. One that ends early, or goes on, is cut: it never looks complete.
pub(crate) fn streamed<S, E>(stream: S, length: u64) -> Body
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Into<BoxError>,
{
    Measured {
        stream,
        left: length,
    }
    .boxed_unsync()
}

pin_project! {
    /// A stream that must have so many bytes.
    struct Measured<S> {
        #[pin]
        stream: S,
        left: u64,
    }
}

/// What was to be sent has another length than was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the content that is to be sent has another length than was announced")]
struct WrongLength;

impl<S, E> HttpBody for Measured<S>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if *this.left == 0 {
            return Poll::Ready(None);
        }
        let item = match ready!(this.stream.poll_next(cx)) {
            Some(Ok(data)) => match this.left.checked_sub(data.len() as u64) {
                Some(left) => {
                    *this.left = left;
                    Ok(Frame::data(data))
                }
                None => Err(WrongLength.into()),
            },
            Some(Err(error)) => Err(error.into()),
            None => Err(WrongLength.into()),
        };
        Poll::Ready(Some(item))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Why a client's body ended before its end. Travels through the upstream connection as the body's error, so that a
/// failed upload is laid at the right door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClientFault {
    /// Its framing is broken.
    #[error("the request body is malformed")]
    Malformed,
    /// The client went away.
    #[error("the client went away in the middle of the request body")]
    Gone,
    /// Nothing came for too long.
    #[error("the request body stopped coming")]
    Stalled,
    /// It is longer than may be.
    #[error("the request body is larger than {0} bytes")]
    TooLarge(u64),
}

/// The client's fault in an error's chain of causes, if there is one.
pub(crate) fn client_fault(error: &(dyn std::error::Error + 'static)) -> Option<ClientFault> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(fault) = error.downcast_ref::<ClientFault>() {
            return Some(*fault);
        }
        next = error.source();
    }
    None
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its last byte went through.
    Complete,
    /// The side that makes it broke off.
    Cut,
    /// The side that takes it went away.
    Abandoned,
}

/// Who is told what becomes of a body.
pub(crate) trait Watch {
    /// So many bytes went through.
    fn passed(&mut self, bytes: u64);

    /// It has ended, after so many bytes in all. Told once.
    fn ended(&mut self, end: End, bytes: u64);
}

pin_project! {
    /// Counts a body's bytes and tells once, when it ends, how it ended. Trailers are dropped on the way: neither
    /// side of a registry uses them, and a trailer must never become a header.
    pub(crate) struct Watched<B, W>
    where
        W: Watch,
    {
        #[pin]
        inner: B,
        bytes: u64,
        told: bool,
        watch: W,
    }

    impl<B, W> PinnedDrop for Watched<B, W>
    where
        W: Watch,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if !*this.told {
                this.watch.ended(End::Abandoned, *this.bytes);
            }
        }
    }
}

impl<B, W> Watched<B, W>
where
    B: HttpBody,
    W: Watch,
{
    /// Watches `inner`; a body that has no bytes to begin with ends here and now.
    pub(crate) fn new(inner: B, mut watch: W) -> Self {
        let told = inner.is_end_stream();
        if told {
            watch.ended(End::Complete, 0);
        }
        Self {
            inner,
            bytes: 0,
            told,
            watch,
        }
    }
}

impl<B, W> HttpBody for Watched<B, W>
where
    B: HttpBody<Data = Bytes, Error = BoxError>,
    W: Watch,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        loop {
            let end = match ready!(this.inner.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        *this.bytes += data.len() as u64;
                        this.watch.passed(data.len() as u64);
                        // hyper does not poll a body of known length beyond its last byte.
                        if this.inner.is_end_stream() && !*this.told {
                            *this.told = true;
                            this.watch.ended(End::Complete, *this.bytes);
                        }
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Err(_trailers) => continue,
                },
                Some(Err(error)) => (End::Cut, Some(Err(error))),
                None => (End::Complete, None),
            };
            if !*this.told {
                *this.told = true;
                this.watch.ended(end.0, *this.bytes);
            }
            return Poll::Ready(end.1);
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    type Ends = Arc<Mutex<Vec<(End, u64)>>>;

    #[derive(Default)]
    struct Notes {
        passed: u64,
        ends: Ends,
    }

    impl Watch for Notes {
        fn passed(&mut self, bytes: u64) {
            self.passed += bytes;
        }

        fn ended(&mut self, end: End, bytes: u64) {
            assert_eq!(self.passed, bytes, "all of them were told before");
            self.ends.lock().unwrap().push((end, bytes));
        }
    }

    fn watched(body: Body) -> (Watched<Body, Notes>, Ends) {
        let notes = Notes::default();
        let ends = Arc::clone(&notes.ends);
        (Watched::new(body, notes), ends)
    }

    #[tokio::test]
    async fn the_end_of_a_body_is_told_once() {
        let (body, ends) = watched(full("12345"));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "12345");
        assert_eq!(*ends.lock().unwrap(), [(End::Complete, 5)]);
    }

    #[tokio::test]
    async fn a_body_that_is_dropped_or_fails_is_told_apart() {
        let (body, ends) = watched(full("12345"));
        drop(body);
        assert_eq!(*ends.lock().unwrap(), [(End::Abandoned, 0)]);

        let chunks = vec![
            Ok(Frame::data(Bytes::from("123"))),
            Err(BoxError::from("gone")),
        ];
        let stream = http_body_util::StreamBody::new(futures_util::stream::iter(chunks));
        let (body, ends) = watched(stream.boxed_unsync());
        assert!(body.collect().await.is_err());
        assert_eq!(*ends.lock().unwrap(), [(End::Cut, 3)]);
    }

    #[tokio::test]
    async fn an_empty_body_ends_at_once_and_trailers_vanish() {
        let (body, ends) = watched(empty());
        drop(body);
        assert_eq!(*ends.lock().unwrap(), [(End::Complete, 0)]);

        let frames: Vec<Result<_, BoxError>> = vec![
            Ok(Frame::data(Bytes::from("1"))),
            Ok(Frame::trailers(http::HeaderMap::new())),
        ];
        let stream = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
        let (body, _) = watched(stream.boxed_unsync());
        assert!(body.collect().await.unwrap().trailers().is_none());
    }

    #[tokio::test]
    async fn a_stream_of_another_length_than_was_announced_is_cut() {
        let body = |length| {
            let pieces = ["12", "345"].map(|piece| Ok::<_, BoxError>(Bytes::from(piece)));
            streamed(futures_util::stream::iter(pieces), length)
        };
        assert_eq!(body(5).size_hint().exact(), Some(5));
        assert_eq!(body(5).collect().await.unwrap().to_bytes(), "12345");
        assert!(body(4).collect().await.is_err());
        assert!(body(6).collect().await.is_err());
        assert!(body(0).is_end_stream());
    }
}

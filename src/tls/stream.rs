//! One encrypted downstream connection as a byte stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// An encrypted connection: reading gives the client's bytes, writing encrypts ours.
///
/// The end of the stream is the client's `close_notify`; a connection cut without one reads as
/// [`io::ErrorKind::UnexpectedEof`], so that a cut is never taken for an end. Shutting down sends our `close_notify`.
#[derive(Debug)]
pub(crate) struct TlsStream<S> {
    /// Boxed, since it is some kilobytes, and each future that it is handed through would have room for all of them.
    inner: Box<tokio_rustls::server::TlsStream<Rewound<S>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    pub(super) fn new(inner: tokio_rustls::server::TlsStream<Rewound<S>>) -> Self {
        Self {
            inner: Box::new(inner),
        }
    }

    /// The transport below, to be set up or broken off; its bytes are not to be read or written.
    pub(crate) fn get_mut(&mut self) -> &mut S {
        &mut self.inner.get_mut().0.inner
    }

    fn pinned(self: Pin<&mut Self>) -> Pin<&mut tokio_rustls::server::TlsStream<Rewound<S>>> {
        Pin::new(&mut *self.get_mut().inner)
    }
}

/// What is encrypted ahead of the socket for a caller that writes small pieces, which is one whose client is slow.
const LEAST_AHEAD: usize = 32 * 1024;
/// The most that is encrypted ahead of it.
const MOST_AHEAD: usize = 1024 * 1024;

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Lets a piece of this length be encrypted at once and leave in one go, with what may be before it.
    fn make_room(self: Pin<&mut Self>, piece: usize) {
        let session = self.get_mut().inner.get_mut().1;
        session.set_buffer_limit(Some(piece.saturating_mul(2).clamp(LEAST_AHEAD, MOST_AHEAD)));
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.pinned().poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.as_mut().make_room(buf.len());
        self.pinned().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Many small pieces are the queue of a slow client: they are held as they are, and not encrypted as well.
        let largest = bufs.iter().map(|buf| buf.len()).max();
        self.as_mut().make_room(largest.unwrap_or_default());
        self.pinned().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned().poll_shutdown(cx)
    }
}

pin_project! {
    /// A transport whose first bytes were looked at and are read once more.
    #[derive(Debug)]
    pub(super) struct Rewound<S> {
        first: Vec<u8>,
        read: usize,
        #[pin]
        pub(super) inner: S,
    }
}

impl<S: AsyncRead + Unpin> Rewound<S> {
    /// Waits for the first bytes, a few hundred at most.
    pub(super) async fn look(mut inner: S) -> io::Result<Self> {
        let mut first = Vec::with_capacity(1024);
        inner.read_buf(&mut first).await?;
        Ok(Self {
            first,
            read: 0,
            inner,
        })
    }

    /// The bytes that were looked at; empty when the peer left without a word.
    pub(super) fn first(&self) -> &[u8] {
        &self.first
    }
}

impl<S: AsyncRead> AsyncRead for Rewound<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let rest = this.first.get(*this.read..).unwrap_or_default();
        if rest.is_empty() {
            return this.inner.poll_read(cx, buf);
        }
        let count = rest.len().min(buf.remaining());
        buf.put_slice(rest.get(..count).unwrap_or_default());
        *this.read += count;
        if *this.read == this.first.len() {
            // the connection may live for hours
            *this.first = Vec::new();
            *this.read = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite> AsyncWrite for Rewound<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }
}

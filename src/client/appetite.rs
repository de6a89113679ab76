//! How much of an answer is read at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};

use crate::pace::Pace;

use super::READ;

/// The first ration of an exchange: a small answer comes in one read all the same.
const FIRST: usize = 8 * 1024;

/// Pieces smaller than this are not worth a look at the clock.
const SMALL: usize = 4 * 1024;

/// The ration of one connection; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Appetite(Arc<AtomicUsize>);

impl Default for Appetite {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(FIRST)))
    }
}

impl Appetite {
    /// As at the start of an exchange.
    pub(super) fn reset(&self) {
        self.0.store(FIRST, Ordering::Relaxed);
    }

    /// A piece of this length of an answer goes to its taker.
    pub(super) fn hand_over(&self, pace: &mut Pace, length: usize) {
        if length >= SMALL {
            self.set(pace.hand_over(length));
        }
    }

    fn set(&self, ration: usize) {
        self.0.store(ration, Ordering::Relaxed);
    }

    fn ration(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// One byte less than a ration: hyper's buffer doubles whenever a read fills it, and would always have twice the room that a
/// slow taker should have waiting in memory.
fn short_of(ration: usize) -> usize {
    if ration < READ { ration - 1 } else { READ }
}

/// A connection that is read in rations.
#[derive(Debug)]
pub(super) struct Metered<S> {
    inner: Take<S>,
    appetite: Appetite,
}

impl<S: AsyncRead> Metered<S> {
    pub(super) fn new(inner: S, appetite: Appetite) -> Self {
        let inner = inner.take(0);
        Self { inner, appetite }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let ration = self.appetite.ration();
        self.inner.set_limit(short_of(ration) as u64);
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.inner.get_mut()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.inner.get_mut()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.inner.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.inner.get_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn nothing_is_lost_and_no_read_is_larger_than_the_ration() {
        let (mut other, ours) = duplex(4 * READ);
        let appetite = Appetite::default();
        let mut metered = Metered::new(ours, appetite.clone());
        let sent: Vec<u8> = (0..READ).map(|n| u8::try_from(n % 251).unwrap()).collect();
        other.write_all(&sent).await.unwrap();
        drop(other);
        appetite.set(FIRST);
        let mut got = Vec::with_capacity(2 * READ);
        let first = metered.read_buf(&mut got).await.unwrap();
        assert_eq!(first, FIRST - 1);
        metered.read_to_end(&mut got).await.unwrap();
        assert!(got == sent);
    }
}

//! How much of a body is read at once: much for who takes it fast, little for who takes it slowly.
//!
//! A read costs about the same whatever its size, so a fast pull wants large ones. What was read and cannot be written
//! yet is held in memory, for each of many slow pulls.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::READ;

/// The smallest ration.
const LEAST: usize = 32 * 1024;
/// A piece that is taken faster than this makes the next one larger,
const FAST: Duration = Duration::from_millis(2);
/// and one that takes longer than this makes it smaller.
const SLOW: Duration = Duration::from_millis(8);

/// The ration of one connection; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Appetite(Arc<AtomicUsize>);

impl Default for Appetite {
    /// As much as there is: a small answer comes in one read.
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(READ)))
    }
}

impl Appetite {
    /// As at the start of an exchange.
    pub(super) fn reset(&self) {
        self.0.store(READ, Ordering::Relaxed);
    }

    /// Learns from a piece of this length that went to its taker this long after the one before.
    pub(super) fn learn(&self, length: usize, after: Duration) {
        let ration = self.ration();
        let next = if after > SLOW {
            (ration.min(length.next_power_of_two()) / 2).max(LEAST)
        } else if after < FAST && length >= ration {
            (ration * 2).min(READ)
        } else {
            return;
        };
        self.0.store(next, Ordering::Relaxed);
    }

    fn ration(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// When pieces of one body went to their taker.
#[derive(Debug, Default)]
pub(super) struct Pace(Option<Instant>);

impl Pace {
    /// A piece of this length is handed over now.
    pub(super) fn hand_over(&mut self, length: usize, appetite: &Appetite) {
        if length < LEAST {
            return;
        }
        let now = Instant::now();
        if let Some(before) = self.0.replace(now) {
            appetite.learn(length, now - before);
        }
    }
}

/// A connection that is read in rations.
#[derive(Debug)]
pub(super) struct Metered<S> {
    inner: S,
    appetite: Appetite,
}

impl<S> Metered<S> {
    pub(super) fn new(inner: S, appetite: Appetite) -> Self {
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
        if ration >= READ || ration >= buf.remaining() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(ration));
        let read = Pin::new(&mut self.inner).poll_read(cx, &mut part);
        let length = part.filled().len();
        buf.advance(length);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    fn paced(appetite: &Appetite, pieces: usize, length: usize, apart: Duration) {
        for _ in 0..pieces {
            appetite.learn(length.min(appetite.ration()), apart);
        }
    }

    #[test]
    fn a_slow_taker_gets_small_pieces_and_a_fast_one_large_ones_again() {
        let appetite = Appetite::default();
        assert_eq!(appetite.ration(), READ);
        paced(&appetite, 20, READ, Duration::from_millis(20));
        assert_eq!(appetite.ration(), LEAST);
        paced(&appetite, 20, READ, Duration::from_millis(5));
        assert_eq!(appetite.ration(), LEAST, "neither fast nor slow");
        paced(&appetite, 20, READ, Duration::from_millis(1));
        assert_eq!(appetite.ration(), READ);
        paced(&appetite, 20, READ, Duration::from_millis(20));
        appetite.reset();
        assert_eq!(appetite.ration(), READ);
    }

    #[test]
    fn a_sender_that_has_little_makes_no_ration_larger() {
        let appetite = Appetite::default();
        paced(&appetite, 20, READ, Duration::from_millis(20));
        for _ in 0..20 {
            appetite.learn(LEAST / 2, Duration::ZERO);
        }
        assert_eq!(appetite.ration(), LEAST);
    }

    #[tokio::test]
    async fn nothing_is_lost_and_no_read_is_larger_than_the_ration() {
        let (mut other, ours) = duplex(4 * READ);
        let appetite = Appetite::default();
        let mut metered = Metered::new(ours, appetite.clone());
        let sent: Vec<u8> = (0..READ).map(|n| u8::try_from(n % 251).unwrap()).collect();
        other.write_all(&sent).await.unwrap();
        drop(other);
        paced(&appetite, 20, READ, Duration::from_millis(20));
        let mut got = Vec::with_capacity(2 * READ);
        let first = metered.read_buf(&mut got).await.unwrap();
        assert_eq!(first, LEAST);
        metered.read_to_end(&mut got).await.unwrap();
        assert!(got == sent);
    }
}

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

/// The first ration of an exchange: a small answer comes in one read all the same.
const FIRST: usize = 8 * 1024;
/// The smallest ration of a body that goes on.
const LEAST: usize = 32 * 1024;
/// A ration is never more than this part of what was taken before: sockets swallow the first megabytes of a slow pull as fast
/// as they come.
const PART: usize = 32;
/// A piece that is taken faster than this makes the next one larger,
const FAST: Duration = Duration::from_millis(2);
/// and one that takes longer than this makes it smaller.
const SLOW: Duration = Duration::from_millis(8);

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

    fn set(&self, ration: usize) {
        self.0.store(ration, Ordering::Relaxed);
    }

    fn ration(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// How fast the pieces of one body go to their taker.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Instant>,
    taken: usize,
}

impl Pace {
    /// A piece of this length is handed over now.
    pub(super) fn hand_over(&mut self, length: usize, appetite: &Appetite) {
        if length < FIRST {
            return;
        }
        self.taken = self.taken.saturating_add(length);
        let now = Instant::now();
        let after = self.last.replace(now).map(|last| now - last);
        self.learn(length, after.unwrap_or_default(), appetite);
    }

    /// Learns from a piece that went to its taker this long after the one before.
    fn learn(&self, length: usize, after: Duration, appetite: &Appetite) {
        let ration = appetite.ration();
        if after > SLOW {
            appetite.set((ration / 2).max(LEAST));
        } else if after < FAST && length >= ration {
            let part = (self.taken / PART + 1).next_power_of_two() / 2;
            let most = part.clamp(LEAST, READ);
            appetite.set((ration * 2).clamp(LEAST, most));
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

    /// So many pieces as large as they may be, so long apart; the ration that comes of it.
    fn paced(pace: &mut Pace, appetite: &Appetite, pieces: usize, apart: u64) -> usize {
        for _ in 0..pieces {
            let length = appetite.ration();
            pace.taken += length;
            pace.learn(length, Duration::from_millis(apart), appetite);
        }
        appetite.ration()
    }

    #[test]
    fn a_slow_taker_gets_small_pieces_and_a_fast_one_large_ones() {
        let (mut pace, appetite) = (Pace::default(), Appetite::default());
        assert_eq!(appetite.ration(), FIRST);
        assert_eq!(paced(&mut pace, &appetite, 400, 1), READ);
        assert_eq!(paced(&mut pace, &appetite, 20, 20), LEAST);
        assert_eq!(
            paced(&mut pace, &appetite, 20, 5),
            LEAST,
            "neither fast nor slow"
        );
        assert_eq!(paced(&mut pace, &appetite, 20, 1), READ);
        appetite.reset();
        assert_eq!(appetite.ration(), FIRST);
    }

    #[test]
    fn what_a_socket_swallows_at_once_makes_no_large_ration() {
        let (mut pace, appetite) = (Pace::default(), Appetite::default());
        while pace.taken < 4 << 20 {
            paced(&mut pace, &appetite, 1, 0);
        }
        assert!(appetite.ration() <= 128 * 1024, "{}", appetite.ration());
    }

    #[test]
    fn a_sender_that_has_little_makes_no_ration_larger() {
        let (mut pace, appetite) = (Pace::default(), Appetite::default());
        paced(&mut pace, &appetite, 20, 20);
        for _ in 0..20 {
            pace.hand_over(LEAST / 2, &appetite);
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
        appetite.set(LEAST);
        let mut got = Vec::with_capacity(2 * READ);
        let first = metered.read_buf(&mut got).await.unwrap();
        assert_eq!(first, LEAST);
        metered.read_to_end(&mut got).await.unwrap();
        assert!(got == sent);
    }
}

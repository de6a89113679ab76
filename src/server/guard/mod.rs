//! Stands between a connection's stream and hyper: passes on what the strict scanner accepts, keeps the deadlines of
//! reading and writing, refuses in our own words, and closes so that the refusal can be read.
//!
//! It relies on three habits of hyper 1's HTTP/1 server, each held by a test below. An end of the stream is harmless
//! only while no request is being answered. A read error inside a request body reaches the reader of that body and
//! leaves the answer alone. Reads of the next head stop while hyper still holds unread bytes.

mod alarm;
mod exchanges;

use std::fmt;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use alarm::Alarm;
pub(crate) use exchanges::{Exchange, Exchanges};

use super::framing::{Fault, HeadLimits, Position, Scanner};
use super::transport::Transport;

/// Longest close, from the last answer to the drop of the stream: nginx's `lingering_time`.
const CLOSE: Duration = Duration::from_secs(30);
/// Longest silence while we wait for a refused client to stop sending: nginx's `lingering_timeout`.
const CLOSE_SILENCE: Duration = Duration::from_secs(5);
/// Bytes dropped while a refused client goes on sending: what a line of 10 Gbit/s holds in a round trip of 50 ms, so that
/// every client that stops when it sees the answer gets to see it.
const CLOSE_BYTES: usize = 64 * 1024 * 1024;

/// The bytes of an answer to a request that hyper never saw, head and body; it must say `Connection: close`.
pub(super) type Refusal = Arc<dyn Fn(Fault) -> Bytes + Send + Sync>;

/// Bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bounds on a request head.
    pub(super) head: HeadLimits,
    /// From the first byte of a head (of the first one: from accept) to its end; beyond: 408.
    pub(super) request_header: Duration,
    /// Between two requests; beyond: a silent close.
    pub(super) idle: Duration,
    /// Without one byte of a body that is waited for, in either direction; beyond: an error to the body's reader, a break
    /// for the body's writer.
    pub(super) stall: Duration,
}

/// The guarded stream.
pub(super) struct Guard<S: Transport> {
    stream: S,
    scanner: Scanner,
    bounds: Bounds,
    exchanges: Exchanges,
    refusal: Refusal,
    /// Accepted bytes that hyper has not taken yet: heads that came in pieces.
    accepted: Bytes,
    fault: Option<Fault>,
    /// hyper has been told that nothing more comes.
    ended: bool,
    /// What is waited for, and until when.
    waiting: Option<(Waiting, Instant)>,
    read_alarm: Alarm,
    /// Since when a write is stuck, as its deadline.
    stuck: Option<Instant>,
    write_alarm: Alarm,
    /// Everything that hyper has written has left.
    flushed: bool,
    closing: Closing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    FirstHead,
    NextHead,
    RestOfHead,
    Body,
}

#[derive(Debug)]
enum Closing {
    Open,
    Answer {
        answer: Bytes,
        by: Instant,
    },
    Shutdown {
        by: Instant,
    },
    Linger {
        by: Instant,
        silent_by: Instant,
        left: usize,
    },
    Closed,
}

impl<S: Transport> Guard<S> {
    /// Guards `stream`, on which no byte has been read yet.
    pub(super) fn new(stream: S, bounds: Bounds, refusal: Refusal) -> Self {
        Self {
            stream,
            scanner: Scanner::new(bounds.head),
            bounds,
            exchanges: Exchanges::default(),
            refusal,
            accepted: Bytes::new(),
            fault: None,
            ended: false,
            waiting: None,
            read_alarm: Alarm::default(),
            stuck: None,
            write_alarm: Alarm::default(),
            flushed: true,
            closing: Closing::Open,
        }
    }

    /// The handle for the connection's service: exactly one `begin` for each request.
    pub(super) fn exchanges(&self) -> Exchanges {
        self.exchanges.clone()
    }

    /// Reads and scans once. Ready when bytes may be passed on, or the state has changed.
    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if Pin::new(&mut self.stream).poll_read(cx, buf)?.is_pending() {
            return self.poll_deadline(cx).map(Ok);
        }
        let bytes = buf.filled().get(before..).unwrap_or_default();
        if bytes.is_empty() {
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        let scan = self.scanner.scan(bytes);
        self.fault = scan.fault;
        if scan.range.end > 0 || !scan.front.is_empty() {
            self.waiting = None;
        }
        if scan.front.is_empty() {
            buf.set_filled(before + scan.range.end);
        } else {
            let mut accepted = scan.front;
            accepted.extend_from_slice(bytes.get(scan.range).unwrap_or_default());
            self.accepted = accepted.into();
            buf.set_filled(before);
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing to read: is it time to stop waiting?
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let position = self.scanner.position();
        let waiting = match position {
            Position::InBody => Waiting::Body,
            _ if !self.is_quiet(cx) => {
                self.waiting = None;
                return Poll::Pending;
            }
            _ if self.scanner.heads() == 0 => Waiting::FirstHead,
            Position::InHead => Waiting::RestOfHead,
            Position::BetweenRequests => Waiting::NextHead,
        };
        let deadline = match self.waiting {
            Some((same, deadline)) if same == waiting => deadline,
            _ => Instant::now() + self.patience(waiting),
        };
        self.waiting = Some((waiting, deadline));
        ready!(self.read_alarm.poll(cx, deadline));
        match position {
            Position::InBody => self.fault = Some(Fault::BodyTimeout),
            Position::InHead => self.fault = Some(Fault::HeadTimeout),
            // A client that has asked for nothing would take an answer for that of its next request.
            Position::BetweenRequests => self.ended = true,
        }
        Poll::Ready(())
    }

    fn patience(&self, waiting: Waiting) -> Duration {
        match waiting {
            Waiting::FirstHead | Waiting::RestOfHead => self.bounds.request_header,
            Waiting::NextHead => self.bounds.idle,
            Waiting::Body => self.bounds.stall,
        }
    }

    /// No request is being answered and every answer has left; if not, the task is woken when that changes.
    fn is_quiet(&self, cx: &Context<'_>) -> bool {
        !self.exchanges.are_open(self.scanner.heads(), cx.waker()) && self.flushed
    }

    /// Tells hyper of a fault: inside a body as an error, else as the end of the stream, once nothing is being answered.
    fn poll_verdict(&mut self, cx: &Context<'_>, fault: Fault) -> Poll<io::Result<()>> {
        if fault.is_in_body() {
            self.ended = true;
            return Poll::Ready(Err(fault.into()));
        }
        if !self.is_quiet(cx) {
            return Poll::Pending;
        }
        self.ended = true;
        if fault.status().is_some() {
            let answer = (self.refusal)(fault);
            let by = Instant::now() + CLOSE;
            self.closing = Closing::Answer { answer, by };
        }
        Poll::Ready(Ok(()))
    }

    /// Puts a deadline on a write that does not move.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.stuck = None;
            return write;
        }
        let stall = self.bounds.stall;
        let deadline = *self.stuck.get_or_insert_with(|| Instant::now() + stall);
        ready!(self.write_alarm.poll(cx, deadline));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// One step of closing: the refusal if there is one, the end of our side, then the rest of what the client sends,
    /// since a socket closed over unread bytes is reset and takes the answer with it.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.closing = match &mut self.closing {
                Closing::Open => Closing::Shutdown {
                    by: Instant::now() + CLOSE,
                },
                Closing::Answer { answer, by } => {
                    if answer.is_empty() {
                        Closing::Shutdown { by: *by }
                    } else {
                        let write = Pin::new(&mut self.stream).poll_write(cx, answer)?;
                        match write {
                            Poll::Ready(0) => {
                                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                            }
                            Poll::Ready(written) => {
                                answer.advance(written);
                                continue;
                            }
                            Poll::Pending => ready!(give_up(&mut self.write_alarm, cx, *by)),
                        }
                    }
                }
                Closing::Shutdown { by } => {
                    match Pin::new(&mut self.stream).poll_shutdown(cx) {
                        // The client is gone; there is nobody left to linger for.
                        Poll::Ready(Err(_)) => Closing::Closed,
                        Poll::Ready(Ok(())) => Closing::Linger {
                            by: *by,
                            silent_by: Instant::now() + CLOSE_SILENCE,
                            left: CLOSE_BYTES,
                        },
                        Poll::Pending => ready!(give_up(&mut self.write_alarm, cx, *by)),
                    }
                }
                Closing::Linger { .. } => {
                    ready!(self.poll_linger(cx));
                    Closing::Closed
                }
                Closing::Closed => return Poll::Ready(Ok(())),
            };
        }
    }

    /// Ready when the client has stopped sending, or has sent or waited too long.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let more_is_coming =
            self.fault.is_some() || self.scanner.position() != Position::BetweenRequests;
        let Closing::Linger {
            by,
            silent_by,
            left,
        } = &mut self.closing
        else {
            return Poll::Ready(());
        };
        let mut space = [MaybeUninit::uninit(); 16 * 1024];
        loop {
            let mut buf = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    *left = left.saturating_sub(buf.filled().len());
                    let now = Instant::now();
                    *silent_by = now + CLOSE_SILENCE;
                    if *left == 0 || now >= *by {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if !more_is_coming => return Poll::Ready(()),
                Poll::Pending => return self.read_alarm.poll(cx, (*silent_by).min(*by)),
            }
        }
    }
}

/// The close is over when its time is.
fn give_up(alarm: &mut Alarm, cx: &mut Context<'_>, by: Instant) -> Poll<Closing> {
    alarm.poll(cx, by).map(|()| Closing::Closed)
}

impl<S: Transport> AsyncRead for Guard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        while buf.filled().len() == before && buf.remaining() > 0 {
            if !this.accepted.is_empty() {
                let taken = this.accepted.len().min(buf.remaining());
                buf.put_slice(&this.accepted.split_to(taken));
            } else if this.ended {
                break;
            } else if let Some(fault) = this.fault {
                return this.poll_verdict(cx, fault);
            } else {
                ready!(this.poll_fill(cx, buf))?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Transport> AsyncWrite for Guard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.flushed = false;
        let write = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.watch(cx, write)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.flushed = false;
        let write = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.watch(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flush = Pin::new(&mut this.stream).poll_flush(cx);
        ready!(this.watch(cx, flush))?;
        if !this.flushed {
            this.flushed = true;
            // A reader may have been put off until now, and hyper does not ask again by itself.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.exchanges.is_truncated() {
            // Neither FIN nor close_notify; the drop that follows breaks the stream.
            return Poll::Ready(Ok(()));
        }
        this.poll_close(cx)
    }
}

impl<S: Transport> Drop for Guard<S> {
    fn drop(&mut self) {
        if self.exchanges.is_truncated() {
            self.stream.abort();
        }
    }
}

impl<S: Transport> fmt::Debug for Guard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("position", &self.scanner.position())
            .field("fault", &self.fault)
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

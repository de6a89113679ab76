//! How a connection ends so that its last answer can be read.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;
use tokio::time::Instant;

use super::Guard;
use super::alarm::Alarm;
use crate::server::framing::Position;
use crate::server::transport::Transport;

/// Longest close, from the last answer to the drop of the stream: nginx's `lingering_time`.
const CLOSE: Duration = Duration::from_secs(30);
/// Longest silence while we wait for a refused client to stop sending: nginx's `lingering_timeout`.
const CLOSE_SILENCE: Duration = Duration::from_secs(5);
/// Bytes dropped while a refused client goes on sending: what a line of 10 Gbit/s holds in a round trip of 50 ms, so that
/// every client that stops when it sees the answer gets to see it.
const CLOSE_BYTES: usize = 64 * 1024 * 1024;

/// How far the close of a connection has come; `by` is its end at the latest.
#[derive(Debug)]
pub(super) enum Closing {
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

impl Closing {
    /// The close begins with an answer of ours.
    pub(super) fn answering(answer: Bytes) -> Self {
        let by = Instant::now() + CLOSE;
        Self::Answer { answer, by }
    }
}

impl<S: Transport> Guard<S> {
    /// One step of closing: the refusal if there is one, the end of our side, then the rest of what the client sends,
    /// since a socket closed over unread bytes is reset and takes the answer with it.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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

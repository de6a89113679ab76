//! Whether an HTTP/2 connection still has a purpose: nothing asked for too long, or nothing taken for too long.
//!
//! HTTP/1 has the guard for this; in HTTP/2 the windows of single streams decide, which only hyper sees.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How often a connection is looked at; the bounds are tens of seconds.
const LOOK: Duration = Duration::from_secs(5);

/// The life signs of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    signs: Mutex<Signs>,
    ended: Notify,
}

#[derive(Debug)]
struct Signs {
    open: usize,
    /// Open exchanges in which the client waits for us, and not we for the client.
    ours: usize,
    asked: bool,
    last: Instant,
}

impl Default for Signs {
    fn default() -> Self {
        Self {
            open: 0,
            ours: 0,
            asked: false,
            last: Instant::now(),
        }
    }
}

/// One open exchange.
#[derive(Debug)]
pub(super) struct Beat {
    pulse: Pulse,
    ours: bool,
}

impl Pulse {
    /// A request came in.
    pub(super) fn begin(&self) -> Beat {
        let mut signs = self.signs();
        signs.open += 1;
        signs.ours += 1;
        signs.asked = true;
        signs.last = Instant::now();
        Beat {
            pulse: self.clone(),
            ours: true,
        }
    }

    /// Returns when nothing was open for `idle`, or no request came within `first`.
    pub(super) async fn idle(&self, first: Duration, idle: Duration) {
        loop {
            let (open, until) = {
                let signs = self.signs();
                (
                    signs.open > 0,
                    signs.last + if signs.asked { idle } else { first },
                )
            };
            if !open && Instant::now() >= until {
                return;
            }
            sleep_until(until.max(Instant::now() + LOOK)).await;
        }
    }

    /// Returns when exchanges are open, none of them waits for us, and the client took nothing for `limit`.
    pub(super) async fn stalled(&self, limit: Duration) {
        loop {
            let (theirs, until) = {
                let signs = self.signs();
                (signs.open > 0 && signs.ours == 0, signs.last + limit)
            };
            if theirs && Instant::now() >= until {
                return;
            }
            sleep_until(until.max(Instant::now() + LOOK)).await;
        }
    }

    /// Returns when no exchange is open.
    pub(super) async fn quiet(&self) {
        loop {
            let ended = self.0.ended.notified();
            if self.signs().open == 0 {
                return;
            }
            ended.await;
        }
    }

    fn signs(&self) -> MutexGuard<'_, Signs> {
        // Nothing in here panics while the lock is held, and counts would stay right if it did.
        self.0
            .signs
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Beat {
    /// A piece of the answer went to the client's side: its turn.
    pub(super) fn handed_over(&mut self) {
        let ours = std::mem::replace(&mut self.ours, false);
        let mut signs = self.pulse.signs();
        signs.ours -= usize::from(ours);
        signs.last = Instant::now();
    }

    /// The client could take more and there is none yet: our turn.
    pub(super) fn waiting_for_us(&mut self) {
        let ours = std::mem::replace(&mut self.ours, true);
        let mut signs = self.pulse.signs();
        signs.ours += usize::from(!ours);
        signs.last = Instant::now();
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        let mut signs = self.pulse.signs();
        signs.open -= 1;
        signs.ours -= usize::from(self.ours);
        signs.last = Instant::now();
        drop(signs);
        self.pulse.0.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const FIRST: Duration = Duration::from_secs(30);
    const IDLE: Duration = Duration::from_secs(75);

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_idle_soon_and_one_between_requests_later() {
        let pulse = Pulse::default();
        let start = Instant::now();
        pulse.idle(FIRST, IDLE).await;
        assert_eq!(start.elapsed().as_secs(), 30);

        drop(pulse.begin());
        let start = Instant::now();
        pulse.idle(FIRST, IDLE).await;
        assert_eq!(start.elapsed().as_secs(), 75);
    }

    #[tokio::test(start_paused = true)]
    async fn h14_n27_a_slow_upstream_is_no_stall_and_a_client_that_takes_nothing_is() {
        let pulse = Pulse::default();
        let mut beat = pulse.begin();
        let hour = Duration::from_secs(3600);
        assert!(timeout(hour, pulse.stalled(FIRST)).await.is_err());
        assert!(timeout(hour, pulse.idle(FIRST, IDLE)).await.is_err());
        beat.handed_over();
        beat.waiting_for_us();
        assert!(timeout(hour, pulse.stalled(FIRST)).await.is_err());
        beat.handed_over();
        assert!(timeout(FIRST + LOOK, pulse.stalled(FIRST)).await.is_ok());
        drop(beat);
        pulse.quiet().await;
    }
}

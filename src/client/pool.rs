//! Connections that wait for the next request.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::line::Line;

/// An idle connection is kept this long: shorter than what servers commonly allow (nginx 75 s, Go none), so that it
/// is we who close, and a request rarely meets a closing connection.
///
/// Counted in looks, so that no request has to look at a clock for it.
const POOL_IDLE: u64 = 6;

/// How often idle connections are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// An exchange whose answer is read, and whose request body is not, has this long to end.
const LEFTOVER: Duration = Duration::from_secs(60);

/// The idle connections of one client; the last one that came is the first to go.
pub(super) struct Pool {
    /// Each with the look before which it came.
    idle: Mutex<Vec<(Box<Line>, u64)>>,
    looks: AtomicU64,
    most: usize,
    swept: AtomicBool,
}

impl Pool {
    /// Keeps at most `most` connections.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::default(),
            looks: AtomicU64::new(0),
            most,
            swept: AtomicBool::new(false),
        })
    }

    /// A connection that seems to be open.
    pub(super) fn take(&self) -> Option<Box<Line>> {
        loop {
            let (mut line, _) = self.idle().pop()?;
            if !line.is_closed() {
                return Some(line);
            }
        }
    }

    /// Takes back a connection whose answer was read to its end.
    pub(super) fn give_back(self: &Arc<Self>, mut line: Box<Line>) {
        if !line.is_ready() {
            line.drive(&mut Context::from_waker(Waker::noop()));
        }
        if line.is_ready() {
            self.keep(line);
        } else if !line.is_closed()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            // The registry answered before it had read the whole request.
            runtime.spawn(finish(Arc::downgrade(self), line));
        }
    }

    fn keep(self: &Arc<Self>, mut line: Box<Line>) {
        line.used = true;
        line.appetite.reset();
        let mut idle = self.idle();
        if idle.len() < self.most {
            idle.push((line, self.looks.load(Ordering::Relaxed)));
            drop(idle);
            if !self.swept.swap(true, Ordering::Relaxed)
                && let Ok(runtime) = tokio::runtime::Handle::try_current()
            {
                runtime.spawn(sweep(Arc::downgrade(self)));
            }
        }
    }

    /// Lets go of what is too old or was closed from the other side; whether anything is left to look after.
    fn look_through(&self) -> bool {
        let mut idle = self.idle();
        let looks = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        idle.retain_mut(|(line, before)| {
            line.drive(&mut Context::from_waker(Waker::noop()));
            looks - *before < POOL_IDLE && line.is_ready()
        });
        if idle.is_empty() {
            self.swept.store(false, Ordering::Relaxed);
        }
        !idle.is_empty()
    }

    /// Nothing in here panics while the lock is held.
    fn idle(&self) -> MutexGuard<'_, Vec<(Box<Line>, u64)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// Ends with the pool, or when there is nothing in it.
async fn sweep(pool: Weak<Pool>) {
    loop {
        sleep(LOOK).await;
        match pool.upgrade() {
            Some(pool) if pool.look_through() => {}
            _ => return,
        }
    }
}

/// Drives a connection until what is left of its exchange is over.
async fn finish(pool: Weak<Pool>, mut line: Box<Line>) {
    let over = std::future::poll_fn(|cx| {
        line.drive(cx);
        if line.is_ready() || line.is_closed() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    let over = timeout(LEFTOVER, over).await;
    if let (Ok(()), true, Some(pool)) = (over, line.is_ready(), pool.upgrade()) {
        pool.keep(line);
    }
}

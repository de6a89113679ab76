//! What the service tells the guard of its connection: requests being answered, bodies cut short.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;

/// The requests of one connection that are being answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchanges(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// How many exchanges have ended. The guard knows how many requests it has passed on; counting beginnings here
    /// would miss the requests that hyper has and the service has not seen.
    ended: AtomicU64,
    truncated: AtomicBool,
    waker: AtomicWaker,
}

/// One request that is being answered: from the call of the service to the drop of the response's body.
///
/// It belongs INTO the response body: hyper drops that in the same step in which it hands over the body's last byte.
#[derive(Debug)]
pub(crate) struct Exchange(Exchanges);

impl Exchanges {
    /// A request's answer begins. Each request that reaches the service must have exactly one, or the guard waits for its
    /// end forever.
    pub(crate) fn begin(&self) -> Exchange {
        Exchange(self.clone())
    }

    /// Whether any of the first `requests` is still being answered.
    pub(super) fn are_open(&self, requests: u64) -> bool {
        self.0.ended.load(Ordering::Acquire) < requests
    }

    /// As `are_open`; if so, `waker` is woken when one of them ends.
    pub(super) fn are_open_or_wake(&self, requests: u64, waker: &Waker) -> bool {
        // First the waker, then the look: an end in between is seen by one of them.
        self.0.waker.register(waker);
        self.are_open(requests)
    }

    /// Nobody is to be woken any more.
    pub(super) fn wake_nobody(&self) {
        drop(self.0.waker.take());
    }

    pub(super) fn is_truncated(&self) -> bool {
        self.0.truncated.load(Ordering::Acquire)
    }
}

impl Exchange {
    /// The answer is incomplete and no more of it will come: the connection must not end as if it were complete.
    pub(crate) fn truncate(&self) {
        self.0.0.truncated.store(true, Ordering::Release);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let shared = &self.0.0;
        shared.ended.fetch_add(1, Ordering::AcqRel);
        shared.waker.wake();
    }
}

//! What the service tells the guard of its connection: requests being answered, bodies cut short.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;

/// The requests of one connection that are being answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchanges(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    in_flight: AtomicUsize,
    truncated: AtomicBool,
    waker: AtomicWaker,
}

/// One request that is being answered: from the call of the service to the drop of the response's body.
///
/// It belongs INTO the response body: hyper drops that in the same step in which it hands over the body's last byte.
#[derive(Debug)]
pub(crate) struct Exchange(Exchanges);

impl Exchanges {
    /// A request's answer begins.
    pub(crate) fn begin(&self) -> Exchange {
        self.0.in_flight.fetch_add(1, Ordering::AcqRel);
        Exchange(self.clone())
    }

    /// Whether any request is being answered; if so, `waker` is woken when the last one ends.
    pub(super) fn are_open(&self, waker: &Waker) -> bool {
        // First the waker, then the look: an end in between is seen by one of them.
        self.0.waker.register(waker);
        self.0.in_flight.load(Ordering::Acquire) > 0
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
        if shared.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            shared.waker.wake();
        }
    }
}

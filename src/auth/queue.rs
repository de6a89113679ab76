//! Places for hash work, in turns by where the requests come from.

use std::time::Duration;

use crate::turns::{Bounds, Place, Source, Turns};

use super::Refusal;

/// Requests that wait for each place. Sixteen checks of a tenth of a second are what a person waits at a login.
const WAITING_FOR_EACH_PLACE: usize = 16;

/// The longest wait for a place; a client that gave up is not worth a hash.
const PATIENCE: Duration = Duration::from_secs(15);

/// When a refused client may ask again: by then a few hashes of a usual cost are done.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The queue; clones share it.
#[derive(Clone)]
pub(super) struct Queue(Turns);

impl Queue {
    /// A queue in front of so many places. One source may have all of them: a hash takes no longer than it takes.
    pub(super) fn new(places: usize) -> Self {
        let waiting = places.max(1).saturating_mul(WAITING_FOR_EACH_PLACE);
        Self(Turns::new(Bounds {
            places,
            places_each: places,
            waiting,
            waiting_each: waiting / 2,
            patience: PATIENCE,
        }))
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// `Busy` where the queue is full, where this source has taken half of it, and where the wait takes too long.
    pub(super) async fn enter(&self, source: Source) -> Result<Place, Refusal> {
        let busy = |_| Refusal::Busy {
            retry_after: RETRY_AFTER,
        };
        self.0.enter(source).await.map_err(busy)
    }

    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        self.0.is_busy()
    }
}

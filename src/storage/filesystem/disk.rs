//! The way to the disk: blocking calls on threads of their own, a bounded number at a time, and errors in the words
//! of the store.

use std::sync::Arc;

use rustix::io::{Errno, Result as Step};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::super::{Error, Key};
use super::place::Place;
use super::spare::Spare;
use super::stream::LARGE;

/// Calls that may wait for the disk at the same time; the others wait for their turn without a thread. Enough to keep
/// a fast disk busy, and well below the threads that tokio would start (512), so that other blocking work gets some.
const AT_ONCE: usize = 64;

/// The store's folder, and the right to wait for it.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    place: Arc<Place>,
    turns: Arc<Semaphore>,
    /// Buffers for those who read much.
    pub(super) spare: Spare,
}

impl Disk {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place: Arc::new(place),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            spare: Spare::new(LARGE),
        }
    }

    /// The folder, for what does not block.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Does `work` on a thread that may block. It is done to its end even when nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        key: &Key,
        verb: &'static str,
        work: impl FnOnce(&Place) -> Step<T> + Send + 'static,
    ) -> Result<T, Error> {
        let job = self.start(self.turn().await, work);
        ended(job.await).map_err(|source| failed(key, verb, source))
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Turn {
        // Nobody closes the semaphore, so there always is a permit in the end.
        Turn {
            _held: Arc::clone(&self.turns).acquire_owned().await.ok(),
        }
    }

    /// A turn, if nobody waits for one: for what can as well be done later.
    pub(super) fn turn_now(&self) -> Option<Turn> {
        let permit = Arc::clone(&self.turns).try_acquire_owned().ok()?;
        Some(Turn {
            _held: Some(permit),
        })
    }

    /// Begins `work`, as [`Disk::run`] does, without waiting for its end.
    pub(super) fn start<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce(&Place) -> Step<T> + Send + 'static,
    ) -> JoinHandle<Step<T>> {
        let place = Arc::clone(&self.place);
        tokio::task::spawn_blocking(move || {
            let done = work(&place);
            drop(turn);
            done
        })
    }
}

/// The right to begin one piece of work.
#[derive(Debug)]
pub(super) struct Turn {
    _held: Option<OwnedSemaphorePermit>,
}

/// What became of a job. One that the end of the runtime cut off was not done.
pub(super) fn ended<T>(done: Result<Step<T>, tokio::task::JoinError>) -> Step<T> {
    done.unwrap_or(Err(Errno::CANCELED))
}

/// The error of the store for an error of the system.
pub(super) fn failed(key: &Key, verb: &'static str, source: Errno) -> Error {
    let key = key.clone();
    let full = matches!(source, Errno::NOSPC | Errno::DQUOT);
    let source = Box::new(std::io::Error::from(source));
    if full {
        Error::Full { key, source }
    } else {
        Error::Failed { key, verb, source }
    }
}

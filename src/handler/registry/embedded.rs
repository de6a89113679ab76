//! The embedded registry as a backend, and the owner of what is done in it for clients that may have gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config;
use crate::error::Error;
use crate::registry;
use crate::registry::Registry;
use crate::registry::Swept;
use crate::storage::OpenError;
use crate::turns::{Bounds, Full, Place, Source, Turns};

/// Changes that are made at the same time; more of them wait. There are never more than connections and streams.
const AT_ONCE: u32 = 1 << 16;

/// Large manifests that are held while they are pushed, of all and of one address. Each is a few MiB at most, and a few more while
/// it is looked through; an honest one takes some milliseconds.
const PUSHES: Bounds = Bounds {
    places: 6,
    places_each: 3,
    waiting: 64,
    waiting_each: 32,
    patience: Duration::from_secs(10),
};

/// The registry inside of the gate.
#[derive(Clone, Debug)]
pub(crate) struct Embedded {
    /// Outlives a reload that does not concern it.
    registry: Arc<Registry>,
    /// Uploads that nobody touched for so long are abandoned.
    upload_expiry: Duration,
    /// Has a place for each change that is being made.
    work: Arc<Semaphore>,
    /// Has a place for each large manifest that is being pushed.
    pushes: Turns,
}

impl Embedded {
    /// Opens the registry that the configuration names. One with the same settings goes on as it is; with other
    /// settings of the same store, the store does.
    ///
    /// # Errors
    /// Names what of the store cannot be used.
    pub(crate) fn open(
        config: &config::Registry,
        previous: Option<&Self>,
    ) -> Result<Self, OpenError> {
        let kept = previous.and_then(|old| {
            if old.registry.is_made_of(config) {
                return Some(Arc::clone(&old.registry));
            }
            old.registry.with_switches(config).map(Arc::new)
        });
        let registry = match kept {
            Some(registry) => registry,
            None => Arc::new(Registry::open(config)?),
        };
        let work = previous.map(|old| Arc::clone(&old.work));
        let pushes = previous.map(|old| old.pushes.clone());
        Ok(Self {
            registry,
            upload_expiry: config.upload_expiry,
            work: work.unwrap_or_else(|| Arc::new(Semaphore::new(AT_ONCE as usize))),
            pushes: pushes.unwrap_or_else(|| Turns::new(PUSHES)),
        })
    }

    /// The registry, to be read.
    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Waits until there is room for one more large manifest.
    pub(super) async fn room(&self, source: Source) -> Result<Place, Error> {
        let place = self.pushes.enter(source).await;
        place.map_err(|Full| Error::Registry(registry::Error::Crowded))
    }

    /// Makes a change to its end, though the client should go away meanwhile: what came of an upload is kept, and
    /// nothing that was begun is left half done. It ends by itself, because the body of a client that went away ends in
    /// an error.
    pub(super) async fn to_the_end<T, F>(
        &self,
        change: impl FnOnce(Arc<Registry>) -> F,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, registry::Error>> + Send + 'static,
    {
        let place = Arc::clone(&self.work).acquire_owned().await;
        let change = change(Arc::clone(&self.registry));
        let done = tokio::spawn(async move {
            let _place = place;
            change.await
        });
        match done.await {
            Ok(done) => Ok(done?),
            Err(_) => Err(Error::Panicked),
        }
    }

    /// Waits until all changes are made, `patience` at most.
    pub(crate) async fn settle(&self, patience: Duration) {
        // Whether or not: what is not made then is as the store last had it.
        let _ = timeout(patience, self.work.acquire_many(AT_ONCE)).await;
    }

    /// Removes what clients left behind.
    ///
    /// # Errors
    /// Its storage failed; what was removed before is gone.
    pub(crate) async fn sweep(&self) -> Result<Swept, registry::Error> {
        self.registry.sweep(self.upload_expiry).await
    }
}

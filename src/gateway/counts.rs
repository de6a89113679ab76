//! What the walk counts: refusals by their error, tokens by who gets them, failures of the store.

use std::error::Error as StdError;

use crate::error::Error;
use crate::identity::Identity;
use crate::metrics::Bearer;
use crate::metrics::Metrics;
use crate::metrics::Requests;
use crate::metrics::StorageFault;
use crate::metrics::Store;
use crate::metrics::Tokens;
use crate::metrics::Upstream;
use crate::registry;
use crate::registry::Swept;
use crate::route::Route;
use crate::route::Target;
use crate::storage;

/// The handles that a request needs.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    /// Requests and their bodies.
    pub requests: Requests,
    /// The registry behind the gate.
    pub upstream: Upstream,
    store: Store,
    tokens: Tokens,
}

impl Counts {
    pub(super) fn of(metrics: &Metrics) -> Self {
        Self {
            requests: metrics.requests(),
            store: metrics.store(),
            upstream: metrics.upstream(),
            tokens: metrics.tokens(),
        }
    }

    /// A request was done as it was asked.
    pub(super) fn done(&self, route: &Route, identity: &Identity) {
        if matches!(route.target, Target::Token(_)) {
            self.tokens.issued(bearer(identity));
        }
    }

    /// A request was refused.
    pub(super) fn refused(&self, error: &Error) {
        match error {
            Error::Panicked => self.requests.panicked(),
            Error::Registry(registry::Error::Storage(error)) => self.storage(error),
            _ => {}
        }
    }

    /// The store was swept, or could not be.
    pub(super) fn swept(&self, swept: Result<&Swept, &registry::Error>) {
        match swept {
            Ok(swept) => {
                self.requests.swept(swept.uploads);
                self.store.open_uploads(swept.open);
            }
            Err(registry::Error::Storage(error)) => self.storage(error),
            Err(_) => {}
        }
    }

    fn storage(&self, error: &storage::Error) {
        if let Some(kind) = error.fault() {
            self.store.failed(kind);
        }
    }

    /// The store failed in the middle of an answer.
    pub(super) fn cut(&self, error: &(dyn StdError + 'static)) {
        let known = error.downcast_ref::<storage::Error>();
        let kind = known.and_then(storage::Error::fault);
        self.store.failed(kind.unwrap_or(StorageFault::Failed));
    }
}

fn bearer(identity: &Identity) -> Bearer {
    if identity.user.is_some() {
        Bearer::User
    } else if identity.certificate.is_some() {
        Bearer::Certificate
    } else {
        Bearer::Anonymous
    }
}

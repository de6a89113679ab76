//! What a reload swaps, as every connection sees it.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::Config;
use crate::config::Limits;
use crate::config::Timeouts;
use crate::gateway::Gateway;

/// The state in force; each request looks at it anew.
#[derive(Clone, Debug)]
pub(super) struct Live(Arc<Swaps>);

#[derive(Debug)]
struct Swaps {
    gateway: ArcSwap<Gateway>,
    settings: ArcSwap<Settings>,
}

/// What a connection takes from the configuration when it begins.
#[derive(Debug)]
pub(super) struct Settings {
    /// Bounds.
    pub limits: Limits,
    /// Deadlines.
    pub timeouts: Timeouts,
}

impl Settings {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            limits: config.limits.clone(),
            timeouts: config.timeouts.clone(),
        }
    }
}

impl Live {
    pub(super) fn new(gateway: Gateway, settings: Settings) -> Self {
        Self(Arc::new(Swaps {
            gateway: ArcSwap::from_pointee(gateway),
            settings: ArcSwap::from_pointee(settings),
        }))
    }

    pub(super) fn gateway(&self) -> Arc<Gateway> {
        self.0.gateway.load_full()
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        self.0.settings.load_full()
    }

    pub(super) fn swap(&self, gateway: Gateway, settings: Settings) {
        self.0.gateway.store(Arc::new(gateway));
        self.0.settings.store(Arc::new(settings));
    }
}

/// Whether new work is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is.
    Serving,
    /// What runs is finished, nothing is begun.
    Draining,
}

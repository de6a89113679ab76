//! The embedded registry's housekeeping: its store is looked at, and uploads that nobody came back to are removed.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::sleep;
use tracing::{error, info, warn};

use super::settings::Live;
use crate::telemetry::chain;

/// Between two sweeps.
const PERIOD: Duration = Duration::from_secs(60 * 60);

/// Several processes over one store do not all sweep at the same moment.
const JITTER: Duration = Duration::from_secs(10 * 60);

/// Looks and sweeps at once and then every hour, whatever backend is in force then. Never returns; it may be stopped at any
/// moment.
pub(super) async fn run(live: Live) {
    loop {
        let gateway = live.gateway();
        if let Err(error) = gateway.check().await {
            // The first time is at the start: a wrong bucket is told before somebody pushes to it.
            error!(
                error = chain(&error),
                "the registry's store cannot be used; requests fail until it can"
            );
        }
        match gateway.sweep().await {
            Ok(swept) if swept.uploads > 0 => {
                info!(uploads = swept.uploads, "abandoned uploads removed");
            }
            Ok(_) => {}
            Err(error) => warn!(
                error = chain(&error),
                "abandoned uploads stay until the next hour"
            ),
        }
        // Not kept over the wait: a reload may have put another one in its place.
        drop(gateway);
        sleep(PERIOD + random(JITTER)).await;
    }
}

/// Any time below `bound`.
pub(super) fn random(bound: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8);
    let bound = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random % bound.max(1))
}

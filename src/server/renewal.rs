//! The certificate of an authority, kept in date while we serve: looked at in time, tried again when it fails, told to
//! whoever reads the log. Serving never waits for it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{error, info, warn};

use crate::acme::Error;
use crate::acme::Keeper;
use crate::acme::Obtained;
use crate::acme::Outlook;
use crate::acme::Tokens;
use crate::config::Acme;
use crate::telemetry::chain;
use crate::tls::Challenges;

/// After the first failure; each further one doubles it, up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LAST_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// The file is looked at this often: another process may have renewed it, somebody may have removed it, and the clock may
/// have been set.
const LOOK: Duration = Duration::from_secs(3600);

/// Another process that has its turn is waited for this long.
const ELSEWHERE: Duration = Duration::from_secs(60);

/// Certificates that follow one another faster than this are an authority's mistake, or ours, and come slower and slower.
const HASTE: Duration = Duration::from_secs(3600);

/// Where names are proven, and by what it is told to hurry.
#[derive(Clone, Debug)]
pub(super) struct Means {
    pub(super) challenges: Challenges,
    pub(super) tokens: Tokens,
    /// Somebody asked for a reload: what failed is tried again at once.
    pub(super) hurry: Arc<Notify>,
}

/// Keeps the certificate of the section in force. Never returns; it may be stopped at any moment.
pub(super) async fn run(mut sections: watch::Receiver<Option<Arc<Acme>>>, means: Means) {
    loop {
        let section = sections.borrow_and_update().clone();
        let work = async {
            match section {
                Some(section) => keep(section, &means).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = work => {}
            changed = sections.changed() => if changed.is_err() {
                // Nobody can change it any more; what is in force stays.
                std::future::pending::<()>().await;
            },
        }
    }
}

async fn keep(section: Arc<Acme>, means: &Means) {
    let (challenges, tokens) = (means.challenges.clone(), means.tokens.clone());
    let mut keeper = Keeper::new(section, challenges, tokens);
    let names = keeper.section().names.join(",");
    let mut failures = 0;
    let mut last: Option<(Instant, u32)> = None;
    if let (Outlook { held, .. }, _) = keeper.outlook().await
        && !held.is_zero()
    {
        let for_s = held.as_secs();
        info!(names, for_s, "the authority wants to be left alone");
    }
    loop {
        let (outlook, fault) = keeper.outlook().await;
        if !outlook.due_in.is_zero() {
            tokio::select! {
                () = sleep(outlook.due_in.min(LOOK)) => {}
                () = means.hurry.notified() => {}
            }
            continue;
        }
        if let Some(fault) = fault {
            warn!(
                error = chain(&fault),
                "the certificate that is there cannot be used; another one is ordered, and it is moved aside for it"
            );
        }
        if let Some((at, quick)) = last.filter(|(at, quick)| at.elapsed() < HASTE && *quick > 0) {
            sleep_until(at + pause(quick)).await;
        }
        info!(
            names,
            directory = keeper.section().directory,
            "ordering a certificate"
        );
        // What was asked for before is done now; what is asked for from here on is for the next try.
        let _ = means.hurry.notified().now_or_never();
        match keeper.obtain().await {
            Ok(Obtained::Issued(issued)) => {
                failures = 0;
                let quick = last.filter(|(at, _)| at.elapsed() < HASTE);
                last = Some((Instant::now(), quick.map_or(0, |(_, quick)| quick + 1)));
                let until = jiff::Timestamp::try_from(issued.not_after);
                let until = until.map_or_else(|_| String::new(), |at| at.to_string());
                info!(
                    names,
                    expires = until,
                    "the authority has issued a certificate"
                );
            }
            Ok(Obtained::Elsewhere) => sleep(ELSEWHERE).await,
            Err(error) if error.is_mended() => tell(&names, &error, outlook, Duration::ZERO),
            Err(error) => {
                failures += 1;
                let held = error.retry_after();
                let wait = pause(failures).max(held.unwrap_or_default());
                tell(&names, &error, outlook, wait);
                tokio::select! {
                    () = sleep(wait) => {}
                    // Not while the authority wants to be left alone.
                    () = means.hurry.notified(), if held.is_none() => {}
                }
            }
        }
    }
}

/// A minute, then twice that, and so on, each up to a tenth shorter: replicas that failed together do not come back together.
fn pause(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let whole = doubled.min(LAST_PAUSE);
    whole.saturating_sub(super::sweep::random(whole / 10))
}

/// One line for a failure: what, until when it does no harm, and what to do.
fn tell(names: &str, error: &Error, outlook: Outlook, wait: Duration) {
    let (reason, advice, retry_in_s) = ("acme_failed", error.advice(), wait.as_secs());
    let error = chain(error);
    match outlook.left {
        Some(left) if !outlook.is_urgent => {
            let left_h = left.as_secs() / 3600;
            warn!(
                reason,
                names,
                error,
                left_h,
                retry_in_s,
                "no new certificate yet, the old one is good: {advice}"
            );
        }
        Some(left) => {
            let left_h = left.as_secs() / 3600;
            error!(
                reason,
                names,
                error,
                left_h,
                retry_in_s,
                "no new certificate, and the old one ends soon: {advice}"
            );
        }
        None => error!(
            reason,
            names,
            error,
            retry_in_s,
            "no certificate, clients are shown one that they do not know: {advice}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_a_minute_to_six_hours() {
        for (failures, whole) in [
            (1, 60),
            (2, 120),
            (5, 960),
            (9, 15360),
            (10, 21600),
            (1000, 21600),
        ] {
            let pause = pause(failures).as_secs_f64();
            let whole = f64::from(whole);
            assert!(
                (whole * 0.9..=whole).contains(&pause),
                "{failures}: {pause}"
            );
        }
    }
}

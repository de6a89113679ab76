//! Whether the gate is ready: it takes new work, its certificates are valid now, and content can be had.
//!
//! The last one is asked of the upstream or the store by one task, now and then and when somebody wants to know, and not
//! more often than once a second, however many ask.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::error::Error;
use crate::metrics::Kind;
use crate::metrics::Metrics;
use crate::metrics::Part;
use crate::telemetry::chain;

use super::settings::{Live, Phase};

/// Without anybody asking, the backend is looked at so often, so that the metric tells of it.
const PERIOD: Duration = Duration::from_secs(15);

/// What was found is true for so long.
const FRESH: Duration = Duration::from_secs(1);

/// The backend has this long to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who asks waits for a look that is under way, and for one more.
const WAIT: Duration = Duration::from_secs(7);

/// What was found at the last look at the backend.
#[derive(Clone, Debug)]
struct Look {
    at: Instant,
    /// `upstream`, or `store`.
    what: &'static str,
    fault: Option<&'static str>,
}

impl Look {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() < FRESH
    }
}

/// Answers whether the gate is ready.
#[derive(Debug)]
pub(super) struct Readiness {
    metrics: Metrics,
    phase: watch::Receiver<Phase>,
    last: watch::Receiver<Option<Look>>,
    wanted: Arc<Notify>,
}

/// Looks at the backend; to be run as long as anybody may ask.
#[derive(Debug)]
pub(super) struct Watchman {
    live: Live,
    last: watch::Sender<Option<Look>>,
    wanted: Arc<Notify>,
}

/// What there is to say of each part, a line for each.
#[derive(Debug)]
pub(super) struct Report {
    /// Whether all of them are well.
    pub ready: bool,
    /// `ok PART` or `fail PART: WHY`.
    pub text: String,
}

/// Both ends: who answers and who looks.
pub(super) fn readiness(
    live: Live,
    metrics: Metrics,
    phase: watch::Receiver<Phase>,
) -> (Readiness, Watchman) {
    let (sender, last) = watch::channel(None);
    let wanted = Arc::new(Notify::new());
    let readiness = Readiness {
        metrics,
        phase,
        last,
        wanted: Arc::clone(&wanted),
    };
    let watchman = Watchman {
        live,
        last: sender,
        wanted,
    };
    (readiness, watchman)
}

impl Readiness {
    /// How it is now; waits for a look at the backend where the last one is too old.
    pub(super) async fn report(&self) -> Report {
        let mut last = self.last.clone();
        let fresh = |look: &Option<Look>| look.as_ref().is_some_and(Look::is_fresh);
        let known = fresh(&last.borrow());
        if !known {
            self.wanted.notify_one();
            // Whether it came in time or not: what is known is told, with its age judged below.
            let _ = timeout(WAIT, last.wait_for(fresh)).await;
        }
        let look = last.borrow().clone();
        self.told(look.as_ref())
    }

    /// Brings the metric up to date with what is known.
    pub(super) fn note(&self) {
        let look = self.last.borrow().clone();
        self.told(look.as_ref());
    }

    fn told(&self, look: Option<&Look>) -> Report {
        let serving = match *self.phase.borrow() {
            Phase::Serving => None,
            Phase::Draining => Some("draining".to_owned()),
        };
        let (backend, fault) = match look {
            None => ("backend", Some("no answer yet")),
            Some(look) if look.at.elapsed() > PERIOD + WAIT => (look.what, Some("no answer")),
            Some(look) => (look.what, look.fault),
        };
        let mut report = Report {
            ready: true,
            text: String::new(),
        };
        let parts = [
            (Part::Serving, "serving", serving),
            (Part::Certificates, "certificates", self.certificates()),
            (Part::Backend, backend, fault.map(str::to_owned)),
        ];
        for (part, name, fault) in parts {
            self.metrics.ready(part, fault.is_none());
            // Writing to memory does not fail.
            let _ = match fault {
                None => writeln!(report.text, "ok {name}"),
                Some(fault) => {
                    report.ready = false;
                    writeln!(report.text, "fail {name}: {fault}")
                }
            };
        }
        report
    }

    /// What is wrong with the dates of the certificates that clients are shown.
    fn certificates(&self) -> Option<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs());
        let dates = self.metrics.dates();
        let mut shown = dates.iter().filter(|dated| dated.kind == Kind::Certificate);
        let bad = shown.find(|dated| now < dated.from || now > dated.until)?;
        let what = if now > bad.until {
            "has expired"
        } else {
            "is not valid yet"
        };
        Some(format!("{} of {} {what}", bad.file.display(), bad.listener))
    }
}

impl Watchman {
    /// Looks at once, and then again and again; never returns.
    pub(super) async fn run(self) {
        let mut was_well = true;
        loop {
            let look = self.look(&mut was_well).await;
            let next = look.at + FRESH;
            self.last.send_replace(Some(look));
            tokio::select! {
                () = sleep(PERIOD) => {}
                () = self.wanted.notified() => tokio::time::sleep_until(next).await,
            }
        }
    }

    async fn look(&self, was_well: &mut bool) -> Look {
        let gateway = self.live.gateway();
        let what = gateway.content();
        let found = match timeout(PATIENCE, gateway.ready()).await {
            Ok(found) => found.map_err(|error| (word(&error), chain(&error))),
            Err(_) => Err(("timeout", format!("it did not answer within {PATIENCE:?}"))),
        };
        // A log of nothing but changes.
        if let Err((_, error)) = &found
            && *was_well
        {
            warn!(error, "not ready: the {what} cannot be used");
        } else if found.is_ok() && !*was_well {
            info!("ready: the {what} can be used again");
        }
        *was_well = found.is_ok();
        Look {
            at: Instant::now(),
            what,
            fault: found.err().map(|(word, _)| word),
        }
    }
}

/// One word for whoever asks: no host, no path.
fn word(error: &Error) -> &'static str {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => return "refused",
            Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
                return "unreachable";
            }
            Some(io::ErrorKind::PermissionDenied) => return "not permitted",
            _ => {}
        }
        next = error.source();
    }
    error.answer().reason
}

//! Sockets and processes: bind, accept, serve, reload, drain. Everything about one request is the gateway's.

mod accept;
mod activated;
mod admin;
mod connection;
mod framing;
mod guard;
mod held;
mod manager;
#[cfg(any(test, fuzzing))]
pub(crate) mod property;
mod proxy_protocol;
mod pulse;
mod readiness;
mod reload;
mod renewal;
mod settings;
mod signal;
mod sweep;
mod transport;
mod watch;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, watch as phases};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep};
use tracing::{info, warn};

use crate::acme::Keeper;
use crate::config::Config;
use crate::config::ListenAddress;
use crate::confine::Confined;
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::telemetry::AccessLog;
use crate::telemetry::chain;
use crate::tls::Challenges;
use crate::tls::ServerTls;

pub use accept::BindError;
pub use activated::Activated;
pub use manager::Manager;
pub use reload::Source;
pub use signal::{Command, commands};

use accept::Listening;
use connection::Door;
use manager::status;
use reload::{Reloader, blocking, door, reloaded};
use renewal::Means;
use settings::{Live, Phase, Settings};
use signal::second_stop;
use watch::Watch;

/// Without one byte in either direction for this long, a body's connection is given up (nginx: `client_body_timeout`
/// and `send_timeout`). There is no limit to the whole.
const STALL: Duration = Duration::from_secs(60);

/// The last lines of the access log have this long to leave.
const FLUSH: Duration = Duration::from_secs(2);

/// What came of an upload whose connection was cut has this long to reach the store.
const SETTLE: Duration = Duration::from_secs(5);

/// With what else the end takes: a margin for the service manager, which kills what takes longer than it was told.
const LAST: Duration = Duration::from_secs(15);

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How often certificates are read again though no file has changed: ours is renewed in time, and what expires soon is
/// warned of until somebody acts.
const RENEW: Duration = Duration::from_secs(24 * 60 * 60);

/// The gate, with everything loaded and nothing bound yet.
pub struct Server {
    config: Config,
    doors: Vec<Door>,
    challenges: Challenges,
    gateway: Gateway,
    access_log: Option<AccessLog>,
    metrics: Metrics,
    warnings: Vec<String>,
    /// What was handed over to each listener.
    handed: Vec<Option<activated::Socket>>,
}

/// The gate with its sockets open: from now on connections wait to be accepted.
pub struct Bound {
    listening: Vec<Listening>,
    addresses: Vec<ListenAddress>,
    admin: Option<(Listening, ListenAddress)>,
    reloader: Reloader,
    manager: Manager,
    means: Means,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All that ran was finished.
    Drained,
    /// `timeouts.drain` was over, or a second stop came: some connections were cut.
    Cut,
}

impl Server {
    /// Reads every file that the configuration names, and makes certificates where none are named.
    ///
    /// # Errors
    /// One line for each fault of each file.
    pub fn load(config: Config) -> Result<Self, Vec<String>> {
        Self::load_counting(config, Metrics::new())
    }

    /// The same, where something has been counted before.
    pub(crate) fn load_counting(config: Config, metrics: Metrics) -> Result<Self, Vec<String>> {
        let start = |format| AccessLog::start(format, metrics.access_lines_lost());
        let access_log = config.log.access.map(start).transpose();
        let access_log =
            access_log.map_err(|e| vec![format!("log.access: no thread to write it: {e}")])?;
        let mut warnings = Vec::new();
        let mut faults = Vec::new();
        let mut doors = Vec::new();
        let challenges = Challenges::default();
        if let Some(Err(errors)) = config.acme.as_ref().map(Keeper::check) {
            faults.extend(errors.iter().map(|e| chain(e)));
        }
        for listener in &config.listeners {
            let tls = listener
                .tls
                .as_ref()
                .map(|tls| ServerTls::load(tls, listener.http2, &config.state_dir, &challenges));
            match tls.transpose() {
                Ok(loaded) => {
                    let (tls, told) = loaded.unzip();
                    warnings.extend(told.unwrap_or_default().iter().map(ToString::to_string));
                    doors.push(door(listener, tls));
                }
                Err(errors) => faults.extend(errors.iter().map(|e| chain(e))),
            }
        }
        match Gateway::build(&config, access_log.clone(), &metrics, None) {
            Ok((gateway, told)) if faults.is_empty() => {
                warnings.extend(told.iter().map(ToString::to_string));
                Ok(Self {
                    config,
                    doors,
                    challenges,
                    gateway,
                    access_log,
                    metrics,
                    warnings,
                    handed: Vec::new(),
                })
            }
            Ok(_) => Err(faults),
            Err(errors) => {
                faults.extend(errors.iter().map(|e| chain(e)));
                Err(faults)
            }
        }
    }

    /// What works and was probably not meant.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Gives the listeners these sockets, so that they need not be opened.
    ///
    /// # Errors
    /// One line for each socket that no listener can take.
    pub fn activated(mut self, sockets: Activated) -> Result<Self, Vec<String>> {
        self.handed = sockets.deal(&self.config.listeners)?;
        Ok(self)
    }

    /// Opens the listeners; inside a tokio runtime.
    ///
    /// # Errors
    /// Names the address that cannot be had, and what to do.
    pub fn bind(self) -> Result<Bound, BindError> {
        let listeners = &self.config.listeners;
        let handed = self
            .handed
            .into_iter()
            .chain(std::iter::repeat_with(|| None));
        let listening: Vec<_> = listeners
            .iter()
            .zip(handed)
            .map(|(l, handed)| Listening::open(&l.address, handed))
            .collect::<Result<_, _>>()?;
        let addresses: Vec<_> = listening
            .iter()
            .zip(listeners)
            .map(|(bound, listener)| bound.address().unwrap_or_else(|_| listener.address.clone()))
            .collect();
        let bind_admin = |address: &ListenAddress| {
            let bound = Listening::open(address, None)?;
            let address = bound.address().unwrap_or_else(|_| address.clone());
            Ok((bound, address))
        };
        let admin = self.config.admin.as_ref().map(bind_admin).transpose()?;
        let means = Means {
            challenges: self.challenges,
            tokens: self.gateway.tokens(),
            hurry: Arc::new(Notify::new()),
        };
        let acme = self.config.acme.clone().map(Arc::new);
        let live = Live::new(self.gateway, Settings::of(&self.config));
        let doors = self.doors.into_iter();
        let doors: Vec<_> = doors
            .map(|door| Arc::new(ArcSwap::from_pointee(door)))
            .collect();
        let names = addresses.iter().map(accept::text);
        let known: Vec<_> = names.zip(doors.iter().cloned()).collect();
        self.metrics.date(move || {
            let dates = |(name, door): &(String, Arc<ArcSwap<Door>>)| {
                let door = door.load();
                door.tls
                    .as_ref()
                    .map_or_else(Vec::new, |tls| tls.dates(name))
            };
            known.iter().flat_map(dates).collect()
        });
        Ok(Bound {
            listening,
            addresses,
            admin,
            means,
            reloader: Reloader {
                doors,
                live,
                metrics: self.metrics,
                access_log: self.access_log,
                file: None,
                source: None,
                watch: Watch::default(),
                again: None,
                acme: phases::Sender::new(acme),
                confined: Confined::default(),
                config: self.config,
            },
            manager: Manager::default(),
        })
    }
}

impl Bound {
    /// Where it listens, with the ports that the system chose, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// Where it answers the operator's tools, if anywhere, with the port that the system chose.
    #[must_use]
    pub fn admin_address(&self) -> Option<&ListenAddress> {
        self.admin.as_ref().map(|(_, address)| address)
    }

    /// Reads the configuration again from here when it reloads; `file` is watched.
    #[must_use]
    pub fn reloading(mut self, file: Option<PathBuf>, source: Source) -> Self {
        self.reloader.file = file;
        self.reloader.source = Some(source);
        self
    }

    /// It can touch no more than this, whatever a reload says.
    #[must_use]
    pub(crate) fn confined(mut self, confined: Confined) -> Self {
        self.reloader.confined = confined;
        self
    }

    /// Tells this one how it fares.
    #[must_use]
    pub fn telling(mut self, manager: Manager) -> Self {
        self.manager = manager;
        self
    }

    /// Serves until told to stop, then drains.
    pub async fn run(mut self, commands: mpsc::Receiver<Command>) -> Ended {
        let manager = std::mem::take(&mut self.manager);
        // One task for both: where serving is stuck, the signs of life end.
        tokio::select! {
            ended = self.serve(&manager, commands) => ended,
            never = manager.beat() => match never {},
        }
    }

    async fn serve(self, manager: &Manager, mut commands: mpsc::Receiver<Command>) -> Ended {
        let Self {
            listening,
            addresses,
            admin,
            mut reloader,
            means,
            ..
        } = self;
        let (phase, phases) = phases::channel(Phase::Serving);
        let mut loops = accept::loops(listening, &addresses, &reloader, &phases);
        let mut watching = admin::watching(admin, &reloader, &phases);
        // Before anybody is told that we listen, and changes files in the belief that they are read already.
        reloader.start();
        for address in &addresses {
            info!(address = accept::text(address), "listening");
        }
        let mut chores = JoinSet::new();
        let live = reloader.live.clone();
        chores.spawn(sweep::run(live.clone()));
        let hurry = Arc::clone(&means.hurry);
        chores.spawn(renewal::run(reloader.acme.subscribe(), means));
        manager.ready(&status(&addresses, true)).await;
        // Should a reload break, it takes what it has with it.
        let (drain, access_log) = (reloader.config.timeouts.drain, reloader.access_log.clone());
        let mut reloader = Some(reloader);
        let mut clock = interval(LOOK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut calendar = interval_at(Instant::now() + RENEW, RENEW);
        loop {
            let work = tokio::select! {
                _ = clock.tick() => Reloader::look,
                _ = calendar.tick() => Reloader::renew,
                command = commands.recv() => match command {
                    Some(Command::Reload) => {
                        hurry.notify_one();
                        manager.reloading().await;
                        reloader = blocking(reloader, Reloader::reload).await;
                        manager.ready(&status(&addresses, reloaded(reloader.as_ref()))).await;
                        continue;
                    }
                    Some(Command::Stop) | None => break,
                },
            };
            reloader = blocking(reloader, work).await;
            manager
                .status(&status(&addresses, reloaded(reloader.as_ref())))
                .await;
        }
        chores.shutdown().await;
        let drain = reloader.as_ref().map_or(drain, |r| r.config.timeouts.drain);
        // First what is told to others: who reads the line finds it so.
        phase.send_replace(Phase::Draining);
        info!(
            drain_s = drain.as_secs(),
            "draining: no new connections, what runs is finished"
        );
        manager.stopping(drain + LAST).await;
        let all = async { while loops.join_next().await.is_some() {} };
        let ended = tokio::select! {
            () = all => Ended::Drained,
            () = sleep(drain) => Ended::Cut,
            () = second_stop(&mut commands) => Ended::Cut,
        };
        if ended == Ended::Cut {
            warn!("some connections were cut");
        }
        loops.shutdown().await;
        live.gateway().settle(SETTLE).await;
        if let Some(log) = access_log {
            // Blocking is harmless here: nothing else runs any more.
            log.flush(FLUSH);
        }
        watching.shutdown().await;
        ended
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

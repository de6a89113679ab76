//! Reload: read everything again, put it in force where it is good, and keep what was where it is not.
//!
//! Connections are never dropped for it: a request takes the state in force when it begins.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch as changes;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::acme;
use crate::acme::Keeper;
use crate::config::Acme;
use crate::config::Authorization;
use crate::config::ClientAuth;
use crate::config::Config;
use crate::config::Faults;
use crate::config::Listener;
use crate::config::ListenerTls;
use crate::config::Loaded;
use crate::confine::Confined;
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::metrics::Reload;
use crate::telemetry::AccessLog;
use crate::telemetry::chain;
use crate::tls;
use crate::tls::Prepared;
use crate::tls::ServerTls;

use super::connection::Door;
use super::settings::{Live, Settings};
use super::watch::Watch;

/// After a reload that failed the files are read again without having changed: file descriptors may have run out, or a
/// network file system was away, and a password or certificate that was taken back must not stay in force for that.
const AGAIN: Duration = Duration::from_secs(60);

/// Where a configuration comes from, to be read again.
pub type Source = Box<dyn Fn() -> Result<Loaded, Faults> + Send>;

/// A listener's place, and its new TLS section with what was read for it.
type Changed = (usize, Prepared, ListenerTls);

/// What is needed to load everything once more.
pub(super) struct Reloader {
    pub(super) config: Config,
    /// One for each of `config.listeners`, in their order.
    pub(super) doors: Vec<Arc<ArcSwap<Door>>>,
    pub(super) live: Live,
    pub(super) access_log: Option<AccessLog>,
    pub(super) metrics: Metrics,
    /// The configuration file, where there is one, and how to read it.
    pub(super) file: Option<PathBuf>,
    pub(super) source: Option<Source>,
    pub(super) watch: Watch,
    /// When to try again what failed: not every fault is in a file whose change would be seen.
    pub(super) again: Option<Instant>,
    /// The authority in force, as it is told to whoever keeps its certificate.
    pub(super) acme: changes::Sender<Option<Arc<Acme>>>,
    /// What can still be reached.
    pub(super) confined: Confined,
}

impl Reloader {
    /// Begins to watch the files as they were when everything was loaded.
    pub(super) fn start(&mut self) {
        self.watch.note(self.files());
    }

    /// Reloads if a file has changed and kept still, or could not be read some time ago; blocking.
    pub(super) fn look(&mut self) {
        let due = self.again.is_some_and(|at| Instant::now() >= at);
        if self.watch.has_settled_change() || due {
            self.reload();
        }
    }

    /// Reads the certificates again as a day has passed; blocking.
    pub(super) fn renew(&mut self) {
        if !self.certificates() {
            self.ended(false);
        }
        self.watch.follow(self.files());
    }

    /// Reloads everything; blocking.
    pub(super) fn reload(&mut self) {
        // Before reading: what changes while we read is a change to be seen next time.
        self.watch.note(self.files());
        let mut good = true;
        match self.source.as_ref().map(|source| source()) {
            None => {}
            Some(Ok(loaded)) => good &= self.take(loaded),
            Some(Err(faults)) => {
                good = false;
                for fault in faults.lines() {
                    error!(
                        reason = "reload_failed",
                        "configuration not reloaded, the old one stays: {fault}"
                    );
                }
            }
        }
        good &= self.certificates();
        good &= self.credentials();
        // Whoever could not read a file says that it may not, and not that a restart would let it.
        if !good {
            self.is_out_of_reach(&self.config);
        }
        self.watch.follow(self.files());
        self.ended(good);
        if good {
            info!("reloaded");
        }
    }

    /// What failed is tried again, and counted.
    fn ended(&mut self, good: bool) {
        self.again = (!good).then(|| Instant::now() + AGAIN);
        self.metrics
            .reloaded(if good { Reload::Good } else { Reload::Failed });
    }

    /// Puts a new configuration in force, all of it or nothing, but for what cannot change while we run.
    fn take(&mut self, loaded: Loaded) -> bool {
        let new = loaded.config;
        if new == self.config && upstream_files(&new).is_empty() {
            return true;
        }
        for key in self.config.frozen_differences(&new) {
            warn!("not changed until the next start: {key}");
        }
        if self.is_out_of_reach(&new) {
            return false;
        }
        let doors = self.changed_doors(&new);
        let gateway = Gateway::build(
            &new,
            self.access_log.clone(),
            &self.metrics,
            Some(&self.live.gateway()),
        );
        let acme = new.acme.as_ref().map_or(Ok(()), Keeper::check);
        let ((gateway, warnings), doors) = match (gateway, doors, acme) {
            (Ok(built), Ok(doors), Ok(())) => (built, doors),
            (gateway, doors, acme) => {
                let acme: Vec<acme::Error> = acme.err().unwrap_or_default();
                let gateway = gateway.err().unwrap_or_default();
                let doors = doors.err().unwrap_or_default();
                for fault in gateway
                    .iter()
                    .map(|f| chain(f))
                    .chain(doors.iter().map(|f| chain(f)))
                    .chain(acme.iter().map(|f| chain(f)))
                {
                    error!(
                        reason = "reload_failed",
                        "configuration not reloaded, the old one stays: {fault}"
                    );
                }
                return false;
            }
        };
        let told = warnings.iter().map(ToString::to_string);
        for warning in loaded.warnings.into_iter().chain(told) {
            warn!("{warning}");
        }
        for (at, prepared, tls) in doors {
            if let (Some(swap), Some(listener)) =
                (self.doors.get(at), self.config.listeners.get_mut(at))
            {
                // The same TLS with new settings, so that open connections are judged by them too.
                let server = swap.load().tls.clone();
                if let Some(server) = &server {
                    server.adopt(prepared);
                }
                listener.tls = Some(tls);
                swap.store(Arc::new(door(listener, server)));
            }
        }
        self.live.swap(gateway, Settings::of(&new));
        self.acme.send_if_modified(|acme| {
            let changed = acme.as_deref() != new.acme.as_ref();
            *acme = new.acme.clone().map(Arc::new);
            changed
        });
        self.config = Config {
            listeners: std::mem::take(&mut self.config.listeners),
            ..new
        };
        true
    }

    /// Whether there are files that this process can no longer reach; the log has them.
    fn is_out_of_reach(&self, config: &Config) -> bool {
        let outside = self.confined.outside(config);
        for path in &outside {
            error!(
                reason = "reload_failed",
                "configuration not reloaded, the old one stays: {} lies outside of what this process confined itself to \
                 when it started; restart it, or set process.landlock = false",
                path.display()
            );
        }
        !outside.is_empty()
    }

    /// What becomes of the listeners whose TLS section has changed, each with its place.
    fn changed_doors(&self, new: &Config) -> Result<Vec<Changed>, Vec<tls::Error>> {
        let mut doors = Vec::new();
        let mut faults = Vec::new();
        for (at, old) in self.config.listeners.iter().enumerate() {
            let new = new.listeners.iter().find(|new| new.address == old.address);
            let (Some(tls), Some(old_tls)) = (new.and_then(|new| new.tls.as_ref()), &old.tls)
            else {
                continue;
            };
            if tls == old_tls {
                continue;
            }
            let server = self.doors.get(at).and_then(|door| door.load().tls.clone());
            match server.map(|server| server.prepare(tls)) {
                Some(Ok((prepared, warnings))) => {
                    for warning in warnings {
                        warn!("{warning}");
                    }
                    doors.push((at, prepared, tls.clone()));
                }
                Some(Err(errors)) => faults.extend(errors),
                None => {}
            }
        }
        if faults.is_empty() {
            Ok(doors)
        } else {
            Err(faults)
        }
    }

    fn certificates(&self) -> bool {
        let mut good = true;
        for door in self.doors.iter().map(|door| door.load()) {
            let Some(tls) = &door.tls else { continue };
            match tls.reload() {
                Ok(warnings) => {
                    for warning in warnings {
                        warn!("{warning}");
                    }
                }
                Err(errors) => {
                    good = false;
                    for fault in &errors {
                        error!(
                            reason = "reload_failed",
                            error = chain(fault),
                            "certificates not reloaded, the old ones stay"
                        );
                    }
                }
            }
        }
        good
    }

    fn credentials(&self) -> bool {
        let mut good = true;
        for read in self.live.gateway().reload_credentials() {
            match read {
                Ok(warnings) => {
                    for warning in warnings {
                        warn!("{warning}");
                    }
                }
                Err(fault) => {
                    good = false;
                    error!(
                        reason = "reload_failed",
                        error = chain(&fault),
                        "credentials not reloaded, the old ones stay"
                    );
                }
            }
        }
        good
    }

    fn files(&self) -> Vec<PathBuf> {
        let tls = |door: &Arc<ArcSwap<Door>>| {
            door.load()
                .tls
                .as_ref()
                .map_or_else(Vec::new, ServerTls::files)
        };
        self.doors
            .iter()
            .flat_map(tls)
            .chain(self.live.gateway().credential_files())
            .chain(upstream_files(&self.config))
            .chain(self.file.clone())
            .collect()
    }
}

/// Looks at files, and reads them, off the async threads: they may lie on a slow or dead file system.
pub(super) async fn blocking(
    reloader: Option<Reloader>,
    work: fn(&mut Reloader),
) -> Option<Reloader> {
    let mut reloader = reloader?;
    let done = tokio::task::spawn_blocking(move || {
        work(&mut reloader);
        reloader
    });
    match done.await {
        Ok(reloader) => Some(reloader),
        Err(error) => {
            tracing::error!(%error, "reloading is broken until a restart; serving goes on; please report this");
            None
        }
    }
}

/// Whether what lies on the disk is in force.
pub(super) fn reloaded(reloader: Option<&Reloader>) -> bool {
    reloader.is_some_and(|reloader| reloader.again.is_none())
}

fn upstream_files(config: &Config) -> Vec<PathBuf> {
    let Some(upstream) = config.upstream() else {
        return Vec::new();
    };
    let password = match &upstream.authorization {
        Authorization::Own { password_file, .. } => Some(password_file.clone()),
        Authorization::Strip | Authorization::User | Authorization::Forward => None,
    };
    let pair = upstream.client_certificate.iter();
    pair.flat_map(|files| [files.certificate.clone(), files.key.clone()])
        .chain(upstream.ca.clone())
        .chain(password)
        .collect()
}

/// What a listener of the configuration becomes.
pub(super) fn door(listener: &Listener, tls: Option<ServerTls>) -> Door {
    Door {
        certificate_required: listener
            .tls
            .as_ref()
            .is_some_and(|tls| tls.client_auth == ClientAuth::Required),
        proxy_protocol: listener.proxy_protocol,
        challenges_only: listener.challenges_only,
        tls,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_read_is_read_again_though_no_file_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxy.toml");
        std::fs::write(&file, "[upstream]\nurl = \"http://localhost:5000\"\n").unwrap();
        let config = Config::load(Some(&file), &[]).unwrap().config;
        let metrics = Metrics::new();
        let (gateway, _) = Gateway::build(&config, None, &metrics, None).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let source = {
            let (asked, file) = (Arc::clone(&asked), file.clone());
            move || match asked.fetch_add(1, Ordering::Relaxed) {
                0 => Config::load(Some(Path::new("/no/such/file")), &[]),
                _ => Config::load(Some(&file), &[]),
            }
        };
        let mut reloader = Reloader {
            doors: Vec::new(),
            live: Live::new(gateway, Settings::of(&config)),
            access_log: None,
            metrics,
            file: Some(file),
            source: Some(Box::new(source)),
            watch: Watch::default(),
            again: None,
            acme: changes::Sender::new(None),
            confined: Confined::default(),
            config,
        };
        reloader.start();
        reloader.reload();
        reloader.look();
        assert_eq!(asked.load(Ordering::Relaxed), 1, "not at once");
        tokio::time::advance(AGAIN).await;
        reloader.look();
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        tokio::time::advance(AGAIN).await;
        reloader.look();
        assert_eq!(asked.load(Ordering::Relaxed), 2, "it was good");
    }
}

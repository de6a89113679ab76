//! `dockgate serve`: load, bind, then run until told to stop.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

use crate::config::Config;
use crate::confine::Outcome;
use crate::confine::confine;
use crate::metrics::Metrics;
use crate::server::{Activated, Ended, Server, Source, commands};
use crate::telemetry::Telemetry;
use crate::telemetry::chain;

use super::first_start;
use super::line::VERSION;
use super::load::{self, Found};
use super::manager;
use super::threads;
use super::{DONE, FAILED, WRONG, say};

/// Files for connections to the registry, the store and the logs, beside those of the clients' connections.
const OTHER_FILES: u64 = 500;

/// The last log lines have this long to leave.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub(super) fn run(named: Option<&Path>) -> u8 {
    if let Err(fault) = threads::rehearse() {
        return failed(&fault);
    }
    let sockets = match manager::sockets() {
        Ok(sockets) => sockets,
        Err(faults) => return wrong(&faults),
    };
    match load::load(named) {
        Ok(found) => start(found, sockets),
        Err(faults) => wrong(&faults),
    }
}

fn start(found: Found, sockets: Activated) -> u8 {
    let metrics = Metrics::new();
    let telemetry = match Telemetry::start(&found.loaded.config.log, metrics.log_lines_lost()) {
        Ok(telemetry) => telemetry,
        Err(fault) => return failed(&fault),
    };
    let code = serve(found, sockets, metrics);
    telemetry.flush(LAST_WORDS);
    code
}

fn serve(found: Found, sockets: Activated, metrics: Metrics) -> u8 {
    for note in &found.loaded.notes {
        info!("{note}");
    }
    for warning in &found.loaded.warnings {
        warn!("{warning}");
    }
    let config = found.loaded.config;
    take_files(config.limits.connections);
    if let Err(fault) = first_start::ensure(&config) {
        return failed(&fault);
    }
    let loaded = Server::load_counting(config.clone(), metrics);
    let server = match loaded.and_then(|server| server.activated(sockets)) {
        Ok(server) => server,
        Err(faults) => return wrong(&faults),
    };
    for warning in server.warnings() {
        warn!("{warning}");
    }
    // The first thread and no other of ours: those that come later inherit it.
    let (confined, outcome) = confine(&config, found.file.as_deref());
    if matches!(outcome, Outcome::Not(_)) {
        warn!("{outcome}");
    } else {
        info!("{outcome}");
    }
    if rustix::process::geteuid().is_root() {
        warn!(
            "running as root: a fault in dockgate would have all of its rights; run it as a user of its own \
             (docs/install.md)"
        );
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(fault) => return failed(&fault),
    };
    let ended = runtime.block_on(async {
        let commands = commands().map_err(|fault| failed(&fault))?;
        let bound = server.bind().map_err(|fault| failed(&fault))?;
        info!(version = VERSION, "started");
        first_start::greet(&config, bound.addresses());
        let source = source(found.file.as_deref());
        let bound = bound
            .reloading(found.file, source)
            .confined(confined)
            .telling(manager::manager());
        Ok(bound.run(commands).await)
    });
    // What still runs are look-ups and hash work that nobody waits for any more.
    runtime.shutdown_background();
    match ended {
        Ok(Ended::Drained) => {
            info!("stopped");
            DONE
        }
        Ok(Ended::Cut) => {
            warn!("stopped before everything was finished");
            DONE
        }
        Err(code) => code,
    }
}

/// Takes as many open files as the system allows: 1024, which shells and service managers start with, are for programs that
/// use select(2), and would be all used by a tenth of the connections that may come.
fn take_files(connections: usize) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, all) {
        warn!(%error, "cannot raise the limit of open files");
    }
    let wanted = u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHER_FILES);
    if let Some(limit) = maximum.filter(|limit| *limit < wanted) {
        warn!(
            limit,
            wanted,
            "fewer open files than limits.connections need (raise LimitNOFILE or ulimit -Hn)"
        );
    }
}

/// Reads the same file and environment once more.
fn source(file: Option<&Path>) -> Source {
    let file = file.map(Path::to_path_buf);
    let environment = load::environment().unwrap_or_default();
    Box::new(move || Config::load(file.as_deref(), &environment))
}

fn wrong(faults: &[String]) -> u8 {
    for fault in faults {
        say(fault);
    }
    WRONG
}

fn failed(fault: &dyn std::error::Error) -> u8 {
    say(&chain(fault));
    FAILED
}

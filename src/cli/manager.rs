//! What the process that started this one left in the environment: where it wants to be told things, and the sockets
//! that it opened (`sd_notify(3)`, `sd_listen_fds(3)`).

use std::env;
use std::process;
use std::time::Duration;

use listenfd::ListenFd;
use tracing::warn;

use crate::server::{Activated, Manager};

/// More sockets than any configuration has listeners.
const MOST_SOCKETS: usize = 1000;

/// The sockets that were handed over. Comes before everything that opens files or starts threads: it takes them by
/// their numbers, and takes their variables out of the environment.
///
/// # Errors
/// One line for each that cannot be listened on.
pub(super) fn sockets() -> Result<Activated, Vec<String>> {
    let mut activated = Activated::default();
    if !is_for_us("LISTEN_PID", false) {
        return Ok(activated);
    }
    let Some(count) = number("LISTEN_FDS") else {
        return Ok(activated);
    };
    if count > MOST_SOCKETS as u64 {
        return Err(vec![format!(
            "LISTEN_FDS: {count} sockets are more than {MOST_SOCKETS}; the service manager hands over one for each listener"
        )]);
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut handed = ListenFd::from_env();
    let mut faults = Vec::new();
    for index in 0..handed.len() {
        let name = names
            .next()
            .filter(|name| !name.is_empty())
            .map_or_else(|| format!("number {}", index + 1), ToOwned::to_owned);
        if let Ok(Some(socket)) = handed.take_tcp_listener(index) {
            activated.add_tcp(name, socket);
        } else if let Ok(Some(socket)) = handed.take_unix_listener(index) {
            activated.add_unix(name, socket);
        } else {
            faults.push(format!(
                "the socket {name:?} that the service manager handed over is neither TCP nor a Unix stream socket; its \
                 unit needs ListenStream= and nothing else"
            ));
        }
    }
    if faults.is_empty() {
        Ok(activated)
    } else {
        Err(faults)
    }
}

/// The manager that wants to hear from us; inside the runtime.
pub(super) fn manager() -> Manager {
    let Some(address) = env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else {
        return Manager::default();
    };
    let watchdog = number("WATCHDOG_USEC")
        .filter(|_| is_for_us("WATCHDOG_PID", true))
        .filter(|micros| *micros > 0)
        .map(Duration::from_micros);
    Manager::at(&address, watchdog).unwrap_or_else(|error| {
        let address = address.display();
        warn!(%address, %error, "the service manager cannot be told that we are ready (NOTIFY_SOCKET)");
        Manager::default()
    })
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// Whether the variable names this process; `otherwise` where it is not there.
fn is_for_us(name: &str, otherwise: bool) -> bool {
    env::var_os(name).map_or(otherwise, |_| {
        number(name) == Some(u64::from(process::id()))
    })
}

//! What a service manager such as systemd is told (`sd_notify(3)`): ready, reloading, stopping, still alive, and one line
//! for `systemctl status`.
//!
//! Where its socket is was found out by the command line. A manager that does not listen never holds up serving.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::UnixDatagram;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::warn;

use crate::config::ListenAddress;

use super::accept::text;

/// The manager reads its messages at once; one that has not within this time goes without this message.
const PATIENCE: Duration = Duration::from_secs(1);

/// Two signs of life in each span that the manager waits: one may be late. Never more often than this.
const SHORTEST_BEAT: Duration = Duration::from_millis(1);

/// Who started this process and wants to hear how it fares; or nobody.
#[derive(Default)]
pub struct Manager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
    status: Mutex<String>,
    lost: AtomicBool,
}

impl Manager {
    /// The one that listens at this address, an absolute path or `@` and an abstract name, as `NOTIFY_SOCKET` has it;
    /// `watchdog` is how long it waits for a sign of life. Inside a tokio runtime.
    ///
    /// # Errors
    /// The address is of another kind, or nobody is there.
    pub fn at(address: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(address)?,
            _ => {
                let text = "neither an absolute path nor an abstract name (@NAME)";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        };
        let socket = StdDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: Some(UnixDatagram::from_std(socket)?),
            watchdog,
            ..Self::default()
        })
    }

    /// It serves, for the first time or again after a reload.
    pub(super) async fn ready(&self, status: &str) {
        let line = self.remember(status).unwrap_or_else(|| one_line(status));
        self.tell(&[NotifyState::Ready, NotifyState::Status(&line)])
            .await;
    }

    /// It reads everything again because it was told to; [`Self::ready`] follows.
    pub(super) async fn reloading(&self) {
        // systemd from 253 on ignores the one without the other.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]).await,
            Err(_) => self.tell(&[NotifyState::Reloading]).await,
        }
    }

    /// The line for people, where it says something new.
    pub(super) async fn status(&self, status: &str) {
        if let Some(line) = self.remember(status) {
            self.tell(&[NotifyState::Status(&line)]).await;
        }
    }

    /// It finishes what runs and ends, within this time.
    pub(super) async fn stopping(&self, within: Duration) {
        // As text: the typed one ends at 71 minutes.
        let extend = format!("EXTEND_TIMEOUT_USEC={}", within.as_micros());
        let status = "draining: no new connections, what runs is finished";
        self.tell(&[
            NotifyState::Stopping,
            NotifyState::Custom(&extend),
            NotifyState::Status(status),
        ])
        .await;
    }

    /// Gives the signs of life that the manager waits for.
    pub(super) async fn beat(&self) -> Infallible {
        let Some(every) = self.watchdog else {
            return std::future::pending().await;
        };
        let mut clock = interval((every / 2).max(SHORTEST_BEAT));
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            self.tell(&[NotifyState::Watchdog]).await;
        }
    }

    /// The line as it is sent, if it is another one than last time.
    fn remember(&self, status: &str) -> Option<String> {
        let line = one_line(status);
        let mut last = self.status.lock().ok()?;
        if *last == line {
            return None;
        }
        last.clone_from(&line);
        Some(line)
    }

    async fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let mut message = String::new();
        for state in states {
            // Writing to a string cannot fail.
            let _ = writeln!(message, "{state}");
        }
        let sent = match timeout(PATIENCE, socket.send(message.as_bytes())).await {
            Ok(sent) => sent.map(|_| ()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let lost = sent.is_err();
        // Once for each time that it is lost: a watchdog is told something every few seconds.
        if let Err(error) = sent
            && !self.lost.load(Ordering::Relaxed)
        {
            warn!(%error, "the service manager cannot be told how we fare (NOTIFY_SOCKET); it may restart us");
        }
        self.lost.store(lost, Ordering::Relaxed);
    }
}

/// How a gate fares, for `systemctl status`.
pub(super) fn status(addresses: &[ListenAddress], reloaded: bool) -> String {
    let addresses: Vec<_> = addresses.iter().map(text).collect();
    let fares = if reloaded {
        ""
    } else {
        "; the last reload failed, what was before stays in force: see the log"
    };
    format!("serving on {}{fares}", addresses.join(", "))
}

/// A line break in the path of a socket must not begin another message.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager")
            .field("watchdog", &self.watchdog)
            .finish_non_exhaustive()
    }
}

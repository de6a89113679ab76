//! Listening sockets and the loops that accept on them. A loop never dies: errors are waited out.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::config::ListenAddress;
use crate::metrics;
use crate::peer::Address;

use super::activated;
use super::connection::{self, Door};
use super::reload::Reloader;
use super::settings::{Live, Phase};
use super::transport::Socket;

/// Connections that the kernel holds for us while we are busy; it caps the number by `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// After a failed accept (no file descriptors left, mostly) the loop waits: another attempt at once would spin.
const PAUSE: Duration = Duration::from_millis(100);

/// A warning of the same kind is repeated after this time at the earliest.
const REPEAT: Duration = Duration::from_secs(10);

/// A bound listener.
#[derive(Debug)]
pub(super) enum Listening {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {hint}")]
pub struct BindError {
    address: String,
    hint: &'static str,
    #[source]
    source: io::Error,
}

impl Listening {
    /// Binds the address, or takes the socket on it that was handed over; must be called inside the runtime.
    ///
    /// # Errors
    /// Names the address and what to do.
    pub(super) fn open(
        address: &ListenAddress,
        handed: Option<activated::Socket>,
    ) -> Result<Self, BindError> {
        let bound = match (handed, address) {
            (Some(socket), _) => take_over(socket),
            (None, ListenAddress::Tcp(address)) => bind_tcp(*address).map(Self::Tcp),
            (None, ListenAddress::Unix(path)) => bind_unix(path).map(Self::Unix),
        };
        bound.map_err(|source| BindError {
            address: text(address),
            hint: hint(&source),
            source,
        })
    }

    /// The address in use, with the port that the system chose.
    pub(super) fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Self::Tcp(tcp) => tcp.local_addr().map(ListenAddress::Tcp),
            Self::Unix(unix) => {
                let address = unix.local_addr()?;
                Ok(ListenAddress::Unix(
                    address.as_pathname().unwrap_or(Path::new("")).to_owned(),
                ))
            }
        }
    }

    pub(super) async fn accept(&self) -> io::Result<(Socket, Address)> {
        match self {
            Self::Tcp(tcp) => {
                let (stream, address) = tcp.accept().await?;
                // Heads and bodies are written apart; without this the second waits for the acknowledgement of the first.
                stream.set_nodelay(true)?;
                Ok((Socket::Tcp(stream), Address::Ip(address)))
            }
            Self::Unix(unix) => Ok((Socket::Unix(unix.accept().await?.0), Address::Unix)),
        }
    }
}

/// A loop for each listener.
pub(super) fn loops(
    listening: Vec<Listening>,
    addresses: &[ListenAddress],
    reloader: &Reloader,
    phases: &watch::Receiver<Phase>,
) -> JoinSet<()> {
    let places = Arc::new(Semaphore::new(reloader.config.limits.connections));
    let mut loops = JoinSet::new();
    for ((listening, door), address) in listening.into_iter().zip(&reloader.doors).zip(addresses) {
        loops.spawn(run(
            listening,
            Arc::clone(door),
            reloader.live.clone(),
            Arc::clone(&places),
            phases.clone(),
            reloader.metrics.listener(&text(address)),
        ));
    }
    loops
}

/// Accepts until the server drains, then waits for the connections; returns when the last is done. Dropping the future
/// cuts them.
async fn run(
    listening: Listening,
    door: Arc<ArcSwap<Door>>,
    live: Live,
    places: Arc<Semaphore>,
    phase: watch::Receiver<Phase>,
    counts: metrics::Listener,
) {
    let mut changes = phase.clone();
    let mut connections = JoinSet::new();
    let mut failures = Complaint::default();
    let mut crowd = Complaint::default();
    loop {
        tokio::select! {
            () = connection::draining(&mut changes) => break,
            Some(ended) = connections.join_next() => note(ended, &counts),
            accepted = listening.accept() => match accepted {
                Ok((socket, address)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                        counts.refused();
                        // The newest is refused, so that those who are served go on being served.
                        if crowd.is_due() {
                            warn!(peer.addr = %address, "connection refused: limits.connections are open");
                        }
                        continue;
                    };
                    let open = counts.accepted();
                    let task = connection::serve(socket, address, door.load_full(), live.clone(), phase.clone(), counts.clone());
                    connections.spawn(async move {
                        task.await;
                        drop((place, open));
                    });
                }
                Err(error) if is_the_peers(&error) => debug!(%error, "connection lost before it was accepted"),
                Err(error) => {
                    counts.accept_failed();
                    if failures.is_due() {
                        warn!(%error, "cannot accept connections; trying again (raise the limit of open files?)");
                    }
                    sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listening);
    while let Some(ended) = connections.join_next().await {
        note(ended, &counts);
    }
}

fn note(ended: Result<(), tokio::task::JoinError>, counts: &metrics::Listener) {
    if let Err(error) = ended
        && error.is_panic()
    {
        counts.panicked();
        tracing::error!(%error, "a connection ended in a panic; others go on; please report this");
    }
}

/// Errors of one connection that `accept` hands on (accept(2), "Error handling").
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotConnected
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

/// Something that would be said too often.
#[derive(Default)]
struct Complaint(Option<Instant>);

impl Complaint {
    fn is_due(&mut self) -> bool {
        let due = self.0.is_none_or(|last| last.elapsed() >= REPEAT);
        if due {
            self.0 = Some(Instant::now());
        }
        due
    }
}

fn take_over(socket: activated::Socket) -> io::Result<Listening> {
    match socket {
        activated::Socket::Tcp(socket) => {
            socket.set_nonblocking(true)?;
            TcpListener::from_std(socket).map(Listening::Tcp)
        }
        activated::Socket::Unix(socket) => {
            socket.set_nonblocking(true)?;
            UnixListener::from_std(socket).map(Listening::Unix)
        }
    }
}

fn bind_tcp(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    let socket = RawSocket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // `[::]:443` means IPv6, so that `0.0.0.0:443` can stand beside it, as in nginx.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A socket file that an earlier process left behind is replaced; one that is in use, or another kind of file, is not.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if let Ok(found) = fs::symlink_metadata(path) {
        let dead = found.file_type().is_socket()
            && std::os::unix::net::UnixStream::connect(path)
                .is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
        if !dead {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        fs::remove_file(path)?;
    }
    UnixListener::bind(path)
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another process (or file) has it; stop that one or choose another address"
        }
        io::ErrorKind::PermissionDenied => {
            "not permitted; ports below 1024 need CAP_NET_BIND_SERVICE (setcap cap_net_bind_service=+ep on the binary, AmbientCapabilities= in its unit, or a socket unit that opens it)"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have the address; correct it in the configuration"
        }
        io::ErrorKind::NotFound => "its folder does not exist; create it",
        _ => "correct the address in the configuration",
    }
}

/// The address as it stands in the configuration.
pub(super) fn text(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Format, Metrics};

    #[tokio::test]
    async fn p4_a_connection_that_panics_is_counted_and_others_go_on() {
        let metrics = Metrics::new();
        let counts = metrics.listener("here");
        let mut connections = JoinSet::new();
        let (tell, told) = tokio::sync::oneshot::channel();
        connections.spawn(async move {
            panic!("a fault of ours");
        });
        connections.spawn(async move {
            tell.send("served").unwrap();
        });
        while let Some(ended) = connections.join_next().await {
            note(ended, &counts);
        }
        assert_eq!(told.await.unwrap(), "served");
        let text = metrics.encode(Format::Classic).unwrap();
        assert!(text.contains("dockgate_panics_total 1\n"), "{text}");
    }
}

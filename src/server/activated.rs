//! Sockets that were open before this process began: a service manager holds port 443 while nobody serves, and the
//! process needs no right to bind it.
//!
//! A socket belongs to the listener whose address is its own. One that no listener has is a fault: it would take
//! connections that nobody answers.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{self, Path};

use socket2::SockRef;

use crate::config::ListenAddress;
use crate::config::Listener;

use super::accept::text;

/// The sockets that were handed over.
#[derive(Debug, Default)]
pub struct Activated(Vec<Handed>);

/// One of them.
#[derive(Debug)]
struct Handed {
    /// As its owner calls it (`FileDescriptorName=`).
    name: String,
    socket: Socket,
}

/// A socket as the system has it.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Activated {
    /// One more, TCP.
    pub fn add_tcp(&mut self, name: String, socket: TcpListener) {
        let socket = Socket::Tcp(socket);
        self.0.push(Handed { name, socket });
    }

    /// One more, a Unix socket.
    pub fn add_unix(&mut self, name: String, socket: UnixListener) {
        let socket = Socket::Unix(socket);
        self.0.push(Handed { name, socket });
    }

    /// The socket of each listener, in their order, where it has one.
    ///
    /// # Errors
    /// One line for each socket that no listener can take.
    pub(super) fn deal(self, listeners: &[Listener]) -> Result<Vec<Option<Socket>>, Vec<String>> {
        let mut dealt: Vec<Option<Socket>> = listeners.iter().map(|_| None).collect();
        let mut faults = Vec::new();
        for Handed { name, socket } in self.0 {
            let found = socket
                .address()
                .map_err(|why| format!("cannot be used: {why}"))
                .and_then(|address| {
                    let mut places = listeners.iter().zip(&mut dealt);
                    places
                        .find(|(listener, place)| {
                            place.is_none() && is_same(&listener.address, &address)
                        })
                        .map(|(_, place)| place)
                        .ok_or_else(|| foreign(&address))
                });
            match found {
                Ok(place) => *place = Some(socket),
                Err(why) => faults.push(format!(
                    "the socket {name:?} that the service manager handed over {why}"
                )),
            }
        }
        if faults.is_empty() {
            Ok(dealt)
        } else {
            Err(faults)
        }
    }
}

impl Socket {
    fn address(&self) -> io::Result<ListenAddress> {
        let reference = match self {
            Self::Tcp(socket) => SockRef::from(socket),
            Self::Unix(socket) => SockRef::from(socket),
        };
        if !reference.is_listener()? {
            let text =
                "it is one connection and not a listening socket; write Accept=no in its unit";
            return Err(io::Error::other(text));
        }
        match self {
            Self::Tcp(socket) => socket.local_addr().map(ListenAddress::Tcp),
            Self::Unix(socket) => {
                let address = socket.local_addr()?;
                let path = address.as_pathname().ok_or_else(|| {
                    io::Error::other("it has no path; write ListenStream=/PATH in its unit")
                })?;
                Ok(ListenAddress::Unix(path.to_owned()))
            }
        }
    }
}

fn is_same(listener: &ListenAddress, socket: &ListenAddress) -> bool {
    match (listener, socket) {
        (ListenAddress::Tcp(listener), ListenAddress::Tcp(socket)) => listener == socket,
        (ListenAddress::Unix(listener), ListenAddress::Unix(socket)) => {
            absolute(listener) == absolute(socket)
        }
        _ => false,
    }
}

fn absolute(path: &Path) -> path::PathBuf {
    path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn foreign(address: &ListenAddress) -> String {
    let address = text(address);
    format!(
        "is on {address}, which no listener has; write address = \"{address}\" in a [[listener]], or correct \
         ListenStream= in its unit"
    )
}

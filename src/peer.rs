//! The facts of one downstream connection: who is at the other end, over what.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::identity::ClientCertificate;

/// The other end of a downstream connection, as the handshake left it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Where the bytes come from (after the PROXY protocol, where it is switched on).
    pub address: Address,
    /// Whether the connection is encrypted.
    pub scheme: Scheme,
    /// The host name that the TLS client asked for, lower case.
    pub sni: Option<String>,
    /// The version of TLS that the handshake agreed on, as logs have it (`TLSv1.3`); `None` in clear.
    pub tls_version: Option<&'static str>,
    /// The client certificate, verified.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// The listener asks every request for a client certificate (`client_auth = "required"`).
    pub certificate_required: bool,
    /// The listener answers an authority's challenges and nothing else (`acme.http_address`).
    pub challenges_only: bool,
}

/// A socket's far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// TCP.
    Ip(SocketAddr),
    /// A Unix socket: the kernel names no address.
    Unix,
}

impl Address {
    /// The IP address, where there is one; an IPv4 address mapped into IPv6 comes back as IPv4.
    pub(crate) fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(socket) => Some(socket.ip().to_canonical()),
            Self::Unix => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip() {
            Some(ip) => ip.fmt(f),
            None => f.write_str("unix:"),
        }
    }
}

/// What the client's URL begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// In clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

//! What can go wrong between the gate and the registry behind it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::body::ClientFault;
use crate::body::client_fault;
use crate::client;
use crate::client::ConnectError;
use crate::metrics::UpstreamFault;

/// Why there is no answer from the upstream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// All connections, or all that one client may have, are in use, and the wait for one is over or too many wait already.
    #[error(
        "all upstream connections, or the half that one client may have, are in use; raise upstream.max_connections if the registry can take more"
    )]
    Busy,
    /// No connection could be made.
    #[error("the upstream is unreachable")]
    Unreachable(#[source] ConnectError),
    /// A connection could not be made in time.
    #[error("the upstream does not accept connections")]
    ConnectTimeout(#[source] ConnectError),
    /// Nothing moved for the whole of `read_timeout`.
    #[error("the upstream was silent for {0:?}")]
    Silent(Duration),
    /// The connection broke before an answer came.
    #[error("the upstream closed the connection without an answer")]
    Broken(#[source] client::Error),
    /// The answer is not HTTP, could be framed in two ways, or is not the document that was asked for.
    #[error("the upstream's answer cannot be used: {what}")]
    BadAnswer {
        /// What is wrong with it.
        what: &'static str,
        /// What hyper says, where hyper found it.
        #[source]
        source: Option<client::Error>,
    },
    /// The client's own body failed, so that the request could not be completed.
    #[error(transparent)]
    Client(ClientFault),
    /// The parts of the request make no request; the walk lets nothing of the kind through.
    #[error("the request cannot be forwarded")]
    Unsendable(#[source] http::Error),
}

impl Error {
    /// How it is counted; `None` where the upstream is not at fault.
    pub(crate) fn fault(&self) -> Option<UpstreamFault> {
        match self {
            Self::Busy => Some(UpstreamFault::Busy),
            Self::Unreachable(_) => Some(UpstreamFault::Unreachable),
            Self::ConnectTimeout(_) => Some(UpstreamFault::ConnectTimeout),
            Self::Silent(_) => Some(UpstreamFault::Silent),
            Self::Broken(_) => Some(UpstreamFault::Broken),
            Self::BadAnswer { .. } => Some(UpstreamFault::BadAnswer),
            Self::Client(_) | Self::Unsendable(_) => None,
        }
    }

    /// Sorts hyper's errors by who is at fault.
    pub(super) fn from_client(error: client::Error) -> Self {
        if let Some(fault) = client_fault(&error) {
            return Self::Client(fault);
        }
        let unreadable =
            |e: &hyper::Error| e.is_parse() || e.is_parse_too_large() || e.is_parse_status();
        match error {
            client::Error::Connect(error @ ConnectError::TimedOut { .. }) => {
                Self::ConnectTimeout(error)
            }
            client::Error::Connect(error) => Self::Unreachable(error),
            client::Error::Broken(ref cause) if unreadable(cause) => Self::BadAnswer {
                what: "its head cannot be read",
                source: Some(error),
            },
            error @ client::Error::Broken(_) => Self::Broken(error),
        }
    }
}

/// Why the upstream's part of the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// CA or client certificate.
    #[error("upstream")]
    Tls(#[source] crate::tls::Error),
    /// The password file.
    #[error("upstream.password_file: cannot read {}", file.display())]
    Password {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The password file has nothing in its first line.
    #[error("upstream.password_file: the first line of {} is empty; write the password there", file.display())]
    EmptyPassword {
        /// Which.
        file: PathBuf,
    },
}

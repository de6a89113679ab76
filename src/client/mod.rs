//! The one HTTP client for everything that leaves the house: dialling, TLS, a keep-alive pool.
//!
//! The name of the other end is looked up again for each new connection, so a registry that moved is found again
//! without a restart. Knows nothing of registries.

mod answer;
mod appetite;
mod bell;
mod line;
mod pool;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::body::Body;
use crate::pace;
use crate::tls::ClientTls;

pub(crate) use answer::Answer;
use line::{Failed, Line};
use pool::Pool;

/// The largest head of an answer; a larger one is an error.
const READ_BUFFER: usize = 256 * 1024;

/// The most that is read at once.
const READ: usize = pace::MOST;

/// Where the client connects to.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Plain TCP.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// TLS over TCP.
    Tls {
        /// Name or address, also checked against the certificate.
        host: String,
        /// Port.
        port: u16,
        /// Whom to trust and what to show.
        tls: ClientTls,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// A pooled HTTP/1.1 client for one target; clones share the pool.
#[derive(Clone, Debug)]
pub(crate) struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    target: Target,
    connect_timeout: Duration,
    authority: String,
    pool: Arc<Pool>,
}

impl Client {
    /// A client that keeps at most `idle` connections while they are idle.
    pub(crate) fn new(target: Target, connect_timeout: Duration, idle: usize) -> Self {
        Self(Arc::new(Inner {
            authority: target.authority(),
            target,
            connect_timeout,
            pool: Pool::new(idle),
        }))
    }

    /// Host and port of the other end as a URL has them.
    pub(crate) fn authority(&self) -> &str {
        &self.0.authority
    }

    /// Sends a request; of its URI only path and query count. Returns when the head of the answer is there. No deadline but
    /// that of connecting. A request of which nothing had left when a pooled connection turned out to be closed is sent
    /// over another one; a `fresh` one is not sent over a pooled one at all.
    ///
    /// # Errors
    /// No connection, or one that broke before the answer came.
    pub(crate) async fn send(
        &self,
        request: Request<Body>,
        fresh: bool,
    ) -> Result<Response<Answer>, Error> {
        let mut request = self.in_origin_form(request);
        loop {
            let pooled = if fresh { None } else { self.0.pool.take() };
            let mut line = match pooled {
                Some(line) => line,
                // In a box: the room of a handshake would be part of every request.
                None => Box::pin(self.connect()).await?,
            };
            match line.exchange(request).await {
                Ok(answer) => {
                    let pool = (!fresh).then(|| Arc::clone(&self.0.pool));
                    return Ok(answer.map(|body| Answer::new(body, line, pool)));
                }
                Err(Failed {
                    unsent: Some(unsent),
                    ..
                }) if line.used => request = unsent,
                Err(Failed { error, .. }) => return Err(Error::Broken(error)),
            }
        }
    }

    async fn connect(&self) -> Result<Box<Line>, Error> {
        let Inner {
            target,
            connect_timeout,
            authority,
            ..
        } = &*self.0;
        let to = || match target {
            Target::Unix(path) => path.display().to_string(),
            _ => authority.clone(),
        };
        match timeout(*connect_timeout, target.dial()).await {
            Ok(Ok(io)) => Ok(Box::new(Line::open(io).await.map_err(Error::Broken)?)),
            Ok(Err(source)) => Err(ConnectError::Failed { to: to(), source }.into()),
            Err(_) => Err(ConnectError::TimedOut {
                to: to(),
                after: *connect_timeout,
            }
            .into()),
        }
    }

    /// As a server that is no proxy is asked (RFC 9112 section 3.2.1), with a `Host` in any case.
    fn in_origin_form(&self, mut request: Request<Body>) -> Request<Body> {
        let authority = request.uri().authority().cloned();
        if !request.headers().contains_key(HOST) {
            let host = authority.as_ref().map_or(self.authority(), |a| a.as_str());
            if let Ok(host) = HeaderValue::from_str(host) {
                request.headers_mut().insert(HOST, host);
            }
        }
        if authority.is_some() {
            let path = request.uri().path_and_query().cloned();
            *request.uri_mut() = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
        }
        request
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No connection could be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke, the answer cannot be read, or the request's body failed.
    #[error("the exchange failed")]
    Broken(#[source] hyper::Error),
}

impl Target {
    fn authority(&self) -> String {
        match self {
            Self::Tcp { host, port } | Self::Tls { host, port, .. } => {
                if host.contains(':') {
                    format!("[{host}]:{port}")
                } else {
                    format!("{host}:{port}")
                }
            }
            // A Unix socket has no name; this one cannot exist (RFC 6761 section 6.4).
            Self::Unix(_) => "unix.invalid".to_owned(),
        }
    }
}

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Look-up, TCP, Unix socket or TLS failed.
    #[error("cannot connect to {to}")]
    Failed {
        /// The other end.
        to: String,
        /// What the system or TLS says.
        #[source]
        source: io::Error,
    },
    /// It took longer than `connect_timeout`.
    #[error("connecting to {to} took longer than {after:?}")]
    TimedOut {
        /// The other end.
        to: String,
        /// The deadline.
        after: Duration,
    },
}

impl Target {
    async fn dial(&self) -> io::Result<Box<dyn Duplex>> {
        Ok(match self {
            Self::Tcp { host, port } => Box::new(dial_tcp(host, *port).await?),
            Self::Tls { host, port, tls } => {
                let tcp = dial_tcp(host, *port).await?;
                Box::new(tls.connect(host, tcp).await.map_err(io::Error::other)?)
            }
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
        })
    }
}

async fn dial_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect((host, port)).await?;
    // Heads and bodies are written apart; without this the second waits for the acknowledgement of the first.
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// An established connection to the other end; each upstream has one kind, so a trait object costs one call a read.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

//! The one HTTP client for everything that leaves the house: dialling, TLS, a keep-alive pool.
//!
//! The name of the other end is looked up again for each new connection, so a registry that moved is found again
//! without a restart. Knows nothing of registries.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{
    CaptureConnection, Connected, Connection, capture_connection,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::body::Body;
use crate::tls::ClientTls;

/// An idle connection is kept this long: shorter than what servers commonly allow (nginx 75 s, Go none), so that it
/// is we who close, and a request rarely meets a closing connection.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// The largest head of an answer (and the most that is read ahead of one); a larger one is an error.
const READ_BUFFER: usize = 256 * 1024;

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

/// A pooled HTTP/1.1 client for one target.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pooled: legacy::Client<Connector, Body>,
    /// Dials for every request: for the second attempt of one that met a dead pooled connection.
    fresh: legacy::Client<Connector, Body>,
    authority: String,
}

impl Client {
    /// A client that keeps at most `idle` connections while they are idle.
    pub(crate) fn new(target: Target, connect_timeout: Duration, idle: usize) -> Self {
        let authority = target.authority();
        let connector = Connector {
            target,
            connect_timeout,
        };
        let build = |idle| {
            legacy::Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(POOL_IDLE)
                .pool_max_idle_per_host(idle)
                .http1_max_buf_size(READ_BUFFER)
                .build(connector.clone())
        };
        Self {
            pooled: build(idle),
            fresh: build(0),
            authority,
        }
    }

    /// Host and port of the other end as a URL has them.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Sends a request whose URI has this client's [`authority`](Self::authority); returns when the head of the answer
    /// is there, and the line it came over. No deadline but that of connecting.
    pub(crate) async fn send(
        &self,
        mut request: Request<Body>,
        fresh: bool,
    ) -> Result<(Response<Incoming>, Line), legacy::Error> {
        let client = if fresh { &self.fresh } else { &self.pooled };
        let line = Line(capture_connection(&mut request));
        Ok((client.request(request).await?, line))
    }
}

/// The connection that an answer came over.
#[derive(Debug)]
pub(crate) struct Line(CaptureConnection);

impl Line {
    /// No further request goes over it.
    pub(crate) fn distrust(&self) {
        if let Some(connected) = self.0.connection_metadata().as_ref() {
            connected.poison();
        }
    }
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

#[derive(Clone, Debug)]
struct Connector {
    target: Target,
    connect_timeout: Duration,
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Duplex>>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self {
            target,
            connect_timeout,
        } = self.clone();
        Box::pin(async move {
            let to = match &target {
                Target::Unix(path) => path.display().to_string(),
                other => other.authority(),
            };
            match timeout(connect_timeout, target.dial()).await {
                Ok(Ok(io)) => Ok(TokioIo::new(io)),
                Ok(Err(source)) => Err(ConnectError::Failed { to, source }),
                Err(_) => Err(ConnectError::TimedOut {
                    to,
                    after: connect_timeout,
                }),
            }
        })
    }
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

impl Connection for Box<dyn Duplex> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

//! One request over a connection of its own, as docker asks: look-up, TCP, TLS and HTTP one after the other, each with a
//! deadline, so that what fails can be named.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::body::Body;
use crate::body::{empty, full};
use crate::client::Duplex;
use crate::peer::Scheme;
use crate::tls;
use crate::tls::ClientTls;

use super::target::Target;

/// A resolver that has not answered by then will not.
const LOOKUP: Duration = Duration::from_secs(5);

/// To one address; a packet that is dropped on the way is sent again after one and after three seconds.
const CONNECT: Duration = Duration::from_secs(5);

/// A handshake is two round trips and one signature.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// docker gives a registry 15 seconds for the answer to its ping, and more to an upload.
const ANSWER: Duration = Duration::from_secs(30);

/// Of how many addresses of one name somebody tries the next.
const ADDRESSES: usize = 8;

/// What is read of a body. All that is asked for here is smaller.
const BODY: usize = 4 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// No address for the name.
    #[error("no address can be found for {host}")]
    Lookup {
        /// The name.
        host: String,
        /// What the resolver says.
        #[source]
        source: io::Error,
    },
    /// The name has no address at all.
    #[error("{0} has no address")]
    NoAddress(String),
    /// No address takes a connection.
    #[error("{}", tried(.0))]
    Connect(Vec<(SocketAddr, io::Error)>),
    /// TLS failed.
    #[error(transparent)]
    Tls(#[from] tls::ConnectError),
    /// The connection ended, or what came is no HTTP.
    #[error("the connection failed")]
    Http(#[source] hyper::Error),
    /// A step took too long.
    #[error("{what} took longer than {} seconds", .after.as_secs())]
    Deadline {
        /// Which.
        what: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// There is nothing to verify a certificate with, and nothing goes to an https address in clear.
    #[error("{0} wants TLS, and nothing was set up for it")]
    NoTls(String),
    /// It cannot be asked like this.
    #[error("the request cannot be written")]
    Request(#[source] http::Error),
}

fn tried(addresses: &[(SocketAddr, io::Error)]) -> String {
    let each: Vec<String> = addresses
        .iter()
        .map(|(address, fault)| format!("{address}: {fault}"))
        .collect();
    format!("no connection can be made ({})", each.join("; "))
}

fn late(what: &'static str, after: Duration) -> Fault {
    Fault::Deadline { what, after }
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Headers beside `Host`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The body goes out in chunks, as docker sends it, without its length ahead.
    pub chunked: bool,
}

impl Ask {
    /// A request without headers and body.
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            chunked: false,
        }
    }

    /// A `GET`.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// With this header, in the place of another of its name.
    pub(crate) fn with(mut self, name: HeaderName, value: Option<HeaderValue>) -> Self {
        if let Some(value) = value {
            self.headers.insert(name, value);
        }
        self
    }
}

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, or its first four MiB.
    pub body: Bytes,
    /// The connection ended before the body did.
    pub cut: bool,
}

impl Answer {
    /// The first value of this header, if it is text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A way to a registry.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    /// The registry.
    pub target: Target,
    /// TLS, for a registry that speaks it, and for a token server that does.
    pub tls: Option<ClientTls>,
    /// Where to connect to, in the place of the target's own host and port.
    pub instead: Option<(String, u16)>,
    /// A proxy that makes the connections, and is asked for them like this.
    pub proxy: Option<super::proxy::Proxy>,
}

impl Wire {
    /// Asks, over a new connection.
    pub(crate) async fn ask(&self, ask: &Ask) -> Result<Answer, Fault> {
        let stream: Box<dyn Duplex> = match (self.target.scheme, &self.tls) {
            (Scheme::Http, _) => Box::new(self.dial().await?),
            (Scheme::Https, Some(tls)) => {
                let tcp = self.dial().await?;
                Box::new(shake(tls, &self.target.host, tcp).await?)
            }
            (Scheme::Https, None) => return Err(Fault::NoTls(self.target.origin())),
        };
        exchange(stream, &self.target, ask).await
    }

    /// A connection to the registry, before any TLS.
    pub(crate) async fn dial(&self) -> Result<TcpStream, Fault> {
        if let Some(proxy) = &self.proxy {
            return proxy.tunnel(&self.target).await;
        }
        let (host, port) = self.place();
        let addresses = resolve(host, port).await?;
        connect(&addresses).await.map(|(stream, _)| stream)
    }

    /// Host and port that are connected to.
    pub(crate) fn place(&self) -> (&str, u16) {
        match &self.instead {
            Some((host, port)) => (host, *port),
            None => (&self.target.host, self.target.port),
        }
    }
}

/// The addresses of a name.
pub(crate) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Fault> {
    let found = timeout(LOOKUP, lookup_host((host, port))).await;
    let found = found.map_err(|_| late("looking up the name", LOOKUP))?;
    let found = found.map_err(|source| Fault::Lookup {
        host: host.to_owned(),
        source,
    })?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) && addresses.len() < ADDRESSES {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(Fault::NoAddress(host.to_owned()));
    }
    Ok(addresses)
}

/// A connection to the first address that takes one, and what the ones before it said.
pub(crate) async fn connect(
    addresses: &[SocketAddr],
) -> Result<(TcpStream, Vec<(SocketAddr, io::Error)>), Fault> {
    let mut failed = Vec::new();
    for address in addresses {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Heads and bodies are written apart.
                if let Err(fault) = stream.set_nodelay(true) {
                    failed.push((*address, fault));
                    continue;
                }
                return Ok((stream, failed));
            }
            Ok(Err(fault)) => failed.push((*address, fault)),
            Err(_) => failed.push((*address, io::ErrorKind::TimedOut.into())),
        }
    }
    Err(Fault::Connect(failed))
}

/// A handshake, within its time.
pub(crate) async fn shake(
    tls: &ClientTls,
    host: &str,
    stream: TcpStream,
) -> Result<tls::ClientStream<TcpStream>, Fault> {
    match timeout(HANDSHAKE, tls.connect(host, stream)).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(late("the TLS handshake", HANDSHAKE)),
    }
}

/// One request and its answer over this connection, which ends with them.
pub(crate) async fn exchange(
    stream: Box<dyn Duplex>,
    target: &Target,
    ask: &Ask,
) -> Result<Answer, Fault> {
    let asked = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Body>(TokioIo::new(stream))
                .await
                .map_err(Fault::Http)?;
        let request = request(target, ask)?;
        let driver = tokio::spawn(connection);
        let answered = async {
            let response = sender.send_request(request).await.map_err(Fault::Http)?;
            let (head, body) = response.into_parts();
            let (body, cut) = read(body).await;
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body,
                cut,
            })
        };
        let answered = answered.await;
        driver.abort();
        answered
    };
    timeout(ANSWER, asked)
        .await
        .unwrap_or_else(|_| Err(late("the answer", ANSWER)))
}

fn request(target: &Target, ask: &Ask) -> Result<Request<Body>, Fault> {
    let body = if ask.chunked {
        let frames = stream::iter([Ok(Frame::data(ask.body.clone()))]);
        StreamBody::new(frames).boxed_unsync()
    } else if ask.body.is_empty() {
        empty()
    } else {
        full(ask.body.clone())
    };
    let uri = Uri::builder().path_and_query(ask.path.as_str()).build();
    let mut request = Request::builder()
        .method(ask.method.clone())
        .uri(uri.map_err(Fault::Request)?)
        .header(http::header::HOST, target.authority())
        .body(body)
        .map_err(Fault::Request)?;
    for (name, value) in &ask.headers {
        request.headers_mut().append(name, value.clone());
    }
    let headers = request.headers_mut();
    if !headers.contains_key(http::header::USER_AGENT) {
        let agent = concat!("dockgate/", env!("CARGO_PKG_VERSION"));
        headers.insert(http::header::USER_AGENT, HeaderValue::from_static(agent));
    }
    if ask.body.is_empty() && matches!(ask.method, Method::POST | Method::PUT | Method::PATCH) {
        headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Ok(request)
}

/// What comes of a body, and whether it was cut short.
async fn read(mut body: Incoming) -> (Bytes, bool) {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return (bytes.into(), true);
        };
        if let Ok(data) = frame.into_data() {
            let room = BODY - bytes.len();
            bytes.extend_from_slice(data.get(..room).unwrap_or(&data));
            if bytes.len() == BODY {
                break;
            }
        }
    }
    (bytes.into(), false)
}

//! What is meant: the configuration after parsing and checking. Plain data; nothing invalid exists in here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use ipnet::IpNet;

/// The whole configuration of one process.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What dockgate makes itself lives here: certificates, the first password.
    pub state_dir: PathBuf,
    /// Where clients connect. Never empty.
    pub listeners: Vec<Listener>,
    /// The registry behind the gate.
    pub upstream: Upstream,
    /// Who may come in.
    pub auth: Auth,
    /// Clients that are turned away by their user agent.
    pub clients: Clients,
    /// Headers that answers carry, and whose request headers are believed.
    pub headers: Headers,
    /// Bounds on what a peer can make us hold or do.
    pub limits: Limits,
    /// Every wait has one.
    pub timeouts: Timeouts,
    /// What is written where.
    pub log: Log,
}

/// One door.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Where it listens.
    pub address: ListenAddress,
    /// TLS; `None` serves plain HTTP.
    pub tls: Option<ListenerTls>,
    /// The first bytes of each connection are a PROXY protocol v1 or v2 header.
    pub proxy_protocol: bool,
    /// HTTP/2 is offered by ALPN.
    pub http2: bool,
}

/// The address of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// TCP, IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// TLS of one listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerTls {
    /// The default certificate; `None`: one is made at first start below `state_dir`.
    pub certificate: Option<CertificateFiles>,
    /// More certificates, chosen by the names inside them.
    pub more: Vec<CertificateFiles>,
    /// CA certificates (PEM bundle) that client certificates must come from. `Some` unless `client_auth` is `Off`.
    pub client_ca: Option<PathBuf>,
    /// Whether a client certificate is asked for.
    pub client_auth: ClientAuth,
    /// Certificate revocation lists (PEM), which must be fresh.
    pub client_crl: Option<PathBuf>,
    /// The oldest protocol version that is spoken.
    pub min_version: TlsVersion,
}

/// A certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM bundle, leaf first.
    pub certificate: PathBuf,
    /// PEM key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// How much a listener wants a client certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// It is not asked for.
    #[default]
    Off,
    /// It is asked for, and a request without one goes on.
    Optional,
    /// It is asked for, and a request without one is answered 401.
    Required,
}

/// The oldest protocol version that a listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    Tls12,
    /// TLS 1.3 alone.
    Tls13,
}

/// The registry behind the gate and how it is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Where it is.
    pub url: UpstreamUrl,
    /// CA certificates (PEM bundle) to trust for an https upstream, instead of the system's.
    pub ca: Option<PathBuf>,
    /// The client certificate shown to an https upstream.
    pub client_certificate: Option<CertificateFiles>,
    /// What becomes of the client's `Authorization`.
    pub authorization: Authorization,
    /// Connections open at once.
    pub max_connections: usize,
    /// From the first lookup to an established (and encrypted) connection.
    pub connect_timeout: Duration,
    /// Silence in both directions, never the whole exchange.
    pub read_timeout: Duration,
}

/// The address of the registry behind the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamUrl {
    /// `http://host[:port]`
    Http {
        /// Host name or address; an IPv6 address without its brackets.
        host: String,
        /// Port, 80 when absent.
        port: u16,
    },
    /// `https://host[:port]`
    Https {
        /// Host name or address; an IPv6 address without its brackets.
        host: String,
        /// Port, 443 when absent.
        port: u16,
    },
    /// `unix:/path`
    Unix(PathBuf),
}

/// What becomes of the client's `Authorization` on the way to the upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authorization {
    /// Removed: the registry never sees the password.
    #[default]
    Strip,
    /// Replaced by the user name with an empty password, so that the registry's log knows the actor.
    User,
    /// Passed on as it came.
    Forward,
    /// Replaced by credentials of our own.
    Own {
        /// Their user name.
        username: String,
        /// The file whose first line is their password.
        password_file: PathBuf,
    },
}

/// Who may come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// The realm that clients show.
    pub realm: String,
    /// The password file.
    pub htpasswd: Option<PathBuf>,
    /// What may be done without credentials.
    pub anonymous: Anonymous,
    /// Whether a certificate or a password is enough, or both are needed.
    pub satisfy: Satisfy,
}

/// What may be done without credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Nothing.
    #[default]
    None,
    /// Content may be read.
    Pull,
}

/// How many proofs of identity are needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Satisfy {
    /// A certificate or a password.
    #[default]
    Any,
    /// A certificate and a password.
    All,
}

/// Clients that are turned away by their user agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Clients {
    /// Docker before 1.6, which cannot speak the v2 protocol, is answered 404.
    pub reject_old_docker: bool,
    /// Further regular expressions (look-ahead allowed), already checked to compile; a match is answered 404.
    pub reject_user_agents: Vec<String>,
}

/// Headers that answers carry, and whose request headers are believed.
#[derive(Clone, Debug, PartialEq)]
pub struct Headers {
    /// The value of `Strict-Transport-Security` on TLS listeners; `None` where it is set to the empty string.
    pub strict_transport_security: Option<HeaderValue>,
    /// Networks whose `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// Bounds on what a peer can make us hold or do.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Downstream connections open at once.
    pub connections: usize,
    /// Bytes of one request head.
    pub header_size: usize,
    /// Bytes of one manifest.
    pub manifest_size: u64,
    /// Bytes of any other request body; `None`: no bound.
    pub body_size: Option<u64>,
    /// Password hashes computed at once.
    pub password_checks: usize,
}

/// Every wait has a deadline.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeouts {
    /// From accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request to the end of its head.
    pub request_header: Duration,
    /// Between two requests of a connection.
    pub idle: Duration,
    /// From SIGTERM until connections are cut.
    pub drain: Duration,
}

/// What is written where.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// The least level that is written.
    pub level: Level,
    /// How it is written.
    pub format: LogFormat,
    /// The access log; `None`: off.
    pub access: Option<AccessFormat>,
}

/// The least level that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// A person must act.
    Error,
    /// It went on, degraded.
    Warn,
    /// Start, stop, reload.
    #[default]
    Info,
    /// The weather: failed handshakes, refused requests.
    Debug,
    /// Everything.
    Trace,
}

/// How log lines are written to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How access lines are written to standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessFormat {
    /// nginx's `combined`.
    #[default]
    Combined,
    /// One JSON object a line.
    Json,
}

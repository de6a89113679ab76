//! What is meant: the configuration after parsing and checking. Plain data; nothing invalid exists in here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use ipnet::IpNet;

use super::acme::Acme;
use super::registry::Registry;
use super::upstream::{Authorization, Upstream};

/// The whole configuration of one process.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What dockgate makes itself lives here: certificates, the first password.
    pub state_dir: PathBuf,
    /// Where clients connect. Never empty.
    pub listeners: Vec<Listener>,
    /// Certificates from an authority; `None`: off.
    pub acme: Option<Acme>,
    /// Where content comes from.
    pub backend: Backend,
    /// Nobody said who may come in: `auth.htpasswd` is made at first start, with one user.
    pub first_user: bool,
    /// Who may come in.
    pub auth: Auth,
    /// The token service.
    pub token: Token,
    /// Who may do what where. Empty: whoever is authenticated may do everything.
    pub rules: Vec<Rule>,
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
    /// Where the operator's tools ask for metrics, health and readiness; `None`: nowhere.
    pub admin: Option<ListenAddress>,
    /// What the process takes from itself.
    pub process: Process,
}

impl Config {
    /// Whether anything may be done without credentials.
    #[must_use]
    pub fn has_public(&self) -> bool {
        let everybody = |rule: &Rule| rule.who.contains(&Who::Anonymous);
        match self.rules.as_slice() {
            [] => self.auth.anonymous == Anonymous::Pull,
            rules => rules.iter().any(everybody),
        }
    }

    /// Whether clients are sent to the token service. With `Auto` they are when anything is public: the only way in
    /// which docker can pull without credentials and push with them.
    #[must_use]
    pub fn uses_tokens(&self) -> bool {
        match self.auth.challenge {
            Challenge::Basic => false,
            Challenge::Bearer => true,
            Challenge::Auto => {
                // Where nobody can prove who he is there is nothing that a client could be sent for.
                let asks = |tls: &ListenerTls| tls.client_auth != ClientAuth::Off;
                let certificates = self.listeners.iter().flat_map(|l| &l.tls).any(asks);
                self.has_public()
                    && (self.auth.htpasswd.is_some() || certificates)
                    && !self.forwards_credentials()
            }
        }
    }

    /// The registry behind the gate, where there is one.
    #[must_use]
    pub fn upstream(&self) -> Option<&Upstream> {
        match &self.backend {
            Backend::Upstream(upstream) => Some(upstream),
            Backend::Registry(_) => None,
        }
    }

    /// Whether passwords are for the upstream to judge.
    #[must_use]
    pub fn forwards_credentials(&self) -> bool {
        let forwards = |upstream: &Upstream| upstream.authorization == Authorization::Forward;
        self.upstream().is_some_and(forwards)
    }
}

/// Where content comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Backend {
    /// A registry behind the gate.
    Upstream(Upstream),
    /// The embedded one.
    Registry(Registry),
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
    /// It answers an authority's challenges in clear, and nothing else.
    pub challenges_only: bool,
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
    /// Where a certificate from an authority will be, with its key, which is shown in place of the one that is made.
    pub issued: Option<PathBuf>,
    /// More certificates, chosen by the names inside them.
    pub more: Vec<CertificateFiles>,
    /// CA certificates (PEM bundle) that client certificates must come from. `Some` unless `client_auth` is `Off`.
    pub client_ca: Option<PathBuf>,
    /// Whether a client certificate is asked for.
    pub client_auth: ClientAuth,
    /// Certificate revocation lists (PEM).
    pub client_crl: Option<PathBuf>,
    /// What a list that is past its date is good for.
    pub client_crl_expired: ExpiredList,
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

/// What becomes of the client certificates of a CA whose revocation list is past its date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpiredList {
    /// All of them are refused.
    #[default]
    Refuse,
    /// Those that the list does not name are let in, and the log warns of it.
    Warn,
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
    /// Which users are in which groups: an Apache group file.
    pub groups: Option<PathBuf>,
    /// How credentials are asked for.
    pub challenge: Challenge,
}

/// How credentials are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Challenge {
    /// Bearer when anything may be done without credentials, else Basic.
    #[default]
    Auto,
    /// The password with every request.
    Basic,
    /// A token from our own token service.
    Bearer,
}

/// The token service.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Where it answers; begins with `/` and is no path of the registry API.
    pub path: String,
    /// The `service` of the challenge and the audience of tokens; `None`: the host name that the client used.
    pub service: Option<String>,
    /// How long a token is good for; one minute to one day.
    pub lifetime: Duration,
    /// The key that signs tokens (PEM), and further keys that are believed; `None`: made below `state_dir`.
    pub signing_key: Option<PathBuf>,
}

/// One `[[rule]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whom it is about; any of these is enough. Never empty.
    pub who: Vec<Who>,
    /// Patterns of the repositories that it is about. Empty only if it is about the catalog alone.
    pub repositories: Vec<String>,
    /// What it allows. Never empty.
    pub actions: Vec<RuleAction>,
    /// Where it stands: `line 12`, or the name of a variable.
    pub place: String,
}

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody, with credentials and without.
    Anonymous,
    /// Whoever proved an identity.
    Authenticated,
    /// The user of this name.
    User(String),
    /// The users of this group.
    Group(String),
    /// Bearers of a client certificate one of whose names, or whose fingerprint, is like this.
    Certificate(String),
}

/// What a rule allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// Reading content.
    Pull,
    /// Writing content.
    Push,
    /// Removing content.
    Delete,
    /// Listing repositories (those that may be pulled).
    Catalog,
    /// All of these.
    All,
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

/// What the process takes from itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Where the kernel has Landlock, no files can be touched but those that the configuration needs.
    pub landlock: bool,
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

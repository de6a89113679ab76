//! The TLS of one listener: changed while it runs, and the handshake.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use rustls::server::Acceptor;
use rustls::{AlertDescription, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::task;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream as Encrypted;

use crate::config::{ClientAuth, ListenerTls};
use crate::identity::ClientCertificate;
use crate::metrics::{Dated, Failure};

use super::challenge::{self, Challenges};
use super::error::{Error, Warning};
use super::judgement::Refusal;
use super::resolver::normal;
use super::standing::Standing;
use super::state::{Date, Source, State};
use super::stream::{Rewound, TlsStream};
use super::verifier::REFUSED;
use super::{first, identity, is_slow_at_aes};

/// What a client reads that speaks plain HTTP to a TLS port.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 52\r\nConnection: close\r\n\r\nThis port speaks HTTPS; the request was plain HTTP.\n";
/// A client that is told off gets this long to take the answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// One listener's TLS. Cheap to share; [`ServerTls::reload`] changes it for handshakes to come.
#[derive(Clone, Debug)]
pub(crate) struct ServerTls {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: ArcSwap<ListenerTls>,
    http2: bool,
    state_dir: PathBuf,
    challenges: Challenges,
    state: ArcSwap<State>,
    /// Places for the costly part of a handshake, one for each processor.
    exchanges: Arc<Semaphore>,
}

/// Settings whose files were read and found good.
#[derive(Debug)]
pub(crate) struct Prepared {
    settings: ListenerTls,
    state: State,
}

impl ServerTls {
    /// Reads all files, and makes a certificate of our own below `state_dir` where the settings name none. Where they
    /// want one from an authority, `challenges` are answered.
    ///
    /// # Errors
    ///
    /// Every fault of every file, at once.
    pub(crate) fn load(
        tls: &ListenerTls,
        http2: bool,
        state_dir: &Path,
        challenges: &Challenges,
    ) -> Result<(Self, Vec<Warning>), Vec<Error>> {
        let source = Source {
            http2,
            state_dir,
            challenges,
        };
        let (state, warnings) = State::load(tls, &source, None)?;
        let processors = thread::available_parallelism().map_or(2, Into::into);
        let shared = Arc::new(Shared {
            settings: ArcSwap::from_pointee(tls.clone()),
            http2,
            state_dir: state_dir.to_owned(),
            challenges: challenges.clone(),
            state: ArcSwap::from_pointee(state),
            exchanges: Arc::new(Semaphore::new(processors)),
        });
        Ok((Self { shared }, warnings))
    }

    /// Reads all files again and puts them in force together; running connections keep what they have.
    ///
    /// When the client CA or the lists changed, session tickets from before are worth nothing any more and every
    /// [`Standing`] is judged anew at its next use.
    ///
    /// # Errors
    ///
    /// Every fault of every file, at once; the old state stays in force.
    pub(crate) fn reload(&self) -> Result<Vec<Warning>, Vec<Error>> {
        let settings = self.shared.settings.load_full();
        let (prepared, warnings) = self.prepare(&settings)?;
        self.adopt(prepared);
        Ok(warnings)
    }

    /// Reads the files of other settings for this listener; nothing changes before [`ServerTls::adopt`].
    ///
    /// # Errors
    ///
    /// Every fault of every file, at once.
    pub(crate) fn prepare(
        &self,
        tls: &ListenerTls,
    ) -> Result<(Prepared, Vec<Warning>), Vec<Error>> {
        let shared = &self.shared;
        let old = shared.state.load_full();
        let source = Source {
            http2: shared.http2,
            state_dir: &shared.state_dir,
            challenges: &shared.challenges,
        };
        let (state, warnings) = State::load(tls, &source, Some(&old))?;
        let settings = tls.clone();
        Ok((Prepared { settings, state }, warnings))
    }

    /// Puts in force what was prepared, as [`ServerTls::reload`] does; every [`Standing`] follows.
    pub(crate) fn adopt(&self, prepared: Prepared) {
        self.shared.settings.store(Arc::new(prepared.settings));
        self.shared.state.store(Arc::new(prepared.state));
    }

    /// What is in force now.
    pub(super) fn state(&self) -> Guard<Arc<State>> {
        self.shared.state.load()
    }

    /// The files whose change calls for [`ServerTls::reload`].
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let settings = self.shared.settings.load();
        let default = match &settings.certificate {
            Some(files) => files.clone(),
            None => first::files(&self.shared.state_dir),
        };
        std::iter::once(&default)
            .chain(&settings.more)
            .flat_map(|files| [&files.certificate, &files.key])
            .chain(
                settings
                    .client_ca
                    .iter()
                    .filter(|_| settings.client_auth != ClientAuth::Off),
            )
            .chain(
                settings
                    .client_crl
                    .iter()
                    .filter(|_| settings.client_auth != ClientAuth::Off),
            )
            .chain(settings.issued.iter())
            .cloned()
            .collect()
    }

    /// From when until when the files in force are good; `listener` is what to call this one.
    pub(crate) fn dates(&self, listener: &str) -> Vec<Dated> {
        let dated = |date: &Date| Dated {
            kind: date.kind,
            listener: listener.to_owned(),
            file: date.file.clone(),
            from: date.from.as_secs(),
            until: date.until.as_secs(),
        };
        self.state().dates.iter().map(dated).collect()
    }

    /// One handshake. It has no deadline of its own: the caller has one.
    ///
    /// # Errors
    ///
    /// The peer spoke no TLS, spoke it wrongly, left, or showed a client certificate that is not accepted. The alert, or
    /// an answer in plain HTTP to plain HTTP, has been sent.
    pub(crate) async fn accept<S>(&self, io: S) -> Result<(TlsStream<S>, Handshake), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut io = Rewound::look(io).await.map_err(HandshakeError::Io)?;
        match io.first().first() {
            None => return Err(HandshakeError::Silent),
            // a letter begins a method; TLS records begin with small numbers
            Some(b'A'..=b'Z') => {
                farewell(&mut io, PLAIN_HTTP).await;
                return Err(HandshakeError::PlainHttp);
            }
            Some(_) => {}
        }
        let state = self.shared.state.load_full();
        let handshake = async {
            let result = self.negotiate(io, &state).await;
            (result, REFUSED.with(RefCell::take))
        };
        let stream = match REFUSED.scope(RefCell::new(None), handshake).await {
            (Ok(stream), _) => stream,
            (Err((error, _)), None) => return Err(HandshakeError::Io(error)),
            (Err((_, io)), Some(refusal)) => {
                if let Some(mut io) = io {
                    farewell(&mut io, &[]).await;
                }
                return Err(HandshakeError::Certificate(refusal));
            }
        };
        let connection = stream.get_ref().1;
        if connection.alpn_protocol() == Some(challenge::PROTOCOL) {
            let mut stream = stream;
            farewell(&mut stream, &[]).await;
            return Err(HandshakeError::Challenge);
        }
        let sni = connection.server_name().map(normal);
        let version = connection.protocol_version().and_then(spelled);
        let http2 = connection.alpn_protocol() == Some(b"h2");
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let mut handshake = Handshake {
            sni,
            version,
            http2,
            resumed,
            certificate: None,
            standing: None,
        };
        if let (Some(chain), Some(_)) = (connection.peer_certificates(), &state.trust) {
            let chain: Vec<_> = chain.iter().map(|der| der.clone().into_owned()).collect();
            // always, not only for a resumed session, whose certificate rustls does not look at again: the state in
            // force may have changed since the handshake began
            let standing = Standing::new(self.clone(), chain);
            if let Err(refusal) = standing.check() {
                let mut stream = stream;
                farewell(&mut stream, &[]).await;
                return Err(HandshakeError::Certificate(refusal));
            }
            let certificate = standing
                .chain
                .first()
                .and_then(|leaf| identity::client_certificate(leaf));
            handshake.certificate = certificate.map(Arc::new);
            handshake.standing = Some(standing);
        }
        Ok((TlsStream::new(stream), handshake))
    }
}

impl ServerTls {
    /// The handshake itself, with the connection given back where it fails half-way.
    ///
    /// Key exchange and signature cost a processor up to some milliseconds, and a flood begins thousands of them. They
    /// are computed apart from the threads that serve, or whoever is connected already would wait for all of them: the
    /// runtime looks for what has come over the network only now and then while it has other work. Nobody holds a place
    /// while he waits for his client.
    async fn negotiate<S>(
        &self,
        io: S,
        state: &State,
    ) -> Result<Encrypted<S>, (io::Error, Option<S>)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), io);
        let hello = hello.await.map_err(|error| (error, None))?;
        // An error would be a closed semaphore, which this one never is.
        let place = Arc::clone(&self.shared.exchanges).acquire_owned().await;
        let config = if is_slow_at_aes(hello.client_hello().cipher_suites()) {
            Arc::clone(&state.as_asked)
        } else {
            Arc::clone(&state.config)
        };
        let work = move || {
            let accept = hello.into_stream(config).into_fallible();
            // Held by the work, which goes on when the client's time is up.
            drop(place);
            accept
        };
        let accept = task::spawn_blocking(work).await;
        let accept = accept.map_err(|error| (io::Error::other(error), None))?;
        accept.await.map_err(|(error, io)| (error, Some(io)))
    }
}

fn spelled(version: ProtocolVersion) -> Option<&'static str> {
    match version {
        ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
        ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
        // No other is spoken.
        _ => None,
    }
}

/// Ends a connection so that the peer reads the last word: a socket closed with unread bytes is reset, and the reset
/// overtakes the alert. A courtesy, so what becomes of it changes nothing.
async fn farewell<S: AsyncRead + AsyncWrite + Unpin>(io: &mut S, word: &[u8]) {
    let goodbye = async {
        io.write_all(word).await?;
        io.shutdown().await?;
        let mut rest = [0; 1024];
        while io.read(&mut rest).await? != 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(FAREWELL, goodbye).await;
}

/// What a completed handshake says of the client.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    /// The host name that the client asked for, lower case, without a dot at its end.
    pub sni: Option<String>,
    /// The version that was agreed on, as OpenSSL and nginx spell it (`TLSv1.3`).
    pub version: Option<&'static str>,
    /// HTTP/2 was agreed on.
    pub http2: bool,
    /// An earlier session was taken up.
    pub resumed: bool,
    /// The client's certificate, verified.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// Whether that certificate still holds, to be asked before each request. `Some` exactly when the client showed one.
    pub standing: Option<Standing>,
}

/// What clients say to a certificate of ours that they do not accept (RFC 8446 section 6.2).
fn is_distrust(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
    )
}

/// Why a handshake did not complete. Weather, not news: for the debug log and a counter.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The peer connected and left without a word (a port check).
    #[error("the client left before it said anything")]
    Silent,
    /// The peer spoke HTTP in clear and was answered 400.
    #[error("the client spoke plain HTTP")]
    PlainHttp,
    /// An authority asked for a name that is being proven; it has seen the certificate, and there is nothing more.
    #[error("an authority looked at a challenge")]
    Challenge,
    /// The client's certificate is not accepted.
    #[error("the client certificate {}, serial {}, is refused: {}", .0.subject, .0.serial, .0.reason)]
    Certificate(Refusal),
    /// The peer broke the protocol, shares nothing with us, or the connection broke.
    #[error("the TLS handshake failed")]
    Io(#[source] io::Error),
}

impl HandshakeError {
    /// The reason code of the log.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "client_cert",
            Self::Challenge => "acme",
            Self::Silent | Self::PlainHttp | Self::Io(_) => "tls",
        }
    }

    /// How it is counted.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Silent => Failure::Silent,
            Self::PlainHttp => Failure::PlainHttp,
            Self::Challenge => Failure::Proof,
            Self::Certificate(_) => Failure::ClientCertificate,
            Self::Io(error) => {
                let inner = error.get_ref();
                match inner.and_then(|error| error.downcast_ref::<rustls::Error>()) {
                    Some(rustls::Error::AlertReceived(alert)) if is_distrust(*alert) => {
                        Failure::Distrusted
                    }
                    Some(_) => Failure::Protocol,
                    None => Failure::Broken,
                }
            }
        }
    }
}

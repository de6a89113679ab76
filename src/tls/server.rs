//! The TLS of one listener: built from its files, changed while it runs, and the handshake.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context as Hash, SHA256};
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ProducesTickets, ServerConfig, ServerSessionMemoryCache, StoresServerSessions,
    WebPkiClientVerifier,
};
use rustls::{HandshakeKind, version};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::config::{ClientAuth, ListenerTls, TlsVersion};
use crate::identity::ClientCertificate;

use super::authority::Trust;
use super::error::{Error, Warning};
use super::material::Material;
use super::resolver::{Resolver, normal};
use super::stream::{Rewound, TlsStream};
use super::verifier::{REFUSED, Refusal, Verifier};
use super::{first, identity, provider};

/// TLS 1.2 sessions that are kept for clients without ticket support.
const SESSIONS: usize = 1024;
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
    settings: ListenerTls,
    http2: bool,
    state_dir: PathBuf,
    state: ArcSwap<State>,
}

/// Everything that was read from the files, in force together.
struct State {
    config: Arc<ServerConfig>,
    trust: Option<Arc<Trust>>,
    /// What `trust` was made of, to see a change.
    trust_digest: Vec<u8>,
    /// Counts the changes of `trust`.
    generation: u64,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// What survives a reload that leaves the client CA and the revocation lists as they were.
#[derive(Clone)]
struct Resumption {
    ticketer: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
}

impl ServerTls {
    /// Reads all files, and makes a certificate of our own below `state_dir` where the settings name none.
    ///
    /// # Errors
    ///
    /// Every fault of every file, at once.
    pub(crate) fn load(
        tls: &ListenerTls,
        http2: bool,
        state_dir: &Path,
    ) -> Result<(Self, Vec<Warning>), Vec<Error>> {
        let (state, warnings) = State::load(tls, http2, state_dir, None)?;
        let shared = Arc::new(Shared {
            settings: tls.clone(),
            http2,
            state_dir: state_dir.to_owned(),
            state: ArcSwap::from_pointee(state),
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
        let shared = &self.shared;
        let old = shared.state.load_full();
        let (state, warnings) = State::load(
            &shared.settings,
            shared.http2,
            &shared.state_dir,
            Some(&old),
        )?;
        shared.state.store(Arc::new(state));
        Ok(warnings)
    }

    /// The files whose change calls for [`ServerTls::reload`].
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let settings = &self.shared.settings;
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
            .cloned()
            .collect()
    }

    /// One handshake. It has no deadline of its own: the caller has one.
    ///
    /// # Errors
    ///
    /// The peer spoke no TLS, spoke it wrongly, left, or showed a client certificate that is not accepted. The alert, or
    /// an answer in plain HTTP to plain HTTP, has been sent.
    pub(crate) async fn accept<S>(&self, io: S) -> Result<(TlsStream<S>, Handshake), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut io = Rewound::look(io).await.map_err(HandshakeError::Io)?;
        match io.first().first() {
            None => return Err(HandshakeError::Silent),
            // a letter begins a method; TLS records begin with small numbers
            Some(b'A'..=b'Z') => {
                let farewell = async {
                    io.write_all(PLAIN_HTTP).await?;
                    io.shutdown().await
                };
                // the answer is a courtesy: what becomes of it changes nothing
                let _ = tokio::time::timeout(FAREWELL, farewell).await;
                return Err(HandshakeError::PlainHttp);
            }
            Some(_) => {}
        }
        let state = self.shared.state.load_full();
        let acceptor = TlsAcceptor::from(Arc::clone(&state.config));
        let handshake = async {
            let result = acceptor.accept(io).await;
            let refused = REFUSED.with(RefCell::take);
            result.map_err(|error| match refused {
                Some(refusal) => HandshakeError::Certificate(refusal),
                None => HandshakeError::Io(error),
            })
        };
        let stream = REFUSED.scope(RefCell::new(None), handshake).await?;
        let connection = stream.get_ref().1;
        let sni = connection.server_name().map(normal);
        let http2 = connection.alpn_protocol() == Some(b"h2");
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let mut handshake = Handshake {
            sni,
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
            standing.check().map_err(HandshakeError::Certificate)?;
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

impl State {
    fn load(
        settings: &ListenerTls,
        http2: bool,
        state_dir: &Path,
        old: Option<&Self>,
    ) -> Result<(Self, Vec<Warning>), Vec<Error>> {
        let now = UnixTime::now();
        let mut faults = Vec::new();
        let mut warnings = Vec::new();
        let default = match &settings.certificate {
            Some(files) => Ok(files.clone()),
            None => first::ensure(state_dir, now),
        };
        let default = default.map_err(|fault| vec![fault]);
        let crypto = provider();
        let mut keep = |loaded: Result<(Material, Vec<Warning>), Vec<Error>>| match loaded {
            Ok((material, more)) => {
                warnings.extend(more);
                Some(material)
            }
            Err(more) => {
                faults.extend(more);
                None
            }
        };
        let default = keep(default.and_then(|files| Material::load(&files, &crypto, now)));
        let more: Vec<Material> = settings
            .more
            .iter()
            .filter_map(|files| keep(Material::load(files, &crypto, now)))
            .collect();
        let trust = match load_trust(settings, now) {
            Ok((trust, more)) => {
                warnings.extend(more);
                trust
            }
            Err(more) => {
                faults.extend(more);
                None
            }
        };
        let Some(default) = default.filter(|_| faults.is_empty()) else {
            return Err(faults);
        };
        let trust_digest = digest(trust.as_deref());
        let unchanged = old.filter(|old| old.trust_digest == trust_digest);
        let resumption = match unchanged {
            Some(old) => Resumption {
                ticketer: Arc::clone(&old.config.ticketer),
                sessions: Arc::clone(&old.config.session_storage),
            },
            None => Resumption::new().map_err(|fault| vec![fault])?,
        };
        let generation = match (old, unchanged) {
            (None, _) => 1,
            (Some(old), Some(_)) => old.generation,
            (Some(old), None) => old.generation + 1,
        };
        let resolver = Resolver::new(&default, &more);
        let config = configure(settings, http2, trust.as_ref(), resolver, resumption)
            .map_err(|error| vec![Error::Setup(error)])?;
        let state = Self {
            config: Arc::new(config),
            trust,
            trust_digest,
            generation,
        };
        Ok((state, warnings))
    }
}

impl Resumption {
    fn new() -> Result<Self, Error> {
        Ok(Self {
            // keys change every six hours, so a ticket lives for twelve at most
            ticketer: Ticketer::new().map_err(Error::Setup)?,
            sessions: ServerSessionMemoryCache::new(SESSIONS),
        })
    }
}

type LoadedTrust = (Option<Arc<Trust>>, Vec<Warning>);

fn load_trust(settings: &ListenerTls, now: UnixTime) -> Result<LoadedTrust, Vec<Error>> {
    match (settings.client_auth, &settings.client_ca) {
        (ClientAuth::Off, _) => Ok((None, Vec::new())),
        (ClientAuth::Optional | ClientAuth::Required, Some(ca)) => {
            let (trust, warnings) = Trust::load(ca, settings.client_crl.as_ref(), now)?;
            Ok((Some(Arc::new(trust)), warnings))
        }
        (ClientAuth::Optional | ClientAuth::Required, None) => Err(vec![Error::file(
            "client CA",
            "client_ca",
            "is not set, and client_auth asks for client certificates: name the file of the CA that issued them",
        )]),
    }
}

/// The protocol as it is spoken: TLS 1.2 and 1.3 or 1.3 alone, authenticated encryption, the client's preference among
/// suites (Go's is AES-128-GCM), `X25519MLKEM768` first, no early data.
fn configure(
    settings: &ListenerTls,
    http2: bool,
    trust: Option<&Arc<Trust>>,
    resolver: Resolver,
    resumption: Resumption,
) -> Result<ServerConfig, rustls::Error> {
    let versions: &[_] = match settings.min_version {
        TlsVersion::Tls12 => &[&version::TLS13, &version::TLS12],
        TlsVersion::Tls13 => &[&version::TLS13],
    };
    let verifier: Arc<dyn ClientCertVerifier> = match trust {
        Some(trust) => Arc::new(Verifier::new(Arc::clone(trust))),
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(resolver));
    config.ticketer = resumption.ticketer;
    config.session_storage = resumption.sessions;
    config.max_early_data_size = 0;
    config.alpn_protocols = if http2 {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    Ok(config)
}

/// Two states with the same digest judge every client certificate alike.
fn digest(trust: Option<&Trust>) -> Vec<u8> {
    let mut hash = Hash::new(&SHA256);
    for bytes in trust.iter().flat_map(|trust| trust.sources()) {
        hash.update(&(bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    hash.finish().as_ref().to_vec()
}

/// What a completed handshake says of the client.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    /// The host name that the client asked for, lower case, without a dot at its end.
    pub sni: Option<String>,
    /// HTTP/2 was agreed on.
    pub http2: bool,
    /// An earlier session was taken up.
    pub resumed: bool,
    /// The client's certificate, verified.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// Whether that certificate still holds, to be asked before each request. `Some` exactly when the client showed one.
    pub standing: Option<Standing>,
}

/// A verified chain that can be judged again while its connection lives.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    tls: ServerTls,
    chain: Arc<[CertificateDer<'static>]>,
    judged: Arc<Judged>,
}

/// The last good judgement: under which state, and until when it holds.
#[derive(Debug, Default)]
struct Judged {
    generation: AtomicU64,
    until: AtomicU64,
}

impl Standing {
    fn new(tls: ServerTls, chain: Vec<CertificateDer<'static>>) -> Self {
        Self {
            tls,
            chain: chain.into(),
            // no state has generation 0, so the first check judges
            judged: Arc::default(),
        }
    }

    /// Asks whether the certificate holds now. Two loads and a look at the clock, unless the client CA or a list changed
    /// or a date was passed; then the chain is verified again.
    ///
    /// # Errors
    ///
    /// It was revoked, or has expired, or its CA is gone: the connection must be closed.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let state = self.tls.shared.state.load();
        let now = UnixTime::now();
        if self.judged.generation.load(Ordering::Relaxed) == state.generation
            && now.as_secs() < self.judged.until.load(Ordering::Relaxed)
        {
            return Ok(());
        }
        let (Some(trust), Some((leaf, intermediates))) = (&state.trust, self.chain.split_first())
        else {
            return Ok(());
        };
        let until = trust
            .verify(leaf, intermediates, now)
            .map_err(|(refusal, _)| refusal)?;
        // the date first: a reader that sees the new generation with the old date judges once more, no harm done
        self.judged.until.store(until.as_secs(), Ordering::Relaxed);
        self.judged
            .generation
            .store(state.generation, Ordering::Release);
        Ok(())
    }
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
            Self::Silent | Self::PlainHttp | Self::Io(_) => "tls",
        }
    }
}

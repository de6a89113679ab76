//! What one listener's files say, in force together: read whole, or not taken at all.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context as Hash, SHA256};
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ProducesTickets, ServerConfig, ServerSessionMemoryCache, StoresServerSessions,
    WebPkiClientVerifier,
};
use rustls::version;

use crate::config::{ClientAuth, ListenerTls, TlsVersion};
use crate::metrics::Kind;

use super::authority::Trust;
use super::challenge::{self, Challenges};
use super::error::{Error, Warning};
use super::material::Material;
use super::resolver::Resolver;
use super::verifier::Verifier;
use super::{first, issued, provider};

/// TLS 1.2 sessions that are kept for clients without ticket support.
const SESSIONS: usize = 1024;

/// Everything that was read from the files, in force together.
pub(super) struct State {
    pub config: Arc<ServerConfig>,
    /// The same, in the order of suites that the client names.
    pub as_asked: Arc<ServerConfig>,
    pub trust: Option<Arc<Trust>>,
    /// What `trust` was made of, to see a change.
    trust_digest: Vec<u8>,
    /// Counts the changes of `trust`.
    pub generation: u64,
    /// Until when what was read is good.
    pub dates: Vec<Date>,
    /// What is shown to whoever names nothing else, where an authority has issued it.
    issued: Option<Material>,
}

/// A file, and from when until when its content is good.
#[derive(Clone, Debug)]
pub(super) struct Date {
    pub kind: Kind,
    pub file: PathBuf,
    pub from: UnixTime,
    pub until: UnixTime,
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

/// What a state is made with beside its settings.
#[derive(Debug)]
pub(super) struct Source<'a> {
    /// HTTP/2 is offered.
    pub http2: bool,
    /// Where a certificate of our own is.
    pub state_dir: &'a Path,
    /// What an authority is shown that proves a name.
    pub challenges: &'a Challenges,
}

impl State {
    pub(super) fn load(
        settings: &ListenerTls,
        source: &Source<'_>,
        old: Option<&Self>,
    ) -> Result<(Self, Vec<Warning>), Vec<Error>> {
        let now = UnixTime::now();
        let mut faults = Vec::new();
        let mut warnings = Vec::new();
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
        let default = keep(default_material(settings, source, old, now));
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
        let mut dates: Vec<_> = std::iter::once(&default)
            .chain(&more)
            .map(Date::of)
            .collect();
        dates.extend(dates_of_trust(settings, trust.as_deref()));
        let own = first::files(source.state_dir).certificate;
        let is_issued = settings.certificate.is_none() && default.file != own;
        let resolver = Resolver::new(&default, &more, source.challenges.clone());
        let config = configure(settings, source.http2, trust.as_ref(), resolver, resumption)
            .map_err(|error| vec![Error::Setup(error)])?;
        let mut as_asked = config.clone();
        as_asked.ignore_client_order = false;
        let state = Self {
            config: Arc::new(config),
            as_asked: Arc::new(as_asked),
            trust,
            trust_digest,
            generation,
            dates,
            issued: is_issued.then_some(default),
        };
        Ok((state, warnings))
    }
}

impl Date {
    fn of(material: &Material) -> Self {
        let (from, until) = material.valid;
        Self {
            kind: Kind::Certificate,
            file: material.file.clone(),
            from,
            until,
        }
    }
}

/// The dates that come first: what begins to fail then is part of the file.
fn dates_of_trust(settings: &ListenerTls, trust: Option<&Trust>) -> Vec<Date> {
    let never = UnixTime::since_unix_epoch(Duration::ZERO);
    let first = |kind, file: &Option<PathBuf>, until: Option<UnixTime>| {
        let (file, until) = (file.clone()?, until?);
        Some(Date {
            kind,
            file,
            from: never,
            until,
        })
    };
    let anchors = trust.iter().flat_map(|trust| &trust.anchors);
    let ca = anchors.map(|(_, _, until)| *until).min();
    let lists = trust.and_then(|trust| trust.lists.as_ref());
    let crl = lists.and_then(|lists| lists.ends().min());
    let ca = first(Kind::ClientCa, &settings.client_ca, ca);
    let crl = first(Kind::ClientCrl, &settings.client_crl, crl);
    ca.into_iter().chain(crl).collect()
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

/// What is shown to whoever names nothing else: the certificate of the settings, or the authority's, or our own.
fn default_material(
    settings: &ListenerTls,
    source: &Source<'_>,
    old: Option<&State>,
    now: UnixTime,
) -> Result<(Material, Vec<Warning>), Vec<Error>> {
    let crypto = provider();
    if let Some(files) = &settings.certificate {
        return Material::load(files, &crypto, now);
    }
    let before = old.and_then(|old| old.issued.as_ref());
    let found = from_authority(settings, now);
    // Other names were asked for, or the file is gone: until there is another one, what clients trust is shown on.
    if let (Ok(None), Some(wanted), Some(before)) = (&found, &settings.issued, before)
        && now <= before.valid.1
    {
        let text = "is not there yet; until it is, clients are shown the certificate of before";
        return Ok((before.clone(), vec![Warning::new(wanted, text)]));
    }
    let doubt = match found {
        Ok(Some(found)) => return Ok(found),
        // What is in force is better than one of our own.
        Err(faults) if old.is_some() => return Err(faults),
        without => without.err().map(|faults| unusable(settings, &faults)),
    };
    let files = first::ensure(source.state_dir, now).map_err(|fault| vec![fault])?;
    let withdrawn = first::withdraw(source.state_dir);
    let (material, mut warnings) = Material::load(&files, &crypto, now)?;
    warnings.extend(withdrawn);
    warnings.extend(doubt);
    Ok((material, warnings))
}

type FromAuthority = Option<(Material, Vec<Warning>)>;

/// The certificate that an authority has issued, if one is wanted and there.
fn from_authority(settings: &ListenerTls, now: UnixTime) -> Result<FromAuthority, Vec<Error>> {
    let path = settings.issued.as_ref();
    path.map_or(Ok(None), |path| issued::load(path, now))
}

fn unusable(settings: &ListenerTls, faults: &[Error]) -> Warning {
    let faults = faults.iter().map(|fault| {
        let cause = std::error::Error::source(fault);
        cause.map_or_else(|| fault.to_string(), |cause| format!("{fault}: {cause}"))
    });
    let faults: Vec<_> = faults.collect();
    Warning::new(
        settings.issued.as_deref().unwrap_or(Path::new("")),
        format!(
            "the authority's certificate cannot be used, and clients are shown one of dockgate's own until there is another: {}",
            faults.join("; ")
        ),
    )
}

type LoadedTrust = (Option<Arc<Trust>>, Vec<Warning>);

fn load_trust(settings: &ListenerTls, now: UnixTime) -> Result<LoadedTrust, Vec<Error>> {
    match (settings.client_auth, &settings.client_ca) {
        (ClientAuth::Off, _) => Ok((None, Vec::new())),
        (ClientAuth::Optional | ClientAuth::Required, Some(ca)) => {
            let crl = settings.client_crl.as_deref();
            let crl = crl.map(|path| (path, settings.client_crl_expired));
            let (trust, warnings) = Trust::load(ca, crl, now)?;
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
    config.ignore_client_order = true;
    // One for each connection, as servers in Go send: each that is taken up brings the next one, and most clients of a
    // registry throw them all away.
    config.send_tls13_tickets = 1;
    config.alpn_protocols = if http2 {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    if settings.issued.is_some() {
        config.alpn_protocols.push(challenge::PROTOCOL.to_vec());
    }
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

//! A look at what a server shows: which certificates, for whom, from when to when, and whom one must trust for them.
//!
//! Nothing is refused here, so that somebody can be told all that is wrong. What goes over a connection that was made for
//! looking must not be secret.

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError, SignatureScheme};
use x509_cert::ext::pkix::name::GeneralName;

use crate::config::CertificateFiles;

use super::client::{ClientStream, ClientTls, server_name, system_roots, trusted, unverified};
use super::error::Error;
use super::material::Material;
use super::provider;
use super::x509::{Certificate, organizations, unix};

/// TLS for a look: any certificate will do whose key the peer has. The flag goes up when a server asks for a
/// certificate of ours, which is then shown, if there is one.
///
/// # Errors
/// A file that cannot be used.
pub(crate) fn examining_client(
    own: Option<&CertificateFiles>,
) -> Result<(ClientTls, Arc<AtomicBool>), Vec<Error>> {
    let key = match own {
        None => None,
        Some(files) => Some(Material::load(files, &provider(), UnixTime::now())?.0.key),
    };
    let asked = Arc::new(AtomicBool::new(false));
    let own = Attentive {
        key,
        asked: Arc::clone(&asked),
    };
    let client = unverified(Some(Arc::new(own))).map_err(|fault| vec![fault])?;
    Ok((client, asked))
}

/// Shows the certificate that it has, and notes that it was asked for.
#[derive(Debug)]
struct Attentive {
    key: Option<Arc<CertifiedKey>>,
    asked: Arc<AtomicBool>,
}

impl ResolvesClientCert for Attentive {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        // Also without one: whether the server asks is worth knowing.
        true
    }
}

/// What a server showed.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    chain: Vec<CertificateDer<'static>>,
    /// The DNS names and addresses that it is for.
    pub names: Vec<String>,
    /// The subject as RFC 4514 writes it.
    pub subject: String,
    /// Who issued the last certificate that was shown, as RFC 4514 writes it.
    pub issuer: String,
    /// The server's own certificate is its own issuer.
    pub self_issued: bool,
    /// From when on it holds, in seconds since 1970.
    pub not_before: u64,
    /// Until when it holds, in seconds since 1970.
    pub not_after: u64,
}

/// Whether a certificate leads to somebody who is trusted; its name is another matter, and so are its dates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It does.
    Trusted,
    /// It was issued by somebody between, whose certificate the server keeps to itself.
    Incomplete,
    /// Nobody trusted has issued it.
    Unknown,
    /// It cannot be a server's certificate; the text says why.
    Unfit(String),
}

impl Shown {
    /// What was shown on this connection; `None` if it cannot be read.
    pub(crate) fn on<S>(stream: &ClientStream<S>) -> Option<Self> {
        let chain = stream.shown().to_vec();
        let parsed: Vec<Certificate<'_>> = chain
            .iter()
            .map_while(|der| Certificate::parse(der).ok())
            .collect();
        let (leaf, last) = (parsed.first()?, parsed.last()?);
        let alternative_names = leaf.alternative_names();
        let names = alternative_names.iter().filter_map(name).collect();
        let seconds = |time| unix(time).as_secs();
        let shown = Self {
            names,
            subject: leaf.subject_text(),
            issuer: last.issuer_text(),
            self_issued: leaf.is_self_issued(),
            not_before: seconds(leaf.not_before),
            not_after: seconds(leaf.not_after),
            chain: Vec::new(),
        };
        Some(Self { chain, ..shown })
    }

    /// How many certificates were shown.
    pub(crate) fn count(&self) -> usize {
        self.chain.len()
    }

    /// Whether it is for this name or address.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        let parsed = self.chain.first().map(ParsedCertificate::try_from);
        match (parsed, server_name(host)) {
            (Some(Ok(leaf)), Some(name)) => verify_server_name(&leaf, &name).is_ok(),
            _ => false,
        }
    }

    /// Whether the CAs of this file vouch for it, or those of the machine.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(crate) fn trust(&self, host: &str, ca: Option<&Path>) -> Result<Trust, Error> {
        let (roots, pinned) = match ca {
            Some(path) => trusted(path)?,
            None => (system_roots(), Vec::new()),
        };
        let Some((leaf, between)) = self.chain.split_first() else {
            return Ok(Trust::Unknown);
        };
        if pinned.contains(leaf) {
            return Ok(Trust::Trusted);
        }
        let kin = self.is_kin_of(roots.roots.iter().map(|root| root.subject.as_ref()));
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider())
            .build()
            .map_err(|error| Error::Setup(rustls::Error::General(error.to_string())))?;
        let Some(name) = server_name(host) else {
            return Ok(Trust::Unknown);
        };
        let verdict = verifier.verify_server_cert(leaf, between, &name, &[], self.meanwhile());
        Ok(match verdict {
            Ok(_) => Trust::Trusted,
            Err(rustls::Error::InvalidCertificate(error)) => match error {
                // The name is looked at last.
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => Trust::Trusted,
                CertificateError::UnknownIssuer if between.is_empty() && kin => Trust::Incomplete,
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Trust::Unknown,
                CertificateError::Other(_) if self.self_issued => Trust::Unknown,
                other => Trust::Unfit(other.to_string()),
            },
            Err(other) => Trust::Unfit(other.to_string()),
        })
    }

    /// Whether the issuer, whom nobody knows, is likely to be between it and a known one: a public authority says where
    /// its certificate is, and one of a house is of the same organization as the root.
    fn is_kin_of<'a>(&self, mut roots: impl Iterator<Item = &'a [u8]>) -> bool {
        let leaf = self.chain.first().map(|der| Certificate::parse(der));
        let Some(Ok(leaf)) = leaf else {
            return false;
        };
        if leaf.is_self_issued() {
            return false;
        }
        let own = organizations(leaf.issuer);
        leaf.says_where_its_issuer_is()
            || roots.any(|root| organizations(root).iter().any(|part| own.contains(part)))
    }

    /// Now, or a time when the certificate holds.
    fn meanwhile(&self) -> UnixTime {
        let now = UnixTime::now();
        if (self.not_before..=self.not_after).contains(&now.as_secs()) {
            return now;
        }
        let half = self.not_after.saturating_sub(self.not_before) / 2;
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(self.not_before + half))
    }
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        GeneralName::IpAddress(bytes) => match *bytes.as_bytes() {
            [a, b, c, d] => Some(IpAddr::from([a, b, c, d]).to_string()),
            ref bytes => <[u8; 16]>::try_from(bytes)
                .ok()
                .map(|bytes| IpAddr::from(bytes).to_string()),
        },
        _ => None,
    }
}

/// Why the other end, or this one, ended an encrypted connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// What came is no TLS.
    NotTls,
    /// No version or cipher in common.
    NothingInCommon(String),
    /// The other end does not like our certificate, or that there is none.
    OurCertificate(String),
    /// The other end has no certificate for the name.
    NameUnknown,
    /// Any other reason.
    Other(String),
}

/// The reason of TLS within this error or its causes; `None` if TLS has nothing to do with it.
pub(crate) fn refusal(error: &(dyn StdError + 'static)) -> Option<Refusal> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = match error.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()),
            None => error.downcast_ref::<rustls::Error>(),
        };
        if let Some(inner) = inner {
            return Some(reason(inner));
        }
        next = error.source();
    }
    None
}

fn reason(error: &rustls::Error) -> Refusal {
    use AlertDescription as Alert;
    match error {
        rustls::Error::InvalidMessage(_) => Refusal::NotTls,
        rustls::Error::PeerIncompatible(_) => Refusal::NothingInCommon(error.to_string()),
        rustls::Error::AlertReceived(alert) => {
            let text = format!("it sends the alert {alert:?}");
            match alert {
                Alert::ProtocolVersion | Alert::InsufficientSecurity => {
                    Refusal::NothingInCommon(text)
                }
                // Ours is the only certificate that it can be about.
                Alert::CertificateRequired
                | Alert::NoCertificate
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied => Refusal::OurCertificate(text),
                Alert::UnrecognisedName => Refusal::NameUnknown,
                _ => Refusal::Other(text),
            }
        }
        other => Refusal::Other(other.to_string()),
    }
}

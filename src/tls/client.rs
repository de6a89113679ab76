//! TLS as a client: towards an https upstream, and for our own health check.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;

use crate::config::CertificateFiles;

use super::error::{Error, Warning};
use super::material::Material;
use super::x509::{Certificate, unix};
use super::{file, provider};

const WHAT: &str = "upstream CA";

/// TLS as a client. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ClientTls {
    connector: TlsConnector,
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

/// Prepares TLS towards an upstream.
///
/// With `ca`, only what that file holds is trusted: its CAs, and its certificates themselves where the upstream shows
/// one of them (the self-signed certificate of a registry). Without it the machine's roots are, and where the machine
/// has none (an image made from nothing) Mozilla's. `certificate` is shown when the upstream asks.
///
/// # Errors
///
/// A file that cannot be used.
pub(crate) fn client_config(
    ca: Option<&Path>,
    certificate: Option<&CertificateFiles>,
) -> Result<ClientTls, Vec<Error>> {
    let provider = provider();
    let mut faults = Vec::new();
    let trusted = match ca.map(trusted).transpose() {
        Ok(Some(trusted)) => trusted,
        Ok(None) => (system_roots(), Vec::new()),
        Err(fault) => {
            faults.push(fault);
            (RootCertStore::empty(), Vec::new())
        }
    };
    let own = certificate.map(|files| Material::load(files, &provider, UnixTime::now()));
    let own = own.transpose().unwrap_or_else(|more| {
        faults.extend(more);
        None
    });
    if !faults.is_empty() {
        return Err(faults);
    }
    build(trusted, own, provider).map_err(|fault| vec![fault])
}

/// TLS towards any server of the net: the machine's roots, or Mozilla's where it has none, and no certificate of ours.
///
/// # Errors
///
/// The cryptography cannot be set up.
pub(crate) fn verified_client() -> Result<ClientTls, Error> {
    build((system_roots(), Vec::new()), None, provider())
}

/// The roots, and the certificates that are trusted as they are.
pub(super) type Trusted = (RootCertStore, Vec<CertificateDer<'static>>);

fn build(
    (roots, pinned): Trusted,
    own: Option<(Material, Vec<Warning>)>,
    provider: Arc<CryptoProvider>,
) -> Result<ClientTls, Error> {
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| Error::Setup(rustls::Error::General(error.to_string())))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { inner, pinned }));
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((material, _)) => builder.with_client_cert_resolver(Arc::new(
            rustls::sign::SingleCertAndKey::from(Arc::clone(&material.key)),
        )),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(ClientTls {
        connector: TlsConnector::from(Arc::new(config)),
    })
}

/// TLS towards the gate of this machine, whose certificate names what clients call it: any certificate will do whose
/// key the peer has. Nothing secret may be sent over it.
///
/// # Errors
///
/// The cryptography cannot be set up.
pub(crate) fn unverified_client() -> Result<ClientTls, Error> {
    unverified(None)
}

/// The same, with somebody who chooses the certificate of ours to show.
pub(super) fn unverified(own: Option<Arc<dyn ResolvesClientCert>>) -> Result<ClientTls, Error> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(Error::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)));
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => builder.with_client_cert_resolver(own),
    };
    Ok(ClientTls {
        connector: TlsConnector::from(Arc::new(config)),
    })
}

/// What a CA file holds, as roots and as it is.
pub(super) fn trusted(path: &Path) -> Result<Trusted, Error> {
    let certificates = file::certificates(WHAT, path)?;
    let mut roots = RootCertStore::empty();
    for (index, der) in certificates.iter().enumerate() {
        roots.add(der.clone()).map_err(|error| {
            Error::file(
                WHAT,
                path,
                format!(
                    "its certificate number {} cannot be trusted: {error}",
                    index + 1
                ),
            )
        })?;
    }
    Ok((roots, certificates))
}

/// The machine's roots, or Mozilla's where it has none.
pub(super) fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // what cannot be read or parsed is left out: a machine's bundle is not ours to repair
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

impl ClientTls {
    /// One handshake with `host`, a DNS name or an IP address (IPv6 with or without brackets), which the upstream's
    /// certificate must name. It has no deadline of its own.
    ///
    /// # Errors
    ///
    /// The name is none, or the handshake failed; the source says why.
    pub(crate) async fn connect<S>(
        &self,
        host: &str,
        io: S,
    ) -> Result<ClientStream<S>, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = server_name(host).ok_or_else(|| ConnectError::Name(host.to_owned()))?;
        let inner =
            self.connector
                .connect(name, io)
                .await
                .map_err(|source| ConnectError::Handshake {
                    host: host.to_owned(),
                    source,
                })?;
        Ok(ClientStream { inner })
    }
}

/// The name that a certificate must be for.
pub(super) fn server_name(host: &str) -> Option<ServerName<'static>> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(address) => Some(ServerName::IpAddress(address.into())),
        Err(_) => ServerName::try_from(bare.to_owned()).ok(),
    }
}

/// Why there is no encrypted connection to the upstream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The host of the URL cannot be in a certificate.
    #[error("the host `{0}` is neither a host name nor an address")]
    Name(String),
    /// The handshake failed.
    #[error("the TLS handshake with {host} failed")]
    Handshake {
        /// Whom it was with.
        host: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// The usual verification, and one exception: a server that shows, byte for byte, a certificate of the operator's own CA
/// file is who the operator named, though the certificate is its own issuer (webpki takes no CA for a server). Name and
/// dates must hold all the same.
#[derive(Debug)]
struct Pinned {
    inner: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if !self.pinned.contains(end_entity) {
            return self.inner.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
        }
        let certificate = Certificate::parse(end_entity)
            .map_err(|_| rustls::Error::from(CertificateError::BadEncoding))?;
        if now > unix(certificate.not_after) {
            return Err(CertificateError::Expired.into());
        }
        if now < unix(certificate.not_before) {
            return Err(CertificateError::NotValidYet.into());
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Takes any certificate whose key the peer has.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

pin_project! {
    /// An encrypted connection to the upstream. A connection cut without `close_notify` reads as
    /// [`io::ErrorKind::UnexpectedEof`].
    #[derive(Debug)]
    pub(crate) struct ClientStream<S> {
        #[pin]
        inner: tokio_rustls::client::TlsStream<S>,
    }
}

impl<S> ClientStream<S> {
    /// The certificates that the server showed, its own first.
    pub(super) fn shown(&self) -> &[CertificateDer<'static>] {
        self.inner.get_ref().1.peer_certificates().unwrap_or(&[])
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().inner.poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }
}

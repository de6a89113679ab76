//! The room as a whole: files on disk, handshakes over an in-memory pipe or a socket, rustls and openssl as clients.

mod client_certificates;
mod files;
mod names;
mod own;
mod reload;
mod seed;
mod upstream;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use crate::config::{CertificateFiles, ClientAuth, ListenerTls, TlsVersion};

use super::{Handshake, HandshakeError, ServerTls, Warning};

pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// A folder of files that goes away with the test.
pub(super) struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    pub(super) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    #[track_caller]
    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes `name.crt` and `name.key`.
    pub(super) fn pair(&self, name: &str, leaf: &Leaf) -> CertificateFiles {
        CertificateFiles {
            certificate: self.write(&format!("{name}.crt"), leaf.pem()),
            key: self.key(&format!("{name}.key"), &leaf.key.serialize_pem()),
        }
    }

    pub(super) fn key(&self, name: &str, pem: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.write(name, pem);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Runs a tool in the folder.
    #[track_caller]
    pub(super) fn run(&self, tool: &str, arguments: &[&str]) -> String {
        let output = Command::new(tool)
            .args(arguments)
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{tool} {arguments:?}: {text}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        self.dir.path()
    }
}

/// Whether `openssl` is there. Without it a test passes with a word, except where everything must be there.
pub(super) fn openssl_is_missing() -> bool {
    if Command::new("openssl").arg("version").output().is_ok() {
        return false;
    }
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "openssl is not installed, and CI=true");
    // straight to the terminal, past the harness
    io::stderr().write_all(b"skipped: no openssl\n").unwrap();
    true
}

/// A certificate authority.
pub(super) struct Ca {
    pub(super) params: CertificateParams,
    pub(super) key: KeyPair,
    pub(super) certificate: rcgen::Certificate,
}

impl Ca {
    pub(super) fn new(name: &str) -> Self {
        Self::with(name, |_| {})
    }

    pub(super) fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = Self::params(name, change);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            params,
            key,
            certificate,
        }
    }

    /// A CA below this one.
    pub(super) fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = Self::params(name, |_| {});
        let certificate = params.signed_by(&key, &self.issuer()).unwrap();
        Self {
            params,
            key,
            certificate,
        }
    }

    fn params(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid(&mut params, -1, 3650);
        change(&mut params);
        params
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    /// A server certificate for these names.
    pub(super) fn server(&self, names: &[&str]) -> Leaf {
        self.leaf("server", |params| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })
    }

    /// A client certificate with this common name and serial number.
    pub(super) fn client(&self, name: &str, serial: u64) -> Leaf {
        self.leaf(name, |params| {
            params.serial_number = Some(SerialNumber::from(serial));
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    pub(super) fn leaf(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        valid(&mut params, -1, 90);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer()).unwrap();
        Leaf {
            chain: vec![certificate],
            key,
        }
    }

    pub(super) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A revocation list that was made yesterday and ends in `days`.
    pub(super) fn list(&self, serials: &[u64], days: i64) -> String {
        let yesterday = at(-1);
        let params = CertificateRevocationListParams {
            this_update: at(days.min(0) - 1),
            next_update: at(days),
            crl_number: SerialNumber::from(u64::try_from(days + 1000).unwrap()),
            issuing_distribution_point: None,
            revoked_certs: serials
                .iter()
                .map(|&serial| RevokedCertParams {
                    serial_number: SerialNumber::from(serial),
                    revocation_time: yesterday,
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer()).unwrap().pem().unwrap()
    }
}

/// A certificate with its key and what stands above it.
pub(super) struct Leaf {
    pub(super) chain: Vec<rcgen::Certificate>,
    pub(super) key: KeyPair,
}

impl Leaf {
    pub(super) fn pem(&self) -> String {
        self.chain.iter().map(rcgen::Certificate::pem).collect()
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.chain.first().unwrap().der().clone()
    }

    fn shown(&self) -> Shown {
        Shown {
            chain: self.chain.iter().map(|one| one.der().clone()).collect(),
            key: PrivatePkcs8KeyDer::from(self.key.serialize_der()).into(),
        }
    }
}

/// What a client shows.
pub(super) struct Shown {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

pub(super) fn valid(params: &mut CertificateParams, from: i64, until: i64) {
    params.not_before = at(from);
    params.not_after = at(until);
}

/// A time so many days from now, as rcgen takes it.
pub(super) fn at<T: From<SystemTime>>(days: i64) -> T {
    let distance = DAY * u32::try_from(days.unsigned_abs()).unwrap();
    let now = SystemTime::now();
    if days < 0 {
        now - distance
    } else {
        now + distance
    }
    .into()
}

pub(super) fn settings(certificate: CertificateFiles) -> ListenerTls {
    ListenerTls {
        certificate: Some(certificate),
        more: Vec::new(),
        client_ca: None,
        client_auth: ClientAuth::Off,
        client_crl: None,
        min_version: TlsVersion::Tls12,
    }
}

#[track_caller]
pub(super) fn load(settings: &ListenerTls) -> (ServerTls, Vec<Warning>) {
    match ServerTls::load(settings, true, Path::new("/nonexistent")) {
        Ok(loaded) => loaded,
        Err(faults) => panic!("{}", told(&faults)),
    }
}

/// All faults with their causes, as an operator reads them.
pub(super) fn told(faults: &[super::Error]) -> String {
    let lines = faults.iter().map(|fault| {
        let mut line = fault.to_string();
        let mut cause = std::error::Error::source(fault);
        while let Some(error) = cause {
            line = format!("{line}: {error}");
            cause = error.source();
        }
        line
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What a client is like.
pub(super) struct Client {
    config: ClientConfig,
}

impl Client {
    pub(super) fn new() -> Self {
        Self::speaking(rustls::ALL_VERSIONS)
    }

    pub(super) fn speaking(versions: &[&'static SupportedProtocolVersion]) -> Self {
        Self::build(versions, None)
    }

    pub(super) fn showing(leaf: &Leaf) -> Self {
        Self::build(rustls::ALL_VERSIONS, Some(leaf.shown()))
    }

    pub(super) fn build(
        versions: &[&'static SupportedProtocolVersion],
        shown: Option<Shown>,
    ) -> Self {
        let builder = ClientConfig::builder_with_provider(super::provider())
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anything));
        let config = match shown {
            None => builder.with_no_client_auth(),
            Some(Shown { chain, key }) => {
                let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
                let key = Arc::new(CertifiedKey::new(chain, key));
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
        };
        Self { config }
    }

    pub(super) fn alpn(mut self, protocols: &[&[u8]]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
        self
    }

    pub(super) fn config(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        change(&mut self.config);
        self
    }

    pub(super) fn ready(self) -> Arc<ClientConfig> {
        Arc::new(self.config)
    }
}

/// Both ends of one handshake.
pub(super) struct Met {
    pub(super) server: Result<Handshake, HandshakeError>,
    pub(super) client: io::Result<Seen>,
}

/// What the client saw.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) leaf: CertificateDer<'static>,
    pub(super) suite: rustls::CipherSuite,
    pub(super) group: Option<rustls::NamedGroup>,
}

impl Met {
    #[track_caller]
    pub(super) fn handshake(self) -> Handshake {
        self.client.unwrap();
        self.server.unwrap()
    }

    /// The refusal on our side and the alert on the client's.
    #[track_caller]
    pub(super) fn refused(self) -> (super::Refusal, String) {
        let alert = self.client.unwrap_err().to_string();
        match self.server {
            Err(HandshakeError::Certificate(refusal)) => (refusal, alert),
            other => panic!("{other:?}"),
        }
    }
}

/// One connection: the server says "ok" and ends, the client reads to the end.
pub(super) async fn meet(server: &ServerTls, client: &Arc<ClientConfig>, name: &str) -> Met {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let serve = async {
        let (mut stream, handshake) = server.accept(ours).await?;
        stream.write_all(b"ok").await.unwrap();
        stream.shutdown().await.unwrap();
        Ok(handshake)
    };
    let connect = async {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connector = TlsConnector::from(Arc::clone(client));
        let mut stream = connector.connect(name, theirs).await?;
        let mut word = String::new();
        stream.read_to_string(&mut word).await?;
        if word != "ok" {
            return Err(io::Error::other("the connection ended without a word"));
        }
        let connection = stream.get_ref().1;
        Ok(Seen {
            leaf: connection
                .peer_certificates()
                .unwrap()
                .first()
                .unwrap()
                .clone(),
            suite: connection.negotiated_cipher_suite().unwrap().suite(),
            group: connection
                .negotiated_key_exchange_group()
                .map(rustls::crypto::SupportedKxGroup::name),
        })
    };
    let (server, client) = tokio::join!(serve, connect);
    Met { server, client }
}

/// A client that takes any server: who the server is, is not the question here.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

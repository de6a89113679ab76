//! The room as a whole: files on disk, handshakes over an in-memory pipe or a socket, rustls and openssl as clients.

mod challenge;
mod client;
mod client_certificates;
mod files;
mod lists;
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

use self::client::{Client, Shown, meet};

use crate::config::{CertificateFiles, ClientAuth, ExpiredList, ListenerTls, TlsVersion};

use super::ServerTls;
use super::challenge::Challenges;
use super::error::Warning;
use super::server::{Handshake, HandshakeError};

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
        client_crl_expired: ExpiredList::Refuse,
        min_version: TlsVersion::Tls12,
        issued: None,
    }
}

#[track_caller]
pub(super) fn load(settings: &ListenerTls) -> (ServerTls, Vec<Warning>) {
    match ServerTls::load(
        settings,
        true,
        Path::new("/nonexistent"),
        &Challenges::default(),
    ) {
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

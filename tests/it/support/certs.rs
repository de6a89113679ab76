//! Certificates, made when the test runs.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;

use super::peers;

/// A CA of the test's own. Its files go with it.
#[derive(Debug)]
pub struct Authority {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
    ca: PathBuf,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// A CA with this common name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = TempDir::with_prefix("dockgate-ca-").unwrap();
        let ca = dir.path().join("ca.crt");
        fs::write(&ca, issuer.pem()).unwrap();
        Self { dir, issuer, ca }
    }

    /// The CA's own certificate.
    pub fn ca(&self) -> &Path {
        &self.ca
    }

    /// A server certificate for the name and the addresses that the tests use.
    pub fn server(&self) -> Pair {
        self.server_for(&[
            peers::NAME,
            "localhost",
            &peers::ADDRESS.to_string(),
            "127.0.0.1",
            "::1",
        ])
    }

    /// A server certificate for these names and addresses; the files are called after the first.
    pub fn server_for(&self, names: &[&str]) -> Pair {
        let names = names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let file = names[0].replace('*', "wildcard");
        let params = CertificateParams::new(names).unwrap();
        self.issue(&file, params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client certificate with this common name.
    pub fn client(&self, name: &str) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        self.issue(name, params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A certificate with these parameters, for this use.
    pub fn issue(
        &self,
        file: &str,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> Pair {
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let pair = Pair {
            certificate: self.dir.path().join(format!("{file}.crt")),
            key: self.dir.path().join(format!("{file}.key")),
        };
        fs::write(&pair.certificate, certificate.pem()).unwrap();
        fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }
}

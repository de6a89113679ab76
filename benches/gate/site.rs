//! What all peers share: a folder in memory, certificates, passwords, content.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// The name in the servers' certificates.
pub const NAME: &str = "registry.bench";
/// User and password of the rows with authentication.
pub const USER: &str = "alice";
/// See [`USER`].
pub const PASSWORD: &str = "correct horse battery";

const MEBI: usize = 1024 * 1024;

/// A certificate and its key as PEM files.
#[derive(Clone, Debug)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Pair {
    /// Both in one file, as haproxy wants them.
    pub fn joined(&self) -> PathBuf {
        let both = self.certificate.with_extension("both.pem");
        let parts = [&self.certificate, &self.key].map(|file| fs::read(file).unwrap());
        fs::write(&both, parts.concat()).unwrap();
        both
    }
}

/// The folder and what lies in it.
#[derive(Debug)]
pub struct Site {
    dir: TempDir,
    /// The CA of all certificates.
    pub ca: PathBuf,
    /// The servers' certificate, ECDSA P-256.
    pub ecdsa: Pair,
    /// The servers' certificate, RSA with 2048 bits.
    pub rsa: Pair,
    /// A client's certificate, ECDSA P-256.
    pub client: Pair,
    /// A blob of random bytes, and its digest.
    pub blob: Content,
    /// A smaller one, for many at once.
    pub part: Content,
    /// A manifest of about 2 KiB that names the blob.
    pub manifest: Content,
}

/// Bytes with a digest, as a file.
#[derive(Clone, Debug)]
pub struct Content {
    pub file: PathBuf,
    pub digest: String,
    pub size: u64,
}

impl Site {
    /// Makes everything, with blobs of so many MiB. The folder is on tmpfs, for a disk's noise would drown the rest.
    pub fn new(blob_mib: usize, part_mib: usize) -> Self {
        let shm = Path::new("/dev/shm");
        let base = if shm.is_dir() { shm } else { Path::new("/tmp") };
        let dir = TempDir::with_prefix_in("dockgate-bench-", base).unwrap();
        // Workers of nginx may run as somebody else.
        open_to_all(dir.path());
        let issuer = authority();
        let ca = dir.path().join("ca.crt");
        fs::write(&ca, issuer.pem()).unwrap();
        let ecdsa = issue(dir.path(), &issuer, "ecdsa", &KeyPair::generate().unwrap());
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let rsa = issue(dir.path(), &issuer, "rsa", &key);
        let client = issue(dir.path(), &issuer, "client", &KeyPair::generate().unwrap());
        let blob = random_blob(&dir.path().join("blob"), blob_mib);
        let part = random_blob(&dir.path().join("part"), part_mib);
        let manifest = manifest(dir.path(), &blob);
        Self {
            dir,
            ca,
            ecdsa,
            rsa,
            client,
            blob,
            part,
            manifest,
        }
    }

    /// A new folder for one process.
    pub fn folder(&self, name: &str) -> PathBuf {
        let mut dir = self.dir.path().join(name);
        let mut number = 1;
        while dir.exists() {
            number += 1;
            dir.set_file_name(format!("{name}-{number}"));
        }
        fs::create_dir(&dir).unwrap();
        open_to_all(&dir);
        dir
    }

    /// The path of a file of this name in the shared folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A password file with one line for [`USER`].
    pub fn htpasswd(&self, name: &str, hash: &str) -> PathBuf {
        let file = self.file(name);
        fs::write(&file, format!("{USER}:{hash}\n")).unwrap();
        file
    }
}

/// An address that nothing listens on, most probably.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap()
}

/// `sha256:` and the digest of these bytes.
pub fn digest(bytes: &[u8]) -> String {
    named(&Sha256::digest(bytes))
}

fn named(hash: &[u8]) -> String {
    use std::fmt::Write as _;
    hash.iter().fold(String::from("sha256:"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "dockgate bench CA");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(dir: &Path, ca: &CertifiedIssuer<'static, KeyPair>, name: &str, key: &KeyPair) -> Pair {
    let names = vec![NAME.to_owned(), "localhost".into(), "127.0.0.1".into()];
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let pair = Pair {
        certificate: dir.join(format!("{name}.crt")),
        key: dir.join(format!("{name}.key")),
    };
    fs::write(&pair.certificate, params.signed_by(key, ca).unwrap().pem()).unwrap();
    fs::write(&pair.key, key.serialize_pem()).unwrap();
    pair
}

fn random_blob(file: &Path, mib: usize) -> Content {
    let mut out = fs::File::create(file).unwrap();
    let mut hash = Sha256::new();
    let mut piece = vec![0; MEBI];
    for _ in 0..mib {
        getrandom::fill(&mut piece).unwrap();
        hash.update(&piece);
        out.write_all(&piece).unwrap();
    }
    Content {
        file: file.to_owned(),
        digest: named(&hash.finalize()),
        size: (mib * MEBI) as u64,
    }
}

/// As large as a usual one: an image manifest has a config, some layers and some annotations.
fn manifest(dir: &Path, blob: &Content) -> Content {
    let descriptor = |kind: &str| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{}","size":{}}}"#,
            blob.digest, blob.size
        )
    };
    let layers = vec![descriptor("layer.v1.tar+gzip"); 11].join(",");
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{layers}]}}"#,
        descriptor("config.v1+json")
    );
    let file = dir.join("manifest");
    fs::write(&file, &text).unwrap();
    Content {
        file,
        digest: digest(text.as_bytes()),
        size: text.len() as u64,
    }
}

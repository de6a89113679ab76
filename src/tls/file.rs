//! Files of certificates, keys and revocation lists: PEM (RFC 7468), with anything around the blocks.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject as _, SectionKind};
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs1KeyDer,
    PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use zeroize::Zeroizing;

use super::error::{Error, Warning};

/// More than the largest bundle of all public roots; beyond it the file is another one than was meant.
const LARGEST: u64 = 4 << 20;
/// Revocation lists of large authorities have tens of megabytes.
const LARGEST_LIST: u64 = 128 << 20;

/// The certificates of a file, in their order. Never empty.
pub(super) fn certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = read(what, path, LARGEST)?.0;
    let mut certificates = Vec::new();
    let mut others = Vec::new();
    for section in sections(&bytes) {
        match section {
            Ok((SectionKind::Certificate, der)) => certificates.push(CertificateDer::from(der)),
            Ok((kind, _)) => others.push(kind),
            Err(source) => return Err(Error::file(what, path, broken(&source))),
        }
    }
    if certificates.is_empty() {
        return Err(Error::file(
            what,
            path,
            missing("CERTIFICATE", &bytes, &others),
        ));
    }
    Ok(certificates)
}

/// The private key of a file, and a warning where everybody on the machine can read it.
pub(super) fn key(
    what: &'static str,
    path: &Path,
) -> Result<(PrivateKeyDer<'static>, Option<Warning>), Error> {
    let (bytes, metadata) = read(what, path, LARGEST)?;
    if contains(&bytes, b"BEGIN ENCRYPTED PRIVATE KEY")
        || contains(&bytes, b"Proc-Type: 4,ENCRYPTED")
    {
        return Err(Error::file(
            what,
            path,
            format!(
                "is encrypted, and nobody is there to type its passphrase: decrypt it with `openssl pkey -in {0} -out {0}.plain` and keep that file readable by the owner alone",
                path.display()
            ),
        ));
    }
    let mut others = Vec::new();
    for section in sections(&bytes) {
        let key = match section {
            Ok((SectionKind::PrivateKey, der)) => PrivatePkcs8KeyDer::from(der).into(),
            Ok((SectionKind::RsaPrivateKey, der)) => PrivatePkcs1KeyDer::from(der).into(),
            Ok((SectionKind::EcPrivateKey, der)) => PrivateSec1KeyDer::from(der).into(),
            Ok((kind, _)) => {
                others.push(kind);
                continue;
            }
            Err(source) => return Err(Error::file(what, path, broken(&source))),
        };
        return Ok((key, exposed(path, &metadata)));
    }
    Err(Error::file(
        what,
        path,
        missing("PRIVATE KEY", &bytes, &others),
    ))
}

/// The revocation lists of a file. Never empty.
pub(super) fn lists(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let bytes = read(what, path, LARGEST_LIST)?.0;
    let mut lists = Vec::new();
    let mut others = Vec::new();
    for section in sections(&bytes) {
        match section {
            Ok((SectionKind::Crl, der)) => lists.push(CertificateRevocationListDer::from(der)),
            Ok((kind, _)) => others.push(kind),
            Err(source) => return Err(Error::file(what, path, broken(&source))),
        }
    }
    if lists.is_empty() {
        return Err(Error::file(
            what,
            path,
            missing("X509 CRL", &bytes, &others),
        ));
    }
    Ok(lists)
}

fn sections(bytes: &[u8]) -> impl Iterator<Item = Result<(SectionKind, Vec<u8>), pem::Error>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes)
}

fn read(
    what: &'static str,
    path: &Path,
    largest: u64,
) -> Result<(Zeroizing<Vec<u8>>, Metadata), Error> {
    let failed = |source: io::Error| Error::Read {
        what,
        path: path.to_owned(),
        source,
    };
    // a pipe would never end, and a device may not either
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::file(what, path, "is not a file"));
    }
    if metadata.len() > largest {
        return Err(Error::file(
            what,
            path,
            format!("has {} bytes, more than any such file", metadata.len()),
        ));
    }
    let bytes = Zeroizing::new(fs::read(path).map_err(failed)?);
    if bytes.is_empty() {
        return Err(Error::file(what, path, "is empty"));
    }
    Ok((bytes, metadata))
}

fn exposed(path: &Path, metadata: &Metadata) -> Option<Warning> {
    (metadata.permissions().mode() & 0o004 != 0).then(|| {
        Warning::new(
            path,
            format!(
                "everybody on this machine can read this key: `chmod o= {}`",
                path.display()
            ),
        )
    })
}

fn missing(label: &str, bytes: &[u8], others: &[SectionKind]) -> String {
    if others.is_empty() && !contains(bytes, b"-----BEGIN") {
        let hint = if bytes.first() == Some(&0x30) {
            ": it looks like DER, which `openssl x509 -inform DER` (or `pkey`, `crl`) turns into PEM"
        } else {
            ""
        };
        return format!("holds no PEM block `-----BEGIN {label}-----`{hint}");
    }
    let found: Vec<String> = others.iter().map(|kind| format!("{kind:?}")).collect();
    let found = if found.is_empty() {
        "other blocks".to_owned()
    } else {
        found.join(", ")
    };
    format!("holds no PEM block `-----BEGIN {label}-----`, only {found}")
}

fn broken(source: &pem::Error) -> String {
    match source {
        pem::Error::MissingSectionEnd { end_marker } => format!(
            "ends inside a PEM block: the line `{}` is missing, the file may be half written",
            String::from_utf8_lossy(end_marker).trim_end()
        ),
        pem::Error::IllegalSectionStart { line } => format!(
            "has a PEM line that cannot be read: `{}`",
            String::from_utf8_lossy(line).trim_end().escape_debug()
        ),
        pem::Error::Base64Decode(_) => "has a PEM block that is not base64".to_owned(),
        other => format!("is not PEM: {other}"),
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

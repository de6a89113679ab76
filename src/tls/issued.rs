//! A certificate that an authority has issued to us, with its key in the same file: read for what it says.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use x509_cert::ext::pkix::AuthorityKeyIdentifier;
use x509_cert::time::Time;

use crate::config::CertificateFiles;

use super::error::{Error, Warning};
use super::material::{Material, dates};
use super::provider;
use super::x509::{Certificate, unix};

/// What such a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issued {
    /// Its DNS names, lower case.
    pub names: Vec<String>,
    /// The first second at which it is valid.
    pub not_before: SystemTime,
    /// The last second at which it is valid.
    pub not_after: SystemTime,
    /// The bytes of its serial number.
    pub serial: Vec<u8>,
    /// The bytes of its authority's key identifier, where it has one.
    pub authority_key: Option<Vec<u8>>,
}

impl Issued {
    /// Reads the file; `None` where there is none.
    ///
    /// # Errors
    /// The file cannot be read, or what it holds is no certificate with its key.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Vec<Error>> {
        let Some((material, _)) = load(path, UnixTime::now())? else {
            return Ok(None);
        };
        let leaf = material.key.cert.first();
        let leaf = leaf.and_then(|der| Certificate::parse(der).ok());
        let leaf = leaf.ok_or_else(|| {
            let fault = "its certificate cannot be read".to_owned();
            vec![Error::file("issued certificate", path, fault)]
        })?;
        Ok(Some(Self {
            not_before: time(leaf.not_before),
            not_after: time(leaf.not_after),
            serial: leaf.serial.to_vec(),
            authority_key: leaf
                .extension::<AuthorityKeyIdentifier>(super::x509::AUTHORITY_KEY)
                .and_then(|found| found.key_identifier)
                .map(|id| id.as_bytes().to_vec()),
            names: material.names,
        }))
    }
}

/// The material of the file, for handshakes, and what is to be said of it; `None` where there is no file.
pub(super) fn load(
    path: &Path,
    now: UnixTime,
) -> Result<Option<(Material, Vec<Warning>)>, Vec<Error>> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        _ => {}
    }
    let files = CertificateFiles {
        certificate: path.to_owned(),
        key: path.to_owned(),
    };
    let (material, mut warnings) = Material::load(&files, &provider(), now)?;
    // Whoever had it issued renews it in time, or says why not.
    let leaf = material.key.cert.first().map(|der| Certificate::parse(der));
    if let Some(Ok(leaf)) = leaf
        && now <= unix(leaf.not_after)
    {
        let soon = dates(&leaf, now);
        warnings.retain(|warning| Some(&warning.text) != soon.as_ref());
    }
    Ok(Some((material, warnings)))
}

fn time(time: Time) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(time.to_unix_duration().as_secs())
}

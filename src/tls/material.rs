//! One server certificate with its key: read, held against each other, and made ready for handshakes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_cert::ext::pkix::name::GeneralName;

use crate::config::CertificateFiles;

use super::error::{Error, Warning, date};
use super::file;
use super::x509::{Certificate, key_bits, unix};

/// From when on an expiry is announced.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
const SHORTEST_RSA: usize = 2048;
const LONGEST_RSA: usize = 8192;

/// A certificate that can be shown.
#[derive(Clone, Debug)]
pub(super) struct Material {
    /// The chain and the key, as rustls takes them.
    pub key: Arc<CertifiedKey>,
    /// The DNS names that it is for, lower case, wildcards included.
    pub names: Vec<String>,
    /// The file that it came from.
    pub file: PathBuf,
    /// From when until when the leaf is valid.
    pub valid: (UnixTime, UnixTime),
}

impl Material {
    /// Reads both files. All faults at once.
    pub(super) fn load(
        files: &CertificateFiles,
        provider: &CryptoProvider,
        now: UnixTime,
    ) -> Result<(Self, Vec<Warning>), Vec<Error>> {
        let chain = file::certificates("certificate", &files.certificate);
        let key = file::key("key", &files.key);
        let (chain, (key, exposed)) = match (chain, key) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => return Err(chain.err().into_iter().chain(key.err()).collect()),
        };
        let key = provider.key_provider.load_private_key(key).map_err(|_| {
            vec![Error::file(
                "key",
                &files.key,
                "is not a key that can be used: RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519",
            )]
        })?;
        let mut warnings: Vec<Warning> = exposed.into_iter().collect();
        let (names, valid) =
            judge(files, &chain, &*key, now, &mut warnings).map_err(|fault| vec![fault])?;
        let key = Arc::new(CertifiedKey::new(chain, key));
        let material = Self {
            key,
            names,
            file: files.certificate.clone(),
            valid,
        };
        Ok((material, warnings))
    }
}

/// Holds the chain against the key and the clock; the names of the leaf, and its dates.
fn judge(
    files: &CertificateFiles,
    chain: &[CertificateDer<'static>],
    key: &dyn SigningKey,
    now: UnixTime,
    warnings: &mut Vec<Warning>,
) -> Result<(Vec<String>, (UnixTime, UnixTime)), Error> {
    let path = &files.certificate;
    let fault = |text: String| Error::file("certificate", path, text);
    let mut parsed = Vec::with_capacity(chain.len());
    for (index, der) in chain.iter().enumerate() {
        let certificate = Certificate::parse(der).map_err(|_| {
            fault(format!(
                "its certificate number {} cannot be read",
                index + 1
            ))
        })?;
        parsed.push(certificate);
    }
    let Some(leaf) = parsed.first() else {
        return Err(fault("holds no certificate".to_owned()));
    };
    let public = key.public_key();
    if let Some(wanted) = public.as_ref().and_then(|public| key_bits(public)) {
        let owner = parsed
            .iter()
            .position(|certificate| certificate.key_bits() == Some(wanted));
        match owner {
            Some(0) => {}
            Some(other) => {
                return Err(fault(format!(
                    "is not in order: the certificate of the key ({}) is number {}; it must be the first, followed by the one that issued it",
                    parsed
                        .get(other)
                        .map(Certificate::subject_text)
                        .unwrap_or_default(),
                    other + 1
                )));
            }
            None => {
                return Err(Error::KeyOfAnother {
                    key: files.key.clone(),
                    certificate: path.clone(),
                });
            }
        }
    }
    if let Some(bits) = leaf.rsa_bits()
        && !(SHORTEST_RSA..=LONGEST_RSA).contains(&bits)
    {
        return Err(fault(format!(
            "has an RSA key of {bits} bits, and clients accept {SHORTEST_RSA} to {LONGEST_RSA}"
        )));
    }
    let pairs = parsed.iter().zip(parsed.iter().skip(1)).enumerate();
    for (index, (one, next)) in pairs {
        if one.issuer != next.subject {
            warnings.push(Warning::new(
                path,
                format!(
                    "certificate number {} ({}) did not issue number {} ({}): some clients will not find the way to their root",
                    index + 2, next.subject_text(), index + 1, one.subject_text()
                ),
            ));
        }
    }
    warnings.extend(dates(leaf, now).map(|text| Warning::new(path, text)));
    let valid = (unix(leaf.not_before), unix(leaf.not_after));
    Ok((names(leaf, path, warnings), valid))
}

/// What the clock says of the leaf.
pub(super) fn dates(leaf: &Certificate<'_>, now: UnixTime) -> Option<String> {
    let (from, until) = (unix(leaf.not_before), unix(leaf.not_after));
    if now > until {
        Some(format!(
            "expired on {}: clients refuse it until it is renewed",
            date(leaf.not_after)
        ))
    } else if now < from {
        Some(format!(
            "is not valid before {}: clients refuse it until then (is the clock right?)",
            date(leaf.not_before)
        ))
    } else if until.as_secs() - now.as_secs() < SOON.as_secs() {
        Some(format!("expires on {}: renew it", date(leaf.not_after)))
    } else {
        None
    }
}

/// The DNS names of the leaf; its common name stands in for a missing list (RFC 6125 section 6.4.4).
fn names(
    leaf: &Certificate<'_>,
    path: &std::path::Path,
    warnings: &mut Vec<Warning>,
) -> Vec<String> {
    let alternative = leaf.alternative_names();
    if alternative.is_empty() {
        warnings.push(Warning::new(
            path,
            "has no subject alternative name: docker, podman and every other Go client refuse it; make one with `-addext subjectAltName=DNS:NAME`",
        ));
        let common = leaf.common_name().map(|name| name.to_ascii_lowercase());
        return common.into_iter().collect();
    }
    alternative
        .iter()
        .filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

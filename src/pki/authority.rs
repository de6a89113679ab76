//! The desk's CA: its certificate, its key, and what it may do.

use std::path::{Path, PathBuf};

use x509_cert::der::asn1::OctetString;
use x509_cert::der::{Decode as _, oid::ObjectIdentifier};

use crate::tls::Certificate;
use crate::tls::certificate_file;
use crate::tls::key_file;

use super::certificate::{Content, SUBJECT_KEY_IDENTIFIER};
use super::certificate::{Use, authority_extensions, common_name, key_identifier};
use super::date;
use super::der::{self, SEQUENCE};
use super::error::Error;
use super::key::Key;
use super::serial::Serial;

/// A CA: what is public of it.
#[derive(Debug)]
pub(super) struct Authority {
    path: PathBuf,
    /// The file's certificates, the CA's own first.
    chain: Vec<Vec<u8>>,
    /// Its name with its header, byte for byte as in its certificate.
    pub(super) subject: Vec<u8>,
    /// Its name for people.
    pub(super) subject_text: String,
    /// Its public key with its algorithm.
    pub(super) public: Vec<u8>,
    /// The bits of that key.
    pub(super) public_bits: Vec<u8>,
    /// How its certificate identifies its key; `None` in old certificates.
    pub(super) identifier: Option<Vec<u8>>,
    /// Its last second.
    pub(super) end: u64,
    /// How long it was made for, in days.
    days: u32,
    is_self_issued: bool,
    may_sign_lists: bool,
    may_issue_for: (bool, bool),
}

impl Authority {
    /// Reads its certificate.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else than a CA.
    pub(super) fn load(path: &Path) -> Result<Self, Error> {
        let chain = certificate_file("CA certificate", path)?;
        let fault = |text: &str| Error::file(path, text);
        let unreadable = || fault("its first certificate cannot be read");
        let own = chain.first().ok_or_else(unreadable)?;
        let certificate = Certificate::parse(own).map_err(|_| unreadable())?;
        let is_ca = match certificate.ca() {
            Some(ca) => ca,
            // version 1 knows no extensions
            None => certificate.version == 1 && certificate.is_self_issued(),
        };
        if !is_ca {
            return Err(fault(
                "is not the certificate of a CA (no basicConstraints CA:TRUE)",
            ));
        }
        if !certificate.may_sign_certificates() {
            return Err(fault(
                "is the certificate of a CA whose key usage does not let it sign certificates",
            ));
        }
        let start = certificate.not_before.to_unix_duration().as_secs();
        let end = certificate.not_after.to_unix_duration().as_secs();
        // one of ours begins a day before it was asked for
        let days = (end.saturating_sub(start) / date::DAY)
            .saturating_sub(1)
            .max(1);
        Ok(Self {
            path: path.to_owned(),
            subject: der::tlv(SEQUENCE, &[certificate.subject]),
            subject_text: certificate.subject_text(),
            public: certificate.key.to_vec(),
            public_bits: certificate.key_bits().unwrap_or_default().to_vec(),
            identifier: identifier(&certificate),
            end,
            days: u32::try_from(days).unwrap_or(u32::MAX),
            is_self_issued: certificate.is_self_issued(),
            may_sign_lists: certificate.may_sign_lists(),
            may_issue_for: (certificate.may_be_server(), certificate.may_be_client()),
            chain: chain.clone(),
        })
    }

    /// Whether it is the same CA: its name and its key, whatever the dates of the certificate.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.subject == other.subject && self.public_bits == other.public_bits
    }

    /// Whether its name and key are those that signed.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// An error once it is over: nobody believes what it signs.
    pub(super) fn in_time(&self, now: u64) -> Result<(), Error> {
        if now <= self.end {
            return Ok(());
        }
        let cure = if self.is_self_issued {
            "`dockgate cert renew ca` makes a new one of the same key, with which all its certificates go on working"
        } else {
            "let the CA above it make a new one of the same key"
        };
        Err(Error::file(
            &self.path,
            format!(
                "the CA {} expired on {}, and nobody believes what it signs: {cure}",
                self.subject_text,
                date::text(self.end)
            ),
        ))
    }

    /// An error where its certificate says that it may not issue for this.
    pub(super) fn may_issue(&self, purpose: Use) -> Result<(), Error> {
        let (good, word) = match purpose {
            Use::Server => (self.may_issue_for.0, "servers"),
            Use::Client => (self.may_issue_for.1, "clients"),
        };
        if good {
            return Ok(());
        }
        Err(Error::file(
            &self.path,
            format!(
                "the extended key usage of the CA {} does not let it issue certificates for {word}",
                self.subject_text
            ),
        ))
    }

    /// Whether its certificate lets it sign lists of revocations.
    pub(super) fn may_sign_lists(&self) -> bool {
        self.may_sign_lists
    }

    /// What goes behind the certificates that it issues: itself and those above it, without the root.
    pub(super) fn intermediates(&self) -> Vec<&[u8]> {
        self.chain
            .iter()
            .map(Vec::as_slice)
            .filter(|one| Certificate::parse(one).is_ok_and(|it| !it.is_self_issued()))
            .collect()
    }

    /// All certificates of its file, as PEM.
    pub(super) fn pem(&self) -> String {
        self.chain
            .iter()
            .map(|der| der::pem("CERTIFICATE", der))
            .collect()
    }

    /// A new certificate of the same name and key.
    ///
    /// # Errors
    /// It is not its own issuer, or the cryptography failed.
    pub(super) fn renewed(&self, key: &Key, days: Option<u32>, now: u64) -> Result<Vec<u8>, Error> {
        if !self.is_self_issued {
            return Err(Error::file(
                &self.path,
                format!(
                    "the CA {} was issued by another one, and only that one can renew it",
                    self.subject_text
                ),
            ));
        }
        let own = self.identifier.clone();
        let identifier = own.unwrap_or_else(|| key_identifier(&self.public_bits));
        let content = Content {
            serial: &Serial::random()?,
            issuer: &self.subject,
            subject: &self.subject,
            validity: super::certificate::validity(now, days.unwrap_or(self.days), u64::MAX),
            public: &self.public,
            extensions: authority_extensions(&identifier),
        };
        content.sign(key)
    }
}

/// A CA with this common name, signed by itself.
pub(super) fn make(name: &str, key: &Key, days: u32, now: u64) -> Result<Vec<u8>, Error> {
    let subject = common_name(name);
    let content = Content {
        serial: &Serial::random()?,
        issuer: &subject,
        subject: &subject,
        validity: super::certificate::validity(now, days, u64::MAX),
        public: &key.public(),
        extensions: authority_extensions(&key_identifier(key.public_bits())),
    };
    content.sign(key)
}

/// Reads the key of this CA, and a warning where everybody can.
///
/// # Errors
/// The file cannot be read, or its key is another one's.
pub(super) fn key(path: &Path, ca: &Authority) -> Result<(Key, Option<String>), Error> {
    let (pair, warning) = key_file("CA key", path)?;
    let key = Key::new(pair);
    if key.public_bits() != ca.public_bits {
        return Err(Error::file(
            path,
            format!(
                "is not the key of the CA {} in {}: give the two that were made together",
                ca.subject_text,
                ca.path.display()
            ),
        ));
    }
    Ok((key, warning.map(|warning| warning.to_string())))
}

fn identifier(certificate: &Certificate<'_>) -> Option<Vec<u8>> {
    let value = extension(certificate, SUBJECT_KEY_IDENTIFIER)?;
    let octets = OctetString::from_der(value).ok()?;
    Some(octets.as_bytes().to_vec())
}

/// The value of an extension, by its number below 2.5.29.
pub(super) fn extension<'a>(certificate: &'a Certificate<'_>, number: u8) -> Option<&'a [u8]> {
    let id = ObjectIdentifier::from_bytes(&[0x55, 0x1d, number]).ok()?;
    let found = certificate.extensions.iter().find(|one| one.extn_id == id);
    found.map(|one| one.extn_value.as_bytes())
}

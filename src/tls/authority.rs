//! The authorities that client certificates must come from, as the file of the operator names them.

use std::path::Path;

use rustls::DistinguishedName;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::VerifiedPath;

use crate::config::ExpiredList;

use super::error::{Error, Warning, date};
use super::file;
use super::judgement::signed_by;
use super::memory::Memory;
use super::revocation::Lists;
use super::x509::{Certificate, unix};

const WHAT: &str = "client CA";

/// One certificate of the file.
#[derive(Debug)]
pub(super) struct Authority {
    /// As it was read.
    pub der: CertificateDer<'static>,
    /// Where trust begins: none of the others in the file issued it.
    pub root: bool,
}

impl Authority {
    /// Its fields. They were read once at load, so this is `Some` for every authority that was loaded.
    pub(super) fn certificate(&self) -> Option<Certificate<'_>> {
        Certificate::parse(&self.der).ok()
    }
}

/// Everything that a client certificate is judged by.
#[derive(Debug)]
pub(super) struct Trust {
    /// All certificates of the file.
    pub authorities: Vec<Authority>,
    /// The roots among them, with the time of their validity.
    pub anchors: Vec<(TrustAnchor<'static>, UnixTime, UnixTime)>,
    /// The others: they help to build a chain and are checked like the client's own.
    pub intermediates: Vec<CertificateDer<'static>>,
    /// The names that are sent to clients so that they can choose.
    pub hints: Vec<DistinguishedName>,
    /// What was taken back; `None`: no list is configured.
    pub lists: Option<Lists>,
    /// Chains that were judged good lately.
    pub memory: Memory,
}

impl Trust {
    /// Reads the CA file and the revocation lists, with what those are good for when they are past their date. All faults
    /// at once.
    pub(super) fn load(
        ca: &Path,
        crl: Option<(&Path, ExpiredList)>,
        now: UnixTime,
    ) -> Result<(Self, Vec<Warning>), Vec<Error>> {
        let mut warnings = Vec::new();
        let authorities = match read(ca, now, &mut warnings) {
            Ok(authorities) => authorities,
            Err(mut faults) => {
                // the list's own faults are told in the same breath
                faults.extend(crl.and_then(|(path, _)| file::lists("client CRL", path).err()));
                return Err(faults);
            }
        };
        let lists = match crl {
            None => None,
            Some((path, expired)) => {
                let (lists, more) = Lists::load(path, &authorities, expired, now)?;
                warnings.extend(more);
                Some(lists)
            }
        };
        let trust = Self::new(ca, authorities, lists).map_err(|fault| vec![fault])?;
        Ok((trust, warnings))
    }

    /// All that a judgement depends on, besides the clock.
    pub(super) fn sources(&self) -> impl Iterator<Item = &[u8]> {
        let authorities = self
            .authorities
            .iter()
            .map(|authority| authority.der.as_ref());
        let lists = self.lists.iter().flat_map(Lists::sources);
        // whether there is a file of lists at all makes a difference, too, and when they count
        let configured: &[u8] = match &self.lists {
            None => b"",
            Some(lists) if lists.count_when_expired() => b"lists of any date",
            Some(_) => b"lists",
        };
        authorities.chain([configured]).chain(lists)
    }

    /// Whether the root at the end of a path lets so many CAs stand below it. webpki asks this of every other CA; of a root
    /// it knows name, key and name constraints alone.
    pub(super) fn allows(&self, path: &VerifiedPath<'_>) -> Result<(), webpki::Error> {
        let (anchor, between) = (path.anchor(), path.intermediate_certificates());
        let below = between.filter(|ca| ca.subject() != ca.issuer()).count();
        let roots = self.authorities.iter().filter(|authority| authority.root);
        let allowed = roots.filter_map(Authority::certificate).any(|root| {
            root.subject == anchor.subject.as_ref()
                && root.key.ends_with(&anchor.subject_public_key_info)
                && root.path_length().is_none_or(|most| below <= most)
        });
        if allowed {
            Ok(())
        } else {
            Err(webpki::Error::PathLenConstraintViolated)
        }
    }

    fn new(path: &Path, authorities: Vec<Authority>, lists: Option<Lists>) -> Result<Self, Error> {
        let mut anchors = Vec::new();
        let mut intermediates = Vec::new();
        let mut hints = Vec::new();
        for authority in &authorities {
            let Some(certificate) = authority.certificate() else {
                continue;
            };
            if !certificate.may_be_client() {
                continue;
            }
            hints.push(DistinguishedName::in_sequence(certificate.subject));
            if !authority.root {
                intermediates.push(authority.der.clone());
                continue;
            }
            let anchor = webpki::anchor_from_trusted_cert(&authority.der).map_err(|error| {
                Error::file(
                    WHAT,
                    path,
                    format!("{} cannot be trusted: {error}", certificate.subject_text()),
                )
            })?;
            let (from, until) = (unix(certificate.not_before), unix(certificate.not_after));
            anchors.push((anchor.to_owned(), from, until));
        }
        Ok(Self {
            authorities,
            anchors,
            intermediates,
            hints,
            lists,
            memory: Memory::default(),
        })
    }
}

fn read(
    path: &Path,
    now: UnixTime,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Authority>, Vec<Error>> {
    let certificates = file::certificates(WHAT, path).map_err(|fault| vec![fault])?;
    let mut faults = Vec::new();
    let mut parsed = Vec::with_capacity(certificates.len());
    for (index, der) in certificates.iter().enumerate() {
        match Certificate::parse(der) {
            Ok(certificate) => {
                if let Err(fault) = judge(&certificate) {
                    faults.push(Error::file(WHAT, path, fault));
                }
                parsed.push(certificate);
            }
            Err(_) => faults.push(Error::file(
                WHAT,
                path,
                format!("its certificate number {} cannot be read", index + 1),
            )),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    for certificate in parsed.iter().filter(|one| !one.may_be_client()) {
        let subject = certificate.subject_text();
        let text = format!(
            "the CA {subject} is not for clients (extended key usage): client certificates that it issued are refused"
        );
        warnings.push(Warning::new(path, text));
    }
    for certificate in &parsed {
        let when = if now > unix(certificate.not_after) {
            format!("expired on {}", date(certificate.not_after))
        } else if now < unix(certificate.not_before) {
            format!("is not valid before {}", date(certificate.not_before))
        } else {
            continue;
        };
        warnings.push(Warning::new(
            path,
            format!(
                "the CA {} {when}: client certificates that it issued are refused",
                certificate.subject_text()
            ),
        ));
    }
    let roots: Vec<bool> = parsed.iter().map(|one| is_root(one, &parsed)).collect();
    Ok(certificates
        .iter()
        .zip(roots)
        .map(|(der, root)| Authority {
            der: der.clone(),
            root,
        })
        .collect())
}

/// Whether this can be an authority at all (RFC 5280 section 4.2.1.9; version 1 knows no extensions).
fn judge(certificate: &Certificate<'_>) -> Result<(), String> {
    let subject = certificate.subject_text();
    let is_ca = match (certificate.version, certificate.ca()) {
        (1, _) => certificate.is_self_issued(),
        (_, ca) => ca == Some(true),
    };
    if !is_ca {
        return Err(format!(
            "{subject} is not a CA certificate (no basicConstraints CA:TRUE): put in the certificate that issued the client certificates"
        ));
    }
    if !certificate.may_sign_certificates() {
        return Err(format!(
            "{subject} is a CA certificate whose key usage does not allow it to sign certificates"
        ));
    }
    if certificate.rsa_bits().is_some_and(|bits| bits < 2048) {
        return Err(format!(
            "{subject} has an RSA key of less than 2048 bits, which is not safe"
        ));
    }
    Ok(())
}

fn is_root(one: &Certificate<'_>, all: &[Certificate<'_>]) -> bool {
    one.is_self_issued()
        || !all
            .iter()
            .any(|other| other.subject == one.issuer && signed_by(&one.signed, other.key).is_ok())
}

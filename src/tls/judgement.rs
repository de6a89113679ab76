//! The judgement of client certificates.
//!
//! Version 3 goes through rustls-webpki (RFC 5280 section 6). Version 1, which `openssl x509 -req` writes when it gets
//! no extension file and which webpki does not read, is taken from an authority of the CA file itself and from nobody
//! else: a version 1 certificate can never stand above another one. Either way the same things hold: the issuer's
//! signature, every date, the strength of the key, and the revocation lists.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime};
use rustls::{CertificateError, OtherError};
use webpki::{EndEntityCert, KeyUsage, RawPublicKeyEntity};

use super::authority::{Authority, Trust};
use super::memory::Chain;
use super::revocation::{Lists, Status};
use super::x509::{Certificate, Signed, unix};

/// A client certificate that was turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Its subject, as RFC 4514 writes it; empty where it cannot be read.
    pub subject: String,
    /// Its serial number in hexadecimal; empty where it cannot be read.
    pub serial: String,
    /// Why, for the operator.
    pub reason: String,
}

impl Refusal {
    /// The refusal of this certificate, for this reason.
    pub(super) fn of(leaf: &[u8], reason: impl Into<String>) -> Self {
        let (subject, serial) = Certificate::parse(leaf).map_or_else(
            |_| Default::default(),
            |certificate| (certificate.subject_text(), certificate.serial_text()),
        );
        let reason = reason.into();
        Self {
            subject,
            serial,
            reason,
        }
    }
}

/// A refusal with what its alert is made of.
#[derive(Debug)]
pub(super) struct Refused(pub(super) Refusal, pub(super) CertificateError);

/// A judgement against a certificate: what the alert is made of, and why in words.
struct Fault(CertificateError, String);

impl Fault {
    fn new(error: CertificateError, reason: impl Into<String>) -> Self {
        Self(error, reason.into())
    }
}

impl Trust {
    /// Judges a chain, leaf first, and says until when the judgement holds.
    pub(super) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<UnixTime, Box<Refused>> {
        let chain = Chain::of(leaf, intermediates);
        if let Some(until) = self.memory.recall(chain, now) {
            return Ok(until);
        }
        let Ok(certificate) = Certificate::parse(leaf) else {
            let refusal = Refusal::of(leaf, "it cannot be read");
            return Err(Box::new(Refused(refusal, CertificateError::BadEncoding)));
        };
        self.judge(&certificate, leaf, intermediates, now)
            .map_err(|Fault(error, reason)| Box::new(Refused(Refusal::of(leaf, reason), error)))?;
        let until = self.next_date(&certificate, intermediates, now);
        self.memory.keep(chain, now, until);
        Ok(until)
    }

    fn judge(
        &self,
        certificate: &Certificate<'_>,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Fault> {
        if let Some(bits) = certificate.rsa_bits()
            && bits < 2048
        {
            return Err(Fault::new(
                CertificateError::InvalidPurpose,
                format!("its RSA key has {bits} bits, fewer than 2048"),
            ));
        }
        if !certificate.may_sign_handshakes() {
            return Err(Fault::new(
                CertificateError::InvalidPurpose,
                "its key usage does not allow signatures",
            ));
        }
        if certificate.version == 1 {
            self.version_1(certificate, now)
        } else {
            self.version_3(certificate, leaf, intermediates, now)
        }
    }

    fn version_3(
        &self,
        certificate: &Certificate<'_>,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Fault> {
        let entity = EndEntityCert::try_from(leaf).map_err(|error| fault(certificate, &error))?;
        let anchors: Vec<TrustAnchor<'_>> = self
            .anchors
            .iter()
            .filter(|(_, from, until)| (*from..=*until).contains(&now))
            .map(|(anchor, ..)| anchor.clone())
            .collect();
        let chain: Vec<CertificateDer<'_>> = intermediates
            .iter()
            .chain(&self.intermediates)
            .map(|der| CertificateDer::from_slice(der))
            .collect();
        let lists = self.lists.as_ref().map(|lists| lists.all());
        let revocation =
            match (&self.lists, &lists) {
                (Some(lists), Some(all)) => Some(lists.options(all).ok_or_else(|| {
                    Fault::new(CertificateError::UnknownRevocationStatus, NO_LIST)
                })?),
                _ => None,
            };
        entity
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &anchors,
                &chain,
                now,
                KeyUsage::client_auth(),
                revocation,
                Some(&|path| self.allows(path)),
            )
            .map(|_| ())
            .map_err(|error| fault(certificate, &error))
    }

    /// A leaf without extensions, straight below one of the authorities of the CA file.
    fn version_1(&self, leaf: &Certificate<'_>, now: UnixTime) -> Result<(), Fault> {
        in_time(leaf, now, "it")?;
        let mut found = Fault::new(
            CertificateError::UnknownIssuer,
            "none of the CAs in the client CA file issued it",
        );
        for authority in &self.authorities {
            let Some(issuer) = authority.certificate() else {
                continue;
            };
            if issuer.subject != leaf.issuer {
                continue;
            }
            match self.issued(leaf, authority, &issuer, now, 0) {
                Ok(()) => return Ok(()),
                Err(fault) => found = fault,
            }
        }
        Err(found)
    }

    /// Whether `issuer` issued `subject`, may have done so, has not taken it back, and is itself in order.
    fn issued(
        &self,
        subject: &Certificate<'_>,
        authority: &Authority,
        issuer: &Certificate<'_>,
        now: UnixTime,
        depth: usize,
    ) -> Result<(), Fault> {
        signed_by(&subject.signed, issuer.key).map_err(|error| fault(subject, &error))?;
        in_time(issuer, now, "its CA")?;
        if !issuer.may_sign_certificates() || !issuer.may_be_client() {
            return Err(Fault::new(
                CertificateError::InvalidPurpose,
                "its CA may not issue client certificates",
            ));
        }
        if issuer.path_length().is_some_and(|most| depth > most) {
            return Err(Fault::new(CertificateError::UnknownIssuer, TOO_LONG));
        }
        if issuer.has_name_constraints() {
            return Err(Fault::new(
                CertificateError::InvalidPurpose,
                "its CA limits names, and a version 1 certificate has none that could be checked",
            ));
        }
        if let Some(lists) = &self.lists {
            match lists.status(issuer, subject.serial, now) {
                Status::Good => {}
                Status::Revoked => {
                    return Err(Fault::new(CertificateError::Revoked, REVOKED));
                }
                Status::Stale => {
                    return Err(Fault::new(CertificateError::ExpiredRevocationList, STALE));
                }
                Status::Unknown => {
                    return Err(Fault::new(
                        CertificateError::UnknownRevocationStatus,
                        NO_LIST,
                    ));
                }
            }
        }
        if authority.root {
            return Ok(());
        }
        // an authority that another one of the file issued: as deep as webpki goes
        let above = self.authorities.iter().filter(|_| depth < 6);
        for above in above {
            if let Some(parent) = above.certificate()
                && parent.subject == issuer.issuer
                && self.issued(issuer, above, &parent, now, depth + 1).is_ok()
            {
                return Ok(());
            }
        }
        Err(Fault::new(
            CertificateError::UnknownIssuer,
            "its CA is not, or no longer, in order",
        ))
    }

    /// The next moment at which a judgement could turn out otherwise.
    fn next_date(
        &self,
        leaf: &Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> UnixTime {
        let others = intermediates
            .iter()
            .chain(self.authorities.iter().map(|authority| &authority.der))
            .map(|der| Certificate::parse(der).map(|read| unix(read.not_after)));
        // One whose dates we cannot tell makes no judgement that lasts.
        let Ok(others) = others.collect::<Result<Vec<_>, _>>() else {
            return now;
        };
        let lists = self.lists.iter().flat_map(Lists::ends);
        let leaf = unix(leaf.not_after);
        // A date of this very second is still good, and passes with it.
        others
            .into_iter()
            .chain(lists)
            .filter(|date| *date >= now)
            .fold(leaf, UnixTime::min)
    }
}

const TOO_LONG: &str = "its chain is longer than a CA in it allows";
const REVOKED: &str = "its issuer revoked it";
const STALE: &str = "the revocation list of its issuer is too old";
const NO_LIST: &str = "its issuer has no revocation list in the file";

fn in_time(certificate: &Certificate<'_>, now: UnixTime, whose: &str) -> Result<(), Fault> {
    if now > unix(certificate.not_after) {
        let reason = format!("{whose} expired on {}", certificate.not_after);
        return Err(Fault::new(CertificateError::Expired, reason));
    }
    if now < unix(certificate.not_before) {
        let reason = format!("{whose} is not valid before {}", certificate.not_before);
        return Err(Fault::new(CertificateError::NotValidYet, reason));
    }
    Ok(())
}

/// What webpki says, as an alert and in words.
fn fault(certificate: &Certificate<'_>, error: &webpki::Error) -> Fault {
    use CertificateError as Alert;
    use webpki::Error as Cause;
    let (alert, reason) = match error {
        Cause::CertExpired { .. } | Cause::InvalidCertValidity => (
            Alert::Expired,
            "it, or a CA above it, has expired".to_owned(),
        ),
        Cause::CertNotValidYet { .. } => (
            Alert::NotValidYet,
            "it, or a CA above it, is not valid yet".to_owned(),
        ),
        Cause::CertRevoked => (Alert::Revoked, REVOKED.to_owned()),
        Cause::UnknownRevocationStatus => (Alert::UnknownRevocationStatus, NO_LIST.to_owned()),
        Cause::CrlExpired { .. } => (Alert::ExpiredRevocationList, STALE.to_owned()),
        Cause::UnknownIssuer | Cause::CaUsedAsEndEntity if certificate.is_self_issued() => {
            (Alert::UnknownIssuer, "it is self-signed".to_owned())
        }
        Cause::UnknownIssuer => (
            Alert::UnknownIssuer,
            "none of the CAs in the client CA file issued it".to_owned(),
        ),
        Cause::PathLenConstraintViolated => (Alert::UnknownIssuer, TOO_LONG.to_owned()),
        Cause::MaximumPathDepthExceeded
        | Cause::MaximumPathBuildCallsExceeded
        | Cause::MaximumSignatureChecksExceeded => (
            Alert::UnknownIssuer,
            format!("its chain is too long: {error}"),
        ),
        Cause::RequiredEkuNotFoundContext(_) | Cause::EmptyEkuExtension => (
            Alert::InvalidPurpose,
            "its extended key usage is not client authentication".to_owned(),
        ),
        Cause::CaUsedAsEndEntity => (
            Alert::InvalidPurpose,
            "it is the certificate of a CA".to_owned(),
        ),
        Cause::EndEntityUsedAsCa => (
            Alert::InvalidPurpose,
            "a certificate above it is not one of a CA".to_owned(),
        ),
        Cause::UnsupportedSignatureAlgorithmContext(_)
        | Cause::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => (
            Alert::InvalidPurpose,
            "it is signed with an algorithm that is not safe (SHA-1?) or not known".to_owned(),
        ),
        Cause::InvalidSignatureForPublicKey => (
            Alert::BadSignature,
            "its signature is not the one of the CA that it names".to_owned(),
        ),
        Cause::NameConstraintViolation => (
            Alert::BadEncoding,
            "its name is outside of what its CA may issue".to_owned(),
        ),
        Cause::BadDer | Cause::BadDerTime | Cause::TrailingData(_) => {
            (Alert::BadEncoding, "it cannot be read".to_owned())
        }
        _ => (
            Alert::Other(OtherError(Arc::new(error.clone()))),
            format!("{error}"),
        ),
    };
    Fault(alert, reason)
}

/// Whether the key (with its algorithm, as a certificate holds it) made the signature.
pub(super) fn signed_by(signed: &Signed<'_>, key: &[u8]) -> Result<(), webpki::Error> {
    let key = SubjectPublicKeyInfoDer::from(key);
    let key = RawPublicKeyEntity::try_from(&key)?;
    let mut last = webpki::Error::UnsupportedSignatureAlgorithmContext(
        webpki::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: signed.algorithm.to_vec(),
            supported_algorithms: Vec::new(),
        },
    );
    let algorithms = webpki::ALL_VERIFICATION_ALGS.iter();
    for algorithm in algorithms.filter(|one| one.signature_alg_id().as_ref() == signed.algorithm) {
        match key.verify_signature(*algorithm, signed.message, signed.signature) {
            // the same signature algorithm goes with several curves
            Err(error @ webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)) => {
                last = error;
            }
            done => return done,
        }
    }
    Err(last)
}

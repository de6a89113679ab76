//! What holds of every certificate and every revocation list, whoever shows it.

use rustls::pki_types::CertificateDer;
use webpki::{CertRevocationList, EndEntityCert, OwnedCertRevocationList};

use super::identity::client_certificate;
use super::judgement::signed_by;
use super::x509::{Certificate, RevocationList, key_bits, organizations};

/// A certificate, as DER: it is read without surprise, and by two readers alike.
pub(crate) fn certificate(data: &[u8]) {
    let bearer = client_certificate(data);
    let Ok(read) = Certificate::parse(data) else {
        assert!(bearer.is_none());
        return;
    };
    assert!((1..=3).contains(&read.version));
    assert!(read.version == 3 || read.extensions.is_empty());
    let serial = read.serial_text();
    assert!(!serial.is_empty() && serial.bytes().all(|b| b.is_ascii_hexdigit()));
    let _ = (read.ca(), read.alternative_names(), read.may_be_client());
    let _ = (read.may_be_server(), read.may_sign_lists());
    let _ = (read.may_sign_certificates(), read.has_name_constraints());
    let _ = (read.says_where_its_issuer_is(), read.issuer_text());
    let _ = (organizations(read.issuer), organizations(read.subject));
    assert!(read.rsa_bits().is_none_or(|bits| bits <= data.len() * 8));
    assert_eq!(read.key_bits(), key_bits(read.key));
    let _ = signed_by(&read.signed, read.key).is_ok();
    let der = CertificateDer::from_slice(data);
    if let Ok(other) = EndEntityCert::try_from(&der) {
        assert_eq!(read.version, 3);
        assert_eq!(&*other.subject_public_key_info(), read.key);
    }
    if let Some(bearer) = bearer {
        assert_eq!((&bearer.serial, bearer.fingerprint.len()), (&serial, 64));
        assert_eq!(bearer.subject, read.subject_text());
        assert_eq!(bearer.common_name, read.common_name());
        assert!(!bearer.name().is_empty());
    }
}

/// A revocation list, as DER: both readers have the same issuer and the same signed bytes.
pub(crate) fn revocation_list(data: &[u8]) {
    let ours = RevocationList::parse(data);
    let Ok(theirs) = OwnedCertRevocationList::from_der(data).map(CertRevocationList::from) else {
        return;
    };
    let _ = theirs.find_serial(&[1]).map(|found| found.is_some());
    // Not every list that webpki reads is one to us; one that both read is the same.
    if let Ok(ours) = ours {
        assert_eq!((ours.version, ours.issuer), (2, theirs.issuer()));
        let _ = signed_by(&ours.signed, ours.signed.message).is_ok();
    }
}

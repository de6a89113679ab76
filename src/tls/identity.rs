//! What a client certificate says of its bearer, in the house's words.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use x509_cert::der::asn1::Ia5String;
use x509_cert::ext::pkix::name::GeneralName;

use crate::identity::ClientCertificate;

use super::error::Error;
use super::file;
use super::x509::{Certificate, hexadecimal};

/// What the first certificate of a PEM file would say, were it shown and verified.
///
/// # Errors
/// The file cannot be read, or holds no certificate.
pub(crate) fn client_certificate_file(path: &Path) -> Result<ClientCertificate, Error> {
    let what = "client certificate";
    let chain = file::certificates(what, path)?;
    let first = chain.first().and_then(|der| client_certificate(der));
    first.ok_or_else(|| Error::file(what, path, "its certificate cannot be read".to_owned()))
}

/// Reads a certificate that was verified before; `None` where its fields cannot be read.
pub(super) fn client_certificate(der: &[u8]) -> Option<ClientCertificate> {
    let certificate = Certificate::parse(der).ok()?;
    let names = certificate.alternative_names();
    let select = |pick: fn(&GeneralName) -> Option<&Ia5String>| -> Vec<String> {
        names
            .iter()
            .filter_map(pick)
            .map(|name| name.as_str().to_owned())
            .collect()
    };
    Some(ClientCertificate {
        common_name: certificate.common_name(),
        dns: select(|name| match name {
            GeneralName::DnsName(value) => Some(value),
            _ => None,
        }),
        emails: select(|name| match name {
            GeneralName::Rfc822Name(value) => Some(value),
            _ => None,
        }),
        uris: select(|name| match name {
            GeneralName::UniformResourceIdentifier(value) => Some(value),
            _ => None,
        }),
        subject: certificate.subject_text(),
        serial: certificate.serial_text(),
        fingerprint: hexadecimal(digest(&SHA256, der).as_ref()),
    })
}

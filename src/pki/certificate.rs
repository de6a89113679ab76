//! Making certificates: X.509 version 3 (RFC 5280 section 4).

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};

use super::date::DAY;
use super::der::{self, OBJECT, OCTET_STRING, SEQUENCE, SET, UTF8_STRING};
use super::error::Error;
use super::key::Key;
use super::name::Alternative;
use super::serial::Serial;

/// `id-ce-subjectKeyIdentifier` and its neighbours, below 2.5.29.
pub(super) const SUBJECT_KEY_IDENTIFIER: u8 = 14;
const KEY_USAGE: u8 = 15;
pub(super) const SUBJECT_ALTERNATIVE_NAME: u8 = 17;
const BASIC_CONSTRAINTS: u8 = 19;
const AUTHORITY_KEY_IDENTIFIER: u8 = 35;
pub(super) const EXTENDED_KEY_USAGE: u8 = 37;

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// A server shows it.
    Server,
    /// A client shows it.
    Client,
}

impl Use {
    /// How long one is good for, in days, where nobody says so: a year; and for servers, with the day that [`validity`]
    /// adds before, a day less than the 825 beyond which Apple's clients accept none, of a private CA either.
    pub(crate) fn days(self) -> u32 {
        match self {
            Self::Server => 823,
            Self::Client => 365,
        }
    }

    /// `id-kp-serverAuth` or `id-kp-clientAuth`, as the extension's value.
    pub(super) fn extended_key_usage(self) -> Vec<u8> {
        let last = match self {
            Self::Server => 1,
            Self::Client => 2,
        };
        let id = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, last];
        der::sequence(&[&der::tlv(OBJECT, &[&id])])
    }
}

/// Everything that goes into a certificate. Names are DER, header included.
#[derive(Debug)]
pub(super) struct Content<'a> {
    pub(super) serial: &'a Serial,
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    /// First and last second, since 1970.
    pub(super) validity: (u64, u64),
    /// The subject's key with its algorithm.
    pub(super) public: &'a [u8],
    pub(super) extensions: Vec<Vec<u8>>,
}

impl Content<'_> {
    /// The certificate, signed.
    pub(super) fn sign(&self, key: &Key) -> Result<Vec<u8>, Error> {
        const VERSION_3: &[u8] = &[0xa0, 3, der::INTEGER, 1, 2];
        const EXTENSIONS: u8 = 0xa3;
        let extensions: Vec<&[u8]> = self.extensions.iter().map(Vec::as_slice).collect();
        let message = der::sequence(&[
            VERSION_3,
            &der::unsigned(self.serial.bytes()),
            &key.algorithm(),
            self.issuer,
            &der::sequence(&[&der::time(self.validity.0), &der::time(self.validity.1)]),
            self.subject,
            self.public,
            &der::tlv(EXTENSIONS, &[&der::tlv(SEQUENCE, &extensions)]),
        ]);
        key.sign(&message)
    }
}

/// A name of one part, the common name.
pub(super) fn common_name(text: &str) -> Vec<u8> {
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    let id = der::tlv(OBJECT, &[COMMON_NAME]);
    let value = der::tlv(UTF8_STRING, &[text.as_bytes()]);
    der::sequence(&[&der::tlv(SET, &[&der::sequence(&[&id, &value])])])
}

/// The extensions of a certificate that is no CA. `names` and `usage` are values of their extensions.
pub(super) fn leaf_extensions(
    key: &Key,
    authority: Option<&[u8]>,
    usage: &[u8],
    names: &[u8],
) -> Vec<Vec<u8>> {
    // digitalSignature for every handshake of today; keyEncipherment for RSA key exchange, which nobody should miss
    let bits: &[u8] = if key.is_rsa() {
        &[der::BIT_STRING, 2, 5, 0xa0]
    } else {
        &[der::BIT_STRING, 2, 7, 0x80]
    };
    let mut extensions = vec![
        der::extension(BASIC_CONSTRAINTS, true, &der::sequence(&[])),
        der::extension(KEY_USAGE, true, bits),
        der::extension(EXTENDED_KEY_USAGE, false, usage),
        subject_key_identifier(&key_identifier(key.public_bits())),
    ];
    extensions.extend(authority.map(authority_key_identifier));
    extensions.push(der::extension(SUBJECT_ALTERNATIVE_NAME, false, names));
    extensions
}

/// The extensions of a CA that issues nothing but leaves. Its own key's identifier is `identifier`.
pub(super) fn authority_extensions(identifier: &[u8]) -> Vec<Vec<u8>> {
    // CA:TRUE, pathlen:0
    let constraints = der::sequence(&[&[der::BOOLEAN, 1, 0xff], &der::unsigned(&[0])]);
    // keyCertSign and cRLSign
    let bits: &[u8] = &[der::BIT_STRING, 2, 1, 0x06];
    vec![
        der::extension(BASIC_CONSTRAINTS, true, &constraints),
        der::extension(KEY_USAGE, true, bits),
        subject_key_identifier(identifier),
        authority_key_identifier(identifier),
    ]
}

/// The leftmost 160 bits of the SHA-256 of the public key's bits (RFC 7093 section 2, method 1).
pub(super) fn key_identifier(public_bits: &[u8]) -> Vec<u8> {
    let hash = digest(&SHA256, public_bits);
    hash.as_ref().get(..20).unwrap_or_default().to_vec()
}

/// The extension that says whose key signed: in certificates and in lists.
pub(super) fn authority_key_identifier(identifier: &[u8]) -> Vec<u8> {
    const KEY_IDENTIFIER: u8 = 0x80;
    let value = der::sequence(&[&der::tlv(KEY_IDENTIFIER, &[identifier])]);
    der::extension(AUTHORITY_KEY_IDENTIFIER, false, &value)
}

fn subject_key_identifier(identifier: &[u8]) -> Vec<u8> {
    let value = der::tlv(OCTET_STRING, &[identifier]);
    der::extension(SUBJECT_KEY_IDENTIFIER, false, &value)
}

/// The value of the extension for these names (RFC 5280 section 4.2.1.6).
pub(super) fn alternative_names(names: &[Alternative]) -> Vec<u8> {
    const EMAIL: u8 = 0x81;
    const DNS: u8 = 0x82;
    const URI: u8 = 0x86;
    const IP: u8 = 0x87;
    let encoded: Vec<Vec<u8>> = names
        .iter()
        .map(|name| match name {
            Alternative::Dns(value) => der::tlv(DNS, &[value.as_bytes()]),
            Alternative::Email(value) => der::tlv(EMAIL, &[value.as_bytes()]),
            Alternative::Uri(value) => der::tlv(URI, &[value.as_bytes()]),
            Alternative::Ip(IpAddr::V4(value)) => der::tlv(IP, &[&value.octets()]),
            Alternative::Ip(IpAddr::V6(value)) => der::tlv(IP, &[&value.octets()]),
        })
        .collect();
    let parts: Vec<&[u8]> = encoded.iter().map(Vec::as_slice).collect();
    der::sequence(&parts)
}

/// First and last second for so many days from now: from yesterday on, since the clocks of machines are not all right,
/// and not beyond the end of the CA, after which nobody believes it anyway.
pub(super) fn validity(now: u64, days: u32, ca_end: u64) -> (u64, u64) {
    let end = now.saturating_add(u64::from(days) * DAY);
    (now.saturating_sub(DAY), end.min(ca_end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Theirs refuse 825 days and a second (and one that is valid at its last second, too, is valid for a second more).
    #[test]
    fn a_server_certificate_is_not_too_long_for_apples_clients() {
        let (from, until) = validity(2_000_000_000, Use::Server.days(), u64::MAX);
        assert!(until - from < 825 * DAY);
    }
}

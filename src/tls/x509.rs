//! The fields of certificates and revocation lists (RFC 5280), read from the bytes as they were signed.
//!
//! rustls-webpki reads version 3 alone and shows few fields; here every version is read and nothing is judged.

use rustls::pki_types::UnixTime;
use x509_cert::der::asn1::{AnyRef, BitStringRef, ObjectIdentifier};
use x509_cert::der::{self, Decode, ErrorKind, Reader, SliceReader, Tag, TagNumber};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};
use x509_cert::name::Name;
use x509_cert::time::{Time, Validity};

use super::subject;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const ALTERNATIVE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
pub(super) const AUTHORITY_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");
const AUTHORITY_INFORMATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.1");
const CA_ISSUERS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.2");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const ANY_PURPOSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// What is signed, with which algorithm, and the signature (RFC 5280 section 4.1.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'a> {
    /// The signed bytes, header included.
    pub message: &'a [u8],
    /// The algorithm identifier, without its header.
    pub algorithm: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
}

impl<'a> Signed<'a> {
    fn parse(der: &'a [u8]) -> der::Result<Self> {
        let mut outer = reader(der, Tag::Sequence)?;
        let message = outer.tlv_bytes()?;
        let algorithm = value(outer.tlv_bytes()?, Tag::Sequence)?;
        let signature = BitStringRef::decode(&mut outer)?;
        outer.finish()?;
        let signature = signature.as_bytes().ok_or(ErrorKind::Failed)?;
        Ok(Self {
            message,
            algorithm,
            signature,
        })
    }
}

/// One certificate of any version.
#[derive(Clone, Debug)]
pub(crate) struct Certificate<'a> {
    /// 1, 2 or 3.
    pub version: u8,
    /// The serial number as it is encoded.
    pub serial: &'a [u8],
    /// The issuer's name, without its header: what names are compared by.
    pub issuer: &'a [u8],
    /// The same with its header.
    issuer_tlv: &'a [u8],
    /// The first second at which it is valid.
    pub not_before: Time,
    /// The last second at which it is valid.
    pub not_after: Time,
    /// The subject's name, without its header.
    pub subject: &'a [u8],
    /// The subject's name, read.
    pub subject_name: Name,
    /// The public key with its algorithm, header included.
    pub key: &'a [u8],
    /// Extensions; none in versions 1 and 2.
    pub extensions: Vec<Extension>,
    /// The signature.
    pub signed: Signed<'a>,
}

impl<'a> Certificate<'a> {
    /// Reads one, to its last byte.
    pub(crate) fn parse(der: &'a [u8]) -> der::Result<Self> {
        let signed = Signed::parse(der)?;
        let mut tbs = reader(signed.message, Tag::Sequence)?;
        let version = match optional(&mut tbs, 0)? {
            None => 1,
            Some(explicit) => u8::from_der(explicit)?.saturating_add(1),
        };
        let serial = value(tbs.tlv_bytes()?, Tag::Integer)?;
        let algorithm = value(tbs.tlv_bytes()?, Tag::Sequence)?;
        let issuer_tlv = tbs.tlv_bytes()?;
        let validity = <Validity>::from_der(tbs.tlv_bytes()?)?;
        let subject_tlv = tbs.tlv_bytes()?;
        let key = tbs.tlv_bytes()?;
        // unique identifiers (RFC 5280 section 4.1.2.8) are read over: nobody writes them
        optional(&mut tbs, 1)?;
        optional(&mut tbs, 2)?;
        let extensions = match optional(&mut tbs, 3)? {
            None => Vec::new(),
            Some(explicit) if version == 3 => Vec::<Extension>::from_der(explicit)?,
            Some(_) => return Err(ErrorKind::Failed.into()),
        };
        tbs.finish()?;
        if algorithm != signed.algorithm || !(1..=3).contains(&version) {
            return Err(ErrorKind::Failed.into());
        }
        Ok(Self {
            version,
            serial,
            issuer: value(issuer_tlv, Tag::Sequence)?,
            issuer_tlv,
            not_before: validity.not_before,
            not_after: validity.not_after,
            subject: value(subject_tlv, Tag::Sequence)?,
            subject_name: Name::from_der(subject_tlv)?,
            key,
            extensions,
            signed,
        })
    }

    /// Issued by itself, by name.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// The bits of the public key, without the algorithm: what a private key is compared by.
    pub(crate) fn key_bits(&self) -> Option<&'a [u8]> {
        key_bits(self.key)
    }

    /// The length of an RSA modulus in bits; `None` for other keys.
    pub(crate) fn rsa_bits(&self) -> Option<usize> {
        let mut outer = reader(self.key, Tag::Sequence).ok()?;
        let mut algorithm = reader(outer.tlv_bytes().ok()?, Tag::Sequence).ok()?;
        let id = ObjectIdentifier::decode(&mut algorithm).ok()?;
        if id != RSA && id != RSA_PSS {
            return None;
        }
        let mut key = reader(self.key_bits()?, Tag::Sequence).ok()?;
        let modulus = value(key.tlv_bytes().ok()?, Tag::Integer).ok()?;
        let zeros = modulus.iter().take_while(|&&byte| byte == 0).count();
        let digits = modulus.get(zeros..)?;
        let first = digits.first()?;
        Some(digits.len() * 8 - first.leading_zeros() as usize)
    }

    /// The subject's last common name.
    pub(crate) fn common_name(&self) -> Option<String> {
        subject::common_name(&self.subject_name)
    }

    /// The subject as RFC 4514 writes it.
    pub(crate) fn subject_text(&self) -> String {
        subject::text(&self.subject_name)
    }

    /// The issuer as RFC 4514 writes it.
    pub(super) fn issuer_text(&self) -> String {
        Name::from_der(self.issuer_tlv).map_or_else(|_| String::new(), |name| subject::text(&name))
    }

    /// The serial number in lower-case hexadecimal, without leading zeros.
    pub(crate) fn serial_text(&self) -> String {
        let text = hexadecimal(self.serial);
        match text.trim_start_matches('0') {
            "" => "0".to_owned(),
            trimmed => trimmed.to_owned(),
        }
    }

    /// The subject's alternative names; none where the extension is absent or broken.
    pub(crate) fn alternative_names(&self) -> Vec<GeneralName> {
        self.extension::<SubjectAltName>(ALTERNATIVE_NAME)
            .map(|names| names.0)
            .unwrap_or_default()
    }

    /// What the basic constraints say of being a CA; `None`: they say nothing.
    pub(crate) fn ca(&self) -> Option<bool> {
        self.extension::<BasicConstraints>(BASIC_CONSTRAINTS)
            .map(|constraints| constraints.ca)
    }

    /// How many CAs may stand between this one and a leaf, where it says so (RFC 5280 section 4.2.1.9).
    pub(super) fn path_length(&self) -> Option<usize> {
        let constraints = self.extension::<BasicConstraints>(BASIC_CONSTRAINTS)?;
        constraints.path_len_constraint.map(usize::from)
    }

    /// Whether the key may sign a handshake (RFC 5246 section 7.4.6, RFC 8446 section 4.4.2.2); key agreement counts too,
    /// as with OpenSSL. Without the extension it may.
    pub(super) fn may_sign_handshakes(&self) -> bool {
        self.extension::<KeyUsage>(KEY_USAGE)
            .is_none_or(|usage| usage.digital_signature() || usage.key_agreement())
    }

    /// Whether the key may sign certificates. Without the extension it may.
    pub(crate) fn may_sign_certificates(&self) -> bool {
        self.extension::<KeyUsage>(KEY_USAGE)
            .is_none_or(|usage| usage.key_cert_sign())
    }

    /// Whether the key may sign revocation lists. Without the extension it may.
    pub(crate) fn may_sign_lists(&self) -> bool {
        self.extension::<KeyUsage>(KEY_USAGE)
            .is_none_or(|usage| usage.crl_sign())
    }

    /// Whether the extended key usage lets it (or what it issues) authenticate clients. Without the extension it may.
    pub(crate) fn may_be_client(&self) -> bool {
        self.extension::<ExtendedKeyUsage>(EXTENDED_KEY_USAGE)
            .is_none_or(|usage| usage.0.contains(&CLIENT_AUTH) || usage.0.contains(&ANY_PURPOSE))
    }

    /// The same for servers.
    pub(crate) fn may_be_server(&self) -> bool {
        self.extension::<ExtendedKeyUsage>(EXTENDED_KEY_USAGE)
            .is_none_or(|usage| usage.0.contains(&SERVER_AUTH) || usage.0.contains(&ANY_PURPOSE))
    }

    /// Whether it says where the certificate of its issuer can be had (RFC 5280 section 4.2.2.1): public authorities
    /// write that into what an intermediate of theirs has signed.
    pub(super) fn says_where_its_issuer_is(&self) -> bool {
        self.extensions.iter().any(|extension| {
            let value = extension.extn_value.as_bytes();
            extension.extn_id == AUTHORITY_INFORMATION
                && value
                    .windows(CA_ISSUERS.as_bytes().len())
                    .any(|part| part == CA_ISSUERS.as_bytes())
        })
    }

    /// Whether it limits the names that it may issue.
    pub(crate) fn has_name_constraints(&self) -> bool {
        self.extensions
            .iter()
            .any(|extension| extension.extn_id == NAME_CONSTRAINTS)
    }

    /// An extension; `None` where it is absent or broken.
    pub(super) fn extension<'b, T: Decode<'b>>(&'b self, id: ObjectIdentifier) -> Option<T> {
        self.extensions
            .iter()
            .find(|extension| extension.extn_id == id)
            .and_then(|extension| T::from_der(extension.extn_value.as_bytes()).ok())
    }
}

/// The head of a certificate revocation list (RFC 5280 section 5.1).
#[derive(Clone, Debug)]
pub(crate) struct RevocationList<'a> {
    /// 1 or 2.
    pub version: u8,
    /// The issuer's name, without its header.
    pub issuer: &'a [u8],
    /// The issuer's name, read.
    pub issuer_name: Name,
    /// When it was made.
    pub this_update: Time,
    /// When the next one is due.
    pub next_update: Option<Time>,
    /// The signature.
    pub signed: Signed<'a>,
}

impl<'a> RevocationList<'a> {
    /// Reads the head of one.
    pub(crate) fn parse(der: &'a [u8]) -> der::Result<Self> {
        let signed = Signed::parse(der)?;
        let mut tbs = reader(signed.message, Tag::Sequence)?;
        let version = match Tag::peek(&tbs)? {
            Tag::Integer => u8::decode(&mut tbs)?.saturating_add(1),
            _ => 1,
        };
        tbs.tlv_bytes()?;
        let issuer = tbs.tlv_bytes()?;
        let this_update = Time::decode(&mut tbs)?;
        let next_update = match Tag::peek(&tbs) {
            Ok(Tag::UtcTime | Tag::GeneralizedTime) => Some(Time::decode(&mut tbs)?),
            _ => None,
        };
        Ok(Self {
            version,
            issuer: value(issuer, Tag::Sequence)?,
            issuer_name: Name::from_der(issuer)?,
            this_update,
            next_update,
            signed,
        })
    }
}

/// The bits of a public key, without the algorithm.
pub(super) fn key_bits(key: &[u8]) -> Option<&[u8]> {
    let mut outer = reader(key, Tag::Sequence).ok()?;
    outer.tlv_bytes().ok()?;
    BitStringRef::decode(&mut outer).ok()?.as_bytes()
}

/// Lower-case hexadecimal.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| DIGITS.get(usize::from(digit)))
        .collect()
}

/// A date as seconds since 1970.
pub(super) fn unix(time: Time) -> UnixTime {
    UnixTime::since_unix_epoch(time.to_unix_duration())
}

fn value(tlv: &[u8], tag: Tag) -> der::Result<&[u8]> {
    let any = AnyRef::from_der(tlv)?;
    any.header().tag().assert_eq(tag)?;
    Ok(any.value())
}

fn reader(tlv: &[u8], tag: Tag) -> der::Result<SliceReader<'_>> {
    SliceReader::new(value(tlv, tag)?)
}

/// The parts of a name (without its header) that say which organization it is of, as they are encoded.
pub(super) fn organizations(name: &[u8]) -> Vec<&[u8]> {
    const ORGANIZATION: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x0a];
    let mut parts = Vec::new();
    let Ok(mut rest) = SliceReader::new(name) else {
        return parts;
    };
    while let Ok(part) = rest.tlv_bytes() {
        if part
            .windows(ORGANIZATION.len())
            .any(|bytes| bytes == ORGANIZATION)
        {
            parts.push(part);
        }
    }
    parts
}

/// The content of the next field if it carries this context-specific number.
fn optional<'a>(reader: &mut SliceReader<'a>, number: u32) -> der::Result<Option<&'a [u8]>> {
    if reader.is_finished() {
        return Ok(None);
    }
    let tag = Tag::peek(reader)?;
    if !matches!(tag, Tag::ContextSpecific { number: found, .. } if found == TagNumber(number)) {
        return Ok(None);
    }
    Ok(Some(AnyRef::from_der(reader.tlv_bytes()?)?.value()))
}

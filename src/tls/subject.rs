//! Names of subjects as text, as RFC 4514 writes them.

use std::fmt::Write as _;

use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Encode as _, Tag, Tagged as _};
use x509_cert::name::Name;

use super::x509::hexadecimal;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The names of RFC 4514 section 3, and the two others that people put into client certificates.
const SHORT: [(ObjectIdentifier, &str); 11] = [
    (COMMON_NAME, "CN"),
    (ObjectIdentifier::new_unwrap("2.5.4.7"), "L"),
    (ObjectIdentifier::new_unwrap("2.5.4.8"), "ST"),
    (ObjectIdentifier::new_unwrap("2.5.4.10"), "O"),
    (ObjectIdentifier::new_unwrap("2.5.4.11"), "OU"),
    (ObjectIdentifier::new_unwrap("2.5.4.6"), "C"),
    (ObjectIdentifier::new_unwrap("2.5.4.9"), "STREET"),
    (
        ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.25"),
        "DC",
    ),
    (
        ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.1"),
        "UID",
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1"),
        "emailAddress",
    ),
    (ObjectIdentifier::new_unwrap("2.5.4.5"), "serialNumber"),
];

/// The last (most specific) common name.
pub(super) fn common_name(name: &Name) -> Option<String> {
    name.iter()
        .filter(|attribute| attribute.oid == COMMON_NAME)
        .filter_map(string)
        .last()
}

/// The whole name: the most specific part first, parts divided by commas (RFC 4514 section 2.1).
pub(super) fn text(name: &Name) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|part| {
            let attributes: Vec<String> = part.iter().map(attribute).collect();
            attributes.join("+")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue) -> String {
    let short = SHORT.iter().find(|(id, _)| *id == attribute.oid);
    match (short, string(attribute)) {
        (Some((_, key)), Some(value)) => format!("{key}={}", escaped(&value)),
        // section 2.4: the encoding in hexadecimal, where the string form is not known
        _ => format!(
            "{}=#{}",
            attribute.oid,
            hexadecimal(&attribute.value.to_der().unwrap_or_default())
        ),
    }
}

/// The value as text, for each of the string types of RFC 5280 section 4.1.2.4.
fn string(attribute: &AttributeTypeAndValue) -> Option<String> {
    let bytes = attribute.value.value();
    match attribute.value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString => {
            String::from_utf8(bytes.to_vec()).ok()
        }
        // in practice Latin 1
        Tag::TeletexString => Some(bytes.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let (units, rest) = bytes.as_chunks::<2>();
            let units = units.iter().copied().map(u16::from_be_bytes);
            let text: Result<String, _> = char::decode_utf16(units).collect();
            text.ok().filter(|_| rest.is_empty())
        }
        _ => None,
    }
}

/// Section 2.4, with control characters in hexadecimal so that a name never breaks a line.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (position, character) in value.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            '#' | ' ' if position == 0 => {
                out.push('\\');
                out.push(character);
            }
            ' ' if position == last => out.push_str("\\ "),
            _ if character.is_control() => {
                let mut buffer = [0; 4];
                for byte in character.encode_utf8(&mut buffer).bytes() {
                    // writing to a String cannot fail
                    let _ = write!(out, "\\{byte:02x}");
                }
            }
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_of_a_name_are_escaped() {
        let table = [
            ("plain", "plain"),
            ("Smith, John", "Smith\\, John"),
            ("# hash", "\\# hash"),
            (" both ", "\\ both\\ "),
            ("a+b\"c\\d<e>f;g", "a\\+b\\\"c\\\\d\\<e\\>f\\;g"),
            ("line\nbreak\0", "line\\0abreak\\00"),
            ("Müller", "Müller"),
            ("", ""),
        ];
        for (value, expected) in table {
            assert_eq!(escaped(value), expected, "{value:?}");
        }
    }
}

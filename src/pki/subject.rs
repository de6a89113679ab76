//! Subjects as the index writes them: the one-line form of openssl's `X509_NAME_oneline`.

use std::fmt::Write as _;

use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::name::Name;

/// The short names that openssl has for the parts that people put into subjects.
const SHORT: [(&str, &str); 11] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The whole name: `/C=DE/CN=build-7`, with `\xHH` for bytes that are not printable ASCII.
pub(super) fn one_line(name: &Name) -> String {
    let mut out = String::new();
    for attribute in name.iter() {
        out.push('/');
        out.push_str(&key(attribute.oid));
        out.push('=');
        for byte in attribute.value.value() {
            // writing to a String cannot fail
            let _ = match byte {
                b' '..=b'~' => write!(out, "{}", char::from(*byte)),
                _ => write!(out, "\\x{byte:02X}"),
            };
        }
    }
    if out.is_empty() {
        // openssl's index wants something there
        out.push('/');
    }
    out
}

fn key(id: ObjectIdentifier) -> String {
    let dotted = id.to_string();
    let known = SHORT.iter().find(|(id, _)| *id == dotted);
    known.map_or(dotted, |(_, short)| (*short).to_owned())
}

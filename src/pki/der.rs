//! Writing DER (X.690): what certificates and lists are made of.
//!
//! It is written here, byte by byte, because the names of an existing CA go into its certificates exactly as they stand
//! in its own: a library that reads and writes them anew may change the kind of a string, and then no client finds the way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// A value of these parts, one after the other, with its header.
pub(super) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    let bytes = length.to_be_bytes();
    let significant = bytes.iter().position(|byte| *byte != 0);
    let digits = significant
        .and_then(|at| bytes.get(at..))
        .unwrap_or_default();
    match digits {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            // at most eight: the bytes of a length in memory
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            out.extend_from_slice(long);
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// A sequence of these parts.
pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(SEQUENCE, parts)
}

/// A number that is not negative, from its bytes.
pub(super) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let digits = significant(bytes);
    match digits.first() {
        None => tlv(INTEGER, &[&[0]]),
        // the first bit is the sign
        Some(first) if first & 0x80 != 0 => tlv(INTEGER, &[&[0], digits]),
        Some(_) => tlv(INTEGER, &[digits]),
    }
}

/// A bit string of whole bytes.
pub(super) fn bits(bytes: &[u8]) -> Vec<u8> {
    tlv(BIT_STRING, &[&[0], bytes])
}

/// A time, as RFC 5280 section 4.1.2.5 wants it.
pub(super) fn time(seconds: u64) -> Vec<u8> {
    let (tag, text) = super::date::der(seconds);
    tlv(tag, &[&text])
}

/// An extension (RFC 5280 section 4.1): its number below `id-ce`, 2.5.29, and its value.
pub(super) fn extension(number: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let id = tlv(OBJECT, &[&[0x55, 0x1d, number]]);
    let mark = if critical {
        tlv(BOOLEAN, &[&[0xff]])
    } else {
        Vec::new()
    };
    sequence(&[&id, &mark, &tlv(OCTET_STRING, &[value])])
}

/// Without the zeros in front.
pub(super) fn significant(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// The PEM block of some DER (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    const LINE: usize = 64;
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at_checked(LINE).unwrap_or((rest, ""));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_as_many_bytes_as_they_need() {
        let header = |length: usize| {
            let out = tlv(SEQUENCE, &[&vec![7; length]]);
            out[..out.len() - length].to_vec()
        };
        assert_eq!(header(0), [0x30, 0]);
        assert_eq!(header(0x7f), [0x30, 0x7f]);
        assert_eq!(header(0x80), [0x30, 0x81, 0x80]);
        assert_eq!(header(0x100), [0x30, 0x82, 1, 0]);
        assert_eq!(header(0x1_0000), [0x30, 0x83, 1, 0, 0]);
    }

    #[test]
    fn numbers_are_as_short_as_can_be_and_never_negative() {
        assert_eq!(unsigned(&[]), [2, 1, 0]);
        assert_eq!(unsigned(&[0, 0]), [2, 1, 0]);
        assert_eq!(unsigned(&[0, 0x7f]), [2, 1, 0x7f]);
        assert_eq!(unsigned(&[0x80]), [2, 2, 0, 0x80]);
    }

    #[test]
    fn pem_has_lines_of_64_characters() {
        assert_eq!(
            pem("X", &[0; 49]),
            format!(
                "-----BEGIN X-----\n{}\nAA==\n-----END X-----\n",
                "A".repeat(64)
            )
        );
        assert_eq!(
            pem("X", &[0; 48]),
            format!("-----BEGIN X-----\n{}\n-----END X-----\n", "A".repeat(64))
        );
    }
}

//! The bytes that methods, names and values may hold, and the few values that decide where a request goes and ends.

use http::Uri;

use crate::net::is_authority;

use super::fault::Fault;

/// RFC 9110 section 5.6.2.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// RFC 9110 section 5.5; bytes above ASCII are opaque and allowed.
pub(super) fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// Visible ASCII but for the fragment's `#`, which no request target has (RFC 9112 section 3.2).
pub(super) fn is_target_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'"' | b'$'..=b'~')
}

pub(super) fn check_target(target: &[u8], asterisk: bool) -> Result<(), Fault> {
    if let Some(authority) = authority(target) {
        check_host(authority)?;
    } else if target.first() != Some(&b'/') && !(asterisk && target == b"*") {
        return Err(Fault::Target("the request target has no known form"));
    }
    // hyper parses the target with the same type, and would answer a failure itself.
    match Uri::try_from(target) {
        Ok(_) => Ok(()),
        Err(_) => Err(Fault::Target("the request target is not a URI")),
    }
}

/// The authority of a target in absolute form.
fn authority(target: &[u8]) -> Option<&[u8]> {
    let colon = target.iter().position(|&byte| byte == b':')?;
    let (scheme, rest) = target.split_at(colon);
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    let rest = rest.strip_prefix(b"://")?;
    let end = rest.iter().position(|&byte| matches!(byte, b'/' | b'?'));
    rest.get(..end.unwrap_or(rest.len()))
}

/// A `Host` value, or the authority of a target.
pub(super) fn check_host(value: &[u8]) -> Result<(), Fault> {
    if std::str::from_utf8(value).is_ok_and(is_authority) {
        Ok(())
    } else {
        Err(Fault::Host("the Host names no host"))
    }
}

pub(super) fn content_length(value: &[u8]) -> Result<u64, Fault> {
    const INVALID: Fault = Fault::ContentLength("Content-Length is not one decimal number");
    if value.is_empty() {
        return Err(INVALID);
    }
    let mut length = 0_i64;
    for byte in value {
        if !byte.is_ascii_digit() {
            return Err(INVALID);
        }
        length = length
            .checked_mul(10)
            .and_then(|length| length.checked_add(i64::from(byte - b'0')))
            .ok_or(INVALID)?;
    }
    length.try_into().map_err(|_| INVALID)
}

/// One line, one coding, one optional space before it. Coding names are case-insensitive (RFC 9112 section 7), other
/// white space is legal too, but only ever seen in attempts to hide the line from somebody.
pub(super) fn check_transfer_encoding(value: &[u8], http_11: bool) -> Result<(), Fault> {
    if !http_11 {
        return Err(Fault::TransferEncoding("Transfer-Encoding in HTTP/1.0"));
    }
    let coding = value.strip_prefix(b" ").unwrap_or(value);
    if coding.eq_ignore_ascii_case(b"chunked") {
        Ok(())
    } else {
        Err(Fault::TransferEncoding(
            "a Transfer-Encoding other than chunked",
        ))
    }
}

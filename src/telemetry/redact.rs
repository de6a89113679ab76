//! URLs as they may be logged: without the secrets that clients put into them.

use std::borrow::Cow;

/// What stands where a secret stood.
const REDACTED: &[u8] = b"[redacted]";

/// Parts of a query key, in lower case, whose presence makes the value a secret: `access_token`, `client_secret`,
/// `X-Amz-Signature`. A harmless value too many (`offline_token=true`) costs nothing.
const SECRET_PARTS: &[&[u8]] = &[
    b"token",
    b"passw",
    b"pwd",
    b"secret",
    b"signature",
    b"credential",
    b"apikey",
    b"api_key",
    b"api-key",
    b"session",
    b"assertion",
    b"x-amz-",
    b"x-goog-",
    b"accesskey",
    b"accessid",
    b"private",
];

/// Whole query keys, in lower case, whose value is a secret: codes of OAuth, signatures of Azure (`sig`) and of
/// Amazon's edge (`policy`), and the sealed state of registry:2's uploads (`_state`).
const SECRET_KEYS: &[&[u8]] = &[
    b"code",
    b"sig",
    b"key",
    b"auth",
    b"authorization",
    b"jwt",
    b"state",
    b"_state",
    b"policy",
    b"otp",
    b"nonce",
];

/// `url` (a request target or a `Referer`) without user names, passwords, secret query values and fragments.
pub(super) fn redact(url: &[u8]) -> Cow<'_, [u8]> {
    let (rest, fragment) = split(url, b'#');
    let (path, query) = split(rest, b'?');
    let user = user_info(path);
    let secret_query = query.is_some_and(|query| pairs(query).any(|(pair, _)| is_secret(pair)));
    if user.is_none() && !secret_query && fragment.is_none() {
        return Cow::Borrowed(url);
    }
    let mut clean = Vec::with_capacity(url.len());
    match user {
        Some((before, after)) => {
            clean.extend_from_slice(before);
            clean.extend_from_slice(REDACTED);
            clean.extend_from_slice(after);
        }
        None => clean.extend_from_slice(path),
    }
    if let Some(query) = query {
        clean.push(b'?');
        for (pair, separator) in pairs(query) {
            let (key, value) = split(pair, b'=');
            clean.extend_from_slice(key);
            if let Some(value) = value {
                clean.push(b'=');
                clean.extend_from_slice(if is_secret(pair) { REDACTED } else { value });
            }
            clean.extend(separator);
        }
    }
    if fragment.is_some() {
        // Implicit OAuth grants carry their token here.
        clean.push(b'#');
        clean.extend_from_slice(REDACTED);
    }
    Cow::Owned(clean)
}

/// The two sides of the first `separator`.
fn split(bytes: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match bytes.iter().position(|&byte| byte == separator) {
        Some(at) => (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..)),
        None => (bytes, None),
    }
}

/// The pairs of a query, each with the separator behind it. Some servers take `;` for `&`.
fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], Option<u8>)> {
    query
        .split_inclusive(|byte| matches!(byte, b'&' | b';'))
        .map(|pair| match pair {
            [pair @ .., separator @ (b'&' | b';')] => (pair, Some(*separator)),
            pair => (pair, None),
        })
}

/// What stands before and behind the user part of an absolute URL; the part behind begins with `@`.
fn user_info(url: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = url.windows(3).position(|window| window == b"://")? + 3;
    let (before, rest) = url.split_at_checked(start)?;
    let end = rest.iter().position(|&byte| byte == b'/');
    let at = rest
        .get(..end.unwrap_or(rest.len()))?
        .iter()
        .rposition(|&byte| byte == b'@')?;
    Some((before, rest.get(at..)?))
}

fn is_secret(pair: &[u8]) -> bool {
    let (key, value) = split(pair, b'=');
    if value.is_none_or(<[u8]>::is_empty) {
        return false;
    }
    let key = decoded(key);
    SECRET_KEYS.contains(&key.as_slice())
        || SECRET_PARTS
            .iter()
            .any(|part| key.windows(part.len()).any(|window| window == *part))
}

/// A query key as its reader will see it, in lower case: percent signs must not hide a secret.
fn decoded(key: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(key.len());
    let mut rest = key;
    while let Some((&byte, behind)) = rest.split_first() {
        let escaped = match (byte, behind) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            decoded.push((high << 4 | low).to_ascii_lowercase());
            rest = behind.get(2..).unwrap_or_default();
        } else {
            decoded.push(byte.to_ascii_lowercase());
            rest = behind;
        }
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_leave_a_url_and_nothing_else_does() {
        for (url, expected) in [
            ("/v2/", "/v2/"),
            ("/v2/a/tags/list?n=10&last=x", "/v2/a/tags/list?n=10&last=x"),
            (
                "/v2/token?service=s&scope=repository:a:pull&account=ann",
                "/v2/token?service=s&scope=repository:a:pull&account=ann",
            ),
            (
                "/v2/a/blobs/uploads/?mount=sha256:00&from=b",
                "/v2/a/blobs/uploads/?mount=sha256:00&from=b",
            ),
            (
                "/v2/a/blobs/uploads/1?_state=abc&digest=sha256:00",
                "/v2/a/blobs/uploads/1?_state=[redacted]&digest=sha256:00",
            ),
            ("/?token=t", "/?token=[redacted]"),
            ("/?access_token=t&n=1", "/?access_token=[redacted]&n=1"),
            ("/?refresh_token=t", "/?refresh_token=[redacted]"),
            ("/?Password=p", "/?Password=[redacted]"),
            ("/?passwd=p&pwd=q", "/?passwd=[redacted]&pwd=[redacted]"),
            ("/?client_secret=s", "/?client_secret=[redacted]"),
            ("/?code=c&state=d", "/?code=[redacted]&state=[redacted]"),
            ("/?sig=s&se=2026", "/?sig=[redacted]&se=2026"),
            (
                "/?X-Amz-Signature=s&X-Amz-Credential=c",
                "/?X-Amz-Signature=[redacted]&X-Amz-Credential=[redacted]",
            ),
            ("/?X-Goog-Signature=s", "/?X-Goog-Signature=[redacted]"),
            (
                "/?AWSAccessKeyId=a&Signature=b",
                "/?AWSAccessKeyId=[redacted]&Signature=[redacted]",
            ),
            ("/?to%6ben=t", "/?to%6ben=[redacted]"),
            ("/?%74%6F%4b%65%6E=t", "/?%74%6F%4b%65%6E=[redacted]"),
            ("/?a=1;token=t;b=2", "/?a=1;token=[redacted];b=2"),
            ("/?token=a=b=c", "/?token=[redacted]"),
            ("/?token=a?token=b", "/?token=[redacted]"),
            ("/?token=&token", "/?token=&token"),
            ("/?%token=t&%", "/?%token=[redacted]&%"),
            ("/?&&token=t&&", "/?&&token=[redacted]&&"),
            ("https://ann:pw@host/x", "https://[redacted]@host/x"),
            ("https://ann:p@w@host", "https://[redacted]@host"),
            ("https://host/a@b", "https://host/a@b"),
            (
                "https://host/cb#access_token=t",
                "https://host/cb#[redacted]",
            ),
            (
                "https://ann@host/?token=t#f",
                "https://[redacted]@host/?token=[redacted]#[redacted]",
            ),
            ("", ""),
        ] {
            let clean = redact(url.as_bytes());
            assert_eq!(String::from_utf8_lossy(&clean), expected);
        }
    }
}

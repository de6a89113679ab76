//! The query of a request: its bytes, and the two parameters that decide about rights.

use crate::oci::{Code, Digest, Invalid, RepositoryName};

use super::Fault;

/// What a new upload asks to be mounted instead of being sent (end-11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The blob.
    pub digest: Digest,
    /// The repository that has it, where the client names one.
    pub from: Option<RepositoryName>,
}

/// Refuses what is not a query of RFC 3986 section 3.4.
pub(super) fn check(query: &str) -> Result<(), Fault> {
    let bytes = query.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let good = match byte {
            b'%' => {
                let hex = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_hexdigit);
                hex(at + 1) && hex(at + 2)
            }
            b'#' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
            other => other.is_ascii_graphic(),
        };
        if !good {
            return Err(Fault::BadPath(
                "the query has characters that must be percent-encoded",
            ));
        }
    }
    Ok(())
}

/// What an upload mounts, and the query to forward. A mount that cannot be (no valid digest or source: containerd
/// sends names that never existed here) becomes an ordinary upload; two of a kind are refused, because we and the
/// registry could each believe another one.
pub(super) fn mount(query: &str) -> Result<(Option<Mount>, Option<String>), Fault> {
    let digest = single(query, "mount")?;
    let from = single(query, "from")?;
    let Some(digest) = digest else {
        return Ok((None, Some(query.to_owned())));
    };
    let mount = match (
        Digest::parse(&digest),
        from.as_deref().map(RepositoryName::parse),
    ) {
        (Ok(digest), None) => Some(Mount { digest, from: None }),
        (Ok(digest), Some(Ok(from))) => Some(Mount {
            digest,
            from: Some(from),
        }),
        _ => None,
    };
    let forward = if mount.is_some() {
        Some(query.to_owned())
    } else {
        without_mount(query)
    };
    Ok((mount, forward))
}

/// The query without its mount parameters: an ordinary upload.
pub(super) fn without_mount(query: &str) -> Option<String> {
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !matches!(decode(key(pair)).as_deref(), Some("mount" | "from")))
        .collect();
    Some(kept.join("&")).filter(|q| !q.is_empty())
}

/// The digest that a query names for the content that comes, `None` where it names none.
///
/// # Errors
/// It is malformed, or there are two.
pub(crate) fn digest(query: Option<&str>) -> Result<Option<Digest>, Fault> {
    let mut found = query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| decode(key(pair)).as_deref() == Some("digest"))
        .map(|pair| pair.split_once('=').map_or("", |(_, value)| value));
    let Some(text) = found.next() else {
        return Ok(None);
    };
    let invalid = |message| {
        Fault::Invalid(Invalid {
            code: Code::DigestInvalid,
            message,
        })
    };
    if found.next().is_some() {
        return Err(invalid("the query has two digests"));
    }
    let text = decode(text).ok_or(invalid("the digest is not UTF-8"))?;
    Digest::parse(&text).map(Some).map_err(Fault::Invalid)
}

/// The decoded pairs of a query or of an HTML form's body; a pair that is not UTF-8 is left out.
pub(crate) fn form(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(key)?, decode(value)?))
    })
}

/// The decoded value of a parameter that must not stand twice.
fn single(query: &str, name: &str) -> Result<Option<String>, Fault> {
    if query.contains(';') {
        return Err(Fault::BadPath(
            "a query separates its parameters by & alone",
        ));
    }
    let mut found = query
        .split('&')
        .filter(|pair| decode(key(pair)).as_deref() == Some(name));
    let value = found
        .next()
        .map(|pair| pair.split_once('=').map_or("", |(_, v)| v));
    if found.next().is_some() {
        return Err(Fault::BadPath("the query has mount or from twice"));
    }
    match value.map(decode) {
        None => Ok(None),
        Some(Some(value)) => Ok(Some(value)),
        Some(None) => Err(Fault::BadPath("the query is not UTF-8")),
    }
}

fn key(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(key, _)| key)
}

/// Decodes `%XX` and `+` as HTML forms do.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte| char::from(byte).to_digit(16);
                let value = digit(bytes.next()?)? << 4 | digit(bytes.next()?)?;
                u8::try_from(value).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_is_two_hexadecimal_digits_and_nothing_else() {
        assert_eq!(decode("a%2Fb+%c3%A9").as_deref(), Some("a/b \u{e9}"));
        for wrong in ["%", "%2", "%+1", "%-1", "% 1", "%zz", "%\u{e9}", "%ff"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_query_names_one_digest_or_none() {
        let text = format!("sha256:{}", "a0".repeat(32));
        let expected = Ok(Digest::parse(&text).ok());
        assert_eq!(digest(None), Ok(None));
        assert_eq!(digest(Some("_state=x&digests=1")), Ok(None));
        assert_eq!(digest(Some(&format!("_state=x&digest={text}"))), expected);
        let encoded = text.replace(':', "%3A");
        assert_eq!(digest(Some(&format!("dig%65st={encoded}"))), expected);
        for wrong in [
            "digest",
            "digest=",
            "digest=foo",
            "digest=sha256%3Aabc",
            "digest=%ff",
            &format!("digest={text}&digest={text}"),
            &format!("digest={text}&di%67est="),
        ] {
            match digest(Some(wrong)) {
                Err(Fault::Invalid(invalid)) => assert_eq!(invalid.code, Code::DigestInvalid),
                other => panic!("{wrong}: {other:?}"),
            }
        }
    }
}

//! `Authorization: Basic` (RFC 7617): from header bytes to a name and a password.

use base64::Engine;
use zeroize::Zeroizing;

use super::htpasswd::{BASE64, MAX_NAME, MAX_PASSWORD, Problem, name_problem};
use super::{Malformed, Refusal};

/// Name, colon and password at their longest, in base64. Longer ones are refused before they are decoded.
const MAX_ENCODED: usize = (MAX_NAME + 1 + MAX_PASSWORD).div_ceil(3) * 4;

/// A user name and a password; wiped when dropped.
pub(super) struct Credentials {
    bytes: Zeroizing<Vec<u8>>,
    colon: usize,
}

impl Credentials {
    pub(super) fn user(&self) -> &[u8] {
        self.bytes.get(..self.colon).unwrap_or_default()
    }

    pub(super) fn password(&self) -> &[u8] {
        self.bytes.get(self.colon + 1..).unwrap_or_default()
    }
}

/// What the `Authorization` headers of a request say; `None`: nothing, the request is anonymous.
///
/// Empty name with empty password (`Basic Og==`) is how some clients say that they have no credentials, and is
/// anonymous too. An empty name with a password is wrong: no file can hold it.
pub(super) fn parse(headers: &[&[u8]]) -> Result<Option<Credentials>, Refusal> {
    let header = match headers {
        [] => return Ok(None),
        [header] => header.trim_ascii(),
        // Whoever stands between us and the client may have looked at the other one.
        _ => return Err(Malformed::Repeated.into()),
    };
    let (scheme, encoded) = match header.iter().position(|byte| *byte == b' ') {
        Some(space) => header.split_at(space),
        None => (header, &b""[..]),
    };
    if header.is_empty() {
        return Err(Malformed::Empty.into());
    }
    if !scheme.eq_ignore_ascii_case(b"Basic") {
        return Err(Refusal::Scheme);
    }
    somebody(decode(encoded.trim_ascii())?)
}

/// The token of a request that brings one and nothing else (RFC 6750 section 2.1).
pub(crate) fn bearer<'a>(headers: &[&'a [u8]]) -> Option<&'a [u8]> {
    let [header] = headers else {
        return None;
    };
    let header = header.trim_ascii();
    let (scheme, token) = header.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

/// A name and a password that did not come in a header, judged as those that do.
pub(super) fn of(user: &str, password: &str) -> Result<Option<Credentials>, Refusal> {
    // No file can hold such a name, and what follows the colon must not become a password.
    if user.contains(':') {
        return Err(Refusal::Wrong);
    }
    if user.len() > MAX_NAME || password.len() > MAX_PASSWORD {
        return Err(Malformed::TooLong.into());
    }
    let bytes = Zeroizing::new([user.as_bytes(), b":", password.as_bytes()].concat());
    somebody(judge(bytes)?)
}

fn somebody(credentials: Credentials) -> Result<Option<Credentials>, Refusal> {
    match (credentials.user(), credentials.password()) {
        ([], []) => Ok(None),
        ([], _) => Err(Refusal::Wrong),
        _ => Ok(Some(credentials)),
    }
}

/// The name that the headers claim, right or not and however malformed the rest is; for the log alone.
pub(super) fn claimed(headers: &[&[u8]]) -> Option<String> {
    let [header] = headers else { return None };
    let (scheme, encoded) = header.trim_ascii().split_at_checked(6)?;
    // Spaces around it count neither here nor where it is judged, or they would hide a guesser's name.
    let encoded = encoded.trim_ascii();
    if !scheme.eq_ignore_ascii_case(b"Basic ") || encoded.len() > MAX_ENCODED {
        return None;
    }
    let bytes = Zeroizing::new(BASE64.decode(encoded).ok()?);
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let name = String::from_utf8_lossy(bytes.get(..colon)?).into_owned();
    (!name.is_empty()).then_some(name)
}

fn decode(encoded: &[u8]) -> Result<Credentials, Malformed> {
    if encoded.len() > MAX_ENCODED {
        return Err(Malformed::TooLong);
    }
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(encoded.len())]);
    let length = BASE64
        .decode_slice(encoded, &mut bytes)
        .map_err(|_| Malformed::Base64)?;
    bytes.truncate(length);
    judge(bytes)
}

fn judge(bytes: Zeroizing<Vec<u8>>) -> Result<Credentials, Malformed> {
    let colon = bytes
        .iter()
        .position(|byte| *byte == b':')
        .ok_or(Malformed::NoColon)?;
    let credentials = Credentials { bytes, colon };
    let (user, password) = (credentials.user(), credentials.password());
    if user.len() > MAX_NAME || password.len() > MAX_PASSWORD {
        return Err(Malformed::TooLong);
    }
    // crypt() ends a password at a NUL, so `secret\0anything` would be right where `secret` is.
    if password.contains(&0) {
        return Err(Malformed::Nul);
    }
    if name_problem(user) == Some(Problem::NameControl) || user.iter().any(u8::is_ascii_control) {
        return Err(Malformed::Control);
    }
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pair = (Vec<u8>, Vec<u8>);

    fn read(header: &[u8]) -> Result<Option<Pair>, Refusal> {
        let credentials = parse(&[header])?;
        Ok(credentials.map(|found| (found.user().to_vec(), found.password().to_vec())))
    }

    fn basic(credentials: &[u8]) -> Vec<u8> {
        format!("Basic {}", BASE64.encode(credentials)).into_bytes()
    }

    #[test]
    fn the_first_colon_parts_name_and_password() {
        for (text, user, password) in [
            (&b"ann:secret"[..], &b"ann"[..], &b"secret"[..]),
            (b"ann:a:b:", b"ann", b"a:b:"),
            (b"ann:", b"ann", b""),
            (b"\xe9t\xe9:\xff\xfe", b"\xe9t\xe9", b"\xff\xfe"),
            (b"a b@c%d+e:\tx", b"a b@c%d+e", b"\tx"),
        ] {
            let expected = Some((user.to_vec(), password.to_vec()));
            assert_eq!(read(&basic(text)), Ok(expected));
        }
    }

    #[test]
    fn scheme_case_spaces_and_padding_are_no_matter() {
        let expected = Ok(Some((b"ann".to_vec(), b"secret".to_vec())));
        for header in [
            "Basic YW5uOnNlY3JldA==",
            "bASIC YW5uOnNlY3JldA==",
            "Basic   YW5uOnNlY3JldA",
            " Basic YW5uOnNlY3JldA= ",
        ] {
            assert_eq!(read(header.as_bytes()), expected, "{header}");
        }
    }

    #[test]
    fn a1_nothing_and_empty_both_are_anonymous_and_an_empty_name_is_wrong() {
        assert!(matches!(parse(&[]), Ok(None)));
        assert_eq!(read(b"Basic Og=="), Ok(None));
        assert_eq!(read(&basic(b":secret")), Err(Refusal::Wrong));
    }

    #[test]
    fn a2_n20_what_is_not_basic_is_refused_with_its_reason() {
        for (header, refusal) in [
            (b"".to_vec(), Malformed::Empty.into()),
            (b"Basic".to_vec(), Malformed::NoColon.into()),
            (b"Basic !!!".to_vec(), Malformed::Base64.into()),
            (
                b"Basic YW5uOnNlY3JldA== x".to_vec(),
                Malformed::Base64.into(),
            ),
            (basic(b"ann"), Malformed::NoColon.into()),
            (basic(b"ann:secret\0"), Malformed::Nul.into()),
            (basic(b"a\0n:secret"), Malformed::Control.into()),
            (basic(b"a\x1b[2J:secret"), Malformed::Control.into()),
            (basic(b"\xff\n:secret"), Malformed::Control.into()),
            (basic(&b"a".repeat(100_000)), Malformed::TooLong.into()),
            (
                basic(&[&b"ann:"[..], &[b'a'; 513]].concat()),
                Malformed::TooLong.into(),
            ),
            (
                basic(&[&[b'a'; 256][..], b":x"].concat()),
                Malformed::TooLong.into(),
            ),
            (b"Bearer YW5uOnNlY3JldA==".to_vec(), Refusal::Scheme),
            (b"BasicYW5uOnNlY3JldA==".to_vec(), Refusal::Scheme),
        ] {
            assert_eq!(read(&header), Err(refusal));
        }
        let header = &basic(b"ann:secret")[..];
        assert_eq!(
            parse(&[header, header]).err(),
            Some(Malformed::Repeated.into())
        );
    }

    #[test]
    fn a_claimed_name_is_known_whatever_comes_after_it() {
        for (header, name) in [
            (basic(b"ann:wrong"), Some("ann")),
            (basic(b"ann:nul\0"), Some("ann")),
            (basic(b"a\x1b[2Jn:x"), Some("a\x1b[2Jn")),
            (basic(b"\xff:x"), Some("\u{fffd}")),
            (basic(b":x"), None),
            (basic(b"ann"), None),
            (b"Bearer YW5uOnNlY3JldA==".to_vec(), None),
            (b"Basic !".to_vec(), None),
            (b"Basi".to_vec(), None),
        ] {
            assert_eq!(claimed(&[&header]).as_deref(), name);
        }
        assert_eq!(claimed(&[]), None);
    }

    #[test]
    fn the_longest_credentials_fit() {
        let text = [&[b'a'; MAX_NAME][..], b":", &[b'p'; MAX_PASSWORD]].concat();
        assert!(read(&basic(&text)).is_ok());
    }
}

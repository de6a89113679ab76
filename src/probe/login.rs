//! Proving who one is, the way clients do: what the challenge says decides.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use crate::peer::Scheme;
use crate::secret::Secret;

use super::target::Target;
use super::wire::{Answer, Ask, Fault, Wire};

/// A name and a password.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

impl Credentials {
    /// `Basic ...`, marked as secret.
    pub(crate) fn basic(&self) -> Option<HeaderValue> {
        let mut pair = Zeroizing::new(self.user.clone().into_bytes());
        pair.push(b':');
        pair.extend_from_slice(self.password.expose());
        secret(&format!("Basic {}", STANDARD.encode(&pair[..])))
    }
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// One line of `WWW-Authenticate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// `basic`, `bearer`, lower case.
    pub scheme: String,
    /// Names in lower case, and their values.
    pub parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The lines of an answer, each with its first challenge.
    pub(crate) fn all(headers: &HeaderMap) -> Vec<Self> {
        let lines = headers.get_all(WWW_AUTHENTICATE).iter();
        lines
            .map(|line| Self::parse(&String::from_utf8_lossy(line.as_bytes())))
            .collect()
    }

    /// The value of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    fn parse(line: &str) -> Self {
        let line = line.trim();
        let (scheme, mut rest) = line.split_at(line.find(' ').unwrap_or(line.len()));
        let mut parameters = Vec::new();
        while let Some((name, after)) = rest.split_once('=') {
            let (value, after) = value(after.trim_start());
            parameters.push((name.trim_matches([' ', ',']).to_ascii_lowercase(), value));
            rest = after;
        }
        Self {
            scheme: scheme.to_ascii_lowercase(),
            parameters,
        }
    }
}

/// A token or a quoted string, and what follows.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

/// What a token server said.
#[derive(Debug)]
pub(crate) enum Granted {
    /// `Bearer ...`, marked as secret.
    Token(HeaderValue),
    /// No token; the answer says why.
    Refused(Answer),
}

/// Why no token server could be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenFault {
    /// The challenge has no realm, or one that is no URL.
    #[error("the realm of the challenge is no URL")]
    Realm,
    /// The password could be read on the way there.
    #[error(
        "{0}, where the challenge sends clients for tokens, would get the password in clear, which \
         was not asked for; it was not sent"
    )]
    Clear(String),
    /// It cannot be reached.
    #[error("{0} cannot be asked for a token")]
    Ask(String, #[source] Fault),
}

/// Whether a password for this registry may go to that token server: over TLS, or in clear to the very host of which the
/// person wrote `http://`. Whoever answers in the registry's place chooses the realm, so it is not for the realm to say.
pub(crate) fn may_be_shown(registry: &Target, server: &Target) -> bool {
    match server.scheme {
        Scheme::Https => true,
        Scheme::Http => {
            registry.scheme == Scheme::Http && server.host.eq_ignore_ascii_case(&registry.host)
        }
    }
}

/// Asks the token server of a challenge for a token, as `docker login` and `docker push` do. Unlike them it shows a
/// password only where it [may be shown](may_be_shown()).
///
/// # Errors
/// It could not be asked, or not like this.
pub(crate) async fn token(
    wire: &Wire,
    challenge: &Challenge,
    credentials: Option<&Credentials>,
    scope: Option<&str>,
) -> Result<Granted, TokenFault> {
    let realm = challenge.parameter("realm").ok_or(TokenFault::Realm)?;
    let (target, path) = realm_target(realm).ok_or(TokenFault::Realm)?;
    if credentials.is_some() && !may_be_shown(&wire.target, &target) {
        return Err(TokenFault::Clear(target.origin()));
    }
    let mut query = Vec::new();
    if let Some(service) = challenge.parameter("service") {
        query.push(format!("service={}", escaped(service)));
    }
    if let Some(scope) = scope {
        query.push(format!("scope={}", escaped(scope)));
    }
    if let Some(credentials) = credentials {
        query.push(format!("account={}", escaped(&credentials.user)));
    }
    let sign = if path.contains('?') { '&' } else { '?' };
    let wire = Wire {
        // An address that stands in for the registry's stands in for its own token server too.
        instead: wire.instead.clone().filter(|_| target == wire.target),
        target,
        ..wire.clone()
    };
    let ask = Ask::get(format!("{path}{sign}{}", query.join("&")));
    let ask = ask.with(AUTHORIZATION, credentials.and_then(Credentials::basic));
    let answer = wire.ask(&ask).await;
    let answer = answer.map_err(|fault| TokenFault::Ask(wire.target.origin(), fault))?;
    Ok(match bearer(&answer) {
        Some(value) => Granted::Token(value),
        None => Granted::Refused(answer),
    })
}

/// Where a realm is, and its path.
pub(crate) fn realm_target(realm: &str) -> Option<(Target, String)> {
    let (scheme, rest) = realm.split_once("://")?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let target = Target::parse(&format!("{scheme}://{authority}")).ok()?;
    let path = path.split('#').next().unwrap_or_default();
    Some((
        target,
        if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        },
    ))
}

fn bearer(answer: &Answer) -> Option<HeaderValue> {
    if answer.status != http::StatusCode::OK {
        return None;
    }
    let document: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    let token = ["token", "access_token"]
        .iter()
        .find_map(|name| document.get(name)?.as_str())?;
    secret(&format!("Bearer {token}"))
}

/// A value for a query.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/,*".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.extend(["%", &format!("{byte:02X}")]);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_with_what_is_in_quotes() {
        let challenge = Challenge::parse(
            r#"Bearer realm="https://a.example/token?x=1",service="my \"registry\"", scope=a:b:pull"#,
        );
        assert_eq!(challenge.scheme, "bearer");
        assert_eq!(
            challenge.parameter("realm"),
            Some("https://a.example/token?x=1")
        );
        assert_eq!(challenge.parameter("service"), Some("my \"registry\""));
        assert_eq!(challenge.parameter("scope"), Some("a:b:pull"));
        assert_eq!(Challenge::parse("Basic").parameters, []);
        assert_eq!(Challenge::parse("Negotiate abc").scheme, "negotiate");
    }

    #[test]
    fn a_realm_is_a_target_and_a_path() {
        let (target, path) = realm_target("https://a.example:444/auth?x=1").unwrap();
        assert_eq!(
            (target.origin(), path),
            ("https://a.example:444".into(), "/auth?x=1".into())
        );
        let (_, path) = realm_target("http://a.example").unwrap();
        assert_eq!(path, "/");
        assert!(realm_target("Registry realm").is_none());
    }

    #[test]
    fn a_password_goes_in_clear_only_to_the_host_that_was_named_with_http() {
        for (registry, server, may) in [
            ("https://r.example", "https://r.example/token", true),
            ("https://r.example", "https://auth.example/token", true),
            ("https://r.example", "http://r.example/token", false),
            ("https://r.example", "http://auth.example/token", false),
            ("http://r.example", "https://auth.example/token", true),
            ("http://r.example", "http://R.example:5001/token", true),
            ("http://r.example", "http://auth.example/token", false),
        ] {
            let (server, _) = realm_target(server).unwrap();
            let registry = Target::parse(registry).unwrap();
            assert_eq!(may_be_shown(&registry, &server), may, "{registry} {server}");
        }
    }

    #[test]
    fn a_value_of_a_query_is_escaped() {
        assert_eq!(escaped("a b&c=d:e"), "a%20b%26c%3Dd:e");
    }
}

//! Where a registry is, as a person writes it.

use std::net::IpAddr;

use http::Uri;

use crate::net::is_authority;
use crate::peer::Scheme;

/// A registry: its root, and nothing behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// What is no registry's address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTarget {
    /// Not to be repeated: what stands before an @ may be a password.
    #[error("a URL must not hold a user or password; give them with --user and --password-file")]
    Credentials,
    /// A registry is at the root.
    #[error("{0:?}: a registry is at the root of its host; leave out {1:?}")]
    Path(String, String),
    /// Anything else.
    #[error("{0:?} is no address of a registry; write https://HOST or https://HOST:PORT")]
    Malformed(String),
}

impl Target {
    /// Reads `https://HOST[:PORT]`, `http://HOST[:PORT]`, or `HOST[:PORT]` as docker has it, which means https.
    pub(crate) fn parse(text: &str) -> Result<Self, BadTarget> {
        if text.contains('@') {
            return Err(BadTarget::Credentials);
        }
        let wrong = || BadTarget::Malformed(text.to_owned());
        let whole = if text.contains("://") {
            text.to_owned()
        } else {
            format!("https://{text}")
        };
        let uri: Uri = whole.parse().map_err(|_| wrong())?;
        let (scheme, port) = match uri.scheme_str() {
            Some("https") => (Scheme::Https, 443),
            Some("http") => (Scheme::Http, 80),
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        if !is_authority(authority.as_str()) {
            return Err(wrong());
        }
        if !matches!(uri.path(), "" | "/" | "/v2" | "/v2/") || uri.query().is_some() {
            let path = uri.path_and_query().map_or("", |path| path.as_str());
            return Err(BadTarget::Path(text.to_owned(), path.to_owned()));
        }
        let port = authority.port_u16().unwrap_or(port);
        if port == 0 {
            return Err(wrong());
        }
        Ok(Self {
            scheme,
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port,
        })
    }

    /// Host and port as a `Host` header has them: the port of the scheme is left out.
    pub(crate) fn authority(&self) -> String {
        let usual = match self.scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        };
        if self.port == usual {
            self.bracketed()
        } else {
            self.place()
        }
    }

    /// Host and port, always both.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.bracketed(), self.port)
    }

    /// `https://HOST[:PORT]`
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.scheme.as_str(), self.authority())
    }

    /// Whether a URL is below this registry; `None` if it is no URL with a host.
    pub(crate) fn covers(&self, url: &str) -> Option<bool> {
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority()?;
        let usual = match uri.scheme_str()? {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let host = authority.host().trim_matches(['[', ']']);
        let same = uri.scheme_str() == Some(self.scheme.as_str())
            && host.eq_ignore_ascii_case(&self.host)
            && authority.port_u16().unwrap_or(usual) == self.port;
        Some(same)
    }

    /// The host, if it is an address.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_people_write_it() {
        for (text, origin, place) in [
            ("https://r.example", "https://r.example", "r.example:443"),
            ("r.example:5000", "https://r.example:5000", "r.example:5000"),
            ("http://r.example/v2/", "http://r.example", "r.example:80"),
            ("https://[::1]:5443/", "https://[::1]:5443", "[::1]:5443"),
            (
                "https://r.example:443",
                "https://r.example",
                "r.example:443",
            ),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!(
                (target.origin(), target.place()),
                (origin.into(), place.into()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_registry_is_refused_and_a_password_is_not_repeated() {
        for text in [
            "",
            "ftp://r",
            "https://",
            "https://r:x",
            "https://r:0",
            "r example",
        ] {
            assert!(
                matches!(Target::parse(text), Err(BadTarget::Malformed(_))),
                "{text:?}"
            );
        }
        for text in ["https://r/app", "https://r/?x=1", "r/app:1"] {
            assert!(
                matches!(Target::parse(text), Err(BadTarget::Path(..))),
                "{text:?}"
            );
        }
        let fault = Target::parse("https://ann:secret@r").unwrap_err();
        assert_eq!(fault, BadTarget::Credentials);
        assert!(!fault.to_string().contains("secret"));
    }

    #[test]
    fn a_url_is_below_a_registry_or_elsewhere() {
        let target = Target::parse("https://r.example").unwrap();
        for (url, covers) in [
            ("https://r.example/v2/x", Some(true)),
            ("https://R.example:443/v2/x", Some(true)),
            ("http://r.example/v2/x", Some(false)),
            ("https://r.example:5000/v2/x", Some(false)),
            ("/v2/x", None),
            ("ftp://r.example/", None),
        ] {
            assert_eq!(target.covers(url), covers, "{url}");
        }
    }
}

//! Names: what a certificate is called, the file that it lies in, and the other names that it carries.

use std::fmt;
use std::net::IpAddr;

use rustls::pki_types::DnsName;

use super::error::Error;

/// The longest common name (RFC 5280 appendix A.1).
pub(super) const LONGEST: usize = 64;
/// The longest of any name: that of a DNS name.
const LONGEST_OTHER: usize = 253;

/// The name of a certificate of the desk: its common name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    text: String,
    alternative: Alternative,
}

/// One of the names that a certificate is for (RFC 5280 section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Alternative {
    /// A DNS name, perhaps with `*` as its first label.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// An address of e-mail.
    Email(String),
    /// A URI, such as a SPIFFE id.
    Uri(String),
}

impl Name {
    /// The name of a client: letters, digits, `.`, `-` and `_`, or an address of e-mail.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn client(text: &str) -> Result<Self, Error> {
        let plain = |text: &str| {
            let mut bytes = text.bytes();
            let ends = [bytes.next(), text.bytes().next_back()];
            ends.iter().flatten().all(u8::is_ascii_alphanumeric)
                && !text.is_empty()
                && !text.contains("..")
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        };
        let alternative = if plain(text) {
            Alternative::Dns(text.to_owned())
        } else if let Some(email) = email(text) {
            email
        } else {
            return Err(unusable(
                text,
                "it takes letters and digits with `.`, `-` and `_` between them, or an address of e-mail",
            ));
        };
        Self::new(text, alternative)
    }

    /// The name of a server: a host name, perhaps `*.` in front, or an address.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn server(text: &str) -> Result<Self, Error> {
        let alternative = match text.parse::<IpAddr>() {
            Ok(address) => Alternative::Ip(address),
            Err(_) => dns(text).ok_or_else(|| unusable(text, HOST))?,
        };
        Self::new(&text.to_ascii_lowercase(), alternative)
    }

    fn new(text: &str, alternative: Alternative) -> Result<Self, Error> {
        if text.len() > LONGEST {
            return Err(unusable(
                text,
                "a common name has at most 64 characters; give a shorter one and add the long one with --san",
            ));
        }
        let name = Self {
            text: text.to_owned(),
            alternative,
        };
        if name.stem() == super::folder::CA_STEM {
            return Err(unusable(text, "ca.crt and ca.key are the CA's own files"));
        }
        Ok(name)
    }

    /// The common name.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The same as one of the names that the certificate is for.
    pub(super) fn alternative(&self) -> &Alternative {
        &self.alternative
    }

    /// How its files are called, without the ending.
    pub(super) fn stem(&self) -> String {
        stem(&self.text)
    }
}

/// How the files of a certificate are called. A star would be a pattern to every shell.
pub(super) fn stem(name: &str) -> String {
    name.replace('*', "_")
}

const HOST: &str = "it takes a host name (letters outside of ASCII as `xn--`), `*.` in front of one, or an address";

impl Alternative {
    /// Reads `dns:NAME`, `ip:ADDRESS`, `email:ADDRESS` or `uri:URI`; a bare host name or address is known as such.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Ip(address));
        }
        let Some((kind, value)) = text.split_once(':') else {
            return dns(text).ok_or_else(|| unusable(text, HOST));
        };
        let found = match kind.to_ascii_lowercase().as_str() {
            "dns" => dns(value),
            "ip" => value.parse().map(Self::Ip).ok(),
            "email" => email(value),
            "uri" => uri(value),
            _ => {
                return Err(unusable(
                    text,
                    "it begins with dns:, ip:, email: or uri:, as in uri:spiffe://example.org/build",
                ));
            }
        };
        found.ok_or_else(|| unusable(text, &format!("what follows `{kind}:` is no such thing")))
    }
}

impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(value) => write!(f, "dns:{value}"),
            Self::Ip(value) => write!(f, "ip:{value}"),
            Self::Email(value) => write!(f, "email:{value}"),
            Self::Uri(value) => write!(f, "uri:{value}"),
        }
    }
}

fn dns(text: &str) -> Option<Alternative> {
    let host = text.strip_prefix("*.").unwrap_or(text);
    let good = DnsName::try_from(host).is_ok() && !host.ends_with('.');
    good.then(|| Alternative::Dns(text.to_ascii_lowercase()))
}

fn email(text: &str) -> Option<Alternative> {
    let (local, host) = text.split_once('@')?;
    let local_good = !local.is_empty()
        && !local.starts_with(['.', '-'])
        && local
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_+=".contains(&byte));
    let host_good = DnsName::try_from(host).is_ok() && !host.ends_with('.');
    (local_good && host_good && text.len() <= LONGEST_OTHER)
        .then(|| Alternative::Email(text.to_owned()))
}

fn uri(text: &str) -> Option<Alternative> {
    let (scheme, rest) = text.split_once(':')?;
    let good = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && !rest.is_empty()
        && rest.bytes().all(|byte| byte.is_ascii_graphic());
    (good && text.len() <= 2048).then(|| Alternative::Uri(text.to_owned()))
}

fn unusable(text: &str, why: &str) -> Error {
    let shown: String = text.chars().take(80).collect();
    Error::Asked(format!(
        "the name \"{}\" cannot be used: {why}",
        shown.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_dangerous_as_files_or_lines_are_refused() {
        let long = "a".repeat(65);
        for text in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "/etc/passwd",
            "a\\b",
            "a\nb",
            "a\0b",
            "a\tb",
            "a b",
            ".hidden",
            "-rf",
            "a.",
            "a..b",
            "ca",
            "é",
            "a\u{202e}b",
            "a*",
            "@",
            "a@",
            "@b",
            "a@b/c",
            "../a@b.test",
            &long,
        ] {
            assert!(Name::client(text).is_err(), "{text:?}");
        }
        for text in [
            "", "..", "a/b", "a b", "a\nb", "a.*", "*", "*.", "**.a", "a..b", "ca", "é.test", "-a",
            &long,
        ] {
            assert!(Name::server(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_name_is_one_of_the_names_that_its_certificate_is_for() {
        let table = [
            (Name::client("build-7"), "dns:build-7", "build-7"),
            (Name::client("Build_7.2"), "dns:Build_7.2", "Build_7.2"),
            (Name::client("7"), "dns:7", "7"),
            (
                Name::client("ann+ci@example.com"),
                "email:ann+ci@example.com",
                "ann+ci@example.com",
            ),
            (
                Name::server("registry.example.com"),
                "dns:registry.example.com",
                "registry.example.com",
            ),
            (
                Name::server("*.example.com"),
                "dns:*.example.com",
                "_.example.com",
            ),
            (Name::server("10.0.0.1"), "ip:10.0.0.1", "10.0.0.1"),
            (Name::server("::1"), "ip:::1", "::1"),
        ];
        for (name, alternative, stem) in table {
            let name = name.unwrap();
            assert_eq!(name.alternative().to_string(), alternative);
            assert_eq!(name.stem(), stem);
        }
    }

    #[test]
    fn other_names_are_told_apart_by_what_they_begin_with() {
        for (text, read) in [
            ("dns:A.example.com", "dns:a.example.com"),
            ("a.example.com", "dns:a.example.com"),
            ("DNS:*.example.com", "dns:*.example.com"),
            ("ip:10.0.0.1", "ip:10.0.0.1"),
            ("10.0.0.1", "ip:10.0.0.1"),
            ("fe80::1", "ip:fe80::1"),
            ("email:a@b.test", "email:a@b.test"),
            (
                "uri:spiffe://example.org/build",
                "uri:spiffe://example.org/build",
            ),
        ] {
            assert_eq!(Alternative::parse(text).unwrap().to_string(), read);
        }
        for text in [
            "",
            "dns:",
            "dns:a b",
            "ip:10.0.0",
            "email:a",
            "uri:",
            "uri:a",
            "uri:a:",
            "uri:a:b c",
            "spiffe://a",
            "dns:a\n",
        ] {
            assert!(Alternative::parse(text).is_err(), "{text:?}");
        }
    }
}

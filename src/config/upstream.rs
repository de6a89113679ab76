//! `[upstream]`: the registry behind the gate.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;

use super::listener::{files, socket_path};
use super::section::Section;
use super::source::shown;
use super::types::CertificateFiles;

/// The registry behind the gate and how it is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Where it is.
    pub url: UpstreamUrl,
    /// CA certificates (PEM bundle) to trust for an https upstream, instead of the system's.
    pub ca: Option<PathBuf>,
    /// The client certificate shown to an https upstream.
    pub client_certificate: Option<CertificateFiles>,
    /// What becomes of the client's `Authorization`.
    pub authorization: Authorization,
    /// Connections open at once.
    pub max_connections: usize,
    /// From the first lookup to an established (and encrypted) connection.
    pub connect_timeout: Duration,
    /// Silence in both directions, never the whole exchange.
    pub read_timeout: Duration,
}

/// The address of the registry behind the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamUrl {
    /// `http://host[:port]`
    Http {
        /// Host name or address; an IPv6 address without its brackets.
        host: String,
        /// Port, 80 when absent.
        port: u16,
    },
    /// `https://host[:port]`
    Https {
        /// Host name or address; an IPv6 address without its brackets.
        host: String,
        /// Port, 443 when absent.
        port: u16,
    },
    /// `unix:/path`
    Unix(PathBuf),
}

/// What becomes of the client's `Authorization` on the way to the upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authorization {
    /// Removed: the registry never sees the password.
    #[default]
    Strip,
    /// Replaced by the user name with an empty password, so that the registry's log knows the actor.
    User,
    /// Passed on as it came.
    Forward,
    /// Replaced by credentials of our own.
    Own {
        /// Their user name.
        username: String,
        /// The file whose first line is their password.
        password_file: PathBuf,
    },
}

/// A push sends a handful of blobs at once, so this carries some fifty busy clients; beyond it requests wait their turn.
/// registry:2 opens a file for each, and stays far from the usual limit of 1024.
const MAX_CONNECTIONS: usize = 256;

/// A host that does not answer in this time is down; the client learns it as 504.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// registry:2 reads a blob again to check its digest before it answers, which takes minutes for a big one in a bucket.
const READ_TIMEOUT: Duration = Duration::from_secs(900);

/// The upstream; `None` after a fault.
pub(super) fn read(section: &Section<'_>) -> Option<Upstream> {
    let url = section.parsed("url", |text| url(text, section.folder()));
    if !section.has("url") && !section.is_misshapen() {
        section.fault(
            "url",
            "is missing; write url = \"http://localhost:5000\", or remove [upstream] and serve the embedded registry",
        );
    }
    let ca = section.path("ca");
    let client_certificate = files(section, "client_certificate", "client_key");
    if let Some(url) = &url
        && !matches!(url, UpstreamUrl::Https { .. })
    {
        for key in ["ca", "client_certificate", "client_key"] {
            if section.has(key) {
                section.fault(
                    key,
                    "has no effect on an upstream without TLS; write an https:// url or remove it",
                );
            }
        }
    }
    let max_connections = section.count("max_connections", 1..=65_536);
    let connect_timeout = section.duration("connect_timeout", Duration::from_millis(1));
    let read_timeout = section.duration("read_timeout", Duration::from_millis(1));
    Some(Upstream {
        authorization: authorization(section),
        url: url?,
        ca,
        client_certificate,
        max_connections: max_connections.unwrap_or(MAX_CONNECTIONS),
        connect_timeout: connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        read_timeout: read_timeout.unwrap_or(READ_TIMEOUT),
    })
}

/// What may be written; credentials of our own have keys of their own.
#[derive(Clone, Copy)]
enum Word {
    Strip,
    User,
    Forward,
}

fn authorization(section: &Section<'_>) -> Authorization {
    let (username, password_file) = (
        section.parsed("username", user_name),
        section.path("password_file"),
    );
    let own = (section.has("username"), section.has("password_file"));
    match own {
        (true, false) => section.fault(
            "username",
            "has no password_file; write password_file = \"FILE\" too",
        ),
        (false, true) => section.fault(
            "password_file",
            "has no username; write username = \"NAME\" too",
        ),
        (true, true) | (false, false) => {}
    }
    let words = [
        ("strip", Word::Strip),
        ("user", Word::User),
        ("forward", Word::Forward),
    ];
    let word = section.choice("authorization", &words);
    if own != (false, false) && matches!(word, Some(Word::User | Word::Forward)) {
        let text = "says what becomes of the client's credentials, and username replaces them by our own; remove one";
        section.fault("authorization", text);
    }
    match (word, username, password_file) {
        (_, Some(username), Some(password_file)) => Authorization::Own {
            username,
            password_file,
        },
        (Some(Word::User), ..) => Authorization::User,
        (Some(Word::Forward), ..) => Authorization::Forward,
        (Some(Word::Strip) | None, ..) => Authorization::Strip,
    }
}

/// RFC 7617 section 2: the first colon ends the user name, and control characters are forbidden.
fn user_name(text: &str) -> Result<String, String> {
    if text.contains(|c: char| c == ':' || c.is_control()) {
        return Err(format!(
            "{} holds a colon or a control character, which Basic authentication cannot carry",
            shown(text)
        ));
    }
    Ok(text.to_owned())
}

/// Where the registry is. Text with an `@` is never repeated in a message: it may hold a password.
fn url(text: &str, folder: &Path) -> Result<UpstreamUrl, String> {
    if let Some(socket) = text.strip_prefix("unix:") {
        return Ok(UpstreamUrl::Unix(socket_path(socket, folder)?));
    }
    if text.contains('@') {
        return Err(
            "holds a user name or password; write them as username and password_file in [upstream]"
                .into(),
        );
    }
    let shown = shown(text);
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(format!(
            "{shown} has no scheme; write \"http://{text}\" or \"https://{text}\""
        ));
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        return Err(format!(
            "{shown} has an unknown scheme; allowed: http://, https://, unix:"
        ));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    if !matches!(behind, "" | "/") {
        return Err(format!(
            "{shown} goes on behind the host; paths reach the registry as clients send them, so write \"{scheme}://{authority}\""
        ));
    }
    let Ok(uri) = format!("{scheme}://{authority}/").parse::<Uri>() else {
        return Err(format!(
            "{shown} is not a URL; write \"{scheme}://HOST:PORT\""
        ));
    };
    let host = uri.host().unwrap_or_default();
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if !is_host(host) {
        return Err(format!(
            "{shown} has no host that a name or an address could be; write \"{scheme}://HOST:PORT\""
        ));
    }
    let written_port = authority
        .rsplit_once(':')
        .filter(|(_, port)| !port.contains(']'));
    let port = match written_port {
        None => None,
        Some((_, port)) => match port.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            _ => {
                return Err(format!(
                    "{shown} has no port between 1 and 65535 behind its host"
                ));
            }
        },
    };
    let host = host.to_owned();
    Ok(if scheme == "https" {
        UpstreamUrl::Https {
            host,
            port: port.unwrap_or(443),
        }
    } else {
        UpstreamUrl::Http {
            host,
            port: port.unwrap_or(80),
        }
    })
}

/// An address, or a name of DNS or of a container (which may have underscores).
fn is_host(host: &str) -> bool {
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    host.parse::<IpAddr>().is_ok() || (host.len() <= 253 && name.split('.').all(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_a_scheme_and_a_host() {
        let http = |host: &str, port| UpstreamUrl::Http {
            host: host.into(),
            port,
        };
        let https = |host: &str, port| UpstreamUrl::Https {
            host: host.into(),
            port,
        };
        for (text, meant) in [
            ("http://localhost:5000", http("localhost", 5000)),
            ("http://localhost", http("localhost", 80)),
            ("HTTP://Registry_1/", http("Registry_1", 80)),
            ("https://registry.example.", https("registry.example.", 443)),
            ("https://10.0.0.1:8443", https("10.0.0.1", 8443)),
            ("http://[::1]:5000", http("::1", 5000)),
            ("http://[fd00::1]", http("fd00::1", 80)),
            (
                "unix:/run/registry.sock",
                UpstreamUrl::Unix("/run/registry.sock".into()),
            ),
            (
                "unix:registry.sock",
                UpstreamUrl::Unix("/etc/registry.sock".into()),
            ),
        ] {
            assert_eq!(url(text, Path::new("/etc")), Ok(meant), "{text}");
        }
    }

    #[test]
    fn a_wrong_url_comes_with_the_right_one() {
        for (text, cure) in [
            ("localhost:5000", "write \"http://localhost:5000\""),
            ("ftp://registry", "unknown scheme"),
            ("tcp://172.17.0.2:5000", "unknown scheme"),
            ("http://registry:5000/v2/", "write \"http://registry:5000\""),
            ("http://registry?x=1", "write \"http://registry\""),
            ("http://registry#x", "write \"http://registry\""),
            ("http://", "not a URL"),
            ("http://:5000", "HOST:PORT"),
            ("http://reg istry", "not a URL"),
            ("http://registry:99999", "no port"),
            ("http://registry:0", "no port"),
            ("http://registry:", "no port"),
            ("http://a..b", "no host"),
            ("unix:", "no path"),
        ] {
            let why = url(text, Path::new("")).unwrap_err();
            assert!(why.contains(cure), "{text}: {why}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_not_repeated() {
        let why = url("http://ann:geheim@registry:5000", Path::new("")).unwrap_err();
        assert!(
            !why.contains("geheim") && why.contains("password_file"),
            "{why}"
        );
    }
}

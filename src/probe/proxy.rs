//! A proxy that the environment names: podman, skopeo, containerd and curl go through it without a word.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::peer::Scheme;

use super::target::Target;
use super::wire::{Fault, connect, resolve};

/// A proxy that makes a connection tries itself for some time.
const TUNNEL: Duration = Duration::from_secs(15);

/// The head of its answer.
const HEAD: usize = 16 * 1024;

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proxy {
    /// The variable that names it.
    pub variable: &'static str,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// What the environment says of the way to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Nothing.
    Direct,
    /// A proxy is named, and not for this host.
    Exempt(&'static str),
    /// Through this proxy.
    Through(Proxy),
    /// A proxy is named that is not spoken to here; which variable, and why not.
    Other(&'static str, &'static str),
}

impl Route {
    /// Reads the variables as Go's programs do: the lower-case name counts where the other is absent, and loopback never
    /// goes through a proxy.
    pub(crate) fn read(target: &Target, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &'static str| {
            let value = variable(name).filter(|value| !value.is_empty());
            value.map(|value| (name, value))
        };
        let names = match target.scheme {
            Scheme::Https => ["HTTPS_PROXY", "https_proxy"],
            Scheme::Http => ["HTTP_PROXY", "http_proxy"],
        };
        let [upper, lower] = names;
        let Some((name, value)) = set(upper).or_else(|| set(lower)) else {
            return Self::Direct;
        };
        let exempt = set("NO_PROXY").or_else(|| set("no_proxy"));
        let loopback = target.host == "localhost" || target.ip().is_some_and(|ip| ip.is_loopback());
        if loopback || exempt.is_some_and(|(_, list)| is_exempt(target, &list)) {
            return Self::Exempt(name);
        }
        if target.scheme == Scheme::Http {
            return Self::Other(name, "requests in clear are asked directly here");
        }
        let rest = match value.split_once("://") {
            None => value.as_str(),
            Some(("http", rest)) => rest,
            Some(_) => return Self::Other(name, "it is no http:// proxy"),
        };
        let rest = rest.trim_end_matches('/');
        if rest.contains('@') {
            return Self::Other(name, "it wants a password");
        }
        // Its port is 80 if it has none, as with any http:// URL.
        match Target::parse(&format!("http://{rest}")) {
            Ok(proxy) => Self::Through(Proxy {
                variable: name,
                host: proxy.host,
                port: proxy.port,
            }),
            Err(_) => Self::Other(name, "it is no URL"),
        }
    }
}

/// Whether an entry of `NO_PROXY` is about this target: a host, a domain, an address, a network, any with a port, or `*`.
fn is_exempt(target: &Target, list: &str) -> bool {
    list.split(',').map(str::trim).any(|entry| {
        if entry == "*" {
            return true;
        }
        let ip = target.ip();
        if let (Ok(network), Some(ip)) = (entry.parse::<IpNet>(), ip) {
            return network.contains(&ip);
        }
        if let Ok(address) = entry.parse::<IpAddr>() {
            return ip == Some(address);
        }
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (entry, None),
        };
        if port.is_some_and(|port| port != target.port.to_string()) {
            return false;
        }
        let (name, host) = (name.to_ascii_lowercase(), target.host.to_ascii_lowercase());
        let domain = name.trim_start_matches('.');
        !domain.is_empty()
            && ((host == domain && !name.starts_with('.')) || host.ends_with(&format!(".{domain}")))
    })
}

impl Proxy {
    /// Its host and port.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// A connection that the proxy makes to the target.
    pub(crate) async fn tunnel(&self, target: &Target) -> Result<TcpStream, Fault> {
        let addresses = resolve(&self.host, self.port).await?;
        let (stream, _) = connect(&addresses).await?;
        let asked = timeout(TUNNEL, ask(stream, &target.place())).await;
        let refused = |source| {
            let address = addresses.first().copied();
            Fault::Connect(
                address
                    .map(|address| (address, source))
                    .into_iter()
                    .collect(),
            )
        };
        match asked {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(fault)) => Err(refused(fault)),
            Err(_) => Err(Fault::Deadline {
                what: "the proxy's answer",
                after: TUNNEL,
            }),
        }
    }
}

async fn ask(mut stream: TcpStream, place: &str) -> std::io::Result<TcpStream> {
    let request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    // Byte by byte: what follows the head belongs to the registry.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD {
            return Err(std::io::Error::other("its answer has no end"));
        }
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let line = head.lines().next().unwrap_or_default();
    match line.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(stream),
        _ => Err(std::io::Error::other(format!("the proxy answers {line:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(url: &str, variables: &[(&str, &str)]) -> Route {
        let target = Target::parse(url).unwrap();
        Route::read(&target, |name| {
            let found = variables.iter().find(|(found, _)| *found == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_proxy_is_found_as_go_finds_it() {
        let proxy = |variable| {
            Route::Through(Proxy {
                variable,
                host: "p.example".into(),
                port: 3128,
            })
        };
        let value = "http://p.example:3128/";
        for (variables, expected) in [
            (vec![], Route::Direct),
            (vec![("HTTP_PROXY", value)], Route::Direct),
            (vec![("HTTPS_PROXY", "")], Route::Direct),
            (vec![("HTTPS_PROXY", value)], proxy("HTTPS_PROXY")),
            (
                vec![("https_proxy", "p.example:3128")],
                proxy("https_proxy"),
            ),
            (
                vec![
                    ("HTTPS_PROXY", value),
                    ("NO_PROXY", "a.example, .example:443"),
                ],
                Route::Exempt("HTTPS_PROXY"),
            ),
            (
                vec![
                    ("HTTPS_PROXY", value),
                    ("no_proxy", "registry.example:5000,10.0.0.0/8"),
                ],
                proxy("HTTPS_PROXY"),
            ),
            (
                vec![("HTTPS_PROXY", "socks5://p.example:1080")],
                Route::Other("HTTPS_PROXY", "it is no http:// proxy"),
            ),
        ] {
            assert_eq!(
                route("https://registry.example", &variables),
                expected,
                "{variables:?}"
            );
        }
        let variables = [("HTTPS_PROXY", value), ("NO_PROXY", "10.0.0.0/8")];
        for url in [
            "https://localhost:5000",
            "https://127.0.0.1",
            "https://10.2.3.4",
        ] {
            assert_eq!(
                route(url, &variables),
                Route::Exempt("HTTPS_PROXY"),
                "{url}"
            );
        }
    }
}

//! What a client is called on both sides of the gate: `X-Forwarded-*` read from proxies that are trusted, and
//! written for the upstream.

use std::net::IpAddr;

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};

use crate::net::TrustedNetworks;
use crate::net::is_authority;
use crate::peer::Peer;
use crate::peer::Scheme;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// How the client sees itself: who it is and what its URL began with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The client's address; `None` on a Unix socket.
    pub address: Option<IpAddr>,
    /// The scheme that the client used.
    pub scheme: Scheme,
    /// Host and port that the client used; `None` where an HTTP/1.0 client named none.
    pub host: Option<HeaderValue>,
    /// The addresses that trusted proxies reported, to be passed on; empty without one.
    pub reported: Option<String>,
}

impl Origin {
    /// A path of ours as an absolute URL in the client's own terms; the path alone for a client that named no host.
    pub(crate) fn url(&self, path: &str) -> String {
        match self.host.as_ref().and_then(|host| host.to_str().ok()) {
            Some(host) => format!("{}://{host}{path}", self.scheme.as_str()),
            None => path.to_owned(),
        }
    }
}

/// The client behind a connection: the socket's own facts, or what a trusted proxy says of them.
///
/// Of a list of addresses the rightmost untrusted one counts: whatever stands further left was written by it.
pub(crate) fn origin(
    peer: &Peer,
    host: Option<&HeaderValue>,
    headers: &HeaderMap,
    trusted: &TrustedNetworks,
) -> Origin {
    let socket = peer.address.ip();
    let mut origin = Origin {
        address: socket,
        scheme: peer.scheme,
        host: host.cloned(),
        reported: None,
    };
    if !socket.is_some_and(|address| trusted.contains(address)) {
        return origin;
    }
    let list: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    // An entry that is no address ends the walk: nothing left of it can be vouched for.
    let mut known: Vec<IpAddr> = Vec::new();
    for address in list
        .iter()
        .rev()
        .map_while(|text| text.parse::<IpAddr>().ok())
    {
        known.insert(0, address);
        origin.address = Some(address.to_canonical());
        if !trusted.contains(address) {
            break;
        }
    }
    if !known.is_empty() {
        origin.reported = Some(
            known
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        );
    }
    match single(headers, &FORWARDED_PROTO) {
        Some("https") => origin.scheme = Scheme::Https,
        Some("http") => origin.scheme = Scheme::Http,
        _ => {}
    }
    if let Some(host) = single(headers, &FORWARDED_HOST).filter(|host| is_authority(host)) {
        origin.host = HeaderValue::from_str(host).ok();
    }
    origin
}

/// Tells the upstream who the client is and how it came.
pub(crate) fn describe_client(headers: &mut HeaderMap, peer: &Peer, origin: &Origin) {
    if let Some(host) = &origin.host {
        headers.insert(HOST, host.clone());
        headers.insert(FORWARDED_HOST, host.clone());
    }
    headers.insert(
        FORWARDED_PROTO,
        HeaderValue::from_static(origin.scheme.as_str()),
    );
    let text = |address: IpAddr| HeaderValue::try_from(spelled(address)).ok();
    let address = origin.address.and_then(text);
    let path = match (&origin.reported, peer.address.ip()) {
        (Some(reported), Some(socket)) => {
            HeaderValue::try_from(format!("{reported}, {socket}")).ok()
        }
        (None, Some(socket)) if origin.address == Some(socket) => address.clone(),
        (None, Some(socket)) => text(socket),
        (_, None) => None,
    };
    if let Some(address) = address {
        headers.insert(REAL_IP, address);
    }
    if let Some(path) = path {
        headers.insert(FORWARDED_FOR, path);
    }
}

/// An address as text. It is written for each request, and the formatter of the standard library takes ten times as long
/// for one of IPv4.
fn spelled(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else {
        return address.to_string();
    };
    let mut text = String::with_capacity("255.255.255.255".len());
    for octet in address.octets() {
        if !text.is_empty() {
            text.push('.');
        }
        if octet >= 100 {
            text.push(char::from(b'0' + octet / 100));
        }
        if octet >= 10 {
            text.push(char::from(b'0' + octet / 10 % 10));
        }
        text.push(char::from(b'0' + octet % 10));
    }
    text
}

/// The value of a header that stands once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?.trim();
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::peer::Address;

    fn peer(address: &str) -> Peer {
        Peer {
            address: Address::Ip(address.parse().unwrap()),
            scheme: Scheme::Http,
            sni: None,
            tls_version: None,
            certificate: None,
            certificate_required: false,
            challenges_only: false,
        }
    }

    fn told(peer: &Peer, lines: &[(&'static str, &'static str)]) -> (Origin, HeaderMap) {
        let headers: HeaderMap = lines
            .iter()
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
            .collect();
        let trusted = TrustedNetworks::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let host = HeaderValue::from_static("gate:5043");
        let origin = origin(peer, Some(&host), &headers, &trusted);
        let mut upstream = HeaderMap::new();
        describe_client(&mut upstream, peer, &origin);
        (origin, upstream)
    }

    const CLAIMS: [(&str, &str); 3] = [
        ("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "registry.example.com"),
    ];

    #[test]
    fn every_octet_is_spelled_as_everywhere() {
        for octet in 0..=255 {
            let address = IpAddr::from([octet, 10, octet, 200]);
            assert_eq!(spelled(address), address.to_string());
        }
        let six: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(spelled(six), "2001:db8::1");
    }

    #[test]
    fn h7_n14_a_stranger_is_not_believed() {
        let (origin, upstream) = told(&peer("192.0.2.1:999"), &CLAIMS);
        assert_eq!(origin.scheme, Scheme::Http);
        assert_eq!(upstream["x-forwarded-for"], "192.0.2.1");
        assert_eq!(upstream["x-real-ip"], "192.0.2.1");
        assert_eq!(upstream["x-forwarded-proto"], "http");
        assert_eq!(upstream["host"], "gate:5043");
    }

    #[test]
    fn behind_a_trusted_proxy_the_rightmost_stranger_is_the_client() {
        let (origin, upstream) = told(&peer("10.0.0.1:999"), &CLAIMS);
        assert_eq!(origin.address, Some("203.0.113.9".parse().unwrap()));
        assert_eq!(
            upstream["x-forwarded-for"],
            "203.0.113.9, 10.0.0.2, 10.0.0.1"
        );
        assert_eq!(upstream["x-real-ip"], "203.0.113.9");
        assert_eq!(upstream["x-forwarded-proto"], "https");
        assert_eq!(upstream["host"], "registry.example.com");
    }

    #[test]
    fn nonsense_from_a_trusted_proxy_is_left_out() {
        let (origin, upstream) = told(
            &peer("10.0.0.1:999"),
            &[
                ("x-forwarded-for", "203.0.113.9, unknown, 10.0.0.2"),
                ("x-forwarded-proto", "javascript"),
                ("x-forwarded-host", "evil/path"),
            ],
        );
        assert_eq!(origin.address, Some("10.0.0.2".parse().unwrap()));
        assert_eq!(upstream["x-forwarded-proto"], "http");
        assert_eq!(upstream["host"], "gate:5043");
    }
}

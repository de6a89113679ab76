//! What holds of every header, whoever sends it.

use http::header::{CONNECTION, CONTENT_RANGE, HeaderMap, HeaderName, HeaderValue, RANGE};

use super::{Broken, Origin, Part, Selection};
use super::{content_range, describe_client, is_unchanged, origin, rewrite, rewrite_links};
use super::{of_request, selection, strip_response};
use crate::net::TrustedNetworks;
use crate::net::is_authority;
use crate::peer::Address;
use crate::peer::Peer;
use crate::peer::Scheme;

/// What keeps its meaning from one end to the other even where `Connection` names it.
const KEPT: [&str; 12] = [
    "accept",
    "authorization",
    "content-range",
    "content-type",
    "docker-content-digest",
    "host",
    "if-match",
    "if-none-match",
    "if-range",
    "location",
    "range",
    "www-authenticate",
];

/// What belongs to one connection (RFC 9110 section 7.6.1).
const HOP: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What would have the request read as another one, or as somebody else's.
const FORGED: [&str; 9] = [
    "forwarded",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-uri",
    "x-original-url",
    "x-remote-user",
    "x-request-id",
    "x-rewrite-url",
];

/// What the gate says of the client, once each.
const SAID: [&str; 5] = [
    "host",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Lines of `name: value`, as far as they are any.
fn lines(data: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in data.split(|b| *b == b'\n').take(100) {
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.trim_ascii()),
            HeaderValue::from_bytes(value),
        ) {
            map.append(name, value);
        }
    }
    map
}

fn peer(address: &str) -> Peer {
    Peer {
        address: address.parse().map_or(Address::Unix, Address::Ip),
        scheme: Scheme::Https,
        sni: None,
        tls_version: None,
        certificate: None,
        certificate_required: false,
        challenges_only: false,
    }
}

/// Header lines of a request, from a stranger and from a trusted proxy: nothing of one connection and nothing that
/// speaks in the gate's name passes, and only the proxy is believed.
pub(crate) fn client_headers(data: &[u8]) {
    let sent = lines(data);
    let trusted = TrustedNetworks::new("10.0.0.0/8".parse().into_iter().collect());
    let host = HeaderValue::from_static("gate:5043");
    for (socket, is_trusted) in [("192.0.2.1:9", false), ("10.0.0.1:9", true)] {
        let peer = peer(socket);
        let told = origin(&peer, Some(&host), &sent, &trusted);
        if is_trusted {
            believed(&told, &sent, &trusted);
        } else {
            assert_eq!(told.address, peer.address.ip());
            assert_eq!(told.host.as_ref(), Some(&host));
            assert_eq!((told.scheme, &told.reported), (Scheme::Https, &None));
        }
        let mut headers = of_request(&sent, 0);
        for name in headers.keys() {
            assert!(!HOP.contains(&name.as_str()), "{name}");
            let name = name.as_str().replace('_', "-");
            let ours = name.starts_with("x-forwarded-") || name.starts_with("x-ssl-");
            assert!(!ours && !FORGED.contains(&&*name), "{name}");
        }
        nothing_named(&sent, &headers);
        describe_client(&mut headers, &peer, &told);
        for name in SAID {
            assert_eq!(headers.get_all(name).iter().count(), 1, "{name}");
        }
        let path = headers.get("x-forwarded-for").and_then(|v| v.to_str().ok());
        let (first, last) = path.map_or(("", ""), |path| {
            let first = path.split(", ").next().unwrap_or_default();
            (first, path.rsplit(", ").next().unwrap_or_default())
        });
        let own = peer.address.ip().map(|ip| ip.to_string());
        assert_eq!(Some(last), own.as_deref(), "{path:?}");
        assert!(is_trusted || first == last, "{path:?}");
    }
    let mut answer = sent.clone();
    strip_response(&mut answer);
    nothing_named(&sent, &answer);
}

/// What `Connection` named is gone.
fn nothing_named(sent: &HeaderMap, left: &HeaderMap) {
    for value in sent.get_all(CONNECTION) {
        for name in value.as_bytes().split(|b| *b == b',') {
            let Ok(name) = HeaderName::from_bytes(name.trim_ascii()) else {
                continue;
            };
            let gone = KEPT.contains(&name.as_str()) || !left.contains_key(&name);
            assert!(gone, "{name}");
        }
    }
}

/// What a trusted proxy says is taken: never an address that stands left of a stranger's.
fn believed(told: &Origin, sent: &HeaderMap, trusted: &TrustedNetworks) {
    let mut list: Vec<&str> = Vec::new();
    for value in sent.get_all("x-forwarded-for") {
        list.extend(value.to_str().iter().flat_map(|v| v.split(',')));
    }
    let mut expected = "10.0.0.1".parse().ok();
    for entry in list.iter().rev() {
        let Ok(address) = entry.trim().parse::<std::net::IpAddr>() else {
            break;
        };
        expected = Some(address.to_canonical());
        if !trusted.contains(address) {
            break;
        }
    }
    assert_eq!(told.address, expected);
    let host = told.host.as_ref().and_then(|host| host.to_str().ok());
    assert!(host.is_some_and(is_authority), "{host:?}");
}

/// A size (eight bytes), then header lines of who reads or uploads: parts lie within and are those that were asked for.
pub(crate) fn range(data: &[u8]) {
    let (size, rest) = data.split_first_chunk().unwrap_or((&[0; 8], data));
    let size = u64::from_be_bytes(*size);
    let headers = lines(rest);
    let tag = "sha256:e3b0";
    let _ = is_unchanged(&headers, tag);
    // Small ones are counted byte by byte as well.
    for size in [size, size % 300] {
        let found = selection(&headers, tag, size);
        if let Selection::Parts(parts) = &found {
            assert!(!parts.is_empty() && parts.len() <= 10);
            assert!(parts.iter().all(|p| p.first <= p.last && p.last < size));
            let apart = |two: &[Part]| matches!(two, [a, b] if a.last < b.first);
            assert!(parts.windows(2).all(apart), "{parts:?}");
            let sum: u64 = parts.iter().map(|part| part.length()).sum();
            assert!(sum <= size);
        }
        if size < 300 {
            same_bytes(&headers, &found, size);
        }
    }
    if let Ok(Some(part)) = content_range(&headers) {
        assert!(part.first <= part.last && part.last < u64::MAX && part.length() > 0);
        let mut again = HeaderMap::new();
        let text = format!("{}-{}", part.first, part.last);
        again.extend(HeaderValue::try_from(text).map(|v| (CONTENT_RANGE, v)));
        assert_eq!(content_range(&again), Ok(Some(part)));
    }
}

/// The selected bytes are exactly those that a naive reading of the header asks for.
fn same_bytes(headers: &HeaderMap, found: &Selection, size: u64) {
    if matches!(found, Selection::Whole) {
        return;
    }
    let Some(text) = headers.get(RANGE).and_then(|v| v.to_str().ok()) else {
        panic!("parts of {size} without a Range");
    };
    let ranges = text.split_once('=').map_or("", |(_, ranges)| ranges);
    let is_asked = |at: u64| {
        ranges.split(',').map(str::trim).any(|one| {
            let (first, last) = one.split_once('-').unwrap_or(("", ""));
            let number = |text: &str| text.parse::<u128>().unwrap_or(u128::MAX);
            let at = u128::from(at);
            match (first, last) {
                ("", "") => false,
                ("", last) => at.saturating_add(number(last)) >= u128::from(size),
                (first, "") => at >= number(first),
                (first, last) => (number(first)..=number(last)).contains(&at),
            }
        })
    };
    let asked: Vec<u64> = (0..size).filter(|at| is_asked(*at)).collect();
    let selected: Vec<u64> = match found {
        Selection::Parts(parts) => parts.iter().flat_map(|p| p.first..=p.last).collect(),
        Selection::Whole | Selection::Unsatisfiable => Vec::new(),
    };
    assert_eq!(selected, asked, "{text} of {size}");
}

/// A `Location` or a `Link` of the upstream: it stays what it is when it is put on the client's address twice, and leads
/// no client of TLS into clear text, and none that means the registry to another host.
pub(crate) fn upstream_links(data: &[u8]) {
    let Some(text) = HeaderValue::from_bytes(data).ok() else {
        return;
    };
    let Ok(text) = text.to_str() else {
        return;
    };
    let upstream = "localhost:5000";
    for (scheme, host) in [
        (Scheme::Https, Some("registry.test")),
        (Scheme::Http, Some("registry.test:5043")),
        (Scheme::Http, None),
    ] {
        let origin = Origin {
            address: None,
            scheme,
            host: host.map(HeaderValue::from_static),
            reported: None,
        };
        if let Ok(sent) = rewrite(text, &origin, Some(upstream)) {
            target(&sent, scheme);
            assert_eq!(rewrite(&sent, &origin, Some(upstream)), Ok(sent.clone()));
            let own = |from: &str| text.starts_with(&format!("http://{from}/"));
            let path = sent.starts_with('/') && !sent.starts_with("//");
            let meant = host.map_or(path, |host| {
                sent.starts_with(&format!("{}://{host}/", scheme.as_str()))
            });
            assert!(meant || !own(upstream), "{text} became {sent}");
        }
        match rewrite_links(text, &origin, upstream) {
            Ok(Some(sent)) => {
                assert!(HeaderValue::from_str(&sent).is_ok());
                let again = rewrite_links(&sent, &origin, upstream);
                assert_eq!(again, Ok(Some(sent)));
            }
            Ok(None) | Err(Broken::Malformed | Broken::ClearText) => {}
        }
    }
}

fn target(sent: &str, scheme: Scheme) {
    let clear = sent.to_ascii_lowercase().starts_with("http://");
    assert!(scheme == Scheme::Http || !clear, "{sent}");
    assert!(!sent.starts_with("//"), "{sent}");
    assert!(HeaderValue::from_str(sent).is_ok(), "{sent:?}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_list_of_ranges_selects_the_bytes_that_it_names(
            list in prop::collection::vec("[0-9]{0,3}-[0-9]{0,3}| |-1|[0-9]{20}-|0-[0-9]{20}", 1..5),
            size in 0_u64..300,
        ) {
            let mut data = size.to_be_bytes().to_vec();
            data.extend(format!("Range: bytes={}", list.join(",")).bytes());
            range(&data);
        }

        #[test]
        fn nothing_of_one_connection_and_nothing_forged_passes_whoever_says_it(
            lines in prop::collection::vec((
                "Connection|X-Mine|X_Mine|Accept|Host|TE|X-Forwarded-For|X-Forwarded-Host|X_Forwarded-Proto|X-Real-IP|Forwarded|X-SSL-A|Content-Length",
                "([a-z]{1,4}|close|x-mine|x_mine|accept|host|authorization|10\\.[0-9]{1,2}\\.0\\.1|203\\.0\\.113\\.[0-9]|::ffff:10\\.0\\.0\\.9|\u{e9}| ){1,2}",
            ), 0..8),
        ) {
            let text: Vec<String> = lines
                .iter()
                .map(|(name, value)| format!("{name}: {value}, {value}"))
                .collect();
            client_headers(text.join("\n").as_bytes());
        }

        #[test]
        fn a_link_of_the_upstream_leads_where_it_may(
            text in "(<|)((http|https|HTTP|ftp):)?(/|//|)(localhost:5000|registry\\.test(:5043)?|b\\.example|u@a)?(/|//|\\?|#|\\.\\.|v2|[a-z]|%2f|\\\\){0,4}(>; rel=next)?",
        ) {
            upstream_links(text.as_bytes());
        }
    }
}

//! A strict look at the head of a request, after the parser's: what it lets pass in HTTP/1 (the guard in front of it
//! has judged the bytes) and in HTTP/2, and what a registry has no use for.

use http::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderName, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Version};
use http_body::Body;

use crate::error::HeadFault;
use crate::net::is_authority;

/// Headers that belong to HTTP/1 connections (RFC 9113 section 8.2.2).
const CONNECTION_SPECIFIC: [&str; 5] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// Header lines and bytes of the target; the guard has the same bounds for HTTP/1.
const MAX_LINES: usize = 100;
const MAX_TARGET: usize = 8 * 1024;

/// Refuses what could be read in two ways.
pub(super) fn judge(parts: &Parts, body: &impl Body) -> Result<(), HeadFault> {
    let h2 = parts.version == Version::HTTP_2;
    host(parts, h2)?;
    // A scheme other than ours is for somebody else (RFC 9110 section 4.3); in HTTP/2 it may be any text.
    let scheme = parts.uri.scheme_str();
    if !parts.uri.path().starts_with('/') || !matches!(scheme, None | Some("http" | "https")) {
        return Err(HeadFault::Target);
    }
    size(parts)?;
    framing(&parts.headers)?;
    if h2
        && parts
            .headers
            .keys()
            .any(|name| is_connection_specific(name, &parts.headers))
    {
        return Err(HeadFault::Header);
    }
    let expects = parts.headers.get_all(EXPECT).iter();
    let unknown =
        |value: &http::HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if parts.version >= Version::HTTP_11 && expects.into_iter().any(unknown) {
        return Err(HeadFault::Expectation);
    }
    let bodyless = matches!(parts.method, http::Method::GET | http::Method::HEAD);
    if bodyless && !body.is_end_stream() && body.size_hint().exact() != Some(0) {
        return Err(HeadFault::Body);
    }
    Ok(())
}

/// The host that the client means: of HTTP/2 the authority, else the `Host` header.
pub(super) fn named_host(parts: &Parts) -> Option<http::HeaderValue> {
    match parts.uri.authority() {
        Some(authority) => http::HeaderValue::from_str(authority.as_str()).ok(),
        None => parts.headers.get(HOST).cloned(),
    }
}

fn host(parts: &Parts, h2: bool) -> Result<(), HeadFault> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    let text = match host.map(|h| h.to_str()) {
        None => None,
        Some(Ok(text)) => Some(text),
        Some(Err(_)) => return Err(HeadFault::Host),
    };
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    // A target in absolute form must agree with Host: of two names, the gate and the registry could each believe one.
    let agree = match (text, authority) {
        (Some(host), Some(authority)) => host.eq_ignore_ascii_case(authority),
        (None, None) => parts.version < Version::HTTP_11,
        (Some(_), None) => true,
        (None, Some(_)) => h2 || parts.version < Version::HTTP_11,
    };
    let valid = [text, authority].into_iter().flatten().all(is_authority);
    if second.is_some() || !agree || !valid {
        return Err(HeadFault::Host);
    }
    Ok(())
}

fn size(parts: &Parts) -> Result<(), HeadFault> {
    let target = parts.uri.path_and_query();
    if target.is_some_and(|target| target.as_str().len() > MAX_TARGET) {
        return Err(HeadFault::TargetTooLong);
    }
    if parts.headers.len() > MAX_LINES {
        return Err(HeadFault::TooManyHeaders);
    }
    Ok(())
}

fn framing(headers: &HeaderMap) -> Result<(), HeadFault> {
    let lengths = headers.get_all(CONTENT_LENGTH).iter().count();
    let codings = headers.get_all(TRANSFER_ENCODING).iter().count();
    if lengths > 1 || codings > 1 || (lengths == 1 && codings == 1) {
        return Err(HeadFault::Framing);
    }
    Ok(())
}

fn is_connection_specific(name: &HeaderName, headers: &HeaderMap) -> bool {
    CONNECTION_SPECIFIC.contains(&name.as_str())
        || (name == http::header::TE && headers.get_all(name).iter().any(|v| v != "trailers"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::body::empty;

    fn judged(version: Version, target: &str, lines: &[(&str, &str)]) -> Result<(), HeadFault> {
        let mut request = Request::builder().version(version).uri(target);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        judge(&request.body(()).unwrap().into_parts().0, &empty())
    }

    #[test]
    fn h2_n7_a_request_has_exactly_one_host() {
        let h1 = |lines: &[_]| judged(Version::HTTP_11, "/v2/", lines);
        assert_eq!(h1(&[("host", "a:5043")]), Ok(()));
        for lines in [
            &[][..],
            &[("host", "a"), ("host", "a")],
            &[("host", "")],
            &[("host", "a/b")],
            &[("host", "u@a")],
            &[("host", "a b")],
        ] {
            assert_eq!(h1(lines), Err(HeadFault::Host), "{lines:?}");
        }
        assert_eq!(judged(Version::HTTP_10, "/v2/", &[]), Ok(()));
    }

    #[test]
    fn h4_n7_n19_an_absolute_target_agrees_with_host_or_is_refused() {
        let absolute = |host| judged(Version::HTTP_11, "http://a:1/v2/", &[("host", host)]);
        assert_eq!(absolute("A:1"), Ok(()));
        assert_eq!(absolute("other"), Err(HeadFault::Host));
        let h2 = |lines: &[_]| judged(Version::HTTP_2, "https://a/v2/", lines);
        assert_eq!(h2(&[]), Ok(()));
        assert_eq!(h2(&[("host", "b")]), Err(HeadFault::Host));
        assert_eq!(
            judged(Version::HTTP_2, "https://u@a/v2/", &[]),
            Err(HeadFault::Host)
        );
    }

    #[test]
    fn a_target_of_another_scheme_is_refused() {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let of = |scheme: &str| judged(version, &format!("{scheme}://a/v2/"), &[("host", "a")]);
            assert_eq!((of("http"), of("HTTPS")), (Ok(()), Ok(())));
            for scheme in ["ftp", "ws", "httpx", "file"] {
                assert_eq!(of(scheme), Err(HeadFault::Target), "{scheme} {version:?}");
            }
        }
    }

    #[test]
    fn h1_h14_n1_n31_ambiguous_framing_and_connection_headers_are_refused() {
        let h1 = |name, value| judged(Version::HTTP_11, "/v2/", &[("host", "a"), (name, value)]);
        assert_eq!(h1("expect", "100-Continue"), Ok(()));
        assert_eq!(h1("expect", "200-ok"), Err(HeadFault::Expectation));
        let both = [
            ("host", "a"),
            ("content-length", "1"),
            ("transfer-encoding", "chunked"),
        ];
        assert_eq!(
            judged(Version::HTTP_11, "/v2/", &both),
            Err(HeadFault::Framing)
        );
        let h2 = |name, value| judged(Version::HTTP_2, "https://a/v2/", &[(name, value)]);
        assert_eq!(h2("te", "trailers"), Ok(()));
        for (name, value) in [
            ("te", "gzip"),
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
        ] {
            assert_eq!(h2(name, value), Err(HeadFault::Header), "{name}");
        }
    }
}

//! What must not pass through an intermediary.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Headers that speak of one connection (RFC 9110 section 7.6.1), framing included: hyper writes its own.
fn is_of_a_connection(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "content-length"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Headers by which a client could speak in the gate's name, or have its request read as another one.
fn is_an_impostor(name: &str) -> bool {
    name.starts_with("x-forwarded-")
        || name.starts_with("x-ssl-")
        || matches!(
            name,
            "forwarded"
                | "x-http-method"
                | "x-http-method-override"
                | "x-method-override"
                | "x-original-uri"
                | "x-original-url"
                | "x-real-ip"
                | "x-remote-user"
                | "x-request-id"
                | "x-rewrite-url"
        )
}

/// A client may name in `Connection` only what nobody relies on: these keep their end-to-end meaning even when named.
const PROTECTED: [HeaderName; 12] = [
    header::HOST,
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::CONTENT_RANGE,
    header::RANGE,
    header::ACCEPT,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::LOCATION,
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("docker-content-digest"),
];

/// What may reach the upstream of a request's headers, with room for `more`. `Host`, `Authorization` and the forwarded
/// facts are set after.
pub(crate) fn of_request(headers: &HeaderMap, more: usize) -> HeaderMap {
    let named = named(headers);
    let mut left = HeaderMap::with_capacity(headers.len() + more);
    for (name, value) in headers {
        if !goes(name.as_str()) && !named.contains(name) {
            left.append(name, value.clone());
        }
    }
    join_cookies(&mut left);
    left
}

fn goes(name: &str) -> bool {
    // For CGI and its kin `X_Real_IP` is the same header.
    let spelled = match name {
        name if name.contains('_') => Cow::Owned(name.replace('_', "-")),
        name => Cow::Borrowed(name),
    };
    is_of_a_connection(name) || name == "expect" || is_an_impostor(&spelled)
}

/// The crumbs of a cookie as one line: HTTP/2 lets a client cut it up, HTTP/1 does not (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() < 2 {
        return;
    }
    // Of parts that are values every byte may stand in one.
    if let Ok(mut whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        whole.set_sensitive(true);
        headers.insert(header::COOKIE, whole);
    }
}

/// Leaves of an answer what may reach the client.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    let named = named(headers);
    // Looks at all names once: to ask for each that might be there takes longer.
    let gone = headers
        .keys()
        .filter(|name| is_of_a_connection(name.as_str()));
    let gone: Vec<_> = gone.cloned().collect();
    for name in gone.iter().chain(&named) {
        headers.remove(name);
    }
}

/// What `Connection` names.
fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(header::CONNECTION).iter();
    lines
        // One entry that is no name must not hide the others of its line.
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        // Goes in any case, and is what nearly every line says.
        .filter(|name| !name.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| !PROTECTED.contains(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn h8_n15_what_connection_names_goes_unless_the_other_end_relies_on_it() {
        let mut map = headers(&[
            ("connection", "close, X-Mine , authorization,host"),
            ("x-mine", "1"),
            ("authorization", "Basic eDp5"),
            ("host", "a"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("accept", "a"),
            ("keep-alive", "5"),
        ]);
        map.append("accept", HeaderValue::from_static("b"));
        let map = of_request(&map, 0);
        let mut left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "authorization", "host"]);
        assert_eq!(map.get_all("accept").iter().count(), 2);
    }

    #[test]
    fn what_connection_names_goes_whatever_stands_beside_it() {
        let mut map = headers(&[("x-mine", "1"), ("x-other", "2")]);
        let line = HeaderValue::from_bytes(b"x-mine, caf\xe9, a b,x-other").unwrap();
        map.insert(header::CONNECTION, line);
        strip_response(&mut map);
        assert!(map.is_empty(), "{map:?}");
    }

    #[test]
    fn the_crumbs_of_a_cookie_become_one_line_in_their_order() {
        let map = headers(&[("cookie", "a=1; b=2")]);
        let mut map = of_request(&map, 0);
        assert_eq!(map["cookie"], "a=1; b=2");
        map.append("cookie", HeaderValue::from_static("c=3"));
        map.append("cookie", HeaderValue::from_static("a=4"));
        let map = of_request(&map, 0);
        let lines: Vec<_> = map.get_all("cookie").iter().collect();
        assert_eq!(lines, ["a=1; b=2; c=3; a=4"]);
    }

    #[test]
    fn h7_n13_n14_a_client_cannot_speak_in_the_gates_name() {
        let map = headers(&[
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "javascript"),
            ("forwarded", "host=evil"),
            ("x-ssl-client-verify", "SUCCESS"),
            ("x-http-method-override", "DELETE"),
            ("x-original-url", "/v2/secret/tags/list"),
            ("expect", "100-continue"),
        ]);
        let map = of_request(&map, 0);
        assert!(map.is_empty(), "{map:?}");
    }
}

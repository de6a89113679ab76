//! `Location` on its way from the upstream to the client (rule 4 of the design).

use http::Uri;

use crate::peer::Scheme;

use super::Origin;

/// A `Location` that cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// It is no URI reference.
    #[error("the upstream sent a Location that is no URL")]
    Malformed,
    /// It would lead a TLS client into clear text.
    #[error(
        "the upstream redirects elsewhere in clear text (http://); let its storage use https or turn redirects off"
    )]
    ClearText,
}

/// The `Location` for the client: the registry's own URLs on the scheme, host and port that the client used, whatever
/// name the registry gave itself; others (a presigned bucket URL) untouched.
///
/// `upstream` is the authority of the upstream itself. A URL is the registry's own when it names the client's host,
/// the upstream's, or any host with a path of the registry API.
pub(crate) fn rewrite(
    location: &str,
    origin: &Origin,
    upstream: Option<&str>,
) -> Result<String, Broken> {
    // Browsers take a backslash for a slash, and `/\` for the beginning of another host's name.
    if !location.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return Err(Broken::Malformed);
    }
    if location.starts_with('/') && !location.starts_with("//") {
        return Ok(location.to_owned());
    }
    let whole = if location.starts_with("//") {
        format!("{}:{location}", origin.scheme.as_str())
    } else {
        location.to_owned()
    };
    let uri: Uri = whole.parse().map_err(|_| Broken::Malformed)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(Broken::Malformed);
    };
    if !matches!(scheme, "http" | "https") {
        return Err(Broken::Malformed);
    }
    let client = origin.host.as_ref().and_then(|host| host.to_str().ok());
    let same =
        |other: Option<&str>| other.is_some_and(|o| o.eq_ignore_ascii_case(authority.as_str()));
    if same(client) || same(upstream) || uri.path() == "/v2" || uri.path().starts_with("/v2/") {
        let path = uri.path_and_query().map_or("/", |p| p.as_str());
        let slash = if path.starts_with('/') { "" } else { "/" };
        return match client {
            Some(host) => Ok(format!("{}://{host}{slash}{path}", origin.scheme.as_str())),
            // Alone it would be the name of another host.
            None if path.starts_with("//") => Err(Broken::Malformed),
            None => Ok(format!("{slash}{path}")),
        };
    }
    if origin.scheme == Scheme::Https && scheme == "http" {
        return Err(Broken::ClearText);
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn sent(location: &str) -> Result<String, Broken> {
        let origin = Origin {
            address: None,
            scheme: Scheme::Https,
            host: Some(HeaderValue::from_static("registry.test:5043")),
            reported: None,
        };
        rewrite(location, &origin, Some("localhost:5000"))
    }

    #[test]
    fn u7_n39_the_registrys_own_urls_come_out_as_the_client_wrote_them() {
        let meant = "https://registry.test:5043/v2/a/blobs/uploads/1?_state=x%2By";
        for location in [
            "http://registry.test:5043/v2/a/blobs/uploads/1?_state=x%2By",
            "https://registry.test:5043/v2/a/blobs/uploads/1?_state=x%2By",
            "http://localhost:5000/v2/a/blobs/uploads/1?_state=x%2By",
            "https://inner.example:444/v2/a/blobs/uploads/1?_state=x%2By",
            "//localhost:5000/v2/a/blobs/uploads/1?_state=x%2By",
        ] {
            assert_eq!(sent(location).as_deref(), Ok(meant), "{location}");
        }
        assert_eq!(
            sent("/v2/a/blobs/uploads/1").as_deref(),
            Ok("/v2/a/blobs/uploads/1")
        );
    }

    #[test]
    fn u7_a_client_that_named_no_host_gets_a_path_and_never_another_host() {
        let origin = Origin {
            address: None,
            scheme: Scheme::Http,
            host: None,
            reported: None,
        };
        let sent = |location| rewrite(location, &origin, Some("localhost:5000"));
        let path = Ok("/v2/a?n=1".to_owned());
        assert_eq!(sent("http://localhost:5000/v2/a?n=1"), path);
        assert_eq!(sent("http://localhost:5000?n=1"), Ok("/?n=1".to_owned()));
        for location in [
            "http://localhost:5000//evil.example/x",
            "//localhost:5000//x",
        ] {
            assert_eq!(sent(location), Err(Broken::Malformed), "{location}");
        }
    }

    #[test]
    fn u7_a_bucket_is_left_alone_but_never_in_clear() {
        let bucket =
            "https://b.s3.example/docker/registry/v2/blobs/sha256/aa/data?X-Amz-Signature=f%2F0";
        assert_eq!(sent(bucket).as_deref(), Ok(bucket));
        assert_eq!(
            sent(&bucket.replace("https", "http")),
            Err(Broken::ClearText)
        );
    }

    #[test]
    fn u7_what_is_no_url_is_not_passed_on() {
        for location in [
            "",
            "javascript:alert(1)",
            "ftp://x/y",
            "v2/relative",
            "/v2/ a",
            "http://",
            "/\\evil",
            "http://localhost:5000/\\evil.example/",
            "https://b.s3.example/a b",
        ] {
            assert_eq!(sent(location), Err(Broken::Malformed), "{location}");
        }
    }
}

//! `[token]`: the token service.

use std::time::Duration;

use super::section::Section;
use super::source::shown;
use super::types::Token;

const PATH: &str = "/v2/token";
const LIFETIME: Duration = Duration::from_secs(300);
/// Clients take a shorter one for a minute anyway, and then come with a dead token.
const LEAST: Duration = Duration::from_secs(60);
/// Who loses a right keeps what a token says for as long as this at most.
const MOST: Duration = Duration::from_secs(24 * 3600);

pub(super) fn read(section: &Section<'_>) -> Token {
    let lifetime = section.duration("lifetime", LEAST).filter(|lifetime| {
        let fits = *lifetime <= MOST;
        if !fits {
            section.fault(
                "lifetime",
                "is longer than a day, for which a withdrawn right would live on; at most \"1d\"",
            );
        }
        fits
    });
    Token {
        path: section
            .parsed("path", path)
            .unwrap_or_else(|| PATH.to_owned()),
        service: section.parsed("service", service),
        lifetime: lifetime.unwrap_or(LIFETIME),
        signing_key: section.path("signing_key"),
    }
}

/// A path that no request of the registry API has.
fn path(text: &str) -> Result<String, String> {
    let Some(inner) = text.strip_prefix('/') else {
        return Err(format!(
            "{} does not begin with /; write \"/v2/token\"",
            shown(text)
        ));
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-~".contains(&b);
    let good = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(plain);
    if text.len() > 255 || !inner.split('/').all(good) {
        return Err(format!(
            "{} is not a path of letters, digits and . _ - ~ between single slashes; write \"/v2/token\"",
            shown(text)
        ));
    }
    let taken = ["v2", "v2/_catalog", "_ping", "v1/_ping", "v1/search"].contains(&inner);
    let of_a_repository = inner.strip_prefix("v2/").is_some_and(|rest| {
        rest.split('/')
            .any(|part| matches!(part, "tags" | "manifests" | "blobs" | "referrers"))
    });
    if taken || of_a_repository {
        return Err(format!(
            "{} is a path of the registry API; choose another, such as \"/v2/token\"",
            shown(text)
        ));
    }
    Ok(text.to_owned())
}

/// What stands between quotes in a header and comes back in a query.
fn service(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if text.len() <= 255 && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} holds more than 255 ASCII letters, digits and signs other than \" and \\; a host name is usual",
        shown(text)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_one_that_no_registry_request_has() {
        for fine in [
            "/v2/token",
            "/token",
            "/auth/token",
            "/v2/tokens/x",
            "/service/token",
        ] {
            assert!(path(fine).is_ok(), "{fine}");
        }
        for wrong in [
            "token",
            "/",
            "/v2",
            "/v2/",
            "/_ping",
            "/v1/search",
            "/v2/_catalog",
            "/a//b",
            "/a/../b",
            "/a?b",
            "/a b",
            "/a%2fb",
            "/v2/x/tags/list",
            "/v2/x/manifests/1",
            "/v2/x/blobs/uploads",
        ] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }
}

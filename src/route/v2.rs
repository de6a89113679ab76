//! The grammar of the paths, read and written here alone (distribution-spec v1.1, "Endpoints").

use std::borrow::Cow;

use crate::oci::{Code, Digest, Invalid, Reference, RepositoryName};

use super::query;
use super::{Fault, Target, UploadId, Verb};

/// Where an authority looks for the proof of a name (RFC 8555 section 8.3).
const PROOFS: &str = "/.well-known/acme-challenge/";

/// Refuses every path that two readers could understand in two ways; what is left is used as it stands, but for
/// the colon of a digest, which some clients percent-encode.
pub(super) fn clean(path: &str) -> Result<Cow<'_, str>, Fault> {
    let path: Cow<'_, str> = if path.contains("%3") {
        path.replace("%3A", ":").replace("%3a", ":").into()
    } else {
        path.into()
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-:~=@+,!$&'()*".contains(&b);
    if !path.bytes().all(plain) {
        return Err(Fault::BadPath(
            "the path has characters that no registry path has (percent-encoding included)",
        ));
    }
    let Some(inner) = path.strip_prefix('/') else {
        return Err(Fault::BadPath("the request target is not a path"));
    };
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if path.len() > 1 && inner.split('/').any(|s| matches!(s, "" | "." | "..")) {
        return Err(Fault::BadPath("the path has empty or dot segments"));
    }
    Ok(path)
}

/// What a clean path means, and the query that goes with it.
pub(super) fn target(
    path: &str,
    query: Option<&str>,
    verb: Option<Verb>,
) -> Result<(Target, Option<String>), Fault> {
    let own = |target| Ok((target, query.map(str::to_owned)));
    match path {
        "/" => return own(Target::Root),
        "/_ping" | "/v1/_ping" => return own(Target::Ping),
        "/v2" | "/v2/" => return own(Target::Version),
        "/v2/_catalog" => return own(Target::Catalog),
        "/v1/search" => return own(Target::Search),
        _ => {}
    }
    if let Some(token) = path.strip_prefix(PROOFS) {
        return own(Target::Proof(proof_token(token)?));
    }
    let rest = path.strip_prefix("/v2/").ok_or(Fault::Unknown)?;
    let mut parts = rest.rsplitn(4, '/');
    let mut part = || parts.next().unwrap_or_default();
    let (last, second, third, fourth) = (part(), part(), part(), part());
    // The name of an endpoint whose last two segments are its own: all that stands before them.
    let tail = last.len() + second.len() + 2;
    let name_of_two = || {
        name(
            rest.get(..rest.len().saturating_sub(tail))
                .unwrap_or_default(),
        )
    };
    match (third, second, last) {
        ("blobs", "uploads", "") => {
            let (mount, query) = query.map_or(Ok((None, None)), query::mount)?;
            Ok((Target::UploadStart(name(fourth)?, mount), query))
        }
        (_, "blobs", "uploads") if !third.is_empty() => {
            let (mount, query) = query.map_or(Ok((None, None)), query::mount)?;
            Ok((Target::UploadStart(name_of_two()?, mount), query))
        }
        ("blobs", "uploads", id) => own(Target::Upload(name(fourth)?, upload_id(id)?)),
        (_, "tags", "list") if !third.is_empty() => own(Target::Tags(name_of_two()?)),
        (_, "manifests", reference) if !third.is_empty() => {
            let name = name_of_two()?;
            own(Target::Manifest(name, manifest_reference(reference, verb)?))
        }
        (_, "blobs", text) if !third.is_empty() => {
            let name = name_of_two()?;
            own(Target::Blob(name, digest(text)?))
        }
        (_, "referrers", text) if !third.is_empty() => {
            let name = name_of_two()?;
            own(Target::Referrers(name, digest(text)?))
        }
        _ => Err(Fault::Unknown),
    }
}

impl Target {
    /// The path in its one canonical spelling; reading it gives the same target again.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Ping => "/_ping".to_owned(),
            Self::Root => "/".to_owned(),
            Self::Version => "/v2/".to_owned(),
            Self::Catalog => "/v2/_catalog".to_owned(),
            Self::Search => "/v1/search".to_owned(),
            Self::Tags(name) => format!("/v2/{name}/tags/list"),
            Self::Manifest(name, reference) => format!("/v2/{name}/manifests/{reference}"),
            Self::Blob(name, digest) => format!("/v2/{name}/blobs/{digest}"),
            Self::UploadStart(name, _) => format!("/v2/{name}/blobs/uploads/"),
            Self::Upload(name, id) => format!("/v2/{name}/blobs/uploads/{}", id.as_str()),
            Self::Referrers(name, digest) => format!("/v2/{name}/referrers/{digest}"),
            Self::Token(path) => path.clone(),
            Self::Proof(token) => format!("{PROOFS}{token}"),
        }
    }

    /// The methods that the target takes, as the `Allow` header lists them.
    pub(super) fn allow(&self) -> &'static str {
        match self {
            Self::Ping
            | Self::Root
            | Self::Version
            | Self::Catalog
            | Self::Search
            | Self::Tags(_)
            | Self::Proof(_)
            | Self::Referrers(..) => "GET, HEAD",
            Self::Manifest(..) => "GET, HEAD, PUT, DELETE",
            Self::Blob(..) => "GET, HEAD, DELETE",
            Self::UploadStart(..) => "POST",
            Self::Token(_) => "GET, POST",
            Self::Upload(..) => "GET, HEAD, PATCH, PUT, DELETE",
        }
    }
}

fn name(text: &str) -> Result<RepositoryName, Fault> {
    RepositoryName::parse(text).map_err(Fault::Invalid)
}

fn digest(text: &str) -> Result<Digest, Fault> {
    Digest::parse(text).map_err(Fault::Invalid)
}

/// Who reads by a tag that cannot exist is told that it does not (404, as registry:2 does and the conformance suite
/// wants); who writes to one is told what is wrong with it (400).
fn manifest_reference(text: &str, verb: Option<Verb>) -> Result<Reference, Fault> {
    Reference::parse(text).map_err(|invalid| match verb {
        Some(Verb::Get | Verb::Head) if invalid.code == Code::TagInvalid => Fault::Absent(invalid),
        _ => Fault::Invalid(invalid),
    })
}

/// A token is base64url (RFC 8555 section 8.3); authorities make them of 43 characters.
fn proof_token(text: &str) -> Result<String, Fault> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=256).contains(&text.len()) && text.bytes().all(good) {
        return Ok(text.to_owned());
    }
    Err(Fault::Unknown)
}

fn upload_id(text: &str) -> Result<UploadId, Fault> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"_-=.~".contains(&b);
    if text.len() > 256 || !text.bytes().all(good) {
        return Err(Fault::Invalid(Invalid {
            code: Code::NameInvalid,
            message: "an upload id has 1 to 256 letters, digits and _ - = . ~",
        }));
    }
    Ok(UploadId(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use http::{Method, Uri};

    use super::super::{Action, Fault, Route, Verb};

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(method: &str, target: &str) -> Result<Route, Fault> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Route::parse(&method, &target.parse::<Uri>().unwrap(), Some("/v2/token"))
    }

    #[test]
    fn every_endpoint_is_read_and_written_back_alike() {
        let blob = format!("/v2/a/b/blobs/{DIGEST}");
        let referrers = format!("/v2/a/referrers/{DIGEST}");
        let by_digest = format!("/v2/a/manifests/{DIGEST}");
        for (method, path, action) in [
            ("GET", "/_ping", Action::Public),
            ("GET", "/.well-known/acme-challenge/a-_9", Action::Public),
            ("GET", "/", Action::Enter),
            ("HEAD", "/v2/", Action::Enter),
            ("GET", "/v2/_catalog?n=2&last=t%2Fm", Action::Catalog),
            ("GET", "/v1/search?q=term&n=25", Action::Catalog),
            ("GET", "/v2/a/tags/list", Action::Pull),
            ("GET", "/v2/a/b/c/manifests/latest", Action::Pull),
            ("PUT", "/v2/a/manifests/latest", Action::Push),
            ("DELETE", &by_digest, Action::Delete),
            ("HEAD", &blob, Action::Pull),
            ("DELETE", &blob, Action::Delete),
            ("POST", "/v2/a/blobs/uploads/", Action::Push),
            (
                "PATCH",
                "/v2/a/b/blobs/uploads/1f-2e?_state=x_y=",
                Action::Push,
            ),
            ("GET", "/v2/a/blobs/uploads/1f-2e", Action::Push),
            ("GET", &referrers, Action::Pull),
            ("GET", "/v2/token?service=x", Action::Token),
            ("POST", "/v2/token", Action::Token),
            ("GET", "/v2/manifests/manifests/manifests/1", Action::Pull),
            ("GET", "/v2/blobs/uploads/tags/list", Action::Pull),
        ] {
            let route = parse(method, path).unwrap_or_else(|e| panic!("{method} {path}: {e}"));
            assert_eq!(route.path_and_query(), *path, "{method}");
            assert_eq!(route.access().action, action, "{method} {path}");
            assert_eq!(parse(method, &route.path_and_query()).as_ref(), Ok(&route));
        }
    }

    #[test]
    fn other_spellings_of_a_known_path_become_the_canonical_one() {
        for (written, meant) in [
            ("/v2", "/v2/"),
            ("/v1/_ping", "/_ping"),
            (
                "/v2/a/manifests/sha256%3Ae3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "/v2/a/manifests/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
        ] {
            assert_eq!(parse("GET", written).unwrap().path(), meant);
        }
        assert_eq!(
            parse("POST", "/v2/a/blobs/uploads").unwrap().path(),
            "/v2/a/blobs/uploads/"
        );
    }

    #[test]
    fn h5_r1_n11_ambiguous_paths_are_refused_before_anything_is_asked() {
        for path in [
            "/v2/../x",
            "/v2/%2e%2e/",
            "/v2/a%2fb/tags/list",
            "//v2/",
            "/v2//a/tags/list",
            "/v2/a/./b/tags/list",
            "/v2/a/../../etc/manifests/1",
            "/v2/a%00/tags/list",
            "/v2/a%0d%0a/tags/list",
            "/v2/%c0%af/tags/list",
            "/v2/a;x=y/tags/list",
            "/v%32/",
            "/%762/",
            "/v2%2fa/tags/list",
            "/v2/a/blobs/uploads/..",
            "/v2/a/blobs/uploads/x/..",
            "/v2/a/manifests//",
        ] {
            let fault = parse("GET", path).unwrap_err();
            assert!(matches!(fault, Fault::BadPath(_)), "{path}: {fault:?}");
        }
    }

    #[test]
    fn h6_n11_n41_malformed_nouns_and_unknown_paths_have_faults_of_their_own() {
        let long = format!("/v2/{}/tags/list", "a".repeat(256));
        for path in ["/v2/Foo/tags/list", "/v2/a-/manifests/1", &long] {
            assert!(
                matches!(parse("GET", path), Err(Fault::Invalid(_))),
                "{path}"
            );
        }
        assert!(matches!(
            parse("GET", "/v2/a/manifests/-x"),
            Err(Fault::Absent(_))
        ));
        assert!(matches!(
            parse("PUT", "/v2/a/manifests/-x"),
            Err(Fault::Invalid(_))
        ));
        assert!(matches!(
            parse("GET", "/v2/a/blobs/sha256:abc"),
            Err(Fault::Invalid(_))
        ));
        for path in [
            "/V2/",
            "/v2/foo/bar",
            "/v2/a",
            "/v3/",
            "/favicon.ico",
            "/v2/tags/list",
            "/v2/manifests/x",
            "/v2/a/",
            "/v2/_catalog/",
        ] {
            assert_eq!(parse("GET", path), Err(Fault::Unknown), "{path}");
        }
    }

    #[test]
    fn h4_n9_n10_methods_are_told_apart_by_case_and_path() {
        for (method, path) in [
            ("get", "/v2/"),
            ("POST", "/v2/a/manifests/1"),
            ("PUT", "/v2/a/tags/list"),
            ("DELETE", "/v2/"),
            ("OPTIONS", "/v2/"),
            ("TRACE", "/v2/"),
            ("GET", "/v2/a/blobs/uploads/"),
            ("PUT", "/v2/token"),
            ("HEAD", "/v2/token"),
            ("PROPFIND", "/v2/a/tags/list"),
        ] {
            assert!(
                matches!(parse(method, path), Err(Fault::Method { .. })),
                "{method} {path}"
            );
        }
        assert_eq!(parse("GET", "/v2/").unwrap().verb, Verb::Get);
    }

    #[test]
    fn a_mount_is_read_once_and_an_impossible_one_becomes_an_upload() {
        let target = format!("/v2/a/blobs/uploads/?mount={DIGEST}&from=b%2Fc");
        let route = parse("POST", &target).unwrap();
        assert_eq!(route.access().mount_source.unwrap().as_str(), "b/c");
        assert_eq!(route.path_and_query(), target);
        let upload = route.without_mount();
        assert_eq!(upload.path_and_query(), "/v2/a/blobs/uploads/");
        assert_eq!(upload.access().mount_source, None);
        let from_anywhere = parse("POST", &format!("/v2/a/blobs/uploads/?mount={DIGEST}&x=1"));
        let from_anywhere = from_anywhere.unwrap();
        assert!(from_anywhere.access().mounts_from_anywhere);
        assert_eq!(from_anywhere.without_mount().query.as_deref(), Some("x=1"));

        let route = parse(
            "POST",
            &format!("/v2/a/blobs/uploads/?mount={DIGEST}&from=BAD&x=1"),
        )
        .unwrap();
        assert_eq!(route.access().mount_source, None);
        assert_eq!(route.query.as_deref(), Some("x=1"));

        for twice in ["from=b&from=c", "from=b&fro%6d=c", "from=b;from=c"] {
            let target = format!("/v2/a/blobs/uploads/?mount={DIGEST}&{twice}");
            assert!(
                matches!(parse("POST", &target), Err(Fault::BadPath(_))),
                "{twice}"
            );
        }
    }
}

//! What holds of every request target, whoever sends it.

use std::sync::LazyLock;

use http::{Method, Uri};
use regex::Regex;

use crate::oci::RepositoryName;

use super::Target;
use super::{Paging, Route, asked, digest, form};

const TOKENS: &str = "/v2/token";

/// The routes of registry:2 (distribution's `descriptors.go` and `reference/regexp.go`), as a second reader.
static ROUTES: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    let part = "[a-z0-9]+(?:(?:[.]|_|__|-+)[a-z0-9]+)*";
    let name = format!("(?<name>{part}(?:/{part})*)");
    let digest = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
    [
        ("tags", format!("^/v2/{name}/tags/list$")),
        (
            "manifest",
            format!(r"^/v2/{name}/manifests/(?:[0-9A-Za-z_][0-9A-Za-z_.-]{{0,127}}|{digest})$"),
        ),
        ("blob", format!("^/v2/{name}/blobs/{digest}$")),
        ("start", format!("^/v2/{name}/blobs/uploads/$")),
        (
            "upload",
            format!("^/v2/{name}/blobs/uploads/[a-zA-Z0-9_.=~-]+$"),
        ),
        ("referrers", format!("^/v2/{name}/referrers/{digest}$")),
    ]
    .into_iter()
    .filter_map(|(kind, text)| Some((kind, Regex::new(&text).ok()?)))
    .collect()
});

/// `METHOD TARGET`: what was judged is what is forwarded, and the registry reads in it what the rules were asked about.
pub(crate) fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    query(text);
    let (method, target) = text.split_once(' ').unwrap_or(("GET", text));
    let (Ok(method), Ok(uri)) = (Method::from_bytes(method.as_bytes()), target.parse::<Uri>())
    else {
        return;
    };
    let Ok(route) = Route::parse(&method, &uri, Some(TOKENS)) else {
        return;
    };
    let forwarded = route.path_and_query();
    assert_eq!(
        read(&method, &forwarded),
        Some(route.clone()),
        "{forwarded}"
    );
    let plain = |b: u8| b.is_ascii_graphic() && !b"%\\?#;".contains(&b);
    let path = route.path();
    assert!(path.bytes().all(plain), "{path}");
    let odd = path.split('/').skip(1).any(|s| matches!(s, "." | ".."));
    assert!(!odd && !path.contains("//"), "{path}");
    as_the_registry_reads_it(&route, &path);

    let bare = route.without_mount();
    assert_eq!(bare.path(), path);
    assert!(bare.access().mount_source.is_none() && !bare.access().mounts_from_anywhere);
    assert_eq!(read(&method, &bare.path_and_query()), Some(bare));
}

fn read(method: &Method, target: &str) -> Option<Route> {
    Route::parse(method, &target.parse().ok()?, Some(TOKENS)).ok()
}

fn as_the_registry_reads_it(route: &Route, path: &str) {
    let kind = match &route.target {
        Target::Tags(_) => "tags",
        Target::Manifest(..) => "manifest",
        Target::Blob(..) => "blob",
        Target::UploadStart(..) => "start",
        Target::Upload(..) => "upload",
        Target::Referrers(..) => "referrers",
        _ => return,
    };
    let judged = route.access().repository.map(RepositoryName::as_str);
    let all: Vec<(&str, Option<&str>)> = ROUTES
        .iter()
        .filter_map(|(kind, form)| {
            let found = form.captures(path)?;
            Some((*kind, found.name("name").map(|name| name.as_str())))
        })
        .collect();
    assert_eq!(all, [(kind, judged)], "{path}");
}

/// The readers of queries, forms and scopes take any text.
fn query(text: &str) {
    let _ = (digest(Some(text)), asked([text]), form(text).count());
    if let Ok(page) = Paging::parse(Some(text)) {
        assert!(page.n.is_none_or(|n| n <= 1000));
        assert!(page.last.is_none_or(|last| !last.is_empty()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// The words of the grammar and what is nearly one of them.
    fn segment() -> impl Strategy<Value = String> {
        let words = [
            "v2",
            "a",
            "b",
            "blobs",
            "uploads",
            "manifests",
            "tags",
            "list",
            "referrers",
            "_catalog",
            "latest",
            "token",
            "",
            ".",
            "..",
            "A",
            "a_b",
            "a__b",
            "-x",
            "1f-2e",
            "~",
            "%2f",
            "%2e%2e",
            "a;b",
            "a%3Ab",
            "a\\b",
        ];
        prop_oneof![
            8 => prop::sample::select(words.to_vec()).prop_map(str::to_owned),
            2 => Just(DIGEST.to_owned()),
            1 => Just(DIGEST.replace(':', "%3A")),
            1 => "[a-z0-9._~%-]{1,8}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_was_judged_is_what_is_forwarded_and_what_the_registry_reads(
            method in "GET|HEAD|POST|PUT|PATCH|DELETE|get|OPTIONS",
            segments in prop::collection::vec(segment(), 0..5),
            end in prop::sample::select(vec![
                "tags/list", "manifests/latest", "blobs/uploads/", "blobs/uploads", "blobs/uploads/1", "", "/",
            ]),
            query in "(\\?(mount=|from=|n=|last=|m%6funt=|&|;|a|/|:|%2[0-9a-f]|sha256){0,6})?",
        ) {
            let mut path = segments.join("/");
            if !end.is_empty() {
                path = format!("{path}/{end}");
            }
            target(format!("{method} /v2/{path}{query}").as_bytes());
        }

        #[test]
        fn a_mount_is_judged_by_the_source_that_is_forwarded(
            from in prop::sample::select(vec!["b", "b/c", "B", "", "%62", "b%2Fc", "b+c"]),
            more in prop::sample::select(vec!["", "&from=x", "&x=y", "&fr%6fm=x", "&mount=y"]),
        ) {
            let text = format!("POST /v2/a/blobs/uploads/?mount={DIGEST}&from={from}{more}");
            target(text.as_bytes());
            let uri = text.trim_start_matches("POST ").parse().unwrap();
            if let Ok(route) = Route::parse(&Method::POST, &uri, None) {
                let access = route.access();
                let forwarded = form(route.query.as_deref().unwrap_or_default())
                    .filter(|(key, _)| key == "from")
                    .map(|(_, value)| value)
                    .collect::<Vec<_>>();
                let judged: Vec<_> = access.mount_source.iter().map(ToString::to_string).collect();
                prop_assert_eq!(judged, forwarded);
            }
        }
    }
}

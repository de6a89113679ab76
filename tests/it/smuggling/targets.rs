//! Methods and request targets.

use super::{NOTHING, check};
use crate::support::backend::Backend;
use crate::support::figures::{BAD_INPUTS, tell};
use crate::support::fronts::Fronts;
use crate::support::upstream::Upstream;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Sends each of these over both doors of either backend; wants the status and the code, and silence behind the gate.
#[track_caller]
fn refused(cases: &[(&str, &[u16], &str)]) {
    for backend in Backend::either() {
        for (line, statuses, code) in cases {
            let case = format!("{}: {line}", backend.name);
            for tls in [false, true] {
                let fronts = &backend.fronts;
                let mut raw = if tls { fronts.tls() } else { fronts.plain() };
                raw.send(format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n"));
                let answer = raw.answer();
                check(&case, &answer, statuses, tls);
                if !code.is_empty() {
                    assert_eq!(answer.code(), *code, "{case}");
                }
            }
        }
        backend.is_untouched();
    }
    tell(BAD_INPUTS, cases.len() * 4);
}

#[test]
fn h5_r1_n11_n12_a_path_with_two_readings_is_refused_and_never_tidied_up_by_either_backend() {
    let paths = [
        "/v2/../x",
        "/v2/..",
        "/v2/a/../b/tags/list",
        "/v2/%2e%2e/",
        "/v2/%2E%2E/x/tags/list",
        "/v2/a%2fb/tags/list",
        "/v2/a%2Fb/tags/list",
        "//v2/",
        "/v2//",
        "/v2//a/tags/list",
        "/v2/a//tags/list",
        "/v2/a/./tags/list",
        "/./v2/",
        "/v2/a%00/tags/list",
        "/v2/a%0d%0aX:y/tags/list",
        "/v2/%c0%ae%c0%ae/tags/list",
        "/v2/%e0%80%ae/tags/list",
        "/v2/a;x=y/tags/list",
        "/v2/a\\b/tags/list",
        "/v2/..%5c/tags/list",
        "/v2/a%20b/tags/list",
        "/v2/a%/tags/list",
        "/v2/%61/tags/list",
    ];
    let lines = paths.map(|path| format!("GET {path}"));
    let cases: Vec<(&str, &[u16], &str)> =
        lines.iter().map(|l| (l.as_str(), &[400][..], "")).collect();
    refused(&cases);
    refused(&[
        ("GET /V2/", &[404], ""),
        ("GET /v2/a/tags/list/", &[400, 404], ""),
        ("GET /v1/search?q=a", &[404], ""),
        ("GET /v3/", &[404], ""),
        ("GET /v2/a/b", &[404], ""),
        ("GET /index.html", &[404], ""),
    ]);
}

#[test]
fn h6_r1_n11_n41_a_name_tag_or_digest_outside_the_grammar_is_refused_by_its_code_by_either_backend()
{
    let long = format!("GET /v2/{}/tags/list", "a".repeat(256));
    let long_tag = format!("PUT /v2/a/manifests/{}", "t".repeat(129));
    let upper = format!("GET /v2/a/blobs/{}", DIGEST.replace('e', "E"));
    let short = format!("GET /v2/a/blobs/{}", &DIGEST[..70]);
    let path = format!("GET /v2/a/blobs/sha256:..{}", &DIGEST[9..]);
    let name = "NAME_INVALID";
    let digest = "DIGEST_INVALID";
    refused(&[
        ("GET /v2/Upper/tags/list", &[400], name),
        ("GET /v2/.a/tags/list", &[400], name),
        ("GET /v2/a-/tags/list", &[400], name),
        ("GET /v2/-a/tags/list", &[400], name),
        ("GET /v2/a/_b/tags/list", &[400], name),
        ("GET /v2/a..b/tags/list", &[400], name),
        (&long, &[400], name),
        (&long_tag, &[400], "TAG_INVALID"),
        ("PUT /v2/a/manifests/-x", &[400], "TAG_INVALID"),
        ("GET /v2/a/manifests/-x", &[404], "TAG_INVALID"),
        (&upper, &[400], digest),
        (&short, &[400], digest),
        (&path, &[400], digest),
        ("GET /v2/a/blobs/md5:abc", &[400], digest),
        ("GET /v2/a/blobs/latest", &[400], digest),
        ("GET /v2/a/referrers/sha256:abc", &[400], digest),
        ("PATCH /v2/a/blobs/uploads/a%2f..%2fb", &[400], ""),
        ("PATCH /v2/a/blobs/uploads/a:b", &[400], ""),
    ]);
}

#[test]
fn h4_r2_n9_n10_a_method_that_the_registry_has_not_is_refused_by_either_backend() {
    let cases: Vec<String> = [
        "TRACE", "OPTIONS", "get", "Get", "BREW", "PROPFIND", "MOVE", "LINK", "PUT", "DELETE",
    ]
    .iter()
    .flat_map(|method| {
        [
            format!("{method} /v2/"),
            format!("{method} /v2/a/tags/list"),
        ]
    })
    .chain(["OPTIONS *".to_owned()])
    .collect();
    let cases: Vec<(&str, &[u16], &str)> = cases
        .iter()
        .map(|line| (line.as_str(), &[400, 405][..], ""))
        .collect();
    refused(&cases);
}

#[test]
fn h4_n19_the_absolute_form_names_our_own_host_or_nothing() {
    let upstream = Upstream::answering(NOTHING);
    let fronts = Fronts::before(&upstream.url(), "");
    for target in [
        "http://other/v2/",
        "http://user@a/v2/",
        "http:///v2/",
        "http://a/v2/a/manifests/1",
    ] {
        let mut raw = fronts.plain();
        raw.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = raw.answer();
        if target == "http://a/v2/a/manifests/1" {
            assert_eq!(answer.status(), 200);
            continue;
        }
        check(target, &answer, &[400, 421], false);
    }
    assert_eq!(upstream.told().len(), 1);
}

//! Lists: tags, repositories, search, referrers, page by page.

use serde_json::{Value, json};

use super::NOBODYS;
use crate::support::ask::Reply;
use crate::support::house::{House, MANIFEST, image_of};

/// The names in a list, and the path of the next page.
fn read(house: &House, path: &str, key: &str) -> (Vec<String>, Option<String>) {
    let reply = house.ask(&format!("GET {path}"));
    assert_eq!(reply.status, 200, "{path} {reply:#?}");
    let document = reply.json();
    let names = document[key].as_array().unwrap().iter();
    let names = names
        .map(|name| match name.as_str() {
            Some(name) => name.to_owned(),
            None => name["digest"].as_str().unwrap().to_owned(),
        })
        .collect();
    (names, next(&reply))
}

fn next(reply: &Reply) -> Option<String> {
    let link = *reply.all("link").first()?;
    let (path, rest) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
    assert_eq!(rest, "; rel=\"next\"");
    assert!(path.starts_with('/'), "{path}");
    Some(path.to_owned())
}

/// All pages, one after the other.
fn follow(house: &House, path: &str, key: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut path = Some(path.to_owned());
    while let Some(at) = path {
        let (names, next) = read(house, &at, key);
        pages.push(names);
        assert!(pages.len() < 100);
        path = next;
    }
    pages
}

#[test]
fn g4_n42_tags_come_sorted_and_page_by_page() {
    let house = House::start("");
    let (blob, _) = house.image("a/b", "content");
    let text = image_of(&blob, 7);
    for tag in ["latest", "v2", "B", "v10", "_x", "a"] {
        house.manifest("a/b", tag, &text);
    }
    let all = ["1", "B", "_x", "a", "latest", "v10", "v2"];
    let reply = house.ask("GET /v2/a/b/tags/list");
    assert_eq!(reply.json(), json!({ "name": "a/b", "tags": all }));
    assert!(reply.all("link").is_empty());
    for size in 1..9 {
        let path = format!("/v2/a/b/tags/list?n={size}");
        let pages = follow(&house, &path, "tags");
        assert_eq!(pages.concat(), all);
        assert!(pages.iter().rev().skip(1).all(|page| page.len() == size));
    }
    let tags = |query: &str| read(&house, &format!("/v2/a/b/tags/list?{query}"), "tags");
    assert_eq!(tags("last=a").0, ["latest", "v10", "v2"]);
    assert_eq!(tags("last=b&n=1").0, ["latest"], "a tag that is not there");
    assert_eq!(tags("last=zzz"), (Vec::new(), None));
    assert_eq!(tags("n=0"), (Vec::new(), None));
    assert_eq!(tags("n=1000000000").0, all);
    assert_eq!(tags("last=..%2F..%2Fx&n=1").0, ["1"]);
    for n in ["-1", "abc", "1.5", "%2B1"] {
        let reply = house.ask(&format!("GET /v2/a/b/tags/list?n={n}"));
        assert_eq!(
            (reply.status, &*reply.error().0),
            (400, "PAGINATION_NUMBER_INVALID"),
            "{n}"
        );
    }
    let head = house.ask("HEAD /v2/a/b/tags/list");
    assert_eq!((head.status, &*head.body), (200, ""));
    assert_eq!(head.one("content-length"), reply.body.len().to_string());
    for name in ["other", "a", "a/b/c"] {
        let reply = house.ask(&format!("GET /v2/{name}/tags/list"));
        assert_eq!(
            (reply.status, &*reply.error().0),
            (404, "NAME_UNKNOWN"),
            "{name}"
        );
    }
}

#[test]
fn g4_n42_repositories_come_sorted_and_page_by_page() {
    let house = House::start("");
    assert_eq!(
        read(&house, "/v2/_catalog", "repositories"),
        (Vec::new(), None)
    );
    let mut all = ["b", "a/b", "a-b", "a", "a/b/c", "z9", "a.b"];
    for name in all {
        house.image(name, "content");
    }
    all.sort_unstable();
    assert_eq!(read(&house, "/v2/_catalog", "repositories").0, all);
    for size in 1..9 {
        let path = format!("/v2/_catalog?n={size}");
        let pages = follow(&house, &path, "repositories");
        assert_eq!(pages.concat(), all);
        assert!(pages.iter().rev().skip(1).all(|page| page.len() == size));
    }
    let names = |query: &str| read(&house, &format!("/v2/_catalog?{query}"), "repositories");
    assert_eq!(names("n=0"), (Vec::new(), None));
    assert_eq!(names("last=a%2Fb").0, ["a/b/c", "b", "z9"]);
    assert_eq!(names("last=aaa&n=1").0, ["b"], "a name that is not there");
    for (query, code) in [
        ("n=-1", "PAGINATION_NUMBER_INVALID"),
        ("n=x", "PAGINATION_NUMBER_INVALID"),
        ("last=..%2Fx", "NAME_INVALID"),
        ("last=A", "NAME_INVALID"),
    ] {
        let reply = house.ask(&format!("GET /v2/_catalog?{query}"));
        assert_eq!((reply.status, &*reply.error().0), (400, code), "{query}");
    }
}

#[test]
fn search_finds_names_for_docker_and_sends_podman_to_the_catalog() {
    let house = House::start("");
    for name in ["team/one", "team/two", "other"] {
        house.image(name, "content");
    }
    let reply = house.ask("GET /v1/search?q=TEAM&n=25");
    assert_eq!(reply.status, 200, "{reply:#?}");
    let document = reply.json();
    assert_eq!(
        (&document["num_results"], &document["query"]),
        (&json!(2), &json!("TEAM"))
    );
    let names: Vec<&str> = document["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["team/one", "team/two"]);
    assert_eq!(
        house.ask("GET /v1/search?q=team&n=1").json()["num_results"],
        1
    );
    let none = house.ask("GET /v1/search?q=nothing").json();
    assert_eq!(none["results"], json!([]));
    let public = House::start("anonymous = \"pull\"");
    assert_eq!(public.send("", "GET /v1/search?q=a", &[], b"").status, 404);
}

/// An image that refers to another manifest.
fn referring(blob: &str, subject: &str, artifact: &str, note: &str) -> String {
    let mut document: Value = serde_json::from_str(&image_of(blob, 7)).unwrap();
    document["subject"] = json!({ "mediaType": MANIFEST, "digest": subject, "size": 100 });
    document["artifactType"] = artifact.into();
    document["annotations"] = json!({ "note": note });
    document.to_string()
}

const SIGNATURE: &str = "application/vnd.example.signature+json";
const PARTS: &str = "application/vnd.example.parts";

#[test]
fn what_refers_to_a_manifest_is_listed_by_kind_and_page_by_page() {
    let house = House::start("");
    let (blob, subject) = house.image("a", "content");
    let base = format!("/v2/a/referrers/{subject}");
    let list = |query: &str| read(&house, &format!("{base}?{query}"), "manifests");
    assert_eq!(list(""), (Vec::new(), None));
    let mut all = Vec::new();
    let mut signatures = Vec::new();
    for n in 0..7 {
        let kind = if n % 3 == 0 { SIGNATURE } else { PARTS };
        let text = referring(&blob, &subject, kind, &n.to_string());
        let name = house.manifest("a", &format!("r{n}"), &text);
        if n % 3 == 0 {
            signatures.push(name.clone());
        }
        all.push(name);
    }
    all.sort();
    signatures.sort();

    let reply = house.ask(&format!("GET {base}"));
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.one("content-type"),
        "application/vnd.oci.image.index.v1+json"
    );
    assert!(reply.all("oci-filters-applied").is_empty());
    let document = reply.json();
    assert_eq!(document["schemaVersion"], 2);
    assert_eq!(
        document["mediaType"],
        "application/vnd.oci.image.index.v1+json"
    );
    for one in document["manifests"].as_array().unwrap() {
        assert_eq!(one["mediaType"], MANIFEST);
        assert!(one["size"].is_u64() && one["artifactType"].is_string());
        assert!(one["annotations"]["note"].is_string());
    }
    let head = house.ask(&format!("HEAD {base}"));
    assert_eq!(
        (head.status, head.one("content-length")),
        (200, reply.one("content-length"))
    );

    assert_eq!(list("").0, all);
    for size in 1..9 {
        let pages = follow(&house, &format!("{base}?n={size}"), "manifests");
        assert_eq!(pages.concat(), all);
        assert!(pages.iter().rev().skip(1).all(|page| page.len() == size));
    }
    // Encoded, and as people type it.
    for kind in [
        SIGNATURE.to_owned(),
        SIGNATURE.replace('+', "%2B").replace('/', "%2F"),
    ] {
        let path = format!("{base}?artifactType={kind}");
        let reply = house.ask(&format!("GET {path}"));
        assert_eq!(reply.one("oci-filters-applied"), "artifactType");
        assert_eq!(read(&house, &path, "manifests").0, signatures, "{kind}");
        let pages = follow(&house, &format!("{path}&n=2"), "manifests");
        assert_eq!(pages.concat(), signatures);
        assert_eq!(pages.len(), 2);
    }
    assert_eq!(list("artifactType=application%2Fother").0, [""; 0]);
    assert_eq!(list("n=0"), (Vec::new(), None));
    // Gone with the manifest that refers.
    house.ask(&format!("DELETE /v2/a/manifests/{}", all[0]));
    assert_eq!(list("").0, all[1..]);
}

#[test]
fn referrers_of_nothing_are_none_and_of_nonsense_an_error() {
    let house = House::start("");
    house.image("a", "content");
    for path in [
        format!("/v2/a/referrers/{NOBODYS}"),
        format!("/v2/other/referrers/{NOBODYS}"),
    ] {
        assert_eq!(
            read(&house, &path, "manifests"),
            (Vec::new(), None),
            "{path}"
        );
    }
    for (path, code) in [
        ("/v2/a/referrers/sha256:abc".to_owned(), "DIGEST_INVALID"),
        ("/v2/a/referrers/latest".to_owned(), "DIGEST_INVALID"),
        (
            format!("/v2/a/referrers/{NOBODYS}?last=x"),
            "DIGEST_INVALID",
        ),
        (
            format!("/v2/a/referrers/{NOBODYS}?n=-1"),
            "PAGINATION_NUMBER_INVALID",
        ),
    ] {
        let reply = house.ask(&format!("GET {path}"));
        assert_eq!((reply.status, &*reply.error().0), (400, code), "{path}");
    }
}

#[test]
fn a_page_of_referrers_is_no_longer_than_clients_read() {
    let house = House::start("");
    let (blob, subject) = house.image("a", "content");
    let note = "x".repeat(1 << 20);
    let mut all: Vec<String> = (0..6)
        .map(|n| {
            let text = referring(&blob, &subject, PARTS, &format!("{n}{note}"));
            house.manifest("a", &format!("r{n}"), &text)
        })
        .collect();
    all.sort();
    let base = format!("/v2/a/referrers/{subject}");
    let reply = house.ask(&format!("GET {base}"));
    assert!(reply.body.len() < 4 << 20, "{}", reply.body.len());
    assert_eq!(follow(&house, &base, "manifests").concat(), all);
}

#[test]
fn g4_lists_that_change_while_they_are_read_lose_and_repeat_nothing_that_stood_still() {
    let house = House::start("");
    let (blob, _) = house.image("a", "content");
    let text = image_of(&blob, 7);
    for n in 10..30 {
        house.manifest("a", &format!("t{n}"), &text);
    }
    let mut seen = Vec::new();
    let mut path = Some("/v2/a/tags/list?n=3".to_owned());
    let mut n = 0;
    while let Some(at) = path {
        let (names, next) = read(&house, &at, "tags");
        // One goes and one comes behind what was read.
        if let Some(last) = names.last() {
            house.ask(&format!("DELETE /v2/a/manifests/{last}"));
            house.manifest("a", &format!("0new{n}"), &text);
        }
        seen.extend(names);
        n += 1;
        path = next;
    }
    let expected: Vec<String> = ["1".to_owned()]
        .into_iter()
        .chain((10..30).map(|n| format!("t{n}")))
        .collect();
    assert_eq!(seen, expected);
}

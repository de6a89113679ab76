//! Manifests: put, looked at, had, deleted, refused.

use serde_json::{Value, json};

use super::NOBODYS;
use crate::support::figures::{BAD_INPUTS, tell};
use crate::support::house::{House, MANIFEST, image_of};
use crate::support::site::{digest, login};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

fn descriptor(kind: &str, digest: &str, size: usize) -> Value {
    json!({ "mediaType": kind, "digest": digest, "size": size })
}

#[test]
fn n47_a_manifest_comes_back_byte_for_byte_by_tag_and_by_digest() {
    let house = House::start("");
    let blob = house.blob("a/b", b"content");
    // Odd white space is part of it.
    let text = format!("  {} \n", image_of(&blob, 7));
    let put = house.put("a/b", "v1.0", &text);
    let name = digest(text.as_bytes());
    assert_eq!(put.status, 201, "{put:#?}");
    assert_eq!(put.one("docker-content-digest"), name);
    let location = house.path(put.one("location"));
    assert_eq!(location, format!("/v2/a/b/manifests/{name}"));
    assert!(put.all("oci-subject").is_empty());
    for path in ["/v2/a/b/manifests/v1.0", &location] {
        for method in ["GET", "HEAD"] {
            let reply = house.ask(&format!("{method} {path}"));
            assert_eq!(reply.status, 200, "{reply:#?}");
            for (header, value) in [
                ("content-type", MANIFEST),
                ("content-length", &text.len().to_string()),
                ("docker-content-digest", &name),
                ("etag", &format!("\"{name}\"")),
            ] {
                assert_eq!(reply.one(header), value, "{method} {header}");
            }
            assert_eq!(reply.body, if method == "GET" { &text } else { "" });
            for same in [format!("\"{name}\""), name.clone(), "*".to_owned()] {
                let line = format!("If-None-Match: {same}");
                let reply = house.send("root", &format!("{method} {path}"), &[&line], b"");
                assert_eq!((reply.status, &*reply.body), (304, ""), "{same}");
            }
        }
    }
}

#[test]
fn n47_accept_changes_nothing_about_what_a_manifest_is() {
    let house = House::start("");
    let (_, name) = house.image("a", "content");
    let lines = |values: &[&str]| -> Vec<String> {
        values.iter().map(|v| format!("Accept: {v}")).collect()
    };
    for accept in [
        lines(&[]),
        lines(&["*/*"]),
        lines(&[MANIFEST]),
        lines(&[DOCKER, INDEX]),
        lines(&["text/html"]),
        lines(&["application/vnd.docker.distribution.manifest.v1+prettyjws"]),
    ] {
        let accept: Vec<&str> = accept.iter().map(String::as_str).collect();
        let reply = house.send("root", "GET /v2/a/manifests/1", &accept, b"");
        assert_eq!(reply.status, 200, "{accept:?}");
        assert_eq!(reply.one("docker-content-digest"), name);
        assert_eq!(reply.one("content-type"), MANIFEST);
        assert_eq!(digest(reply.body.as_bytes()), name);
    }
}

#[test]
fn n47_every_kind_of_manifest_is_kept() {
    let house = House::start("");
    let (blob, image) = house.image("a", "content");
    let config = descriptor("application/octet-stream", &blob, 7);
    let child = descriptor(MANIFEST, &image, image_of(&blob, 7).len());
    for (kind, text) in [
        (
            DOCKER,
            json!({ "schemaVersion": 2, "mediaType": DOCKER, "config": config, "layers": [config] }),
        ),
        (
            DOCKER_LIST,
            json!({ "schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [child] }),
        ),
        (
            INDEX,
            json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [child] }),
        ),
        (
            INDEX,
            json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] }),
        ),
    ] {
        let text = text.to_string();
        let name = house.manifest("a", "kind", &text);
        let reply = house.ask("GET /v2/a/manifests/kind");
        assert_eq!((reply.one("content-type"), &*reply.body), (kind, &*text));
        assert_eq!(reply.one("docker-content-digest"), name);
    }
    // Without a type of its own, that of the request counts.
    let text = json!({ "schemaVersion": 2, "config": config, "layers": [] }).to_string();
    let line = format!("Content-Type: {MANIFEST}; charset=utf-8");
    let put = house.send(
        "root",
        "PUT /v2/a/manifests/bare",
        &[&line],
        text.as_bytes(),
    );
    assert_eq!(put.status, 201, "{put:#?}");
    let reply = house.ask("GET /v2/a/manifests/bare");
    assert_eq!(reply.one("content-type"), MANIFEST);
}

#[test]
fn g3_a_subject_is_told_of_and_need_not_be_there() {
    let house = House::start("");
    let blob = house.blob("a", b"content");
    let mut document: Value = serde_json::from_str(&image_of(&blob, 7)).unwrap();
    document["subject"] = descriptor(MANIFEST, NOBODYS, 5);
    let put = house.put("a", "signature", &document.to_string());
    assert_eq!((put.status, put.one("oci-subject")), (201, NOBODYS));
}

#[test]
fn g3_n46_what_a_manifest_names_and_nobody_pushed_is_listed() {
    let house = House::start("");
    let blob = house.blob("a", b"content");
    house.blob("b", b"elsewhere");
    let elsewhere = digest(b"elsewhere");
    let document = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/octet-stream", &blob, 7),
        "layers": [
            descriptor("application/octet-stream", NOBODYS, 5),
            descriptor("application/octet-stream", &elsewhere, 9),
        ],
    });
    let reply = house.put("a", "1", &document.to_string());
    assert_eq!(reply.status, 400);
    let errors = reply.json()["errors"].clone();
    let errors = errors.as_array().unwrap();
    let mut missing: Vec<&str> = errors
        .iter()
        .map(|error| {
            assert_eq!(error["code"], "MANIFEST_BLOB_UNKNOWN");
            assert!(error["message"].is_string());
            error["detail"]["digest"].as_str().unwrap()
        })
        .collect();
    missing.sort_unstable();
    let mut expected = [NOBODYS, &elsewhere];
    expected.sort_unstable();
    assert_eq!(missing, expected);
    assert_eq!(house.ask("HEAD /v2/a/manifests/1").status, 404);
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(MANIFEST, NOBODYS, 5)] });
    let reply = house.put("a", "1", &index.to_string());
    assert_eq!(reply.error().0, "MANIFEST_BLOB_UNKNOWN");
    // A list of a hundred thousand does not make an answer of as many.
    let many: Vec<Value> = (0..3000)
        .map(|n| {
            descriptor(
                "application/octet-stream",
                &digest(n.to_string().as_bytes()),
                5,
            )
        })
        .collect();
    let mut document = document;
    document["layers"] = many.into();
    let reply = house.put("a", "1", &document.to_string());
    assert_eq!(reply.status, 400);
    let errors = reply.json()["errors"].as_array().map(Vec::len);
    assert!(errors.is_some_and(|n| n <= 100), "{errors:?}");
}

#[test]
fn g3_n46_what_is_no_manifest_is_refused_with_a_reason() {
    let house = House::start("");
    let blob = house.blob("a", b"content");
    let good = image_of(&blob, 7);
    let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let layered = |layers: &str| good.replace("\"layers\":[]", &format!("\"layers\":{layers}"));
    let bad = [
        "",
        "nonsense",
        "[]",
        "{}",
        "null",
        "{\"schemaVersion\":1}",
        &good.replace("\"schemaVersion\":2", "\"schemaVersion\":3"),
        &good.replace(MANIFEST, "application/vnd.example+json"),
        &good.replace(&blob, "sha256:abc"),
        &good.replace(":7", ":-7"),
        &good[..good.len() - 1],
        &layered(&deep(10_000)),
        &layered(&deep(100_000)),
        &layered("[],\"layers\":[]"),
        &layered("[],\"schemaVersion\":2"),
        &good.replace(":7", ":7.5"),
        &good.replace(":7", ":18446744073709551616"),
    ];
    for text in bad {
        let reply = house.put("a", "1", text);
        assert_eq!(
            (reply.status, &*reply.error().0),
            (400, "MANIFEST_INVALID"),
            "{text:.200}"
        );
    }
    // What the request calls it and what it calls itself are not the same.
    let line = format!("Content-Type: {INDEX}");
    let reply = house.send("root", "PUT /v2/a/manifests/1", &[&line], good.as_bytes());
    assert_eq!((reply.status, &*reply.error().0), (400, "MANIFEST_INVALID"));
    // It is not what its name says.
    let reply = house.put("a", NOBODYS, &good);
    assert_eq!((reply.status, &*reply.error().0), (400, "DIGEST_INVALID"));
    assert_eq!(house.ask("HEAD /v2/a/manifests/1").status, 404);
    tell(BAD_INPUTS, bad.len() + 2);
}

#[test]
fn g5_what_others_need_stays_when_something_is_deleted() {
    let house = House::start("");
    let (blob, image) = house.image("a", "content");
    let length = image_of(&blob, 7).len();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(MANIFEST, &image, length)] });
    let index = house.manifest("a", "all", &index.to_string());
    let mut referrer: Value = serde_json::from_str(&image_of(&blob, 7)).unwrap();
    referrer["subject"] = descriptor(MANIFEST, &image, length);
    let referrer = house.manifest("a", "signature", &referrer.to_string());
    assert_eq!(
        house
            .ask(&format!("POST /v2/b/blobs/uploads/?mount={blob}&from=a"))
            .status,
        201
    );
    let status = |method: &str, path: &str| house.ask(&format!("{method} /v2/{path}")).status;
    // The image goes though an index and a signature name it, as the specification has it, and takes neither along.
    let image = format!("a/manifests/{image}");
    assert_eq!(
        (status("DELETE", &image), status("DELETE", &image)),
        (202, 404)
    );
    for path in [
        "a/manifests/all".to_owned(),
        format!("a/manifests/{index}"),
        format!("a/manifests/{referrer}"),
        format!("a/blobs/{blob}"),
    ] {
        assert_eq!(status("GET", &path), 200, "{path}");
    }
    // A blob that is in use goes from this repository, once, and from no other.
    let in_use = format!("a/blobs/{blob}");
    assert_eq!(
        (status("DELETE", &in_use), status("DELETE", &in_use)),
        (202, 404)
    );
    assert_eq!(
        house.ask(&format!("GET /v2/b/blobs/{blob}")).body,
        "content"
    );
    assert_eq!(status("GET", &format!("a/manifests/{referrer}")), 200);
}

#[test]
fn g3_schema_1_is_refused_in_words_that_help() {
    let house = House::start("");
    let text =
        json!({ "schemaVersion": 1, "name": "a", "tag": "1", "fsLayers": [], "history": [] });
    let line = "Content-Type: application/vnd.docker.distribution.manifest.v1+prettyjws";
    let text = text.to_string();
    let reply = house.send("root", "PUT /v2/a/manifests/1", &[line], text.as_bytes());
    let (code, message) = reply.error();
    assert_eq!((reply.status, &*code), (400, "MANIFEST_INVALID"));
    assert!(message.contains("schema"), "{message}");
}

#[test]
fn g3_n46_a_manifest_that_is_too_long_is_refused_however_it_comes() {
    let house = House::start("[limits]\nmanifest_size = \"64 KiB\"\n");
    let blob = house.blob("a", b"content");
    let padded = |length: usize| {
        let text = image_of(&blob, 7);
        format!("{text}{}", " ".repeat(length - text.len()))
    };
    assert_eq!(house.put("a", "1", &padded(64 << 10)).status, 201);
    let long = padded((64 << 10) + 1);
    let reply = house.put("a", "2", &long);
    assert_eq!((reply.status, &*reply.error().0), (413, "MANIFEST_INVALID"));
    let kind = format!("Content-Type: {MANIFEST}");
    let chunked = format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    let lines = [&*kind, "Transfer-Encoding: chunked"];
    let reply = house.send("root", "PUT /v2/a/manifests/2", &lines, chunked.as_bytes());
    assert_eq!((reply.status, &*reply.error().0), (413, "MANIFEST_INVALID"));
    assert_eq!(house.ask("HEAD /v2/a/manifests/2").status, 404);
}

#[test]
fn h12_n36_a_manifest_whose_body_breaks_off_is_not_kept() {
    let house = House::start("");
    let blob = house.blob("a", b"content");
    let text = image_of(&blob, 7);
    let login = login("root");
    let mut raw = house.connect();
    raw.send(format!(
        "PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: gate\r\n{login}\r\nContent-Type: {MANIFEST}\r\nContent-Length: {}\r\n\r\n{text}",
        text.len() + 1
    ));
    raw.finish();
    raw.read_to_end();
    assert_eq!(house.ask("HEAD /v2/a/manifests/1").status, 404);
}

#[test]
fn h6_n41_what_is_not_there_is_told_with_its_own_code() {
    let house = House::start("");
    let (blob, _) = house.image("a", "content");
    for (path, status, code) in [
        ("a/manifests/2", 404, "MANIFEST_UNKNOWN"),
        ("other/manifests/1", 404, "MANIFEST_UNKNOWN"),
        (&format!("a/manifests/{NOBODYS}"), 404, "MANIFEST_UNKNOWN"),
        // A blob is no manifest, even of the same repository.
        (&format!("a/manifests/{blob}"), 404, "MANIFEST_UNKNOWN"),
        ("a/manifests/sha256:abc", 400, "DIGEST_INVALID"),
        ("a/manifests/-x", 404, "TAG_INVALID"),
        (
            &format!("a/manifests/{}", "x".repeat(129)),
            404,
            "TAG_INVALID",
        ),
        ("A/manifests/1", 400, "NAME_INVALID"),
    ] {
        let reply = house.ask(&format!("GET /v2/{path}"));
        assert_eq!((reply.status, &*reply.error().0), (status, code), "{path}");
        let head = house.ask(&format!("HEAD /v2/{path}"));
        assert_eq!((head.status, &*head.body), (status, ""), "{path}");
    }
    let put = house.put("a", "-x", "{}");
    assert_eq!((put.status, &*put.error().0), (400, "TAG_INVALID"));
    let post = house.ask("POST /v2/a/manifests/1");
    assert_eq!(
        (post.status, post.one("allow")),
        (405, "GET, HEAD, PUT, DELETE")
    );
}

#[test]
fn g5_a_tag_is_deleted_alone_and_a_manifest_with_its_tags() {
    let house = House::start("");
    let (blob, name) = house.image("a", "content");
    let text = image_of(&blob, 7);
    house.manifest("a", "2", &text);
    house.manifest("a", "3", &text);
    let gone = house.ask("DELETE /v2/a/manifests/1");
    assert_eq!((gone.status, gone.one("content-length")), (202, "0"));
    let again = house.ask("DELETE /v2/a/manifests/1");
    assert_eq!((again.status, &*again.error().0), (404, "MANIFEST_UNKNOWN"));
    assert_eq!(house.ask("HEAD /v2/a/manifests/1").status, 404);
    assert_eq!(house.ask("HEAD /v2/a/manifests/2").status, 200);
    let by_digest = format!("/v2/a/manifests/{name}");
    assert_eq!(house.ask(&format!("HEAD {by_digest}")).status, 200);
    assert_eq!(house.ask(&format!("DELETE {by_digest}")).status, 202);
    for path in ["/v2/a/manifests/2", "/v2/a/manifests/3", &by_digest] {
        assert_eq!(house.ask(&format!("HEAD {path}")).status, 404, "{path}");
    }
    assert_eq!(house.ask(&format!("DELETE {by_digest}")).status, 404);
    assert_eq!(house.ask("GET /v2/a/tags/list").json()["tags"], json!([]));
    assert_eq!(house.ask(&format!("HEAD /v2/a/blobs/{blob}")).status, 200);
}

#[test]
fn a_tag_moves_and_the_old_manifest_stays() {
    let house = House::start("");
    let (_, old) = house.image("a", "old");
    let (_, new) = house.image("a", "new");
    let reply = house.ask("HEAD /v2/a/manifests/1");
    assert_eq!(reply.one("docker-content-digest"), new);
    assert_eq!(
        house.ask(&format!("HEAD /v2/a/manifests/{old}")).status,
        200
    );
}

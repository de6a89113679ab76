//! Blobs: put, looked at, had, deleted.

use std::fs;

use sha2::{Digest as _, Sha512};

use super::NOBODYS;
use crate::support::house::House;
use crate::support::site::{digest, login};

#[test]
fn a_blob_comes_back_as_it_was_put_with_all_that_clients_need() {
    let house = House::start("");
    let content = "the layer ".repeat(300);
    let blob = house.blob("a/b", content.as_bytes());
    for method in ["GET", "HEAD"] {
        let reply = house.ask(&format!("{method} /v2/a/b/blobs/{blob}"));
        assert_eq!(reply.status, 200);
        for (name, value) in [
            ("content-length", "3000"),
            ("content-type", "application/octet-stream"),
            ("docker-content-digest", &blob),
            ("etag", &format!("\"{blob}\"")),
            ("accept-ranges", "bytes"),
            ("cache-control", "max-age=31536000"),
            ("docker-distribution-api-version", "registry/2.0"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(reply.one(name), value, "{method} {name}");
        }
        let expected = if method == "GET" { &content } else { "" };
        assert!(reply.body == expected, "{method}");
        assert!(reply.all("transfer-encoding").is_empty());
    }
}

#[test]
fn what_is_not_there_is_told_with_its_own_code() {
    let house = House::start("");
    let blob = house.blob("a", b"content");
    for (path, status, code) in [
        (format!("a/blobs/{NOBODYS}"), 404, "BLOB_UNKNOWN"),
        (format!("other/blobs/{blob}"), 404, "BLOB_UNKNOWN"),
        (format!("a/b/blobs/{blob}"), 404, "BLOB_UNKNOWN"),
        ("a/blobs/sha256:abc".to_owned(), 400, "DIGEST_INVALID"),
        (
            format!("a/blobs/{}", blob.to_uppercase()),
            400,
            "DIGEST_INVALID",
        ),
        ("a/blobs/md5:0".to_owned(), 400, "DIGEST_INVALID"),
        (format!("A/blobs/{blob}"), 400, "NAME_INVALID"),
        (
            format!("{}/blobs/{blob}", "a".repeat(256)),
            400,
            "NAME_INVALID",
        ),
    ] {
        let reply = house.ask(&format!("GET /v2/{path}"));
        assert_eq!((reply.status, &*reply.error().0), (status, code), "{path}");
        let head = house.ask(&format!("HEAD /v2/{path}"));
        assert_eq!((head.status, &*head.body), (status, ""), "{path}");
    }
    let put = house.ask(&format!("PUT /v2/a/blobs/{blob}"));
    assert_eq!(put.status, 405);
    assert_eq!(put.one("allow"), "GET, HEAD, DELETE");
}

#[test]
fn who_has_it_already_is_told_so() {
    let house = House::start("");
    let blob = house.blob("a", b"content");
    let with = |method: &str, value: &str| {
        let line = format!("If-None-Match: {value}");
        let request = format!("{method} /v2/a/blobs/{blob}");
        house.send("root", &request, &[&line], b"")
    };
    for value in [
        format!("\"{blob}\""),
        blob.clone(),
        format!("W/\"{blob}\""),
        format!("\"x\", \"{blob}\""),
        "*".to_owned(),
    ] {
        for method in ["GET", "HEAD"] {
            let reply = with(method, &value);
            assert_eq!((reply.status, &*reply.body), (304, ""), "{value}");
            assert_eq!(reply.one("etag"), format!("\"{blob}\""));
            assert_eq!(reply.one("cache-control"), "max-age=31536000");
        }
    }
    assert_eq!(with("GET", "\"x\"").body, "content");
    // Of what is not there nobody has anything.
    let request = format!("GET /v2/a/blobs/{NOBODYS}");
    let reply = house.send("root", &request, &["If-None-Match: *"], b"");
    assert_eq!(reply.status, 404);
}

#[test]
fn an_empty_blob_is_a_blob() {
    let house = House::start("");
    let blob = house.blob("a", b"");
    assert_eq!(blob, digest(b""));
    for method in ["GET", "HEAD"] {
        let reply = house.ask(&format!("{method} /v2/a/blobs/{blob}"));
        assert_eq!((reply.status, reply.one("content-length")), (200, "0"));
    }
    let range = house.send(
        "root",
        &format!("GET /v2/a/blobs/{blob}"),
        &["Range: bytes=0-"],
        b"",
    );
    assert_eq!(range.status, 200);
}

#[test]
fn a_sha512_digest_is_as_good_as_any() {
    let house = House::start("");
    let hash = Sha512::digest(b"content");
    let hex: Vec<String> = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let blob = format!("sha512:{}", hex.concat());
    let path = house.begin("a");
    let put = house.send(
        "root",
        &format!("PUT {path}?digest={blob}"),
        &[],
        b"content",
    );
    assert_eq!(put.status, 201, "{put:#?}");
    assert_eq!(put.one("docker-content-digest"), blob);
    let reply = house.ask(&format!("GET /v2/a/blobs/{blob}"));
    assert_eq!((reply.status, &*reply.body), (200, "content"));
    assert_eq!(reply.one("docker-content-digest"), blob);
    assert_eq!(reply.one("etag"), format!("\"{blob}\""));
}

#[test]
fn g5_a_deleted_blob_is_gone_from_its_repository_and_from_no_other() {
    let house = House::start("");
    let blob = house.blob("a", b"content");
    house.blob("b", b"content");
    let delete = || house.ask(&format!("DELETE /v2/a/blobs/{blob}"));
    let gone = delete();
    assert_eq!((gone.status, gone.one("content-length")), (202, "0"));
    let again = delete();
    assert_eq!((again.status, &*again.error().0), (404, "BLOB_UNKNOWN"));
    assert_eq!(house.ask(&format!("HEAD /v2/a/blobs/{blob}")).status, 404);
    assert_eq!(
        house.ask(&format!("GET /v2/b/blobs/{blob}")).body,
        "content"
    );
}

#[test]
fn g6_a_blob_that_is_cut_off_in_the_store_never_looks_complete() {
    let house = House::start("");
    let content = vec![b'x'; 8 << 20];
    let blob = house.blob("a", &content);
    let mut raw = house.connect();
    let login = login("root");
    raw.send(format!(
        "GET /v2/a/blobs/{blob} HTTP/1.1\r\nHost: gate\r\n{login}\r\n\r\n"
    ));
    raw.read_until(b"\r\n\r\n").unwrap();
    // The head is there, and no more than the buffers of the two sockets can have been read.
    let file = fs::OpenOptions::new()
        .write(true)
        .open(house.blob_file(&blob))
        .unwrap();
    file.set_len(content.len() as u64 - 1).unwrap();
    let (rest, _) = raw.read_to_end();
    assert!(rest.len() < content.len(), "{}", rest.len());
}

#[test]
fn g6_a_blob_whose_bytes_are_lost_is_not_there() {
    let house = House::start("");
    let blob = house.blob("a", b"content");
    fs::remove_file(house.blob_file(&blob)).unwrap();
    let reply = house.ask(&format!("GET /v2/a/blobs/{blob}"));
    assert_eq!((reply.status, &*reply.error().0), (404, "BLOB_UNKNOWN"));
    // And comes back when it is pushed again.
    house.blob("a", b"content");
    assert_eq!(
        house.ask(&format!("GET /v2/a/blobs/{blob}")).body,
        "content"
    );
}

#[test]
fn requests_of_one_connection_are_answered_one_after_the_other() {
    let house = House::start("");
    let blob = house.blob("a", b"content");
    let mut raw = house.connect();
    let login = login("root");
    for _ in 0..3 {
        for (method, path, status) in [
            ("GET", format!("a/blobs/{blob}"), 200),
            ("HEAD", format!("a/blobs/{blob}"), 200),
            ("GET", format!("a/blobs/{NOBODYS}"), 404),
            ("DELETE", format!("a/blobs/{NOBODYS}"), 404),
        ] {
            raw.send(format!(
                "{method} /v2/{path} HTTP/1.1\r\nHost: gate\r\n{login}\r\n\r\n"
            ));
            let answer = raw.answer_to(method);
            assert!(answer.complete);
            assert_eq!(answer.status(), status, "{method} {path}");
        }
    }
}

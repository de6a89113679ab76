//! Uploads: begun, gone on with, looked at, closed and given up; resumed and mistreated.

use std::time::Duration;

use super::NOBODYS;
use crate::support::ask::Reply;
use crate::support::figures::{BAD_INPUTS, tell};
use crate::support::house::{House, eventually};
use crate::support::raw::Raw;
use crate::support::site::{digest, login};

#[track_caller]
fn patch(house: &House, path: &str, range: &str, bytes: &[u8]) -> Reply {
    let line = format!("Content-Range: {range}");
    let headers: &[&str] = if range.is_empty() { &[] } else { &[&line] };
    house.send("root", &format!("PATCH {path}"), headers, bytes)
}

/// What an answer says about where an upload goes on.
#[track_caller]
fn place(house: &House, reply: &Reply) -> (String, String) {
    let path = house.path(reply.one("location"));
    let id = path.rsplit('/').next().unwrap();
    assert_eq!(reply.one("docker-upload-uuid"), id);
    (path.clone(), reply.one("range").to_owned())
}

#[track_caller]
fn is_blob(house: &House, reply: &Reply, repository: &str, blob: &str, content: &str) {
    assert_eq!(reply.status, 201, "{reply:#?}");
    let path = house.path(reply.one("location"));
    assert_eq!(path, format!("/v2/{repository}/blobs/{blob}"));
    assert_eq!(reply.one("docker-content-digest"), blob);
    assert_eq!(reply.one("content-length"), "0");
    assert_eq!(house.ask(&format!("GET {path}")).body, content);
}

#[test]
fn g2_a_blob_goes_up_in_chunks_and_the_way_on_is_told_after_each() {
    let house = House::start("");
    let begun = house.ask("POST /v2/a/b/blobs/uploads/");
    assert_eq!((begun.status, begun.one("content-length")), (202, "0"));
    let (path, range) = place(&house, &begun);
    assert!(path.starts_with("/v2/a/b/blobs/uploads/"), "{path}");
    assert_eq!(range, "0-0");
    let status = |expected: &str| {
        for method in ["GET", "HEAD"] {
            let reply = house.ask(&format!("{method} {path}"));
            assert_eq!((reply.status, &*reply.body), (204, ""));
            assert_eq!(place(&house, &reply), (path.clone(), expected.to_owned()));
        }
    };
    status("0-0");
    for (range, bytes, after) in [
        ("0-4", "01234", "0-4"),
        ("", "56789", "0-9"),
        ("bytes 10-11/*", "ab", "0-11"),
    ] {
        let reply = patch(&house, &path, range, bytes.as_bytes());
        assert_eq!(reply.status, 202, "{reply:#?}");
        assert_eq!(place(&house, &reply), (path.clone(), after.to_owned()));
        status(after);
    }
    let content = "0123456789abcd";
    let blob = digest(content.as_bytes());
    let put = house.send(
        "root",
        &format!("PUT {path}?digest={blob}"),
        &["Content-Range: 12-13"],
        b"cd",
    );
    is_blob(&house, &put, "a/b", &blob, content);
    for request in ["GET", "PATCH", "PUT", "DELETE"] {
        let request = format!("{request} {path}?digest={blob}");
        let gone = house.ask(&request);
        assert_eq!(
            (gone.status, &*gone.error().0),
            (404, "BLOB_UPLOAD_UNKNOWN"),
            "{request}"
        );
    }
}

#[test]
fn a_blob_goes_up_in_one_go_in_every_way_that_clients_know() {
    let house = House::start("");
    let blob = digest(b"content");
    let encoded = blob.replace(':', "%3A");
    let chunked = "Transfer-Encoding: chunked";
    let pieces = b"3\r\ncon\r\n4\r\ntent\r\n0\r\n\r\n";
    // With POST alone.
    for (repository, query, headers, body) in [
        ("a", &blob, &[][..], &b"content"[..]),
        ("b", &encoded, &[], b"content"),
        ("c", &blob, &[chunked], pieces),
        ("d", &blob, &["Content-Type: text/html"], b"content"),
    ] {
        let request = format!("POST /v2/{repository}/blobs/uploads/?digest={query}");
        let put = house.send("root", &request, headers, body);
        is_blob(&house, &put, repository, &blob, "content");
    }
    // With PUT: with what containerd, docker and others put around it.
    for (repository, query, headers, body) in [
        ("e", format!("?digest={blob}"), &[][..], &b"content"[..]),
        (
            "f",
            format!("?_state=x&digest={encoded}"),
            &[chunked],
            pieces,
        ),
        (
            "g",
            format!("?digest={blob}"),
            &["Content-Range: 0-6"],
            b"content",
        ),
        (
            "h",
            format!("?digest={blob}"),
            &["Content-Type: application/x-www-form-urlencoded"],
            b"content",
        ),
    ] {
        let path = house.begin(repository);
        let put = house.send("root", &format!("PUT {path}{query}"), headers, body);
        is_blob(&house, &put, repository, &blob, "content");
    }
    // With one PATCH of a length that nobody says before, as docker does.
    let path = house.begin("i");
    let request = format!("PATCH {path}");
    let reply = house.send("root", &request, &[chunked], pieces);
    assert_eq!((reply.status, reply.one("range")), (202, "0-6"));
    let put = house.ask(&format!("PUT {path}?digest={blob}"));
    is_blob(&house, &put, "i", &blob, "content");
}

#[test]
fn an_upload_is_begun_with_and_without_the_slash() {
    let house = House::start("");
    for request in ["POST /v2/a/blobs/uploads", "POST /v2/a/blobs/uploads/?x=y"] {
        assert_eq!(house.ask(request).status, 202, "{request}");
    }
    let refused = house.ask("GET /v2/a/blobs/uploads/");
    assert_eq!((refused.status, refused.one("allow")), (405, "POST"));
}

#[test]
fn g1_n40_a_digest_that_is_missing_malformed_twice_or_wrong_makes_no_blob() {
    let house = House::start("");
    let blob = digest(b"content");
    for query in [
        String::new(),
        "?digest=".to_owned(),
        "?digest=foo".to_owned(),
        "?digest=sha256:abc".to_owned(),
        format!("?digest={}", blob.to_uppercase()),
        format!("?digest=md5:{}", "0".repeat(32)),
        format!("?digest={blob}&digest={blob}"),
        format!("?digest={NOBODYS}"),
    ] {
        let path = house.begin("a");
        let put = house.send("root", &format!("PUT {path}{query}"), &[], b"content");
        assert_eq!(
            (put.status, &*put.error().0),
            (400, "DIGEST_INVALID"),
            "{query}"
        );
        if query.is_empty() {
            continue;
        }
        let request = format!("POST /v2/a/blobs/uploads/{query}");
        let post = house.send("root", &request, &[], b"content");
        assert_eq!(
            (post.status, &*post.error().0),
            (400, "DIGEST_INVALID"),
            "{query}"
        );
    }
    tell(BAD_INPUTS, 8 + 7);
    for digest in [&*blob, NOBODYS] {
        assert_eq!(house.ask(&format!("HEAD /v2/a/blobs/{digest}")).status, 404);
    }
}

#[test]
fn g2_n43_a_chunk_that_does_not_fit_is_refused_with_the_place_that_would() {
    let house = House::start("");
    let path = house.begin("a");
    assert_eq!(patch(&house, &path, "0-4", b"01234").status, 202);
    for range in ["0-4", "4-8", "6-10", "100-104", "bytes 0-4/10"] {
        let reply = patch(&house, &path, range, b"56789");
        assert_eq!(reply.status, 416, "{range}: {reply:#?}");
        assert_eq!(place(&house, &reply), (path.clone(), "0-4".to_owned()));
        assert_eq!(reply.error().0, "BLOB_UPLOAD_INVALID");
        let request = format!("PUT {path}?digest={}", digest(b"0123456789"));
        let line = format!("Content-Range: {range}");
        let put = house.send("root", &request, &[&line], b"56789");
        assert_eq!((put.status, put.one("range")), (416, "0-4"), "{range}");
    }
    for range in ["x", "5", "5-", "9-5", "5-a", "lines 5-9", "5-9,10-11"] {
        let reply = patch(&house, &path, range, b"56789");
        assert_eq!(
            (reply.status, &*reply.error().0),
            (400, "BLOB_UPLOAD_INVALID"),
            "{range}"
        );
    }
    for range in ["5-8", "5-10"] {
        let reply = patch(&house, &path, range, b"56789");
        assert_eq!(
            (reply.status, &*reply.error().0),
            (400, "SIZE_INVALID"),
            "{range}"
        );
    }
    tell(BAD_INPUTS, 5 * 2 + 7 + 2);
    // None of it has changed anything.
    let reply = patch(&house, &path, "5-9", b"56789");
    assert_eq!((reply.status, reply.one("range")), (202, "0-9"));
    let blob = digest(b"0123456789");
    let put = house.ask(&format!("PUT {path}?digest={blob}"));
    is_blob(&house, &put, "a", &blob, "0123456789");
}

#[test]
fn g2_n41_n45_an_upload_that_nobody_began_is_not_known() {
    let house = House::start("");
    let foreign = house.begin("a");
    let id = foreign.rsplit('/').next().unwrap();
    for path in [
        "/v2/a/blobs/uploads/00000000-0000-4000-8000-000000000000".to_owned(),
        "/v2/a/blobs/uploads/no-uuid".to_owned(),
        "/v2/a/blobs/uploads/_~.=".to_owned(),
        format!("/v2/b/blobs/uploads/{id}"),
        format!("/v2/a/{id}/blobs/uploads/{id}"),
    ] {
        for method in ["GET", "PATCH", "PUT", "DELETE"] {
            let request = format!("{method} {path}?digest={NOBODYS}");
            let body: &[u8] = if method == "PATCH" { b"x" } else { b"" };
            let reply = house.send("root", &request, &[], body);
            assert_eq!(
                (reply.status, &*reply.error().0),
                (404, "BLOB_UPLOAD_UNKNOWN"),
                "{request}"
            );
        }
    }
    tell(BAD_INPUTS, 5 * 4);
    for path in ["/v2/a/blobs/uploads/../x", "/v2/a/blobs/uploads/a%2fb"] {
        assert_eq!(house.ask(&format!("GET {path}")).status, 400, "{path}");
    }
}

#[test]
fn n45_an_upload_is_known_to_who_began_it_and_to_nobody_else() {
    let house = House::start("");
    let path = house.begin("a");
    assert_eq!(patch(&house, &path, "", b"01234").status, 202);
    let blob = digest(b"01234");
    // Others may push there as well.
    for user in ["alice", "bob"] {
        for method in ["GET", "PATCH", "PUT", "DELETE"] {
            let request = format!("{method} {path}?digest={blob}");
            let reply = house.send(user, &request, &[], b"");
            let found = (reply.status, &*reply.error().0);
            assert_eq!(found, (404, "BLOB_UPLOAD_UNKNOWN"), "{user} {request}");
        }
    }
    let status = house.ask(&format!("GET {path}"));
    assert_eq!((status.status, status.one("range")), (204, "0-4"));
    let put = house.ask(&format!("PUT {path}?digest={blob}"));
    is_blob(&house, &put, "a", &blob, "01234");
}

#[test]
fn an_upload_that_is_given_up_is_gone() {
    let house = House::start("");
    let path = house.begin("a");
    patch(&house, &path, "", b"01234");
    let reply = house.ask(&format!("DELETE {path}"));
    assert_eq!((reply.status, &*reply.body), (204, ""));
    assert_eq!(house.ask(&format!("DELETE {path}")).status, 404);
    assert_eq!(patch(&house, &path, "", b"5").status, 404);
}

#[test]
fn a_mount_takes_what_is_there_and_else_becomes_an_upload() {
    let house = House::start("");
    let blob = house.blob("a", b"content");
    let mount = |query: &str| house.ask(&format!("POST /v2/b/c/blobs/uploads/?{query}"));
    let mounted = mount(&format!("mount={blob}&from=a"));
    is_blob(&house, &mounted, "b/c", &blob, "content");
    for query in [
        format!("mount={NOBODYS}&from=a"),
        format!("mount={blob}&from=never"),
        format!("mount={blob}&from=registry.test:5000/a"),
        format!("mount={blob}"),
        "mount=nonsense&from=a".to_owned(),
        "from=a".to_owned(),
    ] {
        let reply = mount(&query);
        assert_eq!(reply.status, 202, "{query}");
        place(&house, &reply);
    }
    // What cannot be mounted may come with the request.
    let late = house.send(
        "root",
        &format!("POST /v2/d/blobs/uploads/?mount={blob}&from=never&digest={blob}"),
        &[],
        b"content",
    );
    is_blob(&house, &late, "d", &blob, "content");
}

fn begin_patch(house: &House, path: &str, length: usize) -> Raw {
    let mut raw = house.connect();
    let login = login("root");
    raw.send(format!(
        "PATCH {path} HTTP/1.1\r\nHost: gate\r\n{login}\r\nContent-Length: {length}\r\n\r\n"
    ));
    raw
}

#[test]
fn h12_n36_an_upload_goes_on_where_the_connection_was_cut() {
    let house = House::start("");
    let path = house.begin("a");
    let lines: Vec<String> = (0..40_000).map(|n| format!("{n:06}\n")).collect();
    let content = lines.concat();
    let (first, _) = content.split_at(100_000);
    let mut raw = begin_patch(&house, &path, content.len());
    raw.send(first);
    drop(raw);
    // All that came is kept, as soon as the gate has seen the cut.
    let offset = eventually(|| {
        let reply = house.ask(&format!("GET {path}"));
        let range = reply.one("range").to_owned();
        (range != "0-0").then_some(range)
    });
    assert_eq!(offset, "0-99999");
    let rest = &content[100_000..];
    let range = format!("100000-{}", content.len() - 1);
    let reply = patch(&house, &path, &range, rest.as_bytes());
    assert_eq!(reply.status, 202, "{reply:#?}");
    let blob = digest(content.as_bytes());
    let put = house.ask(&format!("PUT {path}?digest={blob}"));
    is_blob(&house, &put, "a", &blob, &content);
}

#[test]
fn h12_n36_a_body_that_is_broken_is_told_so_and_what_came_is_kept() {
    let house = House::start("");
    let path = house.begin("a");
    let mut raw = house.connect();
    let login = login("root");
    raw.send(format!(
        "PATCH {path} HTTP/1.1\r\nHost: gate\r\n{login}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\nnonsense\r\n"
    ));
    let answer = raw.answer();
    assert_eq!((answer.status(), &*answer.code()), (400, "SIZE_INVALID"));
    let reply = house.ask(&format!("GET {path}"));
    assert_eq!(reply.one("range"), "0-4");
}

#[test]
fn g2_n44_two_writers_of_one_upload_do_not_mix() {
    let house = House::start("");
    let path = house.begin("a");
    let mut first = begin_patch(&house, &path, 10);
    first.send("01234");
    // The second is refused while the first is at it.
    let refused = eventually(|| {
        let reply = patch(&house, &path, "100-104", b"xxxxx");
        (reply.status == 409).then_some(reply)
    });
    assert_eq!(refused.error().0, "BLOB_UPLOAD_INVALID");
    let blob = digest(b"0123456789");
    let put = house.ask(&format!("PUT {path}?digest={blob}"));
    assert_eq!(put.status, 409);
    assert_eq!(house.ask(&format!("DELETE {path}")).status, 409);
    first.send("56789");
    let answer = first.answer();
    assert_eq!((answer.status(), answer.value("range")), (202, "0-9"));
    let put = house.ask(&format!("PUT {path}?digest={blob}"));
    is_blob(&house, &put, "a", &blob, "0123456789");
}

#[test]
fn n44_the_same_blob_from_many_clients_at_once_is_one_blob() {
    let house = House::start("");
    let content = vec![b'x'; 3_000_000];
    let blob = digest(&content);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (house, content, blob) = (&house, &content, &blob);
            scope.spawn(move || {
                let repository = format!("a{}", n % 3);
                assert_eq!(&house.blob(&repository, content), blob);
            });
        }
    });
    for n in 0..3 {
        let reply = house.ask(&format!("GET /v2/a{n}/blobs/{blob}"));
        assert!(reply.body.as_bytes() == content);
    }
}

#[test]
fn h9_n17_who_may_not_push_is_told_before_the_body_and_can_read_it() {
    let house = House::start("");
    let mut raw = house.connect();
    raw.send(
        "PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: gate\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n",
    );
    let answer = raw.answer();
    assert_eq!((answer.status(), &*answer.code()), (401, "UNAUTHORIZED"));
    // And who may is told to go on, unless there is nothing to go on with.
    let path = house.begin("a");
    let login = login("root");
    let expect = |path: &str| {
        format!(
            "PATCH {path} HTTP/1.1\r\nHost: gate\r\n{login}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
    };
    let mut raw = house.connect();
    raw.send(expect(&path));
    let interim = raw.read_until(b"\r\n\r\n").unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100"), "{interim:?}");
    raw.send("01234");
    assert_eq!(raw.answer().status(), 202);
    let mut raw = house.connect();
    raw.send(expect("/v2/a/blobs/uploads/nobodys"));
    assert_eq!(raw.answer().code(), "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn h10_a_refused_body_is_read_so_that_the_client_sees_the_answer() {
    let house = House::start("");
    let mut raw = house.connect();
    let login = login("root");
    let body = vec![b'x'; 20 << 20];
    raw.send(format!(
        "PUT /v2/a/blobs/uploads/nobodys?digest={NOBODYS} HTTP/1.1\r\nHost: gate\r\n{login}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    // containerd writes all of it before it reads.
    raw.send(&body);
    let answer = raw.answer();
    assert_eq!(
        (answer.status(), &*answer.code()),
        (404, "BLOB_UPLOAD_UNKNOWN")
    );
    raw.set_patience(Duration::from_secs(5));
    raw.send(format!(
        "GET /v2/ HTTP/1.1\r\nHost: gate\r\n{login}\r\n\r\n"
    ));
    assert_eq!(raw.answer().status(), 200, "the connection lives on");
}

#[test]
fn h10_a_body_that_is_longer_than_may_be_is_refused_however_it_comes() {
    let house = House::start("[limits]\nbody_size = \"1 KiB\"\n");
    let path = house.begin("a");
    let long = vec![b'x'; 1025];
    let reply = patch(&house, &path, "", &long);
    assert_eq!((reply.status, &*reply.error().0), (413, "SIZE_INVALID"));
    let chunked = [b"401\r\n", &*long, b"\r\n0\r\n\r\n"].concat();
    let lines = ["Transfer-Encoding: chunked"];
    let reply = house.send("root", &format!("PATCH {path}"), &lines, &chunked);
    assert_eq!((reply.status, &*reply.error().0), (413, "SIZE_INVALID"));
}

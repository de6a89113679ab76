//! Parts of blobs (RFC 9110 section 14).

use crate::support::ask::Reply;
use crate::support::house::House;

/// A house with one blob of 3000 bytes, each of them told apart by its place.
struct Parts {
    house: House,
    content: String,
    blob: String,
}

impl Parts {
    fn new() -> Self {
        let house = House::start("");
        let lines: Vec<String> = (0..300).map(|n| format!("line {n:04}\n")).collect();
        let content = lines.concat();
        let blob = house.blob("a", content.as_bytes());
        Self {
            house,
            content,
            blob,
        }
    }

    #[track_caller]
    fn get(&self, headers: &[&str]) -> Reply {
        let request = format!("GET /v2/a/blobs/{}", self.blob);
        self.house.send("root", &request, headers, b"")
    }
}

#[test]
fn one_part_comes_with_its_place() {
    let parts = Parts::new();
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=2990-", 2990, 2999),
        ("bytes=-5", 2995, 2999),
        ("bytes=-5000", 0, 2999),
        ("bytes=0-99999999999999999999999999", 0, 2999),
        ("BYTES=2999-3005", 2999, 2999),
        ("bytes=5000-6000,1-1", 1, 1),
    ] {
        let reply = parts.get(&[&format!("Range: {range}")]);
        assert_eq!(reply.status, 206, "{range}");
        let place = format!("bytes {first}-{last}/3000");
        assert_eq!(reply.one("content-range"), place, "{range}");
        let length = (last - first + 1).to_string();
        assert_eq!(reply.one("content-length"), length, "{range}");
        assert_eq!(reply.one("docker-content-digest"), parts.blob);
        assert_eq!(reply.one("content-type"), "application/octet-stream");
        assert!(reply.body == parts.content[first..=last], "{range}");
    }
}

#[test]
fn h16_parts_that_do_not_exist_are_refused_with_the_length_there_is() {
    let parts = Parts::new();
    for range in ["bytes=3000-", "bytes=5000-6000,4000-4001", "bytes=-0"] {
        let reply = parts.get(&[&format!("Range: {range}")]);
        assert_eq!(reply.status, 416, "{range}");
        assert_eq!(reply.one("content-range"), "bytes */3000", "{range}");
        let length = reply.body.len().to_string();
        assert_eq!(reply.one("content-length"), length, "a body as announced");
        assert_eq!(reply.error().0, "SIZE_INVALID");
    }
}

#[test]
fn h16_what_cannot_be_understood_as_a_range_is_ignored() {
    let parts = Parts::new();
    let thousand = format!("bytes={}", "0-,".repeat(1000));
    for range in [
        "bytes=5-1",
        "bytes=a-b",
        "lines=0-1",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=10-20,15-30",
        "bytes=10-20,0-5",
        &thousand,
    ] {
        let reply = parts.get(&[&format!("Range: {range}")]);
        assert_eq!(reply.status, 200, "{range}");
        assert!(reply.body == parts.content, "{range}");
        assert!(reply.all("content-range").is_empty(), "{range}");
    }
    // A range is for GET alone.
    let request = format!("HEAD /v2/a/blobs/{}", parts.blob);
    let head = parts
        .house
        .send("root", &request, &["Range: bytes=0-1"], b"");
    assert_eq!((head.status, head.one("content-length")), (200, "3000"));
}

#[test]
fn h16_several_parts_come_in_one_body_that_says_where_each_belongs() {
    let parts = Parts::new();
    let reply = parts.get(&["Range: bytes=0-9, 100-104,-3"]);
    assert_eq!(reply.status, 206);
    assert!(reply.all("content-range").is_empty());
    assert_eq!(reply.one("content-length"), reply.body.len().to_string());
    let kind = reply.one("content-type");
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let inner = reply
        .body
        .strip_suffix(&format!("\r\n--{boundary}--\r\n"))
        .unwrap();
    let mark = format!("\r\n--{boundary}\r\n");
    let found: Vec<&str> = inner.split(&mark).skip(1).collect();
    let expected: Vec<String> = [(0, 9), (100, 104), (2997, 2999)]
        .iter()
        .map(|(first, last)| {
            format!(
                "Content-Type: application/octet-stream\r\nContent-Range: bytes {first}-{last}/3000\r\n\r\n{}",
                &parts.content[*first..=*last]
            )
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_part_is_wanted_only_of_the_content_that_the_client_began_with() {
    let parts = Parts::new();
    let right = format!("If-Range: \"{}\"", parts.blob);
    assert_eq!(parts.get(&["Range: bytes=5-6", &right]).status, 206);
    for other in [
        "If-Range: \"other\"",
        "If-Range: Sat, 21 Nov 2026 10:00:00 GMT",
    ] {
        let reply = parts.get(&["Range: bytes=5-6", other]);
        assert_eq!((reply.status, reply.body.len()), (200, 3000), "{other}");
    }
    // Who has it needs no part of it.
    let same = format!("If-None-Match: \"{}\"", parts.blob);
    assert_eq!(parts.get(&["Range: bytes=5-6", &same]).status, 304);
}

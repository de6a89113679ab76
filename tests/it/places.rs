//! What comes back is what was put, and leads where the client came from, whatever stands behind the gate.

use crate::support::ask::{Reply, ask, basic};
use crate::support::gate::Gate;
use crate::support::house::{House, MANIFEST};
use crate::support::upstream::Upstream;

/// As the client calls the gate.
const HOST: &str = "Host: registry.example.com:5443";
const BASE: &str = "http://registry.example.com:5443/v2/a/blobs/uploads/";

/// A gate before a registry that answers everything with these bytes.
fn before(answer: &str) -> (Upstream, Gate) {
    let upstream = Upstream::answering(answer);
    let gate = Gate::start_with(
        &format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n[auth]\nhtpasswd = \"htpasswd\"\n",
            upstream.url()
        ),
        |dir| std::fs::write(dir.join("htpasswd"), "root:{PLAIN}toor\n").unwrap(),
    );
    (upstream, gate)
}

#[test]
fn n39_no_header_of_a_client_steers_the_location_of_either_backend() {
    let house = House::start("");
    let (_upstream, gate) = before(
        "HTTP/1.1 202 Accepted\r\nLocation: http://inner:5000/v2/a/blobs/uploads/1?_state=x\r\nContent-Length: 0\r\n\r\n",
    );
    let login = basic("root", "toor");
    for address in [house.gate.address(), gate.address()] {
        for steering in [
            "X-Forwarded-Host: evil.test",
            "X-Forwarded-Proto: javascript",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Port: 1",
            "Forwarded: host=evil.test;proto=https",
            "X-Original-Host: evil.test",
            "X-Host: evil.test",
            "Location: http://evil.test/",
        ] {
            let headers = [HOST, steering, &login];
            let reply = ask(address, "POST /v2/a/blobs/uploads/", &headers, b"");
            assert_eq!(reply.status, 202, "{steering}: {reply:#?}");
            let location = reply.one("location");
            assert!(location.starts_with(BASE), "{steering}: {location}");
        }
    }
}

#[test]
fn n47_a_manifest_of_either_backend_comes_back_byte_for_byte() {
    let house = House::start("");
    let blob = house.blob("a", b"content");
    // Spaces, keys nobody knows, escapes and an end without a line feed: nothing of it is tidied up.
    let text = format!(
        "{{ \"schemaVersion\" :2,\t\"mediaType\":\"{MANIFEST}\",\r\n \"x\": \"\\u00e9\\/\", \"config\":\
         {{\"size\":7,  \"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"{blob}\"}},\"layers\":[ ] }}"
    );
    house.manifest("a", "1", &text);
    let (_upstream, gate) = before(&format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {MANIFEST}\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    ));
    let login = basic("root", "toor");
    for address in [house.gate.address(), gate.address()] {
        let get = |request: &str| -> Reply { ask(address, request, &[&login], b"") };
        let reply = get("GET /v2/a/manifests/1");
        assert_eq!((reply.status, &reply.body), (200, &text));
        assert_eq!(reply.one("content-type"), MANIFEST);
        assert_eq!(reply.one("content-length"), text.len().to_string());
    }
}

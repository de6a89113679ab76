//! What a browser makes of the gate: nothing but bytes; and what clients make it connect to: nothing.

use std::io::ErrorKind;
use std::net::TcpListener;

use crate::support::ask::{Reply, ask, basic};
use crate::support::figures::{BAD_INPUTS, tell};
use crate::support::gate::Gate;
use crate::support::house::House;
use crate::support::upstream::Upstream;

const MARKUP: &str = "<script>alert(1)</script>";

/// The headers that keep a browser from running, framing, guessing and telling.
const GUARDS: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    (
        "content-security-policy",
        "default-src 'none'; frame-ancestors 'none'; sandbox",
    ),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];

#[track_caller]
fn guarded(asked: &str, reply: &Reply) {
    for (name, value) in GUARDS {
        assert_eq!(reply.one(name), value, "{asked}: {reply:#?}");
    }
}

/// Requests with markup wherever a client can put it.
fn requests() -> Vec<(String, Vec<String>)> {
    let plain = [
        "GET /",
        "GET /v2/",
        "GET /_ping",
        "GET /nothing",
        "GET /v2/_catalog",
        "GET /v2/a/tags/list",
        "GET /v2/a/manifests/missing",
        "GET /v2/A/manifests/1",
        "DELETE /v2/",
        "GET /v2/token",
    ];
    let marked = [
        "/<script>alert(1)</script>",
        "/v2/<script>alert(1)</script>/tags/list",
        "/v2/a/manifests/<script>alert(1)</script>",
        "/v2/a/tags/list?n=<script>alert(1)</script>",
        "/v2/a/tags/list?last=<script>alert(1)</script>",
        "/v2/_catalog?last=<script>alert(1)</script>",
        "/v1/search?q=<script>alert(1)</script>",
        "/v2/token?service=<script>alert(1)</script>&scope=repository:<script>:pull",
    ];
    let marked = marked.map(|target| format!("GET {target}"));
    let headers = [
        format!("Accept: text/html, {MARKUP}"),
        format!("Referer: http://x/{MARKUP}"),
        format!("User-Agent: {MARKUP}"),
        basic(MARKUP, MARKUP),
    ];
    let all = plain.map(str::to_owned).into_iter().chain(marked);
    let all: Vec<String> = all.collect();
    let with = all.iter().cloned().map(|r| (r, headers.to_vec()));
    let without = all.iter().cloned().map(|r| (r, Vec::new()));
    with.chain(without).collect()
}

#[test]
fn n64_either_backend_gives_a_browser_bytes_and_never_a_page() {
    let house = House::start("anonymous = \"pull\"\n");
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    let gate = Gate::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n",
        upstream.url()
    ));
    let mut tried = 0;
    for address in [house.gate.address(), gate.address()] {
        for (request, headers) in requests() {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            let reply = ask(address, &request, &headers, b"");
            guarded(&request, &reply);
            let kind = reply.all("content-type").concat();
            assert!(
                !kind.contains("html") && !kind.contains("xml"),
                "{request}: {kind}"
            );
            assert!(!reply.body.contains("<script"), "{request}: {reply:#?}");
            tried += 1;
        }
    }
    tell(BAD_INPUTS, tried);
}

#[test]
fn n64_a_page_that_was_pushed_is_bytes_to_a_browser() {
    let house = House::start("");
    let page = format!("<html>{MARKUP}</html>");
    let blob = house.blob("a", page.as_bytes());
    let reply = house.ask(&format!("GET /v2/a/blobs/{blob}"));
    assert_eq!((reply.status, &reply.body), (200, &page));
    assert_eq!(reply.one("content-type"), "application/octet-stream");
    guarded("a blob", &reply);
}

/// A registry behind the gate may answer with whatever it likes, its own policy included.
#[test]
fn n64_a_page_of_the_registry_behind_the_gate_can_run_and_frame_nothing() {
    let page = format!("<html>{MARKUP}</html>");
    let upstream = Upstream::answering(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Security-Policy: default-src *\r\n\
         Referrer-Policy: unsafe-url\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    ));
    let gate = Gate::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n[auth]\nanonymous = \"pull\"\n",
        upstream.url()
    ));
    let reply = ask(gate.address(), "GET /v2/a/manifests/1", &[], b"");
    assert_eq!((reply.status, reply.body), (200, page));
    let reply = ask(gate.address(), "GET /v2/a/manifests/1", &[], b"");
    guarded("a page", &reply);
}

#[test]
fn n65_no_url_of_a_client_makes_either_backend_connect_anywhere() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let at = trap.local_addr().unwrap();
    let house = House::start("");
    let upstream = Upstream::answering(format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{at}/there\r\nContent-Length: 0\r\n\r\n"
    ));
    let gate = Gate::start_with(
        &format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n[auth]\nhtpasswd = \"htpasswd\"\n",
            upstream.url()
        ),
        |dir| std::fs::write(dir.join("htpasswd"), "root:{PLAIN}toor\n").unwrap(),
    );
    let (blob, _) = house.image("a", "content");
    let login = basic("root", "toor");
    let named = [
        format!("Host: {at}"),
        format!("X-Forwarded-Host: {at}"),
        format!("Forwarded: host={at};for={at}"),
        format!("X-Original-URL: http://{at}/"),
        format!("Location: http://{at}/"),
        format!("Content-Location: http://{at}/"),
        format!("Link: <http://{at}/>; rel=next"),
        format!("Referer: http://{at}/"),
        format!("Origin: http://{at}"),
    ];
    let foreign = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":\
         {{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"{blob}\",\"size\":7}},\"layers\":[\
         {{\"mediaType\":\"application/vnd.oci.image.layer.nondistributable.v1.tar\",\"digest\":\"sha256:{}\",\"size\":9,\
         \"urls\":[\"http://{at}/layer\"]}}]}}",
        "0".repeat(64)
    );
    let requests = [
        ("GET /v2/a/manifests/1".to_owned(), ""),
        (format!("GET http://{at}/v2/"), ""),
        (
            format!("POST /v2/b/blobs/uploads/?mount={blob}&from=http://{at}/a"),
            "",
        ),
        (
            format!("POST /v2/b/blobs/uploads/?mount={blob}&from={at}/a"),
            "",
        ),
        (format!("GET /v2/a/tags/list?last=http://{at}/"), ""),
        (
            format!("GET /v2/token?service=http://{at}/&scope=repository:{at}/a:pull"),
            "",
        ),
        ("PUT /v2/a/manifests/foreign".to_owned(), foreign.as_str()),
        ("GET /v2/a/manifests/foreign".to_owned(), ""),
    ];
    let mut tried = 0;
    for address in [house.gate.address(), gate.address()] {
        for (request, body) in &requests {
            for name in &named {
                // One host is enough for a request; two are refused anyway.
                let headers = [
                    name.as_str(),
                    &login,
                    "Content-Type: application/vnd.oci.image.manifest.v1+json",
                ];
                ask(address, request, &headers, body.as_bytes());
                tried += 1;
            }
        }
    }
    let passed_on = ask(gate.address(), "GET /v2/a/manifests/1", &[&login], b"");
    assert_eq!(passed_on.status, 307);
    assert_eq!(passed_on.one("location"), format!("http://{at}/there"));
    let reached = trap.accept().map(|(_, from)| from);
    assert_eq!(reached.unwrap_err().kind(), ErrorKind::WouldBlock);
    tell(BAD_INPUTS, tried);
}

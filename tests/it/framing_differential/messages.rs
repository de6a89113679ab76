//! The messages: each is put together of parts, of which at most two are unusual, and each part knows whether a request
//! with it may pass.

use crate::support::fronts::LOGIN;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const CHUNKS: &str = "Transfer-Encoding: chunked\r\n";
const WHOLE: &[u8] = b"5\r\nhello\r\n0\r\n\r\n";

/// One message.
#[derive(Clone, Debug)]
pub struct Message {
    /// What is unusual about it.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether it passes: then with this method and target, and with this body.
    pub passes: Option<(String, Vec<u8>)>,
}

/// A request of the API, with `NAME` where the repository stands.
#[derive(Clone, Copy)]
struct Kind {
    method: &'static str,
    target: &'static str,
    uploads: bool,
}

/// One part of a message, and whether a request with it may pass.
#[derive(Clone)]
struct Part {
    text: Vec<u8>,
    good: bool,
}

/// Header lines that frame a body, and that body.
#[derive(Clone)]
struct Body {
    lines: Part,
    sent: Vec<u8>,
    meant: &'static [u8],
}

/// The whole line of it, its host, its other lines, its body.
#[derive(Clone)]
struct Parts {
    kind: Kind,
    method: Part,
    target: Part,
    version: Part,
    host: Part,
    more: Part,
    body: Body,
}

const KINDS: [Kind; 8] = [
    kind("GET", "/v2/NAME/manifests/latest", false),
    kind("HEAD", "/v2/NAME/manifests/latest", false),
    kind("GET", "/v2/NAME/blobs/DIGEST?ns=a%2Fb&x=%20", false),
    kind("DELETE", "/v2/NAME/manifests/DIGEST", false),
    kind("POST", "/v2/NAME/blobs/uploads/", true),
    kind("PATCH", "/v2/NAME/blobs/uploads/u-1?_state=x%2By", true),
    kind("PUT", "/v2/NAME/blobs/uploads/u-1?digest=DIGEST", true),
    kind("PUT", "/v2/NAME/manifests/latest", true),
];

/// What a body may look like to somebody who has lost count.
const CONTENT: &[u8] = b"GET /v2/smuggled/manifests/1 HTTP/1.1\r\nHost: gate\r\n\r\n";

/// Messages as they are put together.
#[derive(Default)]
struct Pile(Vec<Message>);

impl Pile {
    fn add(&mut self, name: &str, parts: &Parts) {
        let repository = format!("c{}", self.0.len());
        self.0.push(build(name, &repository, parts));
    }
}

/// Every message. Each has a repository of its own.
pub fn all() -> Vec<Message> {
    let mut pile = Pile::default();
    for kind in KINDS {
        one_at_a_time(kind, &mut pile);
    }
    // Nobody sends these with a body, and nobody forbids it.
    for body in bodies() {
        let usual = Parts::usual(KINDS[3]);
        pile.add("body of a deletion", &Parts { body, ..usual });
    }
    two_at_a_time(&mut pile);
    pile.0
}

fn one_at_a_time(kind: Kind, pile: &mut Pile) {
    let usual = || Parts::usual(kind);
    pile.add("usual", &usual());
    let bodies = if kind.uploads { bodies() } else { no_bodies() };
    for body in bodies {
        pile.add("body", &Parts { body, ..usual() });
    }
    for more in lines() {
        pile.add("lines", &Parts { more, ..usual() });
    }
    for host in hosts() {
        pile.add("host", &Parts { host, ..usual() });
    }
    for version in versions() {
        pile.add("version", &Parts { version, ..usual() });
    }
    for target in targets(kind.target) {
        pile.add("target", &Parts { target, ..usual() });
    }
    for method in methods() {
        pile.add("method", &Parts { method, ..usual() });
    }
}

/// What one part refuses another must not let in.
fn two_at_a_time(pile: &mut Pile) {
    let (lines, hosts) = (lines(), hosts());
    for (n, body) in bodies().into_iter().enumerate() {
        let mut parts = Parts::usual(KINDS[5]);
        parts.body = body;
        parts.more = lines[n * 7 % lines.len()].clone();
        pile.add("body and lines", &parts);
        parts.more = good("");
        parts.host = hosts[n * 5 % hosts.len()].clone();
        pile.add("body and host", &parts);
    }
    for (n, target) in targets(KINDS[0].target).into_iter().enumerate() {
        let mut parts = Parts::usual(KINDS[0]);
        parts.target = target;
        parts.more = lines[n * 11 % lines.len()].clone();
        pile.add("target and lines", &parts);
    }
}

impl Parts {
    fn usual(kind: Kind) -> Self {
        Self {
            kind,
            method: good(kind.method),
            target: good(kind.target),
            version: good(" HTTP/1.1\r\n"),
            host: good("Host: gate\r\n"),
            more: good(""),
            body: if kind.uploads {
                framed("Content-Length: 5\r\n", b"hello", Some(b"hello"))
            } else {
                framed("", b"", Some(b""))
            },
        }
    }
}

const fn kind(method: &'static str, target: &'static str, uploads: bool) -> Kind {
    Kind {
        method,
        target,
        uploads,
    }
}

fn build(name: &str, repository: &str, parts: &Parts) -> Message {
    let written = |text: &str| text.replace("NAME", repository).replace("DIGEST", DIGEST);
    let login = if matches!(parts.kind.method, "GET" | "HEAD") {
        ""
    } else {
        LOGIN
    };
    let target = String::from_utf8_lossy(&parts.target.text).into_owned();
    let all = [
        &parts.method,
        &parts.target,
        &parts.version,
        &parts.host,
        &parts.more,
    ];
    // HTTP/1.0 has no chunks, and needs no host.
    let old = parts.version.text == b" HTTP/1.0\r\n";
    let chunked = parts
        .body
        .lines
        .text
        .to_ascii_lowercase()
        .starts_with(b"transfer");
    let good = all.iter().all(|part| part.good) && parts.body.lines.good && !(old && chunked);
    let origin = written(parts.kind.target);
    let mut bytes = parts.method.text.clone();
    bytes.push(b' ');
    bytes.extend(written(&target).bytes());
    for part in [
        &parts.version.text[..],
        &parts.host.text,
        login.as_bytes(),
        &parts.more.text,
        &parts.body.lines.text,
        b"\r\n",
        &parts.body.sent,
    ] {
        bytes.extend(part);
    }
    Message {
        name: format!(
            "{name}: {}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(400)])
        ),
        bytes,
        passes: good.then(|| {
            let line = format!("{} {origin}", parts.kind.method);
            (line, parts.body.meant.to_vec())
        }),
    }
}

fn good(text: impl AsRef<[u8]>) -> Part {
    part(text, true)
}

fn bad(text: impl AsRef<[u8]>) -> Part {
    part(text, false)
}

fn part(text: impl AsRef<[u8]>, good: bool) -> Part {
    Part {
        text: text.as_ref().to_vec(),
        good,
    }
}

/// A body that is meant to be this, or that nobody may read.
fn framed(lines: &str, sent: impl AsRef<[u8]>, meant: Option<&'static [u8]>) -> Body {
    Body {
        lines: part(lines, meant.is_some()),
        sent: sent.as_ref().to_vec(),
        meant: meant.unwrap_or_default(),
    }
}

/// Bodies of requests that have none.
fn no_bodies() -> Vec<Body> {
    vec![
        framed("Content-Length: 0\r\n", b"", Some(b"")),
        framed("Content-Length: 1\r\nContent-Length: 0\r\n", b"", None),
        framed(
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            b"0\r\n\r\n",
            None,
        ),
        framed("Content-Length: -0\r\n", b"", None),
        framed("Content-Length:\r\n", b"", None),
        framed("Transfer-Encoding: identity\r\n", b"", None),
        framed(
            "Transfer-Encoding: chunked, identity\r\n",
            b"0\r\n\r\n",
            None,
        ),
    ]
}

fn bodies() -> Vec<Body> {
    [good_bodies(), bad_lines(), bad_chunks()].concat()
}

fn good_bodies() -> Vec<Body> {
    let chunks = CHUNKS;
    let whole = WHOLE;
    [
        // Lengths.
        ("Content-Length: 5\r\n", &b"hello"[..], &b"hello"[..]),
        ("content-length:5\r\n", b"hello", b"hello"),
        ("CONTENT-LENGTH: \t5\t \r\n", b"hello", b"hello"),
        ("Content-Length: 000005\r\n", b"hello", b"hello"),
        ("Content-Length: 53\r\n", CONTENT, CONTENT),
        // Chunks.
        (chunks, whole, b"hello"),
        ("transfer-encoding:CHUNKED\r\n", whole, b"hello"),
        (chunks, b"00005\r\nhello\r\n000\r\n\r\n", b"hello"),
        (
            chunks,
            b"1\r\nh\r\n2\r\nel\r\n2\r\nlo\r\n0\r\n\r\n",
            b"hello",
        ),
        (chunks, b"5;a\r\nhello\r\n0\r\n\r\n", b"hello"),
        (chunks, b"5;a=b;c=\"d\"\r\nhello\r\n0;z\r\n\r\n", b"hello"),
        (chunks, b"5;0\r\nhello\r\n0\r\nX-Evil: 1\r\n\r\n", b"hello"),
        (
            chunks,
            b"5\r\nhello\r\n0\r\nContent-Length: 99\r\nHost: evil\r\n\r\n",
            b"hello",
        ),
        (chunks, b"5\r\n\r\n0\r\n\r\n0\r\n\r\n", b"\r\n0\r\n"),
        (
            chunks,
            b"35\r\nGET /v2/smuggled/manifests/1 HTTP/1.1\r\nHost: gate\r\n\r\n\r\n0\r\n\r\n",
            CONTENT,
        ),
        (chunks, b"0\r\n\r\n", b""),
    ]
    .into_iter()
    .map(|(lines, sent, meant)| framed(lines, sent, Some(meant)))
    .collect()
}

/// Lines that frame nothing, or twice.
fn bad_lines() -> Vec<Body> {
    [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 5;\r\n",
        "Content-Length: 5.0\r\n",
        "Content-Length: five\r\n",
        "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 18446744073709551621\r\n",
        "Content-Length: 100000000000000000000000000000005\r\n",
        "Content-Length : 5\r\n",
        "Content-Length\t: 5\r\n",
        "Content-Length: 5\n",
        "Content-Length: \u{b}5\r\n",
        "Content-Length:\r\n 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunkedx\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding: chun\u{e4}ked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: chunked\n",
        "Transfer-Encoding:\r\n",
        " Transfer-Encoding: chunked\r\n",
    ]
    .map(|lines| framed(lines, WHOLE, None))
    .to_vec()
}

fn bad_chunks() -> Vec<Body> {
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "e".repeat(300));
    let trailer = format!("5\r\nhello\r\n0\r\nX: {}\r\n\r\n", "t".repeat(9 << 10));
    let trailers = format!("5\r\nhello\r\n0\r\n{}\r\n", "X: t\r\n".repeat(101));
    [
        "g\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5_0\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";a\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\rhello\r0\r\r",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "4\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "00000000000000000000005\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        "5\r\nhello\r\n0\r\n folded\r\n\r\n",
        "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: a\nY: b\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: \0\r\n\r\n",
        "5\r\nhello\r\n0\r\n: x\r\n\r\n",
        &extension,
        &trailer,
        &trailers,
    ]
    .map(|sent| framed(CHUNKS, sent, None))
    .to_vec()
}

fn lines() -> Vec<Part> {
    let mut all: Vec<Part> = [
        "X-Kept: 1\r\nX-Kept: 2\r\n",
        "x:y\r\n",
        "X:\r\n",
        "X: \t \r\n",
        "X: a\tb\r\n",
        "X!#$%&'*+-.^_`|~: 1\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "Connection: X-Evil, keep-alive\r\nX-Evil: 1\r\nKeep-Alive: timeout=5\r\n",
        "Connection: Host, Content-Length, Transfer-Encoding, Authorization\r\n",
        "Connection: ,, ,\r\nConnection: X-Evil\r\nX-Evil: 1\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Upgrade: HTTP/2.0\r\n",
        "TE: trailers\r\nTrailer: X-Evil\r\n",
        "TE: gzip, chunked;q=0\r\n",
        "Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\n",
        "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n",
        "X-HTTP-Method-Override: DELETE\r\nX-Original-URL: /v2/evil/\r\nX-Remote-User: root\r\n",
        "Content_Length: 99\r\nTransfer_Encoding: chunked\r\n",
        "Accept: a\r\nAccept: b, c\r\nCookie: a=1\r\nCookie: b=2\r\n",
        "Range: bytes=0-0,2-\r\nIf-None-Match: \"a\"\r\n",
        "Expect: 100-continue\r\n",
        "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nVia: 1.1 x\r\n",
    ]
    .map(good)
    .to_vec();
    all.push(good(b"X: \xff\x80\xc3\xa4\r\n"));
    all.push(good(format!("X-Long: {}\r\n", "l".repeat(40 << 10))));
    all.push(good("X-Many: 1\r\n".repeat(90)));
    all.extend(
        [
            &b"X: 1\r\n folded\r\n"[..],
            b"X: 1\r\n\tfolded\r\n",
            b"X: 1\r\n  Transfer-Encoding: chunked\r\n",
            b"X: a\r\n \r\n",
            b"X Y: 1\r\n",
            b"X : 1\r\n",
            b"X\t: 1\r\n",
            b"X\r\n",
            b"X\0Y: 1\r\n",
            b"X\x80: 1\r\n",
            b"(X): 1\r\n",
            b": 1\r\n",
            b"X: a\0b\r\n",
            b"X: a\rb\r\n",
            b"X: a\r\rb\r\n",
            b"X: a\nY: b\r\n",
            b"X: a\n\r\n",
            b"X: a\x7f\r\n",
            b"X: a\x08\r\n",
            b"X: a\x0b\r\n",
            b"X: a\x1b[31m\r\n",
            b"X: a\n",
            b"\rX: a\r\n",
            b"\nX: a\r\n",
            b"Expect: 200-ok\r\n",
            b"Expect: 100-continue, x\r\n",
            b"Expect:\r\n",
        ]
        .map(bad),
    );
    all.push(bad(format!("X-Long: {}\r\n", "l".repeat(70 << 10))));
    all.push(bad(format!("{}: 1\r\n", "n".repeat(70 << 10))));
    all.push(bad("X-Many: 1\r\n".repeat(101)));
    all
}

fn hosts() -> Vec<Part> {
    let mut all = [
        "host:gate\r\n",
        "HOST: \t gate:443 \t\r\n",
        "Host: [::1]:5000\r\n",
        "Host: 10.0.0.1\r\n",
    ]
    .map(good)
    .to_vec();
    all.extend(
        [
            "",
            "Host:\r\n",
            "Host: gate\r\nHost: gate\r\n",
            "Host: gate\r\nhost: evil\r\n",
            "Host: gate, evil\r\n",
            "Host: gate evil\r\n",
            "Host: gate/v2\r\n",
            "Host: user@gate\r\n",
            "Host: gate:http\r\n",
            "Host: gate:70000\r\n",
            "Host: gate?x\r\n",
            "Host: gate#x\r\n",
            "Host: gate%00\r\n",
            "Host: [::1\r\n",
            "Host: http://gate\r\n",
            "Host: g\u{e4}te\r\n",
            "Host : gate\r\n",
            "Host: gate\n",
            "Host: gate\r\n evil\r\n",
            " Host: gate\r\n",
        ]
        .map(bad),
    );
    all
}

fn versions() -> Vec<Part> {
    let mut all = vec![good(" HTTP/1.0\r\n")];
    all.extend(
        [
            " HTTP/1.1\n",
            " HTTP/1.1 \r\n",
            "  HTTP/1.1\r\n",
            "\tHTTP/1.1\r\n",
            " HTTP/1.2\r\n",
            " HTTP/0.9\r\n",
            " HTTP/2.0\r\n",
            " HTTP/3.7\r\n",
            " HTTP/1.10\r\n",
            " HTTP/01.1\r\n",
            " HTTP/1\r\n",
            " HTTP/1,1\r\n",
            " http/1.1\r\n",
            " HTTPS/1.1\r\n",
            " HTTP/1.1\r\r\n",
            " HTTP/1.1\0\r\n",
            " x HTTP/1.1\r\n",
            "\r\n",
        ]
        .map(bad),
    );
    all
}

fn targets(usual: &str) -> Vec<Part> {
    let mut all = vec![
        good(format!("http://gate{usual}")),
        good(format!("HTTPS://GATE{usual}")),
    ];
    let (path, query) = usual.split_once('?').unwrap_or((usual, ""));
    let rest = path.strip_prefix("/v2/").unwrap();
    all.extend(
        [
            format!("http://evil{usual}"),
            format!("http://gate:80{usual}"),
            format!("http://user@gate{usual}"),
            format!("http://{usual}"),
            format!("ftp://gate{usual}"),
            format!("gate{usual}"),
            "gate:443".to_owned(),
            "*".to_owned(),
            rest.to_owned(),
            format!("/{usual}"),
            format!("/v2//{rest}"),
            format!("/v2/./{rest}"),
            format!("/v2/x/../{rest}"),
            format!("/v2/%2e%2e/{rest}"),
            format!("/v2/x%2f{rest}"),
            format!("/v2/x%5c{rest}"),
            format!("/v2/x\\{rest}"),
            format!("/v2/x;y/{rest}"),
            format!("/v2/x%00/{rest}"),
            format!("/v2/x%0d%0aX-Evil:1/{rest}"),
            format!("/v2/%c0%ae/{rest}"),
            format!("/v2/%6{rest}"),
            format!("/v2/X/{rest}"),
            format!("/V2/{rest}"),
            format!("{path}#x?{query}"),
            format!("{path}?a#b"),
            format!("{path}?a\u{e4}"),
            format!("{path}?a\0"),
            format!("{path}\t"),
            format!("{path}?{}", "q".repeat(9 << 10)),
        ]
        .map(bad),
    );
    all
}

fn methods() -> Vec<Part> {
    [
        "CONNECT",
        "TRACE",
        "OPTIONS",
        "PRI",
        "get",
        "Put",
        "BREW",
        "GETT",
        "G(T",
        "",
        " GET",
        "\r\n GET",
        "GET\0",
        "\u{e4}",
        "AMETHODTHATISLONGERTHANANYTHATEXISTS",
    ]
    .map(bad)
    .to_vec()
}

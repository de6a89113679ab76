//! A strict reading of HTTP/1 requests, before hyper's generous one (RFC 9112, RFC 9110).
//!
//! hyper drops `Content-Length` beside `Transfer-Encoding`, takes several `Host` lines, bare LF and `gzip, chunked`, and
//! answers what it cannot parse with a bare 400. Two readings of one byte stream are how requests are smuggled, so
//! nothing but heads and bodies with exactly one reading gets past this room. It does no I/O.

mod chunked;
mod fault;
mod field;
mod head;
#[cfg(any(test, fuzzing))]
pub(super) mod property;

use std::ops::Range;

use chunked::Chunked;
pub(crate) use fault::Fault;
use head::{Framing, Head};

/// Header lines of one request; beyond: 431. hyper's own bound is the same 100.
const MAX_LINES: usize = 100;
/// Bytes of the request target; beyond: 414. Registries' longest paths stay below 1 KiB.
const MAX_TARGET: usize = 8 * 1024;
/// Bytes of the method; beyond: 501. The longest registered one has 17.
const MAX_METHOD: usize = 32;

/// First byte of a TLS record that carries a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Bounds on a request head that the configuration decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadLimits {
    /// Bytes from the request line to the empty line, both included; beyond: 431.
    pub(super) header_size: usize,
}

/// The strict reader of one connection's bytes.
#[derive(Debug)]
pub(super) struct Scanner {
    limits: HeadLimits,
    state: State,
    /// The bytes of a head that is not complete; it owns no memory otherwise.
    held: Vec<u8>,
    heads: u64,
}

#[derive(Debug)]
enum State {
    Head(Head),
    Length(u64),
    Chunked(Chunked),
    Refused,
}

/// What may be passed on after a look at some bytes: first `front`, then the bytes in `range`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Bytes held back from earlier looks, or a head that was changed: complete up to the start of `range`.
    pub(super) front: Vec<u8>,
    /// Which of the bytes shown may be passed on behind `front`. A head that is not complete is kept in the scanner.
    pub(super) range: Range<usize>,
    /// What is wrong with the bytes behind `range`; after a fault nothing is accepted any more.
    pub(super) fault: Option<Fault>,
}

/// Where in the stream of requests the last byte stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// A request is complete, or none has come.
    BetweenRequests,
    /// A head has begun.
    InHead,
    /// A head is complete and its body is not.
    InBody,
}

impl Scanner {
    /// A reader for the first byte of a connection.
    pub(super) fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            state: State::Head(Head::new()),
            held: Vec::new(),
            heads: 0,
        }
    }

    /// Looks at the next bytes of the connection, in any fragmentation.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut scan = Scan::default();
        let mut at = 0;
        while at < bytes.len() && scan.fault.is_none() {
            let rest = bytes.get(at..).unwrap_or_default();
            at += match &mut self.state {
                State::Refused => break,
                State::Length(left) => {
                    let taken =
                        usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::Head(Head::new());
                    }
                    scan.range.end += taken;
                    taken
                }
                State::Chunked(body) => {
                    let (taken, progress) = body.scan(rest);
                    scan.range.end += taken;
                    match progress {
                        Ok(chunked::Progress::More) => {}
                        Ok(chunked::Progress::Complete) => self.state = State::Head(Head::new()),
                        Err(fault) => scan.fault = Some(self.refuse(fault)),
                    }
                    taken
                }
                State::Head(_) => self.scan_head(bytes, at, &mut scan),
            };
        }
        scan
    }

    /// Where in the stream of requests the last byte stood.
    pub(super) fn position(&self) -> Position {
        match &self.state {
            State::Head(head) if head.has_begun() => Position::InHead,
            State::Head(_) | State::Refused => Position::BetweenRequests,
            State::Length(_) | State::Chunked(_) => Position::InBody,
        }
    }

    /// Heads passed on so far.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// Reads on in a head with the bytes from `at`; returns how many of them were taken.
    fn scan_head(&mut self, bytes: &[u8], at: usize, scan: &mut Scan) -> usize {
        let State::Head(head) = &mut self.state else {
            return 0;
        };
        let rest = bytes.get(at..).unwrap_or_default();
        if self.heads == 0 && self.held.is_empty() && rest.first() == Some(&TLS_HANDSHAKE) {
            scan.fault = Some(self.refuse(Fault::TlsHello));
            return 0;
        }
        let known = self.held.len();
        let seen = if known == 0 {
            rest
        } else {
            // One byte beyond the limit is enough to see that it is exceeded.
            let room = (self.limits.header_size + 1).saturating_sub(known);
            let more = rest.get(..room).unwrap_or(rest);
            self.held.extend_from_slice(more);
            &self.held
        };
        match head.scan(seen, self.limits) {
            Ok(head::Progress::More) => {
                if known == 0 {
                    self.held = rest.to_vec();
                }
                rest.len()
            }
            Ok(head::Progress::Complete { end, framing, cut }) => {
                let taken = end - known;
                if known == 0 && cut.is_empty() {
                    scan.range.end = at + taken;
                } else {
                    let before = bytes.get(scan.range.clone()).unwrap_or_default();
                    scan.front.extend_from_slice(before);
                    extend_without(&mut scan.front, seen.get(..end).unwrap_or_default(), &cut);
                    scan.range = at + taken..at + taken;
                }
                self.held = Vec::new();
                self.heads += 1;
                self.state = match framing {
                    Framing::Length(0) => State::Head(Head::new()),
                    Framing::Length(length) => State::Length(length),
                    Framing::Chunked => State::Chunked(Chunked::new()),
                };
                taken
            }
            Err(fault) => {
                scan.fault = Some(self.refuse(fault));
                0
            }
        }
    }

    fn refuse(&mut self, fault: Fault) -> Fault {
        self.state = State::Refused;
        self.held = Vec::new();
        fault
    }
}

/// Appends `head` without the lines in `cut`.
///
/// `Upgrade` is hop-by-hop and never honoured; a hyper connection that has seen one ends without flushing and without
/// closing its stream, because it waits to hand it over.
fn extend_without(front: &mut Vec<u8>, head: &[u8], cut: &[Range<usize>]) {
    let mut from = 0;
    for line in cut {
        front.extend_from_slice(head.get(from..line.start).unwrap_or_default());
        from = line.end;
    }
    front.extend_from_slice(head.get(from..).unwrap_or_default());
}

#[cfg(test)]
pub(super) mod tests {
    //! One table of requests, each looked at whole, byte by byte and in random pieces.

    use proptest::prelude::*;

    use super::property::{check_against_httparse, look, split, whole};
    use super::{Fault, HeadLimits, Position, Scanner};

    const LIMITS: HeadLimits = HeadLimits {
        header_size: 64 * 1024,
    };

    /// A request with one more header line, and a `Host`.
    fn get_with(line: &str) -> Vec<u8> {
        format!("GET /v2/ HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n").into_bytes()
    }

    fn chunked(body: &str) -> Vec<u8> {
        format!("PUT /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
            .into_bytes()
    }

    fn host(value: &str) -> Vec<u8> {
        format!("GET /v2/ HTTP/1.1\r\nHost: {value}\r\n\r\n").into_bytes()
    }

    fn line(request_line: &str) -> Vec<u8> {
        format!("{request_line}\r\nHost: a\r\n\r\n").into_bytes()
    }

    /// Complete requests; every byte of them is passed on.
    #[expect(clippy::too_many_lines, reason = "a table")]
    pub(in crate::server) fn good() -> Vec<Vec<u8>> {
        let mut good: Vec<Vec<u8>> = [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
            "HEAD /v2/ HTTP/1.1\r\nHOST:a\r\n\r\n",
            "get /v2/ HTTP/1.1\r\nhost:\t a \t\r\n\r\n",
            "BREW /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "TRACE /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a/v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET https://a:5000/v2/?n=1 HTTP/1.1\r\nHost: a:5000\r\n\r\n",
            "GET HTTP://a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /v2/../x HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET //v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /v2/%2e%2e/%00?a=b&c=%zz HTTP/1.1\r\nHost: a\r\n\r\n",
            "PUT /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "PUT /v2/ HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
            "PUT /v2/ HTTP/1.1\r\nHost: a\r\ncontent-length:005\r\n\r\nhello",
            "PUT /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: \t5 \r\n\r\n\n\n\r\n\0",
            "POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "PUT /v2/ HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
        ]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
        good.extend(
            [
                "X: ",
                "X:",
                "X: a b\tc",
                "X: \"quoted, and: more\"",
                "!#$%&'*+-.^_`|~0aZ: every token byte",
                "Accept: a\r\nAccept: b",
                "X_Y: underscore",
                "Connection: authorization, host",
                "Transfer-Encodings: chunked",
                "Content-Lengths: 1",
                "TE: trailers, gzip",
                "Content-Length: 0\r\nX: y",
            ]
            .map(get_with),
        );
        good.push(b"GET / HTTP/1.1\r\nHost: a\r\nX: caf\xe9 \xff\r\n\r\n".to_vec());
        good.extend(
            [
                "a",
                "a:5000",
                "A.example",
                "127.0.0.1",
                "127.0.0.1:0",
                "[::1]",
                "[::1]:5000",
                "a_b.c-d~e",
                "a:65535",
            ]
            .map(host),
        );
        good.extend(
            [
                "0\r\n\r\n",
                "5\r\nhello\r\n0\r\n\r\n",
                "00000000000005\r\nhello\r\n000\r\n\r\n",
                "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
                "2\r\n\r\n\r\n0\r\n\r\n",
                "5;a=b\r\nhello\r\n0;c=\"d;e\"\r\n\r\n",
                "5;\r\nhello\r\n0\r\n\r\n",
                "0\r\nX-Trailer: y\r\nZ:\r\n\r\n",
                "0\r\nContent-Length: 5\r\n\r\n",
            ]
            .map(chunked),
        );
        good.push(
            b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
                .to_vec(),
        );
        good.push(
            b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n1\r\nx\r\n0\r\n\r\n"
                .to_vec(),
        );
        let long_target = format!("GET /{} HTTP/1.1", "a".repeat(8 * 1024 - 1));
        good.push(line(&long_target));
        good.push(get_with(&format!("X: {}", "a".repeat(60_000))));
        good.push(get_with(&vec!["X: y"; 99].join("\r\n")));
        good.push(chunked(&format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(255))));
        good
    }

    /// Bytes that are refused, and with what reason code.
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn bad() -> Vec<(Vec<u8>, u16, &'static str)> {
        let mut bad: Vec<(Vec<u8>, u16, &'static str)> = Vec::new();
        let mut all = |status: u16, reason: &'static str, requests: Vec<Vec<u8>>| {
            bad.extend(
                requests
                    .into_iter()
                    .map(|request| (request, status, reason)),
            );
        };
        all(
            400,
            "framing_conflict",
            vec![
                get_with("Content-Length: 5\r\nTransfer-Encoding: chunked"),
                get_with("Transfer-Encoding: chunked\r\nContent-Length: 5"),
                get_with("Transfer-Encoding: chunked\r\nContent-Length: 0"),
                get_with("Content-Length: 5\r\nX: y\r\ntransfer-encoding: chunked"),
            ],
        );
        all(
            400,
            "bad_te",
            [
                "Transfer-Encoding: xchunked",
                "Transfer-Encoding: chunkedx",
                "Transfer-Encoding:  chunked",
                "Transfer-Encoding:\tchunked",
                "Transfer-Encoding: \tchunked",
                "Transfer-Encoding: chunked ",
                "Transfer-Encoding: chunked\t",
                "Transfer-Encoding: gzip, chunked",
                "Transfer-Encoding: identity, chunked",
                "Transfer-Encoding: chunked, chunked",
                "Transfer-Encoding: chunked, identity",
                "Transfer-Encoding: chunked,",
                "Transfer-Encoding: ,chunked",
                "Transfer-Encoding: identity",
                "Transfer-Encoding: gzip",
                "Transfer-Encoding:",
                "Transfer-Encoding: \"chunked\"",
                "Transfer-Encoding: chunked;q=1",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
                "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            ]
            .map(get_with)
            .to_vec(),
        );
        all(
            400,
            "bad_te",
            vec![
                b"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
                b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun\xe9ked\r\n\r\n".to_vec(),
            ],
        );
        all(
            400,
            "bad_cl",
            [
                "Content-Length: 5\r\nContent-Length: 6",
                "Content-Length: 5\r\nContent-Length: 5",
                "Content-Length: 5, 5",
                "Content-Length: 5,6",
                "Content-Length: +5",
                "Content-Length: -5",
                "Content-Length: 0x5",
                "Content-Length: 5a",
                "Content-Length: 5 5",
                "Content-Length: 5.0",
                "Content-Length: 1e3",
                "Content-Length:",
                "Content-Length: \"5\"",
                "Content-Length: 9223372036854775808",
                "Content-Length: 18446744073709551616",
                "Content-Length: 99999999999999999999999999",
            ]
            .map(get_with)
            .to_vec(),
        );
        all(
            400,
            "bad_chunk",
            [
                "g\r\n",
                "-1\r\nx",
                "+1\r\nx",
                "0x1\r\nx",
                " 1\r\nx",
                "1 \r\nx",
                "1\t\r\nx",
                "\r\n",
                ";a\r\n",
                "5\nhello",
                "5\rhello",
                "5\r\nhellox\r\n",
                "5\r\nhello\n0\r\n\r\n",
                "5\r\nhello\rx",
                "5\r\nhello0\r\n",
                "11111111111111111\r\n",
                "00000000000000001\r\nx",
                "8000000000000000\r\n",
                "FFFFFFFFFFFFFFFF\r\n",
                "ffffffffffffffffffff\r\n",
                "5;a\nhello",
                "5;a\rhello",
                "5;\0\r\nhello",
                "5;a\x7f\r\nhello",
                "0\r\n\n",
                "0\r\n\rx",
                "0\r\n: y\r\n\r\n",
                "0\r\n X: y\r\n\r\n",
                "0\r\nX : y\r\n\r\n",
                "0\r\nX\r\n\r\n",
                "0\r\nX: y\n\r\n",
                "0\r\nX: \0\r\n\r\n",
                "0\r\nX: y\r\n z\r\n\r\n",
                "0\n\r\n",
                "0\r\nX: y\rZ: a\r\n\r\n",
            ]
            .map(chunked)
            .to_vec(),
        );
        all(
            400,
            "bad_chunk",
            vec![
                chunked(&format!("1;{}\r\nx\r\n", "e".repeat(257))),
                chunked(&format!("1;{}\r\nx\r\n", "e".repeat(200)).repeat(41)),
            ],
        );
        all(
            431,
            "too_large",
            vec![
                chunked(&format!("0\r\nX: {}\r\n\r\n", "y".repeat(8 * 1024))),
                chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(101))),
                get_with(&format!("X: {}", "a".repeat(64 * 1024))),
                get_with(&format!("{}: y", "X".repeat(100 * 1024))),
                get_with(&vec!["X: y"; 100].join("\r\n")),
                get_with(&vec!["X: y"; 10_000].join("\r\n")),
            ],
        );
        all(
            414,
            "too_large",
            vec![
                line(&format!("GET /{} HTTP/1.1", "a".repeat(8 * 1024))),
                line(&format!("GET /{} HTTP/1.1", "a".repeat(1024 * 1024))),
            ],
        );
        all(
            400,
            "bad_header",
            [
                "X : y",
                "X\t: y",
                "X y: z",
                "X",
                "X\r\n: y",
                ": y",
                " X: y",
                "\tX: y",
                "X: a\r\n folded",
                "X: a\r\n\tfolded",
                "X: \0",
                "X: a\rb",
                "X: a\nb",
                "X: \x1b[31m",
                "X: \x7f",
                "X\0: y",
                "X\x7f: y",
                "(X): y",
                "X/Y: z",
                "X\"Y: z",
                "X[0]: z",
                "X@Y: z",
                "Content-Length : 5",
                "Transfer-Encoding : chunked",
                "X: y\n",
                "\n",
            ]
            .map(get_with)
            .to_vec(),
        );
        all(
            400,
            "bad_header",
            vec![
                b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: y\r\n\r\n".to_vec(),
                b"GET / HTTP/1.1\r\nHost: a\n\r\n".to_vec(),
                b"GET / HTTP/1.1\r\n Host: a\r\n\r\n".to_vec(),
                b"GET / HTTP/1.1\r\nHost: a\r\n\n".to_vec(),
                b"GET / HTTP/1.1\r\nHost: a\r\n\rX".to_vec(),
            ],
        );
        all(
            400,
            "bad_host",
            [
                "",
                " ",
                "a b",
                "a,b",
                "a/b",
                "user@a",
                "a?b",
                "a#b",
                "a:",
                "a:b",
                "a:-1",
                "a:+1",
                "a:65536",
                "a:80:80",
                "[::1",
                "::1",
                "[::1]x",
                "[a]",
                "[fe80::1%eth0]",
                "a%41",
                "a\\b",
                "a\"b",
                "a;b",
                "http://a",
                ":80",
                "<a>",
                "a'b",
                "a*",
                "[]",
            ]
            .map(host)
            .to_vec(),
        );
        all(
            400,
            "bad_host",
            vec![
                b"GET / HTTP/1.1\r\n\r\n".to_vec(),
                b"GET / HTTP/1.1\r\nX: y\r\n\r\n".to_vec(),
                b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_vec(),
                b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n".to_vec(),
                b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n".to_vec(),
                b"GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n".to_vec(),
                b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
                b"GET http://a:x/ HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
                b"GET http:///v2/ HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
                host(&"a".repeat(254)),
            ],
        );
        all(
            400,
            "bad_path",
            [
                "GET /v2/#x HTTP/1.1",
                "GET # HTTP/1.1",
                "GET v2/ HTTP/1.1",
                "GET * HTTP/1.1",
                "GET a:80 HTTP/1.1",
                "GET ?x HTTP/1.1",
                "GET ftp://a/ HTTP/1.1",
                "GET http:/a HTTP/1.1",
                "GET /\x7f HTTP/1.1",
                "GET /\0 HTTP/1.1",
                "GET /\t HTTP/1.1",
                "GET /<x> HTTP/1.1",
                "GET /é HTTP/1.1",
                "OPTIONS ** HTTP/1.1",
            ]
            .map(line)
            .to_vec(),
        );
        all(
            400,
            "bad_path",
            vec![b"GET /\xc0\xae HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()],
        );
        all(
            400,
            "bad_request",
            [
                "GET /",
                "GET",
                "GET /v2/ HTTP/1.1 ",
                "GET /v2/ http/1.1",
                "GET /v2/ HTTP/1",
                "GET /v2/ HTTP/11",
                "GET /v2/ HTTP/1.10",
                "GET /v2/  HTTP/1.1",
                "GET /v2/ x HTTP/1.1",
                "GET /v2/ HTTP/1.1x",
                "GET /v2/ HTTPS/1.1",
                "GET /v2/ HTTP/-1.1",
                " GET /v2/ HTTP/1.1",
                "\tGET / HTTP/1.1",
                "G@T / HTTP/1.1",
                "GET(/ HTTP/1.1",
                "\0",
                "\"GET\" / HTTP/1.1",
                "GET /v2/ ",
                "GET\t/ HTTP/1.1",
            ]
            .map(line)
            .to_vec(),
        );
        all(
            400,
            "bad_request",
            vec![
                b"GET /\n".to_vec(),
                b"GET /\r\n".to_vec(),
                b"GET / HTTP/1.1\nHost: a\n\n".to_vec(),
                b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
                b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
                b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
                b"\x80\x2e\x01\x03\x01".to_vec(),
                b"\xc3\xa9 / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
                b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\x16\x03\x01".to_vec(),
            ],
        );
        all(
            505,
            "bad_version",
            [
                "GET / HTTP/3.7",
                "GET / HTTP/2.0",
                "GET / HTTP/0.9",
                "GET / HTTP/1.2",
                "GET / HTTP/9.9",
            ]
            .map(line)
            .to_vec(),
        );
        all(
            405,
            "method",
            vec![
                b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n".to_vec(),
                line("CONNECT /v2/ HTTP/1.1"),
            ],
        );
        all(
            501,
            "method",
            vec![line(&format!("{} / HTTP/1.1", "A".repeat(33)))],
        );
        bad
    }

    #[test]
    fn good_requests_pass_to_the_last_byte() {
        let good = good();
        assert!(good.len() >= 50, "{}", good.len());
        for request in good {
            let outcome = whole(&request);
            let text = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
            assert_eq!(outcome.fault, None, "{text:?}");
            assert_eq!(outcome.position, Position::BetweenRequests, "{text:?}");
            assert_eq!(outcome.heads, 1, "{text:?}");
            assert!(outcome.passed == request, "{text:?}");
        }
    }

    #[test]
    fn h1_h2_h3_n1_n2_n3_n4_n6_n7_n8_n9_n12_bad_requests_are_refused_for_the_right_reason() {
        let bad = bad();
        assert!(bad.len() >= 170, "{}", bad.len());
        for (request, status, reason) in bad {
            let outcome = whole(&request);
            let text = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
            let fault = outcome
                .fault
                .unwrap_or_else(|| panic!("accepted: {text:?}"));
            assert_eq!(
                (fault.reason(), fault.status().unwrap().as_u16()),
                (reason, status),
                "{text:?}"
            );
            // Nothing of a head with a fault is passed on.
            assert_eq!(
                outcome.heads,
                u64::from(
                    fault.is_in_body() || request.starts_with(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                ),
                "{text:?}"
            );
            assert_eq!(outcome.passed.is_empty(), outcome.heads == 0, "{text:?}");
        }
    }

    #[test]
    fn the_verdict_does_not_depend_on_the_pieces() {
        let all = good()
            .into_iter()
            .chain(bad().into_iter().map(|(request, ..)| request));
        for request in all.filter(|request| request.len() < 20_000) {
            let bytes = look(request.chunks(1));
            assert!(
                bytes == whole(&request),
                "{:?}",
                String::from_utf8_lossy(&request)
            );
            assert!(
                look(request.chunks(7)) == bytes,
                "{:?}",
                String::from_utf8_lossy(&request)
            );
        }
    }

    #[test]
    fn a_tls_hello_is_not_answered() {
        let outcome = whole(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
        assert_eq!(outcome.fault, Some(Fault::TlsHello));
        assert_eq!(Fault::TlsHello.status(), None);
    }

    #[test]
    fn h15_an_http2_preface_is_refused_by_version() {
        let outcome = whole(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert_eq!(outcome.fault.map(Fault::reason), Some("bad_version"));
        assert!(outcome.passed.is_empty());
    }

    #[test]
    fn h13_pipelined_requests_pass_up_to_the_first_bad_one() {
        let mut bytes = chunked("5\r\nhello\r\n0\r\n\r\n");
        bytes.extend(get_with("Content-Length: 3"));
        bytes.extend_from_slice(b"abc");
        bytes.extend(get_with("X: y"));
        let good = bytes.clone();
        bytes.extend(get_with("Transfer-Encoding: gzip, chunked"));
        bytes.extend(get_with("X: never"));
        let outcome = whole(&bytes);
        assert_eq!(outcome.fault.map(Fault::reason), Some("bad_te"));
        assert_eq!(outcome.heads, 3);
        assert!(outcome.passed == good);
    }

    #[test]
    fn upgrade_lines_never_reach_hyper() {
        let request =
        b"GET / HTTP/1.1\r\nUpgrade: h2c\r\nHost: a\r\nX: y\r\nupgrade:websocket\r\nZ: z\r\n\r\n";
        let seen = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nZ: z\r\n\r\n";
        let twice: Vec<u8> = [get_with("A: b"), request.to_vec(), request.to_vec()].concat();
        let expected = [get_with("A: b"), seen.to_vec(), seen.to_vec()].concat();
        assert_eq!(whole(&twice).passed, expected);
        assert_eq!(look(twice.chunks(1)).passed, expected);
        assert_eq!(look(twice.chunks(50)).passed, expected);
    }

    #[test]
    fn nothing_is_held_but_an_unfinished_head() {
        let mut scanner = Scanner::new(LIMITS);
        scanner.scan(b"GET / HTTP/1.1\r\nHo");
        assert_eq!(
            (scanner.position(), scanner.held.capacity() > 0),
            (Position::InHead, true)
        );
        scanner.scan(b"st: a\r\nContent-Length: 9\r\n\r\nabc");
        assert_eq!(
            (scanner.position(), scanner.held.capacity()),
            (Position::InBody, 0)
        );
        scanner.scan(b"abcabc");
        assert_eq!(
            (scanner.position(), scanner.held.capacity()),
            (Position::BetweenRequests, 0)
        );
    }

    #[test]
    fn h3_n8_an_endless_head_is_cut_off_at_the_limit() {
        let mut scanner = Scanner::new(HeadLimits { header_size: 1024 });
        let mut sent = 0;
        let mut piece = b"GET / HTTP/1.1\r\nX: ".to_vec();
        loop {
            sent += piece.len();
            if let Some(fault) = scanner.scan(&piece).fault {
                assert_eq!(fault, Fault::HeadTooLarge);
                break;
            }
            assert!(scanner.held.len() <= 1024);
            piece = vec![b'a'; 100];
        }
        assert!(sent <= 1124);
    }

    /// A byte of the kind that makes parsers differ.
    fn any_byte() -> impl Strategy<Value = u8> {
        prop_oneof![
            3 => any::<u8>(),
            2 => prop::sample::select(b"\r\n\t :,;0123aAfF\0/#?@[]".to_vec()),
        ]
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_judged_the_same_in_all_pieces(
            bytes in prop::collection::vec(any_byte(), 0..300),
            cuts in prop::collection::vec(0..300_usize, 0..12),
        ) {
            prop_assert_eq!(whole(&bytes), split(&bytes, cuts));
        }

        #[test]
        fn mutated_requests_are_judged_the_same_in_all_pieces_and_mean_the_same_to_httparse(
            which in any::<prop::sample::Index>(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any_byte(), 0..3_u8), 0..4),
            cuts in prop::collection::vec(0..400_usize, 0..12),
        ) {
            let table: Vec<Vec<u8>> = good().into_iter().filter(|request| request.len() < 400).collect();
            let mut bytes = which.get(&table).clone();
            for (index, byte, kind) in edits {
                let at = index.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => { bytes.remove(at); }
                }
            }
            let outcome = whole(&bytes);
            prop_assert_eq!(&outcome, &split(&bytes, cuts));
            check_against_httparse(&outcome);
        }
    }
}

//! What was wrong with the bytes of a client, and what it is told.

use std::error::Error;
use std::fmt;
use std::io;

use http::StatusCode;

/// Why bytes of a client were not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A TLS handshake on a listener without TLS: nothing that we could write would be understood.
    TlsHello,
    /// The request line is not `METHOD SP target SP HTTP/1.x CRLF` (RFC 9112 section 3).
    RequestLine(&'static str),
    /// A method longer than any that exists.
    Method,
    /// `CONNECT`: this gate tunnels nothing, and hyper would get ready to.
    Connect,
    /// The protocol version is neither 1.0 nor 1.1.
    Version,
    /// The target is not in one of the four forms of RFC 9112 section 3.2.
    Target(&'static str),
    /// The target is longer than 8 KiB.
    TargetTooLong,
    /// A header line breaks the grammar of RFC 9112 section 5.
    Header(&'static str),
    /// More bytes or lines of head than allowed.
    HeadTooLarge,
    /// No `Host`, several, or one that names no host (RFC 9112 section 3.2).
    Host(&'static str),
    /// `Content-Length` that is not one decimal number (RFC 9112 section 6.3).
    ContentLength(&'static str),
    /// `Transfer-Encoding` that is not exactly `chunked` (RFC 9112 section 6.1).
    TransferEncoding(&'static str),
    /// `Content-Length` beside `Transfer-Encoding`: two answers to where the body ends.
    FramingConflict,
    /// A chunk that breaks the grammar of RFC 9112 section 7.1.
    Chunk(&'static str),
    /// More trailer bytes or lines than allowed.
    TrailersTooLarge,
    /// The head was not finished in time.
    HeadTimeout,
    /// No byte of the body for too long, while we were waiting for one.
    BodyTimeout,
}

impl Fault {
    /// The status of the answer; `None` where the connection is closed without one.
    pub(crate) fn status(self) -> Option<StatusCode> {
        Some(match self {
            Self::TlsHello => return None,
            Self::RequestLine(_)
            | Self::Target(_)
            | Self::Header(_)
            | Self::Host(_)
            | Self::ContentLength(_)
            | Self::TransferEncoding(_)
            | Self::FramingConflict
            | Self::Chunk(_) => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::NOT_IMPLEMENTED,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge | Self::TrailersTooLarge => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::HeadTimeout | Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
        })
    }

    /// The reason code of the log line.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::TlsHello => "tls_on_plain",
            Self::RequestLine(_) => "bad_request",
            Self::Method | Self::Connect => "method",
            Self::Version => "bad_version",
            Self::Target(_) => "bad_path",
            Self::TargetTooLong | Self::HeadTooLarge | Self::TrailersTooLarge => "too_large",
            Self::Header(_) => "bad_header",
            Self::Host(_) => "bad_host",
            Self::ContentLength(_) => "bad_cl",
            Self::TransferEncoding(_) => "bad_te",
            Self::FramingConflict => "framing_conflict",
            Self::Chunk(_) => "bad_chunk",
            Self::HeadTimeout | Self::BodyTimeout => "timeout",
        }
    }

    /// Whether the fault stands inside a body, whose request is being answered already.
    pub(crate) fn is_in_body(self) -> bool {
        matches!(
            self,
            Self::Chunk(_) | Self::TrailersTooLarge | Self::BodyTimeout
        )
    }

    /// What the client is told; it holds no byte of the client's own.
    pub(crate) fn public_text(self) -> &'static str {
        match self {
            Self::TlsHello => "a TLS handshake came to a plain HTTP listener",
            Self::RequestLine(text)
            | Self::Target(text)
            | Self::Header(text)
            | Self::Host(text)
            | Self::ContentLength(text)
            | Self::TransferEncoding(text)
            | Self::Chunk(text) => text,
            Self::Method => "the method is not known",
            Self::Connect => "the method CONNECT is not supported",
            Self::Version => "the protocol version is not HTTP/1.1 or HTTP/1.0",
            Self::TargetTooLong => "the request target is too long",
            Self::HeadTooLarge => "the request head is too large",
            Self::FramingConflict => "Content-Length and Transfer-Encoding exclude each other",
            Self::TrailersTooLarge => "the trailers are too large",
            Self::HeadTimeout => "the request head did not arrive in time",
            Self::BodyTimeout => "the request body stopped arriving",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.public_text())
    }
}

impl Error for Fault {}

/// As the error that hyper hands to the reader of a request body: `TimedOut` for a body that stopped, else
/// `InvalidData`.
impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        let kind = match fault {
            Fault::HeadTimeout | Fault::BodyTimeout => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, fault)
    }
}

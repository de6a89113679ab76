//! One HTTP/1.1 request and its whole answer, byte for byte, over a connection of its own.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::certs::Pair;

/// Silence of this length is a hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// What to ask for. The connection is closed after the answer, so that its end is the end of the answer.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target.
    pub target: String,
    /// Headers beside `Host`, `Connection` and the length of the body.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// The body is sent in chunks, without a length.
    pub chunked: bool,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, 0 when no answer came.
    pub status: u16,
    /// The headers as they came, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body without its chunks.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header that is there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n == name);
        let (_, value) = found.next()?;
        found.next().is_none().then_some(value)
    }
}

/// A server, and how to speak to it.
#[derive(Clone, Debug)]
pub struct Wire {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

impl Wire {
    /// Without TLS.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }

    /// With TLS that trusts this CA, and shows this certificate when it is asked for one.
    pub fn tls(address: SocketAddr, ca: &Path, client: Option<&Pair>) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(ca).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            None => config.with_no_client_auth(),
            Some(pair) => config
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(&pair.certificate).unwrap()],
                    PrivateKeyDer::from_pem_file(&pair.key).unwrap(),
                )
                .unwrap(),
        };
        Self {
            address,
            tls: Some(Arc::new(config)),
        }
    }

    /// Sends a request and reads until the other side closes. An answer with status 0 is none at all.
    #[track_caller]
    pub fn ask(&self, request: &Request) -> Answer {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let bytes = self.written(request);
        match &self.tls {
            None => spoken(socket, &bytes, request),
            Some(tls) => {
                let name = ServerName::from(self.address.ip());
                let connection = ClientConnection::new(Arc::clone(tls), name).unwrap();
                spoken(StreamOwned::new(connection, socket), &bytes, request)
            }
        }
    }

    fn written(&self, request: &Request) -> Vec<u8> {
        let Request { method, target, .. } = request;
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            self.address
        );
        for (name, value) in &request.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        let body = request.body.clone().unwrap_or_default();
        match (&request.body, request.chunked) {
            (None, _) => head += "\r\n",
            (Some(_), true) => {
                write!(
                    head,
                    "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
                    body.len()
                )
                .unwrap();
            }
            (Some(_), false) => {
                write!(head, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
            }
        }
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&body);
        if request.chunked {
            bytes.extend_from_slice(b"\r\n0\r\n\r\n");
        }
        bytes
    }
}

/// A server may answer and close before it has read everything: what it said counts, not how the connection ended.
fn spoken<S: Read + Write>(mut stream: S, bytes: &[u8], request: &Request) -> Answer {
    let sent = stream.write_all(bytes).and_then(|()| stream.flush());
    let mut read = Vec::new();
    let ended = stream.read_to_end(&mut read);
    parsed(&read, request).unwrap_or_else(|| {
        let said = String::from_utf8_lossy(&read);
        assert!(
            read.is_empty(),
            "half an answer to {request:?}: {said:?}, sent: {sent:?}, ended: {ended:?}"
        );
        Answer {
            status: 0,
            headers: Vec::new(),
            body: Vec::new(),
        }
    })
}

fn parsed(read: &[u8], request: &Request) -> Option<Answer> {
    let end = read.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&read[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    if status == 100 {
        return parsed(&read[end + 4..], request);
    }
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer {
        status,
        headers,
        body: Vec::new(),
    };
    let rest = &read[end + 4..];
    if request.method == "HEAD" || status == 204 || status == 304 {
        assert!(rest.is_empty(), "a body where there can be none: {rest:?}");
        return Some(answer);
    }
    answer.body = if answer.header("transfer-encoding") == Some("chunked") {
        unchunked(rest)?
    } else {
        rest.to_vec()
    };
    Some(answer)
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        rest = &rest[line + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}

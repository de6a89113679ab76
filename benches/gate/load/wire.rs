//! One connection of the client: TLS 1.3 with what Go's clients prefer, and as much HTTP/1.1 as a benchmark needs.

use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::aws_lc_rs::kx_group::X25519;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::Told;
use crate::site::NAME;

/// What is read from the kernel at once; rustls alone would ask for 4 KiB at a time.
const READ: usize = 256 * 1024;

/// The TCP connection, read in large pieces and written as it comes.
#[derive(Debug)]
pub struct Socket(BufReader<TcpStream>);

impl Socket {
    pub fn connect(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_nodelay(true).unwrap();
        Self(BufReader::with_capacity(READ, tcp))
    }
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(buf)
    }

    fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_mut().write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes both ways.
pub trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// The TLS of the client; `None` for a server in clear.
pub fn tls(told: &Told, resumption: Resumption) -> Option<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&told.file("ca")?) {
        roots.add(certificate).unwrap();
    }
    let provider = CryptoProvider {
        cipher_suites: vec![TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![X25519],
        ..aws_lc_rs::default_provider()
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match (told.file("certificate"), told.file("key")) {
        (Some(certificate), Some(key)) => {
            let key = PrivateKeyDer::from_pem_slice(&fs::read(key).unwrap()).unwrap();
            builder
                .with_client_auth_cert(certificates(&certificate), key)
                .unwrap()
        }
        _ => builder.with_no_client_auth(),
    };
    config.resumption = resumption;
    Some(Arc::new(config))
}

fn certificates(file: &Path) -> Vec<CertificateDer<'static>> {
    let pem = fs::read(file).unwrap();
    CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .unwrap()
}

/// A handshake that is about to begin.
pub fn secure(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> StreamOwned<ClientConnection, Socket> {
    let name = ServerName::try_from(NAME).unwrap();
    let mut session = ClientConnection::new(Arc::clone(config), name).unwrap();
    session.set_buffer_limit(Some(1024 * 1024));
    StreamOwned::new(session, Socket::connect(address))
}

/// A connection that speaks HTTP.
pub struct Connection {
    stream: Box<dyn Stream>,
    /// Read and not looked at yet.
    ahead: Vec<u8>,
    buffer: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    /// Bytes of the body.
    pub length: u64,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim())
    }
}

impl Connection {
    pub fn open(told: &Told, config: Option<&Arc<ClientConfig>>) -> Self {
        let stream: Box<dyn Stream> = match config {
            Some(config) => Box::new(secure(told.address(), config)),
            None => Box::new(Socket::connect(told.address())),
        };
        Self {
            stream,
            ahead: Vec::new(),
            buffer: vec![0; READ],
        }
    }

    /// Gives its buffers back: thousands of connections are kept at once.
    pub fn shrink(&mut self) {
        self.ahead = Vec::new();
        self.buffer = Vec::new();
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends a request without a body and reads the answer to its end; `pace` is told of every piece of the body.
    pub fn ask(
        &mut self,
        request: &[u8],
        has_body: bool,
        pace: &mut dyn FnMut(usize) -> bool,
    ) -> Answer {
        self.send(request);
        self.stream.flush().unwrap();
        self.answer(has_body, pace)
    }

    /// Reads one answer.
    pub fn answer(&mut self, has_body: bool, pace: &mut dyn FnMut(usize) -> bool) -> Answer {
        let end = loop {
            let found = self.ahead.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(at) = found {
                break at + 4;
            }
            let read = self.stream.read(&mut self.buffer).unwrap();
            assert!(read > 0, "the server closed before it answered");
            self.ahead.extend_from_slice(&self.buffer[..read]);
        };
        let head = String::from_utf8_lossy(&self.ahead[..end]).into_owned();
        self.ahead.drain(..end);
        let status = head[9..12].parse().unwrap();
        let mut answer = Answer {
            status,
            head,
            length: 0,
        };
        if has_body && status != 204 && status != 304 {
            answer.length = match answer.header("content-length") {
                Some(length) => self.measured(length.parse().unwrap(), pace),
                None => self.chunked(),
            };
        }
        answer
    }

    fn measured(&mut self, length: u64, pace: &mut dyn FnMut(usize) -> bool) -> u64 {
        let mut left = usize::try_from(length).unwrap();
        let ahead = self.ahead.len().min(left);
        self.ahead.drain(..ahead);
        left -= ahead;
        pace(ahead);
        while left > 0 {
            let room = self.buffer.len().min(left);
            let read = self.stream.read(&mut self.buffer[..room]).unwrap();
            assert!(read > 0, "a body was cut short: {left} bytes are missing");
            left -= read;
            if !pace(read) {
                break;
            }
        }
        length
    }

    /// Short bodies only: what is looked at is looked at again with each read.
    fn chunked(&mut self) -> u64 {
        while !self.ahead.ends_with(b"\r\n0\r\n\r\n") && self.ahead != b"0\r\n\r\n" {
            let read = self.stream.read(&mut self.buffer).unwrap();
            assert!(read > 0, "a chunked body was cut short");
            self.ahead.extend_from_slice(&self.buffer[..read]);
        }
        let length = self.ahead.len() as u64;
        self.ahead.clear();
        length
    }
}

/// A request without a body.
pub fn request(told: &Told, method: &str, target: &str) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {NAME}\r\nUser-Agent: bench\r\n");
    if let Some(pair) = told.text("login") {
        let pair = base64::engine::general_purpose::STANDARD.encode(pair);
        text += &format!("Authorization: Basic {pair}\r\n");
    }
    if target.contains("/manifests/") {
        text += "Accept: application/vnd.oci.image.manifest.v1+json\r\n";
    }
    text += "\r\n";
    text.into_bytes()
}

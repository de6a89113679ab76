//! One connection to the gate, held open as long as the test likes: several requests, raw bytes, an end to wait for.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use socket2::{Domain, Socket, Type};

use super::certs::Pair;

/// Silence of this length is a hang.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head as it came.
    pub head: String,
    /// The body without its chunks.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header that is there exactly once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers(name);
        let value = found.next()?;
        found.next().is_none().then_some(value)
    }

    /// Every value of a header.
    pub fn headers<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let name = name.to_ascii_lowercase();
        self.head.lines().skip(1).filter_map(move |line| {
            let (found, value) = line.split_once(':')?;
            (found.to_ascii_lowercase() == name).then_some(value.trim())
        })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How to speak TLS: whom to trust, what to show.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// Trusts the CAs of this file, and calls the gate `name`.
    pub fn new(ca: &Path, name: &str) -> Self {
        Self::build(ca, name, None, rustls::ALL_VERSIONS)
    }

    /// The same, with these versions alone and perhaps a client certificate.
    pub fn build(
        ca: &Path,
        name: &str,
        pair: Option<&Pair>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match pair {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = CertificateDer::pem_file_iter(&pair.certificate)
                    .unwrap()
                    .map(Result::unwrap)
                    .collect();
                let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
                // Without the look of rustls at it, which takes no certificate of version 1.
                let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
                let shown = rustls::sign::CertifiedKey::new(chain, key);
                let resolver = rustls::sign::SingleCertAndKey::from(shown);
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
        };
        Self {
            config: Arc::new(config),
            name: ServerName::try_from(name.to_owned()).unwrap(),
        }
    }
}

impl Tls {
    /// The same, but HTTP/2 is asked for; the frames are the test's.
    pub fn http2(mut self) -> Self {
        Arc::make_mut(&mut self.config).alpn_protocols = vec![b"h2".to_vec()];
        self
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A connection to the gate.
pub struct Dialog {
    stream: Stream,
    /// What was read and not used.
    rest: Vec<u8>,
}

impl Dialog {
    /// In clear.
    #[track_caller]
    pub fn tcp(address: SocketAddr) -> Self {
        Self::connected(TcpStream::connect(address).unwrap())
    }

    /// In clear, over this connection.
    #[track_caller]
    pub fn connected(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(Stream::Tcp(stream))
    }

    /// A connection from another address of this machine, to be used as it is or encrypted.
    #[track_caller]
    pub fn from_elsewhere(address: SocketAddr) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let own = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0));
        socket.bind(&own.into()).unwrap();
        socket.connect(&address.into()).unwrap();
        socket.into()
    }

    /// In clear, for answers that may take so long.
    #[track_caller]
    pub fn patient(address: SocketAddr, patience: Duration) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        let dialog = Self::connected(stream.try_clone().unwrap());
        stream.set_read_timeout(Some(patience)).unwrap();
        dialog
    }

    /// In clear over a Unix socket.
    #[track_caller]
    pub fn unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self::over(Stream::Unix(stream))
    }

    /// Encrypted; the handshake comes with the first request.
    #[track_caller]
    pub fn tls(address: SocketAddr, tls: &Tls) -> Self {
        Self::tls_connected(TcpStream::connect(address).unwrap(), tls)
    }

    /// Encrypted, over this connection.
    #[track_caller]
    pub fn tls_connected(stream: TcpStream, tls: &Tls) -> Self {
        let Self {
            stream: Stream::Tcp(tcp),
            ..
        } = Self::connected(stream)
        else {
            unreachable!()
        };
        let session = ClientConnection::new(Arc::clone(&tls.config), tls.name.clone()).unwrap();
        Self::over(Stream::Tls(Box::new(StreamOwned::new(session, tcp))))
    }

    /// Encrypted, behind a PROXY header or whatever else comes first.
    #[track_caller]
    pub fn tls_after(address: SocketAddr, first: &[u8], tls: &Tls) -> Self {
        let mut dialog = Self::tls(address, tls);
        if let Stream::Tls(stream) = &mut dialog.stream {
            stream.sock.write_all(first).unwrap();
        }
        dialog
    }

    fn over(stream: Stream) -> Self {
        Self {
            stream,
            rest: Vec::new(),
        }
    }

    /// The handshake alone.
    ///
    /// # Errors
    /// What the gate, or the verification of its certificate, had against it.
    pub fn handshake(&mut self) -> io::Result<()> {
        if let Stream::Tls(stream) = &mut self.stream {
            while stream.conn.is_handshaking() {
                stream.conn.complete_io(&mut stream.sock)?;
            }
        }
        Ok(())
    }

    /// The certificate that the gate has shown, and whether an earlier session was taken up.
    pub fn certificate(&self) -> Option<Vec<u8>> {
        match &self.stream {
            Stream::Tls(stream) => Some(stream.conn.peer_certificates()?.first()?.to_vec()),
            _ => None,
        }
    }

    /// Whether an earlier TLS session was taken up.
    pub fn is_resumed(&self) -> bool {
        matches!(&self.stream, Stream::Tls(stream)
            if stream.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed))
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// The gate has closed, or does not read.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Says that nothing more comes.
    pub fn finish(&mut self) {
        // The gate may have been first.
        let _ = match &mut self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()
            }
        };
    }

    /// `GET` and its answer.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Answer {
        self.ask("GET", target, &[], b"")
    }

    /// One request with its answer.
    #[track_caller]
    pub fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.request(method, target, headers, body).unwrap();
        self.answer(method)
            .unwrap_or_else(|e| panic!("{method} {target}: {e}"))
    }

    /// Sends one request.
    ///
    /// # Errors
    /// The gate has closed, or does not read.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: gate.test\r\n");
        for (name, value) in headers {
            write!(bytes, "{name}: {value}\r\n").unwrap();
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            write!(bytes, "Content-Length: {}\r\n", body.len()).unwrap();
        }
        bytes += "\r\n";
        self.send(&[bytes.as_bytes(), body].concat())
    }

    /// Reads the answer to a request of this method.
    ///
    /// # Errors
    /// The connection ended, was broken, or was silent before the answer was there.
    pub fn answer(&mut self, method: &str) -> io::Result<Answer> {
        let (status, head) = self.head()?;
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
        };
        if method == "HEAD" || matches!(status, 204 | 304) {
            return Ok(answer);
        }
        let length = answer.header("content-length").map(str::to_owned);
        answer.body = match length {
            Some(length) => self.take(length.parse().unwrap())?,
            None if answer.header("transfer-encoding") == Some("chunked") => self.chunks()?,
            None => self.until_the_end()?,
        };
        Ok(answer)
    }

    /// Reads the head of an answer; its body follows with [`Self::take`].
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub fn head(&mut self) -> io::Result<(u16, String)> {
        let end = loop {
            if let Some(at) = self.rest.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.more()?;
        };
        let head: Vec<u8> = self.rest.drain(..end).collect();
        let head = String::from_utf8(head).map_err(io::Error::other)?;
        let status = head
            .get(9..12)
            .and_then(|s| s.parse().ok())
            .ok_or_else(|| io::Error::other(format!("no answer in HTTP: {head:?}")))?;
        Ok((status, head))
    }

    /// Reads so many bytes.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.rest.len() < length {
            self.more()?;
        }
        Ok(self.rest.drain(..length).collect())
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(at) = self.rest.windows(2).position(|w| w == b"\r\n") {
                    let line: Vec<u8> = self.rest.drain(..at + 2).collect();
                    break String::from_utf8_lossy(&line).trim().to_owned();
                }
                self.more()?;
            };
            let length = usize::from_str_radix(&line, 16).map_err(io::Error::other)?;
            body.extend(self.take(length)?);
            self.take(2)?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    /// Everything until the gate closes properly.
    ///
    /// # Errors
    /// The connection was broken, or was silent.
    pub fn until_the_end(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.more() {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof && e.get_ref().is_none() => {
                    return Ok(std::mem::take(&mut self.rest));
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Waits until the connection is over, whether ended or broken, and tells what came before.
    #[track_caller]
    pub fn is_closed(&mut self) -> Vec<u8> {
        match self.until_the_end() {
            Ok(rest) => rest,
            Err(e) => {
                let silent = matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                );
                assert!(!silent, "the connection is still open");
                std::mem::take(&mut self.rest)
            }
        }
    }

    fn more(&mut self) -> io::Result<()> {
        let mut space = [0; 8 * 1024];
        let read = loop {
            let read = match &mut self.stream {
                Stream::Tcp(stream) => stream.read(&mut space),
                Stream::Unix(stream) => stream.read(&mut space),
                Stream::Tls(stream) => stream.read(&mut space),
            };
            match read {
                // A signal that stops and continues the test ends a read that has a deadline.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.rest.extend_from_slice(&space[..read]);
        Ok(())
    }
}

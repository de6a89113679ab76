//! A client that says exactly the bytes it is told to, and tells how the other side ended.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// No read or write of a test takes longer; one that does has met a gate that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to the gate.
pub struct Raw {
    wire: Box<dyn Wire>,
    /// Read, and not yet given to the test.
    held: Vec<u8>,
}

/// A stream that bytes go through, encrypted or not.
pub trait Wire: Read + Write + Send {
    /// The end of our side.
    fn finish(&mut self) -> io::Result<()>;
    /// How long a read waits.
    fn patience(&self, patience: Duration);
}

/// How the gate ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Properly: FIN, and `close_notify` before it under TLS.
    Proper,
    /// With a reset, or without the `close_notify`.
    Broken,
    /// Not at all, in the time that a test has.
    Open,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status line and the header lines.
    pub head: String,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The body came to the end that its framing promised.
    pub complete: bool,
}

impl Raw {
    /// Without TLS.
    #[track_caller]
    pub fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// With TLS, offering these protocols by ALPN.
    #[track_caller]
    pub fn tls(address: SocketAddr, ca: &Path, protocols: &[&str]) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::tls_over(stream, ca, protocols)
    }

    /// Over a stream that is connected already.
    #[track_caller]
    pub fn over(wire: impl Wire + 'static) -> Self {
        wire.patience(PATIENCE);
        Self {
            wire: Box::new(wire),
            held: Vec::new(),
        }
    }

    /// With TLS, over a stream that is connected already.
    #[track_caller]
    pub fn tls_over<S: Wire + 'static>(stream: S, ca: &Path, protocols: &[&str]) -> Self {
        stream.patience(PATIENCE);
        let name = ServerName::try_from("localhost").unwrap();
        let config = Arc::new(tls_config(ca, protocols));
        let mut tls = ClientConnection::new(config, name).unwrap();
        let mut stream = stream;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).unwrap();
        }
        Self::over(StreamOwned::new(tls, stream))
    }

    /// Sends all of this.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref()).unwrap();
    }

    /// Sends as much of this as the gate takes.
    ///
    /// # Errors
    /// The gate has broken the connection.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.write_all(bytes)?;
        self.wire.flush()
    }

    /// Ends our side of the connection.
    pub fn finish(&mut self) {
        // A gate that has closed already is as good.
        let _ = self.wire.finish();
    }

    /// How long each further read waits.
    pub fn set_patience(&self, patience: Duration) {
        self.wire.patience(patience);
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// The connection broke or was silent for too long.
    pub fn read_some(&mut self) -> io::Result<Vec<u8>> {
        if !self.held.is_empty() {
            return Ok(std::mem::take(&mut self.held));
        }
        let mut buffer = vec![0; 64 * 1024];
        let read = self.wire.read(&mut buffer)?;
        buffer.truncate(read);
        Ok(buffer)
    }

    /// Everything until the connection ends, and how it ended.
    pub fn read_to_end(&mut self) -> (Vec<u8>, End) {
        let mut all = Vec::new();
        let end = loop {
            match self.read_some() {
                Ok(bytes) if bytes.is_empty() => break End::Proper,
                Ok(bytes) => all.extend(bytes),
                Err(e) if is_timeout(&e) => break End::Open,
                Err(_) => break End::Broken,
            }
        };
        (all, end)
    }

    /// The next bytes, at least one and at most this many.
    ///
    /// # Errors
    /// How the connection ended.
    pub fn read_up_to(&mut self, most: usize) -> Result<Vec<u8>, End> {
        let mut some = match self.read_some() {
            Ok(some) if some.is_empty() => return Err(End::Proper),
            Ok(some) => some,
            Err(e) if is_timeout(&e) => return Err(End::Open),
            Err(_) => return Err(End::Broken),
        };
        self.held = some.split_off(most.min(some.len()));
        Ok(some)
    }

    /// Exactly this many bytes.
    #[track_caller]
    pub fn read_exactly(&mut self, length: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < length {
            let more = self.read_some().unwrap();
            assert!(!more.is_empty(), "the connection ended early: {all:?}");
            all.extend(more);
        }
        self.held = all.split_off(length);
        all
    }

    /// The bytes up to this mark, which is among them.
    ///
    /// # Errors
    /// What had come when the connection ended, and how.
    pub fn read_until(&mut self, mark: &[u8]) -> Result<Vec<u8>, (Vec<u8>, End)> {
        let mut all = Vec::new();
        loop {
            if let Some(at) = find(&all, mark) {
                self.held = all.split_off(at + mark.len());
                return Ok(all);
            }
            match self.read_some() {
                Ok(more) if more.is_empty() => return Err((all, End::Proper)),
                Ok(more) => all.extend(more),
                Err(e) if is_timeout(&e) => return Err((all, End::Open)),
                Err(_) => return Err((all, End::Broken)),
            }
        }
    }

    /// Gives back what was read, to be read again.
    pub fn unread(&mut self, bytes: Vec<u8>) {
        self.held.splice(0..0, bytes);
    }

    /// The answer to a request that was not HEAD.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    /// The answer to a request of this method.
    #[track_caller]
    pub fn answer_to(&mut self, method: &str) -> Answer {
        let head = self
            .read_until(b"\r\n\r\n")
            .unwrap_or_else(|(got, end)| panic!("no answer ({end:?}): {}", text(&got)));
        let mut answer = Answer {
            head: text(&head),
            body: Vec::new(),
            complete: true,
        };
        let status = answer.status();
        if method == "HEAD" || status < 200 || matches!(status, 204 | 304) {
            return answer;
        }
        if answer.values("transfer-encoding") == ["chunked"] {
            self.read_chunks(&mut answer);
        } else if let [length] = answer.values("content-length").as_slice() {
            let length = length.parse::<usize>().unwrap();
            while answer.complete && answer.body.len() < length {
                match self.read_some() {
                    Ok(more) if !more.is_empty() => answer.body.extend(more),
                    _ => answer.complete = false,
                }
            }
            self.held = answer.body.split_off(length.min(answer.body.len()));
        } else {
            let (body, end) = self.read_to_end();
            answer.body = body;
            answer.complete = end == End::Proper;
        }
        answer
    }

    fn read_chunks(&mut self, answer: &mut Answer) {
        loop {
            let Ok(line) = self.read_until(b"\r\n") else {
                answer.complete = false;
                return;
            };
            let size = text(&line);
            let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
            let mut chunk = Vec::new();
            while chunk.len() < size + 2 {
                match self.read_some() {
                    Ok(more) if !more.is_empty() => chunk.extend(more),
                    _ => {
                        answer.body.extend(chunk);
                        answer.complete = false;
                        return;
                    }
                }
            }
            self.held = chunk.split_off(size + 2);
            assert!(chunk.ends_with(b"\r\n"), "a chunk ends with CRLF");
            chunk.truncate(size);
            answer.body.extend(chunk);
            if size == 0 {
                return;
            }
        }
    }
}

impl Answer {
    /// The status code.
    #[track_caller]
    pub fn status(&self) -> u16 {
        let code = self.head.split(' ').nth(1).unwrap();
        code.parse()
            .unwrap_or_else(|_| panic!("no status in {:?}", self.head))
    }

    /// The values of all header lines of this name.
    pub fn values(&self, name: &str) -> Vec<&str> {
        lines(&self.head, name)
    }

    /// The value of the one header line of this name.
    #[track_caller]
    pub fn value(&self, name: &str) -> &str {
        match self.values(name).as_slice() {
            [one] => one,
            other => panic!("{name} stands {} times in\n{}", other.len(), self.head),
        }
    }

    /// The code in the error document that the body is.
    #[track_caller]
    pub fn code(&self) -> String {
        let document: serde_json::Value = serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e} in {}\n{}", self.head, text(&self.body)));
        let error = &document["errors"][0];
        assert!(error["message"].is_string(), "{document}");
        error["code"].as_str().unwrap().to_owned()
    }
}

impl Wire for TcpStream {
    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn patience(&self, patience: Duration) {
        self.set_read_timeout(Some(patience)).unwrap();
        self.set_write_timeout(Some(patience)).unwrap();
    }
}

impl Wire for UnixStream {
    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn patience(&self, patience: Duration) {
        self.set_read_timeout(Some(patience)).unwrap();
        self.set_write_timeout(Some(patience)).unwrap();
    }
}

impl<S: Wire> Wire for StreamOwned<ClientConnection, S> {
    fn finish(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()
    }

    fn patience(&self, patience: Duration) {
        self.sock.patience(patience);
    }
}

/// Trusts this CA and offers these protocols.
pub fn tls_config(ca: &Path, protocols: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    config
}

/// The values of all header lines of this name in a head.
pub fn lines<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    head.split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}

/// Where one run of bytes stands in another.
pub fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// For messages.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

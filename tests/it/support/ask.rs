//! One request over one connection, without a client library that would tidy it up.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The lines of the head, as they came.
    pub head: Vec<String>,
    /// The body, with its chunks put together.
    pub body: String,
}

impl Reply {
    /// The values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let values = self.head.iter().filter_map(|line| line.split_once(": "));
        values
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    /// The value of a header that stands exactly once.
    #[track_caller]
    pub fn one(&self, name: &str) -> &str {
        let [value] = self.all(name)[..] else {
            panic!("not one {name}: {self:#?}");
        };
        value
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }

    /// Code and message of the first error in it.
    #[track_caller]
    pub fn error(&self) -> (String, String) {
        let document = self.json();
        let text = |key: &str| document["errors"][0][key].as_str().unwrap().to_owned();
        (text("code"), text("message"))
    }
}

/// Sends `METHOD PATH`, the header lines and the body, and reads the answer to the end of the connection. A `Host` is
/// added where there is none.
#[track_caller]
pub fn ask(address: SocketAddr, request: &str, headers: &[&str], body: &[u8]) -> Reply {
    let mut text = format!("{request} HTTP/1.1\r\nConnection: close\r\n");
    let has = |name: &str| headers.iter().any(|line| line.starts_with(name));
    if !has("Host:") {
        text += &format!("Host: {address}\r\n");
    }
    if !has("Transfer-Encoding:") && (!body.is_empty() || !request.starts_with("GET")) {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    for line in headers {
        text += line;
        text += "\r\n";
    }
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.write_all(b"\r\n").unwrap();
    // A refused body may not be read to its end.
    let _ = stream.write_all(body);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{request}: no answer: {text:?}"));
    let mut head = head.lines().map(str::to_owned);
    let status = head.next().unwrap();
    let status = status.split(' ').nth(1).unwrap().parse().unwrap();
    let head: Vec<String> = head.collect();
    let chunked = head
        .iter()
        .any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"));
    let body = if chunked {
        joined(body)
    } else {
        body.to_owned()
    };
    Reply { status, head, body }
}

fn joined(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole += &rest[..size];
        text = rest[size..].strip_prefix("\r\n").unwrap_or_default();
    }
    whole
}

/// The header line for a name and a password.
pub fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {text}")
}

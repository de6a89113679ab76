//! A registry of the test's own that notes every request, and whose answers can be held back.

use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of a blob whose name begins with `slow`: half of them come at once, the others when the test says so.
pub const SLOW: usize = 200_000;

/// The server; it ends with the test process.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    seen: Vec<Seen>,
    released: bool,
}

/// A request as it arrived here.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Request line and headers.
    pub head: String,
    /// The bytes of its body.
    pub body: usize,
}

impl Seen {
    /// The values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1);
        lines
            .filter_map(|line| line.split_once(": "))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }
}

impl Origin {
    /// Answers every request with 200 and `{}`; a path with `/slow` in it, with [`SLOW`] bytes in two halves.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                thread::spawn(move || while serve(&stream, &shared).is_some() {});
            }
        });
        Self { address, shared }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the second halves go.
    pub fn release(&self) {
        self.shared.state.lock().unwrap().released = true;
        self.shared.news.notify_all();
    }

    /// Everything that came.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.state.lock().unwrap().seen.clone()
    }

    /// The first request whose head has this in it, as soon as it came.
    #[track_caller]
    pub fn got(&self, text: &str) -> Seen {
        let missing = |state: &mut State| !state.seen.iter().any(|seen| seen.head.contains(text));
        let state = self.shared.state.lock().unwrap();
        let (state, _) = self
            .shared
            .news
            .wait_timeout_while(state, PATIENCE, missing)
            .unwrap();
        let found = state.seen.iter().find(|seen| seen.head.contains(text));
        found
            .unwrap_or_else(|| panic!("{text:?} did not come: {:#?}", state.seen))
            .clone()
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut seen = Seen { head, body: 0 };
    let method = seen.head.split(' ').next()?.to_owned();
    let slow = seen.head.lines().next()?.contains("/slow");
    // Noted before its body is read, so that a test knows that an upload is on its way.
    let at = {
        let mut state = shared.state.lock().unwrap();
        state.seen.push(seen.clone());
        shared.news.notify_all();
        state.seen.len() - 1
    };
    seen.body = if let Some(length) = seen.header("content-length").first() {
        let length = length.parse().ok()?;
        let mut taken = (&mut reader).take(length);
        usize::try_from(std::io::copy(&mut taken, &mut std::io::sink()).ok()?).ok()?
    } else if seen.header("transfer-encoding").is_empty() {
        0
    } else {
        chunks(&mut reader)?
    };
    shared.state.lock().unwrap().seen[at].body = seen.body;
    let mut stream = stream;
    if method == "HEAD" {
        return stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            .ok();
    }
    if !slow || method != "GET" {
        return stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
            )
            .ok();
    }
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SLOW}\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&vec![b'1'; SLOW / 2]).ok()?;
    let state = shared.state.lock().unwrap();
    let waiting = |state: &mut State| !state.released;
    drop(
        shared
            .news
            .wait_timeout_while(state, PATIENCE, waiting)
            .unwrap(),
    );
    stream.write_all(&vec![b'2'; SLOW / 2]).ok()
}

fn chunks(reader: &mut BufReader<&TcpStream>) -> Option<usize> {
    let mut body = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let length = u64::from_str_radix(line.trim(), 16).ok()?;
        std::io::copy(&mut reader.take(length + 2), &mut std::io::sink()).ok()?;
        if length == 0 {
            return Some(body);
        }
        body += usize::try_from(length).ok()?;
    }
}

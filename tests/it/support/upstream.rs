//! An upstream that does what a test tells it to, right or wrong, and remembers every byte that it was sent.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::raw::{find, lines, text};

/// No wait of a test is longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is remembered of one connection; bodies of gigabytes are not for this upstream.
const REMEMBERED: usize = 4 << 20;

/// A listening upstream; its threads end with their connections.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    seen: Arc<Seen>,
}

/// One request as it arrived, and the connection that it came over.
#[derive(Debug)]
pub struct Request<'a> {
    /// The head, byte for byte.
    pub head: String,
    /// The how manieth request of this upstream it is, from 0.
    pub number: usize,
    /// The how manieth of its connection it is, from 0.
    pub on_connection: usize,
    stream: &'a mut TcpStream,
    held: &'a mut Vec<u8>,
    seen: &'a Seen,
}

/// What becomes of the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It stays open for the next one.
    Keep,
    /// It is closed with a FIN.
    Close,
}

/// A request as it was remembered.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The head, byte for byte.
    pub head: String,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The body's framing came to its end.
    pub complete: bool,
    /// The connection ended before that.
    pub broken: bool,
}

#[derive(Debug, Default)]
struct Seen {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    connections: usize,
    bytes: Vec<u8>,
    told: Vec<Told>,
}

impl Upstream {
    /// One that treats each request like this.
    #[track_caller]
    pub fn start(serve: impl Fn(&mut Request<'_>) -> Next + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::on(listener, serve)
    }

    /// The same, on a socket that is bound already.
    #[track_caller]
    pub fn on(
        listener: TcpListener,
        serve: impl Fn(&mut Request<'_>) -> Next + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let serve = Arc::new(serve);
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                shared.state.lock().unwrap().connections += 1;
                shared.news.notify_all();
                let (seen, serve) = (Arc::clone(&shared), Arc::clone(&serve));
                thread::spawn(move || converse(stream, &seen, &*serve));
            }
        });
        Self { address, seen }
    }

    /// One that reads each request to its end and answers with these bytes.
    #[track_caller]
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |request| {
            if request.read_body().is_err() {
                return Next::Close;
            }
            request.say(&answer);
            Next::Keep
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As `upstream.url` has it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections it was opened.
    pub fn connections(&self) -> usize {
        self.seen.state.lock().unwrap().connections
    }

    /// Every byte that came, of all connections.
    pub fn bytes(&self) -> Vec<u8> {
        self.seen.state.lock().unwrap().bytes.clone()
    }

    /// The requests whose head has come.
    pub fn told(&self) -> Vec<Told> {
        self.seen.state.lock().unwrap().told.clone()
    }

    /// The requests, as soon as this holds for them.
    #[track_caller]
    pub fn wait_for(&self, claim: &str, holds: impl Fn(&[Told]) -> bool) -> Vec<Told> {
        let state = self.seen.state.lock().unwrap();
        let (state, _) = self
            .seen
            .news
            .wait_timeout_while(state, PATIENCE, |state| !holds(&state.told))
            .unwrap();
        assert!(holds(&state.told), "{claim}: {:?}", state.told);
        state.told.clone()
    }
}

impl Told {
    /// The values of all header lines of this name.
    pub fn values(&self, name: &str) -> Vec<&str> {
        lines(&self.head, name)
    }

    /// Method and target.
    pub fn line(&self) -> &str {
        self.head.split(" HTTP/").next().unwrap()
    }
}

impl Request<'_> {
    /// Reads the body to its end.
    ///
    /// # Errors
    /// The connection ended before it.
    pub fn read_body(&mut self) -> io::Result<()> {
        let ended = if lines(&self.head, "transfer-encoding") == ["chunked"] {
            self.read_chunks()
        } else {
            let length = lines(&self.head, "content-length");
            let length = length.first().map_or(0, |l| l.parse().unwrap());
            self.read_length(length)
        };
        self.seen.note(self.number, |told| match &ended {
            Ok(()) => told.complete = true,
            Err(_) => told.broken = true,
        });
        ended
    }

    /// Reads some of the body, whatever its framing.
    ///
    /// # Errors
    /// The connection ended.
    pub fn read_some(&mut self) -> io::Result<()> {
        self.fill()
    }

    /// Where this upstream listens, as the gate knows it.
    pub fn own_address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// Says this; a gate that has gone away is no fault of the test.
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Waits until the gate ends its side of the connection.
    pub fn wait_for_end(&mut self) {
        while self.fill().is_ok() {
            self.held.clear();
        }
        self.seen.note(self.number, |told| told.broken = true);
    }

    /// The next close is a reset.
    pub fn reset(&self) {
        let socket = socket2::SockRef::from(&*self.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn read_length(&mut self, mut left: usize) -> io::Result<()> {
        while left > 0 {
            if self.held.is_empty() {
                self.fill()?;
            }
            let rest = self.held.split_off(left.min(self.held.len()));
            let got = std::mem::replace(self.held, rest);
            left -= got.len();
            self.seen.note(self.number, |told| told.body.extend(&got));
        }
        Ok(())
    }

    fn read_chunks(&mut self) -> io::Result<()> {
        loop {
            let line = self.read_line()?;
            let size = usize::from_str_radix(&line, 16).map_err(io::Error::other)?;
            self.read_length(size)?;
            let end = self.read_line()?;
            if !end.is_empty() {
                return Err(io::Error::other(format!("after a chunk: {end:?}")));
            }
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(self.held, b"\r\n") {
                let rest = self.held.split_off(at + 2);
                let line = std::mem::replace(self.held, rest);
                return Ok(text(&line[..at]));
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        fill(self.stream, self.held, self.seen)
    }
}

impl Seen {
    fn note(&self, number: usize, change: impl FnOnce(&mut Told)) {
        change(&mut self.state.lock().unwrap().told[number]);
        self.news.notify_all();
    }
}

fn fill(stream: &mut TcpStream, held: &mut Vec<u8>, seen: &Seen) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    let read = stream.read(&mut buffer)?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    held.extend(&buffer[..read]);
    let mut state = seen.state.lock().unwrap();
    let room = REMEMBERED.saturating_sub(state.bytes.len());
    state.bytes.extend(&buffer[..read.min(room)]);
    Ok(())
}

fn converse(mut stream: TcpStream, seen: &Seen, serve: &dyn Fn(&mut Request<'_>) -> Next) {
    // Without it a chunk's second write waits for the acknowledgement of its first.
    stream.set_nodelay(true).unwrap();
    let mut ahead = Vec::new();
    for on_connection in 0.. {
        let end = loop {
            if let Some(at) = find(&ahead, b"\r\n\r\n") {
                break at + 4;
            }
            if fill(&mut stream, &mut ahead, seen).is_err() {
                return;
            }
        };
        let rest = ahead.split_off(end);
        let head = text(&std::mem::replace(&mut ahead, rest));
        let number = {
            let mut state = seen.state.lock().unwrap();
            let told = Told {
                head: head.clone(),
                ..Told::default()
            };
            state.told.push(told);
            state.told.len() - 1
        };
        seen.news.notify_all();
        let next = serve(&mut Request {
            head,
            number,
            on_connection,
            stream: &mut stream,
            held: &mut ahead,
            seen,
        });
        if next == Next::Close {
            return;
        }
    }
}

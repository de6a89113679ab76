//! An upstream that remembers the bytes of each connection and answers only what a strict reader can read.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::strict::{Reading, Stop, arrived};

/// No read waits longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A listening upstream.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    acceptor: JoinHandle<Vec<JoinHandle<Vec<u8>>>>,
    answered: Arc<Mutex<usize>>,
}

/// What one connection brought.
#[derive(Clone, Debug)]
pub struct Brought {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What a strict reader makes of them.
    pub requests: Vec<Reading>,
    /// Where it had to stop.
    pub stop: Stop,
}

impl Recorder {
    /// Starts one.
    #[track_caller]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(Mutex::new(0));
        let (stop, count) = (Arc::clone(&stopping), Arc::clone(&answered));
        let acceptor = thread::spawn(move || {
            let mut connections = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Acquire) {
                    break;
                }
                let count = Arc::clone(&count);
                connections.push(thread::spawn(move || converse(stream, &count)));
            }
            connections
        });
        Self {
            address,
            stopping,
            acceptor,
            answered,
        }
    }

    /// As `upstream.url` has it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests it has answered.
    pub fn answered(&self) -> usize {
        *self.answered.lock().unwrap()
    }

    /// Everything that came, once the gate is gone and has closed its connections.
    #[track_caller]
    pub fn end(self) -> Vec<Brought> {
        self.stopping.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
        let connections = self.acceptor.join().unwrap();
        let brought = connections.into_iter().map(|connection| {
            let bytes = connection.join().unwrap();
            let (requests, stop) = arrived(&bytes);
            Brought {
                bytes,
                requests,
                stop,
            }
        });
        brought.collect()
    }
}

/// Answers each complete request, and closes at the first byte that is part of none.
fn converse(mut stream: TcpStream, count: &Mutex<usize>) -> Vec<u8> {
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut all = Vec::new();
    // Where the first unanswered request begins.
    let mut from = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return all,
            Ok(read) => all.extend(&buffer[..read]),
        }
        let (requests, stop) = arrived(&all[from..]);
        let complete = requests.iter().filter(|request| request.complete);
        let mut said = Vec::new();
        for request in complete {
            *count.lock().unwrap() += 1;
            said.extend(answer(request));
        }
        if !said.is_empty() {
            // One at a time: a client has one request on a connection, so that everything until here is answered.
            from = all.len();
        }
        if stream.write_all(&said).is_err() || matches!(stop, Stop::Illegal(_)) {
            let _ = stream.shutdown(Shutdown::Write);
            return all;
        }
    }
}

/// It tells what it answers.
fn answer(request: &Reading) -> Vec<u8> {
    let told = format!("{} {}", request.method, request.target);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Answers: {told}\r\n\r\n",
        told.len()
    );
    let body = if request.method == "HEAD" { "" } else { &told };
    format!("{head}{body}").into_bytes()
}

//! An upstream that swallows and pours bodies as fast as it can, on a Unix socket, and counts.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::raw::{find, lines, text};

const PIECE: usize = 256 * 1024;

/// No wait of a test is longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What has become of the bodies of requests, in the order of their ends.
#[derive(Clone, Debug, Default)]
pub struct Flow(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    begun: usize,
    ended: Vec<Swallowed>,
}

/// The body of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swallowed {
    /// Its bytes, without the framing.
    pub bytes: u64,
    /// It came to its proper end.
    pub complete: bool,
}

impl Flow {
    /// Listens there. A GET is answered with the bytes that its `X-Length` asks for, chunked where it has `X-Chunked`.
    #[track_caller]
    pub fn listen(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let flow = Self::default();
        let shared = flow.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let flow = shared.clone();
                // What breaks is what the tests break.
                thread::spawn(move || drop(flow.converse(stream)));
            }
        });
        flow
    }

    /// Waits until so many uploads have begun.
    #[track_caller]
    pub fn wait_for_begun(&self, begun: usize) {
        self.wait(&format!("{begun} uploads begin"), |state| {
            state.begun >= begun
        });
    }

    /// What became of the bodies of uploads, once so many have ended.
    #[track_caller]
    pub fn wait_for(&self, ended: usize) -> Vec<Swallowed> {
        self.wait(&format!("{ended} uploads end"), |state| {
            state.ended.len() >= ended
        });
        self.0.0.lock().unwrap().ended.clone()
    }

    #[track_caller]
    fn wait(&self, claim: &str, holds: impl Fn(&State) -> bool) {
        let (state, news) = &*self.0;
        let (state, _) = news
            .wait_timeout_while(state.lock().unwrap(), PATIENCE, |state| !holds(state))
            .unwrap();
        assert!(holds(&state), "{claim}: {state:?}");
    }

    fn note(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    fn converse(&self, mut stream: UnixStream) -> io::Result<()> {
        let mut ahead = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = find(&ahead, b"\r\n\r\n") {
                    break at + 4;
                }
                let mut buffer = [0; 4096];
                let got = stream.read(&mut buffer)?;
                if got == 0 {
                    return Ok(());
                }
                ahead.extend(&buffer[..got]);
            };
            let rest = ahead.split_off(end);
            let head = text(&std::mem::replace(&mut ahead, rest));
            if head.starts_with("GET") {
                pour(&mut stream, &head)?;
            } else {
                self.note(|state| state.begun += 1);
                let swallowed = swallow(&mut stream, &head, &mut ahead);
                self.note(|state| state.ended.push(swallowed));
                if !swallowed.complete {
                    return Ok(());
                }
                stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")?;
            }
        }
    }
}

fn pour(stream: &mut UnixStream, head: &str) -> io::Result<()> {
    let mut left: u64 = lines(head, "x-length")
        .first()
        .map_or(0, |l| l.parse().unwrap());
    let chunked = !lines(head, "x-chunked").is_empty();
    let framing = if chunked {
        "Transfer-Encoding: chunked".to_owned()
    } else {
        format!("Content-Length: {left}")
    };
    stream.write_all(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes())?;
    let piece = vec![b'x'; PIECE];
    while left > 0 {
        let now = usize::try_from(left).unwrap().min(PIECE);
        if chunked {
            stream.write_all(format!("{now:x}\r\n").as_bytes())?;
        }
        stream.write_all(&piece[..now])?;
        if chunked {
            stream.write_all(b"\r\n")?;
        }
        left -= now as u64;
    }
    if chunked {
        stream.write_all(b"0\r\n\r\n")?;
    }
    Ok(())
}

fn swallow(stream: &mut UnixStream, head: &str, ahead: &mut Vec<u8>) -> Swallowed {
    let mut source = Source {
        stream,
        held: ahead,
        buffer: vec![0; PIECE],
    };
    let mut bytes = 0;
    let complete = if let [length] = lines(head, "content-length").as_slice() {
        source.skip(length.parse().unwrap(), &mut bytes)
    } else {
        source.skip_chunks(&mut bytes)
    };
    Swallowed {
        bytes,
        complete: complete.is_ok(),
    }
}

/// Reads without keeping.
struct Source<'a> {
    stream: &'a mut UnixStream,
    held: &'a mut Vec<u8>,
    buffer: Vec<u8>,
}

impl Source<'_> {
    fn skip(&mut self, mut left: u64, bytes: &mut u64) -> io::Result<()> {
        while left > 0 {
            let most = usize::try_from(left).unwrap().min(PIECE);
            let got = if self.held.is_empty() {
                self.stream.read(&mut self.buffer[..most])?
            } else {
                let got = most.min(self.held.len());
                self.held.drain(..got);
                got
            };
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= got as u64;
            *bytes += got as u64;
        }
        Ok(())
    }

    fn skip_chunks(&mut self, bytes: &mut u64) -> io::Result<()> {
        loop {
            let line = self.line()?;
            let size = u64::from_str_radix(&line, 16).map_err(io::Error::other)?;
            self.skip(size, bytes)?;
            if !self.line()?.is_empty() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(self.held, b"\r\n") {
                let line: Vec<u8> = self.held.drain(..at + 2).collect();
                return Ok(text(&line[..at]));
            }
            let read = self.stream.read(&mut self.buffer)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.held.extend(&self.buffer[..read]);
        }
    }
}

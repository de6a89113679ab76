//! An upload as docker sends it, and an upstream that takes uploads and throws them away.

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use rustls::client::Resumption;

use super::Told;
use super::wire::{Connection, request, tls};
use crate::site::NAME;

/// Bytes written at once: what Go's `io.Copy` takes.
const PIECE: usize = 32 * 1024;

/// How an upload is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One chunked `PATCH`, as docker does.
    Patch,
    /// One `PUT` of known length, as containerd does.
    Put,
}

impl Way {
    /// The word for it in an order.
    pub fn word(self) -> &'static str {
        match self {
            Self::Patch => "PATCH",
            Self::Put => "PUT",
        }
    }
}

pub(super) fn run(told: &Told) {
    let config = tls(told, Resumption::disabled());
    let mut connection = Connection::open(told, config.as_ref());
    let all = |_: usize| true;
    let start = request_with_length(told, "POST", "/v2/bench/image/blobs/uploads/", 0);
    let answer = connection.ask(&start, true, &mut { all });
    assert_eq!(answer.status, 202, "{}", answer.head);
    let mut place = local(answer.header("location").unwrap());
    let file = told.file("file").unwrap();
    let digest = told.text("digest").unwrap();
    if told.text("method") == Some("PATCH") {
        let head = request_with(told, "PATCH", &place, "Transfer-Encoding: chunked\r\n");
        connection.send(&head);
        send_file(&file, |piece| {
            connection.send(format!("{:x}\r\n", piece.len()).as_bytes());
            connection.send(piece);
            connection.send(b"\r\n");
        });
        connection.send(b"0\r\n\r\n");
        let answer = connection.answer(true, &mut { all });
        assert_eq!(answer.status, 202, "{}", answer.head);
        place = local(answer.header("location").unwrap());
        if told.text("finish").is_none() {
            // Upload by upload would fill the memory that the store is in.
            let cancel = request(told, "DELETE", &place);
            let answer = connection.ask(&cancel, true, &mut { all });
            assert_eq!(answer.status, 204, "{}", answer.head);
            return;
        }
        let target = with_digest(&place, digest);
        let finish = request_with_length(told, "PUT", &target, 0);
        let answer = connection.ask(&finish, true, &mut { all });
        assert_eq!(answer.status, 201, "{}", answer.head);
        return;
    }
    let length = std::fs::metadata(&file).unwrap().len();
    let target = with_digest(&place, digest);
    connection.send(&request_with_length(told, "PUT", &target, length));
    send_file(&file, |piece| connection.send(piece));
    let answer = connection.answer(true, &mut { all });
    assert_eq!(answer.status, 201, "{}", answer.head);
}

/// Puts a manifest under the tag `latest`.
pub(super) fn manifest(told: &Told) {
    let text = std::fs::read(told.file("file").unwrap()).unwrap();
    let target = "/v2/bench/image/manifests/latest";
    let mut head = request(told, "PUT", target);
    head.truncate(head.len() - 2);
    let lines = format!(
        "Content-Type: application/vnd.oci.image.manifest.v1+json\r\nContent-Length: {}\r\n\r\n",
        text.len()
    );
    head.extend_from_slice(lines.as_bytes());
    head.extend_from_slice(&text);
    let config = tls(told, Resumption::disabled());
    let answer = Connection::open(told, config.as_ref()).ask(&head, true, &mut |_| true);
    assert_eq!(answer.status, 201, "{}", answer.head);
}

fn with_digest(place: &str, digest: &str) -> String {
    let sign = if place.contains('?') { '&' } else { '?' };
    format!("{place}{sign}digest={digest}")
}

/// Path and query of a `Location`, whatever host it names.
fn local(location: &str) -> String {
    match location.split_once("://") {
        Some((_, rest)) => rest[rest.find('/').unwrap()..].to_owned(),
        None => location.to_owned(),
    }
}

fn request_with(told: &Told, method: &str, target: &str, line: &str) -> Vec<u8> {
    let mut head = request(told, method, target);
    head.truncate(head.len() - 2);
    head.extend_from_slice(b"Content-Type: application/octet-stream\r\n");
    head.extend_from_slice(line.as_bytes());
    head.extend_from_slice(b"\r\n");
    head
}

fn request_with_length(told: &Told, method: &str, target: &str, length: u64) -> Vec<u8> {
    request_with(
        told,
        method,
        target,
        &format!("Content-Length: {length}\r\n"),
    )
}

fn send_file(file: &std::path::Path, mut send: impl FnMut(&[u8])) {
    let mut file = File::open(file).unwrap();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece).unwrap() {
            0 => return,
            read => send(&piece[..read]),
        }
    }
}

/// Takes every upload and keeps nothing: the cheapest registry to push to. Runs until it is killed.
pub(super) fn sink(told: &Told) {
    let listener = TcpListener::bind(told.address()).unwrap();
    for stream in listener.incoming().flatten() {
        thread::spawn(move || {
            // A client that goes away is no fault here.
            let _ = swallow(stream);
        });
    }
}

fn swallow(stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut answers = stream.try_clone().ok()?;
    let mut stream = BufReader::with_capacity(1024 * 1024, stream);
    loop {
        let head = head_of(&mut stream)?;
        let lower = head.to_ascii_lowercase();
        let length = lower.split("content-length:").nth(1);
        if lower.contains("transfer-encoding:") {
            loop {
                let size = usize::from_str_radix(line_of(&mut stream)?.trim(), 16).ok()?;
                discard(&mut stream, size + 2)?;
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) = length {
            let length = length.lines().next()?.trim().parse().ok()?;
            discard(&mut stream, length)?;
        }
        let status = match head.split(' ').next()? {
            "PUT" => "201 Created",
            "DELETE" => "204 No Content",
            _ => "202 Accepted",
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nLocation: http://{NAME}/v2/bench/image/blobs/uploads/one\r\n\
             Docker-Distribution-Api-Version: registry/2.0\r\n"
        );
        let length = if status.starts_with("204") {
            "\r\n"
        } else {
            "Content-Length: 0\r\n\r\n"
        };
        answers.write_all((answer + length).as_bytes()).ok()?;
    }
}

fn head_of(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    loop {
        let line = line_of(stream)?;
        if line == "\r\n" {
            return Some(head);
        }
        head += &line;
    }
}

fn line_of(stream: &mut BufReader<TcpStream>) -> Option<String> {
    use std::io::BufRead as _;
    let mut line = String::new();
    (stream.read_line(&mut line).ok()? > 0).then_some(line)
}

fn discard(stream: &mut BufReader<TcpStream>, mut left: usize) -> Option<()> {
    use std::io::BufRead as _;
    while left > 0 {
        let there = stream.fill_buf().ok()?.len().min(left);
        if there == 0 {
            return None;
        }
        stream.consume(there);
        left -= there;
    }
    Some(())
}

//! A bucket of moto, and a server in front of it that does what stores do on bad days.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::ask::ask;
use super::peers::skip;
use super::process::Daemon;
use super::raw::find;

/// No emulator takes longer to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who may use the bucket. A session token is what must never reach a log.
const KEYS: &str = "accesskey = \"AKIDEXAMPLE\"\nsecretkey = \"s3cr3t-key\"";

/// What becomes of one request to the store.
#[derive(Clone, Debug)]
pub enum Deed {
    /// It is passed on, and its answer back.
    Pass,
    /// It is answered with this, and never reaches the store.
    Answer(u16, &'static str),
    /// It is passed on, and then answered with this status all the same.
    PassAndAnswer(u16),
    /// The connection ends without an answer; the store never hears of it.
    Drop,
    /// There is no answer for as long as the test lasts.
    Stall,
    /// The answer comes, so much later.
    Late(Duration),
    /// The answer says its length and breaks off after so many bytes of its body.
    Cut(usize),
    /// The answer has so many bytes of its body and says that this is all.
    Short(usize),
    /// One bit of the body is another.
    Flip,
    /// A list as it was when it was asked for the first time.
    Old,
}

/// What is asked of the front itself.
const QUIET: &str = "/quiet";

/// Decides about a request, by its method and its target.
type Rule = Box<dyn Fn(&str, &str) -> Deed + Send + Sync>;

/// The store with its front. It ends with the test process.
pub struct Store {
    shared: Arc<Shared>,
    front: SocketAddr,
    bucket: String,
}

struct Shared {
    store: SocketAddr,
    rule: Mutex<Arc<Rule>>,
    seen: Mutex<Seen>,
    news: Condvar,
}

#[derive(Default)]
struct Seen {
    /// All requests.
    requests: usize,
    /// Those that did not simply pass.
    faults: usize,
    /// The first answer to each list.
    lists: Vec<(String, Vec<u8>)>,
    /// Connections that are open.
    open: usize,
}

impl Store {
    /// A new bucket; `None` where moto is not installed, which has been said.
    #[track_caller]
    pub fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let store = moto()?;
        let bucket = format!("bucket-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let made = ask(store, &format!("PUT /{bucket}"), &[], b"");
        assert_eq!(made.status, 200, "{made:#?}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let front = listener.local_addr().unwrap();
        let pass: Rule = Box::new(|_, _| Deed::Pass);
        let shared = Arc::new(Shared {
            store,
            rule: Mutex::new(Arc::new(pass)),
            seen: Mutex::default(),
            news: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                shared.note(|seen| seen.open += 1);
                thread::spawn(move || {
                    shared.converse(client);
                    shared.note(|seen| seen.open -= 1);
                });
            }
        });
        Some(Self {
            shared,
            front,
            bucket,
        })
    }

    /// The tables `[registry]` and `[registry.s3]` for it.
    pub fn toml(&self) -> String {
        format!(
            "[registry]\nstorage = \"s3\"\n[registry.s3]\nbucket = \"{}\"\nregion = \"us-east-1\"\n\
             regionendpoint = \"http://{}\"\nchunksize = \"5 MiB\"\n{KEYS}\n",
            self.bucket, self.front
        )
    }

    /// What becomes of requests from now on.
    pub fn rule(&self, rule: impl Fn(&str, &str) -> Deed + Send + Sync + 'static) {
        *self.shared.rule.lock().unwrap() = Arc::new(Box::new(rule));
    }

    /// All is well again.
    pub fn mend(&self) {
        self.rule(|_, _| Deed::Pass);
    }

    /// How many requests did not simply pass until now.
    pub fn faults(&self) -> usize {
        self.shared.seen.lock().unwrap().faults
    }

    /// Waits for so many more requests.
    #[track_caller]
    pub fn until_asked(&self, more: usize) {
        let seen = self.shared.seen.lock().unwrap();
        let end = seen.requests + more;
        let waits = |seen: &mut Seen| seen.requests < end;
        let waited = self.shared.news.wait_timeout_while(seen, PATIENCE, waits);
        assert!(
            !waited.unwrap().1.timed_out(),
            "nobody asks it for anything"
        );
    }

    /// Waits until the store has done all that a process asked of it before it was killed.
    #[track_caller]
    pub fn until_it_is_quiet(&self) {
        // Connections are accepted in their order: once this one is answered, those of the dead are known.
        let mut last = TcpStream::connect(self.front).unwrap();
        last.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET {QUIET} HTTP/1.1\r\n\r\n");
        last.write_all(request.as_bytes()).unwrap();
        last.read_exact(&mut [0]).unwrap();
        drop(last);
        let seen = self.shared.seen.lock().unwrap();
        let busy = |seen: &mut Seen| seen.open > 0;
        let waited = self.shared.news.wait_timeout_while(seen, PATIENCE, busy);
        assert!(!waited.unwrap().1.timed_out(), "it does not become quiet");
    }
}

impl Shared {
    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap());
        self.news.notify_all();
    }

    /// One request after the other, until an end.
    fn converse(&self, mut client: TcpStream) -> Option<()> {
        let mut ahead = Vec::new();
        loop {
            let request = read_message(&mut client, &mut ahead)?;
            let line = String::from_utf8_lossy(&request[..find(&request, b" HTTP/1.1\r\n")?]);
            let (method, target) = line.split_once(' ')?;
            if target == QUIET {
                client.write_all(&made(200, "")).ok()?;
                continue;
            }
            let rule = Arc::clone(&self.rule.lock().unwrap());
            let deed = rule(method, target);
            self.note(|seen| {
                seen.requests += 1;
                seen.faults += usize::from(!matches!(deed, Deed::Pass));
            });
            let answer = match deed {
                Deed::Answer(status, body) => made(status, body),
                Deed::Drop => return None,
                Deed::Stall => {
                    // Until the other end gives up.
                    let _ = client.read(&mut [0]);
                    return None;
                }
                Deed::Pass => self.pass(&request)?,
                Deed::PassAndAnswer(status) => {
                    self.pass(&request)?;
                    made(status, "")
                }
                Deed::Late(delay) => {
                    let answer = self.pass(&request)?;
                    // Slow on purpose: that is the fault.
                    thread::sleep(delay);
                    answer
                }
                Deed::Cut(after) => {
                    let answer = self.pass(&request)?;
                    let end = find(&answer, b"\r\n\r\n")? + 4 + after;
                    let _ = client.write_all(&answer[..end.min(answer.len())]);
                    let _ = client.shutdown(Shutdown::Both);
                    return None;
                }
                Deed::Short(after) => {
                    let (head, body) = split(self.pass(&request)?)?;
                    with_body(&head, &body[..after.min(body.len())])
                }
                Deed::Flip => {
                    let (head, mut body) = split(self.pass(&request)?)?;
                    let middle = body.len() / 2;
                    if let Some(byte) = body.get_mut(middle) {
                        *byte ^= 1;
                    }
                    with_body(&head, &body)
                }
                Deed::Old => self.old(&line, &request)?,
            };
            client.write_all(&answer).ok()?;
        }
    }

    fn pass(&self, request: &[u8]) -> Option<Vec<u8>> {
        let mut store = TcpStream::connect(self.store).ok()?;
        store.set_read_timeout(Some(PATIENCE)).ok()?;
        let end = find(request, b"\r\n")? + 2;
        store.write_all(&request[..end]).ok()?;
        store.write_all(b"Connection: close\r\n").ok()?;
        store.write_all(&request[end..]).ok()?;
        let mut answer = Vec::new();
        store.read_to_end(&mut answer).ok()?;
        Some(kept_alive(answer, request.starts_with(b"HEAD ")))
    }

    fn old(&self, line: &str, request: &[u8]) -> Option<Vec<u8>> {
        let known = |seen: &Seen| {
            let found = seen.lists.iter().find(|(name, _)| name == line);
            found.map(|(_, answer)| answer.clone())
        };
        if let Some(answer) = known(&self.seen.lock().unwrap()) {
            return Some(answer);
        }
        let answer = self.pass(request)?;
        let mut seen = self.seen.lock().unwrap();
        seen.lists.push((line.to_owned(), answer.clone()));
        Some(answer)
    }
}

/// A whole request: its head, and its body by the length that it tells.
fn read_message(client: &mut TcpStream, ahead: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut more = vec![0; 64 * 1024];
    let mut read = |ahead: &mut Vec<u8>| -> Option<()> {
        match client.read(&mut more) {
            Ok(0) => None,
            Ok(length) => {
                ahead.extend_from_slice(&more[..length]);
                Some(())
            }
            Err(error) => (error.kind() == io::ErrorKind::Interrupted).then_some(()),
        }
    };
    let head = loop {
        if let Some(at) = find(ahead, b"\r\n\r\n") {
            break at + 4;
        }
        read(ahead)?;
    };
    let length = length_of(&ahead[..head]).unwrap_or(0);
    while ahead.len() < head + length {
        read(ahead)?;
    }
    let rest = ahead.split_off(head + length);
    Some(std::mem::replace(ahead, rest))
}

fn length_of(head: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(head).to_lowercase();
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))?;
    line.trim().parse().ok()
}

/// Head and body.
fn split(mut answer: Vec<u8>) -> Option<(String, Vec<u8>)> {
    let end = find(&answer, b"\r\n\r\n")? + 4;
    let body = answer.split_off(end);
    Some((String::from_utf8_lossy(&answer).into_owned(), body))
}

/// The same head over another body, with its length.
fn with_body(head: &str, body: &[u8]) -> Vec<u8> {
    let lines = head.trim_end().lines();
    let kept = lines.filter(|line| !line.to_lowercase().starts_with("content-length:"));
    let head: String = kept.flat_map(|line| [line, "\r\n"]).collect();
    let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The answer of a server that closed its connection, for one that stays open.
fn kept_alive(answer: Vec<u8>, is_head: bool) -> Vec<u8> {
    let Some((head, body)) = split(answer) else {
        return Vec::new();
    };
    let lines = head.trim_end().lines();
    let kept = lines.filter(|line| !line.to_lowercase().starts_with("connection:"));
    let head: String = kept.flat_map(|line| [line, "\r\n"]).collect();
    if is_head || length_of(head.as_bytes()).is_some() {
        return [head.as_bytes(), b"\r\n", &body].concat();
    }
    with_body(&head, &body)
}

fn made(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Bad day\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// Where moto is, which serves the whole run of tests.
fn moto() -> Option<SocketAddr> {
    static RUNNING: OnceLock<Option<(Daemon, SocketAddr)>> = OnceLock::new();
    let running = RUNNING.get_or_init(|| {
        let program = peers().join("moto/bin/moto_server");
        if !program.exists() {
            skip(&format!(
                "{} is not there (scripts/setup-peers installs it)",
                program.display()
            ));
            return None;
        }
        let dir = TempDir::with_prefix("dockgate-moto-").unwrap();
        let argv = [program.to_str()?, "-H", "127.0.0.1", "-p", "0"];
        let daemon = Daemon::start(dir, &argv);
        let line = daemon
            .wait_for("Running on http://127.0.0.1:")
            .unwrap_or_else(|log| panic!("moto did not start:\n{log}"));
        let (_, address) = line.split_once("http://")?;
        let address = address.trim().parse().ok()?;
        Some((daemon, address))
    });
    running.as_ref().map(|(_, address)| *address)
}

fn peers() -> PathBuf {
    if let Some(home) = std::env::var_os("DOCKGATE_PEERS") {
        return home.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let found = cache.or_else(home).unwrap_or_default();
    let found = found.join("dockgate/peers");
    fs::canonicalize(&found).unwrap_or(found)
}

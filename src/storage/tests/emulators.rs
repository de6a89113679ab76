//! Stores of the cloud that run here: moto (S3) and Azurite (Azure).
//!
//! `scripts/setup-peers` installs them. One of each serves a whole test run, each test in a bucket of its own; it ends
//! when our end of its standard input closes, however we end.

use std::env;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

/// How long an emulator may take to begin.
const START: Duration = Duration::from_secs(60);

/// Runs the program in its arguments until standard input ends.
const UNTIL_WE_END: &str = r#""$@" </dev/null & child=$!; read -r _; kill "$child""#;

/// The kinds.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) enum Emulator {
    S3,
    Azure,
}

impl Emulator {
    /// Its address, as a URL without a slash at its end; `None` where it is not installed, which has been said.
    pub(in crate::storage) fn address(self) -> Option<&'static str> {
        static RUNNING: [OnceLock<Option<String>>; 2] = [const { OnceLock::new() }; 2];
        RUNNING[self as usize]
            .get_or_init(|| self.start())
            .as_deref()
    }

    fn start(self) -> Option<String> {
        let home = peers();
        let program = home.join(match self {
            Self::S3 => "moto/bin/moto_server",
            Self::Azure => "azurite/node_modules/.bin/azurite-blob",
        });
        if !program.exists() {
            skip(&program.display().to_string());
            return None;
        }
        let arguments = match self {
            Self::S3 => vec!["-H", "127.0.0.1", "-p", "0"],
            Self::Azure => vec![
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                "0",
                "--inMemoryPersistence",
                "--skipApiVersionCheck",
                "--disableTelemetry",
            ],
        };
        Some(run(Command::new(program).args(arguments)))
    }
}

/// Whether a program is here; if not, it has been said.
pub(in crate::storage) fn peer(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).any(|dir| dir.join(program).is_file());
    if !found {
        skip(program);
    }
    found
}

/// Says what is missing; where `CI=true` it fails, because there nobody reads what was skipped.
fn skip(program: &str) {
    let why = format!("{program} is not there (scripts/setup-peers installs it)");
    assert!(env::var("CI").as_deref() != Ok("true"), "{why}");
    let test = std::thread::current().name().unwrap_or("test").to_owned();
    let note = format!("skipped: {test}: {why}\n");
    io::stderr().write_all(note.as_bytes()).unwrap();
}

fn peers() -> PathBuf {
    if let Some(home) = env::var_os("DOCKGATE_PEERS") {
        return home.into();
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    cache.unwrap_or_default().join("dockgate/peers")
}

/// Runs a program for the rest of the test run and tells its address, as a URL.
pub(in crate::storage) fn run(command: &Command) -> String {
    let mut shell = Command::new("sh");
    // A bundle of another tool's makes registry:2 fall over.
    shell
        .env_remove("AWS_CA_BUNDLE")
        .args(["-c", UNTIL_WE_END, "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    let (child, log) = spawn(shell);
    // Kept open, not waited for.
    std::mem::forget(child);
    listening(log)
}

fn spawn(mut command: Command) -> (Child, File) {
    let (log, theirs) = io::pipe().unwrap();
    let child = command
        .stdin(Stdio::piped())
        .stdout(theirs.try_clone().unwrap())
        .stderr(theirs)
        .spawn()
        .unwrap();
    (child, File::from(std::os::fd::OwnedFd::from(log)))
}

/// The address that it says it listens on; what it says later is thrown away.
fn listening(log: File) -> String {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            let Some((_, rest)) = line.split_once("127.0.0.1:") else {
                continue;
            };
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            if !port.is_empty() && port != "0" {
                let _ = tell.send(format!("http://127.0.0.1:{port}"));
            }
        }
    });
    told.recv_timeout(START)
        .expect("the emulator began in time")
}

/// A name that no other bucket of this run has.
pub(in crate::storage) fn bucket_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("bucket-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Sends a request and returns the status of its answer.
pub(in crate::storage) fn request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> u16 {
    ask(method, url, headers, body).0
}

/// Sends a request and returns status, head and body of its answer.
pub(in crate::storage) fn ask(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String, String) {
    use std::io::Read as _;
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    text.push_str(body);
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(START)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.unwrap(), head.to_owned(), body.to_owned())
}

//! The real binary: its signals, its exit code, its two streams.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::memory::kib;

/// For a line to appear, and for the end to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// `dockgate` with a folder of its own, killed when it is dropped.
#[derive(Debug)]
pub struct Program {
    dir: TempDir,
    child: Child,
    out: Arc<Stream>,
    err: Arc<Stream>,
}

/// What a stream has said.
#[derive(Debug, Default)]
struct Stream {
    said: Mutex<Said>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    lines: Vec<String>,
    ended: bool,
}

/// A command that runs the binary without anything of this machine's environment.
pub fn dockgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockgate"));
    command.env_clear().env("TZ", "UTC");
    command
}

impl Program {
    /// Starts `dockgate serve` with this configuration and waits until it listens.
    #[track_caller]
    pub fn start(toml: &str) -> Self {
        Self::start_with(toml, |_| {})
    }

    /// The same, after `prepare` has put files into the folder.
    #[track_caller]
    pub fn start_with(toml: &str, prepare: impl FnOnce(&Path)) -> Self {
        let dir = TempDir::with_prefix("dockgate-program-").unwrap();
        prepare(dir.path());
        fs::write(dir.path().join("proxy.toml"), toml).unwrap();
        let mut command = dockgate();
        command.arg("serve").stdout(Stdio::piped());
        let program = Self::spawn(dir, command);
        program.err_line("listening");
        program
    }

    /// The gate below another program that calls it, over this configuration, in a folder that is prepared before; its
    /// standard output is nobody's.
    #[track_caller]
    pub fn under(wrapper: &[impl AsRef<OsStr>], toml: &str, prepare: impl FnOnce(&Path)) -> Self {
        let dir = TempDir::with_prefix("dockgate-under-").unwrap();
        prepare(dir.path());
        fs::write(dir.path().join("proxy.toml"), toml).unwrap();
        let mut command = Command::new(&wrapper[0]);
        command
            .args(&wrapper[1..])
            .arg(dockgate().get_program())
            .arg("serve")
            .env("TZ", "UTC")
            .stdout(Stdio::null());
        Self::spawn(dir, command)
    }

    /// Runs a command whose folder is `dir` unless it has one; its standard output is piped or not, as the command says.
    #[track_caller]
    pub fn spawn(dir: TempDir, mut command: Command) -> Self {
        if command.get_current_dir().is_none() {
            command.current_dir(dir.path());
        }
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = Arc::new(Stream::default());
        out.said.lock().unwrap().ended = child.stdout.is_none();
        if let Some(stdout) = child.stdout.take() {
            follow(&out, stdout);
        }
        let err = Arc::new(Stream::default());
        follow(&err, child.stderr.take().unwrap());
        Self {
            dir,
            child,
            out,
            err,
        }
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What the system says of its memory, in KiB, by the name of the line in its `status`.
    #[track_caller]
    pub fn memory(&self, name: &str) -> u64 {
        kib(&PathBuf::from(format!("/proc/{}", self.pid())), name)
    }

    /// A file of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where a TCP listener is, in the order of the configuration.
    #[track_caller]
    pub fn address(&self, listener: usize) -> SocketAddr {
        self.err_times("listening", listener + 1);
        let log = self.stderr();
        let addresses: Vec<_> = log
            .lines()
            .filter(|line| line.contains("listening"))
            .map(|line| {
                let (_, rest) = line.split_once("address=").unwrap();
                rest.trim_matches('"').parse().unwrap()
            })
            .collect();
        addresses[listener]
    }

    /// Where it answers the operator's tools, by TCP.
    #[track_caller]
    pub fn admin(&self) -> SocketAddr {
        let line = self.err_line("answering /metrics");
        let (_, rest) = line.split_once("address=").unwrap();
        rest.trim_matches('"').parse().unwrap()
    }

    /// Its number among the processes.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The first line of standard error that has this in it, as soon as it is there.
    #[track_caller]
    pub fn err_line(&self, text: &str) -> String {
        self.err.wait(text, 1)
    }

    /// Waits until standard error has had this so many times.
    #[track_caller]
    pub fn err_times(&self, text: &str, times: usize) {
        self.err.wait(text, times);
    }

    /// The same for standard output.
    #[track_caller]
    pub fn out_line(&self, text: &str) -> String {
        self.out.wait(text, 1)
    }

    /// What it has said until now on standard error.
    pub fn stderr(&self) -> String {
        self.err.text()
    }

    /// What it has said until now on standard output.
    pub fn stdout(&self) -> String {
        self.out.text()
    }

    /// Its exit code, `None` for a signal.
    #[track_caller]
    pub fn wait(&mut self) -> Option<i32> {
        // Its standard error ends with it.
        assert!(self.err.ends(), "it does not end:\n{}", self.stderr());
        self.child.wait().unwrap().code()
    }

    /// Waits for the end, and for the last of both streams.
    #[track_caller]
    pub fn end(mut self) -> (Option<i32>, String, String) {
        let code = self.wait();
        self.out.ends();
        (code, self.stdout(), self.stderr())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(stream: &Arc<Stream>, source: impl Read + Send + 'static) {
    let stream = Arc::clone(stream);
    thread::spawn(move || {
        for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            stream.said.lock().unwrap().lines.push(line);
            stream.news.notify_all();
        }
        stream.said.lock().unwrap().ended = true;
        stream.news.notify_all();
    });
}

impl Stream {
    #[track_caller]
    fn wait(&self, text: &str, times: usize) -> String {
        let count = |said: &Said| said.lines.iter().filter(|l| l.contains(text)).count();
        let said = self.said.lock().unwrap();
        let (said, _) = self
            .news
            .wait_timeout_while(said, PATIENCE, |said| !said.ended && count(said) < times)
            .unwrap();
        let found = said
            .lines
            .iter()
            .filter(|l| l.contains(text))
            .nth(times - 1);
        found
            .cloned()
            .unwrap_or_else(|| panic!("no {text:?} ({times} times) in\n{}", said.lines.join("\n")))
    }

    fn ends(&self) -> bool {
        let said = self.said.lock().unwrap();
        let going = |said: &mut Said| !said.ended;
        let waited = self.news.wait_timeout_while(said, PATIENCE, going);
        waited.unwrap().0.ended
    }

    fn text(&self) -> String {
        self.said.lock().unwrap().lines.join("\n")
    }
}

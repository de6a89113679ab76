//! Children with a deadline, and daemons that end with the test process, however it ends.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// How long a client may take for one operation before it counts as hanging. A push that outlives its token takes a minute.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a daemon may take until it serves.
const START: Duration = Duration::from_secs(30);

/// What of a daemon's log is kept.
const LOG_LINES: usize = 20_000;

/// What a program left behind: how it ended and what it said.
#[derive(Debug)]
pub struct Outcome {
    command: String,
    ok: bool,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl Outcome {
    /// Whether the program succeeded.
    pub fn ok(&self) -> bool {
        self.ok
    }

    /// Fails the test, with all that was said, unless the program succeeded.
    #[track_caller]
    pub fn succeeds(self, claim: &str) -> Self {
        assert!(self.ok, "{claim}\n{self}");
        self
    }

    /// Fails the test unless the program failed and gave this as the reason.
    #[track_caller]
    pub fn fails_saying(self, reason: &str, claim: &str) {
        assert!(!self.ok, "{claim}: it succeeded\n{self}");
        assert!(
            self.stderr.contains(reason) || self.stdout.contains(reason),
            "{claim}: it failed, but not with {reason:?}\n{self}"
        );
    }

    /// Fails the test unless the standard output contains this.
    #[track_caller]
    pub fn says(self, text: &str, claim: &str) -> Self {
        assert!(
            self.stdout.contains(text),
            "{claim}: no {text:?} in it\n{self}"
        );
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "$ {}", self.command)?;
        writeln!(f, "stdout: {}", self.stdout.trim_end())?;
        write!(f, "stderr: {}", self.stderr.trim_end())
    }
}

/// Runs a program to its end. It has no input, and one that hangs is killed, with what it started, and fails the
/// test.
#[must_use]
#[track_caller]
pub fn run(command: &mut Command) -> Outcome {
    run_within(command, PATIENCE)
}

/// As [`run`], with a deadline of its own.
#[must_use]
#[track_caller]
pub fn run_within(command: &mut Command, patience: Duration) -> Outcome {
    let text = format!("{command:?}");
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|e| panic!("{text}: {e}"));
    let group = Pid::from_child(&child);
    let (done, waiting) = mpsc::sync_channel(1);
    thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = waiting.recv_timeout(patience) else {
        kill_process_group(group, Signal::KILL).unwrap();
        let said = waiting.recv_timeout(PATIENCE).unwrap().unwrap();
        panic!(
            "hangs, killed after {patience:?}\n$ {text}\n{}{}",
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr)
        );
    };
    let output = output.unwrap();
    Outcome {
        command: text,
        ok: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A program that serves until it is dropped, in a folder of its own that goes with it.
///
/// Between the test and the program stands a shell that waits for the end of its input. The input ends when the
/// `Daemon` is dropped and when the test process dies of anything, SIGKILL included, and then the shell stops the
/// program and removes the folder. (`PR_SET_PDEATHSIG` alone would not do: it fires when the *thread* that started
/// the program ends, and each test is a thread.)
#[derive(Debug)]
pub struct Daemon {
    guardian: Child,
    input: Option<ChildStdin>,
    dir: PathBuf,
    log: Arc<Log>,
}

const GUARDIAN: &str = r#"
dir=$1; shift
if [ $# -gt 0 ]; then setpriv --pdeathsig KILL -- "$@" </dev/null >&2 & fi
pid=$!
exec >/dev/null 2>&1
read -r _
if [ -n "$pid" ] && kill -TERM "$pid"; then
    ( sleep 10; kill -KILL "$pid" ) & watch=$!
    wait "$pid"
    kill "$watch"
fi
rm -rf "$dir"
"#;

impl Daemon {
    /// Starts a program whose files are in `dir`. `argv` may be empty: then only the folder is looked after.
    pub fn start<S: AsRef<std::ffi::OsStr>>(dir: TempDir, argv: &[S]) -> Self {
        let dir = dir.keep();
        let mut guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "guardian"])
            .arg(&dir)
            .args(argv)
            .env("PATH", search_path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0) // Ctrl-C reaches the test; the rest follows from its end
            .spawn()
            .unwrap();
        let input = guardian.stdin.take();
        let log = Arc::new(Log::default());
        log.follow(guardian.stderr.take().unwrap());
        Self {
            guardian,
            input,
            dir,
            log,
        }
    }

    /// The folder of the program.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The first line of the log that contains `text`; all of the log if the program ends without saying it.
    ///
    /// # Errors
    /// The whole log, when the program ended or was silent for too long.
    pub fn wait_for(&self, text: &str) -> Result<String, String> {
        self.log.wait_for(text)
    }

    /// What it has logged until now.
    pub fn log(&self) -> String {
        self.log.text()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.input.take());
        // Bounded by the guardian itself.
        let _ = self.guardian.wait();
    }
}

#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Lines>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<String>,
    ended: bool,
}

impl Log {
    fn follow(self: &Arc<Self>, source: impl Read + Send + 'static) {
        let log = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                let mut lines = log.lines.lock().unwrap();
                if lines.kept.len() == LOG_LINES {
                    lines.kept.pop_front();
                }
                lines
                    .kept
                    .push_back(String::from_utf8_lossy(&line).into_owned());
                log.news.notify_all();
            }
            log.lines.lock().unwrap().ended = true;
            log.news.notify_all();
        });
    }

    fn wait_for(&self, text: &str) -> Result<String, String> {
        let missing =
            |lines: &mut Lines| !lines.ended && !lines.kept.iter().any(|l| l.contains(text));
        let lines = self.lines.lock().unwrap();
        let (lines, _) = self.news.wait_timeout_while(lines, START, missing).unwrap();
        let found = lines.kept.iter().find(|l| l.contains(text)).cloned();
        found.ok_or_else(|| join(&lines))
    }

    fn text(&self) -> String {
        join(&self.lines.lock().unwrap())
    }
}

fn join(lines: &Lines) -> String {
    lines.kept.iter().fold(String::new(), |mut all, line| {
        writeln!(all, "{line}").unwrap();
        all
    })
}

/// A search path with the folders where daemons are, which a person's own may lack.
pub fn search_path() -> String {
    let own = std::env::var("PATH").unwrap_or_default();
    format!("{own}:/usr/local/sbin:/usr/sbin:/sbin")
}

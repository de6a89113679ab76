//! Processes that are pinned to a core and end with the run.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use tokio::time::Instant;

/// How long a server may take until it accepts: under valgrind, on a machine that is busy, a minute is nothing.
const START: Duration = Duration::from_secs(60);

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

/// The command, pinned to one core or to none, that ends when we do, however that happens.
pub fn pinned(core: Option<usize>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]);
    if let Some(core) = core {
        command.args(["taskset", "-c", &core.to_string()]);
    }
    command.arg(program);
    command
}

impl Daemon {
    /// Starts it; what it says goes to `log`.
    pub fn start(mut command: Command, log: PathBuf) -> Self {
        let out = std::fs::File::create(&log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child, log }
    }

    /// Its process id: `setpriv` and `taskset` become the program that they start.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns when it accepts connections.
    pub fn wait_until_it_accepts(&mut self, address: SocketAddr) {
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && start.elapsed() < START,
                "a server did not come up on {address}:\n{}",
                std::fs::read_to_string(&self.log).unwrap_or_default()
            );
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process};
        // A master that is killed outright would leave its workers behind.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > Duration::from_secs(20) {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            sleep(Duration::from_millis(10));
        }
    }
}

/// Runs a command to its end and gives what it printed.
pub fn output(command: &mut Command) -> String {
    let done = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(
        done.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// A client that does something until it is told to stop, and says when it has begun.
#[derive(Debug)]
pub struct Holder {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Holder {
    /// Starts it and waits for its first line.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let read = said.read_line(&mut String::new()).unwrap();
        assert!(read > 0, "the client ended before it had begun");
        Self { child, said }
    }

    /// What else it says, until its end.
    pub fn said(mut self) -> String {
        let mut text = String::new();
        self.said.read_to_string(&mut text).unwrap();
        self.stop();
        text
    }

    /// Lets it go on to its end.
    pub fn stop(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success(), "the client failed");
    }
}

//! The gate itself, in this process, on ports that the system chooses.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread::JoinHandle;

use dockgate::config::{Config, ListenAddress};
use dockgate::{Command, Ended, Server};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// A running gate, stopped when it is dropped.
#[derive(Debug)]
pub struct Gate {
    dir: TempDir,
    addresses: Vec<ListenAddress>,
    commands: mpsc::Sender<Command>,
    thread: Option<JoinHandle<Ended>>,
}

impl Gate {
    /// Starts one with this `proxy.toml`, which lies in a folder of its own; ports 0 are the system's choice.
    #[track_caller]
    pub fn start(toml: &str) -> Self {
        Self::start_with(toml, |_| {})
    }

    /// The same, after `prepare` has put files into the gate's folder.
    #[track_caller]
    pub fn start_with(toml: &str, prepare: impl FnOnce(&Path)) -> Self {
        let dir = TempDir::with_prefix("dockgate-").unwrap();
        prepare(dir.path());
        let file = dir.path().join("proxy.toml");
        fs::write(&file, toml).unwrap();
        let load = {
            let file = file.clone();
            move || Config::load(Some(&file), &[])
        };
        let loaded = load().unwrap_or_else(|faults| panic!("{faults}"));
        let server = Server::load(loaded.config).unwrap_or_else(|faults| panic!("{faults:#?}"));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let bound = {
            let _inside = runtime.enter();
            server.bind().unwrap()
        };
        let addresses = bound.addresses().to_vec();
        let (commands, receiver) = mpsc::channel(4);
        let bound = bound.reloading(Some(file), Box::new(load));
        let thread = std::thread::spawn(move || {
            let ended = runtime.block_on(bound.run(receiver));
            runtime.shutdown_background();
            ended
        });
        Self {
            dir,
            addresses,
            commands,
            thread: Some(thread),
        }
    }

    /// The folder of its `proxy.toml` and state.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where its first listener is.
    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        self.address_of(0)
    }

    /// Where one of its listeners is, in the order of the configuration.
    #[track_caller]
    pub fn address_of(&self, listener: usize) -> SocketAddr {
        match self.addresses[listener] {
            ListenAddress::Tcp(address) => address,
            ListenAddress::Unix(_) => panic!("listener {listener} is a Unix socket"),
        }
    }

    /// Tells it to read everything again, as SIGHUP does.
    #[track_caller]
    pub fn reload(&self) {
        self.commands.blocking_send(Command::Reload).unwrap();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        // Twice: what a test left open is not worth waiting for.
        let _ = self.commands.try_send(Command::Stop);
        let _ = self.commands.try_send(Command::Stop);
        let ended = thread.join();
        assert!(
            ended.is_ok() || std::thread::panicking(),
            "the gate panicked"
        );
    }
}

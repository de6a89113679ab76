//! The program itself, as a process of its own on Unix sockets: no port to guess, and its memory can be measured.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::certs::Authority;
use super::memory::kib;
use super::passwords;
use super::process::Daemon;
use super::raw::Raw;

/// A running dockgate with a plain door and one with TLS.
pub struct Binary {
    daemon: Daemon,
    authority: Authority,
}

/// The file names of its sockets.
const SOCKETS: [&str; 3] = ["plain.sock", "tls.sock", "upstream.sock"];

impl Binary {
    /// Starts one. `prepare` gets the path of the socket on which the upstream is to listen.
    #[track_caller]
    pub fn start(more: &str, prepare: impl FnOnce(&Path)) -> Self {
        Self::with(prepare, |upstream| {
            format!("[upstream]\nurl = \"unix:{}\"\n{more}", upstream.display())
        })
    }

    /// Starts one with the registry inside of it. `more` follows in `[registry]`.
    #[track_caller]
    pub fn embedded(more: &str) -> Self {
        Self::with(|_| {}, |_| format!("[registry]\n{more}"))
    }

    #[track_caller]
    fn with(prepare: impl FnOnce(&Path), backend: impl FnOnce(&Path) -> String) -> Self {
        let dir = TempDir::with_prefix("dockgate-").unwrap();
        let authority = Authority::new("the CA of the test");
        let server = authority.server_for(&["localhost"]);
        let (certificate, key) = (server.certificate.display(), server.key.display());
        let htpasswd = dir.path().join("htpasswd");
        passwords::write(&htpasswd, "user", "secret");
        let [plain, tls, upstream] = SOCKETS.map(|name| dir.path().join(name));
        prepare(&upstream);
        let toml = format!(
            r#"
            [[listener]]
            address = "unix:{plain}"
            [[listener]]
            address = "unix:{tls}"
            [listener.tls]
            certificate = "{certificate}"
            key = "{key}"
            [auth]
            htpasswd = "htpasswd"
            anonymous = "pull"
            [log]
            access = "json"
            {backend}
            "#,
            plain = plain.display(),
            tls = tls.display(),
            backend = backend(&upstream),
        );
        let config = dir.path().join("proxy.toml");
        fs::write(&config, toml).unwrap();
        let argv: [PathBuf; 4] = [
            env!("CARGO_BIN_EXE_dockgate").into(),
            "serve".into(),
            "--config".into(),
            config,
        ];
        let daemon = Daemon::start(dir, &argv);
        daemon
            .wait_for("tls.sock")
            .unwrap_or_else(|log| panic!("dockgate did not start:\n{log}"));
        Self { daemon, authority }
    }

    /// A connection to one of its doors.
    #[track_caller]
    pub fn connect(&self, tls: bool) -> Raw {
        self.connect_offering(tls, &["http/1.1"])
    }

    /// A connection that offers these protocols where there is TLS.
    #[track_caller]
    pub fn connect_offering(&self, tls: bool, protocols: &[&str]) -> Raw {
        let socket = SOCKETS[usize::from(tls)];
        let stream = UnixStream::connect(self.daemon.dir().join(socket)).unwrap();
        if tls {
            Raw::tls_over(stream, self.authority.ca(), protocols)
        } else {
            Raw::over(stream)
        }
    }

    /// What it has logged until now: its events and its access lines.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// The first line of it that contains this, as soon as it is written.
    #[track_caller]
    pub fn logged(&self, text: &str) -> String {
        self.daemon
            .wait_for(text)
            .unwrap_or_else(|log| panic!("no {text:?} in the log:\n{log}"))
    }

    /// The most memory that it has held at once, in MiB.
    #[track_caller]
    pub fn peak(&self) -> u64 {
        kib(&self.process(), "VmHWM") / 1024
    }

    /// The regular files that it has open.
    #[track_caller]
    pub fn open_files(&self) -> Vec<PathBuf> {
        fs::read_dir(self.process().join("fd"))
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
            .filter(|path| path.is_file())
            .collect()
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.daemon.dir()
    }

    /// The files in its folder.
    #[track_caller]
    pub fn folder(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.daemon.dir())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
    }

    /// Its folder in `/proc`.
    #[track_caller]
    pub fn process(&self) -> PathBuf {
        let program = Path::new(env!("CARGO_BIN_EXE_dockgate"));
        let mark = self.daemon.dir().to_str().unwrap();
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|process| {
                fs::read_link(process.join("exe")).is_ok_and(|exe| exe == program)
                    && fs::read_to_string(process.join("cmdline")).is_ok_and(|c| c.contains(mark))
            })
            .unwrap()
    }
}

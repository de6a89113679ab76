//! The real nginx, the reference for what dockgate replaces.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::process::Daemon;

/// How often another process may snatch the port between our look and nginx's bind.
const TRIES: usize = 5;

/// A running nginx with one listening address.
#[derive(Debug)]
pub struct Nginx {
    daemon: Daemon,
    address: SocketAddr,
}

impl Nginx {
    /// Starts nginx with `http`, the inside of its `http { }` block, in which `LISTEN` stands for the address that
    /// it is to listen on: nginx cannot take port 0 and tell, so a free port of `ip` is looked up first.
    #[track_caller]
    pub fn start(ip: impl Into<IpAddr>, http: &str) -> Self {
        let ip = ip.into();
        let mut log = String::new();
        for _ in 0..TRIES {
            let address = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
            let dir = TempDir::with_prefix("dockgate-nginx-").unwrap();
            let config = dir.path().join("nginx.conf");
            let http = http.replace("LISTEN", &address.to_string());
            fs::write(&config, main_config(dir.path(), &http)).unwrap();
            let daemon = Daemon::start::<PathBuf>(
                dir,
                &[
                    "nginx".into(),
                    "-e".into(),
                    "stderr".into(),
                    "-c".into(),
                    config,
                ],
            );
            // Said once the sockets are bound.
            match daemon.wait_for("using the \"epoll\" event method") {
                Ok(_) => return Self { daemon, address },
                Err(said) => log = said,
            }
            assert!(log.contains("Address already in use"), "nginx:\n{log}");
        }
        panic!("nginx found no free port in {TRIES} tries:\n{log}");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has written to its access log until now.
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.daemon.dir().join("access.log")).unwrap_or_default()
    }

    /// The first line of its error log that contains this, as soon as it is written.
    #[track_caller]
    pub fn logged(&self, text: &str) -> String {
        self.daemon
            .wait_for(text)
            .unwrap_or_else(|log| panic!("no {text:?} in the error log of nginx:\n{log}"))
    }
}

/// One process in the foreground: it keeps the rights of the test, so it can read the test's files.
fn main_config(dir: &Path, http: &str) -> String {
    let dir = dir.display();
    format!(
        "daemon off; master_process off; pid {dir}/pid; error_log stderr notice;\n\
         events {{ worker_connections 512; }}\n\
         http {{\n\
         access_log {dir}/access.log combined;\n\
         client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
         fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
         {http}\n}}\n"
    )
}

//! The servers that are compared, each with the configuration that is printed in `docs/benchmarks.md`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;

use crate::process::{Daemon, pinned};
use crate::site::{Pair, Site, free_address};

/// Who stands in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The program of this repository.
    Dockgate,
    /// nginx with the settings that cost it least here.
    NginxBest,
    /// nginx as the recipe for a registry has it.
    NginxRecipe,
    /// haproxy with large buffers.
    Haproxy,
    /// caddy.
    Caddy,
}

impl Kind {
    /// As the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dockgate => "dockgate",
            Self::NginxBest => "nginx, tuned",
            Self::NginxRecipe => "nginx, recipe",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
        }
    }
}

/// How a server is to be started.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// The certificate.
    pub pair: &'a Pair,
    /// Asks for a client certificate of this CA.
    pub client_ca: Option<&'a Path>,
    /// Asks for a password of this file.
    pub htpasswd: Option<&'a Path>,
    /// The code for AES with wide vectors is switched off.
    pub masked: bool,
    /// The core.
    pub core: Option<usize>,
    /// The program of this repository.
    pub dockgate: &'a Path,
}

/// A running server.
#[derive(Debug)]
pub struct Peer {
    /// As the table calls it.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Its folder.
    pub dir: PathBuf,
    daemon: Daemon,
}

/// Switches off what OpenSSL and aws-lc know of VAES, VPCLMULQDQ and AVX-512; both read the variable.
const MASK: (&str, &str) = ("OPENSSL_ia32cap", "~0x0:~0x600D0230000");

impl Peer {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.daemon.id()
    }

    fn launch(
        name: &'static str,
        address: SocketAddr,
        tls: bool,
        dir: PathBuf,
        command: Command,
    ) -> Self {
        let mut daemon = Daemon::start(command, dir.join("log"));
        daemon.wait_until_it_accepts(address);
        Self {
            name,
            address,
            tls,
            dir,
            daemon,
        }
    }

    /// A server of this kind before an upstream.
    pub fn in_front(site: &Site, kind: Kind, upstream: SocketAddr, setup: &Setup<'_>) -> Self {
        let mut peer = Self::at(site, kind, free_address(), upstream, setup);
        peer.daemon.wait_until_it_accepts(peer.address);
        peer
    }

    /// The same at an address, without waiting for it.
    pub fn at(
        site: &Site,
        kind: Kind,
        address: SocketAddr,
        upstream: SocketAddr,
        setup: &Setup<'_>,
    ) -> Self {
        let dir = site.folder(&kind.name().replace([',', ' '], "-"));
        let mut command = command_of(kind, address, upstream, setup, &dir);
        if setup.masked {
            command.env(MASK.0, MASK.1);
        }
        Self {
            name: kind.name(),
            address,
            tls: true,
            daemon: Daemon::start(command, dir.join("log")),
            dir,
        }
    }

    /// dockgate before an upstream, or over a store, under callgrind, and what its dumps are called but for their numbers.
    /// Nothing is counted until it is told to: a start takes valgrind most of a minute when it is.
    pub fn counted(
        site: &Site,
        upstream: SocketAddr,
        store: Option<&Path>,
        setup: &Setup<'_>,
    ) -> (Self, PathBuf) {
        let address = free_address();
        let dir = site.folder("counted");
        let backend = store.map_or_else(|| upstream_toml(upstream), filesystem_toml);
        let plain = dockgate(address, &backend, setup, &dir);
        let out = dir.join("counts");
        let mut command = pinned(setup.core, Path::new("valgrind"));
        command
            .args(["--tool=callgrind", "--instr-atstart=no"])
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(setup.dockgate)
            // One worker: how two share work is a matter of luck.
            .env("TOKIO_WORKER_THREADS", "1")
            .args(plain.get_args().skip_while(|word| *word != "--config"));
        (Self::launch("dockgate", address, true, dir, command), out)
    }

    /// dockgate before an upstream, with rules in front of the one that allows everything.
    pub fn with_rules(site: &Site, upstream: SocketAddr, setup: &Setup<'_>, rules: &str) -> Self {
        let address = free_address();
        let dir = site.folder("rules");
        let mut backend = upstream_toml(upstream);
        backend += rules;
        let command = dockgate(address, &backend, setup, &dir);
        Self::launch("dockgate", address, true, dir, command)
    }

    /// The registry of this repository, storing below `root`.
    pub fn embedded(site: &Site, root: &Path, setup: &Setup<'_>) -> Self {
        let address = free_address();
        let dir = site.folder("embedded");
        let command = dockgate(address, &filesystem_toml(root), setup, &dir);
        Self::launch("dockgate, embedded", address, true, dir, command)
    }

    /// Debian's docker-registry, storing below `root`.
    pub fn registry(site: &Site, root: &Path, tls: Option<&Pair>, core: Option<usize>) -> Self {
        let address = free_address();
        let dir = site.folder("registry");
        let root = root.display();
        let mut yaml = format!(
            "version: 0.1\nlog: {{ level: error, accesslog: {{ disabled: true }} }}\n\
             storage:\n  filesystem: {{ rootdirectory: \"{root}\" }}\n  delete: {{ enabled: true }}\n  \
             cache: {{ blobdescriptor: inmemory }}\n  maintenance: {{ uploadpurging: {{ enabled: false }} }}\n\
             http:\n  secret: one-for-the-bench\n  addr: \"{address}\"\n"
        );
        if let Some(pair) = tls {
            let (certificate, key) = (pair.certificate.display(), pair.key.display());
            yaml += &format!("  tls: {{ certificate: \"{certificate}\", key: \"{key}\" }}\n");
        }
        let config = dir.join("config.yml");
        fs::write(&config, yaml).unwrap();
        let mut command = pinned(core, Path::new("docker-registry"));
        command.arg("serve").arg(config);
        let name = if tls.is_some() {
            "docker-registry with TLS"
        } else {
            "docker-registry"
        };
        Self::launch(name, address, tls.is_some(), dir, command)
    }

    /// A registry that takes every upload and keeps nothing of it.
    pub fn sink(site: &Site, core: Option<usize>) -> Self {
        let address = free_address();
        let mut command = pinned(core, &std::env::current_exe().unwrap());
        command.args(["load", "sink", &format!("address={address}")]);
        let dir = site.folder("sink");
        Self::launch("sink", address, false, dir, command)
    }

    /// nginx that answers from memory: a registry that costs next to nothing, so that what stands before it is seen.
    pub fn fast_upstream(site: &Site, core: Option<usize>) -> Self {
        let address = free_address();
        let dir = site.folder("fast");
        let (blob, manifest) = (&site.blob, &site.manifest);
        let server = format!(
            "server {{ listen {address} backlog=4096; keepalive_requests 1000000000; keepalive_timeout 600s; \
             sendfile on; tcp_nopush on; default_type application/octet-stream;\n\
             add_header Docker-Distribution-Api-Version registry/2.0;\n\
             location = /v2/ {{ default_type application/json; return 200 '{{}}'; }}\n\
             location ~ ^/v2/bench/image/manifests/ {{ default_type application/vnd.oci.image.manifest.v1+json; \
             add_header Docker-Content-Digest {}; alias {}; }}\n\
             location ~ ^/v2/bench/image/blobs/ {{ add_header Docker-Content-Digest {}; alias {}; }} }}",
            manifest.digest,
            manifest.file.display(),
            blob.digest,
            blob.file.display()
        );
        let command = nginx(&server, core, &dir);
        Self::launch("static upstream", address, false, dir, command)
    }
}

/// The settings of each peer, as `docs/benchmarks.md` shows them.
pub fn shown() -> Vec<(&'static str, String)> {
    let address = SocketAddr::from(([127, 0, 0, 1], 443));
    let upstream = SocketAddr::from(([127, 0, 0, 1], 5000));
    let pair = Pair {
        certificate: "server.crt".into(),
        key: "server.key".into(),
    };
    let setup = Setup {
        pair: &pair,
        client_ca: None,
        htpasswd: None,
        masked: false,
        core: None,
        dockgate: Path::new("dockgate"),
    };
    let toml = dockgate_toml(
        address,
        &upstream_toml(upstream),
        &setup,
        Path::new("bench"),
    );
    vec![
        ("dockgate", toml),
        (
            "nginx, tuned",
            nginx_server(true, address, upstream, &setup),
        ),
        (
            "nginx, recipe",
            nginx_server(false, address, upstream, &setup),
        ),
        (
            "haproxy",
            haproxy_config(address, upstream, &setup, Path::new("server.pem")),
        ),
        ("caddy", caddyfile(address, upstream, &setup)),
    ]
}

fn command_of(
    kind: Kind,
    address: SocketAddr,
    upstream: SocketAddr,
    setup: &Setup<'_>,
    dir: &Path,
) -> Command {
    match kind {
        Kind::Dockgate => dockgate(address, &upstream_toml(upstream), setup, dir),
        Kind::NginxBest | Kind::NginxRecipe => {
            let server = nginx_server(kind == Kind::NginxBest, address, upstream, setup);
            nginx(&server, setup.core, dir)
        }
        Kind::Haproxy => {
            let config = dir.join("haproxy.cfg");
            let text = haproxy_config(address, upstream, setup, &setup.pair.joined());
            fs::write(&config, text).unwrap();
            let mut command = pinned(setup.core, Path::new("haproxy"));
            command.arg("-db").arg("-f").arg(config);
            command
        }
        Kind::Caddy => {
            let config = dir.join("Caddyfile");
            fs::write(&config, caddyfile(address, upstream, setup)).unwrap();
            let mut command = pinned(setup.core, Path::new("caddy"));
            command.args(["run", "--adapter", "caddyfile", "--config"]);
            command.arg(config).env("HOME", dir);
            command
        }
    }
}

fn upstream_toml(upstream: SocketAddr) -> String {
    format!("[upstream]\nurl = \"http://{upstream}\"\nmax_connections = 4096\n")
}

fn filesystem_toml(root: &Path) -> String {
    let root = root.display();
    format!("[registry.filesystem]\nrootdirectory = \"{root}\"\n")
}

fn dockgate(address: SocketAddr, backend: &str, setup: &Setup<'_>, dir: &Path) -> Command {
    let config = dir.join("proxy.toml");
    fs::write(&config, dockgate_toml(address, backend, setup, dir)).unwrap();
    let mut command = pinned(setup.core, setup.dockgate);
    command.arg("--config").arg(config);
    command
}

fn dockgate_toml(address: SocketAddr, backend: &str, setup: &Setup<'_>, dir: &Path) -> String {
    let (certificate, key) = (setup.pair.certificate.display(), setup.pair.key.display());
    let state = dir.join("state");
    let mut text = format!(
        "state_dir = \"{}\"\n[[listener]]\naddress = \"{address}\"\n[listener.tls]\n\
         certificate = \"{certificate}\"\nkey = \"{key}\"\n",
        state.display()
    );
    if let Some(ca) = setup.client_ca {
        let ca = ca.display();
        text += &format!("client_ca = \"{ca}\"\nclient_auth = \"optional\"\n");
    }
    text += backend;
    text += "[log]\nlevel = \"warn\"\naccess = false\n[limits]\nconnections = 10000\n";
    match setup.htpasswd {
        Some(file) => text += &format!("[auth]\nhtpasswd = \"{}\"\n", file.display()),
        None => {
            text += "[[rule]]\nwho = [\"anonymous\"]\nrepositories = [\"**\"]\nactions = [\"*\"]\n";
        }
    }
    text
}

/// One worker in the foreground, whose temporary files stay in `dir`.
fn nginx(server: &str, core: Option<usize>, dir: &Path) -> Command {
    let config = dir.join("nginx.conf");
    let shown = dir.display();
    let text = format!(
        "daemon off; user root; worker_processes 1; worker_rlimit_nofile 20000; pid {shown}/pid; \
         error_log stderr error;\nevents {{ worker_connections 10000; }}\nhttp {{\n\
         access_log off; client_body_temp_path {shown}/body; proxy_temp_path {shown}/proxy; \
         fastcgi_temp_path {shown}/f; uwsgi_temp_path {shown}/u; scgi_temp_path {shown}/s;\n\
         {}\n}}\n",
        server.replace("LOG", &dir.join("access.log").display().to_string())
    );
    fs::write(&config, text).unwrap();
    let mut command = pinned(core, Path::new("nginx"));
    command.args(["-e", "stderr", "-c"]).arg(config);
    command
}

fn nginx_server(
    tuned: bool,
    address: SocketAddr,
    upstream: SocketAddr,
    setup: &Setup<'_>,
) -> String {
    let (certificate, key) = (setup.pair.certificate.display(), setup.pair.key.display());
    let mut more = String::new();
    if let Some(ca) = setup.client_ca {
        let ca = ca.display();
        more += &format!("ssl_client_certificate {ca}; ssl_verify_client optional;\n");
    }
    if let Some(file) = setup.htpasswd {
        let file = file.display();
        more += &format!("auth_basic \"Registry\"; auth_basic_user_file {file};\n");
    }
    more += if tuned {
        "keepalive_requests 1000000000; keepalive_timeout 600s; tcp_nodelay on;\n\
         proxy_http_version 1.1;\n\
         proxy_request_buffering off; proxy_max_temp_file_size 0;\n\
         proxy_buffers 8 128k; proxy_busy_buffers_size 256k;\n"
    } else {
        "access_log LOG combined;\n"
    };
    // Where a location sets one header for the upstream, it takes over none from outside.
    let (keepalive, connection) = if tuned {
        (
            "keepalive 256; keepalive_requests 1000000000;",
            "proxy_set_header Connection \"\";\n",
        )
    } else {
        ("", "")
    };
    format!(
        "upstream registry {{ server {upstream}; {keepalive} }}\n\
         server {{ listen {address} ssl backlog=4096;\n\
         ssl_certificate {certificate}; ssl_certificate_key {key};\n\
         ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:SSL:10m;\n\
         client_max_body_size 0; chunked_transfer_encoding on;\n{more}\
         location / {{ proxy_pass http://registry; proxy_read_timeout 900;\n\
         {connection}proxy_set_header Host $http_host; proxy_set_header X-Real-IP $remote_addr;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         proxy_set_header X-Forwarded-Proto $scheme; }} }}"
    )
}

fn haproxy_config(
    address: SocketAddr,
    upstream: SocketAddr,
    setup: &Setup<'_>,
    pem: &Path,
) -> String {
    let ask = setup.client_ca.map_or_else(String::new, |ca| {
        format!(" ca-file {} verify optional", ca.display())
    });
    format!(
        "global\n  nbthread 1\n  maxconn 6000\n  tune.bufsize 131072\n  tune.ssl.default-dh-param 2048\n\
         defaults\n  mode http\n  timeout connect 10s\n  timeout client 900s\n  timeout server 900s\n  \
         timeout http-keep-alive 600s\n  option forwardfor\n  http-reuse always\n\
         frontend gate\n  bind {address} ssl crt {}{ask} backlog 4096\n  default_backend registry\n\
         backend registry\n  http-request set-header X-Forwarded-Proto https\n  server one {upstream}\n",
        pem.display()
    )
}

fn caddyfile(address: SocketAddr, upstream: SocketAddr, setup: &Setup<'_>) -> String {
    let (certificate, key) = (setup.pair.certificate.display(), setup.pair.key.display());
    let ask = setup.client_ca.map_or_else(String::new, |ca| {
        format!(
            " {{\n client_auth {{\n mode verify_if_given\n trusted_ca_cert_file {}\n }}\n }}",
            ca.display()
        )
    });
    let password = setup.htpasswd.map_or_else(String::new, |file| {
        let line = fs::read_to_string(file).unwrap();
        let (user, hash) = line.trim().split_once(':').unwrap();
        let hash = base64::engine::general_purpose::STANDARD.encode(hash);
        format!(" basicauth {{\n {user} {hash}\n }}\n")
    });
    format!(
        "{{\n admin off\n auto_https off\n}}\nhttps://:{} {{\n bind {}\n \
         tls {certificate} {key}{ask}\n{password} reverse_proxy {upstream} {{\n flush_interval -1\n }}\n}}\n",
        address.port(),
        address.ip()
    )
}

//! A real ACME server: Let's Encrypt's Pebble, with a DNS of its own in which every name is this machine.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::json;
use tempfile::TempDir;

use super::certs::{Authority, Pair};
use super::dialog::{Answer, Dialog, PATIENCE, Tls};
use super::peers;
use super::process::Daemon;

/// How often another process may snatch a port between our look and the bind.
const TRIES: usize = 5;

/// A running Pebble. What it asks of port 443 and 80 of a name comes to [`Pebble::prove_at`].
#[derive(Debug)]
pub struct Pebble {
    daemon: Daemon,
    _names: Daemon,
    authority: Arc<Authority>,
    door: Door,
    api: SocketAddr,
    management: SocketAddr,
}

/// A port of this machine that leads to wherever it is told to. Who comes before it is told waits.
#[derive(Clone, Debug)]
pub struct Door {
    address: SocketAddr,
    told: Arc<(Mutex<Way>, Condvar)>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Way {
    #[default]
    Unknown,
    To(SocketAddr),
    Nowhere,
}

/// What a Pebble is like.
#[derive(Clone, Debug, Default)]
pub struct Kind {
    /// Accounts need these credentials: key id, and key in base64url.
    pub binding: Option<(&'static str, &'static str)>,
    /// Seconds for which its certificates are good.
    pub validity: Option<u64>,
    /// So many of a hundred nonces it does not take.
    pub bad_nonces: Option<u32>,
}

/// Whether Pebble is here. If not, the test is to return at once.
#[must_use]
#[track_caller]
pub fn need_pebble() -> bool {
    let there = ["pebble", "pebble-challtestsrv"]
        .iter()
        .all(|p| program(p).is_file());
    there || peers::skip("pebble is not installed (scripts/setup-peers installs it)")
}

fn program(name: &str) -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    let folder = env::var_os("DOCKGATE_PEERS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| cache.unwrap_or_default().join("dockgate/peers"));
    folder.join("pebble/bin").join(name)
}

impl Door {
    /// A port that leads nowhere yet.
    pub fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let door = Self {
            address: listener.local_addr().unwrap(),
            told: Arc::default(),
        };
        let told = Arc::clone(&door.told);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let told = Arc::clone(&told);
                thread::spawn(move || {
                    let unknown = |way: &mut Way| matches!(way, Way::Unknown);
                    let way = told.0.lock().unwrap();
                    let way = told.1.wait_timeout_while(way, PATIENCE, unknown);
                    let Way::To(target) = *way.unwrap().0 else {
                        return;
                    };
                    if let Ok(server) = TcpStream::connect(target) {
                        join(&client, &server);
                        join(&server, &client);
                    }
                });
            }
        });
        door
    }

    /// From now on it leads there.
    pub fn lead_to(&self, target: SocketAddr) {
        self.tell(Way::To(target));
    }

    /// From now on it leads nowhere.
    pub fn close(&self) {
        self.tell(Way::Nowhere);
    }

    fn tell(&self, way: Way) {
        *self.told.0.lock().unwrap() = way;
        self.told.1.notify_all();
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The address of the directory behind it.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port())
    }
}

fn join(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}

impl Pebble {
    /// Starts one that issues as it does by default.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_as(&Kind::default())
    }

    /// Starts one of this kind.
    #[track_caller]
    pub fn start_as(kind: &Kind) -> Self {
        let authority = Arc::new(Authority::new("the CA of the authority's own server"));
        Self::start_with(kind, &authority)
    }

    /// Starts one whose own server has a certificate of this CA.
    #[track_caller]
    pub fn start_with(kind: &Kind, authority: &Arc<Authority>) -> Self {
        let mut log = String::new();
        for _ in 0..TRIES {
            match Self::try_start(kind, authority) {
                Ok(pebble) => return pebble,
                Err(said) => log = said,
            }
            assert!(log.contains("address already in use"), "pebble:\n{log}");
        }
        panic!("pebble found no free ports in {TRIES} tries:\n{log}");
    }

    fn try_start(kind: &Kind, authority: &Arc<Authority>) -> Result<Self, String> {
        let [dns, control] = free_ports();
        let names: [String; 15] = [
            program("pebble-challtestsrv").display().to_string(),
            "-dnsserver".into(),
            dns.to_string(),
            "-management".into(),
            control.to_string(),
            "-defaultIPv4".into(),
            "127.0.0.1".into(),
            "-defaultIPv6".into(),
            String::new(),
            "-http01".into(),
            String::new(),
            "-https01".into(),
            String::new(),
            "-tlsalpn01".into(),
            String::new(),
        ];
        let dir = TempDir::with_prefix("dockgate-names-").unwrap();
        let names = Daemon::start(
            dir,
            &[&names[..], &["-doh".to_owned(), String::new()]].concat(),
        );
        names.wait_for("Starting management server")?;

        let door = Door::new();
        let [api, management] = free_ports();
        let pair = authority.server_for(&["localhost", "127.0.0.1"]);
        let dir = TempDir::with_prefix("dockgate-pebble-").unwrap();
        let config = dir.path().join("pebble.json");
        let bindings = kind.binding.map(|(id, key)| json!({ id: key }));
        let document = json!({ "pebble": {
            "listenAddress": api.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": pair.certificate,
            "privateKey": pair.key,
            "httpPort": door.port(),
            "tlsPort": door.port(),
            "externalAccountBindingRequired": kind.binding.is_some(),
            "externalAccountMACKeys": bindings.unwrap_or(json!({})),
            "retryAfter": { "authz": 1, "order": 1 },
            "keyAlgorithm": "ecdsa",
            "profiles": { "default": {
                "description": "the one of the test",
                "validityPeriod": kind.validity.unwrap_or(90 * 24 * 3600),
            } },
        } });
        fs::write(&config, document.to_string()).unwrap();
        let argv: [String; 9] = [
            "env".into(),
            "PEBBLE_VA_NOSLEEP=1".into(),
            // Nonces that are no good are part of the protocol.
            format!("PEBBLE_WFE_NONCEREJECT={}", kind.bad_nonces.unwrap_or(10)),
            "PEBBLE_AUTHZREUSE=0".into(),
            program("pebble").display().to_string(),
            "-config".into(),
            config.display().to_string(),
            "-dnsserver".into(),
            dns.to_string(),
        ];
        let daemon = Daemon::start(dir, &argv);
        daemon.wait_for("ACME directory available at")?;
        let pebble = Self {
            daemon,
            _names: names,
            authority: Arc::clone(authority),
            door,
            api,
            management,
        };
        // It says so before it listens; what was said last when it cannot is "address already in use".
        pebble.listens()?;
        Ok(pebble)
    }

    fn listens(&self) -> Result<(), String> {
        for address in [self.api, self.management] {
            while TcpStream::connect(address).is_err() {
                if self.daemon.log().contains("address already in use") {
                    return Err(self.daemon.log());
                }
                thread::yield_now();
            }
        }
        Ok(())
    }

    /// `[acme]` for these names, as far as it is the same in every test.
    pub fn toml(&self, names: &[&str]) -> String {
        self.toml_at(&self.directory(), names)
    }

    /// The same, for a directory that is reached elsewhere.
    pub fn toml_at(&self, directory: &str, names: &[&str]) -> String {
        format!(
            "[acme]\nnames = {names:?}\naccept_terms = true\ndirectory = {directory:?}\ndirectory_ca = \"{}\"\n",
            self.authority.ca().display()
        )
    }

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.api.port())
    }

    /// A certificate of the CA that its own server has one of.
    pub fn pair_for(&self, name: &str) -> Pair {
        self.authority.server_for(&[name])
    }

    /// Where its server is.
    pub fn address(&self) -> SocketAddr {
        self.api
    }

    /// Sends it there when it looks for the proof of a name; until this is said, it waits.
    pub fn prove_at(&self, address: SocketAddr) {
        self.door.lead_to(address);
    }

    /// The CA that its certificates come from in the end, as a file of its folder.
    #[track_caller]
    pub fn root(&self) -> PathBuf {
        let root = self.manage("GET", "/roots/0", b"");
        assert_eq!(root.status, 200, "{}", root.head);
        let path = self.daemon.dir().join("root.pem");
        fs::write(&path, root.body).unwrap();
        path
    }

    /// From now on it wants this certificate to be renewed at once.
    #[track_caller]
    pub fn wants_renewal_of(&self, certificate: &Path) {
        let pem = fs::read_to_string(certificate).unwrap();
        let end = "-----END CERTIFICATE-----\n";
        let leaf = &pem[..pem.find(end).unwrap() + end.len()];
        let window = json!({ "suggestedWindow": {
            "start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z",
        } });
        let asked = json!({ "Certificate": leaf, "ARIResponse": window.to_string() });
        let answer = self.manage("POST", "/set-renewal-info/", asked.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{} {}", answer.head, answer.text());
    }

    /// Whether it has this in its log as soon as it is there; all of the log if not.
    #[track_caller]
    pub fn logged(&self, text: &str) -> String {
        self.daemon
            .wait_for(text)
            .unwrap_or_else(|log| panic!("no {text:?} in the log of pebble:\n{log}"))
    }

    /// What it has logged until now.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    #[track_caller]
    fn manage(&self, method: &str, target: &str, body: &[u8]) -> Answer {
        let tls = Tls::new(self.authority.ca(), "localhost");
        let mut dialog = Dialog::tls(self.management, &tls);
        dialog.ask(method, target, &[("User-Agent", "the test")], body)
    }
}

/// Two ports that were free a moment ago, for TCP and UDP.
fn free_ports() -> [SocketAddr; 2] {
    let look = || {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = tcp.local_addr().unwrap();
        UdpSocket::bind(address).ok().map(|udp| (tcp, udp, address))
    };
    let (one, other) = (
        (0..TRIES).find_map(|_| look()).unwrap(),
        (0..TRIES).find_map(|_| look()).unwrap(),
    );
    [one.2, other.2]
}

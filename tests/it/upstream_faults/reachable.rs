//! Names, certificates and crowds on the way to the registry.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;
use tokio::time::Instant;

use super::OK;
use crate::support::ask::ask;
use crate::support::certs::{Authority, Pair};
use crate::support::figures::{CONNECTIONS, FAULTS, tell};
use crate::support::fronts::Fronts;
use crate::support::peers;
use crate::support::program::Program;
use crate::support::raw::Raw;
use crate::support::scrape::until_ready_says;
use crate::support::upstream::{Next, Upstream};

/// No wait is longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A registry with TLS whose certificate can be changed while it runs.
struct Encrypted {
    address: SocketAddr,
    shown: Arc<Mutex<Arc<ServerConfig>>>,
}

impl Encrypted {
    fn start(pair: &Pair) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shown = Arc::new(Mutex::new(config(pair)));
        let now = Arc::clone(&shown);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let config = Arc::clone(&now.lock().unwrap());
                thread::spawn(move || {
                    let tls = ServerConnection::new(config).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let mut tls = StreamOwned::new(tls, stream);
                    // A gate that does not like the certificate goes away.
                    if tls.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                        let close = OK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
                        let _ = tls.write_all(close.as_bytes());
                        tls.conn.send_close_notify();
                        let _ = tls.flush();
                    }
                });
            }
        });
        Self { address, shown }
    }

    fn show(&self, pair: &Pair) {
        *self.shown.lock().unwrap() = config(pair);
    }
}

fn config(pair: &Pair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_file_iter(&pair.certificate).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            chain.map(Result::unwrap).collect(),
            PrivateKeyDer::from_pem_file(&pair.key).unwrap(),
        );
    Arc::new(config.unwrap())
}

/// Valid in these years alone.
fn certificate(authority: &Authority, file: &str, from: i32, until: i32) -> Pair {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    authority.issue(file, params, ExtendedKeyUsagePurpose::ServerAuth)
}

#[test]
fn u1_n35_a_registry_with_a_bad_certificate_is_a_502_with_its_cause_in_the_log_and_used_again_when_it_has_a_good_one()
 {
    let (authority, other) = (Authority::new("inner"), Authority::new("other"));
    let expired = certificate(&authority, "expired", 2020, 2021);
    let early = certificate(&authority, "early", 2090, 2091);
    let client = {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        authority.issue("client", params, ExtendedKeyUsagePurpose::ClientAuth)
    };
    let registry = Encrypted::start(&expired);
    let gate = Program::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[upstream]\n\
         url = \"https://localhost:{}\"\nca = \"{}\"\n[auth]\nanonymous = \"pull\"\n",
        registry.address.port(),
        authority.ca().display()
    ));
    let (address, admin) = (gate.address(0), gate.admin());
    let pull = || ask(address, "GET /v2/a/manifests/1", &[], b"");
    let bad = [
        (expired, "Expired"),
        (early, "NotValidYet"),
        (other.server_for(&["localhost"]), "UnknownIssuer"),
        (authority.server_for(&["elsewhere.test"]), "NotValidForName"),
        (client, "InvalidPurpose"),
    ];
    let good = authority.server_for(&["localhost"]);
    for (n, (pair, cause)) in bad.iter().enumerate() {
        registry.show(pair);
        let reply = pull();
        assert_eq!(reply.status, 502, "{cause}: {reply:#?}");
        assert_eq!(reply.error().0, "UNAVAILABLE");
        let id = reply.one("x-request-id").to_owned();
        assert!(reply.body.contains(&id), "{reply:#?}");
        assert!(
            !reply.body.to_lowercase().contains("certificate"),
            "{reply:#?}"
        );
        let line = gate.err_line(&id);
        let told = cause_of(&line, cause);
        assert!(told, "{cause} is not in {line}");
        until_ready_says(admin, 503, "upstream");
        registry.show(&good);
        let reply = pull();
        assert_eq!(reply.status, 200, "round {n}: {reply:#?}");
        until_ready_says(admin, 200, "");
    }
    tell(FAULTS, bad.len());
}

/// The log names the cause in the words of rustls.
fn cause_of(line: &str, cause: &str) -> bool {
    let words = match cause {
        "Expired" => "expired",
        "NotValidYet" => "not valid yet",
        "UnknownIssuer" => "UnknownIssuer",
        "NotValidForName" => "not valid for name",
        _ => "does not allow extended key usage",
    };
    line.to_lowercase().contains(&words.to_lowercase())
}

/// Names are looked up for each new connection, so that a registry may move.
#[test]
fn u1_a_registry_that_moved_to_another_address_is_found_again() {
    if !peers::need(&["unshare", "mount"]) {
        return;
    }
    let answer = |name: &'static str| {
        move |request: &mut crate::support::upstream::Request<'_>| {
            request.read_body().unwrap();
            request.say(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n{name}"
            ));
            Next::Close
        }
    };
    let old = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = old.local_addr().unwrap().port();
    let Ok(new) = TcpListener::bind(("127.0.0.2", port)) else {
        // Somebody else has it there; the next run has another port.
        return;
    };
    let _old = Upstream::on(old, answer("old"));
    let _new = Upstream::on(new, answer("new"));
    let dir = TempDir::with_prefix("dockgate-moved-").unwrap();
    let hosts = dir.path().join("hosts");
    fs::write(&hosts, "127.0.0.1 localhost moving.test\n").unwrap();
    fs::write(
        dir.path().join("proxy.toml"),
        format!("[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://moving.test:{port}\"\n[auth]\nanonymous = \"pull\"\n"),
    )
    .unwrap();
    let script = "mount --bind hosts /etc/hosts && exec \"$0\" serve";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", script])
        .arg(env!("CARGO_BIN_EXE_dockgate"))
        .env("TZ", "UTC")
        .stdout(Stdio::null());
    let gate = Program::spawn(dir, command);
    gate.err_line("listening");
    let pull = || ask(gate.address(0), "GET /v2/a/manifests/1", &[], b"");
    assert_eq!(pull().body, "old");
    fs::write(&hosts, "127.0.0.2 localhost moving.test\n").unwrap();
    assert_eq!(pull().body, "new");
    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    assert_eq!(pull().status, 502, "no such name");
    fs::write(&hosts, "127.0.0.1 localhost moving.test\n").unwrap();
    assert_eq!(pull().body, "old");
}

#[test]
fn u8_five_hundred_requests_to_a_slow_registry_take_bounded_places_and_the_rest_is_told_to_come_back()
 {
    const CLIENTS: usize = 500;
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let upstream = Upstream::start(move |request| {
        request.read_body().unwrap();
        // Until the test drops its end.
        let _ = gate.lock().unwrap().recv_timeout(PATIENCE);
        request.say(OK);
        Next::Keep
    });
    let fronts = Fronts::before(&upstream.url(), "max_connections = 20");
    let begin = Instant::now();
    let mut clients: Vec<Raw> = (0..CLIENTS).map(|_| fronts.plain()).collect();
    for client in &mut clients {
        client.send("GET /v2/a/manifests/1 HTTP/1.1\r\nHost: gate\r\n\r\n");
    }
    // Ten of the twenty places and ten to wait are for one address.
    let mut refused = 0;
    while clients.len() > 20 {
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "nobody waits who need not"
        );
        let mut pending = Vec::new();
        for mut client in clients {
            client.set_patience(Duration::from_millis(2));
            match client.read_until(b"\r\n\r\n") {
                Ok(head) => {
                    let head = String::from_utf8_lossy(&head).into_owned();
                    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
                    assert!(head.to_lowercase().contains("\r\nretry-after: "), "{head}");
                    refused += 1;
                }
                Err((got, _)) => {
                    assert!(got.is_empty(), "half an answer");
                    pending.push(client);
                }
            }
        }
        clients = pending;
    }
    assert_eq!(refused + clients.len(), CLIENTS);
    assert!(upstream.connections() <= 20, "{}", upstream.connections());
    drop(open);
    for client in &mut clients {
        client.set_patience(PATIENCE);
        assert_eq!(client.answer().status(), 200);
    }
    let mut next = fronts.plain();
    next.send("GET /v2/a/manifests/1 HTTP/1.1\r\nHost: gate\r\n\r\n");
    assert_eq!(next.answer().status(), 200);
    assert!(upstream.connections() <= 20, "{}", upstream.connections());
    tell(CONNECTIONS, CLIENTS);
}

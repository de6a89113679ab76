//! Where and how clients connect: addresses, certificates by name, versions, PROXY headers, and what goes wrong there.

mod handshakes;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;

use crate::support::certs::{Authority, Pair};
use crate::support::dialog::{Dialog, Tls};
use crate::support::gate::Gate;
use crate::support::origin::Origin;
use crate::support::peers;
use crate::support::process::{self, Outcome};
use crate::support::program::{Program, dockgate};

const NAME: &str = peers::NAME;

/// The end of every configuration here: an upstream, and reading for all.
fn rest(origin: &Origin) -> String {
    let url = origin.url();
    format!("[upstream]\nurl = \"{url}\"\n[auth]\nanonymous = \"pull\"\n[log]\nlevel = \"debug\"\n")
}

fn tls(pair: &Pair) -> String {
    let (certificate, key) = (pair.certificate.display(), pair.key.display());
    format!("certificate = \"{certificate}\"\nkey = \"{key}\"\n")
}

fn tls_listener(pair: &Pair) -> String {
    let tls = tls(pair);
    format!("[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\n{tls}")
}

#[test]
fn all_kinds_of_listeners_serve_at_once() {
    let origin = Origin::start();
    let authority = Authority::new("listeners");
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("gate.sock");
    let gate = Gate::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"[::1]:0\"\n\
         [[listener]]\naddress = \"unix:{}\"\n{}{}",
        socket.display(),
        tls_listener(&authority.server()),
        rest(&origin)
    ));
    let client = Tls::new(authority.ca(), NAME);
    for mut dialog in [
        Dialog::tcp(gate.address_of(0)),
        Dialog::tcp(gate.address_of(1)),
        Dialog::unix(&socket),
        Dialog::tls(gate.address_of(3), &client),
    ] {
        assert_eq!(dialog.get("/v2/").status, 200);
    }
    assert!(gate.address_of(1).is_ipv6());
    let forwarded: Vec<String> = origin
        .seen()
        .iter()
        .map(|seen| {
            let told = |name| seen.header(name).join("|");
            format!("{} {}", told("x-forwarded-proto"), told("x-forwarded-for"))
        })
        .collect();
    assert_eq!(
        forwarded,
        ["http 127.0.0.1", "http ::1", "http ", "https 127.0.0.1"]
    );
}

#[test]
fn the_proxy_protocol_tells_the_client_and_must_be_spoken() {
    let origin = Origin::start();
    let authority = Authority::new("proxy");
    let program = Program::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n[listener.tls]\n{}{}",
        tls(&authority.server()),
        rest(&origin)
    ));
    let v1 = b"PROXY TCP4 203.0.113.9 10.0.0.1 4242 443\r\n";
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend_from_slice(&[198, 51, 100, 7, 10, 0, 0, 1, 0x10, 0x92, 1, 0xbb]);

    let mut dialog = Dialog::tcp(program.address(0));
    dialog.send(v1).unwrap();
    assert_eq!(dialog.get("/v2/one/tags/list").status, 200);
    let client = Tls::new(authority.ca(), NAME);
    let mut dialog = Dialog::tls_after(program.address(1), &v2, &client);
    assert_eq!(dialog.get("/v2/two/tags/list").status, 200);

    for (path, address) in [("/v2/one", "203.0.113.9"), ("/v2/two", "198.51.100.7")] {
        let seen = origin.got(path);
        assert_eq!(seen.header("x-forwarded-for"), [address]);
        assert_eq!(seen.header("x-real-ip"), [address]);
        let line = program.out_line(path);
        assert!(line.starts_with(&format!("{address} - - [")), "{line}");
    }

    let mut dialog = Dialog::tcp(program.address(0));
    dialog
        .request("GET", "/v2/three/tags/list", &[], b"")
        .unwrap();
    assert_eq!(
        dialog.until_the_end().unwrap_or_default(),
        b"",
        "not a word"
    );
    assert!(!format!("{:?}", origin.seen()).contains("three"));
    program.err_line("does not begin with a PROXY header");
}

#[test]
fn c4_an_address_that_is_taken_or_forbidden_is_named_with_the_cure() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("gate.sock");
    fs::write(&file, "not a socket").unwrap();
    for (address, words) in [
        (address, "another process (or file) has it"),
        (
            format!("unix:{}", file.display()),
            "another process (or file) has it",
        ),
        ("192.0.2.1:0".to_owned(), "does not have the address"),
    ] {
        let (code, said) = refused(&address, dockgate());
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&address) && said.contains(words), "{said}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"not a socket");

    let lowest = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if lowest.unwrap().trim().parse::<u16>().unwrap() > 443 && peers::need(&["setpriv"]) {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(env!("CARGO_BIN_EXE_dockgate")).env_clear();
        let (code, said) = refused("127.0.0.1:443", command);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("cannot listen on 127.0.0.1:443") && said.contains("setcap"),
            "{said}"
        );
    }
}

/// A listener on a public address says so in words that stop nobody: `plaintext`.
fn refused(address: &str, mut command: Command) -> (Option<i32>, String) {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let toml = format!(
        "[[listener]]\naddress = \"{address}\"\nplaintext = true\n[upstream]\nurl = \"http://127.0.0.1:1\"\n[auth]\nanonymous = \"pull\"\n"
    );
    fs::write(folder.path().join("proxy.toml"), toml).unwrap();
    command.arg("serve").stdout(Stdio::null());
    let (code, _, said) = Program::spawn(folder, command).end();
    (code, said)
}

#[test]
fn a_socket_file_of_a_dead_process_is_taken_over_and_one_in_use_is_not() {
    let origin = Origin::start();
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("gate.sock");
    let toml = format!(
        "[[listener]]\naddress = \"unix:{}\"\n{}",
        socket.display(),
        rest(&origin)
    );
    let program = Program::start(&toml);
    let (code, said) = refused(&format!("unix:{}", socket.display()), dockgate());
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(Dialog::unix(&socket).get("/v2/").status, 200);
    program.signal(rustix::process::Signal::KILL);
    program.end();
    assert!(socket.exists(), "nobody was left to remove it");
    let _program = Program::start(&toml);
    assert_eq!(Dialog::unix(&socket).get("/v2/").status, 200);
}

#[test]
fn strict_transport_security_is_on_every_tls_answer_and_on_no_other() {
    let origin = Origin::start();
    let authority = Authority::new("hsts");
    let gate = Gate::start(&format!(
        "{}[[listener]]\naddress = \"127.0.0.1:0\"\n{}",
        tls_listener(&authority.server()),
        rest(&origin)
    ));
    let broken = Gate::start(&format!(
        "{}[upstream]\nurl = \"http://127.0.0.1:1\"\n[auth]\nanonymous = \"pull\"\n[log]\naccess = false\n",
        tls_listener(&authority.server())
    ));
    let client = Tls::new(authority.ca(), NAME);
    let big = format!(
        "GET /v2/ HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    for (request, status) in [
        ("GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET /_ping HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (
            "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            401,
        ),
        ("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("BREW /v2/ HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET /v2/a/../b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /v2/ HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n", 400),
        (big.as_str(), 431),
    ] {
        let mut secure = Dialog::tls(gate.address_of(0), &client);
        secure.send(request.as_bytes()).unwrap();
        let answer = secure.answer("GET").unwrap();
        assert_eq!(answer.status, status, "{}", answer.head);
        assert_eq!(
            answer.header("strict-transport-security"),
            Some("max-age=31536000; includeSubDomains"),
            "{}",
            answer.head
        );
        let mut plain = Dialog::tcp(gate.address_of(1));
        plain.send(request.as_bytes()).unwrap();
        let answer = plain.answer("GET").unwrap();
        assert_eq!(answer.status, status, "{}", answer.head);
        assert_eq!(answer.headers("strict-transport-security").count(), 0);
    }
    let answer = Dialog::tls(broken.address(), &client).get("/v2/");
    assert_eq!(answer.status, 502);
    assert!(answer.header("strict-transport-security").is_some());
}

#[test]
fn beyond_the_bound_the_newest_connection_is_refused() {
    let origin = Origin::start();
    let gate = Gate::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n{}[limits]\nconnections = 3\n",
        rest(&origin)
    ));
    let mut served: Vec<_> = (0..3).map(|_| Dialog::tcp(gate.address())).collect();
    for dialog in &mut served {
        assert_eq!(dialog.get("/v2/").status, 200);
    }
    let mut newest = Dialog::tcp(gate.address());
    newest.is_closed();
    for dialog in &mut served {
        assert_eq!(dialog.get("/v2/").status, 200, "those who are served go on");
    }
    drop(served.pop());
    // The place is free as soon as the gate has seen the end.
    let free = (0..1000).any(|_| {
        let mut dialog = Dialog::tcp(gate.address());
        dialog.request("GET", "/v2/", &[], b"").is_ok() && dialog.answer("GET").is_ok()
    });
    assert!(free);
}

#[test]
fn c5_files_that_cannot_be_used_are_named_at_the_start() {
    let authority = Authority::new("files");
    let (pair, other) = (authority.server(), authority.server_for(&["other.test"]));
    let mixed = Pair {
        key: other.key,
        ..pair.clone()
    };
    let missing = Pair {
        certificate: Path::new("/nowhere/x.crt").to_owned(),
        ..pair
    };
    for (pair, words) in [
        (&mixed, "is not the key of the certificate"),
        (&missing, "/nowhere/x.crt: cannot be read"),
    ] {
        let folder = TempDir::new().unwrap();
        let toml = format!(
            "{}[upstream]\nurl = \"http://127.0.0.1:1\"\n",
            tls_listener(pair)
        );
        fs::write(folder.path().join("proxy.toml"), toml).unwrap();
        let mut command = dockgate();
        command.arg("serve").stdout(Stdio::null());
        let (code, _, said) = Program::spawn(folder, command).end();
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

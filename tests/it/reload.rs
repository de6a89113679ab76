//! Everything that changes while the gate runs: certificates, passwords, the configuration; and nothing that fails.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::support::certs::{Authority, Pair};
use crate::support::dialog::{Dialog, Tls};
use crate::support::origin::{Origin, SLOW};
use crate::support::peers::NAME;
use crate::support::program::Program;

const TLS: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"certs/tls.crt\"\nkey = \"certs/tls.key\"\n";

fn toml(origin: &Origin, auth: &str) -> String {
    format!(
        "{TLS}[upstream]\nurl = \"{}\"\n[auth]\n{auth}\n",
        origin.url()
    )
}

/// Puts a pair where the configuration has it, each file by a rename.
fn put(pair: &Pair, dir: &Path) {
    put_file(&pair.certificate, &dir.join("tls.crt"));
    put_file(&pair.key, &dir.join("tls.key"));
}

fn put_file(from: &Path, to: &Path) {
    let beside = to.with_extension("new");
    fs::copy(from, &beside).unwrap();
    fs::rename(beside, to).unwrap();
}

fn leaf(pair: &Pair) -> Vec<u8> {
    CertificateDer::from_pem_file(&pair.certificate)
        .unwrap()
        .to_vec()
}

fn start(origin: &Origin, auth: &str, pair: &Pair) -> Program {
    Program::start_with(&toml(origin, auth), |dir| {
        fs::create_dir(dir.join("certs")).unwrap();
        put(pair, &dir.join("certs"));
        fs::write(dir.join("htpasswd"), "ann:{PLAIN}secret\n").unwrap();
    })
}

/// The certificate that a new connection is shown.
fn shown(program: &Program, authority: &Authority) -> Vec<u8> {
    let mut dialog = Dialog::tls(program.address(0), &Tls::new(authority.ca(), NAME));
    dialog.handshake().unwrap();
    dialog.certificate().unwrap()
}

#[test]
fn c5_c7_n59_a_new_certificate_is_for_new_connections_and_half_of_one_for_none() {
    let (origin, authority) = (Origin::start(), Authority::new("swap"));
    let (first, second) = (
        authority.server(),
        authority.server_for(&["second.test", NAME]),
    );
    assert_ne!(leaf(&first), leaf(&second));
    let program = start(&origin, "anonymous = \"pull\"", &first);
    let mut open = Dialog::tls(program.address(0), &Tls::new(authority.ca(), NAME));
    assert_eq!(open.get("/v2/").status, 200);
    assert_eq!(shown(&program, &authority), leaf(&first));

    // The key of one with the certificate of the other: as between the two steps of a careless renewal.
    put_file(&second.certificate, &program.path("certs/tls.crt"));
    let told = program.err_line("certificates not reloaded, the old ones stay");
    assert!(told.contains("is not the key of the certificate"), "{told}");
    assert!(told.contains("reload_failed"), "{told}");
    assert_eq!(shown(&program, &authority), leaf(&first));

    put_file(&second.key, &program.path("certs/tls.key"));
    program.err_line("reload: reloaded");
    assert_eq!(shown(&program, &authority), leaf(&second));
    assert_eq!(open.get("/v2/").status, 200, "old connections go on");

    fs::remove_file(program.path("certs/tls.key")).unwrap();
    program.err_times("certificates not reloaded, the old ones stay", 2);
    assert_eq!(shown(&program, &authority), leaf(&second));
}

#[test]
fn c7_kubernetes_swaps_a_whole_folder_by_one_link() {
    let (origin, authority) = (Origin::start(), Authority::new("links"));
    let (first, second) = (
        authority.server(),
        authority.server_for(&["second.test", NAME]),
    );
    let toml = toml(&origin, "anonymous = \"pull\"");
    let program = Program::start_with(&toml, |dir| {
        let certs = dir.join("certs");
        for (name, pair) in [("..1", &first), ("..2", &second)] {
            fs::create_dir_all(certs.join(name)).unwrap();
            put(pair, &certs.join(name));
        }
        symlink("..1", certs.join("..data")).unwrap();
        for name in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{name}"), certs.join(name)).unwrap();
        }
    });
    assert_eq!(shown(&program, &authority), leaf(&first));
    symlink("..2", program.path("certs/..data_tmp")).unwrap();
    fs::rename(
        program.path("certs/..data_tmp"),
        program.path("certs/..data"),
    )
    .unwrap();
    fs::remove_dir_all(program.path("certs/..1")).unwrap();
    program.err_line("reload: reloaded");
    assert_eq!(shown(&program, &authority), leaf(&second));
}

#[test]
fn c7_n59_the_configuration_changes_while_it_runs_and_a_broken_one_changes_nothing() {
    let (origin, authority) = (Origin::start(), Authority::new("configuration"));
    let program = start(&origin, "htpasswd = \"htpasswd\"", &authority.server());
    let file = program.path("proxy.toml");
    let mut open = Dialog::tls(program.address(0), &Tls::new(authority.ca(), NAME));
    assert_eq!(open.get("/v2/a/manifests/1").status, 401);

    let pull = toml(&origin, "htpasswd = \"htpasswd\"\nanonymous = \"pull\"");
    fs::write(&file, &pull).unwrap();
    program.err_times("reload: reloaded", 1);
    assert_eq!(
        open.get("/v2/a/manifests/1").status,
        200,
        "on an open connection too"
    );

    for (broken, words) in [
        (format!("{pull}anonymus = \"none\"\n"), "did you mean"),
        (pull.replace("\"pull\"", "\"push\""), "proxy.toml:"),
        ("[[listener".to_owned(), "proxy.toml:1"),
        (pull.replace("\"htpasswd\"", "\"nowhere\""), "nowhere"),
        (pull.replace("certs/tls.key", "certs/none.key"), "none.key"),
    ] {
        let before = program.stderr().matches("the old one stays").count();
        fs::write(&file, &broken).unwrap();
        program.err_times("the old one stays", before + 1);
        let said = program.stderr();
        let told = said.lines().rfind(|l| l.contains("the old one stays"));
        assert!(told.unwrap().contains(words), "{words}:\n{said}");
        assert_eq!(open.get("/v2/a/manifests/1").status, 200);
    }
    fs::remove_file(&file).unwrap();
    program.err_line("No such file");
    assert_eq!(open.get("/v2/a/manifests/1").status, 200);

    fs::write(&file, toml(&origin, "htpasswd = \"htpasswd\"")).unwrap();
    program.err_times("reload: reloaded", 2);
    assert_eq!(open.get("/v2/a/manifests/1").status, 401);
    assert_eq!(shown(&program, &authority), leaf(&authority_leaf(&program)));
}

fn authority_leaf(program: &Program) -> Pair {
    Pair {
        certificate: program.path("certs/tls.crt"),
        key: program.path("certs/tls.key"),
    }
}

#[test]
fn c9_what_needs_a_restart_is_named_and_the_rest_is_taken() {
    let (origin, authority) = (Origin::start(), Authority::new("frozen"));
    let program = start(&origin, "htpasswd = \"htpasswd\"", &authority.server());
    let more = toml(&origin, "htpasswd = \"htpasswd\"\nanonymous = \"pull\"")
        + "[[listener]]\naddress = \"127.0.0.1:1\"\n[limits]\nconnections = 7\n";
    fs::write(program.path("proxy.toml"), more).unwrap();
    program.err_line("reload: reloaded");
    for words in [
        "127.0.0.1:1 stays closed",
        "limits.connections: 10000 stays",
    ] {
        let line = program.err_line(words);
        assert!(line.contains("WARN") && line.contains("restart"), "{line}");
    }
    let mut dialog = Dialog::tls(program.address(0), &Tls::new(authority.ca(), NAME));
    assert_eq!(dialog.get("/v2/a/manifests/1").status, 200);
}

#[test]
fn a_storm_of_signals_does_no_harm_and_the_last_change_counts() {
    let (origin, authority) = (Origin::start(), Authority::new("storm"));
    let program = start(&origin, "htpasswd = \"htpasswd\"", &authority.server());
    let mut open = Dialog::tls(program.address(0), &Tls::new(authority.ca(), NAME));
    for _ in 0..500 {
        program.signal(Signal::HUP);
    }
    assert_eq!(open.get("/v2/").status, 401);
    let pull = toml(&origin, "anonymous = \"pull\"");
    fs::write(program.path("proxy.toml"), pull).unwrap();
    program.signal(Signal::HUP);
    // A signal that comes while others wait may be the one that is dropped; then the watch sees the change.
    let deadline = tokio::time::Instant::now() + crate::support::dialog::PATIENCE;
    while open.get("/v2/").status != 200 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{}",
            program.stderr()
        );
    }
}

#[test]
fn twenty_reloads_under_load_fail_nobody() {
    const RELOADS: usize = 20;
    let (origin, authority) = (Origin::start(), Authority::new("load"));
    let pairs = [
        authority.server(),
        authority.server_for(&["second.test", NAME]),
    ];
    let program = start(&origin, "htpasswd = \"htpasswd\"", &pairs[0]);
    let (address, tls) = (program.address(0), Tls::new(authority.ca(), NAME));
    let login = [("Authorization", "Basic YW5uOnNlY3JldA==")];
    let mut download = Dialog::tls(address, &tls);
    download
        .request("GET", "/v2/slow/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", &login, b"")
        .unwrap();
    assert_eq!(download.head().unwrap().0, 200);
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for lasting in [true, true, false, false] {
            let (over, served, tls) = (&over, &served, &tls);
            scope.spawn(move || {
                let mut dialog = Dialog::tls(address, tls);
                while !over.load(Ordering::Relaxed) {
                    if !lasting {
                        dialog = Dialog::tls(address, tls);
                    }
                    assert_eq!(
                        dialog.ask("GET", "/v2/a/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", &login, b"").status,
                        200
                    );
                    let body = dialog.ask("POST", "/v2/a/blobs/uploads/", &login, b"0123456789");
                    assert_eq!(body.status, 200);
                    served.fetch_add(2, Ordering::Relaxed);
                }
            });
        }
        let over = Over(&over);
        for reload in 1..=RELOADS {
            let before = served.load(Ordering::Relaxed);
            put(&pairs[reload % 2], &program.path("certs"));
            let users = format!("ann:{{PLAIN}}secret\nuser{reload}:{{PLAIN}}x\n");
            fs::write(program.path("new"), users).unwrap();
            fs::rename(program.path("new"), program.path("htpasswd")).unwrap();
            program.signal(Signal::HUP);
            program.err_times("reload: reloaded", reload);
            let deadline = tokio::time::Instant::now() + crate::support::dialog::PATIENCE;
            while served.load(Ordering::Relaxed) == before {
                assert!(tokio::time::Instant::now() < deadline, "nobody is served");
                thread::yield_now();
            }
        }
        drop(over);
    });
    assert!(!program.stderr().contains("ERROR"), "{}", program.stderr());
    origin.release();
    assert_eq!(download.take(SLOW).unwrap().len(), SLOW);
}

/// Ends the load also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

//! What the operator does, and what befalls the house: reloads, certificates, lost lines, the store, uploads.

use std::fs;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use super::gates::{start, toml};
use crate::support::ask::{ask, basic};
use crate::support::certs::Authority;
use crate::support::dialog::Dialog;
use crate::support::origin::Origin;
use crate::support::peers::need;
use crate::support::process;
use crate::support::program::{Program, dockgate};
use crate::support::scrape::Scrape;

#[test]
fn n59_reloads_are_counted_and_the_numbers_outlive_them() {
    let origin = Origin::start();
    let gate = start(&origin.url(), "");
    let (address, admin) = (gate.address(0), gate.admin());
    assert_eq!(ask(address, "GET /v2/a/manifests/1", &[], b"").status, 200);
    let first = Scrape::of(admin);
    let good = &["result=\"good\""];
    let failed = &["result=\"failed\""];
    assert!(first.one("dockgate_reloads_total", good) < 0.1);
    let begun = first.one("dockgate_start_time_seconds", &[]);
    assert!((first.one("dockgate_reload_success_timestamp_seconds", &[]) - begun).abs() < 0.1);

    fs::write(gate.path("proxy.toml"), "[listener]\nnonsense = 1\n").unwrap();
    let told = Scrape::until(admin, "it failed", |s| {
        s.one("dockgate_reloads_total", failed) >= 1.0
    });
    assert!(told.one("dockgate_reload_successful", &[]) < 0.1);

    // Another gateway altogether; whoever counts in it counts on.
    let new = toml(&origin.url(), "satisfy = \"any\"\nrealm = \"Another\"\n");
    fs::write(
        gate.path("proxy.toml"),
        new.replacen(
            "[admin]\naddress = \"127.0.0.1:0\"",
            "[admin]\naddress = \"127.0.0.1:1\"",
            1,
        ),
    )
    .unwrap();
    let told = Scrape::until(admin, "it is good", |s| {
        s.one("dockgate_reloads_total", good) >= 1.0
    });
    assert!((told.one("dockgate_reload_successful", &[]) - 1.0).abs() < 0.1);
    assert!(told.one("dockgate_reload_success_timestamp_seconds", &[]) >= begun);
    gate.err_line("not changed until the next start: admin.address");
    assert_eq!(ask(address, "GET /v2/a/manifests/1", &[], b"").status, 200);
    let manifest = &["route=\"manifest\"", "status=\"200\""];
    Scrape::until(admin, "both", |s| {
        s.sum("dockgate_requests_total", manifest) >= 2.0
    });
}

fn openssl(dir: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.current_dir(dir).args(arguments.split_whitespace());
    let _ = process::run(&mut command).succeeds("openssl makes its file");
}

/// Certificates of 30, 60 and 90 days, a CA of 400, and its empty list of 20.
fn files(dir: &Path) {
    for (name, days) in [("tls", 30), ("more", 60), ("new", 90)] {
        openssl(
            dir,
            &format!(
                "req -x509 -nodes -newkey rsa:2048 -days {days} -keyout {name}.key -out {name}.crt -subj /CN={name}.test \
                 -addext subjectAltName=DNS:{name}.test"
            ),
        );
    }
    openssl(
        dir,
        "req -x509 -nodes -newkey rsa:2048 -days 400 -keyout ca.key -out ca.crt -subj /CN=clients",
    );
    fs::write(dir.join("index.txt"), "").unwrap();
    fs::write(dir.join("crlnumber"), "01\n").unwrap();
    fs::write(
        dir.join("ca.cnf"),
        "[ca]\ndefault_ca = d\n[d]\ndatabase = index.txt\ncrlnumber = crlnumber\ndefault_md = sha256\n",
    )
    .unwrap();
    openssl(
        dir,
        "ca -config ca.cnf -gencrl -keyfile ca.key -cert ca.crt -crldays 20 -out crl.pem",
    );
}

/// Seconds since 1970, as openssl reads a date of a file.
fn date(dir: &Path, arguments: &[&str]) -> f64 {
    let mut command = Command::new("openssl");
    command.current_dir(dir).args(arguments);
    let said = process::run(&mut command)
        .succeeds("openssl reads its file")
        .stdout;
    let date = said.trim().split_once('=').unwrap().1.to_owned();
    let mut command = Command::new("date");
    command.args(["-u", "+%s", "-d", &date]);
    let seconds = process::run(&mut command).succeeds("a date is read").stdout;
    seconds.trim().parse().unwrap()
}

#[test]
fn dates_of_certificates_cas_and_lists_are_those_in_force() {
    if !need(&["openssl"]) {
        return;
    }
    let origin = Origin::start();
    let gate = Program::start_with(
        &format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n\
             client_ca = \"ca.crt\"\nclient_crl = \"crl.pem\"\nclient_auth = \"optional\"\n\
             [[listener.tls.certificates]]\ncertificate = \"more.crt\"\nkey = \"more.key\"\n\
             [admin]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n[auth]\nanonymous = \"pull\"\n",
            origin.url()
        ),
        files,
    );
    let admin = gate.admin();
    let expiry = "dockgate_certificate_expiry_timestamp_seconds";
    let told = Scrape::of(admin);
    let listener = format!("listener=\"{}\"", gate.address(0));
    for (metric, file, arguments) in [
        (
            expiry,
            "tls.crt",
            &["x509", "-noout", "-enddate", "-in"][..],
        ),
        (expiry, "more.crt", &["x509", "-noout", "-enddate", "-in"]),
        (
            "dockgate_client_ca_expiry_timestamp_seconds",
            "ca.crt",
            &["x509", "-noout", "-enddate", "-in"],
        ),
        (
            "dockgate_client_crl_next_update_timestamp_seconds",
            "crl.pem",
            &["crl", "-noout", "-nextupdate", "-in"],
        ),
    ] {
        let wanted = date(gate.dir(), &[arguments, &[file]].concat());
        let labels = [listener.as_str()];
        let series = told.all(metric, &labels);
        let found: Vec<_> = series
            .filter(|(name, _)| name.contains(&format!("{file}\"")))
            .collect();
        let [(_, value)] = found[..] else {
            panic!("{file}: {found:?}\n{}", told.text)
        };
        assert!(
            (value - wanted).abs() < 0.1,
            "{file}: {value}, not {wanted}"
        );
    }

    let renewed = date(
        gate.dir(),
        &["x509", "-noout", "-enddate", "-in", "new.crt"],
    );
    for end in ["key", "crt"] {
        fs::rename(
            gate.path(&format!("new.{end}")),
            gate.path(&format!("tls.{end}")),
        )
        .unwrap();
    }
    gate.signal(Signal::HUP);
    Scrape::until(admin, "the new one is in force", |s| {
        s.all(expiry, &[])
            .any(|(_, value)| (value - renewed).abs() < 0.1)
    });
}

#[test]
fn p3_access_lines_that_are_lost_are_counted() {
    let origin = Origin::start();
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("proxy.toml"), toml(&origin.url(), "")).unwrap();
    fs::write(dir.path().join("htpasswd"), "").unwrap();
    let mut command = dockgate();
    command
        .arg("serve")
        .stdout(File::options().write(true).open("/dev/full").unwrap());
    let gate = Program::spawn(dir, command);
    for _ in 0..3 {
        assert_eq!(
            ask(gate.address(0), "GET /v2/a/manifests/1", &[], b"").status,
            200
        );
    }
    let lost = "dockgate_access_log_lines_lost_total";
    Scrape::until(gate.admin(), "three lines", |s| {
        (s.one(lost, &[]) - 3.0).abs() < 0.1
    });
}

const EMBEDDED: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
    [registry.filesystem]\nrootdirectory = \"store\"\n[auth]\nhtpasswd = \"htpasswd\"\n";

#[test]
fn uploads_to_the_embedded_registry_are_counted_and_what_is_left_of_them_is_told_after_a_sweep() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("htpasswd"), "ann:{PLAIN}secret\n").unwrap();
    fs::write(dir.path().join("proxy.toml"), EMBEDDED).unwrap();
    let serve = || {
        let mut command = dockgate();
        command
            .arg("serve")
            .current_dir(dir.path())
            .stdout(Stdio::piped());
        Program::spawn(TempDir::new().unwrap(), command)
    };
    let gate = serve();
    let login = basic("ann", "secret");
    let post =
        |path: &str, body: &[u8]| ask(gate.address(0), &format!("POST {path}"), &[&login], body);
    assert_eq!(post("/v2/a/blobs/uploads/", b"").status, 202);
    assert_eq!(post("/v2/a/blobs/uploads/", b"").status, 202);
    let digest = crate::support::site::digest(b"whole");
    assert_eq!(
        post(&format!("/v2/a/blobs/uploads/?digest={digest}"), b"whole").status,
        201
    );
    assert_eq!(
        post(&format!("/v2/b/blobs/uploads/?mount={digest}&from=a"), b"").status,
        201
    );
    let uploads = "dockgate_uploads_total";
    let told = Scrape::until(gate.admin(), "four events", |s| s.sum(uploads, &[]) >= 4.0);
    for (event, times) in [
        ("started", 2.0),
        ("finished", 1.0),
        ("mounted", 1.0),
        ("swept", 0.0),
    ] {
        let found = told.one(uploads, &[&format!("event=\"{event}\"")]);
        assert!((found - times).abs() < 0.1, "{event}: {found}");
    }
    assert!((told.sum("dockgate_requests_total", &["backend=\"registry\""]) - 4.0).abs() < 0.1);
    drop(gate);

    // The sweep of the next start finds the two that nobody closed.
    let gate = serve();
    let open = "dockgate_upload_sessions";
    Scrape::until(gate.admin(), "two are open", |s| {
        (s.one(open, &[]) - 2.0).abs() < 0.1
    });
}

#[test]
fn faults_of_the_store_are_counted_by_kind() {
    let gate = Program::start_with(EMBEDDED, |dir| {
        fs::write(dir.join("htpasswd"), "ann:{PLAIN}secret\n").unwrap();
    });
    let login = basic("ann", "secret");
    let faults = "dockgate_storage_faults_total";
    let failed = &["kind=\"failed\""];
    // Larger than what sockets hold, so that it can break in the middle.
    let content = vec![b'x'; 32 << 20];
    let digest = crate::support::site::digest(&content);
    let put = format!("POST /v2/a/blobs/uploads/?digest={digest}");
    assert_eq!(ask(gate.address(0), &put, &[&login], &content).status, 201);
    let hex = digest.split_once(':').unwrap().1;
    let blob = gate.path(&format!(
        "store/docker/registry/v2/blobs/sha256/{}/{hex}/data",
        &hex[..2]
    ));
    let mut reader = Dialog::tcp(gate.address(0));
    let (name, value) = login.split_once(": ").unwrap();
    let target = format!("/v2/a/blobs/{digest}");
    reader
        .request("GET", &target, &[(name, value)], b"")
        .unwrap();
    assert_eq!(reader.head().unwrap().0, 200);
    File::options()
        .write(true)
        .open(blob)
        .unwrap()
        .set_len(1)
        .unwrap();
    assert!(reader.take(content.len()).is_err(), "it is cut short");
    let one = |s: &Scrape| (s.sum(faults, &[]) - 1.0).abs() < 0.1;
    let told = Scrape::until(gate.admin(), "one fault, in the middle of an answer", one);
    let reason = &["reason=\"storage_error\""];
    assert!((told.sum("dockgate_refusals_total", reason) - 1.0).abs() < 0.1);

    // A file where a folder has to be.
    fs::write(gate.path("store/docker/registry/v2/repositories/b"), "").unwrap();
    let post = "POST /v2/b/blobs/uploads/";
    assert_eq!(ask(gate.address(0), post, &[&login], b"").status, 500);
    let told = Scrape::until(gate.admin(), "another, in its place", |s| {
        s.sum(faults, &[]) >= 2.0
    });
    assert!(told.one(faults, failed) >= 1.0, "{}", told.text);
    assert!((told.sum("dockgate_refusals_total", reason) - 2.0).abs() < 0.1);
}

#[test]
fn clients_that_do_not_trust_the_certificate_are_counted() {
    if !need(&["curl"]) {
        return;
    }
    let authority = Authority::new("unknown");
    let pair = authority.server();
    let origin = Origin::start();
    let gate = Program::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\
         [admin]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n[auth]\nanonymous = \"pull\"\n",
        pair.certificate.display(),
        pair.key.display(),
        origin.url()
    ));
    let url = format!("https://{}/v2/", gate.address(0));
    let mut curl = Command::new("curl");
    curl.args(["-sS", &url]);
    process::run(&mut curl).fails_saying("certificate", "curl does not know the CA");
    let failures = "dockgate_handshake_failures_total";
    Scrape::until(gate.admin(), "it is counted", |s| {
        s.one(failures, &["reason=\"distrusted\""]) >= 1.0
    });
}

#[test]
fn the_numbers_say_what_runs_as_the_version_does() {
    let mut command = dockgate();
    let said = process::run(command.arg("--version"))
        .succeeds("it says its version")
        .stdout;
    // `dockgate 0.1.0 (abcdef1 2026-11-27)`, or without the brackets.
    let said = said.trim().strip_prefix("dockgate ").unwrap();
    let (version, commit) = said.split_once(" (").unwrap_or((said, "unknown"));
    let commit = commit.trim_end_matches(')');
    let origin = Origin::start();
    let gate = start(&origin.url(), "");
    let labels = [
        format!("version=\"{version}\""),
        format!("commit=\"{commit}\""),
    ];
    let labels = labels.each_ref().map(String::as_str);
    Scrape::of(gate.admin()).is("dockgate_build_info", &labels, 1.0);
}

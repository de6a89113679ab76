//! The first start without any configuration, and the start with registry:2's own.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::ask::{ask, basic};
use crate::support::dialog::{Dialog, Tls};
use crate::support::docker::{self, Docker};
use crate::support::image::Image;
use crate::support::peers::need_clients;
use crate::support::program::{Program, dockgate};
use crate::support::scrape::Scrape;

/// Starts in a folder where nobody wrote anything; the one setting is the port, which may be taken.
fn start(folder: &Path) -> Program {
    let mut command = dockgate();
    command
        .stdout(Stdio::piped())
        .current_dir(folder)
        .env("DOCKGATE_LISTENER_ADDRESS", "127.0.0.1:0");
    Program::spawn(TempDir::new().unwrap(), command)
}

fn stop(mut gate: Program) -> (String, String) {
    gate.signal(Signal::TERM);
    assert_eq!(gate.wait(), Some(0), "{}", gate.stderr());
    (gate.stdout(), gate.stderr())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn version_check(address: SocketAddr, ca: &Path, (user, password): (&str, &str)) -> u16 {
    let mut dialog = Dialog::tls(address, &Tls::new(ca, "localhost"));
    let line = basic(user, password);
    let (name, value) = line.split_once(": ").unwrap();
    dialog.ask("GET", "/v2/", &[(name, value)], b"").status
}

#[test]
fn the_first_start_makes_a_user_and_a_certificate_and_the_second_keeps_them() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("dockgate-data");
    let ca = data.join("tls/ca.crt");

    let gate = start(folder.path());
    let address = gate.address(0);
    let line = gate.out_line("password: ");
    let password = line.trim_start_matches("password: ").to_owned();
    gate.out_line(&format!("docker push localhost:{}/IMAGE", address.port()));
    for file in ["admin.password", "htpasswd", "tls/server.key", "tls/ca.key"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    assert_eq!(mode(&data), 0o700);
    assert_eq!(
        fs::read_to_string(data.join("admin.password")).unwrap(),
        format!("{password}\n")
    );
    assert_eq!(version_check(address, &ca, ("admin", &password)), 200);
    assert_eq!(version_check(address, &ca, ("admin", "wrong")), 401);
    assert!(data.join("registry").is_dir());
    let (said, log) = stop(gate);
    assert_eq!(said.matches(&password).count(), 1, "{said}");
    assert!(!log.contains(&password), "{log}");

    let (certificate, users) = (
        fs::read(&ca).unwrap(),
        fs::read(data.join("htpasswd")).unwrap(),
    );
    let gate = start(folder.path());
    gate.out_line("docker login -u admin");
    assert_eq!(
        version_check(gate.address(0), &ca, ("admin", &password)),
        200
    );
    assert_eq!(fs::read(&ca).unwrap(), certificate);
    assert_eq!(fs::read(data.join("htpasswd")).unwrap(), users);
    let (said, _) = stop(gate);
    assert!(!said.contains("password: "), "{said}");
}

#[test]
fn who_named_a_password_file_gets_no_other_user() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("users"), "ann:{PLAIN}secret\n").unwrap();
    let mut command = dockgate();
    command
        .stdout(Stdio::piped())
        .current_dir(folder.path())
        .env("DOCKGATE_LISTENER_ADDRESS", "127.0.0.1:0")
        .env("DOCKGATE_AUTH_HTPASSWD", "users");
    let gate = Program::spawn(TempDir::new().unwrap(), command);
    let address = gate.address(0);
    let ca = folder.path().join("dockgate-data/tls/ca.crt");
    assert_eq!(version_check(address, &ca, ("ann", "secret")), 200);
    let (said, _) = stop(gate);
    assert!(!said.contains("password"), "{said}");
    assert!(!folder.path().join("dockgate-data/htpasswd").exists());
}

#[test]
fn docker_pushes_to_what_was_started_in_an_empty_folder() {
    if !need_clients(docker::PROGRAMS) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let gate = start(folder.path());
    let host = format!("localhost:{}", gate.address(0).port());
    let line = gate.out_line("password: ");
    let password = line.trim_start_matches("password: ");
    let image = format!("{host}/hello-world");
    let docker = Docker::new();
    docker.import(&Image::unique().root_tar(), &image);
    docker
        .run(&["push", &image])
        .fails_saying("no basic auth credentials", "not without a login");
    docker
        .run(&["login", "-u", "admin", "-p", password, &host])
        .succeeds("docker logs in");
    docker.run(&["push", &image]).succeeds("and pushes");
    docker.run(&["rmi", &image]).succeeds("forgets it");
    docker.run(&["pull", &image]).succeeds("and gets it back");
    stop(gate);
}

#[test]
fn the_configuration_of_registry_2_serves_its_registry() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("volume");
    let yaml = format!(
        "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: \
         localhost:0\n  secret: x\n  debug:\n    addr: localhost:0\n    prometheus:\n      enabled: true\n      path: /numbers\nnotifications:\n  endpoints: []\nhealth:\n  storagedriver:\n    enabled: true\n",
        root.display()
    );
    let file = folder.path().join("config.yml");
    fs::write(&file, yaml).unwrap();
    let mut command = dockgate();
    command
        .stdout(Stdio::piped())
        .current_dir(folder.path())
        .args(["serve", "config.yml"])
        .env("REGISTRY_LOG_LEVEL", "info");
    let gate = Program::spawn(TempDir::new().unwrap(), command);
    let address = gate.address(0);
    gate.err_line("everybody who can connect may pull, push and delete");
    gate.err_line("http.debug.prometheus.path: \"/numbers\" has no effect");
    Scrape::of(gate.admin()).is("dockgate_ready", &["part=\"serving\""], 1.0);
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let reply = ask(
        address,
        &format!("POST /v2/a/b/blobs/uploads/?digest={digest}"),
        &[],
        b"",
    );
    assert_eq!(reply.status, 201, "{reply:?}");
    let link = root
        .join("docker/registry/v2/repositories/a/b/_layers/sha256")
        .join(&digest[7..])
        .join("link");
    assert_eq!(fs::read_to_string(link).unwrap(), digest);
    let reply = ask(address, &format!("DELETE /v2/a/b/blobs/{digest}"), &[], b"");
    assert_eq!(reply.status, 405, "deleting is off unless it is said");
    stop(gate);
}

//! The peers themselves: what the other tests rely on when they use them.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::certs::Authority;
use crate::support::nginx::Nginx;
use crate::support::passwords;
use crate::support::peers::need;
use crate::support::process::{self, Outcome};
use crate::support::registry::{Options, Registry};

const REGISTRY: &[&str] = &["docker-registry", "setpriv", "curl"];

/// `curl` with these arguments; its standard output is the status.
fn curl(args: &[&str]) -> Outcome {
    process::run(
        Command::new("curl")
            .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"])
            .args(args),
    )
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_registry_serves_on_a_port_of_loopback() {
    if !need(REGISTRY) {
        return;
    }
    let registry = Registry::start();
    curl(&[&format!("{}/v2/", registry.url())])
        .succeeds("it answers")
        .says("200", "to everybody");
    assert!(registry.logged("GET /v2/").contains("curl/"));
}

#[test]
fn a_registry_stores_in_a_folder_that_a_test_can_look_into() {
    if !need(REGISTRY) {
        return;
    }
    let registry = Registry::start();
    let uploads = format!("{}/v2/some/name/blobs/uploads/", registry.url());
    curl(&["-X", "POST", &uploads])
        .succeeds("it answers")
        .says("202", "an upload is begun");
    let repositories = registry.storage().join("docker/registry/v2/repositories");
    assert!(repositories.join("some/name/_uploads").is_dir());
}

#[test]
fn a_registry_serves_on_a_socket() {
    if !need(REGISTRY) {
        return;
    }
    let registry = Registry::start_with(&Options {
        unix: true,
        ..Options::default()
    });
    let socket = registry.url().strip_prefix("unix:").unwrap();
    curl(&["--unix-socket", socket, "http://any/v2/"])
        .succeeds("it answers")
        .says("200", "to everybody");
}

#[test]
fn a_registry_with_tls_of_its_own_lets_in_whom_it_is_told_to() {
    if !need(REGISTRY) {
        return;
    }
    let authority = Authority::new("upstream");
    let server = authority.server();
    let client = authority.client("the gate");
    let registry = Registry::start_with(&Options {
        tls: Some(&server),
        client_ca: Some(authority.ca()),
        ..Options::default()
    });
    let url = format!("{}/v2/", registry.url());
    curl(&[&url]).fails_saying("curl: (60)", "its CA is not one of the system's");
    let trusting = ["--cacert", text(authority.ca()), &url];
    curl(&trusting).fails_saying("000", "it wants a client certificate");
    let (certificate, key) = (text(&client.certificate), text(&client.key));
    curl(&[&trusting[..], &["--cert", certificate, "--key", key]].concat())
        .succeeds("it answers")
        .says("200", "to the owner of a certificate");
}

#[test]
fn a_registry_with_passwords_asks_for_one() {
    if !need(&[REGISTRY, &["htpasswd"]].concat()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let htpasswd = dir.path().join("htpasswd");
    passwords::write(&htpasswd, "gate", "secret");
    let registry = Registry::start_with(&Options {
        htpasswd: Some(&htpasswd),
        ..Options::default()
    });
    let url = format!("{}/v2/", registry.url());
    curl(&[&url])
        .succeeds("it answers")
        .says("401", "not without a password");
    curl(&["-u", "gate:secret", &url])
        .succeeds("it answers")
        .says("200", "with the right password");
    let _ = registry.logged("authorized request");
    assert!(
        !registry.log().contains("secret"),
        "a password never is in its log:\n{}",
        registry.log()
    );
}

#[test]
fn nginx_serves_what_it_is_told_to_and_logs_it() {
    if !need(&["nginx", "setpriv", "curl"]) {
        return;
    }
    let nginx = Nginx::start(
        [127, 0, 0, 1],
        "server { listen LISTEN; location / { return 204; } location /none { root /nonexistent; } }",
    );
    let url = format!("http://{}", nginx.address());
    curl(&[&format!("{url}/any")])
        .succeeds("it answers")
        .says("204", "as configured");
    curl(&[&format!("{url}/none")])
        .succeeds("it answers")
        .says("404", "where there is no file");
    assert!(
        nginx.access_log().contains("\"GET /any HTTP/1.1\" 204"),
        "{}",
        nginx.access_log()
    );
    assert!(nginx.logged("/nonexistent/none").contains("[error]"));
}

#[test]
fn nothing_is_left_of_a_peer_that_is_let_go() {
    if !need(REGISTRY) {
        return;
    }
    let registry = Registry::start();
    let address = registry.url().strip_prefix("http://").unwrap().to_owned();
    let folder = registry.storage().parent().unwrap().to_owned();
    assert!(folder.is_dir());
    drop(registry);
    assert!(!folder.exists(), "its folder is gone");
    assert!(TcpStream::connect(address).is_err(), "its port is closed");
}

/// The shell's child would keep the pipes open if only the shell were killed.
#[test]
#[should_panic(expected = "hangs, killed after")]
fn a_program_that_hangs_is_killed_with_its_children() {
    process::run_within(
        Command::new("sh").args(["-c", "sleep 600; true"]),
        Duration::from_millis(300),
    )
    .succeeds("it never ends");
}

//! The examples: each starts as it is written, but for paths, ports and host names, and does what its README says.
//!
//! Files that name paths (`proxy.toml`) get them replaced in their text, and what is to be replaced must be there. The
//! set-ups without a file are run as they are, in a mount namespace where `/etc/nginx` is a folder of the test.

mod containers;
mod public;

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::certs::{Authority, Pair};
use crate::support::examples::{adapted, folders, root};
use crate::support::gate::Gate;
use crate::support::passwords;
use crate::support::peers::{need, need_clients};
use crate::support::process::{self, Outcome};
use crate::support::registry::Registry;

const PEERS: &[&str] = &["docker-registry", "setpriv", "htpasswd", "curl", "openssl"];
const USER: &str = "admin";
const PASSWORD: &str = "correct: horse";
const CREDENTIALS: &str = "admin:correct: horse";

/// What an example is put up with: a certificate, a password file and a registry.
struct Site {
    authority: Authority,
    server: Pair,
    htpasswd: std::path::PathBuf,
    registry: Registry,
}

impl Site {
    fn new() -> Self {
        let authority = Authority::new("the CA of the test");
        let server = authority.server();
        let htpasswd = server.key.with_file_name("htpasswd");
        passwords::write(&htpasswd, USER, PASSWORD);
        Self {
            authority,
            server,
            htpasswd,
            registry: Registry::start(),
        }
    }

    fn curl(&self, arguments: &[&str]) -> Outcome {
        curl(&[&["--cacert", text(self.authority.ca())], arguments].concat())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `curl`, which prints the status, the redirect and the challenge.
fn curl(arguments: &[&str]) -> Outcome {
    let shown =
        "status %{http_code} location [%header{location}] challenge [%header{www-authenticate}]";
    process::run(
        Command::new("curl")
            .args(["-sS", "-w", shown])
            .args(arguments),
    )
}

#[test]
fn every_example_is_known_to_these_tests_and_has_a_reader() {
    let names: Vec<String> = folders()
        .iter()
        .map(|folder| folder.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "azure-basic-auth",
            "client-certificates",
            "container-variables",
            "nginx-recipe",
            "public-pull",
            "ssh-tunnel-and-http"
        ]
    );
    let mut files = 0;
    for folder in folders() {
        let readme = fs::read_to_string(folder.join("README.md")).unwrap();
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(
                name == "README.md" || readme.contains(name),
                "{folder:?} does not explain {name}"
            );
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                files += 1;
                let config = fs::read_to_string(&path).unwrap();
                let body = config.split_once("\n\n").unwrap().1.trim();
                assert!(
                    readme.contains(body),
                    "{folder:?}/README.md does not show {name} as it is"
                );
            }
        }
    }
    assert_eq!(files, 8);
}

#[test]
fn the_azure_set_up_asks_for_a_password_and_pushes_over_tls() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let gate = Gate::start(&adapted(
        "azure-basic-auth/proxy.toml",
        &[
            ("0.0.0.0:443", "127.0.0.1:0"),
            ("/certs/public.cert", text(&site.server.certificate)),
            ("/certs/private.key", text(&site.server.key)),
            ("/etc/nginx/auth/registry.password", text(&site.htpasswd)),
            ("http://localhost:5000", site.registry.url()),
        ],
    ));
    let url = format!("https://{}", gate.address());
    site.curl(&[&format!("{url}/v2/")])
        .succeeds("it answers")
        .says("status 401", "not without a password")
        .says(
            "challenge [Basic realm=\"Restricted\"",
            "and with the realm of before",
        );
    site.curl(&["-u", CREDENTIALS, &format!("{url}/v2/")])
        .succeeds("it answers")
        .says("{}status 200", "with the password");
    site.curl(&[
        "-u",
        CREDENTIALS,
        "-X",
        "POST",
        &format!("{url}/v2/app/blobs/uploads/"),
    ])
    .succeeds("it answers")
    .says(
        &format!("status 202 location [{url}/v2/app/blobs/uploads/"),
        "an upload goes on over TLS",
    );
    site.curl(&[&format!("{url}/_ping")])
        .succeeds("it answers")
        .says("truestatus 200", "the ping needs no password");
    let log = site.registry.log();
    assert!(
        !log.contains(PASSWORD) && !log.contains(USER),
        "the registry sees no password:\n{log}"
    );
}

#[test]
fn the_script_for_certificates_makes_what_its_configuration_needs() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let folder = tempfile::tempdir().unwrap();
    let make = |client: &str| {
        // Smaller keys than the script's own, which take half a minute to make.
        process::run(
            Command::new(root().join("client-certificates/make-certificates.sh"))
                .args(["localhost", text(folder.path()), client])
                .env("BITS", "2048"),
        )
        .succeeds("certificates are made");
    };
    make("client");
    make("build-7");
    let at = |name: &str| text(&folder.path().join(name)).to_owned();
    let gate = Gate::start(&adapted(
        "client-certificates/proxy.toml",
        &[
            ("0.0.0.0:443", "127.0.0.1:0"),
            ("/opt/registry/certs/server.cert", &at("certs/server.cert")),
            ("/opt/registry/certs/server.key", &at("certs/server.key")),
            (
                "/opt/registry/certs/client-ca.cert",
                &at("certs/client-ca.cert"),
            ),
            ("http://localhost:5000", site.registry.url()),
        ],
    ));
    let url = format!("https://localhost:{}/v2/", gate.address().port());
    let server = at("certs/server.cert");
    let trusting = ["--cacert", server.as_str()];
    for client in ["client", "build-7"] {
        let (certificate, key) = (at(&format!("{client}.cert")), at(&format!("{client}.key")));
        process::run(Command::new("openssl").args([
            "verify",
            "-CAfile",
            &at("certs/client-ca.cert"),
            &certificate,
        ]))
        .succeeds("openssl agrees");
        curl(
            &[
                &trusting[..],
                &["--cert", &certificate, "--key", &key, &url],
            ]
            .concat(),
        )
        .succeeds("it answers")
        .says("{}status 200", "with a certificate");
    }
    curl(&[&trusting[..], &[&url]].concat())
        .succeeds("it answers")
        .says(
            "a client certificate is required",
            "without one it says what is missing",
        )
        .says(
            "status 401 location [] challenge []",
            "and asks for no password",
        );
}

#[test]
fn behind_an_ssh_tunnel_the_registry_is_where_the_tunnel_begins() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let gate = Gate::start(&adapted(
        "ssh-tunnel-and-http/ssh-tunnel.toml",
        &[
            ("127.0.0.1:5000", "127.0.0.1:0"),
            ("http://127.0.0.1:5001", site.registry.url()),
            ("/etc/dockgate/htpasswd", text(&site.htpasswd)),
        ],
    ));
    // The near end of the tunnel has another port than the gate: curl goes where the gate is and says what docker would.
    let way = format!("localhost:5000:{}", gate.address());
    curl(&[
        "-u",
        CREDENTIALS,
        "--connect-to",
        &way,
        "-X",
        "POST",
        "http://localhost:5000/v2/app/blobs/uploads/",
    ])
    .succeeds("it answers")
    .says(
        "status 202 location [http://localhost:5000/v2/app/blobs/uploads/",
        "an upload goes on through the tunnel",
    );
    curl(&[&format!("http://{}/v2/", gate.address())])
        .succeeds("it answers")
        .says("status 401", "who is on the machine needs a password too");
}

#[test]
fn without_tls_clients_that_allow_it_push_and_pull() {
    if !(need(PEERS) && need_clients(&["skopeo"])) {
        return;
    }
    let site = Site::new();
    let gate = Gate::start(&adapted(
        "ssh-tunnel-and-http/http.toml",
        &[
            ("0.0.0.0:5000", "0.0.0.0:0"),
            ("http://127.0.0.1:5001", site.registry.url()),
            ("/etc/dockgate/htpasswd", text(&site.htpasswd)),
        ],
    ));
    public::skopeo_pushes_and_pulls_in_clear(gate.address().port());
}

//! `dockgate compare` before two that are alike, and before two of which one is broken in one way.

mod realm;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::certs::{Authority, Pair};
use crate::support::gate::Gate;
use crate::support::nginx::Nginx;
use crate::support::passwords;
use crate::support::peers::need;
use crate::support::process::{self, Outcome};
use crate::support::program::{Program, dockgate};
use crate::support::registry::Registry;
use crate::support::relay::Relay;
use crate::support::site::{Site, backwards};
use crate::support::upstream::{Next, Upstream};

const USER: &str = "alice";
const PASSWORD: &str = "correct: horse";
const PEERS: &[&str] = &["docker-registry", "htpasswd", "nginx"];

/// Some seventy requests to each.
const PATIENCE: Duration = Duration::from_secs(120);

/// What it says.
struct Told {
    document: Value,
    outcome: Outcome,
}

#[track_caller]
fn compare(old: &str, new: &str, arguments: &[&str]) -> Told {
    let mut command = dockgate();
    command
        .args(["compare", "--old", old, "--new", new, "--format", "json"])
        .args(arguments);
    let outcome = process::run_within(&mut command, PATIENCE);
    let document = serde_json::from_str(&outcome.stdout)
        .unwrap_or_else(|fault| panic!("{fault}: no document\n{outcome}"));
    Told { document, outcome }
}

impl Told {
    fn differences(&self) -> &[Value] {
        self.document["differences"].as_array().unwrap()
    }

    /// `step: part: old -> new` of what clients notice.
    fn noticed(&self) -> Vec<String> {
        let noticed = self
            .differences()
            .iter()
            .filter(|d| d["weight"] == "noticed");
        noticed
            .map(|d| {
                let text = |key: &str| d[key].as_str().unwrap_or("nothing").to_owned();
                format!(
                    "{}: {}: {} -> {}",
                    text("step"),
                    text("part"),
                    text("old"),
                    text("new")
                )
            })
            .collect()
    }

    /// No client notices anything, everything was asked, nothing stays.
    #[track_caller]
    fn is_alike(&self) {
        assert_eq!(self.noticed(), [""; 0], "{:#}", self.document);
        assert_eq!(self.document["verdict"], "alike");
        assert!(
            self.document["requests"].as_u64().unwrap() > 60,
            "{:#}",
            self.document
        );
        self.leaves_nothing();
        assert!(self.outcome.ok(), "the exit code says so\n{}", self.outcome);
    }

    #[track_caller]
    fn leaves_nothing(&self) {
        assert_eq!(self.document["stays"], Value::Array(Vec::new()));
    }

    /// Exactly these differences are noticed. A `*` at the end stands for any rest.
    #[track_caller]
    fn notices(&self, expected: &[&str]) {
        let matches = |pattern: &str, line: &str| match pattern.strip_suffix('*') {
            Some(beginning) => line.starts_with(beginning),
            None => line == pattern,
        };
        let noticed = self.noticed();
        let unexpected: Vec<_> = noticed
            .iter()
            .filter(|line| !expected.iter().any(|e| matches(e, line)))
            .collect();
        let missing: Vec<_> = expected
            .iter()
            .filter(|e| !noticed.iter().any(|line| matches(e, line)))
            .collect();
        assert!(
            unexpected.is_empty() && missing.is_empty(),
            "unexpected: {unexpected:#?}\nmissing: {missing:#?}"
        );
        assert_eq!(self.document["verdict"], "differs");
    }
}

/// Fronts with TLS and a password before registries.
struct Fronts {
    authority: Authority,
    server: Pair,
    folder: TempDir,
    registry: Registry,
}

impl Fronts {
    fn new() -> Self {
        let authority = Authority::new("the CA of the test");
        let folder = TempDir::with_prefix("dockgate-compare-").unwrap();
        passwords::write(&folder.path().join("htpasswd"), USER, PASSWORD);
        fs::write(folder.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        Self {
            server: authority.server(),
            authority,
            folder,
            registry: Registry::start(),
        }
    }

    fn htpasswd(&self) -> String {
        text(&self.folder.path().join("htpasswd")).to_owned()
    }

    fn gate(&self, auth: &str) -> Gate {
        Gate::start(&format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\
             [upstream]\nurl = \"{}\"\n[log]\naccess = false\n[auth]\nhtpasswd = \"{}\"\nrealm = \"Registry realm\"\n{auth}\n",
            text(&self.server.certificate),
            text(&self.server.key),
            self.registry.url(),
            self.htpasswd(),
        ))
    }

    /// The recipe of Docker's documentation, with a change.
    fn nginx(&self, change: impl FnOnce(String) -> String) -> Nginx {
        let (certificate, key) = (text(&self.server.certificate), text(&self.server.key));
        let http = RECIPE
            .replace("CERTIFICATE", certificate)
            .replace("PRIVATE_KEY", key)
            .replace("HTPASSWD", &self.htpasswd())
            .replace("UPSTREAM", self.registry.url());
        Nginx::start(Ipv4Addr::LOCALHOST, &change(http))
    }

    #[track_caller]
    fn compare(&self, old: SocketAddr, new: SocketAddr, more: &[&str]) -> Told {
        let password = self.folder.path().join("password");
        let mut arguments = vec!["--ca", text(self.authority.ca()), "--user", USER];
        arguments.extend(["--password-file", text(&password)]);
        arguments.extend(more);
        compare(
            &format!("https://{old}"),
            &format!("https://{new}"),
            &arguments,
        )
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

const RECIPE: &str = r#"
    map $upstream_http_docker_distribution_api_version $docker_distribution_api_version { '' 'registry/2.0'; }
    server {
        listen LISTEN ssl;
        ssl_certificate CERTIFICATE;
        ssl_certificate_key PRIVATE_KEY;
        client_max_body_size 0;
        chunked_transfer_encoding on;
        location /v2/ {
            if ($http_user_agent ~ "^(docker\/1\.(3|4|5(?!\.[0-9]-dev))|Go ).*$" ) { return 404; }
            auth_basic "Registry realm";
            auth_basic_user_file HTPASSWD;
            add_header 'Docker-Distribution-Api-Version' $docker_distribution_api_version always;
            proxy_pass UPSTREAM;
            proxy_set_header Host $http_host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_read_timeout 900;
        }
    }
"#;

#[test]
fn a_registry_is_like_itself_and_is_left_as_it_was() {
    if !need(PEERS) {
        return;
    }
    let registry = Registry::start();
    compare(registry.url(), registry.url(), &[]).is_alike();
    let root = registry.storage().join("docker/registry/v2/repositories");
    let names: Vec<_> = fs::read_dir(&root)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["compare-scratch"], "nothing is written elsewhere");
    let tags = fs::read_dir(root.join("compare-scratch/_manifests/tags"));
    assert_eq!(tags.map_or(0, Iterator::count), 0, "no tag stays");
    assert_eq!(registry.unfinished("compare-scratch"), 0);
}

#[test]
fn two_gates_before_one_registry_are_alike() {
    if !need(PEERS) {
        return;
    }
    let fronts = Fronts::new();
    let (old, new) = (fronts.gate(""), fronts.gate(""));
    fronts.compare(old.address(), new.address(), &[]).is_alike();
    let (old, new) = (
        fronts.gate("anonymous = \"pull\""),
        fronts.gate("anonymous = \"pull\""),
    );
    fronts.compare(old.address(), new.address(), &[]).is_alike();
}

#[test]
fn the_gate_in_the_place_of_dockers_recipe_is_what_no_client_notices() {
    if !need(PEERS) {
        return;
    }
    let fronts = Fronts::new();
    let (old, new) = (fronts.nginx(|http| http), fronts.gate(""));
    let told = fronts.compare(old.address(), new.address(), &[]);
    told.is_alike();
    // What is harmless is not hidden.
    let harmless = |step: &str, part: &str, old: &str| {
        told.differences().iter().any(|d| {
            d["step"] == step
                && d["part"] == part
                && d["old"].as_str().unwrap_or_default().starts_with(old)
                && d["weight"] == "harmless"
                && !d["why"].as_str().unwrap().is_empty()
        })
    };
    assert!(harmless("ping/v2", "server", "nginx/"));
    assert!(harmless("ping/v2", "x-request-id", ""));
    assert!(harmless("ping/v2", "content-type", "text/html"));
    assert!(harmless("ping/ping", "status", "404"));
    // The other way round a client would see HTML where it looks for a message.
    let back = fronts.compare(new.address(), old.address(), &[]);
    let noticed = back.noticed();
    assert!(
        noticed
            .iter()
            .any(|line| line.starts_with("ping/v2: content-type: application/json")),
        "{noticed:#?}"
    );
}

#[test]
fn a_limit_on_bodies_is_noticed_at_the_upload_of_2_mib_alone() {
    if !need(PEERS) {
        return;
    }
    let fronts = Fronts::new();
    let old = fronts.nginx(|http| http);
    let new =
        fronts.nginx(|http| http.replace("client_max_body_size 0;", "client_max_body_size 1m;"));
    let told = fronts.compare(old.address(), new.address(), &[]);
    told.notices(&["push/2mib: status: 202 -> 413", "push/2mib: *"]);
    told.leaves_nothing();
}

#[test]
fn a_registry_that_is_not_told_of_tls_is_noticed_in_each_location() {
    if !need(PEERS) {
        return;
    }
    let fronts = Fronts::new();
    let old = fronts.nginx(|http| http);
    let new = fronts.nginx(|http| http.replace("proxy_set_header X-Forwarded-Proto $scheme;", ""));
    let told = fronts.compare(old.address(), new.address(), &[]);
    for line in told.noticed() {
        let place = line.contains(": location: ORIGIN/v2/") && line.contains(" -> http://HOST/v2/");
        assert!(place, "{line}");
    }
    assert!(told.noticed().len() > 5);
    told.leaves_nothing();
}

#[test]
fn a_front_that_swallows_the_version_is_noticed_on_every_answer() {
    if !need(PEERS) {
        return;
    }
    let fronts = Fronts::new();
    let old = fronts.nginx(|http| http);
    let new = fronts.nginx(|http| {
        let line =
            "add_header 'Docker-Distribution-Api-Version' $docker_distribution_api_version always;";
        http.replace(line, "proxy_hide_header Docker-Distribution-Api-Version;")
    });
    let told = fronts.compare(old.address(), new.address(), &[]);
    for line in told.noticed() {
        assert!(
            line.contains(": docker-distribution-api-version: "),
            "{line}"
        );
    }
    assert!(told.noticed().len() > 50);
}

#[test]
fn another_way_to_log_in_is_noticed() {
    if !need(PEERS) {
        return;
    }
    let fronts = Fronts::new();
    let (old, new) = (fronts.gate(""), fronts.gate("challenge = \"bearer\""));
    let told = fronts.compare(old.address(), new.address(), &[]);
    let noticed = told.noticed();
    assert!(
        noticed
            .iter()
            .any(|l| l.starts_with("ping/v2: www-authenticate: Basic ")
                && l.contains("-> Bearer realm=\"ORIGIN/v2/token\"")),
        "{noticed:#?}"
    );
    assert!(
        !noticed
            .iter()
            .any(|l| l.starts_with("push/begin:") || l.starts_with("pull/tag:")),
        "{noticed:#?}"
    );
}

#[test]
fn what_cannot_be_removed_is_told() {
    if !need(PEERS) {
        return;
    }
    let fronts = Fronts::new();
    let old = fronts.nginx(|http| http);
    let new = fronts.nginx(|http| {
        http.replace(
            "auth_basic \"Registry",
            "if ($request_method = DELETE) { return 405; } auth_basic \"Registry",
        )
    });
    let told = fronts.compare(old.address(), new.address(), &[]);
    let stays = told.document["stays"].as_array().unwrap();
    let new_side = stays.iter().filter(|s| s["side"] == "new").count();
    assert_eq!((stays.len(), new_side > 3), (new_side, true), "{stays:#?}");
    let text = told.document["stays"].to_string();
    assert!(
        text.contains("manifest compare-scratch/manifests/sha256:"),
        "{text}"
    );
}

#[test]
fn without_leave_to_write_nothing_is_written_and_an_image_is_pulled_all_the_same() {
    if !need(&["docker-registry"]) {
        return;
    }
    let site = Site::new("");
    site.image("team/app", "content");
    // The line of a request comes after its answer.
    site.registry.logged("PUT /v2/team/app/manifests/");
    let before = site.registry.log().matches("\"PUT /").count();
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    fs::write(&password, backwards(USER)).unwrap();
    let gate = format!("http://{}", site.gate.address());
    let arguments = [
        "--read-only",
        "--image",
        "team/app:1",
        "--user",
        USER,
        "--password-file",
        text(&password),
    ];
    let told = compare(&gate, &gate, &arguments);
    assert_eq!(told.document["verdict"], "alike", "{:#}", told.document);
    site.registry.logged("GET /v2/team/app/manifests/1 ");
    let log = site.registry.log();
    assert_eq!(log.matches("\"PUT /").count(), before);
    for method in ["PATCH", "DELETE"] {
        assert!(!log.contains(&format!("\"{method} /")), "{method}");
    }
    assert!(!log.contains("compare-scratch/blobs/uploads"));
}

#[test]
fn a_password_that_neither_knows_makes_no_proof_and_is_not_repeated() {
    if !need(PEERS) {
        return;
    }
    let fronts = Fronts::new();
    let gate = fronts.gate("");
    fs::write(fronts.folder.path().join("password"), "surely-wrong\n").unwrap();
    let told = fronts.compare(gate.address(), gate.address(), &["--read-only"]);
    assert_eq!(told.document["verdict"], "incomplete");
    assert!(
        told.document["incomplete"]
            .to_string()
            .contains("check the password")
    );
    let said = told.outcome.to_string();
    assert!(
        !said.contains("surely-wrong") && !said.contains("Authorization"),
        "{said}"
    );
    told.outcome
        .fails_saying("incomplete", "it does not count as alike");
}

#[test]
fn one_that_cannot_be_asked_is_a_failure_and_a_wrong_question_is_usage() {
    if !need(&["docker-registry"]) {
        return;
    }
    let registry = Registry::start();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let run = |arguments: &[&str]| {
        let output = dockgate().arg("compare").args(arguments).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = run(&["--old", registry.url(), "--new", &nowhere]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.starts_with("new, ") && said.contains("dockgate doctor"),
        "{said}"
    );
    for arguments in [
        &["--old", registry.url()][..],
        &["--old", registry.url(), "--new", "ftp://x"],
        &["--old", "https://u:secret@x", "--new", registry.url()],
        &[
            "--old",
            registry.url(),
            "--new",
            registry.url(),
            "--repository",
            "UPPER",
        ],
        &[
            "--old",
            registry.url(),
            "--new",
            registry.url(),
            "--ca",
            "/nowhere.crt",
        ],
        &[
            "--old",
            registry.url(),
            "--new",
            registry.url(),
            "--password-file",
            "x",
        ],
        &[
            "--old",
            registry.url(),
            "--new",
            registry.url(),
            "--image",
            "a:b:c",
        ],
    ] {
        let (code, said) = run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(!said.contains("secret@"), "{said}");
    }
    let root = registry.storage().join("docker");
    assert!(!root.exists(), "nothing was written");
}

#[test]
fn a_question_that_neither_answers_makes_no_proof() {
    let mute = Upstream::start(|request| {
        if request.head.contains("/_catalog") {
            return Next::Close;
        }
        request.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        Next::Keep
    });
    let told = compare(&mute.url(), &mute.url(), &["--read-only"]);
    assert_eq!(told.document["verdict"], "incomplete");
    let why = told.document["incomplete"].to_string();
    assert!(why.contains("list/catalog: neither answers"), "{why}");
}

#[test]
fn who_interrupts_it_is_told_so_and_finds_nothing_left() {
    if !need(&["docker-registry"]) {
        return;
    }
    let registry = Registry::start();
    // Once the image is half pushed, the person at the terminal has seen enough.
    let (seen, signal) = std::sync::mpsc::channel();
    let relay = Relay::before(registry.url(), move |request| {
        if request.starts_with("PUT ") {
            let _ = seen.send(());
        }
    });
    let dir = TempDir::with_prefix("dockgate-interrupted-").unwrap();
    let mut command = dockgate();
    let url = relay.url();
    command
        .args(["compare", "--old", &url, "--new", &url, "--format", "json"])
        .stdout(std::process::Stdio::piped());
    let program = Program::spawn(dir, command);
    signal.recv_timeout(PATIENCE).unwrap();
    program.signal(Signal::INT);
    let said = program.out_line("\"verdict\":\"incomplete\"");
    assert!(said.contains("interrupted before push/"), "{said}");
    assert!(said.contains("\"stays\":[]"), "{said}");
    assert_eq!(program.end().0, Some(1));
    assert_eq!(registry.unfinished("compare-scratch"), 0);
}

#[test]
fn both_can_have_one_name_and_two_addresses() {
    if !need(PEERS) {
        return;
    }
    let fronts = Fronts::new();
    let (old, new) = (fronts.gate(""), fronts.gate(""));
    let password = fronts.folder.path().join("password");
    let (old, new) = (old.address().to_string(), new.address().to_string());
    let name = "https://registry.test";
    let mut arguments = vec!["--old-address", &old, "--new-address", &new];
    arguments.extend(["--ca", text(fronts.authority.ca()), "--user", USER]);
    arguments.extend(["--password-file", text(&password)]);
    compare(name, name, &arguments).is_alike();
}

#[test]
fn a_person_reads_the_weighty_first_and_the_reason_of_each() {
    if !need(PEERS) {
        return;
    }
    let fronts = Fronts::new();
    let old = fronts.nginx(|http| http);
    let new =
        fronts.nginx(|http| http.replace("client_max_body_size 0;", "client_max_body_size 1m;"));
    let mut command = dockgate();
    let password = fronts.folder.path().join("password");
    command
        .args(["compare", "--old", &format!("https://{}", old.address())])
        .args(["--new", &format!("https://{}", new.address())])
        .args(["--ca", text(fronts.authority.ca()), "--user", USER])
        .args(["--password-file", text(&password)]);
    let outcome = process::run_within(&mut command, PATIENCE);
    let said = outcome.stdout;
    let at = |words: &str| {
        said.find(words)
            .unwrap_or_else(|| panic!("no {words:?} in\n{said}"))
    };
    let order = [
        "clients will notice:",
        "old: 202",
        "new: 413",
        "at:  push/2mib",
        "\nharmless:",
        "verdict: clients will notice",
    ];
    assert!(
        order.windows(2).all(|pair| at(pair[0]) < at(pair[1])),
        "{said}"
    );
}

//! The commands beside `serve`, and `serve` in the place of the containers that people run today.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::certs::Authority;
use crate::support::origin::Origin;
use crate::support::passwords;
use crate::support::peers;
use crate::support::process;
use crate::support::program::{Program, dockgate};

fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output: Output = dockgate()
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// `dockgate check` of this configuration.
fn check(folder: &Path, toml: &str) -> (Option<i32>, String, String) {
    fs::write(folder.join("proxy.toml"), toml).unwrap();
    run(folder, &["check"])
}

#[test]
fn check_loads_every_file_and_names_all_that_is_wrong() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new("check");
    let (pair, other) = (authority.server(), authority.server_for(&["other.test"]));
    fs::write(folder.path().join("garbage"), "garbage\n").unwrap();
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\
         client_ca = \"{}\"\nclient_auth = \"required\"\nclient_crl = \"garbage\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"nowhere.crt\"\nkey = \"nowhere.key\"\n\
         [upstream]\nurl = \"https://localhost:1\"\nca = \"nowhere.ca\"\nusername = \"u\"\npassword_file = \"nowhere.password\"\n\
         [auth]\nhtpasswd = \"nowhere.htpasswd\"\n",
        pair.certificate.display(),
        other.key.display(),
        authority.ca().display(),
    );
    let (code, out, err) = check(folder.path(), &toml);
    assert_eq!(code, Some(2), "{err}");
    assert_eq!(out, "");
    for words in [
        "is not the key of the certificate",
        "garbage",
        "nowhere.crt",
        "nowhere.ca",
        "nowhere.password",
        "nowhere.htpasswd",
    ] {
        assert_eq!(
            err.lines().filter(|l| l.contains(words)).count(),
            1,
            "{words}:\n{err}"
        );
    }
}

#[test]
fn check_warns_of_what_works_and_binds_and_makes_nothing() {
    let folder = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    fs::write(folder.path().join("htpasswd"), "ann:{PLAIN}x\nno colon\n").unwrap();
    let toml = format!(
        "[[listener]]\naddress = \"{address}\"\n[listener.tls]\n[upstream]\nurl = \"http://localhost:1\"\n\
         [auth]\nhtpasswd = \"htpasswd\"\n"
    );
    let (code, out, err) = check(folder.path(), &toml);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out, "proxy.toml: no faults\n");
    assert!(err.contains("warning: ") && err.contains("line 2"), "{err}");
    let mut files: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(files, ["htpasswd", "proxy.toml"], "nothing was made");

    // Half of a certificate of our own, and then a broken one.
    let tls = folder.path().join("dockgate-data/tls");
    fs::create_dir_all(&tls).unwrap();
    fs::write(tls.join("server.crt"), "x").unwrap();
    let (code, _, err) = check(folder.path(), &toml);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("holds server.crt and not server.key"), "{err}");
    fs::write(tls.join("server.key"), "x").unwrap();
    let (code, _, err) = check(folder.path(), &toml);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("server.crt"), "{err}");
}

#[test]
fn health_asks_a_running_gate_over_whatever_its_first_listener_speaks() {
    let origin = Origin::start();
    let authority = Authority::new("health");
    let pair = authority.server();
    let folder = TempDir::new().unwrap();
    let socket = format!("unix:{}", folder.path().join("gate.sock").display());
    let rest = format!(
        "[upstream]\nurl = \"{}\"\n[auth]\nanonymous = \"pull\"\n",
        origin.url()
    );
    let tls = format!(
        "[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n",
        pair.certificate.display(),
        pair.key.display()
    );
    for (proxy_protocol, tls) in [
        ("false", ""),
        ("true", ""),
        ("false", tls.as_str()),
        ("true", &tls),
    ] {
        let program = Program::start(&format!(
            "[[listener]]\naddress = \"{socket}\"\nproxy_protocol = {proxy_protocol}\n{tls}{rest}"
        ));
        let (code, out, err) = run(program.dir(), &["health"]);
        assert_eq!(
            (code, out.as_str(), err.as_str()),
            (Some(0), "", ""),
            "{proxy_protocol} {tls}"
        );
        program.signal(Signal::TERM);
        let dir = TempDir::new().unwrap();
        fs::copy(program.path("proxy.toml"), dir.path().join("proxy.toml")).unwrap();
        program.end();
        let (code, _, err) = run(dir.path(), &["health"]);
        assert_eq!(code, Some(1), "{err}");
        assert!(
            err.contains("cannot be reached") && err.contains("gate.sock"),
            "{err}"
        );
    }
    let program = Program::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n{tls}[[listener]]\naddress = \"127.0.0.1:0\"\n{rest}"
    ));
    let urls = [
        format!("https://{}", program.address(0)),
        format!("http://{}/", program.address(1)),
    ];
    for url in &urls {
        assert_eq!(
            run(program.dir(), &["health", "--url", url]).0,
            Some(0),
            "{url}"
        );
    }
    let confused = format!("http://{}", program.address(0));
    let (code, _, err) = run(program.dir(), &["health", "--url", &confused]);
    assert_eq!(code, Some(1));
    assert!(err.contains("400"), "{err}");
}

/// In a mount namespace and a network of its own, so that `/etc/nginx` and port 443 are the container's.
const CONTAINER: &str = r#"
set -e
ip link set lo up
mount -t tmpfs none /etc/nginx
echo '127.0.0.1 localhost registry docker-registry' >"$DIR/hosts"
mount --bind "$DIR/hosts" /etc/hosts
sh -c "$PLACE"
docker-registry serve "$DIR/config.yml" >/dev/null 2>&1 & registry=$!
mkdir "$DIR/work"; cd "$DIR/work"
"$DOCKGATE" >"$DIR/out" 2>"$DIR/err" & gate=$!
trap 'kill $gate $registry 2>/dev/null || true; cat "$DIR/err" >&2' EXIT
ask() { curl -sS --noproxy '*' --retry 40 --retry-connrefused --retry-delay 1 -o /dev/null -w '%{http_code} ' "$@"; }
ask -o /dev/null http://127.0.0.1:5000/v2/
ask --cacert "$DIR/ca.crt" --resolve "registry.test:443:127.0.0.1" -u admin:admin https://registry.test/v2/
ask --cacert "$DIR/ca.crt" --resolve "registry.test:443:127.0.0.1" -u admin:wrong https://registry.test/v2/
ask --cacert "$DIR/ca.crt" --resolve "registry.test:443:127.0.0.1" https://registry.test/_ping
kill -TERM $gate; wait $gate; echo "exit $?"
"#;

fn container(place: &str, environment: &[(&str, &str)]) -> Option<process::Outcome> {
    let may = [
        "-m",
        "-n",
        "sh",
        "-c",
        "mount -t tmpfs none /etc/nginx && ip link set lo up",
    ];
    let allowed = peers::need(&[
        "docker-registry",
        "nginx",
        "curl",
        "htpasswd",
        "ip",
        "unshare",
    ]) && Command::new("unshare")
        .args(may)
        .output()
        .is_ok_and(|o| o.status.success());
    if !allowed {
        let _ = peers::skip("no mount namespace may be made here");
        return None;
    }
    let dir = TempDir::new().unwrap();
    let authority = Authority::new("container");
    let pair = authority.server();
    fs::copy(authority.ca(), dir.path().join("ca.crt")).unwrap();
    fs::copy(pair.certificate, dir.path().join("server.crt")).unwrap();
    fs::copy(pair.key, dir.path().join("server.key")).unwrap();
    passwords::write(&dir.path().join("htpasswd"), "admin", "admin");
    let registry = format!(
        "version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: \"{}/storage\" }} }}\nhttp: {{ addr: \"127.0.0.1:5000\", secret: x }}\n",
        dir.path().display()
    );
    fs::write(dir.path().join("config.yml"), registry).unwrap();
    let mut command = Command::new("unshare");
    command
        .args(["-m", "-n", "sh", "-c", CONTAINER])
        .env_clear()
        .env("PATH", process::search_path())
        .env("DIR", dir.path())
        .env("DOCKGATE", env!("CARGO_BIN_EXE_dockgate"))
        .env("PLACE", place)
        .envs(environment.iter().copied());
    Some(process::run_within(&mut command, Duration::from_secs(120)))
}

#[test]
fn the_container_of_seed_001_is_replaced_by_its_variables_and_files_alone() {
    let place = r#"mkdir /etc/nginx/ssl
        cp "$DIR/htpasswd" /etc/nginx/.htpasswd
        cp "$DIR/server.crt" /etc/nginx/ssl/docker-registry.crt
        cp "$DIR/server.key" /etc/nginx/ssl/docker-registry.key"#;
    let environment = [
        ("REGISTRY_HOST", "docker-registry"),
        ("REGISTRY_PORT", "5000"),
        ("SERVER_NAME", "registrydev1.yourdomain.com"),
    ];
    if let Some(outcome) = container(place, &environment) {
        outcome
            .succeeds("it starts and stops")
            .says("200 200 401 200 exit 0", "served as before");
    }
}

#[test]
fn the_container_of_seed_003_is_replaced_by_its_files_alone() {
    let place = r#"mkdir /etc/nginx/external
        cp "$DIR/htpasswd" /etc/nginx/external/docker-registry.htpasswd
        cp "$DIR/server.crt" /etc/nginx/external/cert.pem
        cp "$DIR/server.key" /etc/nginx/external/key.pem"#;
    if let Some(outcome) = container(place, &[]) {
        outcome
            .succeeds("it starts and stops")
            .says("200 200 401 200 exit 0", "served as before");
    }
}

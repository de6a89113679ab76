//! Without a configuration file, in the place of the containers of old: their variables, their paths.

use std::fs;
use std::path::{Path, PathBuf};

use dockgate::config::Config;
use tempfile::TempDir;

use crate::support::examples::root;
use crate::support::peers::need_clients;
use crate::support::process::Daemon;

use super::{CREDENTIALS, PEERS, Site, text};

/// The program as a container starts it: these variables, no configuration file, and `nginx` as its `/etc/nginx`. The
/// port is the system's choice, all else is as it was in the old container.
fn started(nginx: &Path, variables: &[String]) -> (Daemon, String) {
    let script = "mount --bind \"$1\" /etc/nginx && cd \"$2\" && shift 2 && exec env -i \"$@\"";
    let dir = TempDir::with_prefix("dockgate-container-").unwrap();
    let work = text(dir.path()).to_owned();
    let mut argv: Vec<PathBuf> = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        text(nginx),
        &work,
    ]
    .iter()
    .map(PathBuf::from)
    .collect();
    argv.extend(variables.iter().map(PathBuf::from));
    argv.push("DOCKGATE_LISTENER_ADDRESS=127.0.0.1:0".into());
    argv.push(env!("CARGO_BIN_EXE_dockgate").into());
    let daemon = Daemon::start(dir, &argv);
    let line = daemon
        .wait_for("listening address=")
        .unwrap_or_else(|log| panic!("dockgate did not start:\n{log}"));
    let address = line.rsplit('"').nth(1).unwrap().to_owned();
    (daemon, address)
}

/// The variables of the example's file, with the registry of the test.
fn variables(site: &Site) -> Vec<String> {
    let file = fs::read_to_string(root().join("container-variables/container.env")).unwrap();
    let registry = site.registry.url().strip_prefix("http://").unwrap();
    let (host, port) = registry.split_once(':').unwrap();
    let variables: Vec<String> = file.lines().map(ToOwned::to_owned).collect();
    for expected in ["REGISTRY_HOST=docker-registry", "REGISTRY_PORT=5000"] {
        assert!(variables.iter().any(|line| line == expected), "{file}");
    }
    let here = |line: String| match line.as_str() {
        "REGISTRY_HOST=docker-registry" => format!("REGISTRY_HOST={host}"),
        "REGISTRY_PORT=5000" => format!("REGISTRY_PORT={port}"),
        _ => line,
    };
    variables.into_iter().map(here).collect()
}

#[track_caller]
fn asks_for_the_password_of_before(site: &Site, address: &str, realm: &str) {
    let url = format!("https://{address}/v2/");
    site.curl(&[&url])
        .succeeds("it answers")
        .says("status 401", "not without a password")
        .says(
            &format!("challenge [Basic realm=\"{realm}\""),
            "with the realm of the old container",
        );
    site.curl(&["-I", "-u", CREDENTIALS, &url])
        .succeeds("it answers")
        .says("status 200", "with the password");
}

#[test]
fn the_variables_of_the_old_container_are_enough() {
    if !need_clients(&[PEERS, &["unshare"]].concat()) {
        return;
    }
    let site = Site::new();
    let nginx = tempfile::tempdir().unwrap();
    fs::create_dir(nginx.path().join("ssl")).unwrap();
    fs::copy(&site.htpasswd, nginx.path().join(".htpasswd")).unwrap();
    fs::copy(
        &site.server.certificate,
        nginx.path().join("ssl/docker-registry.crt"),
    )
    .unwrap();
    fs::copy(
        &site.server.key,
        nginx.path().join("ssl/docker-registry.key"),
    )
    .unwrap();
    let (daemon, address) = started(nginx.path(), &variables(&site));
    asks_for_the_password_of_before(&site, &address, "Restricted");
    assert!(
        daemon
            .log()
            .contains("taking the place of containersol/docker-registry-proxy"),
        "{}",
        daemon.log()
    );
}

#[test]
fn the_folder_of_the_other_container_is_enough() {
    if !need_clients(&[PEERS, &["unshare"]].concat()) {
        return;
    }
    let site = Site::new();
    let nginx = tempfile::tempdir().unwrap();
    let external = nginx.path().join("external");
    fs::create_dir(&external).unwrap();
    fs::copy(&site.htpasswd, external.join("docker-registry.htpasswd")).unwrap();
    fs::copy(&site.server.certificate, external.join("cert.pem")).unwrap();
    fs::copy(&site.server.key, external.join("key.pem")).unwrap();
    fs::write(external.join("dh.pem"), "").unwrap();
    fs::write(external.join("own.conf"), "").unwrap();
    // The name `registry`, which `--link` gave, is not known here.
    let registry = format!("DOCKGATE_UPSTREAM_URL={}", site.registry.url());
    let (daemon, address) = started(nginx.path(), &[registry]);
    asks_for_the_password_of_before(&site, &address, "Registry realm");
    let log = daemon.log();
    assert!(
        log.contains("taking the place of marvambass/nginx-registry-proxy"),
        "{log}"
    );
    assert!(log.contains("own.conf") && !log.contains("dh.pem"), "{log}");
}

#[test]
fn the_files_say_what_the_containers_meant() {
    let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    };
    let env = fs::read_to_string(root().join("container-variables/container.env")).unwrap();
    let mut variables = owned(&[("DOCKGATE_STATE_DIR", "/state")]);
    let given = env.lines().map(|line| line.split_once('=').unwrap());
    variables.extend(given.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let container = Config::load(None, &variables).unwrap().config;
    let file = root().join("container-variables/proxy.toml");
    let written = Config::load(Some(&file), &owned(&[("DOCKGATE_STATE_DIR", "/state")]))
        .unwrap()
        .config;
    assert_eq!(container, written);
}

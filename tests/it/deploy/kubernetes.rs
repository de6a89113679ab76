//! The manifests for Kubernetes: held to its own schema, and to the configuration that is in them.

use std::fs;
use std::path::Path;
use std::process::Command;

use dockgate::config::{Config, ListenAddress};
use serde_json::Value;
use tempfile::TempDir;

use super::{here, need_peer, peer};
use crate::support::certs::Authority;
use crate::support::passwords;
use crate::support::process::run;
use crate::support::program::dockgate;

const MANIFESTS: [&str; 2] = ["standalone.yaml", "sidecar.yaml"];

/// The documents of a manifest.
fn documents(manifest: &Path) -> Vec<Value> {
    let script =
        "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let read = run(Command::new(peer("kubernetes/bin/python"))
        .args(["-c", script])
        .arg(manifest))
    .succeeds("it is YAML");
    serde_json::from_str(&read.stdout).unwrap()
}

fn of_kind<'d>(documents: &'d [Value], kind: &str) -> &'d Value {
    let mut found = documents.iter().filter(|d| d["kind"] == kind);
    let one = found.next().unwrap();
    assert!(found.next().is_none(), "two of {kind}");
    one
}

#[test]
fn the_manifests_are_what_kubernetes_reads() {
    if !need_peer("kubernetes/bin/kubernetes-validate") {
        return;
    }
    for manifest in MANIFESTS {
        let file = here("deploy/kubernetes").join(manifest);
        run(Command::new(peer("kubernetes/bin/kubernetes-validate"))
            .arg("--strict")
            .arg(&file))
        .succeeds("the schema of Kubernetes has all of it");
        // And it does look: with one word wrong it says no.
        let dir = TempDir::new().unwrap();
        let wrong = dir.path().join("wrong.yaml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&wrong, text.replace("readinessProbe", "readynessProbe")).unwrap();
        run(Command::new(peer("kubernetes/bin/kubernetes-validate"))
            .arg("--strict")
            .arg(&wrong))
        .fails_saying("readynessProbe", "a wrong word is found");
    }
}

#[test]
fn the_configurations_in_the_manifests_are_sound_and_fit_what_is_around_them() {
    if !need_peer("kubernetes/bin/python") {
        return;
    }
    for manifest in MANIFESTS {
        let documents = documents(&here("deploy/kubernetes").join(manifest));
        let toml = of_kind(&documents, "ConfigMap")["data"]["proxy.toml"]
            .as_str()
            .unwrap();
        let pod = &of_kind(&documents, "Deployment")["spec"]["template"]["spec"];
        let gate = &pod["containers"][0];
        assert_eq!(gate["name"], "dockgate");
        let port = |name: &str| {
            let ports = gate["ports"].as_array().unwrap().iter();
            let mut named = ports.filter(|port| port["name"] == name);
            named.next().unwrap()["containerPort"].as_u64().unwrap()
        };
        let config = Config::parse(toml, Path::new("/etc/dockgate"), &[])
            .unwrap()
            .config;
        let ListenAddress::Tcp(address) = config.listeners[0].address else {
            panic!("a Unix socket in {manifest}");
        };
        assert_eq!(u64::from(address.port()), port("https"), "{manifest}");
        let admin = toml.split_once("[admin]\naddress = \"0.0.0.0:").unwrap().1;
        let admin = admin.split_once('"').unwrap().0;
        assert_eq!(admin, port("admin").to_string(), "{manifest}");
        for (probe, path) in [("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")] {
            assert_eq!(gate[probe]["httpGet"]["path"], path, "{manifest}");
            assert_eq!(gate[probe]["httpGet"]["port"], "admin", "{manifest}");
        }
        let service = of_kind(&documents, "Service");
        assert_eq!(
            service["spec"]["ports"][0]["targetPort"], "https",
            "{manifest}"
        );
        assert_eq!(
            service["spec"]["selector"],
            of_kind(&documents, "Deployment")["spec"]["selector"]["matchLabels"],
            "{manifest}"
        );
        let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
        let sleep = gate["lifecycle"]["preStop"]["sleep"]["seconds"]
            .as_u64()
            .unwrap();
        assert!(
            grace > sleep + config.timeouts.drain.as_secs(),
            "{manifest}"
        );
        // Every file that is named lies in a folder that is mounted.
        let mounts: Vec<&str> = gate["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mount| mount["mountPath"].as_str().unwrap())
            .collect();
        for path in toml.split('"').filter(|word| word.starts_with('/')) {
            let mounted = mounts
                .iter()
                .any(|mount| Path::new(path).starts_with(mount));
            assert!(mounted, "{path} is not mounted in {manifest}");
        }
        checks(toml);
    }
}

/// `dockgate check` with the files that the secrets would bring.
#[track_caller]
fn checks(toml: &str) {
    let dir = TempDir::with_prefix("dockgate-kubernetes-").unwrap();
    let secrets = dir.path().join("secrets");
    fs::create_dir_all(secrets.join("tls")).unwrap();
    fs::create_dir_all(secrets.join("users")).unwrap();
    let authority = Authority::new("a cluster");
    let pair = authority.server();
    fs::copy(&pair.certificate, secrets.join("tls/tls.crt")).unwrap();
    fs::copy(&pair.key, secrets.join("tls/tls.key")).unwrap();
    passwords::write(&secrets.join("users/htpasswd"), "alice", "secret");
    let moved = toml
        .replace("\"/secrets", &format!("\"{}", secrets.display()))
        .replace("\"/var/lib/dockgate\"", "\"state\"");
    fs::write(dir.path().join("proxy.toml"), moved).unwrap();
    run(dockgate().current_dir(dir.path()).arg("check"))
        .succeeds("dockgate check")
        .says("proxy.toml: no faults", "it is sound");
}

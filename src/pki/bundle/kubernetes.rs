//! Manifests for Kubernetes: a secret with the files, and what puts them on each node.

use std::fmt::Write as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::tree::hosts_toml;
use super::{Bundle, Piece};

/// Why there is more than a secret in it.
const ABOUT: &str = "\
#
# Kubernetes itself has no client certificates for registries: an imagePullSecret carries a user name and a password and
# nothing else. Images are pulled by the runtime of each node, so that the files have to lie on each node, and every pod
# of a node may then pull what the certificate may ([[rule]] with \"cert:NAME\" says what that is).
#
# The DaemonSet puts them there, again within a minute after the secret has changed. Its image must come from a registry
# that the nodes know already. CRI-O reads /etc/docker/certs.d as it is; containerd reads /etc/containerd/certs.d where
# its config.toml says so:
#     [plugins.\"io.containerd.grpc.v1.cri\".registry]   # containerd 2: [plugins.\"io.containerd.cri.v1.images\".registry]
#       config_path = \"/etc/containerd/certs.d\"
";

pub(super) fn piece(bundle: &Bundle) -> Piece {
    Piece {
        path: PathBuf::from("registry-client.yaml"),
        text: Zeroizing::new(text(bundle)),
        mode: super::super::folder::PRIVATE,
    }
}

fn text(bundle: &Bundle) -> String {
    let name = object_name(&bundle.name);
    let mut out = format!(
        "# Makes the nodes of a cluster know the registry {}, with\n# {}.\n{ABOUT}",
        bundle.target.authority(),
        bundle.about()
    );
    let _ = write!(
        out,
        "apiVersion: v1\n\
         kind: Secret\n\
         metadata:\n  name: {name}\n  namespace: kube-system\n\
         type: Opaque\n\
         data:\n"
    );
    if let Some(ca) = &bundle.ca {
        data(&mut out, "ca.crt", ca);
    }
    data(&mut out, "client.cert", &bundle.certificate);
    data(&mut out, "client.key", &bundle.key);
    for (number, authority) in bundle.target.authorities().iter().enumerate() {
        data(
            &mut out,
            &format!("hosts.toml.{number}"),
            &hosts_toml(bundle, authority),
        );
    }
    out.push_str(&daemon_set(&name));
    out.push_str("          args:\n            - |\n");
    for line in install(bundle).lines() {
        // writing to a String cannot fail
        let _ = writeln!(out, "              {line}");
    }
    out.push_str(VOLUMES);
    let _ = writeln!(out, "            secretName: {name}");
    out
}

fn daemon_set(name: &str) -> String {
    format!(
        "---\n\
         apiVersion: apps/v1\n\
         kind: DaemonSet\n\
         metadata:\n  name: {name}\n  namespace: kube-system\n\
         spec:\n\
         \x20 selector:\n    matchLabels:\n      app: {name}\n\
         \x20 template:\n\
         \x20   metadata:\n      labels:\n        app: {name}\n\
         \x20   spec:\n\
         \x20     automountServiceAccountToken: false\n\
         \x20     terminationGracePeriodSeconds: 1\n\
         \x20     tolerations:\n        - operator: Exists\n\
         \x20     containers:\n\
         \x20       - name: files\n\
         \x20         image: docker.io/library/busybox:stable\n\
         \x20         resources:\n\
         \x20           requests: {{cpu: 1m, memory: 8Mi}}\n\
         \x20           limits: {{memory: 32Mi}}\n\
         \x20         volumeMounts:\n\
         \x20           - {{name: secret, mountPath: /secret, readOnly: true}}\n\
         \x20           - {{name: docker, mountPath: /node/docker}}\n\
         \x20           - {{name: containerd, mountPath: /node/containerd}}\n\
         \x20         command: [sh, -c]\n"
    )
}

const VOLUMES: &str = "      volumes:
        - name: docker
          hostPath: {path: /etc/docker/certs.d, type: DirectoryOrCreate}
        - name: containerd
          hostPath: {path: /etc/containerd/certs.d, type: DirectoryOrCreate}
        - name: secret
          secret:
";

/// The script of the container. `SECRET`, `NODE` and `ONCE` are for those who want to see it work elsewhere.
fn install(bundle: &Bundle) -> String {
    let mut out = String::from(
        "set -eu\n\
         secret=${SECRET:-/secret} node=${NODE:-/node}\n\
         put() { # FILE TO MODE\n\
         \x20 [ -e \"$secret/$1\" ] || return 0\n\
         \x20 cmp -s \"$secret/$1\" \"$2\" && return 0\n\
         \x20 mkdir -p \"$(dirname \"$2\")\"\n\
         \x20 (umask 077 && cat \"$secret/$1\" >\"$2.new\")\n\
         \x20 chmod \"$3\" \"$2.new\"\n\
         \x20 mv -f \"$2.new\" \"$2\"\n\
         }\n\
         folder() {\n\
         \x20 put ca.crt \"$1/ca.crt\" 644\n\
         \x20 put client.key \"$1/client.key\" 600\n\
         \x20 put client.cert \"$1/client.cert\" 644\n\
         }\n\
         while :; do\n",
    );
    for (number, authority) in bundle.target.authorities().iter().enumerate() {
        // writing to a String cannot fail
        let _ = write!(
            out,
            "  folder \"$node/docker/{authority}\"\n\
             \x20 folder \"$node/containerd/{authority}\"\n\
             \x20 put hosts.toml.{number} \"$node/containerd/{authority}/hosts.toml\" 644\n"
        );
    }
    out.push_str("  [ -z \"${ONCE:-}\" ] || exit 0\n  sleep 60\ndone\n");
    out
}

fn data(out: &mut String, key: &str, value: &str) {
    // writing to a String cannot fail
    let _ = writeln!(out, "  {key}: {}", STANDARD.encode(value));
}

/// A name as objects have them (RFC 1123): small letters, digits and dashes.
fn object_name(name: &str) -> String {
    let safe: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    // labels have at most 63 characters
    let whole: String = format!("registry-client-{safe}").chars().take(63).collect();
    whole.trim_end_matches('-').to_owned()
}

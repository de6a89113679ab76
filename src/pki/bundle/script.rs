//! A shell script that root runs on a client's machine.

use std::fmt::Write as _;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::tree::hosts_toml;
use super::{Bundle, Piece};

/// What the script does before it has anything to write. `ROOT` is for images that are being built.
const HEAD: &str = r#"set -eu
umask 022
root=${ROOT:-}
if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
    echo "this writes to /etc: run it as root" >&2
    exit 1
fi

# put FILE MODE: standard input becomes the file, as a whole or not at all
put() {
    mkdir -p "$(dirname "$1")"
    (umask 077 && cat >"$1.new")
    chmod "$2" "$1.new"
    mv -f "$1.new" "$1"
}
"#;

pub(super) fn piece(bundle: &Bundle) -> Piece {
    Piece {
        path: PathBuf::from(format!("{}.sh", super::name::stem(&bundle.name))),
        text: Zeroizing::new(text(bundle)),
        mode: 0o700,
    }
}

fn text(bundle: &Bundle) -> String {
    let authority = bundle.target.authority();
    let mut out = format!(
        "#!/bin/sh\n\
         # Makes this machine know the registry {authority}, with\n\
         # {}:\n\
         # for docker, podman, buildah, skopeo and CRI-O, and for containerd where /etc/containerd is.\n\
         #\n\
         # Run it as root; run the next one after a renewal. It holds a private key: copy it over a safe\n\
         # channel and remove it afterwards.\n",
        bundle.about()
    );
    out.push_str(HEAD);
    if let Some(ca) = &bundle.ca {
        function(&mut out, "ca", ca);
    }
    function(&mut out, "certificate", &bundle.certificate);
    function(&mut out, "key", &bundle.key);
    out.push_str("\n# pair FOLDER\npair() {\n");
    if bundle.ca.is_some() {
        out.push_str("    ca | put \"$1/ca.crt\" 644\n");
    }
    out.push_str("    key | put \"$1/client.key\" 600\n");
    out.push_str("    certificate | put \"$1/client.cert\" 644\n}\n\n");
    for authority in bundle.target.authorities() {
        put(
            &mut out,
            &format!("pair \"$root/etc/docker/certs.d/{authority}\""),
        );
    }
    out.push_str("\nif [ -d \"$root/etc/containerd\" ]; then\n");
    for authority in bundle.target.authorities() {
        let folder = format!("$root/etc/containerd/certs.d/{authority}");
        let hosts = hosts_toml(bundle, &authority);
        put(&mut out, &format!("    pair \"{folder}\""));
        put(
            &mut out,
            &format!("    put \"{folder}/hosts.toml\" 644 <<'HOSTS'\n{hosts}HOSTS"),
        );
    }
    out.push_str(CONTAINERD_NOTE);
    out.push_str("fi\n");
    if let Some(address) = bundle.target.address {
        out.push('\n');
        out.push_str(&hosts_line(&bundle.target.host, &address.to_string()));
    }
    put(
        &mut out,
        &format!("\necho \"this machine knows the registry {authority}\""),
    );
    out
}

const CONTAINERD_NOTE: &str = r#"    grep -qs '^[[:space:]]*config_path.*/etc/containerd/certs.d' "$root/etc/containerd/config.toml" ||
        echo "containerd reads /etc/containerd/certs.d only where config_path in its config.toml says so" >&2
"#;

/// Lines that name the host in `/etc/hosts`, unless it is there. Of a host name every character is safe in them.
pub(super) fn hosts_line(host: &str, address: &str) -> String {
    let pattern = host.replace('.', "\\.");
    format!(
        "if grep -Eqs '^[^#]*[[:space:]]{pattern}([[:space:]]|$)' \"$root/etc/hosts\"; then\n\
         \x20   echo \"/etc/hosts names {host} already and stays as it is\" >&2\n\
         else\n\
         \x20   echo '{address} {host}' >>\"$root/etc/hosts\"\n\
         fi\n"
    )
}

fn function(out: &mut String, name: &str, pem: &str) {
    put(
        out,
        &format!("\n{name}() {{\n    cat <<'PEM'\n{pem}PEM\n}}"),
    );
}

fn put(out: &mut String, line: &str) {
    // writing to a String cannot fail
    let _ = writeln!(out, "{line}");
}

//! User data for machines of a cloud: what cloud-init does at the first boot.

use std::fmt::Write as _;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::script::hosts_line;
use super::{Bundle, Piece};

pub(super) fn piece(bundle: &Bundle) -> Piece {
    Piece {
        path: PathBuf::from("user-data"),
        text: Zeroizing::new(text(bundle)),
        mode: super::super::folder::PRIVATE,
    }
}

/// docker where the image brings none, from the distribution itself.
const DOCKER: &str = "command -v docker || command -v podman ||\n\
    { apt-get update -q && apt-get install -q -y docker.io; } ||\n\
    dnf install -y docker ||\n\
    yum install -y docker\n\
    systemctl enable --now docker || true\n";

fn text(bundle: &Bundle) -> String {
    let mut out = format!(
        "#cloud-config\n\
         # Makes a machine know the registry {}, with\n\
         # {}.\n\
         #\n\
         # It holds a private key, and every process of the machine that reaches the cloud's metadata service can read\n\
         # user data: keep containers away from that service (on AWS: IMDSv2 with a hop limit of 1), or keep a script of\n\
         # `dockgate cert bundle --format script` in a private bucket and let the machine fetch it with its role.\n\
         write_files:\n",
        bundle.target.authority(),
        bundle.about()
    );
    for authority in bundle.target.authorities() {
        let folder = format!("/etc/docker/certs.d/{authority}");
        if let Some(ca) = &bundle.ca {
            file(&mut out, &format!("{folder}/ca.crt"), "0644", ca);
        }
        file(
            &mut out,
            &format!("{folder}/client.key"),
            "0600",
            &bundle.key,
        );
        file(
            &mut out,
            &format!("{folder}/client.cert"),
            "0644",
            &bundle.certificate,
        );
    }
    out.push_str("runcmd:\n");
    if let Some(address) = bundle.target.address {
        let lines = hosts_line(&bundle.target.host, &address.to_string());
        block(&mut out, &lines.replace("$root", ""));
    }
    block(&mut out, DOCKER);
    out
}

fn file(out: &mut String, path: &str, permissions: &str, content: &str) {
    // writing to a String cannot fail
    let _ = write!(
        out,
        "  - path: \"{path}\"\n    owner: \"root:root\"\n    permissions: \"{permissions}\"\n    content: |\n"
    );
    indented(out, content, "      ");
}

fn block(out: &mut String, lines: &str) {
    out.push_str("  - |\n");
    indented(out, lines, "    ");
}

fn indented(out: &mut String, text: &str, by: &str) {
    for line in text.lines() {
        // writing to a String cannot fail
        let _ = writeln!(out, "{by}{line}");
    }
}

//! Folders as docker, podman and containerd read them.
//!
//! In `certs.d` the endings matter: `.crt` is a CA, `.cert` and `.key` are a client's pair.

use std::path::Path;

use zeroize::Zeroizing;

use super::super::folder::{PRIVATE, PUBLIC};
use super::{Bundle, Piece};

/// `certs.d/HOST:PORT/` with the CA and the pair.
pub(super) fn certs_d(bundle: &Bundle) -> Vec<Piece> {
    let authorities = bundle.target.authorities();
    authorities
        .iter()
        .flat_map(|authority| files(bundle, authority))
        .collect()
}

/// The same with a `hosts.toml` that names the files beside it.
pub(super) fn containerd(bundle: &Bundle) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for authority in bundle.target.authorities() {
        pieces.push(Piece {
            path: folder(&authority).join("hosts.toml"),
            text: Zeroizing::new(hosts_toml(bundle, &authority)),
            mode: PUBLIC,
        });
        pieces.extend(files(bundle, &authority));
    }
    pieces
}

/// For containerd 1.5 and later. The lines above the table are for 1.7 and later, which then ask no second time without
/// the certificate; 1.6 reads the table alone.
pub(super) fn hosts_toml(bundle: &Bundle, authority: &str) -> String {
    let trust = if bundle.ca.is_some() {
        "ca = \"ca.crt\"\n"
    } else {
        ""
    };
    let client = "client = [[\"client.cert\", \"client.key\"]]\n";
    format!(
        "server = \"https://{authority}\"\n{trust}{client}\n\
         [host.\"https://{authority}\"]\n\
         capabilities = [\"pull\", \"resolve\", \"push\"]\n{trust}{client}"
    )
}

fn files(bundle: &Bundle, authority: &str) -> Vec<Piece> {
    let folder = folder(authority);
    let piece = |name: &str, text: &str, mode| Piece {
        path: folder.join(name),
        text: Zeroizing::new(text.to_owned()),
        mode,
    };
    let mut pieces = Vec::new();
    pieces.extend(bundle.ca.as_ref().map(|ca| piece("ca.crt", ca, PUBLIC)));
    // the key first: a client that finds a certificate looks for its key
    pieces.push(piece("client.key", &bundle.key, PRIVATE));
    pieces.push(piece("client.cert", &bundle.certificate, PUBLIC));
    pieces
}

fn folder(authority: &str) -> std::path::PathBuf {
    Path::new("certs.d").join(authority)
}

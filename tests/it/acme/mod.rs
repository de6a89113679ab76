//! Certificates from an authority, had from a real one: Let's Encrypt's Pebble.

mod bad_input;
mod failures;
mod issue;
mod life;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use crate::support::dialog::{Dialog, Tls};
use crate::support::house::eventually;
use crate::support::pebble::Pebble;
use crate::support::program::{Program, dockgate};

/// A gate with one TLS listener that names no certificate, and a registry in memory that everybody may read.
const GATE: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\n[registry]\nstorage = \"memory\"\n\
                    [auth]\nanonymous = \"pull\"\n";

/// The log has these when it is done.
const ISSUED: &str = "the authority has issued a certificate";
const RELOADED: &str = "reload: reloaded";

fn start(acme: &str) -> Program {
    Program::start(&format!("{GATE}{acme}"))
}

/// Starts the gate with this configuration over a folder that outlives it.
fn start_in(dir: &Path, acme: &str) -> Program {
    fs::write(dir.join("proxy.toml"), format!("{GATE}{acme}")).unwrap();
    let mut command = dockgate();
    command.arg("serve").current_dir(dir).stdout(Stdio::piped());
    let own = TempDir::with_prefix("dockgate-program-").unwrap();
    let program = Program::spawn(own, command);
    program.err_line("listening");
    program
}

/// The certificate of the gate that lies in `dir`.
fn certificate_in(dir: &Path) -> PathBuf {
    only_file(dir, "certificate.pem")
}

/// The one file of this name below the state of the gate that lies in `dir`.
fn only_file(dir: &Path, name: &str) -> PathBuf {
    let mut found = files(&dir.join("dockgate-data/acme"));
    found.retain(|path| path.file_name().is_some_and(|n| n == name));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all.sort();
    all
}

/// A client that trusts this CA and no other asks the gate under this name; what it was shown.
#[track_caller]
fn trusts(gate: &Program, ca: &Path, name: &str) -> Vec<u8> {
    let mut dialog = Dialog::tls(gate.address(0), &Tls::new(ca, name));
    let shown = dialog.handshake();
    shown.unwrap_or_else(|e| panic!("{name}: {e}\n{}", gate.stderr()));
    assert_eq!(dialog.get("/v2/_catalog").status, 200);
    dialog.certificate().unwrap()
}

/// The certificate that the gate shows for this name, if it is one of this CA.
fn shown(gate: &Program, ca: &Path, name: &str) -> Option<Vec<u8>> {
    let mut dialog = Dialog::tls(gate.address(0), &Tls::new(ca, name));
    dialog.handshake().ok()?;
    dialog.certificate()
}

/// Waits until the gate has a certificate of this authority and shows it for the name. How many reloads that takes is the
/// gate's affair: two that come together are one.
#[track_caller]
fn is_had(gate: &Program, pebble: &Pebble, name: &str) {
    gate.err_line(ISSUED);
    gate.err_line(RELOADED);
    let root = pebble.root();
    eventually(|| shown(gate, &root, name));
}

/// The CA that the gate makes itself.
fn own_ca(dir: &Path) -> PathBuf {
    dir.join("dockgate-data/tls/ca.crt")
}

//! A certificate is had: over TLS, in clear, for several names; and serving goes on meanwhile.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::dialog::{Dialog, Tls};
use crate::support::pebble::{Pebble, need_pebble};
use crate::support::program::Program;

use super::{GATE, certificate_in, files, is_had, own_ca, start, trusts};

#[test]
fn a_certificate_for_several_names_is_had_over_tls_while_the_gate_serves() {
    if !need_pebble() {
        return;
    }
    let pebble = Pebble::start();
    let gate = start(&pebble.toml(&["registry.test", "mirror.test"]));
    // The authority waits for its proof, and nobody else waits for anything.
    pebble.logged("POST /order-plz -> calling handler()");
    let own = Tls::new(&own_ca(gate.dir()), "localhost");
    let mut open = Dialog::tls(gate.address(0), &own);
    assert_eq!(open.get("/v2/_catalog").status, 200);

    pebble.prove_at(gate.address(0));
    is_had(&gate, &pebble, "registry.test");
    let root = pebble.root();
    let shown = trusts(&gate, &root, "registry.test");
    assert_eq!(trusts(&gate, &root, "mirror.test"), shown, "one for both");
    assert_eq!(
        open.get("/v2/_catalog").status,
        200,
        "old connections go on"
    );
    assert!(!gate.stderr().contains("ERROR"), "{}", gate.stderr());

    for file in files(&gate.path("dockgate-data/acme")) {
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(
            ["account.json", "certificate.pem", "lock"].contains(&name),
            "{name}"
        );
    }
    let key = fs::read_to_string(certificate_in(gate.dir())).unwrap();
    assert!(key.contains("PRIVATE KEY"), "chain and key are one file");
    let said = gate.stderr() + &gate.stdout();
    assert!(!said.contains("PRIVATE KEY"));
}

/// Over HTTP/1.1 on this listener, without credentials.
#[track_caller]
fn status(gate: &Program, listener: usize, target: &str) -> u16 {
    Dialog::tcp(gate.address(listener)).get(target).status
}

#[test]
fn a_certificate_is_had_in_clear_from_a_port_that_answers_nothing_else() {
    if !need_pebble() {
        return;
    }
    let pebble = Pebble::start();
    let acme = format!(
        "{}challenge = \"http-01\"\nhttp_address = \"127.0.0.1:0\"\n",
        pebble.toml(&["registry.test"])
    );
    let gate = start(&acme);
    let refused = Dialog::tcp(gate.address(1)).get("/v2/_catalog");
    assert_eq!(refused.status, 404, "{}", refused.head);
    assert!(
        refused.text().contains("answers ACME challenges alone"),
        "{}",
        refused.text()
    );
    for target in [
        "/",
        "/_ping",
        "/v2/",
        "/v2/token",
        "/.well-known/acme-challenge/x",
    ] {
        assert_eq!(status(&gate, 1, target), 404, "{target}");
    }
    pebble.prove_at(gate.address(1));
    is_had(&gate, &pebble, "registry.test");
    trusts(&gate, &pebble.root(), "registry.test");
    let log = pebble.log();
    let url = log
        .lines()
        .find(|l| l.contains("Attempting to validate w/ HTTP"))
        .unwrap();
    let (_, path) = url.split_once("/.well-known/").unwrap();
    let target = format!("/.well-known/{}", path.trim());
    assert_eq!(
        status(&gate, 1, &target),
        404,
        "what is proven is forgotten: {target}"
    );
}

#[test]
fn a_listener_in_clear_answers_the_authority_and_nobody_has_to_say_who_he_is_for_it() {
    if !need_pebble() {
        return;
    }
    let pebble = Pebble::start();
    let closed = GATE.replace("anonymous = \"pull\"", "htpasswd = \"htpasswd\"");
    let toml = format!(
        "{closed}{}challenge = \"http-01\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n",
        pebble.toml(&["registry.test"])
    );
    let gate = Program::start_with(&toml, |dir| {
        fs::write(dir.join("htpasswd"), "ann:{PLAIN}secret\n").unwrap();
    });
    assert_eq!(status(&gate, 1, "/v2/"), 401);
    assert_eq!(status(&gate, 1, "/.well-known/acme-challenge/x"), 404);
    assert_eq!(status(&gate, 1, "/.well-known/acme-challenge/"), 404);
    assert_eq!(status(&gate, 1, "/.well-known/acme-challenge/../x"), 400);
    pebble.prove_at(gate.address(1));
    is_had(&gate, &pebble, "registry.test");
    let mut dialog = Dialog::tls(gate.address(0), &Tls::new(&pebble.root(), "registry.test"));
    assert_eq!(dialog.get("/v2/").status, 401);
}

//! An authority that is down, has had enough, does not know us, or is not who it should be.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::certs::Authority;
use crate::support::nginx::Nginx;
use crate::support::pebble::{Door, Kind, Pebble, need_pebble};
use crate::support::peers::need;

use super::{GATE, certificate_in, is_had, own_ca, start, start_in, trusts};

const FAILED: &str = "reason=\"acme_failed\"";

#[test]
fn an_authority_that_is_down_is_waited_for_and_a_certificate_that_is_there_stays() {
    if !need_pebble() || !need(&["nginx"]) {
        return;
    }
    let (pebble, dir, way) = (Pebble::start(), TempDir::new().unwrap(), Door::new());
    way.close();
    let acme = pebble.toml_at(&way.directory(), &["registry.test"]);
    let gate = start_in(dir.path(), &acme);
    let told = gate.err_line(FAILED);
    for words in [
        "ERROR",
        "no answer",
        "/dir",
        "acme.directory",
        "retry_in_s=",
    ] {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
    trusts(&gate, &own_ca(dir.path()), "localhost");

    way.lead_to(pebble.address());
    pebble.prove_at(gate.address(0));
    gate.signal(Signal::HUP);
    is_had(&gate, &pebble, "registry.test");
    let root = pebble.root();
    let shown = trusts(&gate, &root, "registry.test");
    drop(gate);

    way.close();
    let gate = start_in(dir.path(), &acme);
    assert_eq!(trusts(&gate, &root, "registry.test"), shown);
    drop(gate);

    // Due, while the authority gives none.
    pebble.wants_renewal_of(&certificate_in(dir.path()));
    let nginx = Nginx::start(Ipv4Addr::LOCALHOST, &front(&pebble, DOWN));
    way.lead_to(nginx.address());
    let gate = start_in(dir.path(), &acme);
    let told = gate.err_line(FAILED);
    for words in [
        "WARN",
        "no new certificate yet, the old one is good",
        "answered 503",
    ] {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
    assert_eq!(trusts(&gate, &root, "registry.test"), shown);
}

/// What of the authority answers something else.
const DOWN: &str = "location = /order-plz { return 503; }";
const LIMITED: &str = "location = /order-plz { default_type application/problem+json; \
    add_header Retry-After 7200 always; \
    return 429 '{\"type\":\"urn:ietf:params:acme:error:rateLimited\",\"detail\":\"too many orders\"}'; }";
const NO_CERTIFICATES: &str = "location /finalize-order/ { return 503; }";

/// nginx before Pebble, with a certificate that whoever trusts Pebble's own server trusts.
fn front(pebble: &Pebble, instead: &str) -> String {
    let pair = pebble.pair_for("localhost");
    format!(
        "server {{ listen LISTEN ssl; ssl_certificate {}; ssl_certificate_key {}; {instead} \
         location / {{ proxy_pass {}; proxy_set_header Host $http_host; }} }}",
        pair.certificate.display(),
        pair.key.display(),
        pebble.directory().trim_end_matches("/dir"),
    )
}

fn at(nginx: &Nginx) -> String {
    format!("https://localhost:{}/dir", nginx.address().port())
}

#[test]
fn an_authority_that_has_had_enough_is_left_alone_for_as_long_as_it_wants() {
    if !need_pebble() || !need(&["nginx"]) {
        return;
    }
    let (pebble, dir) = (Pebble::start(), TempDir::new().unwrap());
    let nginx = Nginx::start(Ipv4Addr::LOCALHOST, &front(&pebble, LIMITED));
    let acme = pebble.toml_at(&at(&nginx), &["registry.test"]);
    let gate = start_in(dir.path(), &acme);
    let told = gate.err_line(FAILED);
    for words in [
        "too many orders (rateLimited)",
        "retry_in_s=7200",
        "nothing to do but wait",
    ] {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
    gate.signal(Signal::HUP);
    gate.err_line("reload: reloaded");
    trusts(&gate, &own_ca(dir.path()), "localhost");
    drop(gate);

    let gate = start_in(dir.path(), &acme);
    let told = gate.err_line("the authority wants to be left alone");
    assert!(told.contains("for_s=71"), "{told}");
    trusts(&gate, &own_ca(dir.path()), "localhost");
    drop(gate);
    assert_eq!(nginx.access_log().matches("POST /order-plz").count(), 1);
}

#[test]
fn an_order_that_a_restart_interrupts_is_gone_on_with() {
    if !need_pebble() || !need(&["nginx"]) {
        return;
    }
    let (pebble, dir) = (Pebble::start(), TempDir::new().unwrap());
    let nginx = Nginx::start(Ipv4Addr::LOCALHOST, &front(&pebble, NO_CERTIFICATES));
    let way = Door::new();
    way.lead_to(nginx.address());
    let acme = pebble.toml_at(&way.directory(), &["registry.test"]);
    let gate = start_in(dir.path(), &acme);
    pebble.prove_at(gate.address(0));
    let told = gate.err_line(FAILED);
    assert!(told.contains("answered 503"), "{told}");
    let order = fs::read(super::only_file(dir.path(), "order.json")).unwrap();
    assert!(!order.is_empty());
    drop(gate);

    way.lead_to(pebble.address());
    let gate = start_in(dir.path(), &acme);
    is_had(&gate, &pebble, "registry.test");
    trusts(&gate, &pebble.root(), "registry.test");
    let log = pebble.log();
    assert!(!log.contains("There are now 2 orders"), "{log}");
}

#[test]
fn a_name_that_does_not_lead_here_is_told_by_name_and_port() {
    if !need_pebble() {
        return;
    }
    let (pebble, nowhere) = (Pebble::start(), Door::new());
    nowhere.close();
    pebble.prove_at(nowhere.address());
    let gate = start(&pebble.toml(&["registry.test"]));
    let told = gate.err_line(FAILED);
    for words in [
        "registry.test was not proven",
        "port 443 of registry.test must lead to this gate",
    ] {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
    trusts(&gate, &own_ca(gate.dir()), "localhost");
    // DNS is mended, and whoever did it does not wait a minute.
    pebble.prove_at(gate.address(0));
    gate.signal(Signal::HUP);
    is_had(&gate, &pebble, "registry.test");
}

#[test]
fn an_authority_that_takes_few_nonces_is_asked_until_it_takes_one() {
    if !need_pebble() {
        return;
    }
    let pebble = Pebble::start_as(&Kind {
        bad_nonces: Some(40),
        ..Kind::default()
    });
    let gate = start(&pebble.toml(&["registry.test"]));
    pebble.prove_at(gate.address(0));
    is_had(&gate, &pebble, "registry.test");
    assert!(!gate.stderr().contains(FAILED), "{}", gate.stderr());
    let log = pebble.log();
    assert!(!log.contains("There are now 2 orders"), "{log}");
}

#[test]
fn an_authority_that_wants_an_account_first_gets_its_credentials() {
    if !need_pebble() {
        return;
    }
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let pebble = Pebble::start_as(&Kind {
        binding: Some(("kid-1", key)),
        ..Kind::default()
    });
    let dir = TempDir::new().unwrap();
    let acme = pebble.toml(&["registry.test"]);
    let gate = start_in(dir.path(), &acme);
    pebble.prove_at(gate.address(0));
    let told = gate.err_line(FAILED);
    assert!(told.contains("write eab_key_id and eab_key_file"), "{told}");

    let file = dir.path().join("proxy.toml");
    let bound = format!("{GATE}{acme}eab_key_id = \"kid-1\"\neab_key_file = \"eab.key\"\n");
    fs::write(dir.path().join("eab.key"), "bm90IHRoZSBrZXk\n").unwrap();
    fs::write(&file, &bound).unwrap();
    gate.err_times(FAILED, 2);
    let told = gate.stderr();
    let told = told.lines().rfind(|l| l.contains(FAILED)).unwrap();
    assert!(
        told.contains("look at eab_key_id and eab_key_file"),
        "{told}"
    );

    fs::write(dir.path().join("eab.key"), format!("{key}\n")).unwrap();
    gate.signal(Signal::HUP);
    is_had(&gate, &pebble, "registry.test");
    assert!(
        pebble.log().contains("Successful newAccount Binding"),
        "{}",
        pebble.log()
    );
    assert!(!(gate.stderr() + &gate.stdout()).contains(key));
}

#[test]
fn a_server_that_is_not_the_authoritys_is_told_nothing() {
    if !need_pebble() {
        return;
    }
    let pebble = Pebble::start();
    let other = Arc::new(Authority::new("another CA"));
    let acme = pebble.toml(&["registry.test"]);
    let (before, _) = acme.split_once("directory_ca").unwrap();
    let gate = start(&format!("{before}directory_ca = {:?}\n", other.ca()));
    let told = gate.err_line(FAILED);
    for words in ["UnknownIssuer", "acme.directory_ca"] {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
    assert!(!pebble.log().contains("new account"), "{}", pebble.log());
    trusts(&gate, &own_ca(gate.dir()), "localhost");
}

#[test]
fn what_is_no_directory_is_told() {
    if !need_pebble() {
        return;
    }
    let pebble = Pebble::start();
    for (path, words) in [
        ("/nowhere", "answered 404"),
        ("/nonce-plz", "cannot be read"),
    ] {
        let url = pebble.directory().replace("/dir", path);
        let gate = start(&pebble.toml_at(&url, &["registry.test"]));
        let told = gate.err_line(FAILED);
        assert!(told.contains(words), "{told}");
        assert!(
            told.contains("it must be the URL of the directory itself"),
            "{told}"
        );
    }
}

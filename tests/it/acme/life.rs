//! The life of a certificate: restarts, renewals, other names, other processes.

use std::fs;

use rustix::process::Signal;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tempfile::TempDir;

use crate::support::house::eventually;
use crate::support::pebble::{Kind, Pebble, need_pebble};

use super::{
    GATE, ISSUED, certificate_in, files, is_had, only_file, own_ca, shown, start, start_in, trusts,
};

#[test]
fn a_restart_keeps_account_and_certificate_and_renews_when_the_authority_wants_it() {
    if !need_pebble() {
        return;
    }
    let (pebble, dir) = (Pebble::start(), TempDir::new().unwrap());
    let acme = pebble.toml(&["registry.test"]);
    let gate = start_in(dir.path(), &acme);
    pebble.prove_at(gate.address(0));
    is_had(&gate, &pebble, "registry.test");
    let root = pebble.root();
    let first = trusts(&gate, &root, "registry.test");
    drop(gate);
    let account = fs::read(only_file(dir.path(), "account.json")).unwrap();

    let gate = start_in(dir.path(), &acme);
    assert_eq!(
        trusts(&gate, &root, "registry.test"),
        first,
        "from the first connection on"
    );
    drop(gate);

    pebble.wants_renewal_of(&certificate_in(dir.path()));
    let gate = start_in(dir.path(), &acme);
    assert_eq!(
        trusts(&gate, &root, "registry.test"),
        first,
        "the old one is good"
    );
    pebble.prove_at(gate.address(0));
    gate.err_line(ISSUED);
    eventually(|| shown(&gate, &root, "registry.test").filter(|second| *second != first));
    assert_eq!(
        fs::read(only_file(dir.path(), "account.json")).unwrap(),
        account
    );
    let log = pebble.log();
    assert!(
        log.contains("is a replacement of"),
        "it says what it replaces:\n{log}"
    );
    assert!(!log.contains("There are now 2 accounts"), "{log}");
    assert!(
        log.contains("There are now 2 orders"),
        "one for each certificate:\n{log}"
    );
    assert!(!log.contains("There are now 3 orders"), "{log}");
}

#[test]
fn a_certificate_that_ends_soon_is_renewed_while_it_is_served() {
    if !need_pebble() {
        return;
    }
    let pebble = Pebble::start_as(&Kind {
        validity: Some(20),
        ..Kind::default()
    });
    let gate = start(&pebble.toml(&["registry.test"]));
    pebble.prove_at(gate.address(0));
    gate.err_times(ISSUED, 2);
    let second = fs::read(certificate_in(gate.dir())).unwrap();
    let second = CertificateDer::from_pem_slice(&second).unwrap();
    let root = pebble.root();
    eventually(|| shown(&gate, &root, "registry.test").filter(|leaf| *leaf == *second));
    assert!(!gate.stderr().contains("acme_failed"), "{}", gate.stderr());
}

#[test]
fn other_names_take_effect_without_a_restart_and_the_old_certificate_is_kept() {
    if !need_pebble() {
        return;
    }
    let (pebble, dir) = (Pebble::start(), TempDir::new().unwrap());
    let gate = start_in(dir.path(), &pebble.toml(&["first.test"]));
    pebble.prove_at(gate.address(0));
    is_had(&gate, &pebble, "first.test");
    let root = pebble.root();
    let first = trusts(&gate, &root, "first.test");
    let file = certificate_in(dir.path());
    let kept = fs::read(&file).unwrap();

    let acme = pebble.toml(&["second.test", "first.test"]);
    fs::write(dir.path().join("proxy.toml"), format!("{GATE}{acme}")).unwrap();
    gate.err_times(ISSUED, 2);
    assert_ne!(eventually(|| shown(&gate, &root, "second.test")), first);
    trusts(&gate, &root, "first.test");
    assert_eq!(fs::read(&file).unwrap(), kept);

    fs::write(dir.path().join("proxy.toml"), GATE).unwrap();
    eventually(|| shown(&gate, &own_ca(dir.path()), "localhost"));
}

#[test]
fn until_there_is_a_certificate_for_other_names_the_one_of_before_is_shown() {
    if !need_pebble() {
        return;
    }
    let (pebble, dir) = (Pebble::start(), TempDir::new().unwrap());
    let gate = start_in(dir.path(), &pebble.toml(&["first.test"]));
    pebble.prove_at(gate.address(0));
    is_had(&gate, &pebble, "first.test");
    let root = pebble.root();
    let first = trusts(&gate, &root, "first.test");

    // The authority looks for the proof where nobody listens.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    pebble.prove_at(closed.local_addr().unwrap());
    drop(closed);
    let acme = pebble.toml(&["second.test"]);
    fs::write(dir.path().join("proxy.toml"), format!("{GATE}{acme}")).unwrap();
    gate.err_line("clients are shown the certificate of before");
    gate.err_line("acme_failed");
    assert_eq!(trusts(&gate, &root, "first.test"), first);
}

#[test]
fn two_processes_over_one_folder_order_one_certificate() {
    if !need_pebble() {
        return;
    }
    let (pebble, dir) = (Pebble::start(), TempDir::new().unwrap());
    let acme = pebble.toml(&["registry.test"]);
    let one = start_in(dir.path(), &acme);
    pebble.logged("POST /order-plz -> calling handler()");
    let other = start_in(dir.path(), &acme);
    pebble.prove_at(one.address(0));
    is_had(&one, &pebble, "registry.test");
    other.err_line("reload: reloaded");
    let root = pebble.root();
    let shown = trusts(&one, &root, "registry.test");
    assert_eq!(trusts(&other, &root, "registry.test"), shown);
    let log = pebble.log();
    assert!(log.contains("There are now 1 orders"), "{log}");
    assert!(!log.contains("There are now 2 orders"), "{log}");
}

#[test]
fn damaged_files_stop_nothing_and_are_moved_aside() {
    if !need_pebble() {
        return;
    }
    let (pebble, dir) = (Pebble::start(), TempDir::new().unwrap());
    let acme = pebble.toml(&["registry.test"]);
    let gate = start_in(dir.path(), &acme);
    pebble.prove_at(gate.address(0));
    is_had(&gate, &pebble, "registry.test");
    drop(gate);
    let certificate = certificate_in(dir.path());
    let whole = fs::read(&certificate).unwrap();
    fs::write(&certificate, &whole[..whole.len() / 2]).unwrap();
    let account = only_file(dir.path(), "account.json");
    fs::write(&account, "{}").unwrap();

    let gate = start_in(dir.path(), &acme);
    trusts(&gate, &own_ca(dir.path()), "localhost");
    gate.err_line("clients are shown one of dockgate's own until there is another");
    gate.err_line("account.json: is damaged, and was moved to");
    pebble.prove_at(gate.address(0));
    is_had(&gate, &pebble, "registry.test");
    trusts(&gate, &pebble.root(), "registry.test");
    let aside = |of: &std::path::Path| {
        let mark = format!("{}.damaged-", of.display());
        let mut all = files(of.parent().unwrap());
        all.retain(|path| path.display().to_string().starts_with(&mark));
        assert_eq!(all.len(), 1, "{all:?}");
        fs::read(&all[0]).unwrap()
    };
    assert_eq!(aside(&account), b"{}");
    assert_eq!(aside(&certificate), whole[..whole.len() / 2]);
}

#[test]
fn stopping_does_not_wait_for_an_authority_that_takes_its_time() {
    if !need_pebble() {
        return;
    }
    let pebble = Pebble::start();
    let mut gate = start(&pebble.toml(&["registry.test"]));
    pebble.logged("POST /order-plz -> calling handler()");
    gate.signal(Signal::TERM);
    assert_eq!(gate.wait(), Some(0));
}

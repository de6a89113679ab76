//! The same folder in the hands of `openssl ca`, and a CA that openssl made.

use std::fs;

use crate::support::desk::{Desk, openssl};
use crate::support::peers;

#[test]
fn openssl_reads_and_writes_the_index_of_the_desk() {
    if !peers::need(&["openssl"]) {
        return;
    }
    let desk = Desk::new();
    let one = desk
        .cert(&["client", "--name", "one"])
        .done()
        .value("serial");
    let two = desk
        .cert(&["client", "--name", "two"])
        .done()
        .value("serial");
    desk.cert(&["renew", "one"]).done();
    desk.cert(&["revoke", &two, "--reason", "superseded"])
        .done();
    // its exit code says nothing
    let status = desk.openssl_ca(&format!("-status {one}"));
    assert!(status.stderr.contains("=Valid (V)"), "{status}");
    let status = desk.openssl_ca(&format!("-status {two}"));
    assert!(status.stderr.contains("=Revoked (R)"), "{status}");
    desk.openssl_ca("-updatedb").succeeds("openssl updates it");
    desk.openssl_ca("-gencrl -out ../theirs.pem")
        .succeeds("openssl makes a list of it");
    let theirs = openssl(&desk.dir(), "crl -in ../theirs.pem -noout -text").stdout;
    assert!(
        theirs.contains(&two) && theirs.contains("Superseded"),
        "{theirs}"
    );

    // what openssl issues and takes back, the desk knows
    desk.openssl(
        "req -nodes -newkey rsa:2048 -keyout ../x.key -out ../x.csr -batch -subj /CN=by-openssl",
    )
    .succeeds("a request is made");
    desk.openssl_ca("-in ../x.csr -out ../x.crt -notext")
        .succeeds("openssl issues a certificate");
    let listed = desk.cert(&["list"]).done();
    assert!(listed.out.contains("by-openssl"), "{listed:?}");
    desk.openssl_ca("-revoke ../x.crt -crl_reason keyCompromise")
        .succeeds("openssl takes it back");
    let listed = desk.cert(&["list"]).done();
    assert!(
        listed.err.contains("lacks certificates"),
        "openssl made no list: {listed:?}"
    );
    desk.cert(&["renew", "--crl"]).done();
    assert_eq!(desk.listed().len(), 2);
    desk.openssl("verify -crl_check -CRLfile crl.pem -CAfile ca.crt ../x.crt")
        .fails_saying("certificate revoked", "openssl's own certificate");
}

#[test]
fn the_ca_of_seed_002_goes_on_with_its_own_names() {
    if !peers::need(&["openssl"]) {
        return;
    }
    let desk = Desk::empty();
    let seed = desk.beside("opt");
    fs::create_dir_all(seed.join("certs")).unwrap();
    // the seed's own command
    openssl(&seed, "req -nodes -newkey rsa:8192 -days 365 -x509 -keyout client-ca.key -out certs/client-ca.cert -batch -subj /commonName=docker-registry-client-ca")
        .succeeds("the CA is made");
    openssl(&seed, "genrsa -out client.key 4096").succeeds("a key is made");
    openssl(
        &seed,
        "req -new -key client.key -out client.csr -batch -subj /commonName=docker-registry-client",
    )
    .succeeds("a request is made");
    openssl(&seed, "x509 -req -days 365 -in client.csr -CA certs/client-ca.cert -CAkey client-ca.key -set_serial 01 -out client.cert")
        .succeeds("the seed's client is made");
    let (ca, key) = ("opt/certs/client-ca.cert", "opt/client-ca.key");

    // beside the CA, and then taken over
    let with = ["--ca", ca, "--ca-key", key];
    desk.cert(&[&["client", "--name", "build-7"][..], &with].concat())
        .done();
    openssl(
        &desk.dir(),
        "verify -CAfile ../opt/certs/client-ca.cert build-7.crt",
    )
    .succeeds("the seed's own check");
    desk.cert(&[&["init-ca"][..], &with].concat()).done();
    desk.cert(&["client", "--name", "build-8"]).done();
    for name in ["build-7", "build-8"] {
        desk.openssl(&format!(
            "verify -crl_check -CRLfile crl.pem -CAfile ../opt/certs/client-ca.cert {name}.crt"
        ))
        .succeeds("both verify below the old CA");
    }
    let issuer = |file: &str| {
        desk.openssl(&format!("x509 -in {file} -noout -issuer_hash"))
            .stdout
    };
    assert_eq!(issuer("build-8.crt"), issuer("ca.crt"));

    // the seed's client is of version 1, and no index knows it
    desk.cert(&["revoke", "01"]).refused(2, "--file");
    desk.cert(&["revoke", "--file", "opt/client.cert"]).done();
    assert_eq!(desk.listed(), ["01"]);
    let listed = desk.cert(&["list"]).done();
    assert!(listed.out.contains("docker-registry-client"), "{listed:?}");
}

#[test]
fn the_name_of_a_ca_goes_into_its_certificates_byte_for_byte() {
    if !peers::need(&["openssl"]) {
        return;
    }
    let desk = Desk::empty();
    let outside = desk.beside("");
    // Latin 1 and printable strings, several values in one part: what a library would write anew in UTF-8
    fs::write(
        desk.beside("ca.cnf"),
        "[req]\nprompt=no\nstring_mask=nombstr\ndistinguished_name=d\nx509_extensions=v\n[d]\nC=DE\nO=B\u{fc}ro \
         Ltd\nOU=one\n+OU=two\nCN=old ca\n[v]\nbasicConstraints=critical,CA:TRUE\n",
    )
    .unwrap();
    openssl(&outside, "req -config ca.cnf -multivalue-rdn -utf8 -nodes -newkey rsa:2048 -days 9 -x509 -keyout old.key -out old.crt")
        .succeeds("an old CA is made");
    desk.cert(&["init-ca", "--ca", "old.crt", "--ca-key", "old.key"])
        .done();
    desk.cert(&["client", "--name", "a"]).done();
    desk.openssl("verify -CAfile ../old.crt a.crt")
        .succeeds("openssl finds the way");
    let name = |file: &str, which: &str| {
        let shown = desk.openssl(&format!(
            "x509 -in {file} -noout -{which} -nameopt dump_all,dump_der,oid"
        ));
        let text = shown.succeeds("a name is shown as its bytes").stdout;
        text.split_once('=').unwrap().1.trim().to_owned()
    };
    assert!(
        name("ca.crt", "subject").contains("#14"),
        "not all of it is UTF-8"
    );
    assert_eq!(name("a.crt", "issuer"), name("ca.crt", "subject"));
    // nine days of the CA are left: nothing that it issues lasts longer
    let listed = desk.cert(&["list"]).done();
    assert!(listed.err.contains("the CA ends on"), "{listed:?}");
}

#[test]
fn a_ca_is_renewed_under_its_certificates() {
    if !peers::need(&["openssl"]) {
        return;
    }
    let desk = Desk::empty();
    desk.cert(&["init-ca", "--days", "3"]).done();
    let clamped = desk.cert(&["client", "--name", "a"]).done();
    assert!(clamped.err.contains("ends with its CA"), "{clamped:?}");
    let renewed = desk.cert(&["renew", "ca", "--days", "100"]).done();
    assert!(renewed.out.contains("ca.crt"), "{renewed:?}");
    desk.openssl("verify -x509_strict -crl_check -CRLfile crl.pem -CAfile ca.crt a.crt")
        .succeeds("what the CA issued before stays good");
    let later = desk.cert(&["client", "--name", "b", "--days", "90"]).done();
    assert!(later.value("expiry") > clamped.value("expiry"));
}

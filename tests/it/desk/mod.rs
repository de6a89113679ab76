//! The certificate desk: `dockgate cert`, with openssl as the judge.

mod bad_input;
mod bundles;
mod crash;
mod gate;
mod openssl;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::desk::Desk;
use crate::support::peers;

/// The permissions of a file.
fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_certificate_has_what_clients_and_servers_look_for() {
    if !peers::need(&["openssl"]) {
        return;
    }
    let desk = Desk::new();
    let made = desk
        .cert(&[
            "client",
            "--name",
            "build-7",
            "--san",
            "uri:spiffe://example.org/b7",
        ])
        .done();
    desk.cert(&[
        "server",
        "--name",
        "registry.example.com",
        "--san",
        "10.0.0.1",
        "--san",
        "dns:*.r.example.com",
    ])
    .done();
    let text = |name: &str| {
        let shown = desk.openssl(&format!("x509 -in {name}.crt -noout -text"));
        shown.succeeds("it is read").stdout
    };
    let client = text("build-7");
    for words in [
        "Version: 3 (0x2)",
        "Subject: CN = build-7",
        "ASN1 OID: prime256v1",
        "TLS Web Client Authentication",
        "Digital Signature",
        "CA:FALSE",
        "Subject Key Identifier",
        "Authority Key Identifier",
        "DNS:build-7, URI:spiffe://example.org/b7",
    ] {
        assert!(client.contains(words), "{words}: {client}");
    }
    assert!(!client.contains("TLS Web Server"), "{client}");
    let server = text("registry.example.com");
    for words in [
        "TLS Web Server Authentication",
        "DNS:registry.example.com, IP Address:10.0.0.1, DNS:*.r.example.com",
    ] {
        assert!(server.contains(words), "{words}: {server}");
    }
    assert!(!server.contains("TLS Web Client"), "{server}");
    for purpose in [
        "-purpose sslclient build-7",
        "-purpose sslserver registry.example.com",
    ] {
        desk.openssl(&format!("verify -x509_strict -CAfile ca.crt {purpose}.crt"))
            .succeeds("openssl verifies it");
        desk.openssl(&format!(
            "verify -crl_check -CRLfile crl.pem -CAfile ca.crt {purpose}.crt"
        ))
        .succeeds("and finds it on no list");
    }
    assert_eq!(made.value("serial").len(), 40, "{made:?}");
    for (file, expected) in [
        ("ca.key", 0o600),
        ("build-7.key", 0o600),
        ("registry.example.com.key", 0o600),
        ("build-7.crt", 0o644),
        ("crl.pem", 0o644),
    ] {
        assert_eq!(mode(&desk.path(file)), expected, "{file}");
    }
}

#[test]
fn keys_of_every_kind_on_offer_verify() {
    if !peers::need(&["openssl"]) {
        return;
    }
    for (ca, leaf, words) in [
        ("ecdsa-p384", "rsa-2048", "ecdsa-with-SHA384"),
        ("rsa-3072", "ecdsa-p384", "sha256WithRSAEncryption"),
        ("rsa-2048", "rsa-4096", "sha256WithRSAEncryption"),
    ] {
        let desk = Desk::empty();
        desk.cert(&["init-ca", "--key-type", ca, "--name", "the CA of a test"])
            .done();
        desk.cert(&["client", "--name", "a", "--key-type", leaf])
            .done();
        desk.openssl("verify -x509_strict -crl_check -CRLfile crl.pem -CAfile ca.crt a.crt")
            .succeeds("openssl verifies it");
        desk.openssl("x509 -in a.crt -noout -text")
            .succeeds("it is read")
            .says(words, "the signature goes with the CA's key");
        let old = desk.text("a.key");
        desk.cert(&["renew", "a"]).done();
        assert_ne!(desk.text("a.key"), old);
        let kind = |pem: &str| pem.len() / 100;
        assert_eq!(
            kind(&desk.text("a.key")),
            kind(&old),
            "a key of the same kind"
        );
    }
}

#[test]
fn a_renewed_certificate_has_the_same_names_and_the_one_before_stays_good() {
    if !peers::need(&["openssl"]) {
        return;
    }
    let desk = Desk::new();
    let first = desk
        .cert(&[
            "client",
            "--name",
            "a",
            "--san",
            "email:a@b.test",
            "--days",
            "9",
        ])
        .done();
    let copy = desk.beside("old.crt");
    fs::copy(desk.path("a.crt"), &copy).unwrap();
    let key = desk.text("a.key");
    let second = desk.cert(&["renew", "a", "--days", "10"]).done();
    assert_ne!(first.value("serial"), second.value("serial"));
    assert_ne!(desk.text("a.key"), key, "a new key");
    let names = "-noout -subject -ext subjectAltName,extendedKeyUsage";
    let of = |file: &str| desk.openssl(&format!("x509 -in {file} {names}")).stdout;
    assert_eq!(of("a.crt"), of("../old.crt"));
    let check = "verify -crl_check -CRLfile crl.pem -CAfile ca.crt";
    for file in ["a.crt", "../old.crt"] {
        desk.openssl(&format!("{check} {file}"))
            .succeeds("both are good");
    }
    let key = desk.text("a.key");
    desk.cert(&["renew", "a", "--keep-key", "--revoke"]).done();
    assert_eq!(desk.text("a.key"), key, "the key is kept");
    assert_eq!(
        desk.listed(),
        [second.value("serial")],
        "the one before is taken back"
    );
    desk.openssl(&format!("{check} ../old.crt"))
        .succeeds("and no other");
    desk.cert(&["revoke", "a"]).done();
    assert_eq!(
        desk.listed().len(),
        3,
        "a name takes all of its certificates along"
    );
    desk.cert(&["renew", "a"]).refused(2, "was taken back");
    desk.cert(&["client", "--name", "a"]).done();
    assert_eq!(desk.listed().len(), 3, "a new one brings no old one back");
}

#[test]
fn a_list_shows_name_serial_expiry_and_revocation_and_warns_of_ends() {
    let desk = Desk::new();
    let one = desk
        .cert(&["client", "--name", "one", "--days", "5"])
        .done();
    let two = desk.cert(&["server", "--name", "two.test"]).done();
    desk.cert(&["revoke", "two.test", "--reason", "key-compromise"])
        .done();
    let table = desk.cert(&["list"]).done();
    let rows: Vec<Vec<&str>> = table
        .out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["NAME", "SERIAL", "EXPIRY", "REVOKED"]);
    let (serial, expiry) = (one.value("serial"), one.value("expiry"));
    assert_eq!(rows[1], ["one", &serial, &expiry, "no"]);
    assert_eq!(rows[2][..2], ["two.test", &two.value("serial")]);
    assert!(table.out.contains("(keyCompromise)"), "{table:?}");
    assert!(
        table.err.contains("one (serial number") && !table.err.contains("two.test"),
        "{table:?}"
    );
    let json = desk.cert(&["list", "--format", "json"]).done();
    let list: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(list[0]["name"], "one");
    assert_eq!(list[0]["serial"], serial.as_str());
    assert_eq!(list[0]["expiry"], expiry.as_str());
    assert_eq!(list[0]["revoked"], serde_json::Value::Null);
    assert_eq!(list[0]["status"], "valid");
    assert_eq!(list[1]["status"], "revoked");
    assert!(list[1]["revoked"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn the_list_can_be_renewed_by_a_timer_and_its_number_grows() {
    if !peers::need(&["openssl"]) {
        return;
    }
    let desk = Desk::new();
    let number = || {
        let text = desk.openssl("crl -in crl.pem -noout -crlnumber").stdout;
        let digits = text.trim().trim_start_matches("crlNumber=0x").to_owned();
        u32::from_str_radix(&digits, 16).unwrap()
    };
    let first = number();
    desk.cert(&["renew", "--crl", "--crl-days", "3"]).done();
    assert_eq!(number(), first + 1);
    let listed = desk.cert(&["list"]).done();
    assert!(listed.err.contains("crl.pem: ends on"), "{listed:?}");
    desk.cert(&["client", "--name", "a"]).done();
    assert_eq!(number(), first + 2, "every command that signs renews it");
    fs::remove_file(desk.path("crl.pem")).unwrap();
    desk.cert(&["renew", "--crl"]).done();
    assert_eq!(
        number(),
        first + 3,
        "a list that was lost does not set it back"
    );
}

#[test]
fn the_folder_is_in_the_state_of_the_configuration() {
    let desk = Desk::empty();
    let state = desk.beside("state");
    fs::write(
        desk.beside("proxy.toml"),
        "state_dir = \"state\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    let mut command = crate::support::program::dockgate();
    command
        .current_dir(desk.beside(""))
        .args(["cert", "init-ca"]);
    crate::support::desk::ran(&mut command).done();
    assert!(state.join("pki/ca.crt").is_file());
    assert_eq!(mode(&state.join("pki/ca.key")), 0o600);
}

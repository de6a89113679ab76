//! Files as people have them (threats C5, C7, C8).

use rcgen::{PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519};

use crate::config::ClientAuth;

use super::*;

#[track_caller]
fn faults(settings: &ListenerTls) -> String {
    match ServerTls::load(
        settings,
        true,
        Path::new("/nonexistent"),
        &Challenges::default(),
    ) {
        Ok((_, warnings)) => panic!("loaded, with {warnings:?}"),
        Err(faults) => told(&faults),
    }
}

#[test]
fn c5_c8_every_fault_of_every_file_is_told_at_once() {
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    let mut settings = settings(CertificateFiles {
        certificate: folder.path("missing.crt"),
        key: folder.write("empty.key", ""),
    });
    settings.more = vec![CertificateFiles {
        certificate: folder.write("text.crt", "hello"),
        key: folder.path("missing.key"),
    }];
    settings.client_auth = ClientAuth::Required;
    settings.client_ca = Some(folder.write("leaf.crt", ca.client("ann", 1).pem()));
    settings.client_crl = Some(folder.write("crl.pem", ca.pem()));
    let faults = faults(&settings);
    for expected in [
        "missing.crt: cannot be read: No such file",
        "empty.key: is empty",
        "text.crt: holds no PEM block",
        "missing.key: cannot be read: No such file",
        "leaf.crt: CN=ann is not a CA certificate",
        "crl.pem: holds no PEM block `-----BEGIN X509 CRL-----`, only Certificate",
    ] {
        assert!(faults.contains(expected), "{expected}\n{faults}");
    }
    assert_eq!(faults.lines().count(), 6, "{faults}");
}

#[test]
fn c5_a_fault_says_what_is_wrong() {
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    let leaf = ca.server(&["a.test"]);
    let other = ca.server(&["a.test"]);
    let pem = leaf.pem();
    let key = leaf.key.serialize_pem();
    let reversed = [ca.pem(), pem.clone()].concat();
    let der = leaf.der();
    let wrong_base64 = pem.replacen("MII", "M!I", 1);
    let table: [(&str, &[u8], &str, &str); 10] = [
        (
            "key of another",
            pem.as_bytes(),
            &other.key.serialize_pem(),
            "is not the key of the certificate",
        ),
        (
            "leaf not first",
            reversed.as_bytes(),
            &key,
            "is not in order: the certificate of the key (CN=server) is number 2",
        ),
        ("DER", &der, &key, "looks like DER"),
        (
            "a key for a certificate",
            key.as_bytes(),
            &key,
            "only PrivateKey",
        ),
        (
            "a certificate for a key",
            pem.as_bytes(),
            &pem,
            "`-----BEGIN PRIVATE KEY-----`, only Certificate",
        ),
        ("cut", &pem.as_bytes()[..200], &key, "half written"),
        ("not base64", wrong_base64.as_bytes(), &key, "not base64"),
        (
            "garbage inside",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &key,
            "number 1 cannot be read",
        ),
        (
            "no key",
            pem.as_bytes(),
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "not a key that can be used",
        ),
        ("zeros", &[0; 4096], &key, "holds no PEM block"),
    ];
    for (what, certificate, key, expected) in table {
        let files = CertificateFiles {
            certificate: folder.write("x.crt", certificate),
            key: folder.key("x.key", key),
        };
        let faults = faults(&settings(files));
        assert!(faults.contains(expected), "{what}: {faults}");
        assert!(
            faults.contains("x.crt") || faults.contains("x.key"),
            "{what}: {faults}"
        );
    }
    let files = CertificateFiles {
        certificate: folder.as_ref().to_owned(),
        key: "/dev/zero".into(),
    };
    let faults = faults(&settings(files));
    assert_eq!(faults.matches("is not a file").count(), 2, "{faults}");
}

#[tokio::test]
async fn text_around_blocks_and_foreign_line_ends_are_read() {
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    let leaf = ca.server(&["a.test"]);
    let around = format!(
        "\u{feff}Bag Attributes\n    localKeyID: 01\nsubject=CN = a\n{}\nissuer=CN = ca\n{}\ntrailing",
        leaf.pem(),
        ca.pem()
    );
    let files = CertificateFiles {
        certificate: folder.write("a.crt", around.replace('\n', "\r\n")),
        key: folder.key(
            "a.key",
            &format!("Bag\r\n{}", leaf.key.serialize_pem().replace('\n', "\r\n")),
        ),
    };
    let (server, warnings) = load(&settings(files));
    assert_eq!(warnings, []);
    meet(&server, &Client::new().ready(), "a.test")
        .await
        .handshake();
}

#[test]
fn c5_what_is_only_odd_is_a_warning() {
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    let with = |from, until| {
        ca.leaf("a.test", |params| {
            params.subject_alt_names = CertificateParams::new(vec!["a.test".to_owned()])
                .unwrap()
                .subject_alt_names;
            valid(params, from, until);
        })
    };
    let mut strange_chain = with(-1, 90);
    strange_chain.chain.push(Ca::new("stranger").certificate);
    let table = [
        (with(-9, -1), "expired on"),
        (with(1, 90), "is not valid before"),
        (with(-1, 5), "expires on"),
        (ca.leaf("a.test", |_| {}), "no subject alternative name"),
        (strange_chain, "did not issue"),
    ];
    for (leaf, expected) in table {
        let (_, warnings) = load(&settings(folder.pair("a", &leaf)));
        assert_eq!(warnings.len(), 1, "{expected}: {warnings:?}");
        assert!(warnings[0].text.contains(expected), "{warnings:?}");
        assert_eq!(warnings[0].path, folder.path("a.crt"));
    }
    let files = folder.pair("a", &with(-1, 90));
    std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&files.key).unwrap().permissions());
    fs::set_permissions(
        &files.key,
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    let (_, warnings) = load(&settings(files));
    assert!(
        warnings[0].text.contains("can read this key: `chmod o="),
        "{warnings:?}"
    );
}

#[expect(
    clippy::too_many_lines,
    reason = "one table, or one story in its order"
)]
#[tokio::test]
async fn c5_every_kind_of_key_serves() {
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
        &PKCS_ECDSA_P521_SHA512,
        &PKCS_ED25519,
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::new(vec!["a.test".to_owned()])
            .unwrap()
            .signed_by(&key, &ca.issuer())
            .unwrap();
        let leaf = Leaf {
            chain: vec![certificate],
            key,
        };
        let (server, warnings) = load(&settings(folder.pair("a", &leaf)));
        assert_eq!(warnings, []);
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let client = Client::speaking(&[version]).ready();
            meet(&server, &client, "a.test").await.handshake();
        }
    }
    if openssl_is_missing() {
        return;
    }
    // RSA in both of its formats, SEC1, and what must not serve
    let table = [
        ("rsa:2048", "PRIVATE KEY", ""),
        ("rsa:4086", "RSA PRIVATE KEY", ""),
        ("ec", "EC PRIVATE KEY", ""),
        ("rsa:1024", "PRIVATE KEY", "RSA"),
        ("secp256k1", "PRIVATE KEY", "not a key that can be used"),
    ];
    for (kind, label, fault) in table {
        let option = if kind.starts_with("rsa") { kind } else { "ec" };
        let mut arguments = vec![
            "req",
            "-nodes",
            "-newkey",
            option,
            "-x509",
            "-days",
            "9",
            "-keyout",
            "o.key",
            "-out",
            "o.crt",
            "-batch",
            "-subj",
            "/CN=a.test",
            "-addext",
            "subjectAltName=DNS:a.test",
        ];
        match kind {
            "ec" => arguments.extend(["-pkeyopt", "ec_paramgen_curve:P-256"]),
            "secp256k1" => arguments.extend(["-pkeyopt", "ec_paramgen_curve:secp256k1"]),
            _ => {}
        }
        folder.run("openssl", &arguments);
        if label != "PRIVATE KEY" {
            let tool = if label.starts_with("RSA") {
                "rsa"
            } else {
                "ec"
            };
            let traditional = ["rsa", "-traditional", "-in", "o.key", "-out", "o.key"];
            let sec1 = ["ec", "-in", "o.key", "-out", "o.key"];
            folder.run("openssl", if tool == "rsa" { &traditional } else { &sec1 });
        }
        let pem = fs::read_to_string(folder.path("o.key")).unwrap();
        assert!(pem.contains(&format!("-----BEGIN {label}-----")), "{pem}");
        let files = CertificateFiles {
            certificate: folder.path("o.crt"),
            key: folder.path("o.key"),
        };
        if fault.is_empty() {
            let (server, _) = load(&settings(files));
            meet(&server, &Client::new().ready(), "a.test")
                .await
                .handshake();
        } else {
            let faults = faults(&settings(files));
            assert!(faults.contains(fault), "{kind}: {faults}");
        }
    }
}

#[test]
fn c5_an_encrypted_key_says_how_to_decrypt_it() {
    if openssl_is_missing() {
        return;
    }
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    let files = folder.pair("a", &ca.server(&["a.test"]));
    for traditional in [&["-traditional"][..], &[][..]] {
        let mut arguments = vec![
            "pkey",
            "-in",
            "a.key",
            "-aes128",
            "-passout",
            "pass:secret",
            "-out",
            "b.key",
        ];
        arguments.extend(traditional);
        folder.run("openssl", &arguments);
        let mut settings = settings(files.clone());
        settings.certificate.as_mut().unwrap().key = folder.path("b.key");
        let faults = faults(&settings);
        assert!(
            faults.contains("openssl pkey -in") && faults.contains("b.key"),
            "{faults}"
        );
    }
}

#[test]
fn c8_a_list_that_cannot_be_trusted_stops_the_start() {
    let (folder, ca) = (Folder::new(), Ca::new("client ca"));
    let impostor = Ca::new("client ca");
    let mut settings = settings(folder.pair("a", &ca.server(&["a.test"])));
    settings.client_auth = ClientAuth::Optional;
    settings.client_ca = Some(folder.write("ca.crt", ca.pem()));
    settings.client_crl = Some(folder.write("crl.pem", impostor.list(&[], 30)));
    let faults = faults(&settings);
    assert!(
        faults.contains("crl.pem: the list of CN=client ca is not signed by the CA of that name"),
        "{faults}"
    );
}

//! Client certificates, good and bad (threats T6 to T9).

use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair, NameConstraints,
    SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::config::ClientAuth;

use super::*;
use crate::tls::authority::Trust;

pub(super) fn asking(folder: &Folder, ca: &str, crl: Option<String>) -> (ServerTls, Vec<Warning>) {
    let server = Ca::new("server ca").server(&["registry.test"]);
    let mut settings = settings(folder.pair("server", &server));
    settings.client_auth = ClientAuth::Required;
    settings.client_ca = Some(folder.write("ca.crt", ca));
    settings.client_crl = crl.map(|crl| folder.write("crl.pem", crl));
    load(&settings)
}

#[tokio::test]
async fn a_good_certificate_is_accepted_and_described() {
    let (folder, ca) = (Folder::new(), Ca::new("client ca"));
    let (server, warnings) = asking(&folder, &ca.pem(), Some(ca.list(&[9], 30)));
    assert_eq!(warnings, []);
    let leaf = ca.leaf("build-7", |params| {
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Smith, Sons");
        params.serial_number = Some(SerialNumber::from_slice(&[0, 0x0a, 0xbc]));
        params.subject_alt_names = vec![
            SanType::DnsName("build-7.test".try_into().unwrap()),
            SanType::Rfc822Name("ann@test".try_into().unwrap()),
            SanType::URI("spiffe://test/build".try_into().unwrap()),
        ];
    });
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        let client = Client::build(versions, Some(leaf.shown())).ready();
        let met = meet(&server, &client, "registry.test").await.handshake();
        let certificate = met.certificate.unwrap();
        assert_eq!(certificate.name(), "build-7");
        assert_eq!(certificate.subject, "O=Smith\\, Sons,CN=build-7");
        assert_eq!(certificate.serial, "abc");
        assert_eq!(certificate.dns, ["build-7.test"]);
        assert_eq!(certificate.emails, ["ann@test"]);
        assert_eq!(certificate.uris, ["spiffe://test/build"]);
        assert_eq!(certificate.fingerprint.len(), 64);
        met.standing.unwrap().check().unwrap();
    }
}

#[tokio::test]
async fn t8_a_handshake_without_a_certificate_completes_in_either_mode() {
    let (folder, ca) = (Folder::new(), Ca::new("client ca"));
    let server = Ca::new("server ca").server(&["registry.test"]);
    let mut settings = settings(folder.pair("server", &server));
    settings.client_ca = Some(folder.write("ca.crt", ca.pem()));
    for mode in [ClientAuth::Optional, ClientAuth::Required] {
        settings.client_auth = mode;
        let met = meet(&load(&settings).0, &Client::new().ready(), "registry.test").await;
        let handshake = met.handshake();
        assert!(
            handshake.certificate.is_none() && handshake.standing.is_none(),
            "{mode:?}"
        );
    }
}

#[tokio::test]
async fn a_certificate_is_not_asked_for_when_it_is_off() {
    let (folder, ca) = (Folder::new(), Ca::new("client ca"));
    let server = Ca::new("server ca").server(&["registry.test"]);
    let (server, _) = load(&settings(folder.pair("server", &server)));
    let client = Client::showing(&ca.client("ann", 1)).ready();
    let handshake = meet(&server, &client, "registry.test").await.handshake();
    assert_eq!(handshake.certificate, None);
}

#[expect(
    clippy::too_many_lines,
    reason = "one table, or one story in its order"
)]
#[tokio::test]
async fn t6_a_bad_certificate_gets_its_alert_and_a_line_for_the_log() {
    let (folder, ca) = (Folder::new(), Ca::new("client ca"));
    let narrow = Ca::with("narrow ca", |params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("good.test".to_owned())],
            excluded_subtrees: Vec::new(),
        });
    });
    let old = Ca::with("old ca", |params| valid(params, -20, -10));
    let young = Ca::with("young ca", |params| valid(params, 10, 20));
    let impostor = Ca::new("client ca");
    let bundle = [&ca, &narrow, &old, &young].map(Ca::pem).concat();
    let lists = [
        ca.list(&[7], 30),
        narrow.list(&[], 30),
        old.list(&[], 30),
        young.list(&[], 30),
    ];
    let (server, _) = asking(&folder, &bundle, Some(lists.concat()));

    let with = |ca: &Ca, change: fn(&mut CertificateParams)| {
        ca.leaf("ann", |params| {
            params.serial_number = Some(SerialNumber::from(0x1f));
            change(params);
        })
    };
    let self_signed = {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["ann".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Leaf {
            chain: vec![certificate],
            key,
        }
    };
    let mut deep = ca.below("depth 0");
    let mut above = vec![deep.certificate.clone()];
    for depth in 1..9 {
        deep = deep.below(&format!("depth {depth}"));
        above.insert(0, deep.certificate.clone());
    }
    let mut too_deep = with(&deep, |_| {});
    too_deep.chain.extend(above);

    let table = [
        (
            "expired",
            with(&ca, |params| valid(params, -9, -1)),
            "expired",
            "CertificateExpired",
        ),
        (
            "not yet valid",
            with(&ca, |params| valid(params, 1, 9)),
            "not valid yet",
            "CertificateExpired",
        ),
        (
            "wrong extended key usage",
            with(&ca, |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }),
            "not client authentication",
            "UnsupportedCertificate",
        ),
        (
            "a key that may not sign",
            with(&ca, |params| {
                params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
            }),
            "does not allow signatures",
            "UnsupportedCertificate",
        ),
        (
            "another CA",
            with(&Ca::new("other ca"), |_| {}),
            "none of the CAs",
            "UnknownCA",
        ),
        (
            "a CA of the same name",
            with(&impostor, |_| {}),
            "not the one of the CA",
            "DecryptError",
        ),
        (
            "revoked",
            ca.client("ann", 7),
            "revoked",
            "CertificateRevoked",
        ),
        ("self-signed", self_signed, "self-signed", "UnknownCA"),
        (
            "a CA itself",
            with(&ca, |params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }),
            "certificate of a CA",
            "UnsupportedCertificate",
        ),
        ("chain too long", too_deep, "chain is too long", "UnknownCA"),
        (
            "a name outside of the CA's",
            with(&narrow, |params| {
                params.subject_alt_names = vec![SanType::DnsName("bad.test".try_into().unwrap())];
            }),
            "outside of what its CA may issue",
            "BadCertificate",
        ),
        (
            "an expired CA",
            with(&old, |_| {}),
            "none of the CAs",
            "UnknownCA",
        ),
        (
            "a CA of tomorrow",
            with(&young, |_| {}),
            "none of the CAs",
            "UnknownCA",
        ),
    ];
    for (what, leaf, reason, alert) in table {
        let met = meet(&server, &Client::showing(&leaf).ready(), "registry.test").await;
        let (refusal, seen) = met.refused();
        assert!(refusal.reason.contains(reason), "{what}: {refusal:?}");
        assert!(seen.contains(alert), "{what}: {seen}");
        assert!(refusal.subject.contains("CN="), "{what}: {refusal:?}");
        assert!(!refusal.serial.is_empty(), "{what}: {refusal:?}");
    }
    // and the table proves something: the same server takes a good one
    let good = Client::showing(&ca.client("ann", 8)).ready();
    meet(&server, &good, "registry.test").await.handshake();
}

#[tokio::test]
async fn an_intermediate_of_the_ca_file_is_no_root_of_its_own() {
    let root = Ca::new("root");
    let below = root.below("intermediate");
    let leaf = below.client("ann", 3);
    let bundle = [below.pem(), root.pem()].concat();
    let client = Client::showing(&leaf).ready();

    let (folder, lists) = (
        Folder::new(),
        [root.list(&[], 30), below.list(&[], 30)].concat(),
    );
    let (server, _) = asking(&folder, &bundle, Some(lists));
    meet(&server, &client, "registry.test").await.handshake();

    // the same intermediate again, under a serial number that the root's list can name
    let below = {
        let mut params = below.params.clone();
        params.serial_number = Some(SerialNumber::from(77));
        let certificate = params.signed_by(&below.key, &root.issuer()).unwrap();
        Ca {
            params,
            key: below.key,
            certificate,
        }
    };
    let bundle = [below.pem(), root.pem()].concat();
    let lists = [root.list(&[77], 30), below.list(&[], 30)].concat();
    let (server, _) = asking(&folder, &bundle, Some(lists));
    let (refusal, _) = meet(&server, &client, "registry.test").await.refused();
    assert!(refusal.reason.contains("revoked"), "{refusal:?}");
}

/// RSA keys that rustls does not load, and signatures that nobody makes any more.
#[test]
fn t6_a_short_key_and_an_old_signature_are_refused() {
    if openssl_is_missing() {
        return;
    }
    let folder = Folder::new();
    folder.run(
        "openssl",
        &[
            "req", "-nodes", "-newkey", "rsa:2048", "-x509", "-days", "9", "-keyout", "ca.key",
            "-out", "ca.crt", "-batch", "-subj", "/CN=ca",
        ],
    );
    let (trust, _) = Trust::load(&folder.path("ca.crt"), None, UnixTime::now()).unwrap();
    folder.write("v3.cnf", "basicConstraints=CA:FALSE\n");
    let table = [
        ("rsa:1024", "-sha256", "1024 bits"),
        ("rsa:2048", "-sha1", "not safe"),
        ("rsa:2048", "-sha256", ""),
    ];
    for (key, hash, reason) in table {
        for extensions in [&["-extfile", "v3.cnf"][..], &[][..]] {
            folder.run(
                "openssl",
                &[
                    "req", "-nodes", "-newkey", key, "-keyout", "ann.key", "-out", "ann.csr",
                    "-batch", "-subj", "/CN=ann",
                ],
            );
            let mut arguments = vec![
                "x509",
                "-req",
                "-in",
                "ann.csr",
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-set_serial",
                "01",
                "-out",
                "ann.crt",
                hash,
            ];
            arguments.extend(extensions);
            folder.run("openssl", &arguments);
            let leaf = CertificateDer::from_pem_file(folder.path("ann.crt")).unwrap();
            match trust.verify(&leaf, &[], UnixTime::now()) {
                Ok(_) => assert_eq!(reason, "", "{key} {hash} {extensions:?}"),
                Err(refused) => {
                    let refusal = &refused.0;
                    assert!(
                        !reason.is_empty() && refusal.reason.contains(reason),
                        "{key} {hash} {extensions:?}: {refusal:?}"
                    );
                }
            }
        }
    }
}

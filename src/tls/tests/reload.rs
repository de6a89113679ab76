//! Changing what is in force while connections and sessions live (threats T11, rows 24 and 59).

use crate::config::ClientAuth;

use super::*;

struct Place {
    folder: Folder,
    ca: Ca,
    server: ServerTls,
}

fn place(list: &[u64]) -> Place {
    let (folder, ca) = (Folder::new(), Ca::new("client ca"));
    let server = Ca::new("server ca").server(&["a.test"]);
    let mut settings = settings(folder.pair("server", &server));
    settings.client_auth = ClientAuth::Optional;
    settings.client_ca = Some(folder.write("ca.crt", ca.pem()));
    settings.client_crl = Some(folder.write("crl.pem", ca.list(list, 30)));
    let (server, _) = load(&settings);
    Place { folder, ca, server }
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

#[tokio::test]
async fn t11_n24_a_ticket_from_before_a_revocation_opens_nothing() {
    for version in VERSIONS {
        let Place { folder, ca, server } = place(&[]);
        let leaf = ca.client("ann", 5);
        let client = Client::build(&[version], Some(leaf.shown())).ready();
        assert!(!meet(&server, &client, "a.test").await.handshake().resumed);
        let second = meet(&server, &client, "a.test").await.handshake();
        assert!(
            second.resumed,
            "{version:?}: the test needs a session to take up"
        );
        assert_eq!(second.certificate.unwrap().name(), "ann");

        folder.write("crl.pem", ca.list(&[5], 30));
        server.reload().unwrap();
        let (refusal, alert) = meet(&server, &client, "a.test").await.refused();
        assert!(
            refusal.reason.contains("revoked"),
            "{version:?}: {refusal:?}"
        );
        assert!(alert.contains("CertificateRevoked"), "{version:?}: {alert}");
    }
}

#[tokio::test]
async fn t11_a_connection_from_before_a_revocation_is_told_at_its_next_request() {
    let Place { folder, ca, server } = place(&[]);
    let (ann, bob) = (ca.client("ann", 5), ca.client("bob", 6));
    let ann = meet(&server, &Client::showing(&ann).ready(), "a.test")
        .await
        .handshake();
    let bob = meet(&server, &Client::showing(&bob).ready(), "a.test")
        .await
        .handshake();
    let (ann, bob) = (ann.standing.unwrap(), bob.standing.unwrap());
    ann.check().unwrap();
    folder.write("crl.pem", ca.list(&[5], 30));
    ann.check().unwrap();
    server.reload().unwrap();
    assert!(ann.check().unwrap_err().reason.contains("revoked"));
    bob.check().unwrap();
    // what was taken back stays so, and what was given back works again
    assert!(ann.check().is_err());
    folder.write("crl.pem", ca.list(&[], 30));
    server.reload().unwrap();
    ann.check().unwrap();
}

#[tokio::test]
async fn t11_n24_another_client_ca_ends_the_old_ones_sessions_and_standings() {
    let Place { folder, ca, server } = place(&[]);
    let client = Client::showing(&ca.client("ann", 5)).ready();
    let standing = meet(&server, &client, "a.test")
        .await
        .handshake()
        .standing
        .unwrap();
    let new = Ca::new("new ca");
    folder.write("ca.crt", new.pem());
    folder.write("crl.pem", new.list(&[], 30));
    server.reload().unwrap();
    assert!(standing.check().is_err());
    let (refusal, _) = meet(&server, &client, "a.test").await.refused();
    assert!(refusal.reason.contains("none of the CAs"), "{refusal:?}");
}

#[tokio::test]
async fn a_new_server_certificate_is_shown_and_sessions_go_on() {
    for version in VERSIONS {
        let Place { folder, ca, server } = place(&[]);
        let client = Client::build(&[version], Some(ca.client("ann", 5).shown())).ready();
        meet(&server, &client, "a.test").await.handshake();
        let renewed = Ca::new("server ca").server(&["a.test"]);
        folder.pair("server", &renewed);
        server.reload().unwrap();
        assert!(
            meet(&server, &client, "a.test").await.handshake().resumed,
            "{version:?}"
        );
        let fresh = meet(&server, &Client::new().ready(), "a.test").await;
        assert!(fresh.client.unwrap().leaf == renewed.der());
    }
}

#[tokio::test]
async fn n24_a_ticket_of_another_listener_or_name_is_a_full_handshake() {
    for version in VERSIONS {
        let one = place(&[]);
        let leaf = one.ca.client("ann", 5);
        let client = Client::build(&[version], Some(leaf.shown())).ready();
        meet(&one.server, &client, "a.test").await.handshake();
        // same client cache, same name, another listener with another client CA
        let two = place(&[]);
        let (refusal, _) = meet(&two.server, &client, "a.test").await.refused();
        assert!(!refusal.reason.is_empty(), "{version:?}");
        assert!(
            !meet(&one.server, &client, "b.test")
                .await
                .handshake()
                .resumed,
            "{version:?}"
        );
    }
}

#[tokio::test]
async fn c5_c7_c8_n59_a_broken_file_keeps_the_old_state() {
    let Place { folder, ca, server } = place(&[9]);
    let good = Client::showing(&ca.client("ann", 5)).ready();
    let revoked = Client::showing(&ca.client("eve", 9)).ready();
    let certificate = fs::read(folder.path("server.crt")).unwrap();
    let half = &certificate[..certificate.len() / 2];
    let foreign = Ca::new("x").server(&["x.test"]).key.serialize_pem();
    let table: [(&str, &[u8], &str); 6] = [
        ("server.crt", half, "half written"),
        ("server.crt", b"", "is empty"),
        (
            "server.key",
            foreign.as_bytes(),
            "is not the key of the certificate",
        ),
        ("ca.crt", b"not PEM", "holds no PEM block"),
        ("crl.pem", b"", "is empty"),
        (
            "crl.pem",
            b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
            "cannot be read",
        ),
    ];
    for (file, content, expected) in table {
        let before = fs::read(folder.path(file)).unwrap();
        folder.write(file, content);
        let faults = told(&server.reload().unwrap_err());
        assert!(
            faults.contains(expected) && faults.contains(file),
            "{file}: {faults}"
        );
        meet(&server, &good, "a.test").await.handshake();
        meet(&server, &revoked, "a.test").await.refused();
        folder.write(file, before);
        server.reload().unwrap();
    }
    fs::remove_file(folder.path("crl.pem")).unwrap();
    let faults = told(&server.reload().unwrap_err());
    assert!(faults.contains("No such file"), "{faults}");
    meet(&server, &revoked, "a.test").await.refused();
}

#[test]
fn every_file_is_watched() {
    let Place { folder, server, .. } = place(&[]);
    let names = ["server.crt", "server.key", "ca.crt", "crl.pem"];
    assert_eq!(server.files(), names.map(|name| folder.path(name)));
}

//! Revocation lists of client certificates: old ones, missing ones, and those of another CA (threat T9, row 60).

use crate::config::{ClientAuth, ExpiredList};

use super::client_certificates::asking;
use super::*;

#[tokio::test]
async fn t9_n60_lists_that_are_old_or_missing_close_the_door() {
    let (ca, other) = (Ca::new("client ca"), Ca::new("other ca"));
    let both = [ca.pem(), other.pem()].concat();
    let table = [
        ("ended", ca.pem(), ca.list(&[], -1), "too old", "ended on"),
        (
            "another CA's",
            ca.pem(),
            other.list(&[], 30),
            "no revocation list",
            "comes from none",
        ),
        (
            "no list of the second CA",
            both,
            other.list(&[], 30),
            "no revocation list",
            "no list of the CA CN=client ca",
        ),
    ];
    for (what, authorities, list, reason, warning) in table {
        let folder = Folder::new();
        let (server, warnings) = asking(&folder, &authorities, Some(list));
        assert!(
            warnings.iter().any(|one| one.text.contains(warning)),
            "{what}: {warnings:?}"
        );
        let client = Client::showing(&ca.client("ann", 1)).ready();
        let (refusal, alert) = meet(&server, &client, "registry.test").await.refused();
        assert!(refusal.reason.contains(reason), "{what}: {refusal:?}");
        assert!(alert.contains("UnknownCA"), "{what}: {alert}");
    }
}

/// Whoever would rather have a forgotten list than a closed door: what the list names stays out, and nobody else is kept out.
#[tokio::test]
async fn t9_n60_an_ended_list_that_only_warns_revokes_what_it_names_and_closes_no_other_door() {
    let (ca, other) = (Ca::new("client ca"), Ca::new("other ca"));
    let (folder, server) = (
        Folder::new(),
        Ca::new("server ca").server(&["registry.test"]),
    );
    let mut settings = settings(folder.pair("server", &server));
    settings.client_auth = ClientAuth::Required;
    settings.client_ca = Some(folder.write("ca.crt", [ca.pem(), other.pem()].concat()));
    settings.client_crl = Some(folder.write("crl.pem", ca.list(&[5], -1)));
    settings.client_crl_expired = ExpiredList::Warn;
    let (server, warnings) = load(&settings);
    for words in [
        "the list of CN=client ca ended on",
        "client_crl_expired = \"warn\"",
        "no list of the CA CN=other ca: client certificates that it issued are refused",
    ] {
        let told = warnings.iter().any(|one| one.text.contains(words));
        assert!(told, "{words}: {warnings:?}");
    }
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let show = |leaf: &Leaf| Client::build(&[version], Some(leaf.shown())).ready();
        let revoked = show(&ca.client("ann", 5));
        let (refusal, alert) = meet(&server, &revoked, "registry.test").await.refused();
        assert!(refusal.reason.contains("revoked"), "{refusal:?}");
        assert!(alert.contains("CertificateRevoked"), "{alert}");
        let good = show(&ca.client("bob", 6));
        let met = meet(&server, &good, "registry.test").await.handshake();
        met.standing.unwrap().check().unwrap();
        // A list that is missing is no list that ended: nobody knows what it would name.
        let unlisted = show(&other.client("eve", 6));
        let (refusal, _) = meet(&server, &unlisted, "registry.test").await.refused();
        assert!(refusal.reason.contains("no revocation list"), "{refusal:?}");
    }
    // Who looks away no more judges again who came in meanwhile.
    let good = Client::showing(&ca.client("bob", 6)).ready();
    let met = meet(&server, &good, "registry.test").await.handshake();
    let standing = met.standing.unwrap();
    settings.client_crl_expired = ExpiredList::Refuse;
    let (prepared, warnings) = server.prepare(&settings).unwrap();
    let told = warnings
        .iter()
        .any(|one| one.text.contains("are refused until"));
    assert!(told, "{warnings:?}");
    server.adopt(prepared);
    assert!(standing.check().unwrap_err().reason.contains("too old"));
    let (refusal, _) = meet(&server, &good, "registry.test").await.refused();
    assert!(refusal.reason.contains("too old"), "{refusal:?}");
}

#[tokio::test]
async fn t9_a_list_of_another_ca_is_no_list_whatever_an_ended_one_is_worth() {
    let (ca, other) = (Ca::new("client ca"), Ca::new("other ca"));
    for expired in [ExpiredList::Refuse, ExpiredList::Warn] {
        for days in [30, -1] {
            let (folder, server) = (Folder::new(), Ca::new("server ca").server(&["a.test"]));
            let mut settings = settings(folder.pair("server", &server));
            settings.client_auth = ClientAuth::Required;
            settings.client_ca = Some(folder.write("ca.crt", ca.pem()));
            settings.client_crl = Some(folder.write("crl.pem", other.list(&[5], days)));
            settings.client_crl_expired = expired;
            let (server, warnings) = load(&settings);
            let told = |words: &str| warnings.iter().any(|one| one.text.contains(words));
            assert!(told("the list of CN=other ca comes from none of the CAs"));
            assert!(told("no list of the CA CN=client ca"), "{warnings:?}");
            let client = Client::showing(&ca.client("ann", 6)).ready();
            let (refusal, alert) = meet(&server, &client, "a.test").await.refused();
            assert!(refusal.reason.contains("no revocation list"), "{refusal:?}");
            assert!(alert.contains("UnknownCA"), "{alert}");
            // Beside the right one it changes nothing.
            folder.write(
                "crl.pem",
                [other.list(&[6], days), ca.list(&[5], 30)].concat(),
            );
            server.reload().unwrap();
            meet(&server, &client, "a.test").await.handshake();
        }
    }
}

#[tokio::test]
async fn the_newest_list_of_a_ca_counts_wherever_it_stands() {
    let (folder, ca) = (Folder::new(), Ca::new("client ca"));
    // the ended list was made before the fresh one; here it stands first
    let lists = [ca.list(&[], -3), ca.list(&[5], 30)].concat();
    let (server, _) = asking(&folder, &ca.pem(), Some(lists));
    let revoked = Client::showing(&ca.client("ann", 5)).ready();
    let (refusal, _) = meet(&server, &revoked, "registry.test").await.refused();
    assert!(refusal.reason.contains("revoked"), "{refusal:?}");
    let good = Client::showing(&ca.client("ann", 6)).ready();
    meet(&server, &good, "registry.test").await.handshake();
}

#[test]
fn n60_a_list_that_ends_within_a_week_is_announced() {
    let (folder, ca) = (Folder::new(), Ca::new("client ca"));
    let (_, warnings) = asking(&folder, &ca.pem(), Some(ca.list(&[], 6)));
    assert!(
        warnings
            .iter()
            .any(|one| one.text.contains("make a new one")),
        "{warnings:?}"
    );
    let (_, warnings) = asking(&folder, &ca.pem(), Some(ca.list(&[], 8)));
    assert_eq!(warnings, []);
    let mut settings = settings(folder.pair("server", &ca.server(&["a.test"])));
    settings.client_auth = ClientAuth::Required;
    settings.client_ca = Some(folder.path("ca.crt"));
    settings.client_crl = Some(folder.write("crl.pem", ca.list(&[], 6)));
    settings.client_crl_expired = ExpiredList::Warn;
    let (_, warnings) = load(&settings);
    let told = |one: &Warning| one.text.contains("what is revoked after that is let in");
    assert!(warnings.iter().any(told), "{warnings:?}");
}

//! TLS towards an upstream.

use crate::config::ClientAuth;
use crate::tls::client_config;

use super::*;

#[tokio::test]
async fn an_upstream_of_the_named_ca_is_trusted_under_its_names() {
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    let (server, _) = load(&settings(
        folder.pair("s", &ca.server(&["registry.test", "127.0.0.1", "::1"])),
    ));
    let trusted = client_config(Some(&folder.write("ca.crt", ca.pem())), None).unwrap();
    let stranger =
        client_config(Some(&folder.write("other.crt", Ca::new("ca").pem())), None).unwrap();
    let system = client_config(None, None).unwrap();
    let table = [
        (&trusted, "registry.test", true),
        (&trusted, "REGISTRY.test", true),
        (&trusted, "127.0.0.1", true),
        (&trusted, "[::1]", true),
        (&trusted, "127.0.0.2", false),
        (&trusted, "other.test", false),
        (&trusted, "not a name", false),
        (&stranger, "registry.test", false),
        (&system, "registry.test", false),
    ];
    for (client, name, expected) in table {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let serve = async { drop(server.accept(ours).await) };
        let ((), connected) = tokio::join!(serve, client.connect(name, theirs));
        assert_eq!(connected.is_ok(), expected, "{name}: {:?}", connected.err());
    }
}

#[tokio::test]
async fn a_self_signed_upstream_is_trusted_when_its_own_certificate_is_named() {
    let folder = Folder::new();
    let make = |from, until| {
        let ca = Ca::with("registry", |params| {
            params.subject_alt_names = CertificateParams::new(vec!["registry.test".to_owned()])
                .unwrap()
                .subject_alt_names;
            valid(params, from, until);
        });
        Leaf {
            chain: vec![ca.certificate],
            key: ca.key,
        }
    };
    for (from, until, name, expected) in [
        (-1, 9, "registry.test", true),
        (-1, 9, "other.test", false),
        (-9, -1, "registry.test", false),
        (1, 9, "registry.test", false),
    ] {
        let files = folder.pair("s", &make(from, until));
        let client = client_config(Some(&files.certificate), None).unwrap();
        let (server, _) = load(&settings(files));
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let serve = async { drop(server.accept(ours).await) };
        let ((), connected) = tokio::join!(serve, client.connect(name, theirs));
        assert_eq!(connected.is_ok(), expected, "{from} {until} {name}");
    }
}

#[tokio::test]
async fn our_certificate_is_shown_to_an_upstream_that_asks() {
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    let mut asking = settings(folder.pair("s", &ca.server(&["registry.test"])));
    asking.client_auth = ClientAuth::Required;
    asking.client_ca = Some(folder.write("ca.crt", ca.pem()));
    let (server, _) = load(&asking);
    let files = folder.pair("gate", &ca.client("gate", 1));
    let client = client_config(Some(&folder.path("ca.crt")), Some(&files)).unwrap();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (accepted, opened) =
        tokio::join!(server.accept(ours), client.connect("registry.test", theirs));
    opened.unwrap();
    assert_eq!(accepted.unwrap().1.certificate.unwrap().name(), "gate");

    let broken = CertificateFiles {
        certificate: folder.path("none"),
        key: folder.path("none"),
    };
    let faults = client_config(Some(&folder.path("missing")), Some(&broken)).unwrap_err();
    assert_eq!(faults.len(), 3, "{}", told(&faults));
}

//! The client certificates that seed 002's commands make: version 1, RSA 4096, below an RSA 8192 CA.

use tokio::net::TcpListener;

use rustls::pki_types::pem::PemObject as _;

use crate::config::ClientAuth;
use crate::tls::authority::Trust;

use super::*;

/// The commands as the seed and its `gen-client-cert.sh` have them, with another folder.
fn make(folder: &Folder) {
    fs::create_dir(folder.path("certs")).unwrap();
    folder.run(
        "openssl",
        &[
            "req",
            "-nodes",
            "-newkey",
            "rsa:8192",
            "-days",
            "365",
            "-x509",
            "-keyout",
            "client-ca.key",
            "-out",
            "certs/client-ca.cert",
            "-batch",
            "-subj",
            "/commonName=docker-registry-client-ca",
        ],
    );
    folder.run(
        "openssl",
        &[
            "req",
            "-nodes",
            "-newkey",
            "rsa:8192",
            "-days",
            "365",
            "-x509",
            "-keyout",
            "certs/server.key",
            "-out",
            "certs/server.cert",
            "-batch",
            "-subj",
            "/commonName=my-registry",
        ],
    );
    folder.run("openssl", &["genrsa", "-out", "client.key", "4096"]);
    folder.run(
        "openssl",
        &[
            "req",
            "-new",
            "-key",
            "client.key",
            "-out",
            "client.csr",
            "-batch",
            "-subj",
            "/commonName=docker-registry-client",
        ],
    );
    folder.run(
        "openssl",
        &[
            "x509",
            "-req",
            "-days",
            "365",
            "-in",
            "client.csr",
            "-CA",
            "certs/client-ca.cert",
            "-CAkey",
            "client-ca.key",
            "-set_serial",
            "01",
            "-out",
            "client.cert",
        ],
    );
    let text = folder.run(
        "openssl",
        &["x509", "-in", "client.cert", "-noout", "-text"],
    );
    assert!(text.contains("Version: 1 (0x0)"), "{text}");
}

#[expect(
    clippy::too_many_lines,
    reason = "one table, or one story in its order"
)]
#[tokio::test]
async fn t7_the_certificates_of_seed_002_keep_working_and_can_be_revoked() {
    if openssl_is_missing() {
        return;
    }
    let folder = Folder::new();
    make(&folder);
    let mut settings = settings(CertificateFiles {
        certificate: folder.path("certs/server.cert"),
        key: folder.path("certs/server.key"),
    });
    settings.client_auth = ClientAuth::Required;
    settings.client_ca = Some(folder.path("certs/client-ca.cert"));
    let (server, warnings) = load(&settings);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for version in ["-tls1_2", "-tls1_3"] {
        let (met, said) = openssl(&folder, &server, version).await;
        let handshake = met.unwrap_or_else(|error| panic!("{version}: {error:?}\n{said}"));
        let certificate = handshake.certificate.unwrap();
        assert_eq!(certificate.name(), "docker-registry-client");
        assert_eq!(certificate.serial, "1");
        assert!(
            said.contains("CN = docker-registry-client-ca"),
            "no CA name was sent: {said}"
        );
    }
    // the same over rustls, for the version 1 branch of both signature checks
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let shown = Shown {
            chain: vec![CertificateDer::from_pem_file(folder.path("client.cert")).unwrap()],
            key: PrivateKeyDer::from_pem_file(folder.path("client.key")).unwrap(),
        };
        let client = Client::build(&[version], Some(shown)).ready();
        meet(&server, &client, "my-registry").await.handshake();
        assert!(
            meet(&server, &client, "my-registry")
                .await
                .handshake()
                .resumed
        );
        // the certificate of somebody else with a key of one's own: nobody proves what they do not hold
        let thief = Shown {
            chain: vec![CertificateDer::from_pem_file(folder.path("client.cert")).unwrap()],
            key: PrivateKeyDer::from_pem_file(folder.path("certs/server.key")).unwrap(),
        };
        let client = Client::build(&[version], Some(thief)).ready();
        let met = meet(&server, &client, "my-registry").await;
        assert!(met.server.is_err() && met.client.is_err(), "{version:?}");
    }

    folder.write("ca.cnf", "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\ndefault_crl_days=30\n");
    folder.write("index.txt", "");
    folder.write("crlnumber", "01\n");
    let list = [
        "ca",
        "-config",
        "ca.cnf",
        "-gencrl",
        "-keyfile",
        "client-ca.key",
        "-cert",
        "certs/client-ca.cert",
        "-out",
        "crl.pem",
    ];
    folder.run("openssl", &list);
    settings.client_crl = Some(folder.path("crl.pem"));
    let (server, warnings) = load(&settings);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    openssl(&folder, &server, "-tls1_3").await.0.unwrap();
    folder.run(
        "openssl",
        &[
            "ca",
            "-config",
            "ca.cnf",
            "-revoke",
            "client.cert",
            "-keyfile",
            "client-ca.key",
            "-cert",
            "certs/client-ca.cert",
        ],
    );
    folder.run("openssl", &list);
    server.reload().unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let (met, said) = openssl(&folder, &server, version).await;
        match met {
            Err(HandshakeError::Certificate(refusal)) => {
                assert_eq!(refusal.subject, "CN=docker-registry-client");
                assert!(refusal.reason.contains("revoked"), "{refusal:?}");
            }
            other => panic!("{version}: {other:?}"),
        }
        assert!(said.contains("certificate revoked"), "{version}: {said}");
    }

    // a list of version 1, which openssl makes without a crlnumber file, is named with the cure
    let config = fs::read_to_string(folder.path("ca.cnf")).unwrap();
    folder.write("ca.cnf", config.replace("crlnumber=crlnumber\n", ""));
    folder.run("openssl", &list);
    let faults = told(&server.reload().unwrap_err());
    assert!(
        faults.contains("of version 1") && faults.contains("crlnumber"),
        "{faults}"
    );
}

/// One connection of `openssl s_client` with the seed's client certificate: our side, and what it printed.
async fn openssl(
    folder: &Folder,
    server: &ServerTls,
    version: &str,
) -> (Result<Handshake, HandshakeError>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (dir, version) = (folder.as_ref().to_owned(), version.to_owned());
    let client = tokio::task::spawn_blocking(move || {
        let arguments = [
            "s_client",
            "-connect",
            &address,
            &version,
            "-cert",
            "client.cert",
            "-key",
            "client.key",
            "-ign_eof",
        ];
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(dir)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    });
    let (socket, _) = listener.accept().await.unwrap();
    let met = match server.accept(socket).await {
        Ok((mut stream, handshake)) => {
            stream.write_all(b"hello\n").await.unwrap();
            stream.shutdown().await.unwrap();
            Ok(handshake)
        }
        Err(error) => Err(error),
    };
    (met, client.await.unwrap())
}

/// Everything that a version 1 certificate is checked for, beside what the seed shows.
#[expect(
    clippy::too_many_lines,
    reason = "one table, or one story in its order"
)]
#[test]
fn t7_a_version_1_certificate_is_judged_like_any_other() {
    if openssl_is_missing() {
        return;
    }
    let folder = Folder::new();
    folder.write("v3.cnf", "basicConstraints=critical,CA:TRUE\n");
    folder.write(
        "narrow.cnf",
        "basicConstraints=critical,CA:TRUE\nnameConstraints=permitted;DNS:good.test\n",
    );
    folder.write(
        "server.cnf",
        "basicConstraints=critical,CA:TRUE\nextendedKeyUsage=serverAuth\n",
    );
    let request = |name: &str| {
        folder.run(
            "openssl",
            &[
                "req",
                "-nodes",
                "-newkey",
                "rsa:2048",
                "-keyout",
                &format!("{name}.key"),
                "-out",
                &format!("{name}.csr"),
                "-batch",
                "-subj",
                &format!("/CN={name}"),
            ],
        );
    };
    let root = |name: &str, extensions: &str| {
        request(name);
        let mut arguments = vec!["x509", "-req", "-days", "9", "-sha256"];
        let (key, csr, out) = (
            format!("{name}.key"),
            format!("{name}.csr"),
            format!("{name}.crt"),
        );
        arguments.extend(["-in", &csr, "-signkey", &key, "-out", &out]);
        if !extensions.is_empty() {
            arguments.extend(["-extfile", extensions]);
        }
        folder.run("openssl", &arguments);
    };
    let issue = |name: &str, ca: &str, days: &str, extensions: &str| {
        request(name);
        let (csr, out) = (format!("{name}.csr"), format!("{name}.crt"));
        let (ca_crt, ca_key) = (format!("{ca}.crt"), format!("{ca}.key"));
        let mut arguments = vec![
            "x509",
            "-req",
            "-days",
            days,
            "-sha256",
            "-in",
            &csr,
            "-CA",
            &ca_crt,
            "-CAkey",
            &ca_key,
            "-set_serial",
            "5",
            "-out",
            &out,
        ];
        if !extensions.is_empty() {
            arguments.extend(["-extfile", extensions]);
        }
        folder.run("openssl", &arguments);
    };
    root("ca", "v3.cnf");
    root("old-ca", "");
    root("narrow", "narrow.cnf");
    root("servers", "server.cnf");
    root("stranger", "v3.cnf");
    issue("middle", "ca", "9", "v3.cnf");
    issue("good", "ca", "9", "");
    issue("below-middle", "middle", "9", "");
    issue("below-old", "old-ca", "9", "");
    issue("expired", "ca", "-1", "");
    issue("below-narrow", "narrow", "9", "");
    issue("below-servers", "servers", "9", "");
    issue("below-stranger", "stranger", "9", "");
    issue("below-leaf", "good", "9", "");

    let read = |name: &str| fs::read_to_string(folder.path(&format!("{name}.crt"))).unwrap();
    let bundle = ["ca", "middle", "old-ca", "narrow", "servers"]
        .map(read)
        .concat();
    let path = folder.write("bundle.crt", bundle);
    let (trust, _) = Trust::load(&path, None, UnixTime::now()).unwrap();
    let table = [
        ("good", ""),
        ("below-middle", ""),
        ("below-old", ""),
        ("expired", "expired on"),
        ("below-narrow", "limits names"),
        ("below-servers", "may not issue client certificates"),
        ("below-stranger", "none of the CAs"),
        ("below-leaf", "none of the CAs"),
    ];
    let der =
        |name: &str| CertificateDer::from_pem_file(folder.path(&format!("{name}.crt"))).unwrap();
    for (name, reason) in table {
        // what the client adds to its chain makes no difference: version 1 never issues
        match trust.verify(&der(name), &[der("good"), der("stranger")], UnixTime::now()) {
            Ok(_) => assert_eq!(reason, "", "{name}"),
            Err(refused) => {
                let refusal = &refused.0;
                assert!(
                    !reason.is_empty() && refusal.reason.contains(reason),
                    "{name}: {refusal:?}"
                );
                assert_eq!(refusal.serial, "5");
            }
        }
    }
    // one bit of the signature
    let mut broken = der("good").to_vec();
    *broken.last_mut().unwrap() ^= 1;
    let refused = trust
        .verify(&broken.into(), &[], UnixTime::now())
        .unwrap_err();
    assert!(
        refused.0.reason.contains("not the one of the CA"),
        "{refused:?}"
    );
}

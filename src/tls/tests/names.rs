//! Which certificate is shown, and what is spoken (threats T1 to T5 and T10).

use crate::config::TlsVersion;

use super::*;

#[tokio::test]
async fn the_name_that_is_asked_for_chooses_the_certificate() {
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    let default = ca.server(&["default.test"]);
    let exact = ca.server(&["a.hub.test", "UPPER.test"]);
    let wild = ca.server(&["*.hub.test"]);
    let common = ca.leaf("common.test", |_| {});
    let mut settings = settings(folder.pair("default", &default));
    settings.more = vec![
        folder.pair("wild", &wild),
        folder.pair("exact", &exact),
        folder.pair("common", &common),
    ];
    let (server, warnings) = load(&settings);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].text.contains("no subject alternative name"));
    let client = Client::new().ready();
    let table = [
        ("default.test", &default, Some("default.test")),
        ("a.hub.test", &exact, Some("a.hub.test")),
        ("A.HUB.Test", &exact, Some("a.hub.test")),
        ("a.hub.test.", &exact, Some("a.hub.test")),
        ("b.hub.test", &wild, Some("b.hub.test")),
        ("upper.test", &exact, Some("upper.test")),
        ("b.c.hub.test", &default, Some("b.c.hub.test")),
        ("hub.test", &default, Some("hub.test")),
        ("common.test", &common, Some("common.test")),
        ("unknown.test", &default, Some("unknown.test")),
        // clients send no name for an address
        ("127.0.0.1", &default, None),
        ("::1", &default, None),
    ];
    for (name, expected, sni) in table {
        let met = meet(&server, &client, name).await;
        assert!(
            met.client.as_ref().unwrap().leaf == expected.der(),
            "{name}"
        );
        assert_eq!(met.handshake().sni.as_deref(), sni, "{name}");
    }
}

/// The names that no client library lets through, written into a hello by hand.
#[tokio::test]
async fn t10_a_strange_server_name_gets_the_default_or_an_alert() {
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    let (server, _) = load(&settings(
        folder.pair("server", &ca.server(&["xxxxxxxxxxxxxxxx"])),
    ));
    let long = "x".repeat(300);
    let table: [(&str, &[u8]); 8] = [
        ("127.0.0.1", b"127.0.0.1"),
        ("upper case", b"REGISTRY.TEST"),
        ("a dot at the end", b"registry.test."),
        ("a port", b"registry.test:5000"),
        ("300 characters", long.as_bytes()),
        ("empty", b""),
        ("zeros", b"\0\0\0\0"),
        ("not text", b"\xff\xfe/../\x80"),
    ];
    for (what, name) in table {
        let hello = hello_with(name);
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let accepted = tokio::spawn({
            let server = server.clone();
            async move { server.accept(ours).await.map(|_| ()) }
        });
        theirs.write_all(&hello).await.unwrap();
        let mut head = [0; 1];
        theirs.read_exact(&mut head).await.unwrap();
        // 22: our hello; 21: an alert
        let expected = match what {
            "127.0.0.1" | "upper case" | "a dot at the end" => 22,
            _ => 21,
        };
        assert_eq!(head[0], expected, "{what}");
        drop(theirs);
        assert!(accepted.await.unwrap().is_err(), "{what}");
    }
}

/// A hello of rustls' own with another server name in it.
fn hello_with(name: &[u8]) -> Vec<u8> {
    let config = Client::speaking(&[&rustls::version::TLS13]).ready();
    let marker = "marker.invalid";
    let mut connection =
        rustls::ClientConnection::new(config, ServerName::try_from(marker).unwrap()).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    let at = hello
        .windows(marker.len())
        .position(|one| one == marker.as_bytes())
        .unwrap();
    hello.splice(at..at + marker.len(), name.iter().copied());
    // every length around the name: record, handshake (three bytes), all extensions, extension, list, name
    let shift = |hello: &mut Vec<u8>, at: usize| {
        let old = i64::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
        let new = old + i64::try_from(name.len()).unwrap() - i64::try_from(marker.len()).unwrap();
        hello[at..at + 2].copy_from_slice(&u16::try_from(new).unwrap().to_be_bytes());
    };
    let session = usize::from(hello[43]);
    let suites = 44 + session;
    let suites_length = usize::from(u16::from_be_bytes([hello[suites], hello[suites + 1]]));
    let compression = suites + 2 + suites_length;
    let extensions = compression + 1 + usize::from(hello[compression]);
    for at in [3, 7, extensions, at - 7, at - 5, at - 2] {
        shift(&mut hello, at);
    }
    hello
}

#[tokio::test]
async fn t1_plain_http_is_told_so() {
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    let (server, _) = load(&settings(folder.pair("server", &ca.server(&["a.test"]))));
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let accept = tokio::spawn(async move { server.accept(ours).await.map(|_| ()) });
    theirs
        .write_all(b"GET /v2/ HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    theirs.read_to_string(&mut answer).await.unwrap();
    drop(theirs);
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("Content-Length: {}\r\n", body.len())),
        "{answer}"
    );
    assert!(matches!(
        accept.await.unwrap(),
        Err(HandshakeError::PlainHttp)
    ));
}

#[tokio::test]
async fn t5_garbage_and_silence_end_the_handshake() {
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    let (server, _) = load(&settings(folder.pair("server", &ca.server(&["a.test"]))));
    let table: [&[u8]; 6] = [
        b"",
        b"\0\0\0\0\0\0\0\0",
        b"\x16\x03\x01\xff\xff\0",
        // a hello of SSL 2, one of SSL 3, a heartbeat
        b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10\0\0\x05",
        b"\x16\x03\0\0\x2f\x01\0\0\x2b\x03\0\0\0\0\0",
        b"\x18\x03\x03\0\x03\x01\x40\0",
    ];
    for bytes in table {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        theirs.write_all(bytes).await.unwrap();
        theirs.shutdown().await.unwrap();
        let error = server.accept(ours).await.map(|_| ()).unwrap_err();
        assert!(
            matches!(error, HandshakeError::Silent | HandshakeError::Io(_)),
            "{bytes:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn t5_a_hello_in_single_bytes_is_understood() {
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    let (server, _) = load(&settings(folder.pair("server", &ca.server(&["a.test"]))));
    let (ours, outside) = tokio::io::duplex(1 << 16);
    let (inside, theirs) = tokio::io::duplex(1 << 16);
    let relay = async {
        let (mut answers, mut to_server) = tokio::io::split(outside);
        let (mut from_client, mut to_client) = tokio::io::split(inside);
        let forward = async {
            let mut byte = [0];
            while let Ok(1..) = from_client.read(&mut byte).await {
                if to_server.write_all(&byte).await.is_err() {
                    break; // the server has what it wants
                }
                // the server sees it alone
                tokio::task::yield_now().await;
            }
        };
        let back = tokio::io::copy(&mut answers, &mut to_client);
        // the client may be gone before the tickets reach it
        let ((), _gone) = tokio::join!(forward, back);
    };
    let serve = async {
        let (mut stream, _) = server.accept(ours).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let connect = async {
        let connector = TlsConnector::from(Client::new().ready());
        let name = ServerName::try_from("a.test").unwrap();
        let mut stream = connector.connect(name, theirs).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let all = async { tokio::join!(serve, connect, relay) };
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, all).await.unwrap();
}

#[tokio::test]
async fn a_cut_connection_is_no_end() {
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    let (server, _) = load(&settings(folder.pair("server", &ca.server(&["a.test"]))));
    for clean in [true, false] {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let client = TlsConnector::from(Client::new().ready());
        let (accepted, opened) = tokio::join!(
            server.accept(ours),
            client.connect(ServerName::try_from("a.test").unwrap(), theirs)
        );
        let (mut stream, mut connected) = (accepted.unwrap().0, opened.unwrap());
        connected.write_all(b"half").await.unwrap();
        if clean {
            connected.shutdown().await.unwrap();
        } else {
            connected.flush().await.unwrap();
        }
        drop(connected);
        let mut word = Vec::new();
        let end = stream.read_to_end(&mut word).await;
        assert_eq!(word, b"half");
        match end {
            Ok(_) => assert!(clean),
            Err(error) => {
                assert!(!clean);
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            }
        }
    }
}

#[tokio::test]
async fn versions_suites_and_protocols_are_the_promised_ones() {
    use rustls::{CipherSuite, NamedGroup};
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    let mut settings = settings(folder.pair("server", &ca.server(&["a.test"])));
    let (server, _) = load(&settings);
    let old = Client::speaking(&[&rustls::version::TLS12]).ready();
    meet(&server, &old, "a.test").await.handshake();

    let met = meet(&server, &Client::new().ready(), "a.test").await;
    assert_eq!(met.client.unwrap().group, Some(NamedGroup::X25519MLKEM768));

    // AES-128 is taken unless the client is slow at AES
    for (first, taken) in [
        (
            CipherSuite::TLS13_AES_128_GCM_SHA256,
            CipherSuite::TLS13_AES_128_GCM_SHA256,
        ),
        (
            CipherSuite::TLS13_AES_256_GCM_SHA384,
            CipherSuite::TLS13_AES_128_GCM_SHA256,
        ),
        (
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        ),
    ] {
        let mut provider = aws_lc_rs::default_provider();
        provider
            .cipher_suites
            .sort_by_key(|one| one.suite() != first);
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(client::Anything))
            .with_no_client_auth();
        let met = meet(&server, &Arc::new(config), "a.test").await;
        assert_eq!(met.client.unwrap().suite, taken);
    }

    let both = Client::new().alpn(&[b"h2", b"http/1.1"]).ready();
    assert!(meet(&server, &both, "a.test").await.handshake().http2);
    let one = Client::new().alpn(&[b"http/1.1"]).ready();
    assert!(!meet(&server, &one, "a.test").await.handshake().http2);
    let (no_h2, _) =
        ServerTls::load(&settings, false, folder.as_ref(), &Challenges::default()).unwrap();
    assert!(!meet(&no_h2, &both, "a.test").await.handshake().http2);

    settings.min_version = TlsVersion::Tls13;
    let (server, _) = load(&settings);
    let met = meet(&server, &old, "a.test").await;
    assert!(
        met.client
            .unwrap_err()
            .to_string()
            .contains("ProtocolVersion")
    );
    meet(&server, &Client::new().ready(), "a.test")
        .await
        .handshake();
}

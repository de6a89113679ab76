//! The handshake: certificates by name, versions, and everything that is no handshake.

use super::*;

/// `openssl s_client` to this address; it ends with its empty input.
fn s_client(address: SocketAddr, arguments: &[&str]) -> Outcome {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string()]);
    process::run(command.args(arguments))
}

/// The leaf that `s_client` was shown.
fn shown(outcome: &Outcome) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(outcome.stdout.as_bytes())
        .unwrap_or_else(|e| panic!("{e}\n{outcome}"))
}

fn leaf(pair: &Pair) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&pair.certificate).unwrap()
}

#[test]
fn t10_the_certificate_is_chosen_by_name_and_the_first_is_for_all_others() {
    if !peers::need(&["openssl", "curl"]) {
        return;
    }
    let origin = Origin::start();
    let authority = Authority::new("names");
    let (default, wild) = (authority.server(), authority.server_for(&["*.wild.test"]));
    let other = authority.server_for(&["other.test"]);
    let gate = Gate::start(&format!(
        "{}[[listener.tls.certificates]]\n{}[[listener.tls.certificates]]\n{}{}",
        tls_listener(&default),
        tls(&wild),
        tls(&other),
        rest(&origin)
    ));
    let long = ["a"; 4].map(|a| a.repeat(60)).join(".");
    for (name, pair) in [
        (Some(NAME), &default),
        (Some("a.wild.test"), &wild),
        (Some("A.WILD.Test"), &wild),
        (Some("other.test"), &other),
        (Some("wild.test"), &default),
        (Some("a.b.wild.test"), &default),
        (Some("unknown.test"), &default),
        (Some(long.as_str()), &default),
        (None, &default),
    ] {
        let arguments = match name {
            Some(name) => vec!["-servername", name],
            None => vec!["-noservername"],
        };
        let outcome = s_client(gate.address(), &arguments);
        assert_eq!(shown(&outcome), leaf(pair), "{name:?}");
    }
    s_client(gate.address(), &["-servername", &"a".repeat(250)])
        .fails_saying("alert", "a label of a name has 63 characters at the most");
    let port = gate.address().port();
    for name in [NAME, "a.wild.test", "other.test"] {
        process::run(
            Command::new("curl")
                .args(["-sS", "--noproxy", "*", "--fail", "--cacert"])
                .arg(authority.ca())
                .args(["--resolve", &format!("{name}:{port}:127.0.0.1")])
                .arg(format!("https://{name}:{port}/v2/")),
        )
        .succeeds("curl verifies the certificate of the name");
    }
}

#[test]
fn t3_tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    if !peers::need(&["openssl"]) {
        return;
    }
    let origin = Origin::start();
    let authority = Authority::new("versions");
    let pair = authority.server();
    let gate = Gate::start(&format!(
        "{}{}min_version = \"1.3\"\n{}",
        tls_listener(&pair),
        tls_listener(&pair),
        rest(&origin)
    ));
    let old = ["-cipher", "ALL:@SECLEVEL=0"];
    for (listener, version, served) in [
        (0, "-tls1_3", true),
        (0, "-tls1_2", true),
        (0, "-tls1_1", false),
        (0, "-tls1", false),
        (1, "-tls1_3", true),
        (1, "-tls1_2", false),
    ] {
        let outcome = s_client(gate.address_of(listener), &[&[version][..], &old].concat());
        if served {
            outcome.succeeds(version);
        } else {
            outcome.fails_saying("alert", version);
        }
    }
    for suite in ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "NULL"] {
        let suite = format!("{suite}:@SECLEVEL=0");
        s_client(gate.address(), &["-tls1_2", "-cipher", &suite])
            .fails_saying("alert", "a suite without authenticated encryption");
    }
    let mut dialog = Dialog::tls(gate.address(), &Tls::new(authority.ca(), NAME));
    assert_eq!(dialog.get("/v2/").status, 200, "others go on");
}

#[test]
fn t1_t2_http_and_tls_on_each_others_port_end_at_once() {
    let origin = Origin::start();
    let authority = Authority::new("confusion");
    let gate = Gate::start(&format!(
        "{}[[listener]]\naddress = \"127.0.0.1:0\"\n{}",
        tls_listener(&authority.server()),
        rest(&origin)
    ));
    let mut dialog = Dialog::tcp(gate.address_of(0));
    let answer = dialog.get("/v2/");
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("HTTPS"), "{}", answer.text());
    dialog.is_closed();

    let client = Tls::new(authority.ca(), NAME);
    let mut dialog = Dialog::tls(gate.address_of(1), &client);
    dialog.handshake().unwrap_err();
    assert!(origin.seen().is_empty());
    assert_eq!(Dialog::tcp(gate.address_of(1)).get("/v2/").status, 200);
}

#[test]
fn t5_n25_garbage_in_the_handshake_harms_nobody() {
    let origin = Origin::start();
    let authority = Authority::new("garbage");
    let gate = Gate::start(&format!(
        "{}{}",
        tls_listener(&authority.server()),
        rest(&origin)
    ));
    let client = Tls::new(authority.ca(), NAME);
    let mut honest = Dialog::tls(gate.address(), &client);
    assert_eq!(honest.get("/v2/").status, 200);
    let heartbeat = b"\x18\x03\x02\x00\x03\x01\x40\x00";
    for bytes in [
        &b"\x16\x03\x01\xff\xff"[..],
        &[&b"\x16\x03\x01\x02\x00"[..], &[0xff; 512]].concat(),
        heartbeat,
        b"\x80\x2e\x01\x00\x02",
        b"\0\0\0\0",
        &vec![b'\x16'; 70_000],
    ] {
        let mut dialog = Dialog::tcp(gate.address());
        // It may be closed before all is sent.
        let _ = dialog.send(bytes);
        dialog.finish();
        dialog.is_closed();
    }
    for _ in 0..500 {
        let _ = Dialog::tcp(gate.address()).send(b"\x16\x03\x01");
    }
    assert_eq!(honest.get("/v2/").status, 200);
    assert_eq!(Dialog::tls(gate.address(), &client).get("/v2/").status, 200);
}

#[test]
fn t4_n26_a_stalled_handshake_is_closed_in_time_and_holds_up_nobody() {
    let origin = Origin::start();
    let authority = Authority::new("stall");
    let gate = Gate::start(&format!(
        "{}{}[timeouts]\nhandshake = \"2s\"\n",
        tls_listener(&authority.server()),
        rest(&origin)
    ));
    let client = Tls::new(authority.ca(), NAME);
    let begun = tokio::time::Instant::now();
    let mut stalled = [
        &b""[..],
        b"\x16",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ]
    .map(|bytes| {
        let mut dialog = Dialog::tcp(gate.address());
        dialog.send(bytes).unwrap();
        dialog
    });
    assert_eq!(Dialog::tls(gate.address(), &client).get("/v2/").status, 200);
    for dialog in &mut stalled {
        dialog.is_closed();
    }
    let waited = begun.elapsed().as_secs_f64();
    assert!((1.9..15.0).contains(&waited), "{waited}");
}

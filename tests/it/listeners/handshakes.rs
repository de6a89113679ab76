//! The handshake: certificates by name, versions, and everything that is no handshake.

use crate::support::figures::{BAD_INPUTS, tell};
use crate::support::hello;
use crate::support::scrape::Scrape;

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
fn t3_old_versions_and_broken_suites_meet_an_alert_and_are_counted() {
    const GOOD: u16 = 0xc02b;
    let origin = Origin::start();
    let authority = Authority::new("suites");
    let program = Program::start(&format!(
        "{}[admin]\naddress = \"127.0.0.1:0\"\n{}",
        tls_listener(&authority.server()),
        rest(&origin)
    ));
    let first_bytes = |version, suites: &[u16]| {
        let mut dialog = Dialog::tcp(program.address(0));
        dialog.send(&hello::offering(version, suites)).unwrap();
        dialog.take(7).unwrap()
    };
    let record = first_bytes([3, 3], &[GOOD])[0];
    assert_eq!(
        record, 22,
        "nothing is wrong with these hellos but one thing"
    );
    // RFC 8446 section 6: an alert, fatal, `handshake_failure`
    let broken = [21, 2, 40];
    let rows: [(&str, [u8; 2], &[u16]); 14] = [
        ("SSL 3", [3, 0], &[0x0004, 0x000a, 0x002f, GOOD]),
        ("TLS 1.0", [3, 1], &[0x002f, 0xc009, GOOD]),
        ("TLS 1.1", [3, 2], &[0x002f, 0xc009, GOOD]),
        ("null", [3, 3], &[0x0001, 0x0002, 0x003b, 0xc006, 0xc010]),
        ("export", [3, 3], &[0x0003, 0x0006, 0x0008, 0x0014, 0x0062]),
        ("RC4", [3, 3], &[0x0004, 0x0005, 0xc007, 0xc011]),
        ("DES", [3, 3], &[0x0009, 0x0015]),
        ("3DES", [3, 3], &[0x000a, 0x0016, 0xc008, 0xc012]),
        ("anonymous", [3, 3], &[0x0018, 0x0034, 0xc018, 0x00a6]),
        ("CBC", [3, 3], &[0x002f, 0x003c, 0xc009, 0xc023, 0xc024]),
        ("without forward secrecy", [3, 3], &[0x009c, 0x009d]),
        ("finite fields", [3, 3], &[0x0033, 0x009e, 0xccaa]),
        ("eight bytes of tag", [3, 3], &[0xc0ac, 0xc0ae]),
        ("none at all", [3, 3], &[0x00ff]),
    ];
    for (what, version, suites) in rows {
        let answer = first_bytes(version, suites);
        assert_eq!([answer[0], answer[5], answer[6]], broken, "{what}");
    }
    let count = f64::from(u32::try_from(rows.len()).unwrap());
    let scrape = Scrape::until(program.admin(), "all are counted", |told| {
        told.sum(
            "dockgate_handshake_failures_total",
            &["reason=\"protocol\""],
        ) >= count
    });
    scrape.is(
        "dockgate_handshake_failures_total",
        &["reason=\"protocol\""],
        count,
    );
    program.err_times("handshake failed", rows.len());
    let client = Tls::new(authority.ca(), NAME);
    assert_eq!(
        Dialog::tls(program.address(0), &client).get("/v2/").status,
        200
    );
    tell(BAD_INPUTS, rows.len());
}

#[test]
fn t5_n25_no_second_handshake_and_no_early_data() {
    if !peers::need(&["openssl"]) {
        return;
    }
    let origin = Origin::start();
    let authority = Authority::new("twice");
    let gate = Gate::start(&format!(
        "{}{}",
        tls_listener(&authority.server()),
        rest(&origin)
    ));
    let address = gate.address();
    let s_client = |input: &str, arguments: &str| {
        let script = format!("printf '{input}' | openssl s_client -connect {address} {arguments}");
        process::run(Command::new("sh").args(["-c", &script]))
    };
    // A line with `R` alone has s_client begin another handshake.
    s_client("R\\n", "-tls1_2").fails_saying("no renegotiation", "it is refused with its alert");
    let folder = TempDir::new().unwrap();
    let (session, early) = (folder.path().join("session"), folder.path().join("early"));
    let request = "GET /v2/early/tags/list HTTP/1.1\r\nHost: gate\r\n\r\n";
    fs::write(&early, request).unwrap();
    let ping = "GET /_ping HTTP/1.1\\r\\nHost: gate\\r\\nConnection: close\\r\\n\\r\\n";
    let (session, early) = (session.display(), early.display());
    s_client(ping, &format!("-tls1_3 -ign_eof -sess_out {session}"))
        .succeeds("a session is begun")
        .says("Max Early Data: 0", "and its ticket takes no early data");
    s_client(
        ping,
        &format!("-tls1_3 -ign_eof -sess_in {session} -early_data {early}"),
    )
    .says("Early data was not sent", "so none is sent");
    assert!(origin.seen().is_empty());
}

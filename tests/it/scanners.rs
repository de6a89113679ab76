//! The TLS of a gate that nobody has configured, as the scanners that people point at it see it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::peers::need;
use crate::support::process::{self, Outcome};
use crate::support::program::{Program, dockgate};

/// A scan of one kind may take this long on a busy machine; alone it takes seconds.
const PATIENCE: Duration = Duration::from_secs(300);

/// Findings of testssl.sh above `INFO`, and why each is none: they are about a certificate that the gate had to
/// make itself, which no setting of the gate can change and a certificate of one's own does.
const EXPECTED: [(&str, &str); 4] = [
    (
        "cert_chain_of_trust",
        "its CA is known to those who were given it",
    ),
    ("cert_trust", "the same"),
    (
        "cert_revocation",
        "a CA of one machine has nobody to publish a list",
    ),
    ("cert_caRecord", "a name in DNS is the operator's"),
];

/// What `dockgate` does in an empty folder, but for the port.
fn first_start() -> Program {
    let dir = TempDir::with_prefix("dockgate-scanned-").unwrap();
    let mut command = dockgate();
    command
        .env("DOCKGATE_LISTENER_ADDRESS", "127.0.0.1:0")
        .stdout(Stdio::piped());
    let program = Program::spawn(dir, command);
    program.err_line("listening");
    program
}

/// One kind of scan, and its findings: severity and words, by name.
fn testssl(program: &Program, kind: &str) -> BTreeMap<String, (String, String)> {
    let file = program.path(&format!("testssl{kind}.json"));
    let mut command = Command::new("testssl");
    // It must not ask the network for anything; its own openssl is not to be complained of.
    command
        .args([
            "--quiet",
            "--warnings",
            "off",
            "--color",
            "0",
            "--nodns",
            "none",
            "--jsonfile",
        ])
        .arg(&file)
        .args([kind, &program.address(0).to_string()]);
    let outcome = process::run_within(&mut command, PATIENCE);
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{e}\n{outcome}"));
    let found: serde_json::Value =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let text = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let found = found.as_array().unwrap().iter();
    found
        .map(|one| {
            (
                text(one, "id"),
                (text(one, "severity"), text(one, "finding")),
            )
        })
        .collect()
}

#[test]
fn t3_t5_n25_testssl_finds_nothing_above_info() {
    if !need(&["testssl", "openssl"]) {
        return;
    }
    let program = first_start();
    // Protocols, suites by strength, forward secrecy, the hello and the certificate, headers, and every named attack.
    let kinds = ["-p", "-s", "-f", "-P", "-S", "-h", "-U"];
    let found: BTreeMap<_, _> = std::thread::scope(|scope| {
        let scans = kinds.map(|kind| scope.spawn(|| testssl(&program, kind)));
        scans
            .into_iter()
            .flat_map(|scan| scan.join().unwrap())
            .collect()
    });
    assert!(found.len() > 60, "{found:#?}");
    for (id, severity) in [
        ("SSLv3", "OK"),
        ("TLS1", "INFO"),
        ("TLS1_2", "OK"),
        ("TLS1_3", "OK"),
        ("heartbleed", "OK"),
        ("HSTS_time", "OK"),
    ] {
        assert_eq!(
            found.get(id).map(|(severity, _)| &**severity),
            Some(severity),
            "{id}: {found:#?}"
        );
    }
    let above: Vec<_> = found
        .iter()
        .filter(|(id, (severity, _))| {
            let expected = EXPECTED.iter().any(|(known, _)| known == id);
            // `WARN` is about the scanner and its openssl.
            !expected && !matches!(severity.as_str(), "OK" | "INFO" | "WARN")
        })
        .collect();
    assert!(above.is_empty(), "{above:#?}");
}

fn sslscan(address: SocketAddr) -> Outcome {
    let mut command = Command::new("sslscan");
    command.args(["--xml=-", "--show-sigs", "--no-colour"]);
    process::run_within(command.arg(address.to_string()), PATIENCE).succeeds("sslscan scans")
}

/// The values of an attribute of these elements.
fn attributes<'a>(xml: &'a str, element: &str, attribute: &str) -> Vec<&'a str> {
    let begin = format!("<{element} ");
    let name = format!(" {attribute}=\"");
    xml.lines()
        .filter(|line| line.trim_start().starts_with(&begin))
        .filter_map(|line| line.split_once(&name)?.1.split_once('"'))
        .map(|(value, _)| value)
        .collect()
}

#[test]
fn t3_t5_n25_sslscan_finds_nothing_old_and_nothing_weak() {
    if !need(&["sslscan", "openssl"]) {
        return;
    }
    let program = first_start();
    let scanned = sslscan(program.address(0));
    let xml = &scanned.stdout;
    let enabled: Vec<_> = xml
        .lines()
        .filter(|line| line.contains("<protocol ") && line.contains("enabled=\"1\""))
        .collect();
    assert_eq!(enabled.len(), 2, "{scanned}");
    assert!(
        enabled
            .iter()
            .all(|l| l.contains("version=\"1.2\"") || l.contains("version=\"1.3\"")),
        "{scanned}"
    );
    let suites = attributes(xml, "cipher", "cipher");
    assert!(suites.len() >= 6, "{scanned}");
    for suite in suites {
        let good = suite.starts_with("TLS_") || suite.starts_with("ECDHE-");
        let sealed = suite.contains("GCM") || suite.contains("CHACHA20");
        assert!(good && sealed, "{suite}: {scanned}");
    }
    for strength in attributes(xml, "cipher", "strength") {
        assert!(
            matches!(strength, "strong" | "acceptable"),
            "{strength}: {scanned}"
        );
    }
    let groups = attributes(xml, "group", "name");
    assert!(
        groups.iter().any(|g| g.eq_ignore_ascii_case("x25519")),
        "{scanned}"
    );
    let good = [
        "secp256r1",
        "secp384r1",
        "secp521r1",
        "x25519",
        "X25519MLKEM768",
    ];
    let good = |group: &&str| {
        good.iter()
            .any(|name| group.split(' ').next() == Some(name))
    };
    assert!(groups.iter().all(good), "{scanned}");
    // Not `ANY`: sslscan offers an algorithm that does not exist and is content with a ServerHello, after which there comes
    // an alert (below).
    let signatures = attributes(xml, "connection-signature-algorithm", "name");
    assert!(
        !signatures
            .iter()
            .any(|s| ["sha1", "md5", "sha224"].iter().any(|w| s.contains(w))),
        "{scanned}"
    );
    assert!(
        attributes(xml, "compression", "supported")
            .iter()
            .all(|v| *v == "0"),
        "{scanned}"
    );
    assert!(
        attributes(xml, "renegotiation", "supported")
            .iter()
            .all(|v| *v == "0"),
        "{scanned}"
    );
    let heartbleed = attributes(xml, "heartbleed", "vulnerable");
    assert!(heartbleed.iter().all(|v| *v == "0"), "{scanned}");
    signs_with_nothing_old(program.address(0));
}

/// Handshakes with signatures that are good, and with others.
#[track_caller]
fn signs_with_nothing_old(address: SocketAddr) {
    for version in ["-tls1_2", "-tls1_3"] {
        for (algorithms, good) in [
            ("ECDSA+SHA256", true),
            ("ECDSA+SHA1:RSA+SHA1", false),
            ("RSA+SHA256", false),
        ] {
            if version == "-tls1_3" && algorithms.contains("SHA1") {
                continue; // openssl itself does not send that
            }
            let mut command = Command::new("openssl");
            command.args([
                "s_client",
                version,
                "-cipher",
                "ALL:@SECLEVEL=0",
                "-sigalgs",
                algorithms,
            ]);
            let outcome = process::run(command.args(["-connect", &address.to_string()]));
            if good {
                outcome.succeeds(algorithms);
            } else {
                outcome.fails_saying("alert handshake failure", algorithms);
            }
        }
    }
}

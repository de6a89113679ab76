//! A clock that is set by an hour, either way, while the gate serves.

use std::time::Duration;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose};

use crate::support::certs::{Authority, Pair};
use crate::support::clock;
use crate::support::dialog::{Dialog, Tls};
use crate::support::figures::{FAULTS, tell};
use crate::support::peers::{NAME, need};
use crate::support::site::{digest, login};

/// A client certificate for half an hour to either side of now.
fn short_lived(authority: &Authority) -> Pair {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "short");
    let now = std::time::SystemTime::now();
    let half = Duration::from_secs(30 * 60);
    params.not_before = (now - half).into();
    params.not_after = (now + half).into();
    authority.issue("short", params, ExtendedKeyUsagePurpose::ClientAuth)
}

#[test]
fn p2_a_clock_that_jumps_an_hour_either_way_ends_nothing_and_is_believed_about_certificates() {
    if !need(clock::PROGRAMS) {
        return;
    }
    let authority = Authority::new("clock");
    let (server, client) = (authority.server(), short_lived(&authority));
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\
         client_ca = \"{}\"\nclient_auth = \"optional\"\n[log]\naccess = false\n[auth]\nhtpasswd = \"htpasswd\"\n\
         [registry.filesystem]\nrootdirectory = \"store\"\n",
        server.certificate.display(),
        server.key.display(),
        authority.ca().display()
    );
    let (program, clock) = clock::start(&toml, "+0", |dir| {
        std::fs::write(dir.join("htpasswd"), "alice:{PLAIN}ecila\n").unwrap();
    });
    let tls = Tls::build(authority.ca(), NAME, Some(&client), rustls::ALL_VERSIONS);
    // Whether the certificate alone opens the door.
    let opens = |dialog: &mut Dialog| match dialog.request("GET", "/v2/", &[], b"") {
        Ok(()) => dialog
            .answer("GET")
            .is_ok_and(|answer| answer.status == 200),
        Err(_) => false,
    };
    let login = login("alice");
    let login = [login.split_once(": ").unwrap()];
    let mut idle = Dialog::tcp(program.address(0));
    let mut secure = Dialog::tls(program.address(1), &tls);
    assert!(opens(&mut secure), "{}", program.stderr());
    let begun = idle.ask("POST", "/v2/a/blobs/uploads/", &login, b"");
    let place = begun.header("location").unwrap();
    let place = place[place.find("/v2/").unwrap()..].to_owned();
    let mut content = Vec::new();
    for offset in ["+1h", "+0", "-1h", "+0"] {
        clock.set(offset);
        // An upload that runs goes on, a kept connection is kept, and a password is a password.
        let piece = format!("bytes of {offset};");
        content.extend_from_slice(piece.as_bytes());
        let sent = idle.ask("PATCH", &place, &login, piece.as_bytes());
        assert_eq!(sent.status, 202, "{offset}: {}{}", sent.head, sent.text());
        // A certificate is good at its time and at no other, on a new connection and on an open one.
        let good = offset == "+0";
        let mut new = Dialog::tls(program.address(1), &tls);
        assert_eq!(opens(&mut new), good, "a new connection at {offset}");
        if !good {
            assert!(!opens(&mut secure), "an open connection at {offset}");
            clock.set("+0");
            secure = Dialog::tls(program.address(1), &tls);
            assert!(opens(&mut secure), "back from {offset}");
        }
    }
    let name = digest(&content);
    let done = idle.ask("PUT", &format!("{place}?digest={name}"), &login, b"");
    assert_eq!(done.status, 201, "{}{}", done.head, done.text());
    let got = idle.ask("GET", &format!("/v2/a/blobs/{name}"), &login, b"");
    assert_eq!(got.body, content);
    tell(FAULTS, 4);
}

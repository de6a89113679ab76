//! What a challenge says of tokens: it is written by whoever answers, and does not decide where a password goes.

use std::net::TcpListener;

use crate::support::nginx::Nginx;
use crate::support::peers::need;
use crate::support::upstream::{Next, Upstream};

use super::{Fronts, PEERS, Told, USER, compare, text};

impl Fronts {
    /// A registry with TLS that sends clients to this realm, and takes whatever token they bring.
    fn sending_to(&self, realm: &str) -> Nginx {
        self.nginx(|http| {
            let at = http.find("location").unwrap();
            let server = http[..at].to_owned();
            format!(
                "map $http_authorization $answer {{ default 401; '~^Bearer' 200; }}
                 {server} add_header Docker-Distribution-Api-Version registry/2.0 always;
                 add_header WWW-Authenticate 'Bearer realm=\"{realm}\",service=\"x\"' always;
                 location / {{ if ($answer = 200) {{ return 200 '{{}}'; }} return 401; }} }}"
            )
        })
    }
}

/// One in clear that hands out tokens to everybody.
fn spy(host: &str) -> Upstream {
    Upstream::on(TcpListener::bind((host, 0)).unwrap(), |request| {
        request.say("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"token\":\"abcd\"}");
        Next::Close
    })
}

/// Whether anybody proved who he is there.
fn was_shown(spy: &Upstream) -> bool {
    let told = spy.told();
    told.iter()
        .any(|told| !told.values("authorization").is_empty())
}

impl Told {
    /// It is no proof, and says that no password went to this one.
    #[track_caller]
    fn withholds(self, sides: &[&str], spy: &Upstream) {
        assert!(!was_shown(spy), "{:?}", spy.told());
        assert_eq!(
            self.document["verdict"], "incomplete",
            "{:#}",
            self.document
        );
        let incomplete = self.document["incomplete"].as_array().unwrap();
        assert_eq!(incomplete.len(), sides.len(), "{incomplete:#?}");
        for (said, side) in incomplete.iter().zip(sides) {
            let said = said.as_str().unwrap();
            assert!(
                said.starts_with(&format!("{side}: {}, ", spy.url())),
                "{said}"
            );
            assert!(
                said.contains("in clear") && said.contains("not sent"),
                "{said}"
            );
        }
        self.leaves_nothing();
        self.outcome
            .fails_saying("not sent", "the exit code says so");
    }
}

#[test]
fn a_realm_in_clear_of_a_registry_with_tls_gets_no_password() {
    if !need(PEERS) {
        return;
    }
    let fronts = Fronts::new();
    let spy = spy("127.0.0.1");
    let front = fronts.sending_to(&format!("{}/token", spy.url()));
    let (bad, gate) = (front.address(), fronts.gate(""));
    fronts
        .compare(bad, bad, &[])
        .withholds(&["old", "new"], &spy);
    fronts
        .compare(gate.address(), bad, &[])
        .withholds(&["new"], &spy);
}

#[test]
fn a_realm_in_clear_gets_a_password_on_the_host_of_a_url_in_clear_alone() {
    if !need(&["htpasswd", "docker-registry"]) {
        return;
    }
    let fronts = Fronts::new();
    let password = fronts.folder.path().join("password");
    for host in ["127.0.0.2", "127.0.0.1"] {
        let spy = spy(host);
        let challenge = format!("Bearer realm=\"{}/token\",service=\"x\"", spy.url());
        let front = Upstream::answering(format!(
            "HTTP/1.1 401 Unauthorized\r\nDocker-Distribution-Api-Version: registry/2.0\r\n\
             WWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n"
        ));
        let arguments = ["--user", USER, "--password-file", text(&password)];
        let told = compare(&front.url(), &front.url(), &arguments);
        if host == "127.0.0.1" {
            assert!(was_shown(&spy), "{:#}", told.document);
        } else {
            told.withholds(&["old", "new"], &spy);
        }
    }
}

#[test]
fn a_password_that_goes_elsewhere_over_tls_is_told() {
    if !need(PEERS) {
        return;
    }
    let fronts = Fronts::new();
    let gate = fronts.gate("challenge = \"bearer\"");
    let server = format!("https://{}", gate.address());
    let front = fronts.sending_to(&format!("{server}/v2/token"));
    let told = fronts.compare(gate.address(), front.address(), &["--read-only"]);
    let notes = told.document["notes"].as_array().unwrap();
    let note = format!("new has its tokens from {server}: the password went there too");
    assert!(notes.iter().any(|found| *found == note), "{notes:#?}");
    // A registry's own token server is nothing to be told of.
    assert!(
        !told.document["notes"].to_string().contains("old has"),
        "{notes:#?}"
    );
}

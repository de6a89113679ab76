//! `/v2/`, its headers, its challenge, and who is let in.

use std::net::TcpListener;

use crate::support::peers::need;
use crate::support::upstream::{Next, Upstream};

use super::{GOOD, Site, USER, doctor, text};

const PEERS: &[&str] = &["docker-registry", "htpasswd", "nginx"];

/// An answer of a registry in clear.
fn answering(head: &str, body: &str) -> Upstream {
    let length = body.len();
    Upstream::answering(format!(
        "HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

const VERSION: &str =
    "Docker-Distribution-Api-Version: registry/2.0\r\nContent-Type: application/json";

#[test]
fn what_is_no_registry_is_registry() {
    for (head, body, words) in [
        (
            "200 OK\r\nContent-Type: text/html",
            "<html>Welcome</html>",
            "a web page",
        ),
        (
            "404 Not Found",
            "404 page not found",
            "there is no registry",
        ),
        (
            "302 Found\r\nLocation: https://login.example/",
            "",
            "https://login.example/",
        ),
        ("502 Bad Gateway", "<html>", "the registry behind it is not"),
        ("403 Forbidden", "", "address rules"),
    ] {
        let front = answering(head, body);
        doctor(&front.url(), &[]).names("registry", &[words]);
    }
}

#[test]
fn a_front_that_swallows_the_version_is_version_header() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let hidden = GOOD.replace(
        "add_header Docker-Distribution-Api-Version registry/2.0 always;",
        "proxy_hide_header Docker-Distribution-Api-Version;",
    );
    let nginx = site.nginx(&hidden);
    site.doctor(nginx.address(), &[])
        .names("version header", &["is missing"]);
    // As in the recipe that forgets one word: on 200, and not on 401.
    let forgotten = hidden.replace(
        "proxy_hide_header Docker-Distribution-Api-Version;",
        "proxy_hide_header Docker-Distribution-Api-Version; add_header Docker-Distribution-Api-Version registry/2.0;",
    );
    let nginx = site.nginx(&forgotten);
    site.doctor(nginx.address(), &[])
        .names("version header", &["401", "`always`"]);
}

#[test]
fn a_front_as_it_should_be_is_healthy_though_it_says_the_version_twice() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let nginx = site.nginx(GOOD);
    site.doctor(nginx.address(), &[]).is_healthy(&[
        "version header",
        "credentials",
        "location",
        "body limit",
    ]);
}

#[test]
fn a_challenge_that_docker_cannot_follow_is_challenge() {
    for (lines, words) in [
        ("", "401 without WWW-Authenticate"),
        (
            "\r\nWWW-Authenticate: Bearer realm=\"http://127.0.0.1:1/\"\r\nWWW-Authenticate: Basic realm=\"x\"",
            "several lines",
        ),
        ("\r\nWWW-Authenticate: Negotiate", "negotiate"),
    ] {
        let front = answering(&format!("401 Unauthorized\r\n{VERSION}{lines}"), "{}");
        let told = doctor(&front.url(), &[]);
        assert!(told.failed().contains(&"challenge"), "{:#}", told.0);
        assert_eq!(told.0["verdict"], "challenge");
        let (_, text) = told.layer("challenge");
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn a_realm_that_hands_out_no_tokens_is_realm() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = closed.local_addr().unwrap();
    drop(closed);
    let other = answering("404 Not Found", "nothing");
    for (realm, words) in [
        (format!("http://{nowhere}/token"), "cannot be reached"),
        ("http://token.invalid/".to_owned(), "token.invalid"),
        (format!("{}/token", other.url()), "is no token server"),
        ("token".to_owned(), "is no URL"),
    ] {
        let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"x\"");
        let front = answering(
            &format!("401 Unauthorized\r\n{VERSION}\r\n{challenge}"),
            "{}",
        );
        doctor(&front.url(), &[]).names("realm", &[words]);
    }
}

#[test]
fn a_realm_in_clear_is_realm_and_no_password_goes_there() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let spy = answering("200 OK", "{\"token\":\"x\"}");
    let nginx = site.nginx(&format!(
        "location / {{ add_header Docker-Distribution-Api-Version registry/2.0 always;
           add_header WWW-Authenticate 'Bearer realm=\"{}/token\",service=\"x\"' always; return 401; }}",
        spy.url()
    ));
    site.doctor(nginx.address(), &[])
        .names("realm", &["in clear"]);
    assert_eq!(spy.connections(), 0);
}

#[test]
fn a_realm_in_clear_on_another_host_than_the_url_names_gets_no_password() {
    let token = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"token\":\"x\"}";
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "a secret").unwrap();
    let arguments = ["--user", USER, "--password-file", text(&password)];
    for (host, gets_it) in [("127.0.0.2:0", false), ("127.0.0.1:0", true)] {
        let spy = Upstream::on(TcpListener::bind(host).unwrap(), move |request| {
            request.say(token);
            Next::Close
        });
        let challenge = format!(
            "WWW-Authenticate: Bearer realm=\"{}/token\",service=\"x\"",
            spy.url()
        );
        let front = answering(
            &format!("401 Unauthorized\r\n{VERSION}\r\n{challenge}"),
            "{}",
        );
        let told = doctor(&front.url(), &arguments);
        let seen = spy.told();
        let shown = seen.iter().any(|t| !t.values("authorization").is_empty());
        assert_eq!(shown, gets_it, "{seen:?}");
        if gets_it {
            assert_eq!(told.layer("realm").0, "ok", "{:#}", told.0);
        } else {
            told.names("realm", &["in clear", "another host", "not sent"]);
            assert_eq!(doctor(&front.url(), &[]).layer("realm").0, "ok");
        }
    }
}

#[test]
fn a_token_server_with_tls_is_asked_over_tls_also_by_a_registry_in_clear() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let gate = site.gate(&site.server, "", "challenge = \"bearer\"");
    let realm = format!("https://{}/v2/token", gate.address());
    let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"x\"");
    let front = answering(
        &format!("401 Unauthorized\r\n{VERSION}\r\n{challenge}"),
        "{}",
    );
    let told = doctor(&front.url(), &["--ca", site.ca()]);
    let (status, said) = told.layer("realm");
    assert_eq!(status, "ok", "{said}");
    assert!(said.contains("another host"), "{said}");
}

#[test]
fn a_wrong_password_is_credentials_by_basic_and_by_token() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let wrong = site.file("wrong");
    for auth in ["", "anonymous = \"pull\""] {
        let gate = site.gate(&site.server, "", auth);
        let arguments = [
            "--ca",
            site.ca(),
            "--user",
            USER,
            "--password-file",
            text(&wrong),
        ];
        let told = doctor(&format!("https://{}", gate.address()), &arguments);
        told.names("credentials", &[USER]);
        assert!(!told.0.to_string().contains("correct: hors"));
    }
}

#[test]
fn an_open_door_behind_which_a_push_needs_a_password_is_anonymous() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let nginx = site.nginx(&GOOD.replace(
        "auth_basic Registry;\n        auth_basic_user_file HTPASSWD;",
        "limit_except GET HEAD { auth_basic Registry; auth_basic_user_file HTPASSWD; }",
    ));
    site.doctor(nginx.address(), &[])
        .names("anonymous", &["every push fails", "anonymous = \"pull\""]);
}

#[test]
fn what_is_asked_wrongly_is_said_before_anything_is_asked() {
    for (arguments, words) in [
        (&["doctor", "https://ann:secret@r.example"][..], "--user"),
        (&["doctor", "ftp://r.example"], "https://HOST"),
        (
            &["doctor", "https://r.example", "--ca", "/nowhere"],
            "/nowhere",
        ),
        (
            &[
                "doctor",
                "https://r.example",
                "--user",
                "a",
                "--password-file",
                "/nowhere",
            ],
            "/nowhere",
        ),
        (
            &["doctor", "https://r.example", "--repository", "Bad"],
            "Bad",
        ),
    ] {
        let output = crate::support::program::dockgate()
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(words) && !said.contains("secret@"), "{said}");
    }
}

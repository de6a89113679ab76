//! Clients that look for a second reading of what they ask, or for a right that was taken from them.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::support::ask::ask;
use crate::support::certs::{Authority, Pair};
use crate::support::dialog::{Dialog, Tls};
use crate::support::fronts::{Fronts, LOGIN};
use crate::support::gate::Gate;
use crate::support::program::Program;
use crate::support::raw::Raw;
use crate::support::registry::Registry;
use crate::support::upstream::Upstream;

const PATIENCE: Duration = Duration::from_secs(20);

/// registry:2 asks for `mount` and `from` with a function that looks into a form first, and only then at the URL.
#[test]
fn k2_n48_what_a_form_in_the_body_asks_to_be_mounted_is_not_mounted() {
    let registry = Registry::start();
    let fronts = Fronts::before(registry.url(), "");
    let mut raw = fronts.plain();
    let blob = b"content of a repository that not everybody may read";
    let digest = Sha256::digest(blob)
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
    let start = |raw: &mut Raw, name: &str, content: &str, body: &str| {
        raw.send(format!(
            "POST /v2/{name}/blobs/uploads/ HTTP/1.1\r\nHost: gate\r\n{LOGIN}Content-Type: {content}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        raw.answer_to("POST")
    };
    let begun = start(&mut raw, "private", "application/octet-stream", "");
    assert_eq!(begun.status(), 202, "{}", begun.head);
    let location = begun.value("location").to_owned();
    let path = location.strip_prefix("http://gate").unwrap();
    raw.send(format!(
        "PUT {path}&digest=sha256:{digest} HTTP/1.1\r\nHost: gate\r\n{LOGIN}Content-Length: {}\r\n\r\n",
        blob.len()
    ));
    raw.send(blob);
    assert_eq!(raw.answer_to("PUT").status(), 201);

    let form = format!("mount=sha256:{digest}&from=private");
    let parts: String = [
        ("mount", format!("sha256:{digest}")),
        ("from", "private".into()),
    ]
    .iter()
    .map(|(name, value)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    })
    .chain(["--b--\r\n".to_owned()])
    .collect();
    for (content, body) in [
        ("application/x-www-form-urlencoded", &form),
        ("Application/X-WWW-Form-URLEncoded; charset=utf-8", &form),
        ("multipart/form-data; boundary=b", &parts),
    ] {
        let answer = start(&mut raw, "public", content, body);
        assert_eq!(answer.status(), 202, "{content}: {}", answer.head);
        raw.send(format!(
            "HEAD /v2/public/blobs/sha256:{digest} HTTP/1.1\r\nHost: gate\r\n\r\n"
        ));
        assert_eq!(raw.answer_to("HEAD").status(), 404, "{content}");
    }
}

/// CGI, WSGI and their kin know headers by names in which `-` and `_` are the same.
#[test]
fn h7_n13_n14_an_underscore_makes_no_forged_header_an_honest_one() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let fronts = Fronts::before(&upstream.url(), "");
    let mut raw = fronts.plain();
    raw.send(
        "GET /v2/a/manifests/1 HTTP/1.1\r\nHost: gate\r\nX_Forwarded_For: 6.6.6.6\r\nX-Real_IP: 6.6.6.6\r\n\
         X_SSL_Client_Verify: SUCCESS\r\nX-HTTP-Method_Override: DELETE\r\nX_Remote_User: root\r\n\r\n",
    );
    assert_eq!(raw.answer().status(), 200);
    let head = upstream.told()[0].head.to_ascii_lowercase();
    for forged in ["6.6.6.6", "success", "delete", "root"] {
        assert!(!head.contains(forged), "{forged} in {head}");
    }
}

/// Who asks is whom the socket is connected to, for the log too; only a trusted proxy may say otherwise.
#[test]
fn h7_n14_the_access_log_has_the_peer_of_the_socket_whatever_the_client_says() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let program = Program::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n[auth]\nanonymous = \"pull\"\n",
        upstream.url()
    ));
    let forged = [
        "X-Forwarded-For: 6.6.6.6",
        "X-Real-IP: 6.6.6.6",
        "Forwarded: for=6.6.6.6",
        "X-Client-IP: 6.6.6.6",
        "True-Client-IP: 6.6.6.6",
    ];
    for (n, line) in forged.iter().enumerate() {
        let request = format!("GET /v2/a/manifests/{n}");
        assert_eq!(ask(program.address(0), &request, &[line], b"").status, 200);
        let line = program.out_line(&format!("/v2/a/manifests/{n} "));
        assert!(line.starts_with("127.0.0.1 - "), "{line}");
        assert!(!line.contains("6.6.6.6"), "{line}");
    }
}

fn certificates(server: &Pair, upstream: &str, clients: &str) -> String {
    format!(
        r#"
        [[listener]]
        address = "127.0.0.1:0"
        [listener.tls]
        certificate = "{}"
        key = "{}"
        {clients}
        [log]
        access = false
        [upstream]
        url = "{upstream}"
        "#,
        server.certificate.display(),
        server.key.display(),
    )
}

fn asking(clients: &Authority) -> String {
    format!(
        "client_auth = \"optional\"\nclient_ca = \"{}\"",
        clients.ca().display()
    )
}

/// Asks over an open connection until the answer has this status.
#[track_caller]
fn ask_until(dialog: &mut Dialog, status: u16) {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = dialog.get("/v2/");
        if answer.status == status {
            return;
        }
        assert!(Instant::now() < end, "still {}", answer.status);
        std::thread::yield_now();
    }
}

#[test]
fn t11_n24_a_changed_tls_section_is_in_force_on_open_connections_too() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let server = Authority::new("the CA of the server");
    let (old, new) = (Authority::new("the old CA"), Authority::new("the new CA"));
    let pair = server.server();
    for changed in [asking(&new), "client_auth = \"off\"".to_owned()] {
        let gate = Gate::start(&certificates(&pair, &upstream.url(), &asking(&old)));
        let tls = Tls::build(
            server.ca(),
            "localhost",
            Some(&old.client("ann")),
            rustls::ALL_VERSIONS,
        );
        let mut open = Dialog::tls(gate.address(), &tls);
        assert_eq!(open.get("/v2/").status, 200);
        let file = gate.dir().join("proxy.toml");
        fs::write(file, certificates(&pair, &upstream.url(), &changed)).unwrap();
        gate.reload();
        ask_until(&mut open, 401);
    }
}

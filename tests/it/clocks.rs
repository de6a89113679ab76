//! Tokens over time: uploads that outlive theirs, and a clock of the gate that is set while it serves.

use crate::support::clock::{self, Clock};
use crate::support::dialog::{Answer, Dialog};
use crate::support::peers::need;
use crate::support::program::Program;
use crate::support::registry::Registry;
use crate::support::site::{digest, login};

/// A gate whose tokens live as short as may be, and the registry behind it.
struct Site {
    program: Program,
    clock: Clock,
    _registry: Registry,
}

impl Site {
    fn new() -> Self {
        let registry = Registry::start();
        let toml = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n[log]\naccess = false\n\
             [auth]\nhtpasswd = \"htpasswd\"\nanonymous = \"pull\"\n[token]\nlifetime = \"60s\"\n",
            registry.url()
        );
        let (program, clock) = clock::start(&toml, "+0", |dir| {
            std::fs::write(dir.join("htpasswd"), "alice:{PLAIN}ecila\n").unwrap();
        });
        Self {
            program,
            clock,
            _registry: registry,
        }
    }

    fn dial(&self) -> Dialog {
        Dialog::tcp(self.program.address(0))
    }

    fn document(&self) -> serde_json::Value {
        let login = login("alice");
        let login = login.split_once(": ").unwrap();
        let target = "/v2/token?service=x&scope=repository:team/a:pull,push";
        let answer = self.dial().ask("GET", target, &[login], b"");
        assert_eq!(answer.status, 200, "{}", answer.head);
        serde_json::from_slice(&answer.body).unwrap()
    }

    fn token(&self) -> String {
        let token = self.document()["token"].as_str().unwrap().to_owned();
        format!("Bearer {token}")
    }

    fn bear(&self, token: &str, method: &str, target: &str) -> Answer {
        self.dial()
            .ask(method, target, &[("Authorization", token)], b"")
    }

    /// What a ping with this token is answered.
    fn ping(&self, token: &str) -> u16 {
        self.bear(token, "GET", "/v2/").status
    }
}

#[track_caller]
fn is_told_to_come_with_another(answer: &Answer) {
    assert_eq!(answer.status, 401, "{}", answer.head);
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(
        challenge.ends_with(",error=\"invalid_token\""),
        "{challenge}"
    );
}

/// Path and query of a `Location`.
fn path(location: &str) -> String {
    let rest = location.split_once("//").map_or(location, |(_, rest)| rest);
    rest[rest.find('/').unwrap()..].to_owned()
}

#[test]
fn p2_an_upload_that_outlives_its_token_is_finished_with_the_next_one() {
    if !need(&[clock::PROGRAMS, &["docker-registry"]].concat()) {
        return;
    }
    let site = Site::new();
    let token = site.token();
    let begun = site.bear(&token, "POST", "/v2/team/a/blobs/uploads/");
    assert_eq!(begun.status, 202, "{}", begun.head);
    let upload = path(begun.header("location").unwrap());
    let mut patch = site.dial();
    let head = format!(
        "PATCH {upload} HTTP/1.1\r\nHost: gate.test\r\nAuthorization: {token}\r\n\
         Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    );
    patch.send(head.as_bytes()).unwrap();
    assert_eq!(patch.head().unwrap().0, 100, "the token was looked at");
    patch.send(b"6\r\nfirst \r\n").unwrap();

    site.clock.set("+10m");
    is_told_to_come_with_another(&site.bear(&token, "GET", "/v2/"));
    patch.send(b"6\r\nsecond\r\n0\r\n\r\n").unwrap();
    let done = patch.answer("PATCH").unwrap();
    assert_eq!(done.status, 202, "{}", done.head);

    let digest = digest(b"first second");
    let upload = path(done.header("location").unwrap());
    let commit = format!("{upload}&digest={digest}");
    is_told_to_come_with_another(&site.bear(&token, "PUT", &commit));
    let committed = site.bear(&site.token(), "PUT", &commit);
    assert_eq!(committed.status, 201, "{}", committed.head);
    let blob = site.dial().get(&format!("/v2/team/a/blobs/{digest}"));
    assert_eq!(blob.text(), "first second");
}

#[test]
fn p2_a_token_is_believed_for_its_life_and_a_minute_by_the_clock_of_the_gate() {
    if !need(&[clock::PROGRAMS, &["docker-registry"]].concat()) {
        return;
    }
    let site = Site::new();
    let token = site.token();
    for (offset, status) in [
        ("+50s", 200),
        // It is told to live for 60 s, and a client that comes late is served.
        ("+100s", 200),
        ("+130s", 401),
        ("+10m", 401),
        ("+0", 200),
        // The gate's own clock was ahead, and is set right: what it gave out does not turn useless at once.
        ("-45s", 200),
        ("-2m", 401),
    ] {
        site.clock.set(offset);
        assert_eq!(site.ping(&token), status, "{offset}");
        assert_eq!(site.ping(&site.token()), 200, "a new one at {offset}");
    }
}

/// A client computes nothing from its own clock but the length of a life, so it may be as wrong as it likes.
#[test]
fn p2_nothing_that_a_client_is_told_depends_on_its_clock() {
    if !need(&[clock::PROGRAMS, &["docker-registry"]].concat()) {
        return;
    }
    let site = Site::new();
    for offset in ["+0", "+10m", "-10m", "+1000d"] {
        site.clock.set(offset);
        let document = site.document();
        assert_eq!(document["expires_in"], serde_json::json!(60), "{offset}");
        let names: Vec<_> = document.as_object().unwrap().keys().collect();
        assert_eq!(names, ["access_token", "expires_in", "token"], "{offset}");
    }
}

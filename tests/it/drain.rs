//! The end: nothing new, what runs is finished, and nobody waits for ever.

use std::net::TcpStream;

use rustix::process::Signal;

use crate::support::certs::Authority;
use crate::support::dialog::{Dialog, PATIENCE, Tls};
use crate::support::origin::{Origin, SLOW};
use crate::support::peers::NAME;
use crate::support::program::Program;

fn start(origin: &Origin, authority: &Authority, drain: &str) -> Program {
    let pair = authority.server();
    Program::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\
         [upstream]\nurl = \"{}\"\n[auth]\n\
         anonymous = \"pull\"\n[timeouts]\ndrain = \"{drain}\"\n",
        pair.certificate.display(),
        pair.key.display(),
        origin.url()
    ))
}

/// A download of which the first half is there.
fn download(program: &Program) -> Dialog {
    let mut dialog = Dialog::tcp(program.address(0));
    dialog
        .request("GET", "/v2/slow/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", &[], b"")
        .unwrap();
    assert_eq!(dialog.head().unwrap().0, 200);
    dialog.take(SLOW / 2).unwrap();
    dialog
}

fn stop(program: &Program) {
    program.signal(Signal::TERM);
    program.err_line("draining");
}

#[test]
fn p1_n61_what_runs_is_finished_and_nothing_new_is_begun() {
    let (origin, authority) = (Origin::start(), Authority::new("drain"));
    let program = start(&origin, &authority, "60s");
    let (address, tls) = (program.address(0), Tls::new(authority.ca(), NAME));
    let mut plain = download(&program);
    let mut secure = Dialog::tls(program.address(1), &tls);
    secure
        .request("GET", "/v2/slow/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", &[], b"")
        .unwrap();
    assert_eq!(secure.head().unwrap().0, 200);
    let mut idle = Dialog::tls(program.address(1), &tls);
    assert_eq!(idle.get("/v2/").status, 200);
    let mut silent = Dialog::tcp(address);
    assert_eq!(silent.get("/v2/").status, 200);

    stop(&program);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "it still listens");
    }
    assert_eq!(
        idle.until_the_end().unwrap(),
        b"",
        "a proper end, with close_notify"
    );
    assert_eq!(silent.until_the_end().unwrap(), b"");
    origin.release();
    assert_eq!(plain.take(SLOW / 2).unwrap(), vec![b'2'; SLOW / 2]);
    assert_eq!(secure.take(SLOW).unwrap().len(), SLOW);
    plain.is_closed();
    let (code, out, err) = program.end();
    assert_eq!(code, Some(0), "{err}");
    assert!(
        err.contains("stopped") && !err.contains("before everything"),
        "{err}"
    );
    assert_eq!(
        out.matches(&format!("200 {SLOW} ")).count(),
        2,
        "the log is whole: {out}"
    );
}

#[test]
fn p1_n61_an_upload_that_runs_is_finished() {
    let (origin, authority) = (Origin::start(), Authority::new("upload"));
    let pair = authority.server();
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\
         [upstream]\nurl = \"{}\"\n[auth]\nhtpasswd = \"htpasswd\"\n",
        pair.certificate.display(),
        pair.key.display(),
        origin.url()
    );
    let program = Program::start_with(&toml, |dir| {
        std::fs::write(dir.join("htpasswd"), "ann:{PLAIN}secret\n").unwrap();
    });
    let mut dialog = Dialog::tls(program.address(0), &Tls::new(authority.ca(), NAME));
    dialog
        .send(b"PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YW5uOnNlY3JldA==\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .unwrap();
    origin.got("PATCH");
    stop(&program);
    dialog.send(b"6\r\nsecond\r\n0\r\n\r\n").unwrap();
    let answer = dialog.answer("PATCH").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert_eq!(origin.got("PATCH").body, 11);
    dialog.is_closed();
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn p1_n61_the_deadline_cuts_what_is_left_so_that_it_does_not_look_whole() {
    let (origin, authority) = (Origin::start(), Authority::new("deadline"));
    let program = start(&origin, &authority, "1s");
    let mut dialog = download(&program);
    stop(&program);
    dialog.take(SLOW / 2).unwrap_err();
    let (code, _, err) = program.end();
    assert_eq!(code, Some(0), "{err}");
    assert!(
        err.contains("stopped before everything was finished"),
        "{err}"
    );
}

#[test]
fn p1_told_twice_it_ends_at_once() {
    let (origin, authority) = (Origin::start(), Authority::new("twice"));
    for second in [Signal::TERM, Signal::INT] {
        let program = start(&origin, &authority, "1h");
        let mut dialog = download(&program);
        stop(&program);
        program.signal(second);
        dialog.take(SLOW / 2).unwrap_err();
        assert_eq!(program.end().0, Some(0));
    }
}

#[test]
fn p1_a_reload_while_it_drains_neither_stops_nor_ends_it() {
    let (origin, authority) = (Origin::start(), Authority::new("hangup"));
    let program = start(&origin, &authority, "60s");
    let mut dialog = download(&program);
    stop(&program);
    for _ in 0..20 {
        program.signal(Signal::HUP);
    }
    origin.release();
    assert_eq!(dialog.take(SLOW / 2).unwrap().len(), SLOW / 2);
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn p1_n61_an_http2_connection_is_told_to_go_away() {
    let (origin, authority) = (Origin::start(), Authority::new("goaway"));
    let program = start(&origin, &authority, "60s");
    let mut dialog = Dialog::tls(program.address(1), &Tls::new(authority.ca(), NAME).http2());
    dialog
        .send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0")
        .unwrap();
    // SETTINGS: the gate has taken the connection for what it is.
    let head = dialog.take(9).unwrap();
    assert_eq!(head[3], 4, "{head:?}");
    let length = usize::from(head[1]) << 8 | usize::from(head[2]);
    dialog.take(length).unwrap();
    stop(&program);
    // It waits for our answer to its ping, in vain, before it closes.
    let rest = dialog.is_closed();
    let mut frames = &rest[..];
    let mut kinds = Vec::new();
    while let [a, b, c, kind, ..] = *frames {
        kinds.push(kind);
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        frames = &frames[9 + length..];
    }
    assert!(kinds.contains(&7), "no GOAWAY in {kinds:?}");
    assert_eq!(program.end().0, Some(0));
}

/// Connections on which nothing runs: never used, used, in the middle of a request's head, of a handshake or of a PROXY
/// header.
#[test]
fn n61_nobody_waits_for_connections_on_which_nothing_runs() {
    let (origin, authority) = (Origin::start(), Authority::new("idle"));
    let pair = authority.server();
    let tls = format!(
        "[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n",
        pair.certificate.display(),
        pair.key.display()
    );
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
    let program = Program::start(&format!(
        "{listener}{listener}{tls}{listener}proxy_protocol = true\n{tls}\
         [upstream]\nurl = \"{}\"\n[auth]\nanonymous = \"pull\"\n[timeouts]\ndrain = \"1h\"\n",
        origin.url()
    ));
    let [plain, secure, proxied] = [0, 1, 2].map(|n| program.address(n));
    let tls = Tls::new(authority.ca(), NAME);
    let mut used = Dialog::tls(secure, &tls);
    assert_eq!(used.get("/_ping").status, 200);
    let mut used_in_clear = Dialog::tcp(plain);
    assert_eq!(used_in_clear.get("/_ping").status, 200);
    let mut unused = Dialog::tls(secure, &tls);
    unused.handshake().unwrap();
    let unused_in_clear = Dialog::tcp(plain);
    let mut asking = Dialog::tcp(plain);
    asking.send(b"GET /_ping HTTP/1.1\r\nHo").unwrap();
    let silent = Dialog::tcp(secure);
    let mut halfway = Dialog::tcp(secure);
    halfway.send(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]).unwrap();
    let mut introducing = Dialog::tcp(proxied);
    introducing.send(b"PROXY TCP4 192.0.2.1 ").unwrap();
    // Accepted in their order: when this one is answered, all others are known.
    for address in [plain, secure] {
        let mut last = Dialog::tcp(address);
        last.send(b"GET /_ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .unwrap();
        last.is_closed();
    }

    stop(&program);
    let begin = tokio::time::Instant::now();
    for mut ended in [used, used_in_clear, unused, unused_in_clear] {
        assert_eq!(ended.until_the_end().unwrap(), b"", "a proper end");
    }
    for mut ended in [asking, silent, halfway, introducing] {
        ended.is_closed();
    }
    let (code, _, err) = program.end();
    assert_eq!(code, Some(0), "{err}");
    assert!(!err.contains("cut"), "{err}");
    let took = begin.elapsed();
    assert!(took < std::time::Duration::from_secs(4), "{took:?}");
}

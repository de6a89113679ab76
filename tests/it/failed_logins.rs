//! Guessing at passwords through the front door: slower with each guess, and nobody else's trouble.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use tokio::time::Instant;

use crate::support::gate::Gate;

/// One login from behind a proxy that the gate believes; the status and how long it took.
fn login(to: SocketAddr, from: &str, credentials: &str) -> (u16, Duration) {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(to).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
    let request = format!(
        "GET /v2/ HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\
         X-Forwarded-For: {from}\r\nAuthorization: Basic {encoded}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, begin.elapsed())
}

#[test]
fn a3_n22_guesses_from_one_address_get_slower_and_the_right_password_elsewhere_does_not() {
    let toml = r#"
        [[listener]]
        address = "127.0.0.1:0"
        plaintext = true
        [upstream]
        url = "http://127.0.0.1:9"
        [auth]
        htpasswd = "htpasswd"
        [headers]
        trusted_proxies = ["127.0.0.1/32"]
        [log]
        access = false
        "#;
    let gate = Gate::start_with(toml, |dir| {
        std::fs::write(dir.join("htpasswd"), "ann:{PLAIN}secret\n").unwrap();
    });
    let to = gate.address();
    let mut waits = Vec::new();
    for number in 0..7 {
        let (status, wait) = login(to, "192.0.2.1", &format!("ann:{number}"));
        assert_eq!(status, 401);
        waits.push(wait);
    }
    // 250, 500 and 1000 ms after four free guesses.
    assert!(
        waits[..4].iter().sum::<Duration>() < Duration::from_secs(1),
        "{waits:?}"
    );
    assert!(waits[6] >= Duration::from_millis(900), "{waits:?}");
    // Nothing listens behind the gate: 502 is who was let in.
    let (status, elsewhere) = login(to, "192.0.2.2", "ann:secret");
    assert_eq!(status, 502);
    assert!(elsewhere < Duration::from_millis(900), "{elsewhere:?}");
    // The same wrong password again is no guess, and the right one comes in after its turn.
    let (status, again) = login(to, "192.0.2.1", "ann:6");
    assert_eq!(status, 401);
    assert!(again < Duration::from_millis(900), "{again:?}");
    assert_eq!(login(to, "192.0.2.1", "ann:secret").0, 502);
}

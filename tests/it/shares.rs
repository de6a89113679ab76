//! Nobody takes all connections to the registry: each address has its share, and others are served meanwhile.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::time::Instant;

use crate::support::frames::{DATA, Frames, HEADERS};
use crate::support::fronts::Fronts;
use crate::support::house::{House, MANIFEST, eventually, image_of};
use crate::support::raw::Raw;
use crate::support::site::login;
use crate::support::upstream::{Next, Upstream};

const REQUEST: &str = "GET /v2/a/manifests/1 HTTP/1.1\r\nHost: gate\r\n";
const LARGE: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (
        ":path",
        "/v2/a/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    (":authority", "gate"),
];
/// `SETTINGS_INITIAL_WINDOW_SIZE` 0: the heads of answers come, no bodies.
const NO_WINDOW: [(u16, u32); 1] = [(4, 0)];

/// A registry with one large blob; everything else is small.
fn registry() -> Upstream {
    let body = vec![b'x'; 4 << 20];
    Upstream::start(move |request| {
        if request.read_body().is_err() {
            return Next::Close;
        }
        if request.head.contains("/blobs/") {
            request.say(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                body.len()
            ));
            request.say(&body);
        } else {
            request.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        Next::Keep
    })
}

fn blobs(upstream: &Upstream) -> usize {
    let told = upstream.told();
    told.iter().filter(|t| t.line().contains("/blobs/")).count()
}

/// A connection from another address of this machine.
fn from(address: [u8; 4], to: SocketAddr) -> Raw {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let own = SocketAddr::new(IpAddr::V4(Ipv4Addr::from(address)), 0);
    socket.bind(&own.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    Raw::over(TcpStream::from(socket))
}

/// Takes the heads of so many answers.
fn heads(frames: &mut Frames, count: usize) {
    let mut heads = 0;
    while heads < count {
        let frame = frames.next().unwrap();
        assert_ne!(frame.kind, DATA);
        heads += usize::from(frame.kind == HEADERS);
    }
}

#[track_caller]
fn is_served_at_once(raw: &mut Raw, lines: &str) {
    let begin = Instant::now();
    raw.send(format!("{REQUEST}{lines}\r\n"));
    assert_eq!(raw.answer().status(), 200);
    assert!(begin.elapsed() < Duration::from_secs(5), "it had to wait");
}

/// Asks until it is served: what a closed connection had comes back when the gate has seen its end.
#[track_caller]
fn is_served_soon(fronts: &Fronts) {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let mut raw = fronts.tls();
        raw.send(format!("{REQUEST}\r\n"));
        match raw.answer().status() {
            200 => return,
            other => assert!(other == 503 && Instant::now() < end, "answered {other}"),
        }
    }
}

#[test]
fn who_takes_nothing_of_its_answers_leaves_half_of_the_connections_to_others() {
    let upstream = registry();
    let fronts = Fronts::before(&upstream.url(), "max_connections = 8");
    let mut hogs = Vec::new();
    for _ in 0..3 {
        let mut hog = Frames::begin(fronts.tls_offering(&["h2"]), &NO_WINDOW);
        for n in 0..100 {
            hog.ask(2 * n + 1, &LARGE);
        }
        hogs.push(hog);
    }
    let share = |told: &[_]| told.len() >= 4;
    upstream.wait_for("the hog has its share", share);
    let mut others: Vec<Raw> = (2..6_u8)
        .map(|last| from([127, 0, 0, last], fronts.gate.address()))
        .collect();
    for _ in 0..20 {
        for other in &mut others {
            is_served_at_once(other, "");
        }
    }
    assert_eq!(blobs(&upstream), 4, "the hog has more than its share");
    // What it gives back is its own again.
    drop(hogs);
    is_served_soon(&fronts);
}

#[test]
fn behind_a_trusted_proxy_the_share_is_of_the_address_that_it_names() {
    let upstream = registry();
    let trusted = "max_connections = 4\n[headers]\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let fronts = Fronts::before(&upstream.url(), trusted);
    let mut proxy = Frames::begin(fronts.tls_offering(&["h2"]), &NO_WINDOW);
    // Of one /64 both, so one client.
    for (n, address) in [(0, "2001:db8::1"), (1, "2001:db8::2"), (2, "2001:db8::3")] {
        let fields = [&LARGE[..], &[("x-forwarded-for", address)]].concat();
        proxy.ask(2 * n + 1, &fields);
    }
    heads(&mut proxy, 2);
    let mut raw = fronts.plain();
    for address in ["2001:db8:0:1::1", "192.0.2.1", "192.0.2.2"] {
        is_served_at_once(&mut raw, &format!("X-Forwarded-For: {address}\r\n"));
    }
    assert_eq!(blobs(&upstream), 2);
}

/// Begins to push a large manifest for a client that the proxy names, and leaves away its last bytes.
#[track_caller]
fn push(house: &House, client: &str, tag: &str, manifest: &str, missing: usize) -> Raw {
    let mut raw = house.connect();
    raw.send(format!(
        "PUT /v2/a/manifests/{tag} HTTP/1.1\r\nHost: gate\r\nX-Forwarded-For: {client}\r\n{}\r\nContent-Type: {MANIFEST}\r\n\
         Content-Length: {}\r\n\r\n{}",
        login("root"),
        manifest.len(),
        &manifest[..manifest.len() - missing],
    ));
    raw
}

#[test]
fn behind_a_trusted_proxy_large_manifests_are_pushed_in_turns_of_the_addresses_that_it_names() {
    let house = House::start("[headers]\ntrusted_proxies = [\"127.0.0.0/8\"]");
    let blob = house.blob("a", b"config");
    let large = image_of(&blob, 6) + &" ".repeat(100 << 10);
    let hogs: Vec<Raw> = (0..3)
        .map(|n| push(&house, "192.0.2.1", &format!("hog-{n}"), &large, 1))
        .collect();
    // When the hog has its part, one more of it waits for as long as one may.
    eventually(|| {
        let mut more = push(&house, "192.0.2.1", "one-more", &large, 0);
        let answer = more.answer();
        (answer.status() == 503).then(|| assert_eq!(answer.code(), "UNAVAILABLE"))
    });
    for n in 0..4 {
        let begin = Instant::now();
        let mut other = push(&house, "192.0.2.2", &format!("other-{n}"), &large, 0);
        assert_eq!(other.answer().status(), 201);
        assert!(begin.elapsed() < Duration::from_secs(5), "it had to wait");
    }
    for mut hog in hogs {
        hog.send(" ");
        assert_eq!(hog.answer().status(), 201);
    }
}

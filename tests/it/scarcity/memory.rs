//! Little memory, and many who want some of it: they take nothing, send nothing more, or ask for much. An honest client is
//! answered all the while, and nothing ends.

use std::time::Duration;

use tokio::time::Instant;

use super::{LOGIN, MANIFEST, Scarce, manifest, push_blob, push_image, real};
use crate::support::cgroup::{Bound, Cgroup};
use crate::support::dialog::Dialog;
use crate::support::figures::{CONNECTIONS, tell};
use crate::support::frames::Frames;
use crate::support::memory::many_files;
use crate::support::raw::Raw;
use crate::support::registry::Registry;
use crate::support::scrape::Scrape;

const MIB: usize = 1 << 20;

/// What one crowd is.
const CROWD: usize = 100;

/// Connections of HTTP/2, each with the hundred streams that it may have.
const BUNDLES: usize = 10;

/// The largest manifest by default, nearly.
const LARGE: usize = 4 * MIB - 1024;

/// MiB that are held when large manifests were pushed and nothing is going on: 8 are, and 46 where glibc keeps what was freed.
const KEPT: u64 = 32;

/// How long an honest client may wait in a crowd.
const HONEST: Duration = Duration::from_secs(10);

/// What adds to the crowd.
type Press<'a> = &'a dyn Fn(&mut Crowd);

/// Who is held open until the end.
#[derive(Default)]
struct Crowd {
    raws: Vec<Raw>,
    bundles: Vec<Frames>,
}

impl Crowd {
    fn len(&self) -> usize {
        self.raws.len() + self.bundles.len()
    }

    /// One that says this and reads nothing.
    #[track_caller]
    fn says(&mut self, scarce: &Scarce, bytes: &[u8]) {
        let mut raw = Raw::tcp(scarce.program.address(0));
        // Who is refused at once may be told so in the middle.
        let _ = raw.try_send(bytes);
        self.raws.push(raw);
    }

    /// Bodies and answers that nobody takes.
    #[track_caller]
    fn takes_nothing(&mut self, scarce: &Scarce, targets: &[String]) {
        for target in targets.iter().cycle().take(CROWD) {
            let head = format!("GET {target} HTTP/1.1\r\nHost: gate\r\nAccept: {MANIFEST}\r\n\r\n");
            self.says(scarce, head.as_bytes());
        }
    }

    /// The same over HTTP/2, without a window.
    #[track_caller]
    fn takes_nothing_in_bundles(&mut self, scarce: &Scarce, target: &str) {
        for _ in 0..BUNDLES {
            let ca = scarce.authority.ca();
            let raw = Raw::tls(scarce.program.address(1), ca, &["h2"]);
            // INITIAL_WINDOW_SIZE
            let mut frames = Frames::begin(raw, &[(4, 0)]);
            for stream in (1..200).step_by(2) {
                let head = [
                    (":method", "GET"),
                    (":scheme", "https"),
                    (":authority", "gate"),
                    (":path", target),
                ];
                frames.ask(stream, &head);
            }
            self.bundles.push(frames);
        }
    }

    /// Bodies of which all but the last byte comes.
    #[track_caller]
    fn never_ends(&mut self, scarce: &Scarce, method: &str, targets: &[String], body: &[u8]) {
        let (name, value) = LOGIN;
        for target in targets {
            let head = format!(
                "{method} {target} HTTP/1.1\r\nHost: gate\r\n{name}: {value}\r\nContent-Type: {MANIFEST}\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            );
            let bytes = [head.as_bytes(), &body[..body.len() - 1]].concat();
            let mut raw = Raw::tcp(scarce.program.address(0));
            raw.set_patience(Duration::from_millis(50));
            let _ = raw.try_send(&bytes);
            self.raws.push(raw);
        }
    }

    /// Heads of which the last line never comes.
    #[track_caller]
    fn never_asks(&mut self, scarce: &Scarce) {
        let line = format!("X-Filler: {}\r\n", "x".repeat(1000));
        let head = format!("GET /v2/ HTTP/1.1\r\nHost: gate\r\n{}", line.repeat(60));
        for _ in 0..CROWD {
            self.says(scarce, head.as_bytes());
        }
    }

    /// TLS, and then nothing.
    #[track_caller]
    fn idles(&mut self, scarce: &Scarce) {
        for _ in 0..CROWD {
            let ca = scarce.authority.ca();
            let raw = Raw::tls(scarce.program.address(1), ca, &["http/1.1"]);
            self.raws.push(raw);
        }
    }
}

/// Everything that an honest client does, in good time.
#[track_caller]
fn is_served(scarce: &Scarce, claim: &str, tag: &str, blob: &str, content: &[u8]) {
    assert_eq!(scarce.group.killed(), 0, "{claim}");
    let begin = Instant::now();
    for mut dialog in [scarce.encrypted(), scarce.plain()] {
        let answer = dialog.ask("GET", &format!("/v2/a/blobs/{blob}"), &[LOGIN], b"");
        assert_eq!(answer.status, 200, "{claim}: {}", answer.head);
        assert!(answer.body == content, "{claim}");
        let tag = format!("{tag}-{}", begin.elapsed().as_nanos());
        let pushed = push_image(&mut dialog, "honest", &tag, 0);
        let target = format!("/v2/honest/manifests/{tag}");
        let answer = dialog.ask("GET", &target, &[LOGIN, ("Accept", MANIFEST)], b"");
        assert_eq!(answer.status, 200, "{claim}: {}", answer.head);
        assert_eq!(answer.body, pushed, "{claim}");
    }
    let elapsed = begin.elapsed();
    assert!(elapsed < HONEST, "{claim}: {elapsed:?}");
}

#[track_caller]
fn begin(dialog: &mut Dialog) -> String {
    let begun = dialog.ask("POST", "/v2/a/blobs/uploads/", &[LOGIN], b"");
    assert_eq!(begun.status, 202, "{}", begun.head);
    let place = begun.header("location").unwrap();
    place[place.find("/v2/").unwrap()..].to_owned()
}

/// In a group of so many MiB.
#[track_caller]
fn with_little_memory(memory: usize, registry: Option<Registry>) {
    many_files();
    let Some(group) = Cgroup::with(Bound::Memory) else {
        return;
    };
    group.allow(Some((memory * MIB) as u64));
    let scarce = Scarce::start(group, registry, "[limits]\nconnections = 1500\n");
    let mut dialog = scarce.plain();
    let content: Vec<u8> = (0..16 * MIB)
        .map(|n| u8::try_from(n % 251).unwrap())
        .collect();
    let blob = push_blob(&mut dialog, "a", &content);
    let large: Vec<String> = (0..8)
        .map(|number| {
            let tag = format!("large-{number}");
            push_image(&mut dialog, "a", &tag, LARGE - 1024);
            format!("/v2/a/manifests/{tag}")
        })
        .collect();
    is_served(&scarce, "at first", "first", &blob, &content);
    let held = scarce.program.memory("RssAnon") / 1024;
    assert!(held < KEPT, "what was freed is kept: {held} MiB");

    let mut crowd = Crowd::default();
    let pull = format!("/v2/a/blobs/{blob}");
    let lists = ["/v2/_catalog".to_owned(), "/v2/a/tags/list".to_owned()];
    let uploads: Vec<String> = (0..CROWD).map(|_| begin(&mut dialog)).collect();
    let manifests: Vec<String> = (0..CROWD)
        .map(|number| format!("/v2/a/manifests/new-{number}"))
        .collect();
    let pushed = manifest(&blob, content.len(), LARGE - 1024);
    let presses: [(&str, Press<'_>); 8] = [
        ("idle TLS", &|crowd| crowd.idles(&scarce)),
        ("heads", &|crowd| crowd.never_asks(&scarce)),
        ("slow pulls", &|crowd| {
            crowd.takes_nothing(&scarce, std::slice::from_ref(&pull));
        }),
        ("bundles", &|crowd| {
            crowd.takes_nothing_in_bundles(&scarce, &pull);
        }),
        ("lists", &|crowd| crowd.takes_nothing(&scarce, &lists)),
        ("uploads", &|crowd| {
            crowd.never_ends(&scarce, "PATCH", &uploads, &content[..MIB]);
        }),
        ("manifests pulled", &|crowd| {
            crowd.takes_nothing(&scarce, &large);
        }),
        ("manifests pushed", &|crowd| {
            crowd.never_ends(&scarce, "PUT", &manifests, &pushed);
        }),
    ];
    for (claim, press) in presses {
        press(&mut crowd);
        is_served(&scarce, claim, "during", &blob, &content);
    }
    let count = crowd.len();
    drop(crowd);
    Scrape::until(scarce.program.admin(), "all are gone", |scrape| {
        scrape.sum("dockgate_connections_open", &[]) < 5.0
    });
    is_served(&scarce, "at last", "last", &blob, &content);
    let scrape = Scrape::of(scarce.program.admin());
    scrape.is("dockgate_panics_total", &[], 0.0);
    tell(CONNECTIONS, count);
}

#[test]
fn p2_n63_with_little_memory_the_embedded_registry_serves_and_is_not_killed() {
    with_little_memory(256, None);
}

#[test]
fn p2_n63_with_little_memory_the_gate_serves_and_is_not_killed() {
    if let Some(registry) = real() {
        with_little_memory(96, Some(registry));
    }
}

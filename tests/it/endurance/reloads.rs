//! Reloads by the hundred while clients pull and push, each of which changes something.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use http::Request;
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::runtime;

use super::Backend;
use crate::support::certs::{Authority, Pair};
use crate::support::dialog::{Dialog, Tls};
use crate::support::figures::{RELOADS, REQUESTS, rounds, tell};
use crate::support::peers::{NAME, need};
use crate::support::program::Program;
use crate::support::raw::tls_config;
use crate::support::registry::Registry;
use crate::support::scrape::Scrape;
use crate::support::site::{backwards, digest};

/// More than what the sockets between the registry and a client hold, so that its transfer outlives the reloads.
const LONG: usize = 24_000_000;

/// A gate and what is asked of it.
struct Site {
    program: Program,
    authority: Authority,
    blob: String,
    long: String,
    backend: Backend,
}

fn toml(backend: &Backend, reload: usize) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n\
         [admin]\naddress = \"127.0.0.1:0\"\n[log]\naccess = false\n[auth]\nhtpasswd = \"htpasswd\"\n\
         [clients]\nreject_user_agents = [\"^nobody-{reload}$\"]\n{}",
        backend.toml()
    )
}

fn users(reload: usize) -> String {
    format!("ann:{{PLAIN}}nna\nuser{reload}:{{PLAIN}}secret\n")
}

/// Puts a file there as a whole.
fn put(dir: &Path, name: &str, content: impl AsRef<[u8]>) {
    let beside = dir.join(format!("{name}.new"));
    fs::write(&beside, content).unwrap();
    fs::rename(beside, dir.join(name)).unwrap();
}

fn put_pair(dir: &Path, pair: &Pair) {
    put(dir, "tls.crt", fs::read(&pair.certificate).unwrap());
    put(dir, "tls.key", fs::read(&pair.key).unwrap());
}

fn login(user: &str, password: &str) -> String {
    let line = crate::support::ask::basic(user, password);
    line.split_once(": ").unwrap().1.to_owned()
}

impl Site {
    #[track_caller]
    fn new(backend: Backend) -> Self {
        let authority = Authority::new("reloads");
        let pair = authority.server();
        let program = Program::start_with(&toml(&backend, 0), |dir| {
            put_pair(dir, &pair);
            put(dir, "htpasswd", users(0));
        });
        let mut site = Self {
            program,
            authority,
            blob: String::new(),
            long: String::new(),
            backend,
        };
        let long: Vec<u8> = (0..LONG / 8).flat_map(usize::to_le_bytes).collect();
        site.blob = site.push(b"a small one");
        site.long = site.push(&long);
        site
    }

    fn dial(&self) -> Dialog {
        let tls = Tls::new(self.authority.ca(), NAME);
        Dialog::tls(self.program.address(0), &tls)
    }

    fn push(&self, content: &[u8]) -> String {
        let name = digest(content);
        push(&mut self.dial(), content, &name);
        format!("/v2/team/a/blobs/{name}")
    }

    /// Whether this user is known.
    fn knows(&self, user: &str) -> bool {
        let login = login(user, "secret");
        let answer = self
            .dial()
            .ask("GET", "/v2/", &[("Authorization", &login)], b"");
        answer.status == 200
    }
}

/// A blob, in the way of docker: begun, sent, closed.
#[track_caller]
fn push(dialog: &mut Dialog, content: &[u8], name: &str) {
    let login = login("ann", &backwards("ann"));
    let login = [("Authorization", &*login)];
    let begun = dialog.ask("POST", "/v2/team/a/blobs/uploads/", &login, b"");
    assert_eq!(begun.status, 202, "{}{}", begun.head, begun.text());
    let path = |location: &str| location[location.find("/v2/").unwrap()..].to_owned();
    let sent = dialog.ask(
        "PATCH",
        &path(begun.header("location").unwrap()),
        &login,
        content,
    );
    assert_eq!(sent.status, 202, "{}{}", sent.head, sent.text());
    let place = path(sent.header("location").unwrap());
    let mark = if place.contains('?') { '&' } else { '?' };
    let closed = dialog.ask("PUT", &format!("{place}{mark}digest={name}"), &login, b"");
    assert_eq!(closed.status, 201, "{}{}", closed.head, closed.text());
}

/// Ends the load also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What clients of HTTP/1.1 do until it is over: on one connection, or on a new one each time.
fn over_http_1(site: &Site, lasting: bool, over: &AtomicBool, served: &AtomicUsize) {
    let login = login("ann", &backwards("ann"));
    let login = [("Authorization", &*login)];
    let mut dialog = site.dial();
    let mut round = 0_usize;
    while !over.load(Ordering::Relaxed) {
        if !lasting {
            dialog = site.dial();
        }
        let got = dialog.ask("GET", &site.blob, &login, b"");
        assert_eq!((got.status, &*got.body), (200, &b"a small one"[..]));
        round += 1;
        if round.is_multiple_of(8) {
            let content = format!("{lasting} {round}");
            push(&mut dialog, content.as_bytes(), &digest(content.as_bytes()));
            served.fetch_add(3, Ordering::Relaxed);
        }
        served.fetch_add(1, Ordering::Relaxed);
    }
}

/// The same over one connection of HTTP/2, several at a time.
fn over_http_2(site: &Site, over: &AtomicBool, served: &AtomicUsize) {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let tcp = TcpStream::connect(site.program.address(0)).await.unwrap();
        let config = Arc::new(tls_config(site.authority.ca(), &["h2"]));
        let connector = tokio_rustls::TlsConnector::from(config);
        let tls = connector.connect(NAME.try_into().unwrap(), tcp).await;
        let (mut client, connection) = h2::client::handshake(tls.unwrap()).await.unwrap();
        let driver = tokio::spawn(connection);
        while !over.load(Ordering::Relaxed) {
            let mut answers = Vec::new();
            for _ in 0..4 {
                let request = Request::get(format!("https://{NAME}{}", site.blob))
                    .header("authorization", login("ann", &backwards("ann")))
                    .body(())
                    .unwrap();
                client = client.ready().await.unwrap();
                answers.push(client.send_request(request, true).unwrap().0);
            }
            for answer in answers {
                let (head, mut body) = answer.await.unwrap().into_parts();
                assert_eq!(head.status, 200);
                let mut got = Vec::new();
                while let Some(data) = body.data().await {
                    got.extend_from_slice(&data.unwrap());
                }
                assert_eq!(got, b"a small one");
                served.fetch_add(1, Ordering::Relaxed);
            }
        }
        driver.abort();
    });
}

/// So many reloads under load; how many requests were answered meanwhile.
#[track_caller]
fn reload_under_load(site: &Site, reloads: usize) -> usize {
    let pairs = [
        site.authority.server(),
        site.authority.server_for(&[NAME, "second.test"]),
    ];
    let login = login("ann", &backwards("ann"));
    let mut download = site.dial();
    download
        .request("GET", &site.long, &[("Authorization", &login)], b"")
        .unwrap();
    assert_eq!(download.head().unwrap().0, 200);
    let mut got = download.take(LONG / 100).unwrap();
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let (over, served) = (&over, &served);
        for lasting in [true, false] {
            scope.spawn(move || over_http_1(site, lasting, over, served));
        }
        scope.spawn(move || over_http_2(site, over, served));
        let over = Over(over);
        let dir = site.program.dir();
        for reload in 1..=reloads {
            put(dir, "htpasswd", users(reload));
            put(dir, "proxy.toml", toml(&site.backend, reload));
            if reload.is_multiple_of(10) {
                put_pair(dir, &pairs[reload / 10 % 2]);
            }
            // The slow reader takes a little now and then: what stands still for a minute is given up.
            if reload.is_multiple_of(5) {
                let piece = (LONG - got.len()).min(LONG / 2 / reloads * 5);
                got.extend(download.take(piece).unwrap());
            }
            let before = served.load(Ordering::Relaxed);
            site.program.signal(Signal::HUP);
            site.program.err_times("reload: reloaded", reload);
            if reload.is_multiple_of(100) {
                assert!(site.knows(&format!("user{reload}")), "reload {reload}");
                assert!(
                    !site.knows(&format!("user{}", reload - 1)),
                    "reload {reload}"
                );
                let end = tokio::time::Instant::now() + crate::support::dialog::PATIENCE;
                while served.load(Ordering::Relaxed) == before {
                    assert!(tokio::time::Instant::now() < end, "nobody is served");
                    thread::yield_now();
                }
            }
        }
        drop(over);
    });
    let log = site.program.stderr();
    assert!(
        !log.contains("ERROR") && !log.contains("the old one stays"),
        "{log}"
    );
    got.extend(download.take(LONG - got.len()).unwrap());
    assert_eq!(format!("/v2/team/a/blobs/{}", digest(&got)), site.long);
    let told = Scrape::of(site.program.admin());
    let failed = told.sum("dockgate_reloads_total", &["result=\"failed\""]);
    let refused = told.sum("dockgate_refusals_total", &["reason=\"panic\""]);
    assert!(failed < 0.1 && refused < 0.1, "{}", told.text);
    served.load(Ordering::Relaxed)
}

#[track_caller]
fn reloads(backend: Backend) {
    let reloads = rounds(500);
    let site = Site::new(backend);
    let requests = reload_under_load(&site, reloads);
    assert!(requests > reloads, "{requests}");
    tell(RELOADS, reloads);
    tell(REQUESTS, requests);
}

#[test]
fn p1_n58_reloads_under_load_fail_no_request_to_the_embedded_registry() {
    reloads(Backend::Embedded);
}

#[test]
fn p1_n58_reloads_under_load_fail_no_request_to_the_registry_behind() {
    if need(&["docker-registry"]) {
        reloads(Backend::Upstream(Registry::start()));
    }
}

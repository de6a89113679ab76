//! How many uploads one client may leave open.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::ask::{Reply, ask};
use crate::support::house::{House, eventually};
use crate::support::program::Program;
use crate::support::scrape::Scrape;
use crate::support::site::{digest, login};
use crate::support::store::Store;

const POST: &str = "POST /v2/a/blobs/uploads/";

fn start(state: &Path, registry: &str) -> Program {
    let toml = format!(
        "state_dir = \"{}\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[auth]\nhtpasswd = \"htpasswd\"\n\
         [admin]\naddress = \"127.0.0.1:0\"\n[log]\naccess = \"json\"\n{registry}",
        state.display()
    );
    Program::start_with(&toml, |folder| {
        let users = "alice:{PLAIN}ecila\nbob:{PLAIN}bob\n";
        fs::write(folder.join("htpasswd"), users).unwrap();
    })
}

#[track_caller]
fn alice(program: &Program, request: &str, body: &[u8]) -> Reply {
    ask(program.address(0), request, &[&login("alice")], body)
}

/// The path of a new upload of alice.
#[track_caller]
fn begin(program: &Program) -> String {
    let begun = alice(program, POST, b"");
    assert_eq!(begun.status, 202, "{begun:#?}");
    let host = format!("http://{}", program.address(0));
    let path = begun.one("location").strip_prefix(&host);
    path.unwrap().to_owned()
}

#[track_caller]
fn refused(reply: &Reply, words: &str) {
    assert_eq!(reply.status, 429, "{reply:#?}");
    assert_eq!(reply.one("retry-after"), "5");
    let (code, message) = reply.error();
    assert_eq!(code, "TOOMANYREQUESTS");
    assert!(message.starts_with(words), "{message}");
}

/// Three may be open.
fn holds(registry: &str) {
    let state = TempDir::new().unwrap();
    let program = start(state.path(), registry);
    let paths = [begin(&program), begin(&program), begin(&program)];
    let blob = digest(b"content");
    let whole = format!("{POST}?digest={blob}");
    for request in [POST, &whole] {
        refused(
            &alice(&program, request, b"content"),
            "this user has 3 uploads open",
        );
    }
    let other = ask(program.address(0), POST, &[&login("bob")], b"");
    assert_eq!(other.status, 202, "{other:#?}");
    // The operator sees who, and why.
    let line = program.out_line("too_many_uploads");
    assert!(line.contains("\"alice\""), "{line}");
    let scrape = Scrape::of(program.admin());
    scrape.is(
        "dockgate_refusals_total",
        &["reason=\"too_many_uploads\""],
        2.0,
    );

    // One is finished, one is cancelled, and one that came in a single request is over at once.
    let put = format!("PUT {}?digest={blob}", paths[0]);
    assert_eq!(alice(&program, &put, b"content").status, 201);
    assert_eq!(alice(&program, &whole, b"content").status, 201);
    let cancelled = alice(&program, &format!("DELETE {}", paths[1]), b"");
    assert_eq!(cancelled.status, 204);
    let (first, _) = (begin(&program), begin(&program));
    refused(&alice(&program, POST, b""), "this user has 3 uploads open");
    drop(program);

    // What is in the store counts after a restart too, as soon as the store was looked at.
    let program = start(state.path(), registry);
    eventually(|| {
        let reply = alice(&program, POST, b"");
        if reply.status == 202 {
            let host = format!("http://{}", program.address(0));
            let path = reply.one("location").strip_prefix(&host).unwrap();
            alice(&program, &format!("DELETE {path}"), b"");
            return None;
        }
        refused(&reply, "this user has 3 uploads open");
        Some(())
    });
    let put = format!("PUT {first}?digest={blob}");
    assert_eq!(alice(&program, &put, b"content").status, 201);
    begin(&program);
    refused(&alice(&program, POST, b""), "this user has 3 uploads open");
}

#[test]
fn g11_n56_a_user_has_so_many_uploads_open_and_no_more() {
    holds("[registry]\nuploads_per_user = 3\n");
}

#[test]
fn g11_n56_a_user_has_so_many_uploads_open_in_a_bucket_and_no_more() {
    let Some(store) = Store::new() else {
        return;
    };
    let toml = store.toml();
    holds(&toml.replacen("[registry]\n", "[registry]\nuploads_per_user = 3\n", 1));
}

#[test]
fn g11_n56_who_has_no_name_is_counted_by_address() {
    let house = House::start(
        "[registry]\nuploads_per_user = 2\n[headers]\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
         [[rule]]\nwho = [\"anonymous\"]\nrepositories = [\"a\"]\nactions = [\"push\"]\n\
         [[rule]]\nwho = [\"user:root\"]\nrepositories = [\"**\"]\nactions = [\"*\"]\n",
    );
    let post = |from: &str| house.send("", POST, &[&format!("X-Forwarded-For: {from}")], b"");
    let mut begun = Vec::new();
    for last in 0..10 {
        for _ in 0..2 {
            let reply = post(&format!("192.0.2.{last}"));
            assert_eq!(reply.status, 202, "{reply:#?}");
            begun.push(house.path(reply.one("location")));
        }
        let full = post(&format!("192.0.2.{last}"));
        refused(
            &full,
            "clients of this address without a name have 2 uploads open",
        );
    }
    // However many addresses somebody has.
    let full = post("2001:db8::1");
    refused(&full, "clients without a name have 20 uploads open");
    house.begin("a");
    // Who moved goes on with what is his.
    let path = &begun[0];
    let moved = &["X-Forwarded-For: 198.51.100.1"];
    let cancelled = house.send("", &format!("DELETE {path}"), moved, b"");
    assert_eq!(cancelled.status, 204, "{cancelled:#?}");
    let reply = post("2001:db8::1");
    assert_eq!(reply.status, 202, "{reply:#?}");
}

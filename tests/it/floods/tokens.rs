//! Tokens asked for by everybody at once, with as many scopes as fit.

use std::fs;
use std::thread;

use crate::support::ask::{ask, basic};
use crate::support::figures::{CONNECTIONS, rounds, tell};
use crate::support::memory::peak;
use crate::support::origin::Origin;
use crate::support::program::Program;
use crate::support::scrape::Scrape;

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

#[test]
fn k3_tokens_for_a_thousand_scopes_are_bounded_however_many_ask() {
    const CLIENTS: usize = 16;
    let each = rounds(30);
    let origin = Origin::start();
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[log]\naccess = false\n\
         [upstream]\nurl = \"{}\"\n[auth]\nhtpasswd = \"htpasswd\"\nanonymous = \"pull\"\n",
        origin.url()
    );
    let program = Program::start_with(&toml, |dir| {
        fs::write(dir.join("htpasswd"), "ann:{PLAIN}secret\n").unwrap();
    });
    let (address, ann) = (program.address(0), basic("ann", "secret"));
    let scopes: Vec<String> = (0..1000)
        .map(|n| format!("&scope=repository:team/repository-{n}:pull,push"))
        .collect();
    let form = format!("grant_type=password{}", scopes.concat());
    let token = || {
        let reply = ask(address, "POST /v2/token", &[FORM, &ann], form.as_bytes());
        assert_eq!(reply.status, 200, "{reply:#?}");
        let token = reply.json()["token"].as_str().unwrap().to_owned();
        assert!(token.len() < 8 * 1024, "{}", token.len());
        token
    };
    let good = token();
    let before = peak(program.dir());
    thread::scope(|scope| {
        let flood: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| (0..each).for_each(|_| drop(token()))))
            .collect();
        let bearer = format!("Authorization: Bearer {good}");
        while flood.iter().any(|client| !client.is_finished()) {
            let read = "GET /v2/team/repository-1/tags/list";
            assert_eq!(ask(address, read, &[&bearer], b"").status, 200);
        }
    });
    let grown = peak(program.dir()) - before;
    assert!(grown < 32, "grown by {grown} MiB");
    // A form beyond what any client sends is not read to its end.
    let longer = form.repeat(30);
    let refused = ask(address, "POST /v2/token", &[FORM, &ann], longer.as_bytes());
    assert_eq!(refused.status, 413);
    let issued = f64::from(u32::try_from(CLIENTS * each + 1).unwrap());
    let labels = ["kind=\"user\""];
    Scrape::of(program.admin()).is("dockgate_tokens_issued_total", &labels, issued);
    tell(CONNECTIONS, CLIENTS * each);
}

//! The embedded registry through the front door: every endpoint of the distribution specification, and every way to
//! use it wrongly.

mod blobs;
mod http2;
mod life;
mod lists;
mod manifests;
mod memory;
mod quotas;
mod ranges;
mod settings;
mod uploads;
mod visibility;

use crate::support::house::House;

/// A digest of no content that anybody has.
const NOBODYS: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

#[test]
fn the_base_says_that_it_is_a_registry() {
    let house = House::start("");
    let reply = house.ask("GET /v2/");
    assert_eq!((reply.status, reply.body.trim()), (200, "{}"));
    assert_eq!(reply.one("content-type"), "application/json; charset=utf-8");
    assert_eq!(reply.one("docker-distribution-api-version"), "registry/2.0");
    let head = house.ask("HEAD /v2/");
    assert_eq!(
        (head.status, head.one("content-length"), &*head.body),
        (200, "3", "")
    );
    let root = house.ask("GET /");
    assert_eq!((root.status, &*root.body), (200, ""));
    assert_eq!(house.send("", "GET /v2/", &[], b"").status, 401);
    assert_eq!(house.ask("GET /v2").status, 200);
    let other = house.ask("GET /v2/a/nothing");
    assert_eq!((other.status, &*other.error().0), (404, "NAME_UNKNOWN"));
}

//! What is pure, measured alone: `cargo bench --bench micro`.
//!
//! The rooms are private to the crate, and stay so: those that are measured are compiled into this program once more, under
//! the names by which they know one another. The catalog is asked through the public door, a server in this process.
#![expect(
    clippy::unwrap_used,
    clippy::missing_docs_in_private_items,
    reason = "a step that fails must end the benchmark on the spot"
)]
#![expect(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "whole rooms are taken in, and only some of their doors are used"
)]

#[path = "../../src/acl/mod.rs"]
mod acl;
#[path = "../../src/auth/mod.rs"]
mod auth;
#[path = "../../src/config/mod.rs"]
mod config;
#[path = "../../src/header/mod.rs"]
mod header;
#[path = "../../src/identity/mod.rs"]
mod identity;
#[path = "../../src/metrics/mod.rs"]
mod metrics;
#[path = "../../src/net.rs"]
mod net;
#[path = "../../src/oci/mod.rs"]
mod oci;
#[path = "../../src/peer.rs"]
mod peer;
#[path = "../../src/route/mod.rs"]
mod route;
#[path = "../../src/secret.rs"]
mod secret;
#[path = "../../src/state.rs"]
mod state;
#[path = "../../src/turns.rs"]
mod turns;

mod catalog;
mod credentials;
mod heads;
mod rules;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    benches,
    heads::routes,
    heads::headers,
    rules::ten_thousand,
    credentials::passwords,
    credentials::tokens,
    catalog::pages
);
criterion_main!(benches);

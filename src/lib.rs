//! dockgate: the gate in front of a container registry.
//!
//! This file is the plan of the house. Rooms stand in blocks, and a room imports only from the blocks above its
//! own; `tests/it/layers.rs` holds it to that. Reading from top to bottom is reading the layers.
//!
//! Planned: `webhook` (events to others) beside `auth`.

// Words: pure, no I/O.
mod body;
mod identity;
mod net;
mod oci;
mod secret;

// The connection's facts, told in words.
mod peer;

// Shapes: still pure.
pub mod config;
mod header;
mod response;
mod route;

// Files of its own.
mod state;

// What the process may touch: few files, and no copy of its memory.
mod confine;

// What is counted: every room from here on may say what happened.
mod metrics;

// Instruments.
mod pace;
mod telemetry;
mod tls;
mod turns;

// The certificate desk: files and X.509, no HTTP.
mod pki;

// Outbound.
mod client;

// Services: they know nothing of one another.
mod acl;
mod acme;
mod auth;
mod storage;
mod upstream;

// The embedded registry: it knows the store and the nouns, and no HTTP.
mod registry;

// Where every service's error becomes one answer.
mod error;

// What a permitted request is handed to.
mod handler;

// The walk of one request.
mod gateway;

// Sockets, connections, reload, drain.
mod server;

// Asked from outside of a running gate: other registries, and other fronts' configurations.
mod import;
mod probe;

// The command line.
pub mod cli;

// What the fuzzer asks the rooms, each question by its name. In tests, and in no build that is shipped.
#[cfg(any(test, fuzzing))]
pub mod fuzzing;

pub use server::{Activated, BindError, Bound, Command, Ended, Manager, Server, Source, commands};

//! Being built.

mod framing;
mod guard;
mod transport;

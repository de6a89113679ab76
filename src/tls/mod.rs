//! TLS: the certificates that dockgate shows, the ones that clients show, and the encrypted connections of both sides.
//!
//! All types of rustls stay in here. The room reads files, verifies, and hands out byte streams; it knows nothing of
//! HTTP and it does not log. What a listener needs is in [`ServerTls`], what an https upstream needs in [`ClientTls`].

mod authority;
mod client;
mod error;
mod file;
mod first;
mod identity;
mod material;
mod resolver;
mod revocation;
mod server;
mod stream;
mod subject;
#[cfg(test)]
mod testing;
mod verifier;
mod x509;

pub(crate) use client::{ClientStream, ClientTls, ConnectError, client_config};
pub(crate) use error::{Error, Warning};
pub(crate) use server::{Handshake, HandshakeError, ServerTls, Standing};
pub(crate) use stream::TlsStream;
pub(crate) use verifier::Refusal;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The cryptography of both sides: aws-lc-rs, `X25519MLKEM768` first, authenticated encryption alone.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

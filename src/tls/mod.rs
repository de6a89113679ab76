//! TLS: the certificates that dockgate shows, the ones that clients show, and the encrypted connections of both sides.
//!
//! All types of rustls stay in here. The room reads files, verifies, and hands out byte streams; it knows nothing of
//! HTTP and it does not log. What a listener needs is in [`ServerTls`], what an https upstream needs in [`ClientTls`]. The
//! certificate desk reads certificates and lists through this door: [`Certificate`], [`RevocationList`].

mod authority;
mod challenge;
mod client;
mod error;
mod examine;
mod file;
mod first;
mod identity;
mod issued;
mod judgement;
mod material;
mod memory;
#[cfg(any(test, fuzzing))]
pub(crate) mod property;
mod reading;
mod resolver;
mod revocation;
mod server;
mod standing;
mod state;
mod stream;
mod subject;
#[cfg(test)]
mod tests;
mod verifier;
mod x509;

pub(crate) use challenge::{Challenges, Proving};
pub(crate) use client::{
    ClientStream, ClientTls, ConnectError, client_config, unverified_client, verified_client,
};
pub(crate) use error::Error;
pub(crate) use examine::{Refusal, Shown, Trust, examining_client, refusal};
pub(crate) use first::found_own_certificate;
pub(crate) use identity::client_certificate_file;
pub(crate) use issued::Issued;
pub(crate) use reading::{certificate_file, is_signed_by, key_file, list_file};
pub(crate) use server::{Prepared, ServerTls};
pub(crate) use standing::Standing;
pub(crate) use stream::TlsStream;
pub(crate) use x509::{Certificate, RevocationList};

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuite, SupportedCipherSuite};

/// The cryptography of both sides: aws-lc-rs, `X25519MLKEM768` first, authenticated encryption alone, and of that AES-128,
/// the cheapest, first.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    let is_cheapest = |suite: &SupportedCipherSuite| {
        matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    };
    provider
        .cipher_suites
        .sort_by_key(|suite| !is_cheapest(suite));
    Arc::new(provider)
}

/// Of suites that are all good we take the cheapest, AES-128; but who has no instructions for AES names `ChaCha20` first.
fn is_slow_at_aes(suites: &[CipherSuite]) -> bool {
    use CipherSuite as Suite;

    let known = suites.iter().find(|suite| suite.as_str().is_some());
    matches!(
        known,
        Some(
            Suite::TLS13_CHACHA20_POLY1305_SHA256
                | Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
                | Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        )
    )
}

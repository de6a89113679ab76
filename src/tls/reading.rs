//! What the certificate desk reads through this room's door: files and signatures, with the faults that a listener tells.

use std::path::Path;

use rcgen::KeyPair;

use super::error::{Error, Warning};
use super::file;
use super::judgement::signed_by;
use super::x509::Signed;

/// The certificates of a PEM file as DER, in their order. Never empty.
///
/// # Errors
/// The file cannot be read, or holds none.
pub(crate) fn certificate_file(what: &'static str, path: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let certificates = file::certificates(what, path)?;
    Ok(certificates.iter().map(|der| der.to_vec()).collect())
}

/// The private key of a PEM file, and a warning where everybody on the machine can read it.
///
/// # Errors
/// The file cannot be read, its key is encrypted, or of a kind that signs no certificates.
pub(crate) fn key_file(
    what: &'static str,
    path: &Path,
) -> Result<(KeyPair, Option<Warning>), Error> {
    let (key, warning) = file::key(what, path)?;
    let pair = KeyPair::try_from(&key).map_err(|_| {
        Error::file(
            what,
            path,
            "is not a key that certificates can be made with: RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, and Ed25519 are",
        )
    })?;
    Ok((pair, warning))
}

/// The revocation lists of a PEM file as DER. Never empty.
///
/// # Errors
/// The file cannot be read, or holds none.
pub(crate) fn list_file(what: &'static str, path: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let lists = file::lists(what, path)?;
    Ok(lists.iter().map(|der| der.to_vec()).collect())
}

/// Whether this public key (with its algorithm, as a certificate holds it) made the signature.
pub(crate) fn is_signed_by(signed: &Signed<'_>, key: &[u8]) -> bool {
    signed_by(signed, key).is_ok()
}

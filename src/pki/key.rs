//! Keys: made, read, and what they sign with.

use rcgen::{KeyPair, PublicKeyData as _, RsaKeySize, SignatureAlgorithm, SigningKey as _};
use x509_cert::der::asn1::AnyRef;
use zeroize::Zeroizing;

use super::der::{self, OBJECT};
use super::error::Error;

/// What kind of key is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyType {
    /// ECDSA on P-256: small, fast, and understood by every client of today.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// RSA with this many bits, for what does not know ECDSA.
    Rsa2048,
    /// The same, longer.
    Rsa3072,
    /// The same, longer still, and slow in each handshake.
    Rsa4096,
}

/// A private key with its public half.
pub(crate) struct Key(KeyPair);

impl Key {
    /// A new one. RSA takes its time: seconds.
    ///
    /// # Errors
    /// The cryptography failed.
    pub(crate) fn generate(kind: KeyType) -> Result<Self, Error> {
        let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
        let pair = match kind {
            KeyType::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            KeyType::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            KeyType::Rsa2048 => rsa(RsaKeySize::_2048),
            KeyType::Rsa3072 => rsa(RsaKeySize::_3072),
            KeyType::Rsa4096 => rsa(RsaKeySize::_4096),
        };
        pair.map(Self).map_err(Error::Key)
    }

    pub(super) fn new(pair: KeyPair) -> Self {
        Self(pair)
    }

    /// The private key as a PEM file.
    pub(super) fn pem(&self) -> Zeroizing<String> {
        let der = Zeroizing::new(self.0.serialize_der());
        let label = if is_pkcs8(&der) {
            "PRIVATE KEY"
        } else if self.is_rsa() {
            "RSA PRIVATE KEY"
        } else {
            "EC PRIVATE KEY"
        };
        Zeroizing::new(der::pem(label, &der))
    }

    /// The public key with its algorithm, as a certificate holds it.
    pub(super) fn public(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    /// The bits of the public key, without the algorithm.
    pub(super) fn public_bits(&self) -> &[u8] {
        self.0.der_bytes()
    }

    pub(super) fn is_rsa(&self) -> bool {
        *self.0.algorithm() == rcgen::PKCS_RSA_SHA256
    }

    /// The algorithm of its signatures (RFC 4055, 5758, 8410), as certificates and lists name it.
    pub(super) fn algorithm(&self) -> Vec<u8> {
        const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
        const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
        const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
        const ECDSA_WITH_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
        const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
        const NULL: &[u8] = &[0x05, 0x00];
        let is = |algorithm: &SignatureAlgorithm| self.0.algorithm() == algorithm;
        let (id, parameters): (&[u8], &[u8]) = if self.is_rsa() {
            (SHA256_WITH_RSA, NULL)
        } else if is(&rcgen::PKCS_ECDSA_P384_SHA384) {
            (ECDSA_WITH_SHA384, &[])
        } else if is(&rcgen::PKCS_ECDSA_P521_SHA512) {
            (ECDSA_WITH_SHA512, &[])
        } else if is(&rcgen::PKCS_ED25519) {
            (ED25519, &[])
        } else {
            (ECDSA_WITH_SHA256, &[])
        };
        der::sequence(&[&der::tlv(OBJECT, &[id]), parameters])
    }

    /// What is to be signed, with the algorithm and the signature: a certificate or a list.
    ///
    /// # Errors
    /// The cryptography failed.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.0.sign(message).map_err(Error::Key)?;
        Ok(der::sequence(&[
            message,
            &self.algorithm(),
            &der::bits(&signature),
        ]))
    }
}

/// Whether the bytes are PKCS #8: its second field is an algorithm, which the older forms do not have there.
fn is_pkcs8(der: &[u8]) -> bool {
    let body = AnyRef::try_from(der).map(AnyRef::value);
    // behind the version, which takes three bytes in all forms
    body.is_ok_and(|body| body.get(3) == Some(&der::SEQUENCE))
}

/// The kind of an existing certificate's key, so that the next one is alike.
pub(super) fn kind_of(rsa_bits: Option<usize>, public_bits: Option<&[u8]>) -> KeyType {
    match (rsa_bits, public_bits.map(<[u8]>::len)) {
        (Some(..=2048), _) => KeyType::Rsa2048,
        (Some(2049..=3072), _) => KeyType::Rsa3072,
        (Some(_), _) => KeyType::Rsa4096,
        // an uncompressed point of P-384: 1 + 2 * 48 bytes
        (None, Some(97)) => KeyType::EcdsaP384,
        (None, _) => KeyType::EcdsaP256,
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

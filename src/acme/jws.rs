//! Signed requests as an account is registered with them (RFC 8555 section 6.2, RFC 7515): the library makes its key only
//! while it registers, and a key that is not on the disk by then is lost with a crash.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::error::Error;

/// A key of ECDSA P-256.
pub(super) struct Signer(EcdsaKeyPair);

impl Signer {
    pub(super) fn from_pkcs8(der: &[u8]) -> Result<Self, Error> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
        pair.map(Self)
            .map_err(|_| Error::Crypto("the account's key is not a key of ECDSA P-256".to_owned()))
    }

    /// The public key (RFC 7517).
    pub(super) fn jwk(&self) -> Value {
        // An uncompressed point: a 4, then both coordinates (SEC 1 section 2.3.3).
        let point = self.0.public_key().as_ref();
        let coordinates = point.get(1..).unwrap_or_default();
        let (x, y) = coordinates.split_at(coordinates.len() / 2);
        json!({ "crv": "P-256", "kty": "EC", "x": encoded(x), "y": encoded(y) })
    }

    /// A request that shows its own key, as only `newAccount` does.
    pub(super) fn sign(&self, url: &str, nonce: &str, payload: &Value) -> Result<Value, Error> {
        let head = json!({ "alg": "ES256", "jwk": self.jwk(), "nonce": nonce, "url": url });
        let (head, payload) = (encoded(head.to_string()), encoded(payload.to_string()));
        let signature = self
            .0
            .sign(&SystemRandom::new(), format!("{head}.{payload}").as_bytes())
            .map_err(|_| Error::Crypto("nothing can be signed".to_owned()))?;
        Ok(json!({ "protected": head, "payload": payload, "signature": encoded(signature) }))
    }
}

/// The proof that an account of ours belongs to one that the authority knows (RFC 8555 section 7.3.4).
pub(super) fn binding(key_id: &str, key: &[u8], url: &str, jwk: &Value) -> Value {
    let head = json!({ "alg": "HS256", "kid": key_id, "url": url });
    let (head, payload) = (encoded(head.to_string()), encoded(jwk.to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signature = hmac::sign(&key, format!("{head}.{payload}").as_bytes());
    json!({ "protected": head, "payload": payload, "signature": encoded(signature) })
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    fn decoded(value: &Value) -> Vec<u8> {
        BASE64_URL_SAFE_NO_PAD
            .decode(value.as_str().unwrap())
            .unwrap()
    }

    #[test]
    fn a_request_verifies_with_the_key_that_it_shows() {
        let (_, der) = instant_acme::Key::generate_pkcs8().unwrap();
        let signer = Signer::from_pkcs8(der.secret_pkcs8_der()).unwrap();
        let payload = json!({ "termsOfServiceAgreed": true });
        let request = signer.sign("https://ca.test/new", "n", &payload).unwrap();
        let head: Value = serde_json::from_slice(&decoded(&request["protected"])).unwrap();
        assert_eq!(head["nonce"], "n");
        assert_eq!(head["url"], "https://ca.test/new");
        let mut point = vec![4];
        point.extend(decoded(&head["jwk"]["x"]));
        point.extend(decoded(&head["jwk"]["y"]));
        let message = format!(
            "{}.{}",
            request["protected"].as_str().unwrap(),
            request["payload"].as_str().unwrap()
        );
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(message.as_bytes(), &decoded(&request["signature"]))
            .unwrap();
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert!(Signer::from_pkcs8(&other.serialize_der()).is_err());
    }
}

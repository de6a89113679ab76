//! rustls' questions about client certificates, answered by [`Trust`].

use std::cell::RefCell;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, PeerMisbehaved, SignatureScheme,
};
use webpki::RawPublicKeyEntity;

use super::authority::Trust;
use super::judgement::{Refusal, Refused};
use super::x509::Certificate;

tokio::task_local! {
    /// Where the handshake that runs in this task finds why its certificate was refused: rustls' error has a code and
    /// no room for the subject. Set by [`Verifier`], read by `ServerTls::accept`.
    pub(super) static REFUSED: RefCell<Option<Refusal>>;
}

/// rustls' question, answered by [`Trust`].
#[derive(Debug)]
pub(super) struct Verifier {
    trust: Arc<Trust>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(trust: Arc<Trust>) -> Self {
        Self {
            trust,
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
        }
    }
}

impl ClientCertVerifier for Verifier {
    /// A handshake without a certificate completes in either mode: HTTP can say what is missing, an alert cannot.
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.trust.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match self.trust.verify(end_entity, intermediates, now) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(refused) => {
                let Refused(refusal, error) = *refused;
                // outside of a handshake of ours nobody asks
                let _ = REFUSED.try_with(|refused| refused.replace(Some(refusal)));
                Err(error.into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let Some(key) = version_1_key(cert) else {
            return verify_tls12_signature(message, cert, dss, &self.algorithms);
        };
        verify_tls12_signature_with_raw_key(message, &key, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let Some(key) = version_1_key(cert) else {
            return verify_tls13_signature(message, cert, dss, &self.algorithms);
        };
        verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The key of a version 1 certificate; rustls' own functions read version 3 alone.
fn version_1_key(der: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let certificate = Certificate::parse(der).ok()?;
    (certificate.version == 1).then(|| SubjectPublicKeyInfoDer::from(certificate.key.to_vec()))
}

/// rustls has this for TLS 1.3 alone. In TLS 1.2 a scheme does not fix the curve, so each algorithm of it is tried.
fn verify_tls12_signature_with_raw_key(
    message: &[u8],
    key: &SubjectPublicKeyInfoDer<'_>,
    dss: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let bad = || rustls::Error::InvalidCertificate(CertificateError::BadSignature);
    let (_, candidates) = algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == dss.scheme)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let key = RawPublicKeyEntity::try_from(key).map_err(|_| bad())?;
    candidates
        .iter()
        .any(|algorithm| {
            key.verify_signature(*algorithm, message, dss.signature())
                .is_ok()
        })
        .then(HandshakeSignatureValid::assertion)
        .ok_or_else(bad)
}

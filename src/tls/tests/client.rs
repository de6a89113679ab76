//! A client of rustls, and one connection with it.

use super::*;

/// What a client shows.
pub(super) struct Shown {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// What a client is like.
pub(super) struct Client {
    config: ClientConfig,
}

impl Client {
    pub(super) fn new() -> Self {
        Self::speaking(rustls::ALL_VERSIONS)
    }

    pub(super) fn speaking(versions: &[&'static SupportedProtocolVersion]) -> Self {
        Self::build(versions, None)
    }

    pub(super) fn showing(leaf: &Leaf) -> Self {
        Self::build(rustls::ALL_VERSIONS, Some(leaf.shown()))
    }

    pub(super) fn build(
        versions: &[&'static SupportedProtocolVersion],
        shown: Option<Shown>,
    ) -> Self {
        let builder = ClientConfig::builder_with_provider(crate::tls::provider())
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anything));
        let config = match shown {
            None => builder.with_no_client_auth(),
            Some(Shown { chain, key }) => {
                let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
                let key = Arc::new(CertifiedKey::new(chain, key));
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
        };
        Self { config }
    }

    pub(super) fn alpn(mut self, protocols: &[&[u8]]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
        self
    }

    pub(super) fn ready(self) -> Arc<ClientConfig> {
        Arc::new(self.config)
    }
}

/// Both ends of one handshake.
pub(super) struct Met {
    pub(super) server: Result<Handshake, HandshakeError>,
    pub(super) client: io::Result<Seen>,
}

/// What the client saw.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) leaf: CertificateDer<'static>,
    pub(super) suite: rustls::CipherSuite,
    pub(super) group: Option<rustls::NamedGroup>,
}

impl Met {
    #[track_caller]
    pub(super) fn handshake(self) -> Handshake {
        self.client.unwrap();
        self.server.unwrap()
    }

    /// The refusal on our side and the alert on the client's.
    #[track_caller]
    pub(super) fn refused(self) -> (crate::tls::judgement::Refusal, String) {
        let alert = self.client.unwrap_err().to_string();
        match self.server {
            Err(HandshakeError::Certificate(refusal)) => (refusal, alert),
            other => panic!("{other:?}"),
        }
    }
}

/// One connection: the server says "ok" and ends, the client reads to the end.
pub(super) async fn meet(server: &ServerTls, client: &Arc<ClientConfig>, name: &str) -> Met {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let serve = async {
        let (mut stream, handshake) = server.accept(ours).await?;
        stream.write_all(b"ok").await.unwrap();
        stream.shutdown().await.unwrap();
        Ok(handshake)
    };
    let connect = async {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connector = TlsConnector::from(Arc::clone(client));
        let mut stream = connector.connect(name, theirs).await?;
        let mut word = String::new();
        stream.read_to_string(&mut word).await?;
        if word != "ok" {
            return Err(io::Error::other("the connection ended without a word"));
        }
        let connection = stream.get_ref().1;
        Ok(Seen {
            leaf: connection
                .peer_certificates()
                .unwrap()
                .first()
                .unwrap()
                .clone(),
            suite: connection.negotiated_cipher_suite().unwrap().suite(),
            group: connection
                .negotiated_key_exchange_group()
                .map(rustls::crypto::SupportedKxGroup::name),
        })
    };
    let (server, client) = tokio::join!(serve, connect);
    Met { server, client }
}

/// A client that takes any server: who the server is, is not the question here.
#[derive(Debug)]
pub(super) struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

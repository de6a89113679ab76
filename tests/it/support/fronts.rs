//! A gate with a plain door and one with TLS, both to the same upstream.

use super::certs::Authority;
use super::gate::Gate;
use super::passwords;
use super::raw::Raw;

/// The header line of the one user, who may do everything. Without it one may read.
pub const LOGIN: &str = "Authorization: Basic dXNlcjpzZWNyZXQ=\r\n";

/// The gate and who signed its certificate.
pub struct Fronts {
    /// The gate.
    pub gate: Gate,
    /// The authority of its TLS door.
    pub authority: Authority,
}

impl Fronts {
    /// Before this upstream. `more` follows in `proxy.toml` behind the keys of `[upstream]`.
    #[track_caller]
    pub fn before(upstream: &str, more: &str) -> Self {
        Self::with(&format!("[upstream]\nurl = \"{upstream}\"\n{more}"))
    }

    /// With the registry inside.
    #[track_caller]
    pub fn embedded() -> Self {
        Self::with("")
    }

    #[track_caller]
    fn with(backend: &str) -> Self {
        let authority = Authority::new("the CA of the test");
        let server = authority.server_for(&["localhost"]);
        let htpasswd = server.key.with_file_name("htpasswd");
        passwords::write(&htpasswd, "user", "secret");
        let htpasswd = htpasswd.display();
        let (certificate, key) = (server.certificate.display(), server.key.display());
        let gate = Gate::start(&format!(
            r#"
            [[listener]]
            address = "127.0.0.1:0"
            [[listener]]
            address = "127.0.0.1:0"
            [listener.tls]
            certificate = "{certificate}"
            key = "{key}"
            [auth]
            htpasswd = "{htpasswd}"
            anonymous = "pull"
            [log]
            access = false
            {backend}
            "#
        ));
        Self { gate, authority }
    }

    /// A connection to the plain door.
    #[track_caller]
    pub fn plain(&self) -> Raw {
        Raw::tcp(self.gate.address())
    }

    /// A connection to the TLS door.
    #[track_caller]
    pub fn tls(&self) -> Raw {
        self.tls_offering(&["http/1.1"])
    }

    /// A connection to the TLS door that offers these protocols.
    #[track_caller]
    pub fn tls_offering(&self, protocols: &[&str]) -> Raw {
        Raw::tls(self.gate.address_of(1), self.authority.ca(), protocols)
    }
}

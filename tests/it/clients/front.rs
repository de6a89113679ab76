//! What stands between the clients and the registry.

use std::path::{Path, PathBuf};

use crate::support::certs::{Authority, Pair};
use crate::support::passwords;
use crate::support::peers;
use crate::support::registry::Registry;

/// The one user of a front that asks for a password. It has what breaks a careless reader of credentials.
pub const USER: &str = "alice";

/// Her password.
pub const PASSWORD: &str = "correct: horse";

/// Both as `--creds` and `--user` take them.
pub const CREDENTIALS: &str = "alice:correct: horse";

/// Hers with a slip.
pub const WRONG_CREDENTIALS: &str = "alice:correct: hors";

/// A front door, open until it is dropped.
pub struct Front {
    /// `registry.test:PORT`, as the clients call it.
    pub address: String,
    /// Who signed its certificate.
    pub authority: Authority,
    /// How it turns away a client without the certificate that it asks for.
    pub refusal: Refusal,
    /// It answers the search of the first protocol, which the registry behind does not.
    pub searches: bool,
    _running: Box<dyn std::any::Any>,
}

/// What the clients print when the certificate is missing.
#[derive(Default)]
pub struct Refusal {
    /// docker, at a pull and a push.
    pub docker: &'static str,
    /// docker, at a login.
    pub docker_login: &'static str,
    /// podman, buildah and skopeo, at a push: they begin with a HEAD, whose answer has no message.
    pub image_push: &'static str,
    /// The same, when they read.
    pub image_pull: &'static str,
    /// ctr.
    pub ctr: &'static str,
}

impl Front {
    /// A name in the registry behind, as clients write it.
    pub fn repository(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// The same front, known to answer `docker search`.
    pub fn searching(mut self) -> Self {
        self.searches = true;
        self
    }

    /// The certificate of its authority.
    pub fn ca(&self) -> &Path {
        self.authority.ca()
    }

    /// A client certificate that it accepts.
    pub fn client(&self) -> Pair {
        self.authority.client(USER)
    }
}

/// What a front is made of, whatever it is: a registry, a certificate, a password file.
pub struct Site {
    /// Signs everything here.
    pub authority: Authority,
    /// The certificate of the front.
    pub server: Pair,
    /// Lets [`USER`] in.
    pub htpasswd: PathBuf,
    /// What stands behind, unless the front has a registry of its own.
    registry: Option<Registry>,
}

impl Site {
    /// With an empty registry.
    pub fn new() -> Self {
        Self {
            registry: Some(Registry::start()),
            ..Self::alone()
        }
    }

    /// Without a registry: the front is to have one.
    pub fn alone() -> Self {
        let authority = Authority::new("the CA of the test");
        let server = authority.server();
        let htpasswd = server.key.with_file_name("htpasswd");
        passwords::write(&htpasswd, USER, PASSWORD);
        Self {
            authority,
            server,
            htpasswd,
            registry: None,
        }
    }

    /// Where the registry is.
    #[track_caller]
    pub fn url(&self) -> &str {
        self.registry.as_ref().unwrap().url()
    }

    /// The registry for `proxy.toml`; without one there is nothing to say.
    pub fn backend(&self) -> String {
        let line = |registry: &Registry| format!("[upstream]\nurl = \"{}\"", registry.url());
        self.registry.as_ref().map(line).unwrap_or_default()
    }

    /// The front that listens on this port before this site, as long as `running` is kept.
    pub fn behind(self, port: u16, refusal: Refusal, running: impl Sized + 'static) -> Front {
        Front {
            address: format!("{}:{port}", peers::NAME),
            authority: self.authority,
            refusal,
            searches: false,
            _running: Box::new((running, self.registry)),
        }
    }
}

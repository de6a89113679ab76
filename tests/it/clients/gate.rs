//! dockgate, configured to do what the reference does.

use std::fs;
use std::sync::Arc;

use super::front::{Front, Refusal, Site, USER};
use super::matrix::{WRITER, WRITER_PASSWORD};
use super::public::{READER, READER_PASSWORD};
use crate::support::clock::{self, Clock};
use crate::support::gate::Gate;
use crate::support::peers;
use crate::support::relay::Relay;

/// The fronts before one kind of registry.
macro_rules! fronts {
    ($name:ident, $site:expr, $doc:literal) => {
        #[doc = $doc]
        pub mod $name {
            use super::{Front, Site};

            /// A password for everything.
            pub fn password() -> Front {
                super::with_passwords($site, "")
            }

            /// Everybody may pull; a password for everything else.
            pub fn public() -> Front {
                super::with_passwords($site, "anonymous = \"pull\"")
            }

            /// The same by rules, with `private` for the owner alone and a reader who may pull from `team`.
            pub fn rules() -> Front {
                super::with_passwords($site, &super::rules())
            }

            /// Public pull and private repositories: one who may do everything, one who may only pull, one who may
            /// push what is not private.
            pub fn matrix() -> Front {
                super::with_passwords($site, &super::matrix())
            }

            /// A client certificate for everything. Its absence is told in words that reach the person at the client.
            pub fn certificate() -> Front {
                super::certificate($site)
            }
        }
    };
}

fronts!(before, Site::new(), "Before the real registry.");
fronts!(embedded, Site::alone(), "With the embedded registry.");

fn rules() -> String {
    format!(
        r#"
        [[rule]]
        who = ["anonymous"]
        repositories = ["team/**"]
        actions = ["pull", "catalog"]
        [[rule]]
        who = ["user:{READER}"]
        repositories = ["team/**"]
        actions = ["pull"]
        [[rule]]
        who = ["user:{USER}"]
        repositories = ["**"]
        actions = ["*"]
        "#
    )
}

fn matrix() -> String {
    format!(
        r#"
        [[rule]]
        who = ["anonymous"]
        repositories = ["team/**"]
        actions = ["pull", "catalog"]
        [[rule]]
        who = ["user:{USER}"]
        repositories = ["**"]
        actions = ["*"]
        [[rule]]
        who = ["user:{READER}"]
        repositories = ["**"]
        actions = ["pull"]
        [[rule]]
        who = ["user:{WRITER}"]
        repositories = ["team/**"]
        actions = ["pull", "push"]
        "#
    )
}

fn with_passwords(site: Site, rest: &str) -> Front {
    let gate = Gate::start(&toml(&site, &site.backend(), rest));
    let front = site.behind(gate.address().port(), Refusal::default(), gate);
    front.searching()
}

/// Everybody may pull, with a password for everything else, on a gate whose clock is this much off. It finds the registry
/// through the relay, which tells when a part of an upload comes by.
pub fn off_the_clock(
    offset: &str,
    relay: impl FnOnce(&str) -> Relay,
) -> (Front, Clock, Arc<Relay>) {
    let site = Site::new();
    let relay = Arc::new(relay(site.url()));
    let rest = "anonymous = \"pull\"\n[token]\nlifetime = \"60s\"";
    let upstream = format!("[upstream]\nurl = \"{}\"", relay.url());
    let toml = toml(&site, &upstream, rest);
    let (program, clock) = clock::start(&toml, offset, |_| {});
    let port = program.address(0).port();
    let running = (program, Arc::clone(&relay));
    let front = site.behind(port, Refusal::default(), running);
    (front.searching(), clock, relay)
}

fn toml(site: &Site, backend: &str, rest: &str) -> String {
    let users = fs::read_to_string(&site.htpasswd).unwrap();
    let more =
        format!("{READER}:{{PLAIN}}{READER_PASSWORD}\n{WRITER}:{{PLAIN}}{WRITER_PASSWORD}\n");
    fs::write(&site.htpasswd, users + &more).unwrap();
    let (certificate, key) = (site.server.certificate.display(), site.server.key.display());
    format!(
        r#"
        [[listener]]
        address = "{ip}:0"
        [listener.tls]
        certificate = "{certificate}"
        key = "{key}"
        {backend}
        [log]
        access = false
        [auth]
        htpasswd = "{htpasswd}"
        {rest}
        "#,
        ip = peers::ADDRESS,
        htpasswd = site.htpasswd.display(),
    )
}

fn certificate(site: Site) -> Front {
    let (certificate, key) = (site.server.certificate.display(), site.server.key.display());
    let (ca, backend) = (site.authority.ca().display(), site.backend());
    let gate = Gate::start(&format!(
        r#"
        [[listener]]
        address = "{ip}:0"
        [listener.tls]
        certificate = "{certificate}"
        key = "{key}"
        client_ca = "{ca}"
        client_auth = "required"
        {backend}
        [log]
        access = false
        "#,
        ip = peers::ADDRESS,
    ));
    let words = "a client certificate is required";
    let refusal = Refusal {
        docker: words,
        docker_login: "401 Unauthorized",
        image_push: "unauthorized: authentication required",
        image_pull: words,
        ctr: "401 Unauthorized",
    };
    let front = site.behind(gate.address().port(), refusal, gate);
    front.searching()
}

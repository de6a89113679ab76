//! dockgate, configured to do what the reference does.

use std::fs;

use super::front::{Front, Refusal, Site, USER};
use super::public::{READER, READER_PASSWORD};
use crate::support::gate::Gate;
use crate::support::peers;

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

fn with_passwords(site: Site, rest: &str) -> Front {
    let users = fs::read_to_string(&site.htpasswd).unwrap();
    let reader = format!("{READER}:{{PLAIN}}{READER_PASSWORD}\n");
    fs::write(&site.htpasswd, users + &reader).unwrap();
    let (certificate, key) = (site.server.certificate.display(), site.server.key.display());
    let (htpasswd, backend) = (site.htpasswd.display(), site.backend());
    let gate = Gate::start(&format!(
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
    ));
    let front = site.behind(gate.address().port(), Refusal::default(), gate);
    front.searching()
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

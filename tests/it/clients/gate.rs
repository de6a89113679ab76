//! dockgate, configured to do what the reference does.

use std::fs;

use super::front::{Front, Refusal, Site, USER};
use super::matrix::{WRITER, WRITER_PASSWORD};
use super::public::{READER, READER_PASSWORD};
use crate::support::gate::Gate;
use crate::support::peers;

/// A password for everything.
pub fn password() -> Front {
    with_passwords("")
}

/// Everybody may pull; a password for everything else.
pub fn public() -> Front {
    with_passwords("anonymous = \"pull\"")
}

/// The same by rules, with `private` for the owner alone and a reader who may pull from `team`.
pub fn rules() -> Front {
    with_passwords(&format!(
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
    ))
}

/// Public pull and private repositories: one who may do everything, one who may only pull, one who may push what is not
/// private.
pub fn matrix() -> Front {
    with_passwords(&format!(
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
    ))
}

fn with_passwords(rest: &str) -> Front {
    let site = Site::new();
    let users = fs::read_to_string(&site.htpasswd).unwrap();
    let more =
        format!("{READER}:{{PLAIN}}{READER_PASSWORD}\n{WRITER}:{{PLAIN}}{WRITER_PASSWORD}\n");
    fs::write(&site.htpasswd, users + &more).unwrap();
    let (certificate, key) = (site.server.certificate.display(), site.server.key.display());
    let (htpasswd, upstream) = (site.htpasswd.display(), site.registry.url());
    let gate = Gate::start(&format!(
        r#"
        [[listener]]
        address = "{ip}:0"
        [listener.tls]
        certificate = "{certificate}"
        key = "{key}"
        [upstream]
        url = "{upstream}"
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

/// A client certificate for everything. Its absence is told in words that reach the person at the client.
pub fn certificate() -> Front {
    let site = Site::new();
    let (certificate, key) = (site.server.certificate.display(), site.server.key.display());
    let (ca, upstream) = (site.authority.ca().display(), site.registry.url());
    let gate = Gate::start(&format!(
        r#"
        [[listener]]
        address = "{ip}:0"
        [listener.tls]
        certificate = "{certificate}"
        key = "{key}"
        client_ca = "{ca}"
        client_auth = "required"
        [upstream]
        url = "{upstream}"
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

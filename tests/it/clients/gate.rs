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
    let gate = Gate::start(&toml(&site, site.registry.url(), rest));
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
    let relay = Arc::new(relay(site.registry.url()));
    let rest = "anonymous = \"pull\"\n[token]\nlifetime = \"60s\"";
    let toml = toml(&site, &relay.url(), rest);
    let (program, clock) = clock::start(&toml, offset, |_| {});
    let port = program.address(0).port();
    let running = (program, Arc::clone(&relay));
    let front = site.behind(port, Refusal::default(), running);
    (front.searching(), clock, relay)
}

fn toml(site: &Site, upstream: &str, rest: &str) -> String {
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
        [upstream]
        url = "{upstream}"
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

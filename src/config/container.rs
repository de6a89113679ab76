//! The variables and files of the containers that people run today, told as settings.
//!
//! With no configuration file, dockgate takes the place of these containers as they were started:
//! `containersol/docker-registry-proxy` (its variables name the registry) and `marvambass/nginx-registry-proxy` (its
//! files lie in one folder). `DOCKGATE_` variables beat what is found here.

use std::path::Path;

use super::fault::{Fault, Place};
use super::source::{Variable, Variables, shown};

/// The folder that `marvambass/nginx-registry-proxy` is given.
const EXTERNAL: &str = "etc/nginx/external";

/// Its image is long gone, and so is the port that was not said: the registry's own.
const REGISTRY_PORT: &str = "5000";

/// What the image waits for the registry.
const PROXY_TIMEOUT: &str = "300s";

/// What a container set-up turned out to be.
#[derive(Default)]
pub(super) struct Found {
    pub(super) faults: Vec<Fault>,
    /// What was chosen and why, for the person who starts it.
    pub(super) notes: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Adds the settings that a known container's variables and files below `root` stand for.
pub(super) fn apply(
    environment: &[(String, String)],
    root: &Path,
    variables: &mut Variables,
) -> Found {
    let value = |name: &str| {
        let found = environment.iter().find(|(found, _)| found == name);
        found
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    };
    let external = root.join(EXTERNAL);
    let mut settings = Settings::new(variables);
    if let Some(host) = value("REGISTRY_HOST") {
        container_solutions(&mut settings, host, &value, &root.join("etc/nginx"));
    } else if ["docker-registry.htpasswd", "cert.pem", "key.pem"]
        .iter()
        .any(|file| is_there(&external.join(file)))
    {
        marvambass(&mut settings, &external);
    }
    settings.found
}

/// Seed 001: `-e REGISTRY_HOST -e REGISTRY_PORT -e SERVER_NAME -e PROXY_TIMEOUT`.
fn container_solutions<'e>(
    settings: &mut Settings<'_>,
    host: &str,
    value: &impl Fn(&str) -> Option<&'e str>,
    nginx: &Path,
) {
    settings.note(
        "REGISTRY_HOST is set and there is no proxy.toml: taking the place of containersol/docker-registry-proxy \
         (REGISTRY_HOST, REGISTRY_PORT, PROXY_TIMEOUT, /etc/nginx/.htpasswd, /etc/nginx/ssl)",
    );
    if value("SERVER_NAME").is_some() {
        settings.note(
            "SERVER_NAME is not needed: every host name is answered, as by the old container",
        );
    }
    let port = value("REGISTRY_PORT").unwrap_or(REGISTRY_PORT);
    // `--link registry:registry` sets REGISTRY_PORT=tcp://172.17.0.2:5000.
    let port = match port
        .strip_prefix("tcp://")
        .and_then(|linked| linked.rsplit_once(':'))
    {
        Some((_, port)) => port,
        None => port,
    };
    if port.parse::<u16>().is_ok_and(|port| port > 0) {
        settings.set(
            "UPSTREAM_URL",
            &format!("http://{}:{port}", bracketed(host)),
            "REGISTRY_HOST",
        );
    } else {
        settings.fault(
            "REGISTRY_PORT",
            format!("{} is no port; write a number from 1 to 65535", shown(port)),
        );
        settings.set(
            "UPSTREAM_URL",
            &format!("http://{}", bracketed(host)),
            "REGISTRY_HOST",
        );
    }
    let timeout = value("PROXY_TIMEOUT").unwrap_or(PROXY_TIMEOUT);
    settings.set(
        "UPSTREAM_READ_TIMEOUT",
        &nginx_time(timeout),
        "PROXY_TIMEOUT",
    );
    settings.set("AUTH_REALM", "Restricted", "REGISTRY_HOST");
    settings.file("AUTH_HTPASSWD", &nginx.join(".htpasswd"));
    settings.listen(
        Some((
            &nginx.join("ssl/docker-registry.crt"),
            &nginx.join("ssl/docker-registry.key"),
        )),
        "REGISTRY_HOST",
    );
}

/// Seed 003: `-v DIR:/etc/nginx/external --link registry:registry`.
fn marvambass(settings: &mut Settings<'_>, external: &Path) {
    settings.note(
        "/etc/nginx/external is there and there is no proxy.toml: taking the place of \
         marvambass/nginx-registry-proxy (docker-registry.htpasswd, cert.pem, key.pem, registry at http://registry:5000)",
    );
    settings.set(
        "UPSTREAM_URL",
        "http://registry:5000",
        "/etc/nginx/external",
    );
    settings.set("AUTH_REALM", "Registry realm", "/etc/nginx/external");
    settings.file("AUTH_HTPASSWD", &external.join("docker-registry.htpasswd"));
    let (certificate, key) = (external.join("cert.pem"), external.join("key.pem"));
    // With one of the two missing the names of both are kept, so that the missing one is named when it is loaded.
    let some = is_there(&certificate) || is_there(&key);
    if !some {
        settings.note(
            "cert.pem is not there: a certificate is made at first start, as by the old container",
        );
    }
    settings.listen(
        some.then_some((&*certificate, &*key)),
        "/etc/nginx/external",
    );
    let Ok(entries) = std::fs::read_dir(external) else {
        return;
    };
    // A folder can hold any number of files; people put a few here.
    for entry in entries.flatten().take(1000) {
        let name = entry.file_name();
        if Path::new(&name)
            .extension()
            .is_some_and(|extension| extension == "conf")
        {
            let name = shown(&name.to_string_lossy());
            let text = format!(
                "{name} in /etc/nginx/external is nginx configuration, which is not read; say what it did in proxy.toml"
            );
            settings.found.warnings.push(text);
        }
    }
}

/// The settings that are being found.
pub(super) struct Settings<'v> {
    variables: &'v mut Variables,
    pub(super) found: Found,
}

impl<'v> Settings<'v> {
    pub(super) fn new(variables: &'v mut Variables) -> Self {
        Self {
            variables,
            found: Found::default(),
        }
    }

    /// Whether our own variables speak of this already, in either form of its name.
    pub(super) fn has(&self, prefix: &str) -> bool {
        let short = prefix.replace("LISTENER_0_", "LISTENER_");
        [prefix, &short].iter().any(|prefix| {
            let name = format!("DOCKGATE_{prefix}");
            let mut below = self.variables.range(name.clone()..);
            below
                .next()
                .is_some_and(|(found, _)| found.starts_with(&name))
        })
    }

    pub(super) fn set(&mut self, name: &str, value: &str, label: &str) {
        // Whoever writes our own name means it: it beats the container's, whichever form of the name it has.
        let name = format!("DOCKGATE_{name}");
        let short = name.replace("LISTENER_0_", "LISTENER_");
        if self.variables.contains_key(&name) || self.variables.contains_key(&short) {
            return;
        }
        let (value, label) = (value.to_owned(), label.to_owned());
        self.variables.insert(name, Variable { value, label });
    }

    fn file(&mut self, name: &str, path: &Path) {
        let path = path.to_string_lossy();
        self.set(name, &path, &path);
    }

    /// Port 443 of every IPv4 address, as both containers have it.
    fn listen(&mut self, files: Option<(&Path, &Path)>, label: &str) {
        self.set("LISTENER_0_ADDRESS", "0.0.0.0:443", label);
        let plaintext = [
            "DOCKGATE_LISTENER_0_PLAINTEXT",
            "DOCKGATE_LISTENER_PLAINTEXT",
        ];
        let said = plaintext
            .iter()
            .filter_map(|name| self.variables.get(*name));
        if said.into_iter().any(|variable| variable.value == "true") {
            return;
        }
        let own = ["CERTIFICATE", "KEY"].iter().any(|key| {
            ["DOCKGATE_LISTENER_0_TLS_", "DOCKGATE_LISTENER_TLS_"]
                .iter()
                .any(|prefix| self.variables.contains_key(&format!("{prefix}{key}")))
        });
        // A certificate of one's own comes with its key; the container's half would only be a wrong one.
        if let Some((certificate, key)) = files.filter(|_| !own) {
            self.file("LISTENER_0_TLS_CERTIFICATE", certificate);
            self.file("LISTENER_0_TLS_KEY", key);
        }
    }

    pub(super) fn note(&mut self, text: &str) {
        self.found.notes.push(text.to_owned());
    }

    pub(super) fn fault(&mut self, name: &str, text: String) {
        let place = Place::Variable(name.to_owned());
        self.found.faults.push(Fault::new(place, name, text));
    }
}

/// nginx reads a bare number as seconds.
fn nginx_time(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{text}s")
    } else {
        text.to_owned()
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// A file that cannot be looked at is there too: loading it says what is wrong.
fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}

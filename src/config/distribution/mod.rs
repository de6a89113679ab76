//! registry:2's own configuration, told as settings: its `config.yml`, and its variables, which beat the file.
//!
//! What it says and the embedded registry can do is done in the same way: no `auth` means that everybody may do
//! everything, no `tls` means plain HTTP, and both are warned of. What would leave a hole if it were passed over is a
//! fault; all else that is not carried is a warning, one for each key.

mod carried;
mod yaml;

use std::collections::BTreeMap;

use self::carried::{Carried, Meaning};

use super::container::{Found, Settings};
use super::fault::{Fault, Place};
use super::source::{Variables, shown};

/// The sections of registry:2's configuration; a variable of another kind is none of its.
const SECTIONS: [&str; 15] = [
    "VERSION",
    "LOG",
    "LOGLEVEL",
    "STORAGE",
    "AUTH",
    "MIDDLEWARE",
    "REPORTING",
    "HTTP",
    "NOTIFICATIONS",
    "REDIS",
    "HEALTH",
    "PROXY",
    "COMPATIBILITY",
    "VALIDATION",
    "POLICY",
];

/// Where the administrator's listener has its numbers, and registry:2 unless told otherwise.
const METRICS: &str = "/metrics";

/// A value and where it stands.
struct Said {
    value: String,
    label: String,
}

/// What was said, by path.
struct Words(BTreeMap<String, Said>);

/// Whether the environment has variables of registry:2.
pub(super) fn is_spoken_of(environment: &[(String, String)]) -> bool {
    ours(environment).next().is_some()
}

/// Adds the settings that the text of a `config.yml` and the variables stand for.
pub(super) fn apply(
    file: Option<(&str, &str)>,
    environment: &[(String, String)],
    variables: &mut Variables,
) -> Found {
    let mut settings = Settings::new(variables);
    let mut words = Words(BTreeMap::new());
    if let Some((name, text)) = file {
        match yaml::flatten(text) {
            Ok(given) => words.read(name, given),
            Err(broken) => {
                let place = Place::Variable(format!("{name}:{}", broken.line));
                settings
                    .found
                    .faults
                    .push(Fault::new(place, "", broken.text));
                return settings.found;
            }
        }
    } else {
        settings.note(
            "there is no proxy.toml, and variables of registry:2 are set (REGISTRY_...): serving the registry that \
             they describe, as the image registry:2 would",
        );
    }
    words.hear(environment);
    words.tell(&mut settings);
    settings.found
}

fn ours(environment: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    environment.iter().filter_map(|(name, value)| {
        let rest = name.strip_prefix("REGISTRY_")?;
        let section = rest.split('_').next().unwrap_or_default();
        // Kubernetes and `docker run --link` set variables of their own for a service that is called `registry-http`.
        let noise = value.contains("://") && rest.contains("_PORT")
            || rest.contains("_SERVICE_")
            || rest.contains("_PORT_");
        (SECTIONS.contains(&section) && !noise).then_some((rest, value.as_str()))
    })
}

impl Words {
    fn read(&mut self, name: &str, given: Vec<yaml::Given>) {
        for yaml::Given { path, value, line } in given {
            let label = format!("{name}:{line}: {path}");
            self.0.insert(path, Said { value, label });
        }
    }

    /// A variable is the path in capitals with `_` for the dots; the sections `storage` and `auth` can be named
    /// alone, which takes the place of what the file has there.
    fn hear(&mut self, environment: &[(String, String)]) {
        let mut spoken: Vec<_> = ours(environment).collect();
        spoken.sort_unstable();
        for section in ["storage", "auth"] {
            let upper = section.to_uppercase();
            let Some((_, kind)) = spoken.iter().find(|(rest, _)| *rest == upper) else {
                continue;
            };
            let others: Vec<String> = self
                .0
                .keys()
                .filter(|path| carried::is_kind(section, path) && !below(path, section, kind))
                .cloned()
                .collect();
            for path in others {
                self.0.remove(&path);
            }
        }
        for (rest, value) in spoken {
            let label = format!("REGISTRY_{rest}");
            let path = match rest {
                "STORAGE" | "AUTH" => format!("{}.{value}", rest.to_lowercase()),
                rest => carried::path_of(rest),
            };
            let value = if matches!(rest, "STORAGE" | "AUTH") {
                ""
            } else {
                value
            };
            let value = value.to_owned();
            self.0.insert(path, Said { value, label });
        }
    }

    fn get(&self, path: &str) -> Option<&Said> {
        self.0.get(path).filter(|said| !said.value.is_empty())
    }

    /// Whether anything was said at or below a path.
    fn has(&self, path: &str) -> bool {
        self.0
            .range(path.to_owned()..)
            .take_while(|(found, _)| found.starts_with(path))
            .any(|(found, _)| found == path || found[path.len()..].starts_with('.'))
    }

    fn tell(&self, settings: &mut Settings<'_>) {
        for (path, said) in &self.0 {
            tell(settings, path, said);
        }
        self.storage(settings);
        self.listener(settings);
        self.debug(settings);
        self.auth(settings);
        if self.get("storage.delete.enabled").is_none() {
            settings.set("REGISTRY_DELETE", "false", "storage.delete.enabled");
        }
    }

    /// One storage; the image's own where none is said.
    fn storage(&self, settings: &mut Settings<'_>) {
        let kinds = carried::STORAGES
            .iter()
            .filter(|(theirs, _)| self.has(&format!("storage.{theirs}")));
        let kinds: Vec<_> = kinds.collect();
        match kinds.as_slice() {
            [] => {}
            [(_, ours)] => settings.set("REGISTRY_STORAGE", ours, "storage"),
            several => {
                let names: Vec<_> = several.iter().map(|(theirs, _)| *theirs).collect();
                let text = format!("names several storages ({}); keep one", names.join(", "));
                settings.fault("storage", text);
            }
        }
        let on_disk = kinds.is_empty() || matches!(kinds.as_slice(), [("filesystem", _)]);
        if on_disk && self.get("storage.filesystem.rootdirectory").is_none() {
            let name = "REGISTRY_FILESYSTEM_ROOTDIRECTORY";
            settings.set(
                name,
                "/var/lib/registry",
                "storage.filesystem.rootdirectory",
            );
        }
    }

    fn listener(&self, settings: &mut Settings<'_>) {
        let label = |path: &str| {
            self.get(path)
                .map_or_else(|| path.to_owned(), |s| s.label.clone())
        };
        let address = self.get("http.addr").map_or(":5000", |said| &said.value);
        let address = match self.get("http.net").map(|said| said.value.as_str()) {
            Some("unix") => format!("unix:{address}"),
            _ => socket(address),
        };
        settings.set("LISTENER_0_ADDRESS", &address, &label("http.addr"));
        let tls = ["certificate", "key"].map(|key| self.get(&format!("http.tls.{key}")));
        let own_tls = settings.has("LISTENER_0_TLS_");
        match tls {
            [None, None] if !own_tls => {
                settings.set("LISTENER_0_PLAINTEXT", "true", "http.tls");
                if !address.starts_with("unix:") {
                    settings.found.warnings.push(format!(
                        "http.tls: is not set, so {address} speaks plain HTTP as registry:2 would: passwords and \
                         images cross the network in clear"
                    ));
                }
            }
            [one, other] => {
                for (name, said) in [("CERTIFICATE", one), ("KEY", other)] {
                    if let Some(said) = said {
                        settings.set(&format!("LISTENER_0_TLS_{name}"), &said.value, &said.label);
                    }
                }
            }
        }
        if let Some(said) = self.get("http.tls.clientcas.1") {
            let text = "is a second file of client CAs; put them all into one file".to_owned();
            settings.fault(&said.label, text);
        }
        if let Some(said) = self.get("http.tls.clientcas.0") {
            settings.set("LISTENER_0_TLS_CLIENT_CA", &said.value, &said.label);
            settings.set("LISTENER_0_TLS_CLIENT_AUTH", "required", &said.label);
        }
    }

    /// registry:2's server for its operator, whose numbers are ours there.
    fn debug(&self, settings: &mut Settings<'_>) {
        let Some(said) = self.get("http.debug.addr") else {
            return;
        };
        settings.set("ADMIN_ADDRESS", &socket(&said.value), &said.label);
        settings.note(
            "http.debug.addr: /metrics, /healthz and /readyz are served there, with dockgate's own numbers; \
             /debug/health, /debug/vars and /debug/pprof of registry:2 are not",
        );
        if let Some(said) = self.get("http.debug.prometheus.path")
            && said.value != METRICS
        {
            settings.found.warnings.push(format!(
                "{}: {} has no effect: the numbers are at {METRICS}; let the scraper ask for that",
                said.label,
                shown(&said.value)
            ));
        }
    }

    /// Without `auth` registry:2 lets everybody do everything.
    fn auth(&self, settings: &mut Settings<'_>) {
        let password = self.has("auth.htpasswd");
        if password && self.get("auth.htpasswd.path").is_none() {
            let text = "is missing; name the password file".to_owned();
            settings.fault("auth.htpasswd.path", text);
        }
        let closed = password
            || self.has("auth")
            || self.has("http.tls.clientcas")
            || settings.has("AUTH_")
            || settings.has("RULE_");
        if !closed {
            settings.set("RULE_0_WHO", "anonymous", "auth");
            settings.set("RULE_0_REPOSITORIES", "**", "auth");
            settings.set("RULE_0_ACTIONS", "*", "auth");
            settings.found.warnings.push(
                "auth: is not set, so everybody who can connect may pull, push and delete, as with registry:2; write \
                 auth.htpasswd to let in those with a password alone"
                    .into(),
            );
        }
    }
}

/// An address as Go writes it.
fn socket(address: &str) -> String {
    match address.rsplit_once(':') {
        Some(("", port)) => format!("0.0.0.0:{port}"),
        Some(("localhost", port)) => format!("127.0.0.1:{port}"),
        _ => address.to_owned(),
    }
}

/// One setting.
fn tell(settings: &mut Settings<'_>, path: &str, said: &Said) {
    let Said { value, label } = said;
    match carried::meaning(path) {
        Meaning::Setting(Carried { name, told }) if !value.is_empty() => match told.tell(value) {
            Ok(value) => settings.set(name, &value, label),
            Err(why) => settings.fault(label, why),
        },
        Meaning::Setting(_) | Meaning::Elsewhere | Meaning::Harmless => {}
        Meaning::Hole(why) => settings.fault(label, why.to_owned()),
        Meaning::NotCarried => {
            if !value.is_empty() && value != "false" {
                let text = format!("{label}: is not carried by dockgate and has no effect");
                settings.found.warnings.push(text);
            }
        }
    }
}

fn below(path: &str, section: &str, kind: &str) -> bool {
    path.strip_prefix(section)
        .and_then(|rest| rest.strip_prefix('.'))
        .is_some_and(|rest| rest == kind || rest.starts_with(&format!("{kind}.")))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use crate::config::{
        Backend, ClientAuth, Config, Faults, ListenAddress, Loaded, RuleAction, S3, Storage, Who,
    };

    fn load(yaml: Option<&str>, environment: &[(&str, &str)]) -> Result<Loaded, Faults> {
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let file = yaml.map(|text| {
            let path = folder.path().join("config.yml");
            std::fs::write(&path, text).unwrap();
            path
        });
        match file {
            Some(file) => Config::load(Some(&file), &environment),
            None => Config::load_below(folder.path(), None, &environment),
        }
    }

    fn storage(config: &Config) -> &Storage {
        match &config.backend {
            Backend::Registry(registry) => &registry.storage,
            Backend::Upstream(upstream) => panic!("{upstream:?}"),
        }
    }

    const DEBIAN: &str = "version: 0.1\nlog:\n  fields:\n    service: registry\nstorage:\n  cache:\n    \
                          blobdescriptor: inmemory\n  filesystem:\n    rootdirectory: /var/lib/docker-registry\n  \
                          delete:\n    enabled: true\nhttp:\n  addr: :5000\n  headers:\n    \
                          X-Content-Type-Options: [nosniff]\nauth:\n  htpasswd:\n    realm: basic-realm\n    path: \
                          /etc/docker/registry\nhealth:\n  storagedriver:\n    enabled: true\n    interval: 10s\n    \
                          threshold: 3\n";

    #[test]
    fn the_file_that_debian_ships_is_served_as_it_says() {
        let Loaded {
            config, warnings, ..
        } = load(Some(DEBIAN), &[]).unwrap();
        let root = PathBuf::from("/var/lib/docker-registry");
        assert_eq!(storage(&config), &Storage::FileSystem { root });
        assert!(matches!(&config.backend, Backend::Registry(r) if r.delete && !r.read_only));
        assert_eq!(
            config.listeners[0].address,
            ListenAddress::Tcp("0.0.0.0:5000".parse().unwrap())
        );
        assert!(config.listeners[0].tls.is_none());
        assert_eq!(config.auth.realm, "basic-realm");
        assert_eq!(
            config.auth.htpasswd.as_deref(),
            Some(Path::new("/etc/docker/registry"))
        );
        assert!(config.rules.is_empty());
        assert!(!config.first_user);
        assert!(
            warnings.iter().any(|w| w.contains("plain HTTP")),
            "{warnings:?}"
        );
        assert!(
            !warnings.iter().any(|w| w.contains("no effect")),
            "{warnings:?}"
        );
    }

    #[test]
    fn variables_beat_the_file_and_can_take_another_storage() {
        let bucket = [
            ("REGISTRY_STORAGE", "s3"),
            ("REGISTRY_STORAGE_S3_BUCKET", "images"),
            ("REGISTRY_STORAGE_S3_REGION", "eu-west-1"),
            ("REGISTRY_STORAGE_S3_ACCESSKEY", "key"),
            ("REGISTRY_STORAGE_S3_SECRETKEY", "secret"),
            ("REGISTRY_STORAGE_DELETE_ENABLED", "false"),
            ("REGISTRY_HTTP_ADDR", "127.0.0.1:5001"),
            ("REGISTRY_AUTH_HTPASSWD_REALM", "Ours"),
        ];
        let config = load(Some(DEBIAN), &bucket).unwrap().config;
        let Storage::S3(S3 { bucket, region, .. }) = storage(&config) else {
            panic!("{config:?}");
        };
        assert_eq!((bucket.as_str(), region.as_str()), ("images", "eu-west-1"));
        assert!(matches!(&config.backend, Backend::Registry(r) if !r.delete));
        assert_eq!(
            config.listeners[0].address,
            ListenAddress::Tcp("127.0.0.1:5001".parse().unwrap())
        );
        assert_eq!(config.auth.realm, "Ours");
    }

    #[test]
    fn variables_alone_describe_the_image_and_warn_of_what_is_open() {
        let root = [("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/data")];
        let Loaded {
            config,
            warnings,
            notes,
        } = load(None, &root).unwrap();
        assert_eq!(
            storage(&config),
            &Storage::FileSystem {
                root: "/data".into()
            }
        );
        assert!(matches!(&config.backend, Backend::Registry(r) if !r.delete));
        assert_eq!(config.rules[0].who, [Who::Anonymous]);
        assert_eq!(config.rules[0].actions, [RuleAction::All]);
        assert!(
            warnings.iter().any(|w| w.starts_with("auth: is not set")),
            "{warnings:?}"
        );
        assert!(notes.iter().any(|note| note.contains("REGISTRY_")));
    }

    #[test]
    fn who_names_a_password_file_opens_nothing() {
        for variable in ["REGISTRY_AUTH_HTPASSWD_PATH", "DOCKGATE_AUTH_HTPASSWD"] {
            let spoken = [("REGISTRY_HTTP_ADDR", ":5000"), (variable, "/users")];
            let config = load(None, &spoken).unwrap().config;
            assert!(config.rules.is_empty(), "{variable}");
            assert_eq!(
                config.auth.htpasswd.as_deref(),
                Some(Path::new("/users")),
                "{variable}"
            );
        }
    }

    #[test]
    fn what_our_own_variables_say_is_not_opened_or_bared() {
        let theirs = ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/data");
        let public = load(None, &[theirs, ("DOCKGATE_AUTH_ANONYMOUS", "pull")]);
        assert!(public.unwrap().config.rules.is_empty());
        for listener in ["LISTENER", "LISTENER_0"] {
            let certificate = format!("DOCKGATE_{listener}_TLS_CERTIFICATE");
            let key = format!("DOCKGATE_{listener}_TLS_KEY");
            let spoken = [theirs, (&*certificate, "/c.crt"), (&*key, "/c.key")];
            let config = load(None, &spoken).unwrap().config;
            assert!(config.listeners[0].tls.is_some(), "{listener}");
        }
    }

    #[test]
    fn certificates_of_the_file_are_taken_over() {
        let yaml = "version: 0.1\nhttp:\n  addr: localhost:443\n  tls:\n    certificate: /c.crt\n    key: \
                    /c.key\n    clientcas: [/ca.crt]\n    minimumtls: tls1.3\n";
        let config = load(Some(yaml), &[]).unwrap().config;
        let tls = config.listeners[0].tls.as_ref().unwrap();
        assert_eq!(tls.certificate.as_ref().unwrap().key, Path::new("/c.key"));
        assert_eq!(tls.client_ca.as_deref(), Some(Path::new("/ca.crt")));
        assert_eq!(tls.client_auth, ClientAuth::Required);
        assert!(config.rules.is_empty());
    }

    #[test]
    fn what_registry_2_shows_its_operator_is_shown_by_the_administrators_listener() {
        let yaml = |debug: &str| format!("version: 0.1\nhttp:\n  addr: :5000\n  debug:\n{debug}");
        let admin = |text: &str, environment: &[(&str, &str)]| {
            let Loaded {
                config, warnings, ..
            } = load(Some(&yaml(text)), environment).unwrap();
            (config.admin, warnings)
        };
        let tcp = |text: &str| Some(ListenAddress::Tcp(text.parse().unwrap()));
        let prometheus =
            "    addr: localhost:5001\n    prometheus:\n      enabled: true\n      path: ";
        for path in ["/metrics", "\"\""] {
            let (address, warnings) = admin(&format!("{prometheus}{path}\n"), &[]);
            assert_eq!(address, tcp("127.0.0.1:5001"));
            let told = warnings.iter().filter(|text| text.contains("debug"));
            assert_eq!(told.count(), 0, "{warnings:?}");
        }
        let (address, warnings) = admin(&format!("{prometheus}/numbers\n"), &[]);
        assert_eq!(address, tcp("127.0.0.1:5001"));
        let wanted = "config.yml:8: http.debug.prometheus.path: \"/numbers\" has no effect";
        assert!(
            warnings.iter().any(|text| text.contains(wanted)),
            "{warnings:?}"
        );
        // Without an address there is no such server.
        let without = "    prometheus:\n      enabled: true\n      path: /numbers\n";
        let (address, warnings) = admin(without, &[]);
        assert_eq!(address, None);
        assert!(
            !warnings.iter().any(|text| text.contains("debug")),
            "{warnings:?}"
        );
        let spoken = [("REGISTRY_HTTP_DEBUG_ADDR", ":6001")];
        let (address, warnings) = admin(prometheus, &spoken);
        assert_eq!(address, tcp("0.0.0.0:6001"));
        assert!(
            warnings
                .iter()
                .any(|text| text.contains("open to the network")),
            "{warnings:?}"
        );
        let ours = [("DOCKGATE_ADMIN_ADDRESS", "127.0.0.1:7001"), spoken[0]];
        assert_eq!(admin(prometheus, &ours).0, tcp("127.0.0.1:7001"));
        let twice = load(Some(&yaml("    addr: 0.0.0.0:5000\n")), &[]).unwrap_err();
        assert!(
            twice
                .lines()
                .iter()
                .any(|line| line.contains("config.yml:5: http.debug.addr")),
            "{twice}"
        );
    }

    #[test]
    fn what_would_leave_a_hole_is_a_fault_with_file_and_line() {
        let yaml = "version: 0.1\nauth:\n  token:\n    realm: https://auth\nproxy:\n  remoteurl: https://hub\n";
        let faults = load(Some(yaml), &[]).unwrap_err();
        let lines = faults.lines();
        for wanted in [
            "config.yml:4: auth.token.realm",
            "config.yml:6: proxy.remoteurl",
        ] {
            assert!(lines.iter().any(|line| line.contains(wanted)), "{faults}");
        }
        let broken = load(Some("a: [\n"), &[]).unwrap_err();
        assert!(broken.lines()[0].contains("config.yml:2"), "{broken}");
        let several = "version: 0.1\nstorage:\n  inmemory:\n  filesystem:\n    rootdirectory: /x\n";
        assert!(load(Some(several), &[]).is_err());
    }

    #[test]
    fn what_is_not_carried_is_warned_of_once_each() {
        let yaml = "version: 0.1\nnotifications:\n  endpoints:\n    - name: x\nvalidation:\n  disabled: true\n";
        let warnings = load(Some(yaml), &[]).unwrap().warnings;
        for wanted in ["notifications.endpoints.0.name", "validation.disabled"] {
            let count = warnings.iter().filter(|w| w.contains(wanted)).count();
            assert_eq!(count, 1, "{wanted}: {warnings:?}");
        }
    }

    #[test]
    fn variables_of_linked_containers_are_not_meant() {
        for (name, value) in [
            ("REGISTRY_PORT", "tcp://172.17.0.2:5000"),
            ("REGISTRY_PORT_5000_TCP_ADDR", "172.17.0.2"),
            ("REGISTRY_SERVICE_HOST", "10.0.0.1"),
            ("REGISTRY_HTTP_SERVICE_HOST", "10.0.0.1"),
            ("REGISTRY_HTTP_PORT", "tcp://10.0.0.1:80"),
        ] {
            let config = load(None, &[(name, value)]).unwrap().config;
            assert!(config.first_user, "{name}");
        }
    }
}

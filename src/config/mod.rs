//! The configuration: what may be written in `proxy.toml` and the environment, and what it means.
//!
//! Plain data at the bottom of the house: nothing in here knows the rooms it configures. A value has two forms: what
//! was written (`source`, each value with its line or variable) and what is meant (`types`, where nothing invalid
//! exists). One file for each section reads the first into the second; all faults are reported at once.

mod acme;
mod admin;
mod auth;
mod check;
mod container;
mod distribution;
mod environment;
mod fault;
mod frozen;
mod headers;
mod limits;
mod listener;
#[cfg(any(test, fuzzing))]
pub(crate) mod property;
mod registry;
mod reticent;
mod rule;
mod section;
mod source;
mod token;
mod types;
mod unit;
mod upstream;
mod value;

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use self::container::Found;
use self::fault::{Fault, nearest, one_line};
use self::section::Section;
use self::source::{Source, Unknown, Variables};

pub use self::acme::{Acme, AcmeChallenge, ExternalAccount};
pub use self::fault::Faults;
pub use self::registry::{Azure, Gcs, Registry, S3, Storage};
pub use self::types::{
    AccessFormat, Anonymous, Auth, Backend, CertificateFiles, Challenge, ClientAuth, Clients,
    Config, ExpiredList, Headers, Level, Limits, ListenAddress, Listener, ListenerTls, Log,
    LogFormat, Process, Rule, RuleAction, Satisfy, Timeouts, TlsVersion, Token, Who,
};
pub use self::upstream::{Authorization, Upstream, UpstreamUrl};
pub use crate::secret::Secret;

/// A configuration of ten listeners and all comments has a few KiB; what is longer is another file.
const LONGEST_FILE: u64 = 1 << 20;

/// What a package wants for who configured nothing (the image brings one): it gives way to every file and variable of
/// theirs.
const PACKAGED: &str = "usr/share/dockgate/proxy.toml";

/// One of each table, so that reading it asks for every key.
const ONE_OF_EACH: &str = "[[listener]]\n[listener.tls]\n[[listener.tls.certificates]]\n[[rule]]\n[upstream]\n\
     [registry.filesystem]\n[registry.s3]\n[registry.azure.credentials]\n[registry.gcs]\n[admin]\n";

/// A configuration that was loaded, and what to tell the person who loaded it.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What is meant.
    pub config: Config,
    /// What works and was probably not meant, one line each, with file and line.
    pub warnings: Vec<String>,
    /// What was chosen on the person's behalf, one line each.
    pub notes: Vec<String>,
}

/// The configuration file that is used when none is named: `./proxy.toml`, then `/etc/dockgate/proxy.toml`.
#[must_use]
pub fn find() -> Option<PathBuf> {
    let places = ["proxy.toml", "/etc/dockgate/proxy.toml"].map(PathBuf::from);
    // One that is there and cannot be looked at is a fault to report, not a reason to go on without it.
    places
        .into_iter()
        .find(|path| path.try_exists().unwrap_or(true))
}

impl Config {
    /// Loads the file, or the container variables where there is none, and the environment, which beats both.
    ///
    /// # Errors
    /// Every fault at once: of the file (missing, unreadable, a folder, longer than 1 MiB, not UTF-8, not TOML), or
    /// of what it and the environment say.
    pub fn load(path: Option<&Path>, environment: &[(String, String)]) -> Result<Loaded, Faults> {
        Self::load_below(Path::new("/"), path, environment)
    }

    /// Reads a configuration from its text; relative paths are below `folder`.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn parse(
        text: &str,
        folder: &Path,
        environment: &[(String, String)],
    ) -> Result<Loaded, Faults> {
        let variables = environment::variables(environment);
        parse("proxy.toml", text, folder, &variables)
    }

    /// `root` is where the files of the containers of old are looked for.
    fn load_below(
        root: &Path,
        path: Option<&Path>,
        environment: &[(String, String)],
    ) -> Result<Loaded, Faults> {
        let mut variables = environment::variables(environment);
        if let Some(path) = path {
            let name = path.display().to_string();
            // Keys of buckets may stand in it.
            let text = read_file(path).map_err(|text| Faults::of_file(&name, &text))?;
            let text = Zeroizing::new(text);
            let folder = path.parent().unwrap_or_else(|| Path::new(""));
            if path
                .extension()
                .is_some_and(|end| end == "yml" || end == "yaml")
            {
                let found = distribution::apply(Some((&name, &text)), environment, &mut variables);
                return finished(&name, &variables, found, false);
            }
            return parse(&name, &text, folder, &variables);
        }
        let mut found = container::apply(environment, root, &mut variables);
        if found.notes.is_empty() {
            let packaged = root.join(PACKAGED);
            if distribution::is_spoken_of(environment) {
                found = distribution::apply(None, environment, &mut variables);
            } else if packaged.is_file() {
                return Self::load_below(root, Some(&packaged), environment);
            }
        }
        finished("configuration", &variables, found, true)
    }
}

/// Settings that were found elsewhere than in a `proxy.toml`, read as if they stood in one.
fn finished(
    name: &str,
    variables: &Variables,
    found: Found,
    first_user: bool,
) -> Result<Loaded, Faults> {
    let source = Source::parse("", name, Path::new(""), variables)?;
    let mut loaded = meant(source, name, found.faults, first_user)?;
    loaded.notes.extend(found.notes.into_iter().map(one_line));
    let warnings = found.warnings.into_iter().map(one_line);
    loaded.warnings.extend(warnings);
    Ok(loaded)
}

/// Every setting that is carried, as `listener.tls.certificate`.
#[must_use]
pub fn keys() -> Vec<String> {
    let variables = Variables::new();
    let Ok(source) = Source::parse(ONE_OF_EACH, "", Path::new(""), &variables) else {
        return Vec::new();
    };
    read(&source.top());
    source.keys.take().into_iter().collect()
}

fn parse(name: &str, text: &str, folder: &Path, variables: &Variables) -> Result<Loaded, Faults> {
    let source = Source::parse(text, name, folder, variables)?;
    meant(source, name, Vec::new(), true)
}

/// What was written, as what is meant; `found` are faults from elsewhere. With `first_user` an embedded registry of
/// which nobody said who may come in gets one.
fn meant(
    source: Source<'_>,
    name: &str,
    found: Vec<Fault>,
    first_user: bool,
) -> Result<Loaded, Faults> {
    let mut config = read(&source.top());
    if first_user && let Some(config) = &mut config {
        config.let_a_first_user_in();
    }
    if let Some(config) = &config {
        check::check(&source, config);
    }
    refuse_unknown(&source);
    let (mut faults, mut warnings) = source.into_noticed();
    faults.extend(found);
    warnings.sort();
    match config {
        Some(config) if faults.is_empty() => Ok(Loaded {
            config,
            warnings: warnings.iter().map(|warning| warning.line(name)).collect(),
            notes: Vec::new(),
        }),
        _ => Err(Faults::new(faults, name)),
    }
}

/// Reads every section; `None` after a fault that leaves nothing to go on with.
fn read(top: &Section<'_>) -> Option<Config> {
    let state_dir = top.path("state_dir");
    let state_dir = state_dir.unwrap_or_else(|| top.folder().join("dockgate-data"));
    let backend = backend(top, &state_dir);
    let mut listeners = listener::read(top);
    let acme = top.table("acme", |section| acme::read(section, &state_dir));
    let acme = acme.apply(&mut listeners);
    let auth = top.table("auth", auth::read);
    let token = top.table("token", token::read);
    let rules = top.entries("rule", rule::read);
    let clients = top.table("clients", auth::clients);
    let headers = top.table("headers", headers::read);
    let limits = top.table("limits", limits::read);
    let timeouts = top.table("timeouts", limits::timeouts);
    let log = top.table("log", limits::log);
    let admin = top.optional("admin", admin::read).flatten();
    let process = top.table("process", limits::process);
    top.finish();
    Some(Config {
        state_dir,
        listeners,
        acme,
        backend: backend?,
        first_user: false,
        auth,
        token,
        rules: rules.into_iter().flatten().collect(),
        clients,
        headers,
        limits,
        timeouts,
        log,
        admin,
        process,
    })
}

/// The one backend; where none is written the embedded registry keeps its content below `state_dir`.
fn backend(top: &Section<'_>, state_dir: &Path) -> Option<Backend> {
    let upstream = top.optional("upstream", upstream::read);
    let registry = top.optional("registry", |section| registry::read(section, state_dir));
    match (upstream, registry) {
        (Some(upstream), None) => upstream.map(Backend::Upstream),
        (None, Some(registry)) => registry.map(Backend::Registry),
        (None, None) => Some(Backend::Registry(Registry::on_disk(state_dir))),
        (Some(_), Some(_)) => {
            let text =
                "stands beside [upstream], and content comes from one of them; remove the other";
            top.fault("registry", text);
            None
        }
    }
}

/// Unknown keys and variables, each with the known one that was probably meant.
fn refuse_unknown(source: &Source<'_>) {
    let keys = keys();
    environment::finish(source, &keys);
    for unknown in source.unknown.take() {
        let Unknown {
            place,
            section,
            key,
            siblings,
        } = unknown;
        let path = if section.is_empty() {
            key.clone()
        } else {
            format!("{section}.{key}")
        };
        let home = keys.iter().find_map(|known| {
            let (table, name) = known.rsplit_once('.').unwrap_or(("", known));
            (name == key && table != section).then_some(table)
        });
        let text = match (nearest(&key, siblings), home) {
            (Some(meant), _) => format!("is not a setting; did you mean {meant:?}?"),
            (None, Some("")) => {
                "is not a setting here; it belongs to the top, above the first table".into()
            }
            (None, Some(home)) => format!("is not a setting here; it belongs in [{home}]"),
            (None, None) => "is not a setting; docs/configuration.md lists them all".into(),
        };
        source.fault(place, &path, text);
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let refused = |error: &std::io::Error| match error.kind() {
        ErrorKind::NotFound => "there is no such file; name another with --config".to_owned(),
        ErrorKind::PermissionDenied => {
            "may not be read by this user; change its owner or its mode".to_owned()
        }
        _ => format!("cannot be read: {error}"),
    };
    // Asked before it is opened: opening a pipe that nobody writes to would wait for ever.
    let metadata = fs::metadata(path).map_err(|error| refused(&error))?;
    if metadata.is_dir() {
        return Err("is a folder; name the file in it".into());
    }
    if !metadata.is_file() {
        return Err("is not a regular file".into());
    }
    // With room for all of it: what a growing buffer leaves behind is not wiped.
    let room = metadata.len().min(LONGEST_FILE) + 2;
    let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or_default());
    let file = File::open(path).map_err(|error| refused(&error))?;
    let read = file.take(LONGEST_FILE + 1).read_to_end(&mut bytes);
    read.map_err(|error| refused(&error))?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(
            "is longer than 1 MiB, which no configuration is; is it the right file?".into(),
        );
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error
            .as_bytes()
            .iter()
            .take(valid)
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        format!("is not UTF-8 text, from line {line} on; save it as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(root: &Path, path: &str) -> PathBuf {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        path
    }

    fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        owned.collect()
    }

    #[test]
    fn what_a_package_wants_gives_way_to_everything_else() {
        let root = tempfile::tempdir().unwrap();
        let packaged = set(root.path(), PACKAGED);
        fs::write(&packaged, "[[listener]]\naddress = \"127.0.0.1:1\"\n").unwrap();
        let own = set(root.path(), "own.toml");
        let port = |file: Option<&Path>, pairs: &[(&str, &str)]| {
            let loaded = Config::load_below(root.path(), file, &environment(pairs)).unwrap();
            match loaded.config.listeners[0].address {
                ListenAddress::Tcp(socket) => socket.port(),
                ListenAddress::Unix(_) => 0,
            }
        };
        assert_eq!(port(None, &[]), 1);
        assert_eq!(port(None, &[("DOCKGATE_LOG_LEVEL", "warn")]), 1);
        assert_eq!(port(Some(&own), &[]), 5443);
        let address = ("DOCKGATE_LISTENER_ADDRESS", "127.0.0.1:2");
        assert_eq!(port(None, &[address]), 2);
        assert_eq!(port(None, &[("REGISTRY_HOST", "registry")]), 443);
        let address = ("REGISTRY_HTTP_ADDR", "127.0.0.1:3");
        assert_eq!(port(None, &[address]), 3);
    }

    #[test]
    fn the_variables_of_the_nginx_proxy_container_mean_what_they_meant() {
        let root = tempfile::tempdir().unwrap();
        let variables = environment(&[
            ("REGISTRY_HOST", "docker-registry"),
            ("REGISTRY_PORT", "5000"),
            ("SERVER_NAME", "registrydev1.yourdomain.com"),
            ("DOCKER_REGISTRY_PORT", "tcp://172.17.0.2:5000"),
        ]);
        let loaded = Config::load_below(root.path(), None, &variables).unwrap();
        let Config {
            listeners,
            backend: Backend::Upstream(upstream),
            auth,
            ..
        } = loaded.config
        else {
            panic!("the embedded registry")
        };
        let url = UpstreamUrl::Http {
            host: "docker-registry".into(),
            port: 5000,
        };
        assert_eq!(upstream.url, url);
        assert_eq!(upstream.read_timeout.as_secs(), 300);
        assert_eq!(auth.realm, "Restricted");
        assert_eq!(auth.htpasswd, Some(root.path().join("etc/nginx/.htpasswd")));
        let [listener] = listeners.as_slice() else {
            panic!("{listeners:?}")
        };
        assert_eq!(
            listener.address,
            ListenAddress::Tcp("0.0.0.0:443".parse().unwrap())
        );
        let files = listener
            .tls
            .as_ref()
            .and_then(|tls| tls.certificate.clone())
            .unwrap();
        assert_eq!(
            files.certificate,
            root.path().join("etc/nginx/ssl/docker-registry.crt")
        );
        assert_eq!(
            files.key,
            root.path().join("etc/nginx/ssl/docker-registry.key")
        );
        assert!(
            loaded
                .notes
                .iter()
                .any(|note| note.contains("containersol/docker-registry-proxy"))
        );
    }

    #[test]
    fn container_variables_may_be_linked_ports_and_bare_seconds() {
        let root = tempfile::tempdir().unwrap();
        let variables = environment(&[
            ("REGISTRY_HOST", "registry"),
            ("REGISTRY_PORT", "tcp://172.17.0.2:5001"),
            ("PROXY_TIMEOUT", "20"),
            ("DOCKGATE_LISTENER_ADDRESS", "0.0.0.0:8443"),
        ]);
        let config = Config::load_below(root.path(), None, &variables)
            .unwrap()
            .config;
        assert_eq!(
            config.upstream().unwrap().url,
            UpstreamUrl::Http {
                host: "registry".into(),
                port: 5001
            }
        );
        assert_eq!(config.upstream().unwrap().read_timeout.as_secs(), 20);
        assert_eq!(
            config.listeners[0].address,
            ListenAddress::Tcp("0.0.0.0:8443".parse().unwrap())
        );
        assert!(
            config.listeners[0]
                .tls
                .as_ref()
                .unwrap()
                .certificate
                .is_some()
        );
    }

    #[test]
    fn faults_of_container_variables_name_the_variable() {
        let root = tempfile::tempdir().unwrap();
        let variables = environment(&[
            ("REGISTRY_HOST", "a b"),
            ("REGISTRY_PORT", "x"),
            ("PROXY_TIMEOUT", "soon"),
        ]);
        let faults = Config::load_below(root.path(), None, &variables).unwrap_err();
        for name in ["REGISTRY_HOST: ", "REGISTRY_PORT: ", "PROXY_TIMEOUT: "] {
            assert!(
                faults.lines().iter().any(|line| line.starts_with(name)),
                "{faults}"
            );
        }
    }

    #[test]
    fn the_folder_of_the_other_container_is_taken_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let htpasswd = set(root.path(), "etc/nginx/external/docker-registry.htpasswd");
        set(root.path(), "etc/nginx/external/mine.conf");
        let loaded = Config::load_below(root.path(), None, &[]).unwrap();
        let config = loaded.config;
        assert_eq!(
            config.upstream().unwrap().url,
            UpstreamUrl::Http {
                host: "registry".into(),
                port: 5000
            }
        );
        assert_eq!(config.auth.realm, "Registry realm");
        assert_eq!(config.auth.htpasswd, Some(htpasswd));
        assert_eq!(config.listeners[0].tls.as_ref().unwrap().certificate, None);
        assert!(
            loaded
                .warnings
                .iter()
                .any(|warning| warning.contains("mine.conf"))
        );

        let key = set(root.path(), "etc/nginx/external/key.pem");
        let certificate = set(root.path(), "etc/nginx/external/cert.pem");
        let config = Config::load_below(root.path(), None, &[]).unwrap().config;
        let files = config.listeners[0]
            .tls
            .as_ref()
            .unwrap()
            .certificate
            .clone();
        assert_eq!(files, Some(CertificateFiles { certificate, key }));
    }

    proptest::proptest! {
        /// Reading is done when this returns at all.
        #[test]
        fn no_text_and_no_variable_breaks_the_reading(
            text in "([a-z_]{0,9}|\\[\\[?(listener|upstream|auth|listener\\.tls|limits)\\]?\\]|(address|url|tls|idle|key) = (\"[^\\\\\"]{0,9}\"|[0-9a-z\\[\\]{}.:]{0,9})|\\PC{0,9}|\n){0,12}",
            name in "(LISTENER|LISTENER_[0-9]|UPSTREAM|LISTENER_TLS_CERTIFICATES_0|RULE|[A-Z_]{0,9})_(ADDRESS|URL|KEY|[A-Z0-9_]{0,9})",
            value in "\\PC{0,20}",
        ) {
            let variables = environment(&[(&format!("DOCKGATE_{name}"), &value)]);
            if let Err(faults) = Config::parse(&text, Path::new("/"), &variables) {
                proptest::prop_assert!(!faults.lines().is_empty());
            }
        }

        #[test]
        fn a_value_of_any_text_is_taken_or_refused(
            value in "\\PC{0,30}|[0-9a-zA-Z:/.\\[\\]@%-]{0,30}",
            key in proptest::sample::select(keys()),
        ) {
            let name = format!("DOCKGATE_{}", key.replace('.', "_").to_ascii_uppercase());
            // One backend: where the key belongs to the other one, it is alone.
            let upstream = ("DOCKGATE_UPSTREAM_URL", "http://a");
            let own = (name.as_str(), value.as_str());
            let both = [upstream, own];
            let variables = environment(if key.starts_with("registry.") { &both[1..] } else { &both });
            if let Err(faults) = Config::parse("", Path::new("/"), &variables) {
                // A bucket of which one thing alone is said lacks the others.
                let lacks = |line: &String| key.starts_with("registry.") && line.contains("is missing");
                let named = |line: &String| lacks(line) || line.starts_with(&name) && !line.contains("is not a setting");
                proptest::prop_assert!(faults.lines().iter().any(named), "{}", faults);
            }
        }
    }

    #[test]
    fn nothing_in_a_key_commands_a_terminal_or_makes_two_lines_of_one() {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("a.toml", "\"\\u001b[2Jx\\ny\" = 1\n"),
            ("a.toml", "\"\\u009bx\\ny\" = 1\n"),
            ("a.yml", "\u{1}x: 1\n"),
            (
                "a.yml",
                "version: 0.1\n\"\\e[2J\\ny\": 1\n\"http\": {\"\\u009b\": {}}\n",
            ),
        ] {
            let path = root.path().join(file);
            fs::write(&path, text).unwrap();
            let told = match Config::load_below(root.path(), Some(&path), &[]) {
                Ok(loaded) => [loaded.warnings, loaded.notes].concat(),
                Err(faults) => faults.lines().to_vec(),
            };
            assert!(!told.is_empty(), "{text:?}");
            for line in told {
                assert!(!line.contains(char::is_control), "{line:?}");
            }
        }
    }

    #[test]
    fn a_file_hides_the_container_variables() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("proxy.toml");
        fs::write(&file, "[upstream]\nurl = \"http://mine:5000\"\n").unwrap();
        let variables = environment(&[("REGISTRY_HOST", "theirs")]);
        let config = Config::load_below(root.path(), Some(&file), &variables)
            .unwrap()
            .config;
        assert_eq!(
            config.upstream().unwrap().url,
            UpstreamUrl::Http {
                host: "mine".into(),
                port: 5000
            }
        );
    }

    #[test]
    fn without_anything_it_is_a_registry_on_disk_with_a_first_user() {
        let root = tempfile::tempdir().unwrap();
        let loaded = Config::load_below(root.path(), None, &[]).unwrap();
        let Backend::Registry(registry) = &loaded.config.backend else {
            panic!("{:?}", loaded.config)
        };
        let root = PathBuf::from("dockgate-data/registry");
        assert_eq!(registry.storage, Storage::FileSystem { root });
        assert!(loaded.config.first_user);
        let htpasswd = Some(PathBuf::from("dockgate-data/htpasswd"));
        assert_eq!(loaded.config.auth.htpasswd, htpasswd);
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }

    #[test]
    fn content_comes_from_one_place() {
        let text = "[upstream]\nurl = \"http://a\"\n[registry]\n";
        let faults = Config::parse(text, Path::new("/"), &[]).unwrap_err();
        assert!(
            faults.lines()[0].starts_with("proxy.toml:3: registry"),
            "{faults}"
        );
    }

    #[test]
    fn a_bucket_needs_its_name_and_both_keys_or_none() {
        let text = "[registry]\nstorage = \"s3\"\n[registry.s3]\naccesskey = \"a\"\n";
        let faults = Config::parse(text, Path::new("/"), &[]).unwrap_err();
        for wanted in [
            "registry.s3.bucket: is missing",
            "registry.s3.region: is missing",
            "has no secretkey",
        ] {
            assert!(
                faults.lines().iter().any(|line| line.contains(wanted)),
                "{faults}"
            );
        }
        let other = "[registry.s3]\nbucket = \"a\"\nregion = \"b\"\n";
        let faults = Config::parse(other, Path::new("/"), &[]).unwrap_err();
        assert!(
            faults.lines()[0].contains("write storage = \"s3\""),
            "{faults}"
        );
        let text = format!("[registry]\nstorage = \"s3\"\n{other}chunksize = \"16 MiB\"\n");
        let config = Config::parse(&text, Path::new("/"), &[]).unwrap().config;
        let Backend::Registry(Registry {
            storage: Storage::S3(s3),
            ..
        }) = config.backend
        else {
            panic!("no bucket")
        };
        assert_eq!((s3.bucket.as_str(), s3.chunk_size), ("a", 16 << 20));
    }
}

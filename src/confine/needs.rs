//! The files and folders of a configuration.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config::Authorization;
use crate::config::Backend;
use crate::config::Config;
use crate::config::ListenAddress;
use crate::config::Listener;
use crate::config::Storage;

/// What the C library, the resolver, the clock and the store of CA certificates read, where it is there; and where people
/// and their tools put what a configuration names: a reload must find a new certificate there. What not everybody may read
/// of it is kept by its owner and mode. Homes, and what other services keep below `/var`, are not among them.
const SYSTEM: &[&str] = &[
    "/dev",
    "/etc",
    "/gnu/store",
    "/lib",
    "/lib64",
    "/nix/store",
    "/opt",
    "/proc",
    "/run",
    "/srv",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/tmp",
    "/usr",
    "/var/lib/ca-certificates",
];

/// What of that is often a link to a place of its own.
const LINKED: &[&str] = &[
    "/etc/hosts",
    "/etc/localtime",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/resolv.conf",
    "/etc/ssl/certs/ca-certificates.crt",
];

/// Variables that name folders for some of it, several where colons stand between.
const FOLDERS: &[&str] = &["SSL_CERT_DIR", "TZDIR"];

/// Variables that name a file: of CA certificates, and those from which the libraries of buckets take who we are, again and
/// again while it changes.
const FILES: &[&str] = &[
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AZURE_FEDERATED_TOKEN_FILE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "SSL_CERT_FILE",
];

/// As the kernel (`MAXSYMLINKS`).
const MOST_LINKS: usize = 40;

/// What a configuration needs of the file system, and of the ports.
#[derive(Debug)]
pub(super) struct Needs {
    files: Vec<PathBuf>,
    readable: Vec<PathBuf>,
    own: Vec<PathBuf>,
    /// Those of `own` that it cannot do without.
    made: Vec<PathBuf>,
    sockets: Vec<PathBuf>,
    ports: Vec<u16>,
}

impl Needs {
    pub(super) fn of(config: &Config, file: Option<&Path>) -> Self {
        let itself = file.map(Path::to_owned).into_iter();
        let files: Vec<PathBuf> = itself.chain(named(config)).collect();
        let mut readable: BTreeSet<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
        readable.extend(of_the_environment(|name| env::var_os(name)));
        readable.extend(LINKED.iter().flat_map(|file| homes(Path::new(file))));
        readable.extend(files.iter().flat_map(|file| homes(file)));
        let store = match &config.backend {
            Backend::Registry(registry) => match &registry.storage {
                Storage::FileSystem { root } => Some(root.clone()),
                Storage::Memory | Storage::S3(_) | Storage::Azure(_) | Storage::Gcs(_) => None,
            },
            Backend::Upstream(_) => None,
        };
        let state = config.state_dir.clone();
        let made = store.iter().cloned();
        let made = made.chain(keeps_state(config).then(|| state.clone()));
        let addresses = config.listeners.iter().map(|listener| &listener.address);
        let addresses: Vec<_> = addresses.chain(&config.admin).collect();
        Self {
            readable: readable.into_iter().collect(),
            made: made.collect(),
            own: store.into_iter().chain([state]).collect(),
            sockets: addresses.iter().filter_map(|at| socket(at)).collect(),
            ports: addresses.iter().filter_map(|at| port(at)).collect(),
            files,
        }
    }

    /// The files that the configuration names, and the one that it is.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What may be read, with all that is below it.
    pub(super) fn readable(&self) -> &[PathBuf] {
        &self.readable
    }

    /// Where everything may be changed.
    pub(super) fn own(&self) -> &[PathBuf] {
        &self.own
    }

    /// Folders that are there before anything is served.
    pub(super) fn made(&self) -> impl Iterator<Item = &Path> {
        self.made.iter().map(PathBuf::as_path)
    }

    /// Folders in which Unix sockets are made, and those of dead processes removed.
    pub(super) fn sockets(&self) -> &[PathBuf] {
        &self.sockets
    }

    /// Ports that are listened on; 0 is the system's choice.
    pub(super) fn ports(&self) -> &[u16] {
        &self.ports
    }
}

/// Every file that a configuration names and somebody else makes.
fn named(config: &Config) -> impl Iterator<Item = PathBuf> {
    let tls = config.listeners.iter().flat_map(|listener| &listener.tls);
    let tls = tls.flat_map(|tls| {
        let pairs = tls.certificate.iter().chain(&tls.more);
        let pairs = pairs.flat_map(|pair| [&pair.certificate, &pair.key]);
        pairs.chain(&tls.client_ca).chain(&tls.client_crl)
    });
    let upstream = config.upstream().into_iter().flat_map(|upstream| {
        let pair = upstream.client_certificate.iter();
        let pair = pair.flat_map(|pair| [&pair.certificate, &pair.key]);
        let password = match &upstream.authorization {
            Authorization::Own { password_file, .. } => Some(password_file),
            Authorization::Strip | Authorization::User | Authorization::Forward => None,
        };
        pair.chain(&upstream.ca).chain(password)
    });
    let account = match &config.backend {
        Backend::Registry(registry) => match &registry.storage {
            Storage::Gcs(gcs) => gcs.key_file.as_ref(),
            Storage::FileSystem { .. } | Storage::Memory | Storage::S3(_) | Storage::Azure(_) => {
                None
            }
        },
        Backend::Upstream(_) => None,
    };
    let acme = config.acme.iter().flat_map(|acme| {
        let bound = acme.external_account.iter().map(|bound| &bound.key_file);
        bound.chain(&acme.directory_ca)
    });
    let auth = config.auth.htpasswd.iter().chain(&config.auth.groups);
    let all = tls.chain(upstream).chain(account).chain(acme).chain(auth);
    let all = all.chain(&config.token.signing_key);
    all.cloned().collect::<Vec<_>>().into_iter()
}

/// What variables of others name.
fn of_the_environment(look: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let folders = FOLDERS.iter().filter_map(|name| look(name));
    let folders = folders.flat_map(|paths| env::split_paths(&paths).collect::<Vec<_>>());
    let files = FILES.iter().filter_map(|name| look(name));
    let files = files.filter(|path| !path.is_empty());
    let files = files.flat_map(|path| homes(Path::new(&path)));
    folders.chain(files).collect()
}

/// Whether something has to be kept below `state_dir`.
fn keeps_state(config: &Config) -> bool {
    let makes = |listener: &Listener| {
        let tls = listener.tls.as_ref();
        tls.is_some_and(|tls| tls.certificate.is_none())
    };
    config.acme.is_some() || config.uses_tokens() || config.listeners.iter().any(makes)
}

fn socket(address: &ListenAddress) -> Option<PathBuf> {
    match address {
        ListenAddress::Unix(path) => Some(folder(path)),
        ListenAddress::Tcp(_) => None,
    }
}

fn port(address: &ListenAddress) -> Option<u16> {
    match address {
        ListenAddress::Tcp(address) => Some(address.port()),
        ListenAddress::Unix(_) => None,
    }
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => PathBuf::from("/"),
    }
}

/// The folders of a file, and not the file alone: it is replaced by a rename, or by turning one of the links on the way to
/// it (Kubernetes, certbot), and has to be readable afterwards too. What lies in `/` itself is only itself.
fn homes(file: &Path) -> Vec<PathBuf> {
    let mut homes = Vec::new();
    let mut path = file.to_owned();
    for _ in 0..MOST_LINKS {
        let home = folder(&path);
        if let Ok(target) = fs::read_link(&home) {
            // The whole folder is a link, which leads to a neighbour of its target tomorrow.
            let beside = folder(&folder(&home).join(target));
            if beside.components().count() > 2 {
                homes.push(beside);
            }
        }
        if home == Path::new("/") {
            homes.push(path.clone());
        } else {
            homes.push(home.clone());
        }
        match fs::read_link(&path) {
            Ok(target) => path = home.join(target),
            Err(_) => break,
        }
    }
    homes
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_file_of_a_configuration_is_needed() {
        let text = "state_dir = \"state\"\n[[listener]]\naddress = \"unix:run/a.sock\"\n[listener.tls]\n\
             certificate = \"c1\"\nkey = \"k1\"\nclient_ca = \"ca\"\nclient_auth = \"optional\"\nclient_crl = \"crl\"\n\
             [[listener.tls.certificates]]\ncertificate = \"c2\"\nkey = \"k2\"\n[upstream]\nurl = \"https://r\"\n\
             ca = \"uca\"\nclient_certificate = \"uc\"\nclient_key = \"uk\"\nusername = \"u\"\npassword_file = \"up\"\n\
             [auth]\nhtpasswd = \"users\"\ngroups = \"groups\"\n[token]\nsigning_key = \"sign\"\n\
             [admin]\naddress = \"127.0.0.1:9180\"\n";
        let config = Config::parse(text, Path::new("/d"), &[]).unwrap().config;
        let needs = Needs::of(&config, Some(Path::new("/d/proxy.toml")));
        let found: BTreeSet<_> = needs.files().iter().collect();
        let wanted = [
            "proxy.toml",
            "c1",
            "k1",
            "c2",
            "k2",
            "ca",
            "crl",
            "uca",
            "uc",
            "uk",
            "up",
            "users",
            "groups",
            "sign",
        ];
        let wanted: Vec<_> = wanted
            .iter()
            .map(|name| Path::new("/d").join(name))
            .collect();
        assert_eq!(found, wanted.iter().collect());
        assert_eq!(needs.own(), [PathBuf::from("/d/state")]);
        assert_eq!(needs.made().count(), 0, "it keeps nothing there");
        assert_eq!(needs.sockets(), [PathBuf::from("/d/run")]);
        assert_eq!(needs.ports(), [9180]);
    }

    #[test]
    fn a_token_that_a_platform_renews_is_at_home_too() {
        let found = of_the_environment(|name| match name {
            "AWS_WEB_IDENTITY_TOKEN_FILE" => Some("/no/such/serviceaccount/token".into()),
            "SSL_CERT_DIR" => Some("/a:/b".into()),
            "SSL_CERT_FILE" => Some(OsString::new()),
            _ => None,
        });
        let wanted = ["/a", "/b", "/no/such/serviceaccount"];
        assert_eq!(found, wanted.map(PathBuf::from));
    }

    #[test]
    fn the_store_is_our_own_and_so_is_what_we_make() {
        let text = "[registry.filesystem]\nrootdirectory = \"/r\"\n";
        let config = Config::parse(text, Path::new("/d"), &[]).unwrap().config;
        let needs = Needs::of(&config, None);
        let own = ["/r", "/d/dockgate-data"].map(Path::new);
        assert_eq!(needs.own(), own);
        assert_eq!(needs.made().collect::<Vec<_>>(), own);
    }

    #[test]
    fn a_file_behind_links_is_at_home_wherever_they_lead() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for name in ["live/a", "archive/a", "releases/1"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("archive/a/1.pem"), "").unwrap();
        fs::write(at("releases/1/x.pem"), "").unwrap();
        symlink("../../archive/a/1.pem", at("live/a/cert.pem")).unwrap();
        symlink("releases/1", at("current")).unwrap();
        let found = |name: &str| -> Vec<PathBuf> {
            let homes = homes(&at(name)).into_iter();
            homes.filter_map(|home| home.canonicalize().ok()).collect()
        };
        let real = |name: &str| at(name).canonicalize().unwrap();
        assert_eq!(
            found("live/a/cert.pem"),
            [real("live/a"), real("archive/a")]
        );
        assert_eq!(
            found("current/x.pem"),
            [real("releases"), real("releases/1")]
        );
        assert_eq!(
            homes(Path::new("/gate.toml")),
            [PathBuf::from("/gate.toml")]
        );
        assert_eq!(homes(Path::new("gate.toml")), [PathBuf::from(".")]);
    }
}

//! What makes a machine know the registry and show a client certificate to it, in the form that its programs read.

mod cloud_init;
mod kubernetes;
mod script;
mod tree;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rustls::pki_types::DnsName;
use zeroize::Zeroizing;

use crate::state;
use crate::tls::Certificate;
use crate::tls::certificate_file;
use crate::tls::key_file;

use super::date;
use super::der;
use super::desk::{LIST, read_index};
use super::error::Error;
use super::index::State;
use super::key::Key;
use super::list::List;
use super::name;
use super::place::Place;
use super::serial::Serial;

/// Who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `certs.d` of docker.
    Docker,
    /// The same for podman, buildah, skopeo and CRI-O.
    Podman,
    /// `certs.d` of containerd, with `hosts.toml`.
    Containerd,
    /// A shell script that root runs.
    Script,
    /// User data of a cloud's machine.
    CloudInit,
    /// Manifests that put the files on every node.
    Kubernetes,
}

/// What was made.
#[derive(Debug)]
pub(crate) enum Output {
    /// Files below a folder.
    Tree(Vec<Piece>),
    /// One document, with the name that it goes by.
    Document(Piece),
}

/// One file.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Where it belongs, relative.
    pub(crate) path: PathBuf,
    /// What is in it.
    pub(crate) text: Zeroizing<String>,
    /// Who may read it.
    pub(crate) mode: u32,
}

/// The registry as clients write it in the names of images.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    host: String,
    port: u16,
    address: Option<IpAddr>,
}

/// A client's certificate and key, the CA of the registry's own certificate, and where the registry is.
#[derive(Debug)]
pub(crate) struct Bundle {
    name: String,
    serial: Serial,
    end: u64,
    /// The last certificates of a chain may be intermediate ones.
    certificate: String,
    key: Zeroizing<String>,
    /// `None`: clients trust it already.
    ca: Option<String>,
    target: Target,
}

impl Piece {
    /// Writes it, as a whole or not at all.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::system(folder, "made"))?;
        }
        state::write(path, self.text.as_bytes(), self.mode).map_err(Error::system(path, "written"))
    }
}

impl Target {
    /// `address` is where the host is found by machines whose DNS does not know it.
    ///
    /// # Errors
    /// It is no host, or there is no such port.
    pub(crate) fn new(host: &str, port: u16, address: Option<IpAddr>) -> Result<Self, Error> {
        let text = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            Ok(IpAddr::V4(address)) => address.to_string(),
            Err(_) if DnsName::try_from(host).is_ok() && !host.ends_with('.') => {
                host.to_ascii_lowercase()
            }
            Err(_) => {
                let hint = if host.contains(':') {
                    "; the port goes to --port"
                } else {
                    ""
                };
                return Err(Error::Asked(format!(
                    "\"{}\" is not the name or address of a host{hint}",
                    host.escape_debug()
                )));
            }
        };
        if port == 0 {
            return Err(Error::Asked("no registry listens on port 0".to_owned()));
        }
        Ok(Self {
            host: text,
            port,
            address,
        })
    }

    /// `HOST:PORT`.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The forms in which names of images can begin, each with a folder of its own: on the port of https also without it.
    fn authorities(&self) -> Vec<String> {
        let mut forms = vec![self.authority()];
        if self.port == 443 {
            forms.push(self.host.clone());
        }
        forms
    }
}

/// The CA that clients have to know for the registry's own certificate, where nobody names one: the desk's where it issued
/// the certificate of this host, else the one that the gate made for itself, else the desk's.
pub(crate) fn server_ca(place: &Place, target: &Target, state_dir: Option<&Path>) -> PathBuf {
    let folder = place.folder();
    let wildcard = target
        .host
        .split_once('.')
        .map(|(_, rest)| format!("*.{rest}"));
    let issued = [Some(target.host.clone()), wildcard]
        .iter()
        .flatten()
        .any(|name| folder.certificate(&name::stem(name)).exists());
    let own = state_dir.map(|dir| dir.join("tls/ca.crt"));
    match own.filter(|path| !issued && path.exists()) {
        Some(own) => own,
        None => place.ca_path(),
    }
}

impl Bundle {
    /// Reads a client's pair, and the CA of the server where there is one to give.
    ///
    /// # Errors
    /// There is none, it is not good, or it is no client's.
    pub(crate) fn load(
        place: &Place,
        name: &str,
        server_ca: Option<&Path>,
        target: Target,
    ) -> Result<Self, Error> {
        let folder = place.folder();
        let stem = name::stem(name);
        let path = folder.certificate(&stem);
        let is_name = !name.contains(['/', '\\']) && !name.chars().any(char::is_control);
        if !is_name || !path.exists() {
            return Err(Error::Asked(format!(
                "there is no certificate \"{}\" in {}: `dockgate cert client --name NAME` makes one, `dockgate cert list` shows those that there are",
                name.escape_debug(),
                place.dir.display()
            )));
        }
        let chain = certificate_file("client certificate", &path)?;
        let own = chain.first().map(Vec::as_slice).unwrap_or_default();
        let leaf = Certificate::parse(own)
            .map_err(|_| Error::file(&path, "its certificate cannot be read"))?;
        let key_path = folder.key(&stem);
        let (pair, _) = key_file("client key", &key_path)?;
        let key = Key::new(pair);
        if Some(key.public_bits()) != leaf.key_bits() {
            let fault = format!("is not the key of the certificate {}", path.display());
            return Err(Error::file(key_path, fault));
        }
        let bundle = Self {
            name: name.to_owned(),
            serial: Serial::new(leaf.serial),
            end: leaf.not_after.to_unix_duration().as_secs(),
            certificate: pem(&chain),
            key: key.pem(),
            ca: server_ca
                .map(|path| certificate_file("server CA", path))
                .transpose()?
                .map(|chain| pem(&chain)),
            target,
        };
        if !leaf.may_be_client() {
            return Err(Error::file(
                path,
                "is a certificate for a server: `dockgate cert client --name NAME` makes one for a client",
            ));
        }
        bundle.check_good(place)?;
        Ok(bundle)
    }

    /// In this form.
    pub(crate) fn output(&self, format: Format) -> Output {
        match format {
            Format::Docker | Format::Podman => Output::Tree(tree::certs_d(self)),
            Format::Containerd => Output::Tree(tree::containerd(self)),
            Format::Script => Output::Document(script::piece(self)),
            Format::CloudInit => Output::Document(cloud_init::piece(self)),
            Format::Kubernetes => Output::Document(kubernetes::piece(self)),
        }
    }

    /// A word about the certificate's end, where it is near.
    pub(crate) fn warning(&self) -> Option<String> {
        let soon = date::now() + 30 * date::DAY;
        (self.end < soon).then(|| {
            format!(
                "{} ends on {}: `dockgate cert renew {0}`, then make the bundle anew",
                self.name,
                date::text(self.end)
            )
        })
    }

    /// Which one it is, for the head of a document.
    fn about(&self) -> String {
        format!(
            "the client certificate {} (serial number {}, good until {})",
            self.name,
            self.serial,
            date::text(self.end)
        )
    }

    /// An error where it would be refused.
    fn check_good(&self, place: &Place) -> Result<(), Error> {
        let folder = place.folder();
        let mut index = read_index(&folder)?;
        if let Some(list) = List::load(&folder.path(LIST), &place.authority()?)? {
            list.mark(&mut index);
        }
        let record = index.find(&self.serial);
        let why = match record.map(|record| &record.state) {
            Some(State::Revoked { when, .. }) => {
                format!("was taken back on {}", date::text(*when))
            }
            _ if date::now() > self.end => format!("ended on {}", date::text(self.end)),
            _ => return Ok(()),
        };
        Err(Error::Asked(format!(
            "the certificate of {} (serial number {}) {why}: no gate lets it in",
            self.name, self.serial
        )))
    }
}

fn pem(chain: &[Vec<u8>]) -> String {
    chain
        .iter()
        .map(|der| der::pem("CERTIFICATE", der))
        .collect()
}

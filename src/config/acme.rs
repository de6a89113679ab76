//! `[acme]`: certificates from an authority (RFC 8555), for the listeners that name none.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::fault::Place;
use super::listener::{address, shown_address};
use super::section::Section;
use super::source::{Source, shown};
use super::types::{Config, ListenAddress, Listener, ListenerTls};

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// As many as Let's Encrypt puts into one certificate.
const MOST_NAMES: usize = 100;
/// RFC 1035 section 2.3.4, without the root.
const LONGEST_NAME: usize = 253;
/// What of a host name stands in the name of a folder, which may have 255 bytes.
const SHOWN_NAME: usize = 100;

/// Certificates from an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// The names of the one certificate, lower case. Never empty.
    pub names: Vec<String>,
    /// The URL of the authority's directory.
    pub directory: String,
    /// Whom to trust as the authority's server; `None`: the system's roots.
    pub directory_ca: Option<PathBuf>,
    /// Where the authority may write to, as `mailto:` URLs.
    pub contact: Vec<String>,
    /// How names are proven.
    pub challenge: AcmeChallenge,
    /// The account with the authority that ours is bound to.
    pub external_account: Option<ExternalAccount>,
    /// One of the authority's profiles.
    pub profile: Option<String>,
    /// The account with this authority lives here.
    pub account_folder: PathBuf,
    /// The certificate for these names of this authority lives here, with its key.
    pub certificate_folder: PathBuf,
}

/// How a name is proven to be ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// By a certificate in a TLS handshake on port 443 (RFC 8737).
    #[default]
    TlsAlpn01,
    /// By a document on port 80 (RFC 8555 section 8.3).
    Http01,
}

/// Credentials of an account that the authority knows from elsewhere (RFC 8555 section 7.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The id of the key.
    pub key_id: String,
    /// The file whose first line is the key, in base64url.
    pub key_file: PathBuf,
}

impl Acme {
    /// The certificate, the ones that issued it, and its key, in one file: they cannot be taken for one another's.
    #[must_use]
    pub fn certificate_file(&self) -> PathBuf {
        self.certificate_folder.join("certificate.pem")
    }
}

/// The section as it was read: the authority, and the listener that answers it in clear.
pub(super) struct Read {
    acme: Option<Acme>,
    http: Option<ListenAddress>,
}

pub(super) fn read(section: &Section<'_>, state_dir: &Path) -> Read {
    let names = names(section);
    let directory = section.parsed("directory", directory);
    let directory = directory.unwrap_or_else(|| LETS_ENCRYPT.to_owned());
    let directory_ca = section.path("directory_ca");
    let contact = contact(section);
    let accepted = section.boolean("accept_terms");
    let challenges = [
        ("tls-alpn-01", AcmeChallenge::TlsAlpn01),
        ("http-01", AcmeChallenge::Http01),
    ];
    let challenge = section.choice("challenge", &challenges).unwrap_or_default();
    let http = section.parsed("http_address", |text| address(text, section.folder()));
    let external_account = external_account(section);
    let profile = section.parsed("profile", word);
    if !names.is_empty() && accepted != Some(true) {
        let accepts = format!(
            "accepts the terms of service of the authority; {directory} says where they are"
        );
        if section.has("accept_terms") {
            section.fault(
                "accept_terms",
                format!("must be true beside names: that {accepts}"),
            );
        } else {
            let text = format!("need accept_terms = true beside them, which {accepts}");
            section.fault("names", text);
        }
    }
    if http.is_some() && challenge == AcmeChallenge::TlsAlpn01 {
        let text = "has no effect while challenge is \"tls-alpn-01\"; write challenge = \"http-01\", or remove it";
        section.fault("http_address", text);
    }
    if names.is_empty() {
        let others = ["contact", "eab_key_id", "profile"];
        for other in others.iter().filter(|other| section.has(other)) {
            let text = "serves nothing without names; write names = [\"registry.example.com\"], those of the certificate";
            section.fault(other, text);
        }
        return Read {
            acme: None,
            http: None,
        };
    }
    let account_folder = state_dir.join("acme").join(folder_of_authority(&directory));
    let certificate_folder = account_folder.join(folder_of_names(&names));
    let acme = Acme {
        names,
        directory,
        directory_ca,
        contact,
        challenge,
        external_account,
        profile,
        account_folder,
        certificate_folder,
    };
    Read {
        acme: Some(acme),
        http,
    }
}

impl Read {
    /// Tells the listeners that it serves, and adds the one that only answers the authority.
    pub(super) fn apply(self, listeners: &mut Vec<Listener>) -> Option<Acme> {
        let acme = self.acme?;
        let bare = listeners.iter_mut().filter_map(|l| l.tls.as_mut());
        for tls in bare.filter(|tls| tls.certificate.is_none()) {
            tls.issued = Some(acme.certificate_file());
        }
        listeners.extend(self.http.map(|address| Listener {
            address,
            tls: None,
            proxy_protocol: false,
            http2: false,
            challenges_only: true,
        }));
        Some(acme)
    }
}

fn names(section: &Section<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (text, place) in section.list("names") {
        match name(&text) {
            Ok(name) if names.contains(&name) => {}
            Ok(name) => names.push(name),
            Err(fault) => section.item_fault("names", place, fault),
        }
    }
    if names.len() > MOST_NAMES {
        let text = format!(
            "has {} names, and one certificate holds {MOST_NAMES} at most",
            names.len()
        );
        section.fault("names", text);
    }
    names
}

/// A DNS name that a certificate can be had for (RFC 1123 section 2.1).
fn name(text: &str) -> Result<String, String> {
    let shown = shown(text);
    if text.starts_with('*') {
        return Err(format!(
            "{shown}: a wildcard is proven through DNS alone, which is not carried; write each name"
        ));
    }
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Err(format!(
            "{shown} is an address; write the name that clients use"
        ));
    }
    if text.contains("://") || text.contains(':') || text.contains('/') {
        return Err(format!("{shown} is not a name; write the host alone"));
    }
    if !text.is_ascii() {
        return Err(format!(
            "{shown} is not ASCII; write it as DNS has it (xn--...)"
        ));
    }
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let good = |label: &str| {
        let plain = label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (1..=63).contains(&label.len()) && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() > LONGEST_NAME || !name.split('.').all(good) {
        return Err(format!("{shown} is not a host name"));
    }
    Ok(name)
}

fn directory(text: &str) -> Result<String, String> {
    let url = text.parse::<http::Uri>().ok();
    let good = url.is_some_and(|url| {
        url.scheme_str() == Some("https")
            && url
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@'))
    });
    if good {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{} is not the https URL of a directory, such as {LETS_ENCRYPT:?}",
            shown(text)
        ))
    }
}

fn contact(section: &Section<'_>) -> Vec<String> {
    let mut contact = Vec::new();
    for (text, place) in section.list("contact") {
        let address = text.strip_prefix("mailto:").unwrap_or(&text);
        let parts = address.split_once('@');
        let plain = address
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b",?<>\"".contains(&b));
        if plain && parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty()) {
            contact.push(format!("mailto:{address}"));
        } else {
            let text = format!("{} is not an e-mail address", shown(&text));
            section.item_fault("contact", place, text);
        }
    }
    contact
}

/// What an authority calls something of its own.
fn word(text: &str) -> Result<String, String> {
    if text.len() <= 255 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"') {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} is no word of ASCII letters, digits and signs; write it as the authority shows it",
        shown(text)
    ))
}

fn external_account(section: &Section<'_>) -> Option<ExternalAccount> {
    let key_id = section.parsed("eab_key_id", word);
    let key_file = section.path("eab_key_file");
    match (section.has("eab_key_id"), section.has("eab_key_file")) {
        (true, false) => section.fault(
            "eab_key_id",
            "has no key; write eab_key_file = \"FILE\" too",
        ),
        (false, true) => section.fault("eab_key_file", "has no id; write eab_key_id too"),
        (true, true) | (false, false) => {}
    }
    Some(ExternalAccount {
        key_id: key_id?,
        key_file: key_file?,
    })
}

/// For people to find, and another one for another URL.
fn folder_of_authority(directory: &str) -> String {
    let host = directory.parse::<http::Uri>().ok();
    let host = host.as_ref().and_then(http::Uri::host).unwrap_or_default();
    folder(host, directory)
}

/// Another one for other names, whatever their order.
fn folder_of_names(names: &[String]) -> String {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    folder(names.first().unwrap_or(&""), &names.join(","))
}

fn folder(shown: &str, whole: &str) -> String {
    let shown: String = shown
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(SHOWN_NAME)
        .collect();
    let hash = Sha256::digest(whole.as_bytes());
    let (first, _) = hash.split_at(4);
    first.iter().fold(format!("{shown}-"), |name, byte| {
        format!("{name}{byte:02x}")
    })
}

/// What the section says that the rest of the configuration does not bear out.
pub(super) fn check(source: &Source<'_>, config: &Config) {
    let Some(acme) = &config.acme else { return };
    let place = |key| source.top().child("acme").place(key);
    let served: Vec<_> = config.listeners.iter().filter(|l| takes(l)).collect();
    if served.is_empty() {
        let text = "are for nobody: no listener has TLS without a certificate of its own; remove certificate and key \
                    from the listener that is to show this one, or remove [acme]";
        source.warn(place("names"), "acme.names", text);
    }
    match acme.challenge {
        AcmeChallenge::TlsAlpn01 => {
            let doors: Vec<_> = served.iter().map(|l| &l.address).collect();
            expect_port(source, place("challenge"), "acme.challenge", &doors, 443);
        }
        AcmeChallenge::Http01 => http(source, config, &place),
    }
}

fn takes(listener: &Listener) -> bool {
    let issued = |tls: &ListenerTls| tls.issued.is_some();
    listener.tls.as_ref().is_some_and(issued)
}

fn http(source: &Source<'_>, config: &Config, place: &dyn Fn(&'static str) -> Place) {
    let clear = config.listeners.iter().filter(|l| l.tls.is_none());
    let doors: Vec<_> = clear.clone().map(|l| &l.address).collect();
    if doors.is_empty() {
        let text = "\"http-01\" is answered in clear; write http_address = \"0.0.0.0:80\", which answers nothing else";
        source.fault(place("challenge"), "acme.challenge", text);
        return;
    }
    expect_port(source, place("challenge"), "acme.challenge", &doors, 80);
    let own = clear.filter(|l| l.challenges_only).map(|l| &l.address);
    for own in own {
        let any = matches!(own, ListenAddress::Tcp(socket) if socket.port() == 0);
        if !any
            && config
                .listeners
                .iter()
                .filter(|l| &l.address == own)
                .count()
                > 1
        {
            let text = format!(
                "\"{}\" is the address of a listener too; each needs its own",
                shown_address(own)
            );
            source.fault(place("http_address"), "acme.http_address", text);
        }
    }
}

fn expect_port(
    source: &Source<'_>,
    place: Place,
    key: &'static str,
    doors: &[&ListenAddress],
    port: u16,
) {
    let there = |door: &&&ListenAddress| matches!(door, ListenAddress::Tcp(s) if s.port() == port);
    if let (Some(first), false) = (doors.first(), doors.iter().any(|door| there(&door))) {
        let text = format!(
            "proves each name on its port {port}, and nothing listens on {port} here; make that port lead to {}",
            shown_address(first)
        );
        source.warn(place, key, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_names_in_lower_case() {
        for (written, meant) in [
            ("registry.example.com", "registry.example.com"),
            ("Registry.Example.com.", "registry.example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("intranet", "intranet"),
        ] {
            assert_eq!(name(written).as_deref(), Ok(meant));
        }
        let long = "a".repeat(64);
        for (wrong, word) in [
            ("*.example.com", "wildcard"),
            ("192.0.2.1", "address"),
            ("2001:db8::1", "address"),
            ("https://a.example", "host alone"),
            ("a.example:443", "host alone"),
            ("bücher.example", "xn--"),
            ("a..example", "not a host name"),
            ("-a.example", "not a host name"),
            ("a_b.example", "not a host name"),
            ("a b", "not a host name"),
            (".", "not a host name"),
            (long.as_str(), "not a host name"),
        ] {
            let fault = name(wrong).unwrap_err();
            assert!(fault.contains(word), "{wrong}: {fault}");
        }
    }

    #[test]
    fn folders_differ_with_the_names_and_the_url_and_not_with_the_order() {
        let names = |all: &[&str]| all.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let one = folder_of_names(&names(&["b.test", "a.test"]));
        assert_eq!(one, folder_of_names(&names(&["a.test", "b.test"])));
        assert!(one.starts_with("a-test-"), "{one}");
        assert_ne!(one, folder_of_names(&names(&["a.test", "c.test"])));
        let (production, staging) = ("https://ca.test/a", "https://ca.test/b");
        assert_ne!(
            folder_of_authority(production),
            folder_of_authority(staging)
        );
        let long = folder_of_names(&["x".repeat(63) + "." + &"y".repeat(63)]);
        assert!(long.len() < 200);
    }
}

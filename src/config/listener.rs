//! `[[listener]]`: where clients connect, and `[listener.tls]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use super::fault::Place;
use super::section::Section;
use super::source::shown;
use super::types::{
    CertificateFiles, ClientAuth, ExpiredList, ListenAddress, Listener, ListenerTls, TlsVersion,
};
use super::value::path;

/// Loopback only: what listens to the world is written down by whoever wants that. 5443 needs no privilege.
pub(super) const DEFAULT_ADDRESS: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5443);

/// A Unix socket's path has this much room in `sockaddr_un`, its final NUL not counted.
const LONGEST_SOCKET_PATH: usize = 107;

/// The listeners: those that were written, or the one that is there when none was.
pub(super) fn read(top: &Section<'_>) -> Vec<Listener> {
    let listeners = top.entries("listener", listener);
    refuse_duplicates(top, &listeners);
    if listeners.is_empty() {
        return vec![default_listener()];
    }
    listeners.into_iter().map(|read| read.listener).collect()
}

fn default_listener() -> Listener {
    Listener {
        address: ListenAddress::Tcp(DEFAULT_ADDRESS),
        tls: Some(default_tls()),
        proxy_protocol: false,
        http2: true,
        challenges_only: false,
    }
}

fn default_tls() -> ListenerTls {
    ListenerTls {
        certificate: None,
        issued: None,
        more: Vec::new(),
        client_ca: None,
        client_auth: ClientAuth::Off,
        client_crl: None,
        client_crl_expired: ExpiredList::Refuse,
        min_version: TlsVersion::Tls12,
    }
}

/// A listener as it was read.
struct Read {
    listener: Listener,
    /// Where its address was written; `None` when it was not understood.
    place: Option<Place>,
}

fn listener(section: &Section<'_>) -> Read {
    let address = section.parsed("address", |text| address(text, section.folder()));
    let understood = address.is_some() || !section.has("address");
    let address = address.unwrap_or(ListenAddress::Tcp(DEFAULT_ADDRESS));
    let plaintext = section.boolean("plaintext");
    let written_tls = section.optional("tls", tls);
    if plaintext == Some(true) && written_tls.is_some() {
        let text = "is true, and there is a tls table too; remove plaintext to serve TLS, or the table to serve \
                    passwords in clear";
        section.fault("plaintext", text);
    }
    let tls = written_tls.or_else(|| {
        // One that only the environment speaks of is the default listener, changed: it keeps its TLS.
        let keeps = !section.is_in_file() && plaintext != Some(true) && !is_unix(&address);
        keeps.then(default_tls)
    });
    // A value that was not understood was meant to say something; only silence counts as silence here.
    let silent = !section.has("plaintext") && !section.has("tls");
    if tls.is_none() && understood && (silent || plaintext == Some(false)) {
        require_tls(section, &address);
    }
    let listener = Listener {
        address,
        tls,
        proxy_protocol: section.boolean("proxy_protocol").unwrap_or(false),
        http2: section.boolean("http2").unwrap_or(true),
        challenges_only: false,
    };
    let place = understood.then(|| section.place("address"));
    Read { listener, place }
}

/// Without TLS a password crosses the network in clear; that must be somebody's decision, not a lost table.
fn require_tls(section: &Section<'_>, address: &ListenAddress) {
    if let ListenAddress::Tcp(socket) = address
        && !is_loopback(socket)
    {
        let text = format!(
            "\"{socket}\" is open to the network and has no TLS; write the table [listener.tls] to encrypt, or \
             plaintext = true to serve passwords in clear"
        );
        section.fault("address", text);
    }
}

fn tls(section: &Section<'_>) -> ListenerTls {
    let certificate = files(section, "certificate", "key");
    let more = section.entries("certificates", |entry| {
        let found = files(entry, "certificate", "key");
        if found.is_none() && !entry.has("certificate") && !entry.has("key") {
            entry.fault("certificate", "is missing; write certificate and key");
        }
        found
    });
    let client_ca = section.path("client_ca");
    let client_auth = section.choice(
        "client_auth",
        &[
            ("off", ClientAuth::Off),
            ("optional", ClientAuth::Optional),
            ("required", ClientAuth::Required),
        ],
    );
    let client_crl = section.path("client_crl");
    let expired = [("refuse", ExpiredList::Refuse), ("warn", ExpiredList::Warn)];
    let client_crl_expired = section.choice("client_crl_expired", &expired);
    check_client_auth(section, client_auth);
    if client_crl_expired == Some(ExpiredList::Warn) && !section.has("client_crl") {
        let text = "has no effect without client_crl; name the file of the lists, or remove it";
        section.fault("client_crl_expired", text);
    }
    let versions = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
    ListenerTls {
        certificate,
        issued: None,
        more: more.into_iter().flatten().collect(),
        client_ca,
        client_auth: client_auth.unwrap_or_default(),
        client_crl,
        client_crl_expired: client_crl_expired.unwrap_or_default(),
        min_version: section.choice("min_version", &versions).unwrap_or_default(),
    }
}

fn check_client_auth(section: &Section<'_>, client_auth: Option<ClientAuth>) {
    let understood = client_auth.is_some() || !section.has("client_auth");
    let wanted = client_auth.unwrap_or_default() != ClientAuth::Off;
    if wanted && !section.has("client_ca") {
        let text = "needs client_ca, the CA certificates that client certificates must come from";
        section.fault("client_auth", text);
    }
    if understood && !wanted && section.has("client_ca") {
        let text = "has no effect while client_auth is \"off\"; write client_auth = \"required\" or \"optional\", or \
                    remove client_ca";
        section.fault("client_ca", text);
    }
    if section.has("client_crl") && !section.has("client_ca") {
        section.fault("client_crl", "needs client_ca, whose revocations it lists");
    }
}

/// A certificate and its key, which come together or not at all.
pub(super) fn files(
    section: &Section<'_>,
    certificate: &'static str,
    key: &'static str,
) -> Option<CertificateFiles> {
    let paths = (section.path(certificate), section.path(key));
    match (section.has(certificate), section.has(key)) {
        (true, false) => section.fault(
            certificate,
            format!("has no {key}; write {key} = \"FILE\" too"),
        ),
        (false, true) => {
            section.fault(
                key,
                format!("has no {certificate}; write {certificate} = \"FILE\" too"),
            );
        }
        (true, true) | (false, false) => {}
    }
    let (Some(certificate), Some(key)) = paths else {
        return None;
    };
    Some(CertificateFiles { certificate, key })
}

/// Where to listen, or what is wrong with it and what was probably meant.
pub(super) fn address(text: &str, folder: &Path) -> Result<ListenAddress, String> {
    if let Some(socket) = text.strip_prefix("unix:") {
        return Ok(ListenAddress::Unix(socket_path(socket, folder)?));
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Ok(ListenAddress::Tcp(socket));
    }
    let shown = shown(text);
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(format!(
            "{shown} is a URL; write the address alone, without {scheme}://"
        ));
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        let fixed = SocketAddr::new(ip, 443);
        return Err(format!("{shown} has no port; write \"{fixed}\""));
    }
    if let Ok(port) = text.trim_start_matches(['*', ':']).parse::<u16>() {
        return Err(format!(
            "{shown} has no address; write \"0.0.0.0:{port}\" for every IPv4 address of this machine, \"[::]:{port}\" for IPv6"
        ));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_err() => Err(format!(
            "{shown} has no port between 0 and 65535 behind {host:?}"
        )),
        Some(("localhost", port)) => Err(format!(
            "{shown} is a name, and a listener needs an address; write \"127.0.0.1:{port}\""
        )),
        Some((host, port)) if host.contains(':') => Err(format!(
            "{shown} is not an address; an IPv6 address stands in brackets: \"[{host}]:{port}\""
        )),
        Some((_, port)) => Err(format!(
            "{shown} is not an address of this machine but a name; write \"0.0.0.0:{port}\" or one of its addresses"
        )),
        None => Err(format!(
            "{shown} is not an address; write \"ADDRESS:PORT\", \"[IPV6]:PORT\" or \"unix:/PATH\""
        )),
    }
}

/// The path behind `unix:`.
pub(super) fn socket_path(text: &str, folder: &Path) -> Result<std::path::PathBuf, String> {
    let text = text.strip_prefix("//").unwrap_or(text);
    if text.is_empty() {
        return Err("\"unix:\" has no path; write \"unix:/run/dockgate.sock\"".into());
    }
    let path = path(text, folder)?;
    let length = path.as_os_str().len();
    if length > LONGEST_SOCKET_PATH {
        return Err(format!(
            "the socket's path has {length} bytes; the system allows {LONGEST_SOCKET_PATH}"
        ));
    }
    Ok(path)
}

fn refuse_duplicates(top: &Section<'_>, listeners: &[Read]) {
    for (index, Read { listener, place }) in listeners.iter().enumerate() {
        let earlier = listeners.iter().take(index);
        let mut same = earlier
            .filter(|other| other.place.is_some() && other.listener.address == listener.address);
        if let Some(place) = place
            && !takes_any_port(&listener.address)
            && same.next().is_some()
        {
            let text = format!(
                "\"{}\" is the address of an earlier listener too; each needs its own",
                shown_address(&listener.address)
            );
            top.item_fault("listener.address", place.clone(), text);
        }
    }
}

fn takes_any_port(address: &ListenAddress) -> bool {
    matches!(address, ListenAddress::Tcp(socket) if socket.port() == 0)
}

fn is_unix(address: &ListenAddress) -> bool {
    matches!(address, ListenAddress::Unix(_))
}

/// Whether only this machine can reach it.
pub(super) fn is_loopback(socket: &SocketAddr) -> bool {
    socket.ip().to_canonical().is_loopback()
}

/// The address as it is written.
pub(super) fn shown_address(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(socket) => socket.to_string(),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_tcp_or_unix() {
        let folder = Path::new("/etc/dockgate");
        for (text, meant) in [
            ("127.0.0.1:5443", "127.0.0.1:5443"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("[::]:443", "[::]:443"),
            ("unix:/run/gate.sock", "unix:/run/gate.sock"),
            ("unix:///run/gate.sock", "unix:/run/gate.sock"),
            ("unix:gate.sock", "unix:/etc/dockgate/gate.sock"),
        ] {
            let read = address(text, folder).map(|address| shown_address(&address));
            assert_eq!(read, Ok(meant.into()), "{text}");
        }
    }

    #[test]
    fn a_wrong_address_comes_with_the_right_one() {
        for (text, cure) in [
            ("0.0.0.0", "write \"0.0.0.0:443\""),
            ("::", "write \"[::]:443\""),
            ("[::1]", "write \"[::1]:443\""),
            ("443", "write \"0.0.0.0:443\""),
            (":443", "write \"0.0.0.0:443\""),
            ("*:443", "write \"0.0.0.0:443\""),
            ("::1:443x", "no port"),
            ("1.2.3.4:99999", "no port between"),
            ("localhost:5443", "write \"127.0.0.1:5443\""),
            ("registry.example:443", "0.0.0.0:443"),
            ("https://0.0.0.0:443", "without https://"),
            ("nonsense", "ADDRESS:PORT"),
            ("unix:", "no path"),
        ] {
            let why = address(text, Path::new("")).unwrap_err();
            assert!(why.contains(cure), "{text}: {why}");
        }
        let long = format!("unix:/{}", "x".repeat(200));
        assert!(address(&long, Path::new("")).is_err());
    }
}

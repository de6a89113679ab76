//! `listen`, and TLS towards clients.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::draft::{Door, Pair, Prefix, Table, Tls};
use super::report::Report;
use super::scope::Scope;
use super::tree::Directive;

/// What nginx knows of an address when all servers are read: a word of one counts for all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shared {
    ssl: bool,
    http2: bool,
    proxy_protocol: bool,
}

/// Every address, with what all servers together say of it.
pub(super) fn shared(servers: &[&Directive]) -> BTreeMap<String, Shared> {
    let mut all: BTreeMap<String, Shared> = BTreeMap::new();
    let listens = servers.iter().flat_map(|server| server.children());
    for listen in listens.filter(|d| d.name == "listen") {
        for address in addresses(listen).unwrap_or_default() {
            let shared = all.entry(address).or_default();
            let says = |word: &str| listen.args.iter().any(|arg| arg == word);
            shared.ssl |= says("ssl");
            shared.http2 |= says("http2");
            shared.proxy_protocol |= says("proxy_protocol");
        }
    }
    all
}

/// How client certificates are asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Certificates {
    /// `client_ca`, `client_auth`, `client_crl`; empty where none are asked for.
    pub settings: Table,
    /// Nobody comes in without one.
    pub required: bool,
}

/// The listeners of a server.
pub(super) fn doors(
    scope: &Scope<'_>,
    shared: &BTreeMap<String, Shared>,
    certificates: &Certificates,
    prefix: &Prefix,
    https_only: bool,
    report: &mut Report,
) -> Vec<Door> {
    let all_tls = scope.one("ssl", report).filter(|d| d.arg(0) == "on");
    if let Some(ssl) = all_tls {
        report.carried(ssl, "listener.tls");
    }
    let http2 = scope.is_on("http2", report);
    let mut tls: Option<Tls> = None;
    let mut doors: Vec<Door> = Vec::new();
    for found in listens(scope, report) {
        let Listen {
            address,
            line,
            is_default,
        } = found;
        let all = shared.get(&address).copied().unwrap_or_default();
        let encrypted = all.ssl || all_tls.is_some();
        if !encrypted && https_only {
            if let Some(line) = line {
                report.stricter(line, "only sent clients to https; nothing listens there");
            }
            continue;
        }
        let mut more = Table::default();
        if all.proxy_protocol {
            more.set("proxy_protocol", true);
        }
        if encrypted && !(all.http2 || http2) {
            more.put("http2", false, Some("nginx spoke HTTP/1.1 alone here"));
        }
        if !encrypted && !is_for_this_machine(&address) {
            let why = "passwords cross the network in clear, as before";
            more.put("plaintext", true, Some(why));
        }
        if let Some(line) = line {
            report.carried(line, format!("listener.address = \"{address}\""));
        }
        if encrypted && tls.is_none() {
            tls = Some(read_tls(scope, certificates, prefix, line, report));
        }
        doors.push(Door {
            address,
            is_default,
            more,
            tls: tls.clone().filter(|_| encrypted),
        });
    }
    doors
}

struct Listen<'a> {
    address: String,
    /// `None`: nginx's default.
    line: Option<&'a Directive>,
    is_default: bool,
}

fn listens<'a>(scope: &Scope<'a>, report: &mut Report) -> Vec<Listen<'a>> {
    let lines: Vec<&Directive> = scope
        .own()
        .iter()
        .filter(|d| d.name == "listen")
        .copied()
        .collect();
    let mut found: Vec<Listen<'_>> = Vec::new();
    for line in &lines {
        if line.args.iter().any(|arg| arg == "quic") {
            report.left(line, "HTTP/3 is not spoken; clients use HTTP/1.1 or HTTP/2");
            continue;
        }
        let is_default = line
            .args
            .iter()
            .any(|arg| arg == "default_server" || arg == "default");
        match addresses(line) {
            Err(why) => report.refuse(line, why),
            Ok(addresses) => {
                for address in addresses {
                    if found.iter().all(|other| other.address != address) {
                        found.push(Listen {
                            address,
                            line: Some(line),
                            is_default,
                        });
                    }
                }
            }
        }
    }
    if lines.is_empty() {
        found.push(Listen {
            address: "0.0.0.0:80".into(),
            line: None,
            is_default: false,
        });
    }
    found
}

/// The addresses of a `listen`, as we write them.
fn addresses(listen: &Directive) -> Result<Vec<String>, String> {
    const DEFAULT_PORT: u16 = 80;
    let text = listen.arg(0);
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(vec![format!("unix:{path}")]);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        let port: u16 = text
            .parse()
            .map_err(|_| "is no port between 1 and 65535".to_owned())?;
        return Ok(vec![format!("0.0.0.0:{port}")]);
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let (host, port) = match (bare.parse::<IpAddr>(), text.rsplit_once(':')) {
        (Err(_), Some((host, port))) => {
            let port = port.parse::<u16>();
            (host, port.map_err(|_| "has no port that dockgate could listen on; write each port of a range in a listen of its own".to_owned())?)
        }
        _ => (text, DEFAULT_PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let ip = match host {
        "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => host.parse::<IpAddr>().map_err(|_| {
            "is a name, and dockgate listens on addresses; write its address".to_owned()
        })?,
    };
    let mut found = vec![SocketAddr::new(ip, port).to_string()];
    let both = listen.args.iter().any(|arg| arg == "ipv6only=off");
    if both && ip.is_unspecified() && ip.is_ipv6() {
        found.push(format!("0.0.0.0:{port}"));
    }
    Ok(found)
}

fn is_for_this_machine(address: &str) -> bool {
    match address.parse::<SocketAddr>() {
        Ok(socket) => socket.ip().to_canonical().is_loopback(),
        Err(_) => true,
    }
}

fn read_tls(
    scope: &Scope<'_>,
    certificates: &Certificates,
    prefix: &Prefix,
    listen: Option<&Directive>,
    report: &mut Report,
) -> Tls {
    let files = scope.nearest(&["ssl_certificate"]);
    let keys = scope.nearest(&["ssl_certificate_key"]);
    let mut pairs = Vec::new();
    for (certificate, key) in files.iter().zip(&keys) {
        let path = |line: &Directive| {
            let text = scope.resolved(line.arg(0))?;
            let special = ["data:", "engine:", "store:"];
            let plain = !special.iter().any(|begin| text.starts_with(begin));
            prefix.path(&text).filter(|_| plain)
        };
        for line in [certificate, key] {
            if path(line).is_none() {
                report.refuse(
                    line,
                    "is no name of a file; write the certificate and its key to files",
                );
            } else {
                report.carried(line, "listener.tls");
            }
        }
        if let (Some(certificate), Some(key)) = (path(certificate), path(key)) {
            pairs.push(Pair { certificate, key });
        }
    }
    for line in files
        .iter()
        .skip(keys.len())
        .chain(keys.iter().skip(files.len()))
    {
        report.refuse(
            line,
            "stands alone; a certificate and its key come together",
        );
    }
    if let (true, true, Some(listen)) = (files.is_empty(), keys.is_empty(), listen) {
        report.refuse(
            listen,
            "has TLS, and no ssl_certificate is in force here; is it in a file that was not given?",
        );
    }
    if let Some(line) = scope.one("ssl_password_file", report) {
        report.left(
            line,
            "keys with a pass phrase are not read; openssl pkey -in KEY -out NEW removes it",
        );
    }
    let mut more = Table::default();
    more.0.extend(certificates.settings.0.iter().cloned());
    if let Some(line) = scope.one("ssl_protocols", report) {
        let speaks = |version: &str| line.args.iter().any(|arg| arg == version);
        let old = ["SSLv2", "SSLv3", "TLSv1", "TLSv1.1"]
            .iter()
            .any(|version| speaks(version));
        if old {
            report.stricter(line, "TLS 1.2 and 1.3 are spoken; clients that know older versions alone are turned away");
        } else if speaks("TLSv1.2") {
            report.carried(line, "TLS 1.2 and 1.3 are spoken");
        } else {
            more.set("min_version", "1.3");
            report.carried(line, "listener.tls.min_version = \"1.3\"");
        }
    }
    Tls { pairs, more }
}

/// What a server says about client certificates. `demanded`: a condition turns away who has none.
pub(super) fn certificates(
    scope: &Scope<'_>,
    prefix: &Prefix,
    demanded: Option<&Directive>,
    report: &mut Report,
) -> Certificates {
    let verify = scope.one("ssl_verify_client", report);
    let word = verify.map_or("off", |d| d.arg(0));
    let required = word == "on" || (word == "optional" && demanded.is_some());
    if !required {
        if let Some(demanded) = demanded {
            let why = format!(
                "dockgate trusts certificates of a CA alone, and ssl_verify_client is \"{word}\" here; write on or optional, and ssl_client_certificate"
            );
            report.refuse(demanded, why);
        }
        match (verify, word) {
            (Some(line), "off") => report.same(line, "no certificate is asked for"),
            (Some(line), _) => report.left(
                line,
                "asks for a certificate and lets in who has none, so it keeps nobody out; none is asked for",
            ),
            (None, _) => {}
        }
        return Certificates::default();
    }
    let mut settings = Table::default();
    let ca = scope.one("ssl_client_certificate", report);
    let trusted = scope.one("ssl_trusted_certificate", report);
    if let (Some(_), Some(trusted)) = (ca, trusted) {
        report.stricter(
            trusted,
            "nginx takes client certificates of these CAs too; add them to the file of client_ca if that is meant",
        );
    }
    match (ca.or(trusted), verify) {
        (Some(line), _) => match prefix.path(line.arg(0)) {
            Some(path) => {
                settings.set("client_ca", path);
                report.carried(line, "listener.tls.client_ca");
            }
            None => report.refuse(line, "is no name of a file"),
        },
        (None, Some(line)) => {
            report.refuse(
                line,
                "no ssl_client_certificate is in force here, which nginx refuses too",
            );
        }
        (None, None) => {}
    }
    settings.set("client_auth", "required");
    if let Some(line) = verify {
        report.carried(line, "listener.tls.client_auth = \"required\"");
    }
    if let Some(line) = scope.one("ssl_crl", report) {
        match prefix.path(line.arg(0)) {
            Some(path) => {
                settings.set("client_crl", path);
                report.carried(line, "listener.tls.client_crl");
            }
            None => report.refuse(line, "is no name of a file"),
        }
    }
    Certificates {
        settings,
        required: true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tree::{Numbers, parse};
    use super::*;

    #[test]
    fn addresses_are_read_in_every_form_that_nginx_has() {
        for (line, expected) in [
            ("listen 443 ssl;", &["0.0.0.0:443"][..]),
            ("listen *:443;", &["0.0.0.0:443"]),
            ("listen 10.0.0.1;", &["10.0.0.1:80"]),
            ("listen 10.0.0.1:8443;", &["10.0.0.1:8443"]),
            ("listen localhost:5000;", &["127.0.0.1:5000"]),
            ("listen [::]:443 ssl;", &["[::]:443"]),
            ("listen [::];", &["[::]:80"]),
            (
                "listen [::]:443 ipv6only=off;",
                &["[::]:443", "0.0.0.0:443"],
            ),
            ("listen [fd00::1]:443;", &["[fd00::1]:443"]),
            ("listen unix:/run/x.sock;", &["unix:/run/x.sock"]),
        ] {
            let list = parse(&Arc::from("f"), line, &mut Numbers::default()).unwrap();
            assert_eq!(addresses(&list[0]).unwrap(), expected, "{line}");
        }
        for line in [
            "listen 99999;",
            "listen 8000-8010;",
            "listen registry.example.com:443;",
            "listen 10.0.0.1:8000-8010;",
        ] {
            let list = parse(&Arc::from("f"), line, &mut Numbers::default()).unwrap();
            assert!(addresses(&list[0]).is_err(), "{line}");
        }
    }
}

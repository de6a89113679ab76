//! `proxy_pass`, `upstream` and what is said to the registry.

use super::draft::{Line, Prefix, Table};
use super::location::{Kind, kind};
use super::report::{Fate, Report};
use super::scope::{Scope, milliseconds, written_wait};
use super::tree::Directive;

/// The settings of `[upstream]`, without what becomes of `Authorization`.
pub(super) fn read(
    scope: &Scope<'_>,
    location: &Directive,
    http: &[&Directive],
    prefix: &Prefix,
    report: &mut Report,
) -> Table {
    let mut table = Table::default();
    let own = scope.own().iter().find(|d| d.name == "proxy_pass");
    let Some(pass) = own.copied() else {
        return table;
    };
    // The path as the client sent it, said in so many words.
    let written = pass.arg(0);
    let written = written.strip_suffix("$request_uri").unwrap_or(written);
    let Some(target) = scope.resolved(written) else {
        report.refuse(
            pass,
            "goes to an address made of variables that only nginx knows; write the registry's address",
        );
        return table;
    };
    match address(&target, location, http, report) {
        Err(why) => report.refuse(pass, why),
        Ok(url) => {
            if url.starts_with("https:") {
                tls(scope, prefix, &mut table, report);
            }
            report.carried(pass, format!("upstream.url = \"{url}\""));
            table.0.insert(
                0,
                Line {
                    key: "url",
                    value: url.into(),
                    why: None,
                },
            );
        }
    }
    for (name, key, default) in [
        ("proxy_connect_timeout", "connect_timeout", None),
        (
            "proxy_read_timeout",
            "read_timeout",
            Some((
                "60s",
                "nginx's default; registry:2 is silent for longer while it checks big layers",
            )),
        ),
    ] {
        match (scope.one(name, report), default) {
            (Some(line), _) => wait(line, key, "upstream", &mut table, report),
            (None, Some((value, why))) => table.put(key, value, Some(why)),
            (None, None) => {}
        }
    }
    if let Some(line) = scope.one("proxy_send_timeout", report) {
        report.same(line, "upstream.read_timeout is for both directions");
    }
    table
}

/// A wait, in milliseconds or with the unit that nginx has.
pub(super) fn wait(
    line: &Directive,
    key: &'static str,
    section: &str,
    table: &mut Table,
    report: &mut Report,
) {
    const LONGEST: u64 = 30 * 24 * 3_600_000;
    match milliseconds(line.arg(0)) {
        Some(wait @ 1..=LONGEST) => {
            let written = written_wait(wait);
            report.carried(line, format!("{section}.{key} = \"{written}\""));
            table.set(key, written);
        }
        _ => report.left(line, "is no wait that dockgate has: 1 ms to 30 days"),
    }
}

/// The address as we write it.
fn address(
    target: &str,
    location: &Directive,
    http: &[&Directive],
    report: &mut Report,
) -> Result<String, String> {
    if target.contains('@') {
        return Err("holds a user name or a password; write them as upstream.username and upstream.password_file".into());
    }
    let (scheme, rest) = target
        .split_once("://")
        .ok_or("has no http:// or https://")?;
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        return Err(format!("{scheme}:// is not spoken to registries"));
    }
    let (authority, path) = if let Some(socket) = rest.strip_prefix("unix:") {
        let (socket, path) = socket.split_once(':').unwrap_or((socket, ""));
        if scheme == "https" {
            return Err("TLS over a Unix socket is not spoken".into());
        }
        (format!("unix:{socket}"), path)
    } else {
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        (authority.to_owned(), path)
    };
    same_path(path, location)?;
    if authority.starts_with("unix:") {
        return Ok(authority);
    }
    let named = http
        .iter()
        .find(|d| d.name == "upstream" && d.arg(0) == authority);
    match named {
        None => Ok(format!("{scheme}://{authority}")),
        Some(upstream) => of_group(upstream, &scheme, report),
    }
}

/// nginx puts the path of `proxy_pass` in the place of the location's; dockgate sends paths as they came.
fn same_path(path: &str, location: &Directive) -> Result<(), String> {
    if path.is_empty() {
        return Ok(());
    }
    match kind(location) {
        Kind::Prefix(own, _) | Kind::Exact(own) if own == path => Ok(()),
        _ => Err(format!(
            "changes paths on the way (\"{path}\" takes the place of the location's), and dockgate sends them as they came; \
             let the registry answer below /v2/ itself"
        )),
    }
}

/// The one server of an `upstream` block.
fn of_group(upstream: &Directive, scheme: &str, report: &mut Report) -> Result<String, String> {
    let servers: Vec<&Directive> = upstream
        .children()
        .iter()
        .filter(|d| d.name == "server")
        .collect();
    let says = |server: &Directive, word: &str| server.args.iter().any(|arg| arg == word);
    let first = servers
        .iter()
        .find(|s| !says(s, "down") && !says(s, "backup"))
        .or(servers.iter().find(|s| !says(s, "down")))
        .ok_or_else(|| format!("its upstream \"{}\" has no server", upstream.arg(0)))?;
    let address = first.arg(0);
    if let Some(socket) = address.strip_prefix("unix:") {
        report.carried(upstream, "upstream.url");
        report.carried(first, "upstream.url");
        return Ok(format!("unix:{socket}"));
    }
    // A server of a group has port 80 unless it says otherwise, whatever the scheme.
    let has_port = address
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let port = if has_port { "" } else { ":80" };
    report.carried(upstream, "upstream.url");
    report.carried(first, "upstream.url");
    for other in servers.iter().filter(|s| s.id != first.id) {
        report.left(
            other,
            "dockgate speaks to one registry; put a load balancer in between, or run one dockgate for each",
        );
    }
    for line in upstream.children().iter().filter(|d| d.name != "server") {
        report.rest(
            line,
            &Fate::NoEffect("there is one registry, and its connections are kept open".into()),
        );
    }
    Ok(format!("{scheme}://{address}{port}"))
}

/// TLS towards the registry.
fn tls(scope: &Scope<'_>, prefix: &Prefix, table: &mut Table, report: &mut Report) {
    for (name, key) in [
        ("proxy_ssl_trusted_certificate", "ca"),
        ("proxy_ssl_certificate", "client_certificate"),
        ("proxy_ssl_certificate_key", "client_key"),
    ] {
        if let Some(line) = scope.one(name, report) {
            match prefix.path(line.arg(0)) {
                Some(path) => {
                    report.carried(line, format!("upstream.{key}"));
                    table.set(key, path);
                }
                None => report.refuse(line, "is no name of a file"),
            }
        }
    }
    match scope.one("proxy_ssl_verify", report) {
        Some(line) if line.arg(0) == "on" => {
            report.same(line, "the registry's certificate is always verified");
        }
        Some(line) => report.stricter(line, "the registry's certificate is always verified; name its CA in upstream.ca"),
        None => report.note_once(
            "nginx does not verify the registry's certificate unless told to; dockgate always does: name its CA in upstream.ca",
        ),
    }
}

//! Headers, in both directions, and who is believed about clients' addresses.

use std::net::IpAddr;

use ipnet::IpNet;
use toml::Value;

use super::draft::Table;
use super::report::{Fate, Report};
use super::scope::Scope;
use super::tree::Directive;

/// What becomes of the client's `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authorization {
    /// It goes to the registry.
    Forward,
    /// It does not.
    Strip,
}

/// What the registry is told; whether the client's credentials are among it.
pub(super) fn to_the_registry(scope: &Scope<'_>, report: &mut Report) -> Authorization {
    let mut authorization = Authorization::Forward;
    for line in scope.nearest(&["proxy_set_header"]) {
        let (name, value) = (line.arg(0).to_ascii_lowercase(), line.arg(1));
        match (name.as_str(), value) {
            ("authorization", "") => {
                authorization = Authorization::Strip;
                report.carried(line, "upstream.authorization = \"strip\"");
            }
            ("authorization", "$http_authorization") => {
                report.carried(line, "upstream.authorization");
            }
            ("authorization", _) => {
                authorization = Authorization::Strip;
                report.left(
                    line,
                    "credentials of nginx's own are not copied; write upstream.username and upstream.password_file",
                );
            }
            ("host" | "x-forwarded-host", "$http_host" | "$host" | "$host:$server_port") => {
                report.same(line, "the host as the client wrote it, with its port");
            }
            ("host" | "x-forwarded-host", _) => {
                report.left(line, "the registry gets the host as the client wrote it");
            }
            ("x-real-ip", "$remote_addr") => {
                report.same(line, "the client's address");
            }
            ("x-forwarded-for", "$proxy_add_x_forwarded_for" | "$remote_addr") => report.same(
                line,
                "the client's address; a list that came with the request counts only from headers.trusted_proxies",
            ),
            ("x-forwarded-proto", "$scheme") => report.same(line, "http or https, as the client came"),
            ("x-forwarded-proto" | "x-forwarded-for" | "x-real-ip", _) => report.left(
                line,
                "dockgate says how the client came to it; name a proxy in front of it in headers.trusted_proxies",
            ),
            ("x-forwarded-port" | "x-forwarded-ssl" | "x-forwarded-server", _) => {
                report.left(line, "no registry needs it: X-Forwarded-Host and -Proto say the same");
            }
            ("connection" | "upgrade" | "accept-encoding" | "te" | "keep-alive", _) => {
                report.no_effect(line, "connections to the registry are dockgate's own matter");
            }
            _ => report.left(line, "dockgate adds no headers; registry:2 does not look at this one"),
        }
    }
    if scope
        .nearest(&["proxy_set_header"])
        .iter()
        .all(|line| !line.arg(0).eq_ignore_ascii_case("host"))
    {
        report.note_once("the registry gets the Host that the client used; without proxy_set_header Host nginx sends the registry's own");
    }
    if let Some(line) = scope
        .one("proxy_pass_request_headers", report)
        .filter(|d| d.arg(0) == "off")
    {
        authorization = Authorization::Strip;
        report.left(
            line,
            "the registry gets the client's headers, but for Authorization",
        );
    }
    authorization
}

/// `[headers]`: what answers carry, and who is believed.
pub(super) fn read(scope: &Scope<'_>, has_tls: bool, report: &mut Report) -> Table {
    let mut table = Table::default();
    let mut strict = None;
    for line in scope.nearest(&["add_header"]) {
        let name = line.arg(0).to_ascii_lowercase();
        match name.as_str() {
            "strict-transport-security" => strict = Some(line),
            "docker-distribution-api-version" => {
                report.same(line, "exactly once, on every answer");
            }
            "x-content-type-options" => report.same(line, "nosniff, on every answer"),
            _ => report.left(line, "dockgate adds no headers to answers; clients of registries do not look at this one"),
        }
    }
    match strict {
        Some(line) => {
            let value = line.arg(1);
            let fits = value.to_ascii_lowercase().contains("max-age=")
                && value.bytes().all(|b| (0x20..0x7f).contains(&b))
                && !value.contains('$');
            if fits {
                table.set("strict_transport_security", value);
                report.carried(line, "headers.strict_transport_security, on refusals too");
            } else {
                report.left(
                    line,
                    "is no value of this header; the default of dockgate is sent",
                );
            }
        }
        None if has_tls => table.put(
            "strict_transport_security",
            "",
            Some("nginx sent none; dockgate would, for every name below the host too"),
        ),
        None => {}
    }
    trusted(scope, &mut table, report);
    table
}

/// `set_real_ip_from` and `real_ip_header`.
fn trusted(scope: &Scope<'_>, table: &mut Table, report: &mut Report) {
    let from = scope.nearest(&["set_real_ip_from"]);
    let header = scope.one("real_ip_header", report);
    // nginx's default.
    let name = header
        .map_or("X-Real-IP", |d| d.arg(0))
        .to_ascii_lowercase();
    if name == "proxy_protocol" {
        for line in header.iter().chain(&from) {
            report.same(
                line,
                "the address of the PROXY header counts where listener.proxy_protocol is set",
            );
        }
        return;
    }
    let understood = name == "x-forwarded-for";
    if let Some(line) = header {
        if understood {
            report.same(line, "X-Forwarded-For of headers.trusted_proxies");
        } else {
            report.left(
                line,
                "only X-Forwarded-For tells the client's address; let the proxy in front send that",
            );
        }
    }
    if let Some(line) = scope.one("real_ip_recursive", report) {
        report.same(
            line,
            "the rightmost address that is not trusted is the client's",
        );
    }
    let mut networks = Vec::new();
    for line in from {
        match network(line.arg(0)).filter(|_| understood) {
            Some(network) => {
                networks.push(Value::from(network));
                report.carried(
                    line,
                    "headers.trusted_proxies; X-Forwarded-Proto and -Host are believed as well",
                );
            }
            None if understood => report.left(line, "is neither a network nor an address"),
            None => report.left(
                line,
                "see real_ip_header: whoever sends another header is not believed",
            ),
        }
    }
    if !networks.is_empty() {
        table.set("trusted_proxies", networks);
    }
}

/// A network as we write it: without bits behind its mask.
fn network(text: &str) -> Option<String> {
    if text.parse::<IpAddr>().is_ok() {
        return Some(text.to_owned());
    }
    let network: IpNet = text.parse().ok()?;
    Some(network.trunc().to_string())
}

impl Report {
    fn no_effect(&mut self, line: &Directive, why: &str) {
        self.note(line, Fate::NoEffect(why.into()));
    }
}

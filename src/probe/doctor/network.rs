//! Proxy, name and connection: what lies before the first byte.

use std::io;
use std::net::SocketAddr;

use crate::peer::Scheme;
use crate::probe::proxy::{Proxy, Route};
use crate::probe::wire::{Fault, Wire, connect, resolve};
use crate::telemetry::chain;

use super::{Diagnosis, Patient};

/// A wire without TLS yet; `None` if there is no way.
pub(super) async fn examine(patient: &Patient, found: &mut Diagnosis) -> Option<Wire> {
    let mut wire = Wire {
        target: patient.target.clone(),
        tls: None,
        instead: patient.instead.clone(),
        proxy: None,
    };
    match &patient.route {
        Route::Direct => found.ok("proxy", "the environment names none"),
        Route::Exempt(variable) => found.ok(
            "proxy",
            format!("{variable} names one, and not for this host"),
        ),
        Route::Other(variable, why) => found.skipped(
            "proxy",
            format!(
                "{variable} names one, which was not asked ({why}); podman, skopeo, containerd \
                 and curl go through it: what follows is about the direct way"
            ),
        ),
        Route::Through(proxy) => {
            let there = through(patient, proxy, found).await;
            wire.proxy = Some(proxy.clone());
            return there.then_some(wire);
        }
    }
    let (host, port) = wire.place();
    let addresses = match resolve(host, port).await {
        Ok(addresses) => addresses,
        Err(fault) => {
            found.failed("dns", unresolved(host, &fault));
            return None;
        }
    };
    found.ok("dns", named(host, &addresses));
    match connect(&addresses).await {
        Ok((_, failed)) if failed.is_empty() => {
            let first = addresses.first().map(SocketAddr::to_string);
            found.ok(
                "tcp",
                format!("{} takes connections", first.unwrap_or_default()),
            );
        }
        Ok((stream, failed)) => {
            let taken = stream.peer_addr().map(|address| address.to_string());
            let failed: Vec<String> = failed
                .iter()
                .map(|(address, fault)| format!("{address}: {}", reason(fault)))
                .collect();
            found.ok(
                "tcp",
                format!(
                    "{} takes connections, but not every address does ({}): clients lose time \
                     there; take it out of the DNS or serve it",
                    taken.unwrap_or_default(),
                    failed.join("; ")
                ),
            );
        }
        Err(fault) => {
            found.failed("tcp", unconnected(&addresses, &fault));
            return None;
        }
    }
    Some(wire)
}

/// Whether the proxy makes the connection.
async fn through(patient: &Patient, proxy: &Proxy, found: &mut Diagnosis) -> bool {
    let place = proxy.place();
    let variable = proxy.variable;
    if let Err(fault) = proxy.tunnel(&patient.target).await {
        found.failed(
            "proxy",
            format!(
                "{variable} names {place}, which makes no connection to {}: {}; let it, or add \
                 {} to NO_PROXY",
                patient.target.place(),
                chain(&fault),
                patient.target.host
            ),
        );
        return false;
    }
    found.ok(
        "proxy",
        format!(
            "{variable} names {place}, which makes the connection; docker's daemon has an \
             environment of its own"
        ),
    );
    for layer in ["dns", "tcp"] {
        found.skipped(layer, format!("the proxy {place} does it"));
    }
    true
}

fn unresolved(host: &str, fault: &Fault) -> String {
    match fault {
        Fault::Deadline { .. } => format!(
            "{}: the name server does not answer; look at /etc/resolv.conf",
            chain(fault)
        ),
        _ => format!(
            "{}; check the spelling of {host}, its entry in the DNS, and /etc/hosts",
            chain(fault)
        ),
    }
}

fn named(host: &str, addresses: &[SocketAddr]) -> String {
    let ips: Vec<String> = addresses.iter().map(|a| a.ip().to_string()).collect();
    let ips = ips.join(", ");
    let note = if addresses.iter().all(|a| a.ip().is_loopback()) {
        "; docker takes a loopback address for an insecure registry: it neither checks \
         the certificate nor insists on TLS"
    } else if addresses.iter().all(SocketAddr::is_ipv6) {
        "; IPv6 alone: a machine without it cannot come here"
    } else {
        ""
    };
    if host.parse::<std::net::IpAddr>().is_ok() {
        format!("{host} is an address{note}")
    } else {
        format!("{host} is {ips}{note}")
    }
}

fn reason(fault: &io::Error) -> &'static str {
    match fault.kind() {
        io::ErrorKind::ConnectionRefused => "refused",
        io::ErrorKind::TimedOut => "no answer",
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => "unreachable",
        _ => "failed",
    }
}

fn unconnected(addresses: &[SocketAddr], fault: &Fault) -> String {
    let Fault::Connect(failed) = fault else {
        return chain(fault);
    };
    let each: Vec<String> = failed
        .iter()
        .map(|(address, fault)| format!("{address}: {fault}"))
        .collect();
    let all = |kind: &str| failed.iter().all(|(_, fault)| reason(fault) == kind);
    let advice = if all("refused") {
        "nothing listens there; start the gate, or check the port and the address that it binds"
    } else if all("no answer") {
        "packets are dropped; look at firewalls and security groups between here and there"
    } else if all("unreachable") && addresses.iter().all(SocketAddr::is_ipv6) {
        "the name has IPv6 addresses alone and this machine has no IPv6; add an A record"
    } else if all("unreachable") {
        "there is no route; look at this machine's network and VPN"
    } else {
        "look at the network between here and there"
    };
    format!("{}; {advice}", each.join("; "))
}

/// The URL that is meant when the port speaks the other protocol.
pub(super) fn other_url(wire: &Wire) -> String {
    let scheme = match wire.target.scheme {
        Scheme::Http => "https",
        Scheme::Https => "http",
    };
    format!("{scheme}://{}", wire.target.place())
}

//! What no section can see alone: settings that contradict or defeat one another.

use std::net::{IpAddr, SocketAddr};

use super::fault::Place;
use super::listener::{is_loopback, shown_address};
use super::source::Source;
use super::types::{Anonymous, ClientAuth, Config, ListenAddress, Listener, Satisfy, UpstreamUrl};

/// Notes the contradictions between sections.
pub(super) fn check(source: &Source<'_>, config: &Config) {
    satisfy_all(source, config);
    own_address(source, config);
    plaintext_passwords(source, config);
    nobody(source, config);
}

/// Two proofs of identity need two ways to bring them.
fn satisfy_all(source: &Source<'_>, config: &Config) {
    if config.auth.satisfy != Satisfy::All {
        return;
    }
    let place = || place(source, "auth", "satisfy");
    let asks = |listener: &&Listener| client_auth(listener) != ClientAuth::Off;
    if !source.top().child("auth").has("htpasswd") {
        let text = "\"all\" needs a password too; write htpasswd = \"FILE\"";
        source.fault(place(), "auth.satisfy", text);
    }
    // A listener that was not understood may have been meant to ask.
    if source.has_fault_below("listener") {
        return;
    }
    if !config.listeners.iter().any(|listener| asks(&listener)) {
        let text = "\"all\" needs a certificate too; write client_ca and client_auth = \"optional\" or \"required\" in \
                    [listener.tls]";
        source.fault(place(), "auth.satisfy", text);
        return;
    }
    for listener in config.listeners.iter().filter(|listener| !asks(listener)) {
        let text = format!(
            "\"all\" keeps every user out of the listener {}, which asks for no certificate",
            shown_address(&listener.address)
        );
        source.warn(place(), "auth.satisfy", text);
    }
}

/// A gate in front of itself answers nothing, and takes every connection to say so.
fn own_address(source: &Source<'_>, config: &Config) {
    let listens =
        config
            .listeners
            .iter()
            .any(|listener| match (&config.upstream.url, &listener.address) {
                (UpstreamUrl::Unix(upstream), ListenAddress::Unix(socket)) => upstream == socket,
                (
                    UpstreamUrl::Http { host, port } | UpstreamUrl::Https { host, port },
                    ListenAddress::Tcp(socket),
                ) => port == &socket.port() && is_this_machine(host, socket),
                _ => false,
            });
    if listens {
        let text = "is the address of a listener: dockgate would be its own registry; move one of them to another port";
        source.fault(place(source, "upstream", "url"), "upstream.url", text);
    }
}

fn is_this_machine(host: &str, socket: &SocketAddr) -> bool {
    let address = match host {
        "localhost" => Some(None),
        host => host.parse::<IpAddr>().ok().map(Some),
    };
    match address {
        None => false,
        Some(None) => is_loopback(socket) || socket.ip().is_unspecified(),
        Some(Some(ip)) => ip == socket.ip() || (ip.is_loopback() && socket.ip().is_unspecified()),
    }
}

fn plaintext_passwords(source: &Source<'_>, config: &Config) {
    if config.auth.htpasswd.is_none() {
        return;
    }
    for listener in &config.listeners {
        if let ListenAddress::Tcp(socket) = &listener.address
            && listener.tls.is_none()
            && !is_loopback(socket)
        {
            let text = format!(
                "{socket} is plaintext and open to the network: whoever sees its packets reads the passwords"
            );
            source.warn(Place::Whole, "listener.plaintext", text);
        }
    }
}

fn nobody(source: &Source<'_>, config: &Config) {
    let certificates = config
        .listeners
        .iter()
        .any(|listener| client_auth(listener) != ClientAuth::Off);
    if config.auth.htpasswd.is_none() && !certificates && config.auth.anonymous == Anonymous::None {
        let text = "nobody can come in: there is no htpasswd, no client_ca, and anonymous is \"none\"; every request \
                    will be answered 401";
        source.warn(source.top().place("auth"), "auth", text);
    }
}

fn client_auth(listener: &Listener) -> ClientAuth {
    listener
        .tls
        .as_ref()
        .map_or(ClientAuth::Off, |tls| tls.client_auth)
}

fn place(source: &Source<'_>, table: &'static str, key: &'static str) -> Place {
    source.top().child(table).place(key)
}

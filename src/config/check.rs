//! What no section can see alone: settings that contradict or defeat one another.

use std::net::{IpAddr, SocketAddr};

use super::acme;
use super::fault::Place;
use super::listener::{is_loopback, shown_address};
use super::source::Source;
use super::types::{
    Anonymous, Challenge, ClientAuth, Config, ListenAddress, Listener, RuleAction, Satisfy, Who,
};
use super::upstream::UpstreamUrl;

/// Notes the contradictions between sections.
pub(super) fn check(source: &Source<'_>, config: &Config) {
    satisfy_all(source, config);
    own_address(source, config);
    admin_address(source, config);
    plaintext_passwords(source, config);
    nobody(source, config);
    rules(source, config);
    challenge(source, config);
    acme::check(source, config);
}

/// One word for everybody and rules beside it would say two things about the same request.
fn rules(source: &Source<'_>, config: &Config) {
    if config.rules.is_empty() {
        if config.auth.groups.is_some() && !source.has_fault_below("rule") {
            let text = "serves nothing without a [[rule]] that names a group";
            source.warn(place(source, "auth", "groups"), "auth.groups", text);
        }
        return;
    }
    if config.auth.anonymous == Anonymous::Pull {
        let text = "\"pull\" means nothing beside [[rule]]; remove it, and write a rule: who = [\"anonymous\"], \
                    repositories = [\"**\"], actions = [\"pull\", \"catalog\"]";
        source.fault(place(source, "auth", "anonymous"), "auth.anonymous", text);
    }
    for rule in &config.rules {
        let writes =
            |action: &RuleAction| !matches!(action, RuleAction::Pull | RuleAction::Catalog);
        if rule.who.contains(&Who::Anonymous) && rule.actions.iter().any(writes) {
            let text = format!(
                "the rule of {} lets everybody write or delete, without credentials",
                rule.place
            );
            source.warn(source.top().place("rule"), "rule", text);
        }
    }
    let mut who = config.rules.iter().flat_map(|rule| &rule.who);
    if config.auth.groups.is_none() && who.any(|who| matches!(who, Who::Group(_))) {
        let text = "is missing, and a rule names a group; write groups = \"FILE\" in [auth], with lines NAME: USER USER";
        source.fault(place(source, "auth", "groups"), "auth.groups", text);
    }
}

/// What a way of asking for credentials cannot do together with the rest.
fn challenge(source: &Source<'_>, config: &Config) {
    let place = || place(source, "auth", "challenge");
    let open = config.has_public();
    match config.auth.challenge {
        Challenge::Bearer if config.forwards_credentials() => {
            let text = "\"bearer\" leaves no password to forward; write \"basic\", or another upstream.authorization";
            source.fault(place(), "auth.challenge", text);
        }
        Challenge::Basic if open => {
            let text = "\"basic\" keeps docker from pulling without a login, whatever may be pulled without one; write \
                        \"auto\"";
            source.warn(place(), "auth.challenge", text);
        }
        Challenge::Auto if open && config.forwards_credentials() => {
            let text = "is Basic, because passwords are forwarded, and so docker pulls nothing without a login";
            source.warn(place(), "auth.challenge", text);
        }
        Challenge::Auto | Challenge::Basic | Challenge::Bearer => {}
    }
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
    let doors = config.listeners.iter().filter(|l| !l.challenges_only);
    if !doors.clone().any(|listener| asks(&listener)) {
        let text = "\"all\" needs a certificate too; write client_ca and client_auth = \"optional\" or \"required\" in \
                    [listener.tls]";
        source.fault(place(), "auth.satisfy", text);
        return;
    }
    for listener in doors.filter(|listener| !asks(listener)) {
        let text = format!(
            "\"all\" keeps every user out of the listener {}, which asks for no certificate",
            shown_address(&listener.address)
        );
        source.warn(place(), "auth.satisfy", text);
    }
}

/// A gate in front of itself answers nothing, and takes every connection to say so.
fn own_address(source: &Source<'_>, config: &Config) {
    let Some(upstream) = config.upstream() else {
        return;
    };
    let ours = config.listeners.iter().map(|listener| &listener.address);
    let mut ours = ours.chain(&config.admin);
    let listens = ours.any(|address| match (&upstream.url, address) {
        (UpstreamUrl::Unix(path), ListenAddress::Unix(socket)) => path == socket,
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

/// The two would take the address from each other, or, worse, one of them would not be where it was put.
fn admin_address(source: &Source<'_>, config: &Config) {
    let Some(admin) = &config.admin else {
        return;
    };
    let mut listeners = config.listeners.iter();
    if let Some(listener) = listeners.find(|listener| collide(&listener.address, admin)) {
        let text = format!(
            "\"{}\" is where clients connect (listener.address = \"{}\"); give [admin] a port of its own",
            shown_address(admin),
            shown_address(&listener.address)
        );
        source.fault(place(source, "admin", "address"), "admin.address", text);
    }
}

/// Whether both cannot be listened on.
fn collide(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Unix(one), ListenAddress::Unix(other)) => one == other,
        (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) => {
            let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
            one.port() != 0
                && one.port() == other.port()
                && (one.ip() == other.ip() || (everywhere && one.is_ipv4() == other.is_ipv4()))
        }
        _ => false,
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
            && !listener.challenges_only
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
    if config.auth.htpasswd.is_none() && !certificates && !config.has_public() {
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

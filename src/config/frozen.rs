//! What a reload cannot change in a running process.

use std::fmt::Debug;

use super::listener::shown_address;
use super::types::{Config, Listener};

impl Config {
    /// What differs in `new` and stays as it is until a restart, key by key; empty when a reload can do it all.
    ///
    /// Sockets stay open as they were bound, with the protocols that they were bound for (`listener.address`,
    /// `listener.tls` present or not, `listener.proxy_protocol`, `listener.http2`); bounds that were handed out stay
    /// (`limits.connections`); so do `state_dir`, `[log]`, `[process]` and `admin.address`. Everything else is built anew.
    #[must_use]
    pub fn frozen_differences(&self, new: &Self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |key: &str, old: &dyn Debug, new: &dyn Debug| {
            let (old, new) = (format!("{old:?}"), format!("{new:?}"));
            if old != new {
                notes.push(format!("{key}: {old} stays until a restart makes it {new}"));
            }
        };
        note("state_dir", &self.state_dir, &new.state_dir);
        let (limits, changed) = (&self.limits, &new.limits);
        note(
            "limits.connections",
            &limits.connections,
            &changed.connections,
        );
        note("log.level", &self.log.level, &new.log.level);
        note("log.format", &self.log.format, &new.log.format);
        note("log.access", &self.log.access, &new.log.access);
        let (landlock, changed) = (self.process.landlock, new.process.landlock);
        note("process.landlock", &landlock, &changed);
        let admin = |config: &Self| {
            let address = config.admin.as_ref();
            address.map_or_else(|| "none".to_owned(), shown_address)
        };
        note("admin.address", &admin(self), &admin(new));
        for old in &self.listeners {
            if let Some(new) = with_address_of(old, &new.listeners) {
                let key = |key: &str| format!("listener.{key} of {}", shown_address(&old.address));
                note(&key("tls"), &tls(old), &tls(new));
                note(
                    &key("proxy_protocol"),
                    &old.proxy_protocol,
                    &new.proxy_protocol,
                );
                note(&key("http2"), &old.http2, &new.http2);
            }
        }
        for old in &self.listeners {
            if with_address_of(old, &new.listeners).is_none() {
                let address = shown_address(&old.address);
                notes.push(format!(
                    "listener.address: {address} stays open until a restart closes it"
                ));
            }
        }
        for added in &new.listeners {
            if with_address_of(added, &self.listeners).is_none() {
                let address = shown_address(&added.address);
                notes.push(format!(
                    "listener.address: {address} stays closed until a restart opens it"
                ));
            }
        }
        notes
    }
}

fn with_address_of<'l>(listener: &Listener, among: &'l [Listener]) -> Option<&'l Listener> {
    among.iter().find(|other| other.address == listener.address)
}

fn tls(listener: &Listener) -> &'static str {
    if listener.tls.is_some() {
        "TLS"
    } else {
        "plaintext"
    }
}

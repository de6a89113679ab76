//! What is going to be written: tables of our own configuration.

use std::fmt::Write as _;
use std::path::PathBuf;

use toml::Value;

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// Its name.
    pub key: &'static str,
    /// Its value.
    pub value: Value,
    /// What is to be known about it.
    pub why: Option<&'static str>,
}

/// The settings of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table(pub Vec<Line>);

impl Table {
    /// Sets what is not set yet.
    pub(super) fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.put(key, value, None);
    }

    /// The same, with a remark behind it.
    pub(super) fn put(
        &mut self,
        key: &'static str,
        value: impl Into<Value>,
        why: Option<&'static str>,
    ) {
        let value = value.into();
        if self.0.iter().all(|line| line.key != key) {
            self.0.push(Line { key, value, why });
        }
    }

    /// What a setting is set to.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        let line = self.0.iter().find(|line| line.key == key);
        line.map(|line| &line.value)
    }

    fn write(&self, name: &str, out: &mut String) {
        if self.0.is_empty() {
            return;
        }
        out.push_str(name);
        out.push('\n');
        for Line { key, value, why } in &self.0 {
            let comment = why.map_or_else(String::new, |why| format!(" # {why}"));
            // Writing to a text cannot fail.
            let _ = writeln!(out, "{key} = {value}{comment}");
        }
    }
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// The certificate's file.
    pub certificate: String,
    /// The key's file.
    pub key: String,
}

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tls {
    /// The first is the default one.
    pub pairs: Vec<Pair>,
    /// The settings beside the certificates.
    pub more: Table,
}

/// One `[[listener]]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Door {
    /// The address as we write it.
    pub address: String,
    /// nginx takes this server for names that no server has.
    pub is_default: bool,
    /// `plaintext`, `proxy_protocol`, `http2`.
    pub more: Table,
    /// TLS, where it has any.
    pub tls: Option<Tls>,
}

/// All settings but the listeners: two servers are one registry when these are equal.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tables {
    /// `[upstream]`
    pub upstream: Table,
    /// `[auth]`
    pub auth: Table,
    /// Each `[[rule]]`.
    pub rules: Vec<Table>,
    /// `[clients]`
    pub clients: Table,
    /// `[headers]`
    pub headers: Table,
    /// `[limits]`
    pub limits: Table,
    /// `[timeouts]`
    pub timeouts: Table,
    /// `[log]`
    pub log: Table,
}

/// What a server becomes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Draft {
    /// Where it listens.
    pub doors: Vec<Door>,
    /// Everything else.
    pub tables: Tables,
}

impl Draft {
    /// The settings as a file of ours.
    pub(super) fn written(&self) -> String {
        let mut out = String::new();
        for door in &self.doors {
            let mut listener = Table::default();
            listener.set("address", door.address.clone());
            listener.0.extend(door.more.0.iter().cloned());
            separate(&mut out);
            listener.write("[[listener]]", &mut out);
            let Some(tls) = &door.tls else { continue };
            let mut pairs = tls.pairs.iter().map(|pair| {
                let mut table = Table::default();
                table.set("certificate", pair.certificate.clone());
                table.set("key", pair.key.clone());
                table
            });
            let mut table = pairs.next().unwrap_or_default();
            table.0.extend(tls.more.0.iter().cloned());
            table.write("[listener.tls]", &mut out);
            for pair in pairs {
                pair.write("[[listener.tls.certificates]]", &mut out);
            }
        }
        let tables = &self.tables;
        let named = [("[upstream]", &tables.upstream), ("[auth]", &tables.auth)];
        let rules = tables.rules.iter().map(|rule| ("[[rule]]", rule));
        let others = [
            ("[clients]", &tables.clients),
            ("[headers]", &tables.headers),
            ("[limits]", &tables.limits),
            ("[timeouts]", &tables.timeouts),
            ("[log]", &tables.log),
        ];
        for (name, table) in named.into_iter().chain(rules).chain(others) {
            if !table.0.is_empty() {
                separate(&mut out);
            }
            table.write(name, &mut out);
        }
        out
    }
}

fn separate(out: &mut String) {
    if !out.is_empty() {
        out.push('\n');
    }
}

/// A path of nginx as one of ours: whole, so that it means the same wherever the result lies.
#[derive(Clone, Debug)]
pub(super) struct Prefix(pub PathBuf);

impl Prefix {
    /// The path; `None` where it is none that our file could hold.
    pub(super) fn path(&self, text: &str) -> Option<String> {
        let whole: PathBuf = self.0.join(text).components().collect();
        let fits = !text.is_empty() && !text.contains('$');
        fits.then(|| whole.to_str().map(ToOwned::to_owned))
            .flatten()
    }
}

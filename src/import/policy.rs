//! What is needed for what, as `[auth]` and `[[rule]]`.

use toml::Value;

use super::access::{Access, Need, Passwords};
use super::draft::{Table, Tables};
use super::headers::Authorization;
use super::report::Report;
use super::tree::Directive;

/// Who may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Everybody,
    Known,
    Nobody,
}

/// Writes down who may do what. `certified`: nobody comes in without a client certificate.
pub(super) fn write(
    access: &Access,
    certified: bool,
    authorization: Authorization,
    place: &Directive,
    tables: &mut Tables,
    report: &mut Report,
) {
    let needs = [&access.write, &access.delete, &access.read];
    let files: Vec<&Passwords> = needs
        .iter()
        .filter_map(|need| match need {
            Need::Password(passwords) => Some(passwords),
            Need::Nothing | Need::Nobody => None,
        })
        .collect();
    if let Some(first) = files.first() {
        tables.auth.set("realm", first.realm.clone());
        tables.auth.set("htpasswd", first.file.clone());
        if files.iter().any(|other| other.file != first.file) {
            report.stricter(
                place,
                "has one password file for reading and another for writing; the one for writing counts for both. Put \
                 all users into one file, and give rights with [[rule]]",
            );
        }
    }
    let passwords = !files.is_empty();
    if certified && passwords {
        tables.auth.set("satisfy", "all");
        if needs.iter().any(|need| **need == Need::Nothing) {
            report.stricter(
                place,
                "asks for a password for some requests alone; beside the certificate it is asked for all",
            );
        }
    }
    let who = |need: &Need| match need {
        Need::Nobody => Who::Nobody,
        Need::Nothing if !certified => Who::Everybody,
        Need::Nothing | Need::Password(_) => Who::Known,
    };
    let [write, delete, read] = needs.map(who);
    let all = Rights {
        read,
        write,
        delete,
        catalog: if access.no_catalog { Who::Nobody } else { read },
    };
    rules(all, passwords || certified, tables, report);
    let open = [read, write, delete].contains(&Who::Everybody);
    match authorization {
        Authorization::Strip => {}
        Authorization::Forward if open && passwords => report.note_once(
            "nginx passed passwords on to the registry; dockgate does not (upstream.authorization), or docker could \
             pull nothing without a login",
        ),
        Authorization::Forward => tables.upstream.put(
            "authorization",
            "forward",
            Some("as nginx did; without this line the registry sees no passwords"),
        ),
    }
}

/// Who may do what.
#[derive(Clone, Copy, Debug)]
struct Rights {
    read: Who,
    write: Who,
    delete: Who,
    catalog: Who,
}

fn rules(rights: Rights, somebody: bool, tables: &mut Tables, report: &mut Report) {
    let Rights {
        read,
        write,
        delete,
        catalog,
    } = rights;
    let all = |who: Who| {
        [read, write, delete, catalog]
            .iter()
            .all(|other| *other == who)
    };
    if all(Who::Known) {
        return;
    }
    if somebody
        && (read, catalog) == (Who::Everybody, Who::Everybody)
        && (write, delete) == (Who::Known, Who::Known)
    {
        tables.auth.set("anonymous", "pull");
        return;
    }
    if all(Who::Nobody) {
        report
            .note_once("nobody may do anything: see the lines above, and write [auth] or [[rule]]");
        return;
    }
    if all(Who::Everybody) {
        report.note_once(
            "nginx asks nobody for anything here: whoever can connect reads, writes and deletes every image, unless the \
             registry itself asks",
        );
    }
    for (name, wanted) in [("anonymous", Who::Everybody), ("authenticated", Who::Known)] {
        let named = [
            ("pull", read),
            ("push", write),
            ("delete", delete),
            ("catalog", catalog),
        ];
        let actions: Vec<Value> = named
            .iter()
            .filter(|(_, who)| *who == wanted)
            .map(|(action, _)| Value::from(*action))
            .collect();
        if actions.is_empty() {
            continue;
        }
        let mut rule = Table::default();
        rule.set("who", vec![Value::from(name)]);
        rule.set("repositories", vec![Value::from("**")]);
        rule.set("actions", actions);
        tables.rules.push(rule);
    }
}

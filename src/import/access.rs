//! Whom nginx lets in: `auth_basic`, `allow`, `deny`, `satisfy`, `limit_except`, and what others add to these.

use super::condition::{Conditions, Effect};
use super::draft::Prefix;
use super::known::may_restrict;
use super::report::Report;
use super::scope::Scope;
use super::tree::Directive;

/// What somebody must bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing.
    Nothing,
    /// A password of this file.
    Password(Passwords),
    /// Nothing helps.
    Nobody,
}

/// A password file, and how it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Passwords {
    pub realm: String,
    pub file: String,
}

/// What is needed for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub read: Need,
    pub write: Need,
    pub delete: Need,
    /// Nobody may list the repositories.
    pub no_catalog: bool,
}

impl Need {
    /// Whether whoever has what `other` needs has what this needs.
    pub(super) fn is_met_by(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nothing, _) | (_, Self::Nobody) => true,
            (Self::Password(mine), Self::Password(theirs)) => mine.file == theirs.file,
            (Self::Password(_) | Self::Nobody, _) => false,
        }
    }

    /// The stricter of two; `other` where neither is.
    fn and(self, other: Self) -> Self {
        let stricter = other.is_met_by(&self) && !self.is_met_by(&other);
        if stricter { self } else { other }
    }
}

impl Access {
    /// Whether this is no stricter than `other` anywhere.
    pub(super) fn is_met_by(&self, other: &Self) -> bool {
        self.read.is_met_by(&other.read)
            && self.write.is_met_by(&other.write)
            && self.delete.is_met_by(&other.delete)
    }
}

/// What is needed at a place. `certified`: nobody comes there without a client certificate.
pub(super) fn read(
    scope: &Scope<'_>,
    prefix: &Prefix,
    certified: bool,
    conditions: &Conditions,
    report: &mut Report,
) -> Access {
    let outer = need(scope, prefix, certified, report);
    let limits = scope.own().iter().find(|d| d.name == "limit_except");
    let mut access = match limits {
        None => Access {
            read: outer.clone(),
            write: outer.clone(),
            delete: outer,
            no_catalog: false,
        },
        Some(limits) => limited(limits, scope, prefix, (outer, certified), report),
    };
    for (effect, need) in [
        (Effect::NoReading, &mut access.read),
        (Effect::NoWriting, &mut access.write),
        (Effect::NoDeleting, &mut access.delete),
    ] {
        if conditions.have(effect) {
            *need = Need::Nobody;
        }
    }
    overridden(scope, certified, &mut access, report);
    access
}

/// Lines of nginx's own by which not everything comes to the registry as it was asked for.
fn overridden(scope: &Scope<'_>, certified: bool, access: &mut Access, report: &mut Report) {
    let shut = |need: &mut Need| {
        if *need == Need::Nothing && !certified {
            *need = Need::Nobody;
        }
    };
    let answers = |name: &str| {
        matches!(name, "try_files" | "stub_status" | "empty_gif")
            || (name.ends_with("_pass") && name != "proxy_pass")
    };
    for line in scope.own().iter().filter(|d| answers(&d.name)) {
        report.opens(
            line,
            "nginx may answer something else than the registry here, and dockgate always asks the registry",
        );
        shut(&mut access.read);
        shut(&mut access.write);
        shut(&mut access.delete);
    }
    for (name, harmless) in [
        ("proxy_method", "$request_method"),
        ("proxy_pass_request_body", "on"),
        ("proxy_set_body", "$request_body"),
    ] {
        let line = scope.one(name, report).filter(|d| d.arg(0) != harmless);
        let writes = access.write != Need::Nobody || access.delete != Need::Nobody;
        if let Some(line) = line.filter(|_| writes) {
            report.opens(
                line,
                "keeps requests that write from the registry, and dockgate passes them on as they are; deny writing \
                 with limit_except, or write [[rule]]",
            );
            shut(&mut access.write);
            shut(&mut access.delete);
        }
    }
}

/// Inside of `limit_except` is what other methods than its own need.
fn limited(
    limits: &Directive,
    scope: &Scope<'_>,
    prefix: &Prefix,
    (outer, certified): (Need, bool),
    report: &mut Report,
) -> Access {
    for line in limits
        .children()
        .iter()
        .filter(|d| d.name.ends_with("_pass"))
    {
        report.refuse(
            line,
            "sends some methods elsewhere, and dockgate sends all of them to one registry",
        );
    }
    let inner = need(&scope.inside(limits.children()), prefix, certified, report);
    let free = |methods: &[&str]| {
        methods
            .iter()
            .any(|m| limits.args.iter().any(|arg| arg == m))
    };
    let except = |methods: &[&str]| {
        if free(methods) {
            outer.clone()
        } else {
            inner.clone()
        }
    };
    let some = free(&["POST", "PUT", "PATCH"]);
    let all = ["POST", "PUT", "PATCH"].iter().all(|m| free(&[m]));
    report.carried(limits, "auth.anonymous or [[rule]]");
    if some && !all {
        report.stricter(
            limits,
            "names some of the methods that a push needs; what the others need is asked for all",
        );
    }
    Access {
        read: except(&["GET"]),
        write: if all {
            outer.clone()
        } else {
            outer.clone().and(inner.clone())
        },
        delete: except(&["DELETE"]),
        no_catalog: false,
    }
}

/// What `allow` and `deny` come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addresses {
    /// There are none, so they neither let in nor keep out.
    Silent,
    /// Everybody is allowed.
    All,
    /// Nobody is.
    None,
    /// Some are.
    Some,
}

fn need(scope: &Scope<'_>, prefix: &Prefix, certified: bool, report: &mut Report) -> Need {
    let satisfy = scope.one("satisfy", report);
    let any = satisfy.is_some_and(|d| d.arg(0) == "any");
    let rules = scope.nearest(&["allow", "deny"]);
    let password = password(scope, prefix, report);
    let foreign = foreign(scope);
    // Whom no line names is let in, unless something else that could let somebody in says no.
    let unnamed = !any || (password.is_none() && foreign.is_empty());
    let addresses = addresses(&rules, unnamed);
    if let Some(satisfy) = satisfy {
        report.carried(satisfy, "what is needed, below");
    }
    let asks = |password: Option<Passwords>| password.map_or(Need::Nothing, Need::Password);
    match addresses {
        Addresses::Silent | Addresses::Some => {}
        Addresses::All => rules
            .iter()
            .for_each(|rule| report.same(rule, "every address is let in")),
        Addresses::None => rules
            .iter()
            .for_each(|rule| report.carried(rule, "no address is let in")),
    }
    if any && password.is_some() {
        // One of several is enough: what is left of them is the password.
        if addresses == Addresses::All {
            return Need::Nothing;
        }
        let why = "with satisfy any: the password is asked of everybody";
        let partial = rules.iter().filter(|_| addresses == Addresses::Some);
        for directive in partial.chain(&foreign) {
            report.stricter(directive, why);
        }
        return asks(password);
    }
    if any && addresses == Addresses::All {
        return Need::Nothing;
    }
    if addresses == Addresses::None {
        return Need::Nobody;
    }
    let mut lost = false;
    if addresses == Addresses::Some {
        for rule in &rules {
            report.opens(
                rule,
                "dockgate does not look at addresses; let a firewall do it, or listen on an inner address",
            );
        }
        lost = true;
    }
    for directive in &foreign {
        report.opens(
            directive,
            "dockgate has nothing like it, and it may keep somebody out",
        );
        lost = true;
    }
    match password {
        None if lost && !certified => Need::Nobody,
        password => asks(password),
    }
}

/// `unnamed`: an address that no line names is let in.
fn addresses(rules: &[&Directive], unnamed: bool) -> Addresses {
    let Some(first) = rules.first() else {
        return Addresses::Silent;
    };
    // The first that fits decides.
    let mut allowed = rules.iter().take_while(|rule| rule.name == "allow");
    if first.name == "deny" && first.arg(0) == "all" {
        Addresses::None
    } else if allowed.any(|rule| rule.arg(0) == "all")
        || (unnamed && rules.iter().all(|rule| rule.name == "allow"))
    {
        Addresses::All
    } else {
        Addresses::Some
    }
}

fn password(scope: &Scope<'_>, prefix: &Prefix, report: &mut Report) -> Option<Passwords> {
    let asks = scope.one("auth_basic", report)?;
    if asks.arg(0) == "off" {
        report.carried(asks, "no password is asked for");
        return None;
    }
    let Some(file) = scope.one("auth_basic_user_file", report) else {
        report.refuse(
            asks,
            "has no auth_basic_user_file, so that nginx lets everybody in; name the file, or remove the line",
        );
        return None;
    };
    let path = scope
        .resolved(file.arg(0))
        .and_then(|file| prefix.path(&file));
    let Some(path) = path else {
        report.refuse(
            file,
            "the name of the file is made of variables; name one file, and give users rights with [[rule]]",
        );
        return None;
    };
    report.carried(file, "auth.htpasswd");
    let realm = scope.resolved(asks.arg(0));
    let fits = |realm: &String| {
        let fits = |c: char| c == ' ' || (c.is_ascii_graphic() && c != '"' && c != '\\');
        !realm.is_empty() && realm.chars().all(fits)
    };
    if realm.is_none() {
        report.stricter(
            asks,
            "its text is made of variables; the password is asked of everybody",
        );
    } else if realm.as_ref().is_some_and(|realm| !fits(realm)) {
        report.left(
            asks,
            "auth.realm has neither quotes nor other letters than ASCII",
        );
    } else {
        report.carried(asks, "auth.realm");
    }
    Some(Passwords {
        realm: realm.filter(fits).unwrap_or_else(|| "Registry".into()),
        file: path,
    })
}

/// Lines of other modules that may keep somebody out.
fn foreign<'a>(scope: &Scope<'a>) -> Vec<&'a Directive> {
    let mut found: Vec<&Directive> = Vec::new();
    for level in scope.levels().iter().rev() {
        let own = level.iter().filter(|d| may_restrict(&d.name));
        // An inner line replaces the outer one of the same name.
        let new: Vec<&Directive> = own
            .filter(|d| found.iter().all(|inner| inner.name != d.name))
            .copied()
            .collect();
        found.extend(new);
    }
    found.retain(|d| d.arg(0) != "off");
    found
}

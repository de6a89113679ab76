//! Decisions told in words, and decisions about many repositories at once; both by the rules that decide in
//! production.

use std::fmt;

use crate::identity::Identity;
use crate::oci::Pattern;
use crate::route::Action;

use super::Acl;
use super::grants;

/// What is decided about one request, and what decides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// It may be done.
    pub allowed: bool,
    /// The rule or setting that decides, in words.
    pub because: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.allowed { "allowed" } else { "denied" };
        write!(f, "{word}: {}", self.because)
    }
}

/// The repositories that somebody may pull.
#[derive(Debug)]
pub(crate) struct Pullable<'a> {
    all: bool,
    patterns: Vec<&'a Pattern>,
}

impl Pullable<'_> {
    /// Whether this is one of them.
    pub(crate) fn contains(&self, repository: &str) -> bool {
        self.all || self.patterns.iter().any(|p| p.matches(repository))
    }
}

impl Acl {
    /// The repositories that `identity` may see in lists: those it may pull. What its token says about single
    /// repositories does not count here; whether it may list at all is decided by [`Acl::authorize`].
    pub(crate) fn pullable(&self, identity: &Identity) -> Pullable<'_> {
        let person = self.person(identity);
        if self.rules.is_empty() {
            return Pullable {
                all: self.rights(person, "").pull,
                patterns: Vec::new(),
            };
        }
        let about = self.rules.iter().filter(|rule| rule.is_about(person));
        let patterns: Vec<&Pattern> = about
            .filter(|rule| rule.rights.pull)
            .flat_map(|rule| &rule.patterns)
            .collect();
        Pullable {
            all: patterns.iter().any(|pattern| pattern.is_everything()),
            patterns,
        }
    }

    /// Why `identity` may or may not do it.
    pub(crate) fn explain(
        &self,
        identity: &Identity,
        action: Action,
        repository: Option<&str>,
    ) -> Verdict {
        let person = self.person(identity);
        let allowed = self.may(identity, action, repository);
        let because = if self.rules.is_empty()
            || matches!(action, Action::Enter | Action::Public | Action::Token)
        {
            match (person, allowed) {
                (Some(_), true) => {
                    "there are no rules, and whoever is authenticated may do everything".to_owned()
                }
                (None, true) => "auth.anonymous lets everybody do it".to_owned(),
                (Some(_), false) => "the token does not say so".to_owned(),
                (None, false) if identity.is_anonymous() => {
                    "nothing lets everybody do it, and no identity was proven".to_owned()
                }
                (None, false) => {
                    "auth.satisfy is \"all\", and only one proof of identity was brought".to_owned()
                }
            }
        } else {
            let decides = self.rules.iter().find(|rule| {
                rule.is_about(person)
                    && match action {
                        Action::Catalog => rule.catalog,
                        Action::Pull => rule.rights.pull,
                        Action::Push => rule.rights.push,
                        Action::Delete => rule.rights.delete,
                        Action::Public | Action::Enter | Action::Token => false,
                    }
                    && (action == Action::Catalog
                        || repository.is_some_and(|name| rule.covers(name)))
            });
            match decides {
                Some(_) if !allowed && !grants(identity, action, repository) => {
                    "the token does not say so".to_owned()
                }
                Some(rule) => rule.words.clone(),
                None => {
                    let who = person.and_then(Identity::name).unwrap_or("everybody");
                    format!("no rule lets {who} {}", words(action, repository))
                }
            }
        };
        Verdict { allowed, because }
    }
}

/// An action on a repository, as a sentence goes on after "may not".
pub(super) fn words(action: Action, repository: Option<&str>) -> String {
    let name = repository.unwrap_or("this");
    match action {
        Action::Public | Action::Enter | Action::Token => "come in".to_owned(),
        Action::Pull => format!("pull from {name}"),
        Action::Push => format!("push to {name}"),
        Action::Delete => format!("delete from {name}"),
        Action::Catalog => "list repositories".to_owned(),
    }
}

//! One rule: whom it is about, where, and what it allows.

use crate::config;
use crate::config::RuleAction;
use crate::config::Who;
use crate::identity::ClientCertificate;
use crate::identity::Identity;
use crate::identity::Rights;
use crate::oci::Pattern;
use crate::oci::is_like_text;

/// A rule, ready to be asked.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    who: Vec<Who>,
    pub(super) patterns: Vec<Pattern>,
    pub(super) rights: Rights,
    pub(super) catalog: bool,
    /// As a person reads it.
    pub(super) words: String,
}

impl Rule {
    /// `number` counts the rules of the configuration from one.
    pub(super) fn new(number: usize, rule: &config::Rule) -> Self {
        let mut rights = Rights::default();
        let mut catalog = false;
        for action in &rule.actions {
            match action {
                RuleAction::Pull => rights.pull = true,
                RuleAction::Push => rights.push = true,
                RuleAction::Delete => rights.delete = true,
                RuleAction::Catalog => catalog = true,
                RuleAction::All => (rights, catalog) = (Rights::ALL, true),
            }
        }
        Self {
            who: rule.who.clone(),
            patterns: rule
                .repositories
                .iter()
                .map(|text| Pattern::new(text))
                .collect(),
            rights,
            catalog,
            words: words(number, rule),
        }
    }

    /// Whether it is about this person; `None` is nobody in particular.
    pub(super) fn is_about(&self, person: Option<&Identity>) -> bool {
        self.who.iter().any(|who| match (who, person) {
            (Who::Anonymous, _) | (Who::Authenticated, Some(_)) => true,
            (Who::User(name), Some(person)) => person.user.as_deref() == Some(name),
            (Who::Group(name), Some(person)) => person.groups.iter().any(|group| **group == **name),
            (Who::Certificate(pattern), Some(person)) => person
                .certificate
                .as_deref()
                .is_some_and(|certificate| is_named(certificate, pattern)),
            (_, None) => false,
        })
    }

    /// Whether it is about this repository.
    pub(super) fn covers(&self, repository: &str) -> bool {
        self.patterns
            .iter()
            .any(|pattern| pattern.matches(repository))
    }
}

/// Whether the fingerprint or one of the names of a certificate is like the pattern. Host names know no case.
fn is_named(certificate: &ClientCertificate, pattern: &str) -> bool {
    let fingerprint = pattern.strip_prefix("sha256:").unwrap_or(pattern);
    let fingerprint = fingerprint.replace(':', "").to_ascii_lowercase();
    if fingerprint == certificate.fingerprint {
        return true;
    }
    let lower = pattern.to_ascii_lowercase();
    let exact = certificate
        .common_name
        .iter()
        .chain(&certificate.emails)
        .chain(&certificate.uris);
    exact.into_iter().any(|name| is_like_text(pattern, name))
        || certificate
            .dns
            .iter()
            .any(|name| is_like_text(&lower, &name.to_ascii_lowercase()))
}

fn words(number: usize, rule: &config::Rule) -> String {
    let who: Vec<String> = rule
        .who
        .iter()
        .map(|who| match who {
            Who::Anonymous => "everybody".to_owned(),
            Who::Authenticated => "whoever is logged in".to_owned(),
            Who::User(name) => format!("user {name}"),
            Who::Group(name) => format!("group {name}"),
            Who::Certificate(pattern) => format!("certificate {pattern}"),
        })
        .collect();
    let actions: Vec<&str> = rule
        .actions
        .iter()
        .map(|action| match action {
            RuleAction::Pull => "pull",
            RuleAction::Push => "push",
            RuleAction::Delete => "delete",
            RuleAction::Catalog => "list repositories",
            RuleAction::All => "do everything",
        })
        .collect();
    let mut text = format!(
        "rule {number} ({}): {} may {}",
        rule.place,
        who.join(", "),
        actions.join(", ")
    );
    if !rule.repositories.is_empty() {
        text.push_str(" on ");
        text.push_str(&rule.repositories.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_known_by_any_of_its_names_and_by_its_fingerprint() {
        let certificate = ClientCertificate {
            common_name: Some("build-7".into()),
            dns: vec!["Build7.example.com".into()],
            emails: vec!["build@example.com".into()],
            uris: vec!["spiffe://example.com/build/7".into()],
            subject: "CN=build-7,O=secret".into(),
            serial: "abcd".into(),
            fingerprint: "0f".repeat(32),
        };
        let colons = ["0F"; 32].join(":");
        for yes in [
            "build-7",
            "build-*",
            "*.example.com",
            "build7.EXAMPLE.com",
            "*@example.com",
            "spiffe://example.com/*",
            &"0f".repeat(32),
            &format!("sha256:{}", "0F".repeat(32)),
            &colons,
        ] {
            assert!(is_named(&certificate, yes), "{yes}");
        }
        for no in [
            "build-",
            "Build-7",
            "uild-7",
            "abcd",
            "*secret*",
            "0f0f",
            "0f*",
            "example.com",
        ] {
            assert!(!is_named(&certificate, no), "{no}");
        }
    }
}

//! `dockgate explain`: what decides whether somebody may do something, from the code that decides in production.
//!
//! Exit codes: 0 it is allowed, 1 it is denied, 2 the question or the configuration is wrong.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use crate::acl::Acl;
use crate::acl::Verdict;
use crate::auth::Authenticator;
use crate::auth::Groups;
use crate::config::{ClientAuth, Config, ListenAddress, Listener};
use crate::identity::Identity;
use crate::metrics::Logins;
use crate::net::TrustedNetworks;
use crate::oci::{Digest, Reference, RepositoryName};
use crate::route;
use crate::telemetry::chain;
use crate::tls::client_certificate_file;

use super::line::explain::{Action, Question};
use super::{DONE, FAILED, WRONG, answer, load, say};

pub(super) fn run(named: Option<&Path>, question: &Question) -> u8 {
    let repository = match question.repository.as_deref().map(repository).transpose() {
        Ok(repository) => repository,
        Err(fault) => return wrong(&[fault]),
    };
    let found = match load::load(named) {
        Ok(found) => found,
        Err(faults) => return wrong(&faults),
    };
    match decide(&found.loaded.config, question, repository.as_ref()) {
        Ok(told) => {
            answer(&told.verdict.to_string());
            if let Some(file) = &found.file {
                answer(&format!("by {}", file.display()));
            }
            for note in &told.notes {
                answer(note);
            }
            if told.verdict.allowed { DONE } else { FAILED }
        }
        Err(faults) => wrong(&faults),
    }
}

fn wrong(faults: &[String]) -> u8 {
    for fault in faults {
        say(fault);
    }
    WRONG
}

/// The answer, and what else somebody who asks should know.
struct Told {
    verdict: Verdict,
    notes: Vec<String>,
}

fn decide(
    config: &Config,
    question: &Question,
    repository: Option<&RepositoryName>,
) -> Result<Told, Vec<String>> {
    let mut notes = Vec::new();
    let mut identity = Identity::anonymous();
    if let Some(path) = &question.cert {
        let certificate = client_certificate_file(path).map_err(|fault| vec![chain(&fault)])?;
        if config
            .listeners
            .iter()
            .all(|l| client_auth(l) == ClientAuth::Off)
        {
            notes.push("no listener asks for client certificates, so the gate never sees this one; set client_auth and client_ca in [listener.tls]".to_owned());
        } else {
            identity.certificate = Some(Arc::new(certificate));
        }
    }
    if let Some(user) = &question.user {
        let (authenticator, warnings) =
            Authenticator::load(&config.auth, &config.limits, Logins::default())
                .map_err(|f| vec![chain(&f)])?;
        notes.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
        if !authenticator.knows(user) {
            let because = match &config.auth.htpasswd {
                Some(path) => format!("{} holds no user {user:?}", path.display()),
                None => "no password file is configured, so every password is wrong".to_owned(),
            };
            let verdict = Verdict {
                allowed: false,
                because,
            };
            return Ok(Told { verdict, notes });
        }
        identity.user = Some(user.as_str().into());
        let groups = Groups::load(config.auth.groups.as_deref());
        let (groups, warnings) = groups.map_err(|f| vec![chain(&f)])?;
        notes.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
        identity.groups = groups.of(user);
    }
    notes.extend(question.from.and_then(|from| about(config, from)));
    let acl = Acl::new(config);
    let name = repository.map(RepositoryName::as_str);
    let mut verdict = acl.explain(&identity, question.action.meant(), name);
    if verdict.allowed {
        let closed = without_certificate(config, &identity);
        let doors = config.listeners.iter().filter(|l| !l.challenges_only);
        if closed.len() == doors.count() {
            verdict = Verdict {
                allowed: false,
                because: "every listener asks for a client certificate (client_auth = \"required\"), and none was brought".to_owned(),
            };
        } else {
            notes.extend(closed.iter().map(|listener| {
                let address = match &listener.address {
                    ListenAddress::Tcp(address) => address.to_string(),
                    ListenAddress::Unix(path) => path.display().to_string(),
                };
                format!(
                    "not through the listener {address}: it asks everybody for a client certificate"
                )
            }));
            if question.action == Action::Push {
                let pull = acl.explain(&identity, route::Action::Pull, name);
                notes.extend(
                    (!pull.allowed)
                        .then(|| format!("clients read while they push, and that is {pull}")),
                );
            }
        }
    }
    Ok(Told { verdict, notes })
}

/// The listeners that turn this identity away before any rule is asked.
fn without_certificate<'a>(config: &'a Config, identity: &Identity) -> Vec<&'a Listener> {
    let closed = |listener: &&Listener| {
        identity.certificate.is_none() && client_auth(listener) == ClientAuth::Required
    };
    config.listeners.iter().filter(closed).collect()
}

fn client_auth(listener: &Listener) -> ClientAuth {
    listener
        .tls
        .as_ref()
        .map_or(ClientAuth::Off, |tls| tls.client_auth)
}

/// What the address changes: no rule looks at it, but a proxy speaks for others.
fn about(config: &Config, from: IpAddr) -> Option<String> {
    let trusted = TrustedNetworks::new(config.headers.trusted_proxies.clone());
    trusted.contains(from).then(|| {
        format!("{from} is a trusted proxy: for logs and login delays the client is who X-Forwarded-For names")
    })
}

/// The name in front of a tag or digest.
fn repository(text: &str) -> Result<RepositoryName, String> {
    let fault = |what: &dyn std::fmt::Display| {
        format!("{text:?}: {what}; write REPOSITORY or REPOSITORY:TAG, without the registry's host")
    };
    let (name, digest) = text
        .split_once('@')
        .map_or((text, None), |(name, digest)| (name, Some(digest)));
    let (name, tag) = name
        .split_once(':')
        .map_or((name, None), |(name, tag)| (name, Some(tag)));
    if let Some(digest) = digest {
        Digest::parse(digest).map_err(|invalid| fault(&invalid))?;
    }
    if let Some(tag) = tag {
        Reference::parse(tag).map_err(|invalid| fault(&invalid))?;
    }
    RepositoryName::parse(name).map_err(|invalid| fault(&invalid))
}

impl Action {
    fn meant(self) -> route::Action {
        match self {
            Self::Pull => route::Action::Pull,
            Self::Push => route::Action::Push,
            Self::Delete => route::Action::Delete,
            Self::Catalog => route::Action::Catalog,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_told_from_its_tag_and_digest() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for text in [
            "team/app".to_owned(),
            "team/app:1".to_owned(),
            format!("team/app@{digest}"),
            format!("team/app:1@{digest}"),
        ] {
            assert_eq!(repository(&text).unwrap().as_str(), "team/app", "{text}");
        }
        for text in [
            "",
            "Team/app",
            "team/app:",
            "team/app:-",
            "host:5000/team/app:1",
            "a@b",
        ] {
            assert!(
                repository(text).unwrap_err().contains("REPOSITORY"),
                "{text}"
            );
        }
    }
}

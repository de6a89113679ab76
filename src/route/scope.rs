//! Scopes, the words in which clients ask the token service for rights: `repository:NAME:pull,push` and
//! `registry:catalog:*` (distribution's "Token Scope").

use crate::identity::Grants;
use crate::identity::Rights;
use crate::oci::RepositoryName;

use super::{Access, Action};

/// Scopes beyond this many are not read. No client sends more than a handful.
const MOST: usize = 256;

/// What scopes ask for; each text may hold several, separated by spaces. What is no scope, and what no request could
/// be about (a name with a host and port in it, say), asks for nothing: clients send such things and expect a token.
pub(crate) fn asked<'a>(texts: impl IntoIterator<Item = &'a str>) -> Grants {
    let mut asked = Grants::default();
    let scopes = texts
        .into_iter()
        .flat_map(str::split_ascii_whitespace)
        .take(MOST);
    for scope in scopes {
        let Some((kind, rest)) = scope.split_once(':') else {
            continue;
        };
        let Some((name, actions)) = rest.rsplit_once(':') else {
            continue;
        };
        // `repository(plugin)` is a class of repositories, with the rights of all others.
        let kind = kind.split_once('(').map_or(kind, |(kind, _)| kind);
        match (kind, name) {
            ("registry", "catalog") => asked.catalog |= !actions.is_empty(),
            ("repository", name) if RepositoryName::parse(name).is_ok() => {
                let mut rights = Rights::default();
                actions.split(',').for_each(|word| rights.add(word));
                asked.add(name, rights);
            }
            _ => {}
        }
    }
    asked
}

impl Access<'_> {
    /// The scope that a token needs for it, as a challenge names it.
    pub(crate) fn scope(&self) -> Option<String> {
        let actions = match self.action {
            Action::Public | Action::Enter | Action::Token => return None,
            Action::Catalog => return Some("registry:catalog:*".to_owned()),
            Action::Pull => "pull",
            Action::Push => "pull,push",
            Action::Delete => "delete",
        };
        let name = self.repository?;
        Some(format!("repository:{name}:{actions}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let asked = asked([text]);
        let catalog = asked.catalog.then(|| "catalog".to_owned());
        let names = asked
            .repositories()
            .map(|(name, rights)| format!("{name} {}", rights.words().join(",")));
        names.chain(catalog).collect()
    }

    #[test]
    fn scopes_of_real_clients_are_read() {
        for (text, expected) in [
            ("repository:a/b:push,pull", &["a/b pull,push"][..]),
            (
                "repository:a:pull repository:b:pull,push",
                &["a pull", "b pull,push"],
            ),
            ("repository:a:pull repository:a:push", &["a pull,push"]),
            ("repository:a:*", &["a pull,push,delete"]),
            ("repository(plugin):a:pull", &["a pull"]),
            ("registry:catalog:*", &["catalog"]),
            ("registry:catalog:search", &["catalog"]),
            ("  repository:a:pull \t ", &["a pull"]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_scope_asks_for_nothing_and_spoils_nothing() {
        for text in [
            "",
            "repository",
            "repository:a",
            "repository::pull",
            "repository:a:",
            "repository:a:fly",
            "repository:*:*",
            "repository:a:pull:push",
            "repository:../a:pull",
            "repository:A:pull",
            "repository:a%2fb:pull",
            "repository:registry.test:5000/a:pull",
            "registry:catalog",
            "registry:other:*",
            "user:a:pull",
            ":::",
        ] {
            assert_eq!(asked([text]), Grants::default(), "{text}");
            let beside = format!("{text} repository:fine:pull");
            assert_eq!(words(&beside), ["fine pull"], "{text}");
        }
        let many = "repository:a:pull ".repeat(100_000);
        assert_eq!(words(&many), ["a pull"]);
    }
}

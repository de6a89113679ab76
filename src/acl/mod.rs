//! Who may do what. The only room that can make a [`Permit`], and no handler runs without one.
//!
//! Knows identities and routes, no HTTP and no files. What is not allowed here is refused: a new action has no right
//! until it is written into [`Acl::authorize`]. Everything is decided by name alone, never by what the registry holds,
//! so no answer of this room tells whether a repository exists, neither by its text nor by the time it takes.

#[cfg(test)]
mod never_wider;
mod rule;
mod verdict;

use crate::config::Anonymous;
use crate::config::Config;
use crate::config::Satisfy;
use crate::identity::Grants;
use crate::identity::Identity;
use crate::identity::Rights;
use crate::oci::Code;
use crate::oci::RepositoryName;
use crate::peer::Peer;
use crate::route::Access;
use crate::route::Action;

use rule::Rule;

pub(crate) use verdict::Verdict;

/// The policy in force.
#[derive(Clone, Debug)]
pub(crate) struct Acl {
    anonymous: Anonymous,
    satisfy: Satisfy,
    passwords: bool,
    /// Empty: whoever proved an identity may do everything.
    rules: Vec<Rule>,
    /// Something may be done without credentials.
    public: bool,
}

/// Leave to do the one thing that was asked; only [`Acl::authorize`] makes it.
#[derive(Debug)]
pub(crate) struct Permit {
    mount: bool,
}

impl Permit {
    /// Whether the mount that was asked for may be made too; where not, the upload is an ordinary one.
    pub(crate) fn includes_mount(&self) -> bool {
        self.mount
    }
}

/// Why something may not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// A password would help.
    #[error("authentication required: log in first")]
    Unauthenticated,
    /// Only a client certificate helps, and the handshake brought none.
    #[error("a client certificate is required")]
    CertificateRequired,
    /// The token does not say that its bearer may; another one might.
    #[error("the token does not allow this; log in as somebody who may, and ask for a new one")]
    InsufficientScope,
    /// Who it is is known, and may not.
    #[error("{who} may not {what}")]
    Forbidden {
        /// The name of the user or certificate.
        who: String,
        /// Action and repository.
        what: String,
    },
    /// A repository of which the asker may know nothing: to be answered as if there were none.
    #[error("{}", missing(*.0))]
    Hidden(Code),
}

/// What registry:2 says of what it does not have.
fn missing(code: Code) -> &'static str {
    match code {
        Code::ManifestUnknown => "manifest unknown",
        Code::BlobUnknown => "blob unknown to registry",
        _ => "repository name not known to registry",
    }
}

impl Acl {
    /// The policy that the configuration describes.
    pub(crate) fn new(config: &Config) -> Self {
        let rules = config.rules.iter().zip(1..);
        Self {
            anonymous: config.auth.anonymous,
            satisfy: config.auth.satisfy,
            passwords: config.auth.htpasswd.is_some(),
            rules: rules
                .map(|(rule, number)| Rule::new(number, rule))
                .collect(),
            public: config.has_public(),
        }
    }

    /// What no password can mend, to be asked before one is checked: a missing certificate where one is required.
    ///
    /// # Errors
    /// It is missing.
    pub(crate) fn admit(peer: &Peer, access: &Access<'_>) -> Result<(), Denied> {
        if access.action != Action::Public
            && peer.certificate_required
            && peer.certificate.is_none()
        {
            return Err(Denied::CertificateRequired);
        }
        Ok(())
    }

    /// Leave for `identity` to do what `access` says, over the connection of `peer`.
    ///
    /// # Errors
    /// Says which proof of identity or which right is missing.
    pub(crate) fn authorize(
        &self,
        identity: &Identity,
        peer: &Peer,
        access: &Access<'_>,
    ) -> Result<Permit, Denied> {
        let mount = self.may_mount(identity, access);
        let permit = Permit { mount };
        if access.action == Action::Public {
            return Ok(permit);
        }
        if peer.certificate_required && identity.certificate.is_none() {
            return Err(Denied::CertificateRequired);
        }
        let repository = access.repository.map(RepositoryName::as_str);
        if self.may(identity, access.action, repository) {
            return Ok(permit);
        }
        Err(self.denied(identity, access))
    }

    /// Whether `identity` may do it, by what it is and by what its token says. What everybody may do needs no token.
    pub(crate) fn may(
        &self,
        identity: &Identity,
        action: Action,
        repository: Option<&str>,
    ) -> bool {
        let person = self.person(identity);
        self.allows(None, action, repository)
            || (self.allows(person, action, repository) && grants(identity, action, repository))
            // A token is proof that the token service let its bearer in, whoever that is.
            || (action == Action::Enter && self.public && identity.grants.is_some())
    }

    /// What of `asked` a token for `identity` may say.
    pub(crate) fn grants(&self, identity: &Identity, asked: &Grants) -> Grants {
        let person = self.person(identity);
        let mut granted = Grants::default();
        granted.catalog = asked.catalog && self.allows(person, Action::Catalog, None);
        for (name, rights) in asked.repositories() {
            granted.add(name, rights.and(self.rights(person, name)));
        }
        granted
    }

    /// The identity, if it is proven as `auth.satisfy` wants it; else nobody in particular.
    fn person<'i>(&self, identity: &'i Identity) -> Option<&'i Identity> {
        let proven = match self.satisfy {
            Satisfy::Any => !identity.is_anonymous(),
            Satisfy::All => identity.user.is_some() && identity.certificate.is_some(),
        };
        proven.then_some(identity)
    }

    /// Whether a person may do it, whatever a token says.
    fn allows(&self, person: Option<&Identity>, action: Action, repository: Option<&str>) -> bool {
        let rights = || repository.map_or_else(Rights::default, |name| self.rights(person, name));
        match action {
            Action::Public | Action::Token => true,
            // Clients ask this first and learn from the answer whether to bring credentials. So nobody in particular
            // comes in here only where no password exists that he could bring.
            Action::Enter => person.is_some() || (self.public && !self.passwords),
            Action::Pull => rights().pull,
            Action::Push => rights().push,
            Action::Delete => rights().delete,
            Action::Catalog if self.rules.is_empty() => {
                person.is_some() || self.anonymous == Anonymous::Pull
            }
            Action::Catalog => self
                .rules
                .iter()
                .any(|rule| rule.catalog && rule.is_about(person)),
        }
    }

    /// What a person may do with a repository.
    fn rights(&self, person: Option<&Identity>, repository: &str) -> Rights {
        if self.rules.is_empty() {
            return match (person, self.anonymous) {
                (Some(_), _) => Rights::ALL,
                (None, Anonymous::Pull) => Rights {
                    pull: true,
                    ..Rights::default()
                },
                (None, Anonymous::None) => Rights::default(),
            };
        }
        let about = self.rules.iter().filter(|rule| rule.is_about(person));
        let covering = about.filter(|rule| rule.covers(repository));
        covering.fold(Rights::default(), |all, rule| all.or(rule.rights))
    }

    /// A mount reads from its source, so it needs `pull` there. One that names no source may read from anywhere.
    fn may_mount(&self, identity: &Identity, access: &Access<'_>) -> bool {
        if access.mounts_from_anywhere {
            return self.rules.is_empty() && identity.grants.is_none();
        }
        access
            .mount_source
            .is_none_or(|from| self.may(identity, Action::Pull, Some(from.as_str())))
    }

    fn denied(&self, identity: &Identity, access: &Access<'_>) -> Denied {
        let repository = access.repository.map(RepositoryName::as_str);
        let Some(person) = self.person(identity) else {
            let half_proven = self.satisfy == Satisfy::All && identity.user.is_some();
            return match identity.grants {
                _ if half_proven => Denied::CertificateRequired,
                Some(_) => Denied::InsufficientScope,
                None if !self.passwords => Denied::CertificateRequired,
                None => Denied::Unauthenticated,
            };
        };
        if identity.grants.is_some() && self.allows(Some(person), access.action, repository) {
            return Denied::InsufficientScope;
        }
        let sees =
            repository.map(|name| self.rights(Some(person), name)) != Some(Rights::default());
        if !sees && matches!(access.action, Action::Pull | Action::Delete) {
            return Denied::Hidden(access.missing);
        }
        Denied::Forbidden {
            who: person.name().unwrap_or("this client").to_owned(),
            what: verdict::words(access.action, repository),
        }
    }
}

/// Whether the token, if there is one, says so.
fn grants(identity: &Identity, action: Action, repository: Option<&str>) -> bool {
    let Some(grants) = &identity.grants else {
        return true;
    };
    let rights = repository.map_or_else(Rights::default, |name| grants.on(name));
    match action {
        Action::Public | Action::Token | Action::Enter => true,
        Action::Pull => rights.pull,
        Action::Push => rights.push,
        Action::Delete => rights.delete,
        Action::Catalog => grants.catalog,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::identity::ClientCertificate;
    use crate::peer::Address;
    use crate::peer::Scheme;

    fn acl_without_rules(anonymous: Anonymous, satisfy: Satisfy, passwords: bool) -> Acl {
        Acl {
            anonymous,
            satisfy,
            passwords,
            rules: Vec::new(),
            public: anonymous == Anonymous::Pull,
        }
    }

    fn ask(acl: &Acl, who: &Identity, required: bool, action: Action) -> Result<(), Denied> {
        let peer = Peer {
            address: Address::Unix,
            scheme: Scheme::Https,
            sni: None,
            tls_version: None,
            certificate: who.certificate.clone(),
            certificate_required: required,
            challenges_only: false,
        };
        let repository = RepositoryName::parse("a").ok();
        let access = Access {
            action,
            repository: repository.as_ref(),
            mount_source: None,
            mounts_from_anywhere: false,
            missing: Code::NameUnknown,
        };
        acl.authorize(who, &peer, &access).map(|_| ())
    }

    fn user() -> Identity {
        Identity {
            user: Some("alice".into()),
            ..Identity::default()
        }
    }

    fn certificate() -> Identity {
        Identity {
            certificate: Some(Arc::new(ClientCertificate::default())),
            ..Identity::default()
        }
    }

    const ALL: [Action; 5] = [
        Action::Enter,
        Action::Pull,
        Action::Push,
        Action::Delete,
        Action::Catalog,
    ];

    #[test]
    fn nobody_does_anything_by_default_but_ping() {
        let acl = acl_without_rules(Anonymous::None, Satisfy::Any, true);
        for action in ALL {
            assert_eq!(
                ask(&acl, &Identity::anonymous(), false, action),
                Err(Denied::Unauthenticated)
            );
            assert_eq!(ask(&acl, &user(), false, action), Ok(()));
            assert_eq!(ask(&acl, &certificate(), false, action), Ok(()));
        }
        assert_eq!(
            ask(&acl, &Identity::anonymous(), true, Action::Public),
            Ok(())
        );
    }

    #[test]
    fn anonymous_pull_reads_and_never_writes() {
        let acl = acl_without_rules(Anonymous::Pull, Satisfy::Any, true);
        for (action, open) in ALL.into_iter().zip([false, true, false, false, true]) {
            assert_eq!(
                ask(&acl, &Identity::anonymous(), false, action).is_ok(),
                open,
                "{action:?}"
            );
        }
    }

    #[test]
    fn a_required_certificate_is_asked_of_everyone_even_for_public_content() {
        let acl = acl_without_rules(Anonymous::Pull, Satisfy::Any, true);
        for who in [Identity::anonymous(), user()] {
            assert_eq!(
                ask(&acl, &who, true, Action::Pull),
                Err(Denied::CertificateRequired)
            );
        }
        assert_eq!(ask(&acl, &certificate(), true, Action::Push), Ok(()));
    }

    #[test]
    fn satisfy_all_wants_both_proofs_and_names_the_missing_one() {
        let acl = acl_without_rules(Anonymous::None, Satisfy::All, true);
        assert_eq!(
            ask(&acl, &user(), false, Action::Pull),
            Err(Denied::CertificateRequired)
        );
        assert_eq!(
            ask(&acl, &certificate(), false, Action::Pull),
            Err(Denied::Unauthenticated)
        );
        let both = Identity {
            certificate: certificate().certificate,
            ..user()
        };
        assert_eq!(ask(&acl, &both, false, Action::Push), Ok(()));
    }

    #[test]
    fn where_no_password_can_help_none_is_asked_for() {
        let acl = acl_without_rules(Anonymous::None, Satisfy::Any, false);
        assert_eq!(
            ask(&acl, &Identity::anonymous(), false, Action::Pull),
            Err(Denied::CertificateRequired)
        );
    }

    fn rules(text: &str) -> Acl {
        let text = format!(
            "[upstream]\nurl = \"http://a\"\n[auth]\nhtpasswd = \"h\"\ngroups = \"g\"\n{text}"
        );
        let loaded = Config::parse(&text, std::path::Path::new("/"), &[]);
        Acl::new(&loaded.unwrap_or_else(|faults| panic!("{faults}")).config)
    }

    fn named(user: &str, groups: &[&str]) -> Identity {
        Identity {
            user: Some(user.into()),
            groups: groups.iter().map(|group| Arc::from(*group)).collect(),
            ..Identity::default()
        }
    }

    fn with_token(mut identity: Identity, scopes: &str) -> Identity {
        identity.grants = Some(Arc::new(crate::route::asked([scopes])));
        identity
    }

    /// Asks in the way of a request.
    fn request(acl: &Acl, who: &Identity, method: &str, path: &str) -> Result<bool, Denied> {
        let route = crate::route::Route::parse(
            &method.parse().unwrap(),
            &path.parse().unwrap(),
            Some("/v2/token"),
        );
        let peer = Peer {
            address: Address::Unix,
            scheme: Scheme::Https,
            sni: None,
            tls_version: None,
            certificate: who.certificate.clone(),
            certificate_required: false,
            challenges_only: false,
        };
        acl.authorize(who, &peer, &route.unwrap().access())
            .map(|permit| permit.includes_mount())
    }

    const RULES: &str = r#"
[[rule]]
who = ["anonymous"]
repositories = ["public/**"]
actions = ["pull", "catalog"]
[[rule]]
who = ["group:ci", "cert:build-*"]
repositories = ["public/**", "team/**"]
actions = ["pull", "push"]
[[rule]]
who = ["user:bob"]
repositories = ["team/**"]
actions = ["pull"]
[[rule]]
who = ["user:root"]
repositories = ["**"]
actions = ["*"]
"#;
    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn forbidden(who: &str, what: &str) -> Result<bool, Denied> {
        Err(Denied::Forbidden {
            who: who.into(),
            what: what.into(),
        })
    }

    #[test]
    fn r2_with_rules_nothing_is_allowed_but_what_some_rule_allows() {
        let acl = rules(RULES);
        let (nobody, ann) = (Identity::anonymous(), named("ann", &["ci"]));
        let (bob, root) = (named("bob", &[]), named("root", &[]));
        let build = Identity {
            certificate: Some(Arc::new(ClientCertificate {
                common_name: Some("build-7".into()),
                ..ClientCertificate::default()
            })),
            ..Identity::default()
        };
        let (public, team, other) = (
            "/v2/public/a/manifests/1",
            "/v2/team/a/manifests/1",
            "/v2/other/manifests/1",
        );
        for (who, method, path, expected) in [
            (&nobody, "GET", public, Ok(true)),
            (&nobody, "PUT", public, Err(Denied::Unauthenticated)),
            (&nobody, "GET", team, Err(Denied::Unauthenticated)),
            (&nobody, "GET", other, Err(Denied::Unauthenticated)),
            (&nobody, "GET", "/v2/_catalog", Ok(true)),
            (&ann, "GET", team, Ok(true)),
            (&ann, "PUT", public, Ok(true)),
            (
                &ann,
                "DELETE",
                &format!("/v2/team/a/manifests/{DIGEST}"),
                forbidden("ann", "delete from team/a"),
            ),
            (&build, "PUT", team, Ok(true)),
            (&bob, "GET", team, Ok(true)),
            (&bob, "PUT", team, forbidden("bob", "push to team/a")),
            (&bob, "GET", public, Ok(true)),
            (
                &bob,
                "GET",
                other,
                Err(Denied::Hidden(Code::ManifestUnknown)),
            ),
            (&bob, "PUT", other, forbidden("bob", "push to other")),
            (
                &bob,
                "GET",
                "/v2/other/tags/list",
                Err(Denied::Hidden(Code::NameUnknown)),
            ),
            (
                &bob,
                "HEAD",
                &format!("/v2/other/blobs/{DIGEST}"),
                Err(Denied::Hidden(Code::BlobUnknown)),
            ),
            (
                &bob,
                "DELETE",
                &format!("/v2/other/blobs/{DIGEST}"),
                Err(Denied::Hidden(Code::BlobUnknown)),
            ),
            (&bob, "GET", "/v2/", Ok(true)),
            (&root, "PUT", other, Ok(true)),
        ] {
            assert_eq!(
                request(&acl, who, method, path),
                expected,
                "{:?} {method} {path}",
                who.name()
            );
        }
    }

    #[test]
    fn k2_k6_a_token_never_allows_more_than_it_says_nor_more_than_its_bearer_may() {
        let acl = rules(RULES);
        let ann = || named("ann", &["ci"]);
        for (who, method, path, expected) in [
            (
                with_token(ann(), "repository:team/a:pull"),
                "GET",
                "/v2/team/a/manifests/1",
                Ok(true),
            ),
            (
                with_token(ann(), "repository:team/a:pull"),
                "PUT",
                "/v2/team/a/manifests/1",
                Err(Denied::InsufficientScope),
            ),
            (
                with_token(ann(), "repository:team/a:*"),
                "GET",
                "/v2/team/b/manifests/1",
                Err(Denied::InsufficientScope),
            ),
            (
                with_token(ann(), ""),
                "GET",
                "/v2/public/a/manifests/1",
                Ok(true),
            ),
            (with_token(ann(), ""), "GET", "/v2/", Ok(true)),
            (
                with_token(Identity::anonymous(), ""),
                "GET",
                "/v2/",
                Ok(true),
            ),
            (
                with_token(Identity::anonymous(), "repository:team/a:pull"),
                "GET",
                "/v2/team/a/manifests/1",
                Err(Denied::InsufficientScope),
            ),
            (
                with_token(named("bob", &[]), "repository:team/a:*"),
                "PUT",
                "/v2/team/a/manifests/1",
                forbidden("bob", "push to team/a"),
            ),
            (
                with_token(named("root", &[]), "repository:a:*"),
                "GET",
                "/v2/_catalog",
                Ok(true),
            ),
        ] {
            assert_eq!(
                request(&acl, &who, method, path),
                expected,
                "{who:?} {method} {path}"
            );
        }
        let closed = rules(&RULES.replace("\"anonymous\"", "\"user:x\""));
        let root = with_token(named("root", &[]), "repository:a:*");
        assert_eq!(
            request(&closed, &root, "GET", "/v2/_catalog"),
            Err(Denied::InsufficientScope)
        );
    }

    #[test]
    fn a_mount_needs_pull_on_its_source_and_a_source() {
        let acl = rules(RULES);
        let ann = || named("ann", &["ci"]);
        let mount = |who: &Identity, rest: &str| {
            request(
                &acl,
                who,
                "POST",
                &format!("/v2/team/a/blobs/uploads/?mount={DIGEST}{rest}"),
            )
        };
        assert_eq!(mount(&ann(), "&from=team/b"), Ok(true));
        assert_eq!(mount(&ann(), "&from=other"), Ok(false));
        assert_eq!(mount(&ann(), ""), Ok(false));
        let narrow = with_token(ann(), "repository:team/a:pull,push");
        assert_eq!(mount(&narrow, "&from=team/b"), Ok(false));
        assert_eq!(mount(&narrow, "&from=public/b"), Ok(true));
        assert_eq!(
            mount(&named("bob", &[]), "&from=team/b"),
            forbidden("bob", "push to team/a")
        );
        let open = acl_without_rules(Anonymous::None, Satisfy::Any, true);
        assert_eq!(
            request(
                &open,
                &ann(),
                "POST",
                &format!("/v2/a/blobs/uploads/?mount={DIGEST}")
            ),
            Ok(true)
        );
    }

    #[test]
    fn the_token_service_grants_what_was_asked_and_is_allowed() {
        let acl = rules(RULES);
        let asked = crate::route::asked([
            "repository:team/a:* repository:public/x:pull,push repository:other:pull registry:catalog:*",
        ]);
        let granted = |who: &Identity| {
            let grants = acl.grants(who, &asked);
            let names = grants
                .repositories()
                .map(|(n, r)| format!("{n} {}", r.words().join(",")));
            (names.collect::<Vec<_>>().join("; "), grants.catalog)
        };
        assert_eq!(
            granted(&Identity::anonymous()),
            ("public/x pull".into(), true)
        );
        assert_eq!(
            granted(&named("bob", &[])),
            ("public/x pull; team/a pull".into(), true)
        );
        assert_eq!(
            granted(&named("ann", &["ci"])),
            ("public/x pull,push; team/a pull,push".into(), true)
        );
    }

    #[test]
    fn lists_show_what_may_be_pulled_and_verdicts_name_the_rule() {
        let acl = rules(RULES);
        let (nobody, bob, root) = (Identity::anonymous(), named("bob", &[]), named("root", &[]));
        let seen = |who: &Identity| {
            let pullable = acl.pullable(who);
            ["public/a", "team/a", "other"].map(|name| pullable.contains(name))
        };
        assert_eq!(seen(&nobody), [true, false, false]);
        assert_eq!(seen(&bob), [true, true, false]);
        assert_eq!(seen(&root), [true; 3]);
        assert!(
            acl.pullable(&root).contains("any/thing") && !acl.pullable(&bob).contains("any/thing")
        );
        let why = |who: &Identity, action| acl.explain(who, action, Some("team/a")).to_string();
        assert_eq!(
            why(&bob, Action::Pull),
            "allowed: rule 3 (line 15): user bob may pull on team/**"
        );
        assert_eq!(
            why(&bob, Action::Push),
            "denied: no rule lets bob push to team/a"
        );
        assert_eq!(
            why(&nobody, Action::Pull),
            "denied: no rule lets everybody pull from team/a"
        );
        assert_eq!(
            why(&nobody, Action::Catalog),
            "allowed: rule 1 (line 7): everybody may pull, list repositories on public/**"
        );
    }

    #[test]
    fn half_a_proof_is_nobody_for_rules() {
        let mut acl = rules(RULES);
        acl.satisfy = Satisfy::All;
        let root = named("root", &[]);
        assert_eq!(
            request(&acl, &root, "GET", "/v2/other/manifests/1"),
            Err(Denied::CertificateRequired)
        );
        assert_eq!(
            request(&acl, &root, "GET", "/v2/public/a/manifests/1"),
            Ok(true)
        );
    }

    #[test]
    fn r6_ten_thousand_rules_cost_ten_times_what_a_thousand_do() {
        use std::fmt::Write as _;
        let ann = named("ann", &["ci"]);
        let name = ["a"; 60].join("/");
        // The quickest of some: others may be at work on the same machine.
        let quickest = |count: usize| {
            let mut text = String::new();
            for n in 0..count {
                writeln!(text, "[[rule]]\nwho=[\"user:u{n}\",\"group:ci\"]\nrepositories=[\"**/x{n}/**\"]\nactions=[\"pull\"]").unwrap();
            }
            let acl = rules(&text);
            let times = (0..7).map(|_| {
                let begun = tokio::time::Instant::now();
                assert!(!acl.may(&ann, Action::Pull, Some(&name)));
                begun.elapsed()
            });
            times.min().unwrap()
        };
        let (few, many) = (quickest(1000), quickest(10_000));
        assert!(many < few * 40, "{few:?} and {many:?}");
    }
}

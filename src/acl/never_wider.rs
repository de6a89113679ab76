//! Rules only ever add what they say, to whom they say it; whatever the rules are.

use std::sync::Arc;

use proptest::prelude::*;

use crate::config;
use crate::config::Anonymous;
use crate::config::RuleAction;
use crate::config::Satisfy;
use crate::config::Who;
use crate::identity::ClientCertificate;
use crate::identity::Identity;
use crate::oci::Code;
use crate::oci::RepositoryName;
use crate::peer::Address;
use crate::peer::Peer;
use crate::peer::Scheme;
use crate::route::Access;
use crate::route::Action;
use crate::route::asked;

use super::rule::Rule;
use super::{Acl, Denied};

const REPOSITORIES: [&str; 6] = ["a", "b", "team/a", "team/b", "team/a/deep", "public/x"];
const ACTIONS: [Action; 5] = [
    Action::Enter,
    Action::Pull,
    Action::Push,
    Action::Delete,
    Action::Catalog,
];

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        Just(Who::Anonymous),
        Just(Who::Authenticated),
        prop::sample::select(vec!["ann", "bob"]).prop_map(|name| Who::User(name.into())),
        prop::sample::select(vec!["ci", "ops"]).prop_map(|name| Who::Group(name.into())),
        prop::sample::select(vec!["build-*", "other"]).prop_map(|n| Who::Certificate(n.into())),
    ]
}

fn rule() -> impl Strategy<Value = config::Rule> {
    let patterns = vec![
        "**",
        "*",
        "a",
        "team/*",
        "team/**",
        "public/**",
        "*/a",
        "b*",
    ];
    let actions = vec![
        RuleAction::Pull,
        RuleAction::Push,
        RuleAction::Delete,
        RuleAction::Catalog,
        RuleAction::All,
    ];
    (
        prop::collection::vec(who(), 1..3),
        prop::sample::subsequence(patterns, 1..3),
        prop::sample::subsequence(actions, 1..4),
    )
        .prop_map(|(who, repositories, actions)| config::Rule {
            who,
            repositories: repositories.into_iter().map(str::to_owned).collect(),
            actions,
            place: "line 1".into(),
        })
}

fn acl(rules: &[config::Rule], satisfy: Satisfy) -> Acl {
    Acl {
        anonymous: Anonymous::None,
        satisfy,
        passwords: true,
        rules: (1..)
            .zip(rules)
            .map(|(n, rule)| Rule::new(n, rule))
            .collect(),
        public: rules.iter().any(|rule| rule.who.contains(&Who::Anonymous)),
    }
}

fn satisfy() -> impl Strategy<Value = Satisfy> {
    prop::sample::select(vec![Satisfy::Any, Satisfy::All])
}

fn certificate(name: &str) -> Arc<ClientCertificate> {
    Arc::new(ClientCertificate {
        common_name: Some(name.into()),
        ..ClientCertificate::default()
    })
}

/// Nobody, users with and without groups, a bearer of a certificate, and a user who has one too.
fn people() -> Vec<Identity> {
    let user = |name: &str, groups: &[&str]| Identity {
        user: Some(name.into()),
        groups: groups.iter().map(|group| Arc::from(*group)).collect(),
        ..Identity::default()
    };
    vec![
        Identity::anonymous(),
        user("ann", &[]),
        user("bob", &["ci"]),
        user("carol", &["ci", "ops"]),
        Identity {
            certificate: Some(certificate("build-7")),
            ..Identity::default()
        },
        Identity {
            certificate: Some(certificate("other")),
            ..user("ann", &["ops"])
        },
    ]
}

/// Everything that somebody may do, in one order.
fn allowed(acl: &Acl, who: &Identity) -> Vec<(Action, &'static str)> {
    let all = ACTIONS
        .into_iter()
        .flat_map(|action| REPOSITORIES.map(|repository| (action, repository)));
    all.filter(|(action, repository)| acl.may(who, *action, Some(repository)))
        .collect()
}

/// The way of a request.
fn authorized(acl: &Acl, who: &Identity, action: Action, repository: &str) -> Result<bool, Denied> {
    let peer = Peer {
        address: Address::Unix,
        scheme: Scheme::Https,
        sni: None,
        tls_version: None,
        certificate: who.certificate.clone(),
        certificate_required: false,
        challenges_only: false,
    };
    let name = RepositoryName::parse(repository).unwrap();
    let access = Access {
        action,
        repository: Some(&name),
        mount_source: Some(&name),
        mounts_from_anywhere: false,
        missing: Code::NameUnknown,
    };
    acl.authorize(who, &peer, &access)
        .map(|permit| permit.includes_mount())
}

/// Whether a rule names somebody, by our own reading.
fn names(rule: &config::Rule, person: &Identity, satisfy: Satisfy) -> bool {
    let proven = match satisfy {
        Satisfy::Any => person.user.is_some() || person.certificate.is_some(),
        Satisfy::All => person.user.is_some() && person.certificate.is_some(),
    };
    rule.who.iter().any(|who| match who {
        Who::Anonymous => true,
        Who::Authenticated => proven,
        Who::User(name) => proven && person.user.as_deref() == Some(name),
        Who::Group(name) => proven && person.groups.iter().any(|group| **group == **name),
        Who::Certificate(pattern) => {
            let name = person
                .certificate
                .as_ref()
                .and_then(|c| c.common_name.as_deref());
            let like = match pattern.strip_suffix('*') {
                Some(head) => name.is_some_and(|name| name.starts_with(head)),
                None => name == Some(pattern),
            };
            proven && like
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_rule_more_takes_nothing_away_and_gives_nothing_to_whom_it_does_not_name(
        rules in prop::collection::vec(rule(), 1..5),
        more in rule(),
        satisfy in satisfy(),
        at in any::<prop::sample::Index>(),
    ) {
        let before = acl(&rules, satisfy);
        let mut rules = rules;
        rules.insert(at.index(rules.len() + 1), more.clone());
        let after = acl(&rules, satisfy);
        for person in people() {
            let (had, has) = (allowed(&before, &person), allowed(&after, &person));
            prop_assert!(had.iter().all(|one| has.contains(one)), "{person:?} lost something");
            if !names(&more, &person, satisfy) {
                prop_assert_eq!(had, has, "{:?} gained by {:?}", person, more);
                continue;
            }
            for (action, repository) in has.iter().filter(|one| !had.contains(one)) {
                let word = match action {
                    Action::Pull => RuleAction::Pull,
                    Action::Push => RuleAction::Push,
                    Action::Delete => RuleAction::Delete,
                    Action::Catalog => RuleAction::Catalog,
                    other => panic!("{other:?} comes of no rule"),
                };
                let says = more.actions.contains(&word) || more.actions.contains(&RuleAction::All);
                prop_assert!(says, "{person:?} {action:?} {repository}");
            }
        }
    }

    #[test]
    fn what_is_explained_is_what_is_decided(
        rules in prop::collection::vec(rule(), 0..5),
        satisfy in satisfy(),
    ) {
        let acl = acl(&rules, satisfy);
        for person in people() {
            let pullable = acl.pullable(&person);
            for repository in REPOSITORIES {
                for action in ACTIONS {
                    let decided = authorized(&acl, &person, action, repository);
                    let explained = acl.explain(&person, action, Some(repository));
                    prop_assert_eq!(decided.is_ok(), explained.allowed, "{:?}: {}", decided, explained);
                    let number = explained.because.strip_prefix("rule ");
                    let number = number.and_then(|text| text.split(' ').next()?.parse::<usize>().ok());
                    if let Some(number) = number {
                        let rule = &rules[number - 1];
                        prop_assert!(explained.allowed && names(rule, &person, satisfy), "{}", explained);
                    }
                    let may_pull = acl.may(&person, Action::Pull, Some(repository));
                    // A mount reads what one may pull, whatever else one may.
                    if let Ok(mounts) = decided {
                        prop_assert_eq!(mounts, may_pull);
                    }
                    prop_assert_eq!(pullable.contains(repository), may_pull);
                }
            }
        }
    }

    #[test]
    fn a_token_gives_nobody_more_than_it_says_and_than_its_bearer_has(
        rules in prop::collection::vec(rule(), 0..5),
        satisfy in satisfy(),
        scopes in prop::collection::vec((prop::sample::select(REPOSITORIES.to_vec()), "(pull|push|delete|pull,push|\\*)"), 0..4),
        catalog in any::<bool>(),
    ) {
        let acl = acl(&rules, satisfy);
        let mut text: Vec<String> = scopes.iter().map(|(name, what)| format!("repository:{name}:{what}")).collect();
        text.extend(catalog.then(|| "registry:catalog:*".to_owned()));
        let asked = asked(text.iter().map(String::as_str));
        let nobody = allowed(&acl, &Identity::anonymous());
        for person in people() {
            let own = allowed(&acl, &person);
            let granted = acl.grants(&person, &asked);
            for (name, rights) in granted.repositories() {
                prop_assert_eq!(rights.and(asked.on(name)), rights);
                for (right, action) in [(rights.pull, Action::Pull), (rights.push, Action::Push), (rights.delete, Action::Delete)] {
                    prop_assert!(!right || own.iter().any(|one| *one == (action, one.1) && one.1 == name));
                }
            }
            prop_assert!(!granted.catalog || asked.catalog);
            // The token of the service, and one that says all that was asked: rights may have been taken back since.
            for grants in [granted, asked.clone()] {
                let bearer = Identity { grants: Some(Arc::new(grants.clone())), ..person.clone() };
                for one @ (action, repository) in allowed(&acl, &bearer) {
                    let rights = grants.on(repository);
                    let says = match action {
                        Action::Pull => rights.pull,
                        Action::Push => rights.push,
                        Action::Delete => rights.delete,
                        Action::Catalog => grants.catalog,
                        _ => continue,
                    };
                    prop_assert!(nobody.contains(&one) || (says && own.contains(&one)), "{one:?}");
                }
            }
        }
    }
}

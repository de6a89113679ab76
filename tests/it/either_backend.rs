//! What the gate decides by itself, asked of both of its backends: the registry behind it, and the one inside of it.

use std::net::SocketAddr;

use crate::support::ask::{Reply, ask};
use crate::support::figures::{BAD_INPUTS, tell};
use crate::support::gate::Gate;
use crate::support::house::{House, eventually};
use crate::support::peers::need;
use crate::support::site::{Site, digest, login};

const RULES: &str = r#"
groups = "groups"
[[rule]]
who = ["anonymous"]
repositories = ["public/**"]
actions = ["pull"]
[[rule]]
who = ["group:ci"]
repositories = ["team/**"]
actions = ["pull", "push", "delete", "catalog"]
[[rule]]
who = ["user:bob"]
repositories = ["team/**"]
actions = ["pull"]
[[rule]]
who = ["user:root"]
repositories = ["**"]
actions = ["*"]
"#;

/// A gate with either backend, each with images in `team/a`, `team/b` and `public/a`.
enum Backend {
    Behind(Box<Site>),
    Inside(House),
}

impl Backend {
    fn both() -> [(&'static str, Self); 2] {
        let (site, house) = (Site::new(RULES), House::start(RULES));
        for name in ["team/a", "team/b", "public/a"] {
            site.image(name, name);
            house.image(name, name);
        }
        [
            ("behind", Self::Behind(Box::new(site))),
            ("inside", Self::Inside(house)),
        ]
    }

    fn gate(&self) -> &Gate {
        match self {
            Self::Behind(site) => &site.gate,
            Self::Inside(house) => &house.gate,
        }
    }

    fn address(&self) -> SocketAddr {
        self.gate().address()
    }

    #[track_caller]
    fn ask(&self, user: &str, request: &str) -> Reply {
        ask(self.address(), request, &[&login(user)], b"")
    }

    #[track_caller]
    fn token(&self, user: &str, scope: &str) -> String {
        let reply = self.ask(user, &format!("GET /v2/token?service=x&scope={scope}"));
        reply.json()["token"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn bear(&self, token: &str, request: &str) -> Reply {
        let line = format!("Authorization: Bearer {token}");
        let accept = "Accept: application/vnd.oci.image.manifest.v1+json";
        ask(self.address(), request, &[&line, accept], b"")
    }
}

#[test]
fn k2_n48_a_token_for_one_thing_is_good_for_no_other_with_either_backend() {
    if !need(&["docker-registry"]) {
        return;
    }
    for (name, backend) in Backend::both() {
        let (a, b) = (digest(b"team/a"), digest(b"team/b"));
        let pull = backend.token("alice", "repository:team/a:pull");
        let read = "GET /v2/team/a/manifests/1";
        assert_eq!(backend.bear(&pull, read).status, 200, "{name}");
        for request in [
            "GET /v2/team/b/manifests/1".to_owned(),
            format!("GET /v2/team/b/blobs/{b}"),
            "GET /v2/team/b/tags/list".to_owned(),
            "POST /v2/team/a/blobs/uploads/".to_owned(),
            format!("POST /v2/team/a/blobs/uploads/?mount={b}&from=team/b"),
            "PUT /v2/team/a/manifests/latest".to_owned(),
            format!("DELETE /v2/team/a/blobs/{a}"),
            "GET /v2/_catalog".to_owned(),
        ] {
            let reply = backend.bear(&pull, &request);
            let challenge = reply.one("www-authenticate");
            let insufficient = challenge.ends_with("error=\"insufficient_scope\"");
            assert!(
                reply.status == 401 && insufficient,
                "{name} {request} {reply:#?}"
            );
        }
        // What one may push to alone gets nothing of what one may not pull.
        let push = backend.token("alice", "repository:team/a:pull,push");
        let mount = format!("POST /v2/team/a/blobs/uploads/?mount={b}&from=team/b");
        let reply = backend.bear(&push, &mount);
        assert_eq!(reply.status, 202, "{name} {reply:#?}");
        let there = backend.ask("alice", &format!("HEAD /v2/team/a/blobs/{b}"));
        assert_eq!(there.status, 404, "{name}");
        let catalog = backend.token("alice", "registry:catalog:*");
        assert_eq!(backend.bear(&catalog, read).status, 401, "{name}");
        let names = backend.bear(&catalog, "GET /v2/_catalog");
        assert_eq!(names.status, 200, "{name} {names:#?}");
    }
}

#[test]
fn k6_a_right_that_is_withdrawn_ends_before_the_token_does_with_either_backend() {
    if !need(&["docker-registry"]) {
        return;
    }
    for (name, backend) in Backend::both() {
        let token = backend.token("alice", "repository:team/a:pull,push");
        let read = "GET /v2/team/a/manifests/1";
        assert_eq!(backend.bear(&token, read).status, 200, "{name}");
        let groups = backend.gate().dir().join("groups");
        std::fs::write(groups, "ci: nobody\n").unwrap();
        backend.gate().reload();
        eventually(|| (backend.bear(&token, read).status != 200).then_some(()));
        let push = backend.bear(&token, "POST /v2/team/a/blobs/uploads/");
        assert_eq!(push.status, 403, "{name} {push:#?}");
    }
}

/// `root` may do everything, so no rule keeps him from anything here.
#[test]
fn r1_r2_r3_what_no_rule_can_foresee_is_refused_before_the_rules_with_either_backend() {
    if !need(&["docker-registry"]) {
        return;
    }
    let rows = [
        ("GET /v2/team/a/tags/list", 200),
        // forms of a path
        ("GET /v2/public/../team/a/tags/list", 400),
        ("GET /v2/public/%2e%2e/team/a/tags/list", 400),
        ("GET /v2/team%2fa/tags/list", 400),
        ("GET /v2/team/./a/tags/list", 400),
        ("GET /v2//team/a/tags/list", 400),
        ("GET //v2/team/a/tags/list", 400),
        ("GET /v2/team/a/tags/list;v=1", 400),
        ("GET /v2/team\\a/tags/list", 400),
        ("GET /v2/te%61m/a/tags/list", 400),
        ("GET /v2/team/a%00/tags/list", 400),
        ("GET /v2/team/a%0d%0a/tags/list", 400),
        ("GET /v2/team/%c0%ae/tags/list", 400),
        ("GET /V2/team/a/tags/list", 404),
        ("GET /%762/team/a/tags/list", 400),
        // endpoints and methods that nobody has a rule for
        ("GET /v2/team/a/secrets/1", 404),
        ("GET /v2/team/a/tags", 404),
        ("GET /v2/_debug", 404),
        ("GET /v2/team/a/_layers/1", 404),
        ("GET /debug/vars", 404),
        ("PROPFIND /v2/team/a/tags/list", 405),
        ("PATCH /v2/team/a/manifests/1", 405),
        ("POST /v2/team/a/manifests/1", 405),
        ("PUT /v2/_catalog", 405),
        ("DELETE /v2/team/a/tags/list", 405),
        ("get /v2/team/a/tags/list", 405),
        // names that are not quite the name
        ("GET /v2/Team/a/tags/list", 400),
        ("GET /v2/TEAM/A/tags/list", 400),
        ("GET /v2/team/%d0%b0/tags/list", 400),
        ("GET /v2/team/a%cc%81/tags/list", 400),
        ("GET /v2/team/a//tags/list", 400),
        ("GET /v2/team/a/tags/list/", 404),
        ("GET /v2/team/a/manifests/1/", 404),
    ];
    for (name, backend) in Backend::both() {
        for (request, status) in rows {
            let reply = backend.ask("root", request);
            assert_eq!(reply.status, status, "{name} {request} {reply:#?}");
        }
    }
    tell(BAD_INPUTS, 2 * (rows.len() - 1));
}

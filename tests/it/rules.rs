//! Rules through the front door: who may do what, and what a refusal gives away.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::support::ask::{Reply, ask};
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

const ACCEPT: &str = "Accept: application/vnd.oci.image.manifest.v1+json";

/// What anybody could tell two answers apart by.
fn face(reply: &Reply, name: &str) -> (u16, String, String) {
    let mut head: Vec<String> = reply
        .head
        .iter()
        .filter(|line| !line.starts_with("date: ") && !line.starts_with("x-request-id: "))
        .map(|line| line.replace(name, "NAME"))
        .collect();
    head.sort();
    let mut body = reply.body.clone();
    if let Some(id) = reply.all("x-request-id").first() {
        body = body.replace(*id, "ID");
    }
    (reply.status, head.join("\n"), body.replace(name, "NAME"))
}

#[test]
fn r1_r2_r3_n51_everybody_may_do_what_some_rule_allows_and_nothing_else() {
    if !need(&["docker-registry"]) {
        return;
    }
    let site = Site::new(RULES);
    site.image("public/a", "public");
    site.image("team/a", "team");
    site.image("other/a", "other");
    for (user, request, status) in [
        ("", "GET /v2/public/a/manifests/1", 200),
        ("", "GET /v2/team/a/manifests/1", 401),
        ("", "GET /v2/other/a/manifests/1", 401),
        ("", "POST /v2/public/a/blobs/uploads/", 401),
        ("", "GET /v2/_catalog", 401),
        ("alice", "GET /v2/team/a/manifests/1", 200),
        ("alice", "POST /v2/team/a/blobs/uploads/", 202),
        ("alice", "POST /v2/public/a/blobs/uploads/", 202),
        ("alice", "POST /v2/public/blobs/uploads/", 403),
        ("alice", "GET /v2/other/a/manifests/1", 404),
        ("alice", "POST /v2/other/a/blobs/uploads/", 403),
        ("alice", "GET /v2/_catalog", 403),
        ("bob", "GET /v2/team/a/tags/list", 200),
        ("bob", "POST /v2/team/a/blobs/uploads/", 403),
        ("bob", "GET /v2/public/a/manifests/1", 200),
        ("carol", "GET /v2/team/a/manifests/1", 404),
        ("carol", "GET /v2/public/a/manifests/1", 200),
        ("carol", "GET /v2/", 200),
        ("root", "GET /v2/other/a/manifests/1", 200),
        ("root", "POST /v2/other/a/blobs/uploads/", 202),
        ("root", "GET /v2/_catalog", 200),
        ("root", "GET /v2/Team/a/tags/list", 400),
        ("root", "GET /v2/team%2fa/tags/list", 400),
        ("root", "GET /v2/public/../other/a/tags/list", 400),
    ] {
        let reply = site.send(user, request, &[ACCEPT], b"");
        assert_eq!(reply.status, status, "{user:?} {request} {reply:#?}");
        if status == 403 {
            let (code, message) = reply.error();
            assert_eq!(code, "DENIED", "{user} {request}");
            assert!(
                message.starts_with(&format!("{user} may not ")),
                "{message}"
            );
            assert!(reply.all("www-authenticate").is_empty());
        }
    }
    let refused = site.ask("bob", "POST /v2/team/a/blobs/uploads/");
    assert_eq!(refused.error().1, "bob may not push to team/a");
}

#[test]
fn r4_n49_a_repository_that_one_may_not_see_looks_like_none() {
    if !need(&["docker-registry"]) {
        return;
    }
    let site = Site::new(RULES);
    let blob = site.image("other/secret", "secret");
    let manifest = site.send("root", "HEAD /v2/other/secret/manifests/1", &[ACCEPT], b"");
    let by_digest = manifest.one("docker-content-digest").to_owned();
    for user in ["", "bob"] {
        for request in [
            "GET /v2/NAME/manifests/1".to_owned(),
            "HEAD /v2/NAME/manifests/1".to_owned(),
            format!("GET /v2/NAME/manifests/{by_digest}"),
            format!("GET /v2/NAME/blobs/{blob}"),
            format!("HEAD /v2/NAME/blobs/{blob}"),
            "GET /v2/NAME/tags/list".to_owned(),
            format!("GET /v2/NAME/referrers/{by_digest}"),
            "POST /v2/NAME/blobs/uploads/".to_owned(),
            format!("POST /v2/NAME/blobs/uploads/?mount={blob}&from=NAME"),
            "PUT /v2/NAME/manifests/1".to_owned(),
            format!("DELETE /v2/NAME/manifests/{by_digest}"),
            format!("DELETE /v2/NAME/blobs/{blob}"),
        ] {
            let about = |name: &str| {
                face(
                    &site.send(user, &request.replace("NAME", name), &[ACCEPT], b""),
                    name,
                )
            };
            assert_eq!(
                about("other/secret"),
                about("other/nobody"),
                "{user:?} {request}"
            );
        }
    }
    // And as what is not there looks to somebody who may see it.
    for (path, code) in [
        ("manifests/1", "MANIFEST_UNKNOWN"),
        (&*format!("manifests/{by_digest}"), "MANIFEST_UNKNOWN"),
        (&*format!("blobs/{blob}"), "BLOB_UNKNOWN"),
        ("tags/list", "NAME_UNKNOWN"),
    ] {
        let hidden = site.send(
            "bob",
            &format!("GET /v2/other/secret/{path}"),
            &[ACCEPT],
            b"",
        );
        let absent = site.send(
            "bob",
            &format!("GET /v2/team/nobody/{path}"),
            &[ACCEPT],
            b"",
        );
        assert_eq!(
            (hidden.status, hidden.error()),
            (absent.status, absent.error()),
            "{path}"
        );
        assert_eq!(hidden.error().0, code);
    }
    let pull = site.token("bob", &["repository:other/secret:pull"]);
    let hidden = site.bear(&pull, "GET /v2/other/secret/manifests/1");
    let absent = site.bear(&pull, "GET /v2/other/nobody/manifests/1");
    assert_eq!(face(&hidden, "secret"), face(&absent, "nobody"));
}

#[test]
fn k2_r4_n48_a_mount_of_what_one_may_not_pull_becomes_an_upload() {
    if !need(&["docker-registry"]) {
        return;
    }
    let site = Site::new(RULES);
    let secret = site.image("other/secret", "secret");
    let ours = site.image("team/b", "ours");
    let mount = |user: &str, blob: &str, rest: &str| {
        site.ask(
            user,
            &format!("POST /v2/team/a/blobs/uploads/?mount={blob}{rest}"),
        )
    };
    assert_eq!(mount("alice", &ours, "&from=team/b").status, 201);
    for rest in [
        "&from=other/secret",
        "&from=never/existed",
        "&from=registry.test:5000/x",
        "",
    ] {
        let reply = mount("alice", &secret, rest);
        assert_eq!(reply.status, 202, "{rest} {reply:#?}");
        assert!(reply.one("location").contains("/v2/team/a/blobs/uploads/"));
    }
    assert_eq!(
        site.ask("alice", &format!("HEAD /v2/team/a/blobs/{secret}"))
            .status,
        404
    );
    assert_eq!(mount("root", &secret, "&from=other/secret").status, 201);
    let narrow = site.token("alice", &["repository:team/a:pull,push"]);
    let request = format!("POST /v2/team/a/blobs/uploads/?mount={ours}&from=team/b");
    assert_eq!(site.bear(&narrow, &request).status, 202);
    let both = site.token(
        "alice",
        &["repository:team/a:pull,push", "repository:team/b:pull"],
    );
    assert_eq!(site.bear(&both, &request).status, 201);
    for widened in [
        "&from=team/b&from=other/secret",
        "&from=team/b&FROM=other/secret&fro%6d=other/secret",
    ] {
        assert_eq!(mount("alice", &secret, widened).status, 400, "{widened}");
    }
}

#[test]
fn r5_n48_a_known_digest_opens_nothing_in_another_repository() {
    if !need(&["docker-registry"]) {
        return;
    }
    let site = Site::new(RULES);
    let secret = site.image("other/secret", "secret");
    site.image("public/a", "public");
    assert_eq!(secret, digest(b"secret"));
    for user in ["", "bob", "alice"] {
        let reply = site.ask(user, &format!("GET /v2/public/a/blobs/{secret}"));
        assert_eq!(reply.status, 404, "{user:?}");
    }
}

#[test]
fn k6_rights_that_are_withdrawn_end_the_tokens_that_say_them() {
    if !need(&["docker-registry"]) {
        return;
    }
    let site = Site::new(RULES);
    site.image("team/a", "team");
    let token = site.token("alice", &["repository:team/a:pull,push"]);
    assert_eq!(site.bear(&token, "GET /v2/team/a/manifests/1").status, 200);
    fs::write(site.gate.dir().join("groups"), "ci: nobody\n").unwrap();
    site.gate.reload();
    let end = SystemTime::now() + Duration::from_secs(20);
    while site.bear(&token, "GET /v2/team/a/manifests/1").status == 200 {
        assert!(SystemTime::now() < end, "the right lives on");
    }
    let reply = site.bear(&token, "POST /v2/team/a/blobs/uploads/");
    assert_eq!(reply.error().1, "alice may not push to team/a");
    // A broken file changes nothing.
    fs::remove_file(site.gate.dir().join("groups")).unwrap();
    site.gate.reload();
    let reply = ask(site.gate.address(), "GET /v2/", &[&login("alice")], b"");
    assert_eq!(reply.status, 200);
}

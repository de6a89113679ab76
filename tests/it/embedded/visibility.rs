//! Who may see which repository: what is hidden looks like what is not there.

use serde_json::json;

use super::NOBODYS;
use crate::support::ask::Reply;
use crate::support::house::{House, MANIFEST};
use crate::support::site::digest;

const RULES: &str = r#"
groups = "groups"
[[rule]]
who = ["anonymous"]
repositories = ["public/**"]
actions = ["pull", "catalog"]
[[rule]]
who = ["group:ci"]
repositories = ["public/**", "team/**"]
actions = ["pull", "push", "catalog"]
[[rule]]
who = ["user:bob"]
repositories = ["team/**"]
actions = ["pull"]
[[rule]]
who = ["user:root"]
repositories = ["**"]
actions = ["*"]
"#;

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
fn r4_n49_a_repository_that_one_may_not_see_looks_like_none() {
    let house = House::start(RULES);
    let (blob, manifest) = house.image("other/secret", "secret");
    house.image("team/a", "team");
    let path = house.begin("other/secret");
    let upload = path.rsplit('/').next().unwrap();
    let requests = [
        "GET /v2/NAME/manifests/1".to_owned(),
        "HEAD /v2/NAME/manifests/1".to_owned(),
        format!("GET /v2/NAME/manifests/{manifest}"),
        format!("GET /v2/NAME/blobs/{blob}"),
        format!("HEAD /v2/NAME/blobs/{blob}"),
        "GET /v2/NAME/tags/list".to_owned(),
        "GET /v2/NAME/tags/list?n=-1".to_owned(),
        format!("GET /v2/NAME/referrers/{manifest}"),
        format!("HEAD /v2/NAME/referrers/{manifest}"),
        format!("GET /v2/NAME/referrers/{manifest}?artifactType=a%2Fb"),
        "POST /v2/NAME/blobs/uploads/".to_owned(),
        format!("POST /v2/NAME/blobs/uploads/?mount={blob}&from=NAME"),
        format!("GET /v2/NAME/blobs/uploads/{upload}"),
        format!("PATCH /v2/NAME/blobs/uploads/{upload}"),
        format!("PUT /v2/NAME/blobs/uploads/{upload}?digest={blob}"),
        format!("DELETE /v2/NAME/blobs/uploads/{upload}"),
        "PUT /v2/NAME/manifests/1".to_owned(),
        format!("DELETE /v2/NAME/manifests/{manifest}"),
        format!("DELETE /v2/NAME/blobs/{blob}"),
    ];
    for user in ["", "bob", "carol"] {
        for request in &requests {
            let about = |name: &str| {
                let reply = house.send(user, &request.replace("NAME", name), &[], b"");
                face(&reply, name)
            };
            let (hidden, absent) = (about("other/secret"), about("other/nobody"));
            assert_eq!(hidden, absent, "{user:?} {request}");
        }
    }
    // And what one may see and is not there looks the same to bob.
    for request in requests
        .iter()
        .filter(|r| r.starts_with("GET") && !r.contains("uploads"))
    {
        if request.contains("n=-1") {
            // The question is looked at before the list, and rights before the question.
            continue;
        }
        let about = |name: &str| {
            let reply = house.send("bob", &request.replace("NAME", name), &[], b"");
            face(&reply, name)
        };
        assert_eq!(about("other/secret"), about("team/nobody"), "{request}");
    }
    // The upload is still what it was.
    assert_eq!(house.ask(&format!("GET {path}")).status, 204);
}

#[test]
fn r5_n48_a_known_digest_opens_nothing_in_another_repository() {
    let house = House::start(RULES);
    let (secret, manifest) = house.image("other/secret", "secret");
    house.image("public/a", "public");
    assert_eq!(secret, digest(b"secret"));
    for user in ["", "bob", "alice", "root"] {
        for path in [format!("blobs/{secret}"), format!("manifests/{manifest}")] {
            let request = format!("GET /v2/public/a/{path}");
            let reply = house.send(user, &request, &[], b"");
            assert_eq!(reply.status, 404, "{user:?} {path}");
        }
    }
    // Nor does a manifest of one's own that names it.
    let text = crate::support::house::image_of(&secret, 6);
    let kind = format!("Content-Type: {MANIFEST}");
    let put = house.send(
        "alice",
        "PUT /v2/team/a/manifests/1",
        &[&kind],
        text.as_bytes(),
    );
    assert_eq!(
        (put.status, &*put.error().0),
        (400, "MANIFEST_BLOB_UNKNOWN")
    );
}

#[test]
fn k2_r4_n48_a_mount_of_what_one_may_not_pull_becomes_an_upload() {
    let house = House::start(RULES);
    let (secret, _) = house.image("other/secret", "secret");
    let (ours, _) = house.image("team/b", "ours");
    let mount = |user: &str, blob: &str, rest: &str| {
        let request = format!("POST /v2/team/a/blobs/uploads/?mount={blob}{rest}");
        house.send(user, &request, &[], b"")
    };
    assert_eq!(mount("alice", &ours, "&from=team/b").status, 201);
    for rest in ["&from=other/secret", "&from=never/existed", ""] {
        let reply = mount("alice", &secret, rest);
        assert_eq!(reply.status, 202, "{rest} {reply:#?}");
    }
    let reply = house.send(
        "alice",
        &format!("HEAD /v2/team/a/blobs/{secret}"),
        &[],
        b"",
    );
    assert_eq!(reply.status, 404);
    assert_eq!(mount("root", &secret, "&from=other/secret").status, 201);
}

#[test]
fn r4_n50_lists_show_what_the_asker_may_pull() {
    let house = House::start(RULES);
    for name in ["other/secret", "public/a", "team/a", "team/b"] {
        house.image(name, "content");
    }
    for (user, names) in [
        ("", &["public/a"][..]),
        ("alice", &["public/a", "team/a", "team/b"]),
        ("root", &["other/secret", "public/a", "team/a", "team/b"]),
    ] {
        let catalog = house.send(user, "GET /v2/_catalog", &[], b"");
        assert_eq!(catalog.json(), json!({ "repositories": names }), "{user:?}");
        let mut line = "Authorization: Basic Og==";
        let headers = if user.is_empty() {
            std::slice::from_mut(&mut line)
        } else {
            &mut []
        };
        let found = house.send(user, "GET /v1/search?q=e", headers, b"").json();
        let expected: Vec<&&str> = names.iter().filter(|n| n.contains('e')).collect();
        assert_eq!(found["num_results"], expected.len(), "{user:?}");
    }
    // A page is full of what one may see, and its Link names nothing else.
    let page = house.send("alice", "GET /v2/_catalog?n=1", &[], b"");
    assert_eq!(page.json(), json!({ "repositories": ["public/a"] }));
    assert!(page.one("link").contains("last=public%2Fa"));
}

#[test]
fn r2_n51_what_nobody_may_is_refused_before_the_registry_is_asked() {
    let house = House::start(RULES);
    for (user, request, status) in [
        ("", "GET /v2/team/a/manifests/1", 401),
        ("", "POST /v2/public/a/blobs/uploads/", 401),
        ("bob", "POST /v2/team/a/blobs/uploads/", 403),
        ("bob", "PUT /v2/team/a/manifests/1", 403),
        ("alice", "DELETE /v2/team/a/manifests/1", 403),
        ("carol", "POST /v2/public/a/blobs/uploads/", 403),
        ("alice", "POST /v2/team/a/blobs/uploads/", 202),
    ] {
        let reply = house.send(user, request, &[], b"");
        assert_eq!(reply.status, status, "{user:?} {request} {reply:#?}");
    }
    let unknown = format!("GET /v2/team/a/blobs/{NOBODYS}");
    assert_eq!(house.send("bob", &unknown, &[], b"").status, 404);
}

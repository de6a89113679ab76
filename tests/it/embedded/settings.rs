//! What the operator switches: deletion, writing, and all of it by a reload while people are at work.

use crate::support::ask::Reply;
use crate::support::house::{House, eventually, image_of};
use crate::support::site::{digest, login};

#[track_caller]
fn refused(reply: &Reply, word: &str) {
    assert_eq!(reply.status, 405, "{reply:#?}");
    assert_eq!(reply.one("allow"), "GET, HEAD");
    let (code, message) = reply.error();
    assert_eq!(code, "UNSUPPORTED");
    assert!(message.contains(word), "{message}");
}

#[test]
fn n51_deletion_that_is_switched_off_is_refused_and_nothing_else_is() {
    let house = House::start("[registry]\ndelete = false\n");
    let (blob, manifest) = house.image("a", "content");
    for path in [
        format!("a/blobs/{blob}"),
        format!("a/manifests/{manifest}"),
        "a/manifests/1".to_owned(),
        // Whether it is there or not.
        "b/manifests/1".to_owned(),
    ] {
        refused(&house.ask(&format!("DELETE /v2/{path}")), "delet");
    }
    assert_eq!(house.ask("GET /v2/a/manifests/1").status, 200);
    // An upload that is given up is no content.
    let path = house.begin("a");
    assert_eq!(house.ask(&format!("DELETE {path}")).status, 204);
}

#[test]
fn a_registry_becomes_read_only_and_writable_again_while_it_runs() {
    let house = House::start("");
    let (blob, manifest) = house.image("a", "content");
    let path = house.begin("a");
    let login = login("root");
    let mut raw = house.connect();
    raw.send(format!(
        "PATCH {path} HTTP/1.1\r\nHost: gate\r\n{login}\r\nContent-Length: 10\r\n\r\n01234"
    ));
    // The gate is at it, so that nobody else can be.
    let other = || {
        house.send(
            "root",
            &format!("PATCH {path}"),
            &["Content-Range: 9-9"],
            b"x",
        )
    };
    eventually(|| (other().status == 409).then_some(()));
    house.change("[registry]\nread_only = true\n");
    let probe = || house.ask("POST /v2/a/blobs/uploads/");
    let reply = eventually(|| Some(probe()).filter(|reply| reply.status == 405));
    refused(&reply, "read only");
    let text = image_of(&blob, 7);
    refused(&house.put("a", "2", &text), "read only");
    for request in [
        format!("POST /v2/b/blobs/uploads/?mount={blob}&from=a"),
        format!("POST /v2/b/blobs/uploads/?digest={blob}"),
        format!("DELETE /v2/a/blobs/{blob}"),
        format!("DELETE /v2/a/manifests/{manifest}"),
    ] {
        refused(&house.ask(&request), "read only");
    }
    let empty = digest(b"");
    refused(
        &house.ask(&format!("PUT {path}?digest={empty}")),
        "read only",
    );
    for request in [
        "GET /v2/".to_owned(),
        "GET /v2/a/manifests/1".to_owned(),
        format!("GET /v2/a/blobs/{blob}"),
        "GET /v2/a/tags/list".to_owned(),
        "GET /v2/_catalog".to_owned(),
        format!("GET /v2/a/referrers/{manifest}"),
    ] {
        assert_eq!(house.ask(&request).status, 200, "{request}");
    }
    // What had begun before is brought to its end.
    raw.send("56789");
    let answer = raw.answer();
    assert_eq!((answer.status(), answer.value("range")), (202, "0-9"));
    house.change("");
    eventually(|| (probe().status == 202).then_some(()));
    let whole = digest(b"0123456789");
    let put = house.ask(&format!("PUT {path}?digest={whole}"));
    assert_eq!(put.status, 201, "{put:#?}");
}

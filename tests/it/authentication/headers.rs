//! What a client may send in place of right credentials.

use super::*;

/// An answer without what differs from request to request.
fn anonymised(answer: &Answer) -> String {
    let id = answer.header("x-request-id").unwrap().to_owned();
    let head: Vec<_> = answer
        .head
        .lines()
        .filter(|line| !line.to_ascii_lowercase().starts_with("date:"))
        .collect();
    format!("{}\n{}", head.join("\n"), answer.text()).replace(&id, "ID")
}

#[test]
fn a1_n20_n21_wrong_unknown_and_empty_users_get_the_same_answer() {
    let origin = Origin::start();
    let gate = gate(&origin, "ann:{PLAIN}secret\n");
    let mut dialog = Dialog::tcp(gate.address());
    let wrong = login(&mut dialog, "ann", "wrong");
    assert_eq!(wrong.status, 401);
    assert_eq!(
        wrong.header("www-authenticate"),
        Some("Basic realm=\"Registry\", charset=\"UTF-8\"")
    );
    assert!(
        wrong.text().contains("\"UNAUTHORIZED\""),
        "{}",
        wrong.text()
    );
    for (user, password) in [
        ("nobody", "secret"),
        ("", "secret"),
        ("ANN", "secret"),
        ("ann", ""),
    ] {
        let answer = login(&mut dialog, user, password);
        assert_eq!(anonymised(&answer), anonymised(&wrong), "{user}:{password}");
    }
    let bearer = with(&mut dialog, "Bearer abc");
    assert_eq!(anonymised(&bearer), anonymised(&wrong));
    assert!(origin.seen().is_empty());
}

#[test]
fn a1_empty_name_and_password_are_like_no_credentials() {
    let origin = Origin::start();
    let closed = gate(&origin, "ann:{PLAIN}secret\n");
    let mut dialog = Dialog::tcp(closed.address());
    let none = dialog.get("/v2/");
    assert_eq!(none.status, 401);
    assert_eq!(
        anonymised(&with(&mut dialog, "Basic Og==")),
        anonymised(&none)
    );

    let open = Gate::start(&toml(
        &origin,
        "[auth]\nanonymous = \"pull\"\n[log]\naccess = false\n",
    ));
    let mut dialog = Dialog::tcp(open.address());
    assert_eq!(with(&mut dialog, "Basic Og==").status, 200);
}

#[test]
fn a2_n20_what_is_no_basic_is_refused_without_hash_work() {
    let origin = Origin::start();
    // One hash takes about a second: what is refused quickly was not hashed.
    let gate = gate(&origin, &format!("ann:{}\n", bcrypt("secret", 14)));
    let mut dialog = Dialog::tcp(gate.address());
    let begun = tokio::time::Instant::now();
    assert_eq!(login(&mut dialog, "ann", "wrong").status, 401);
    let one_hash = begun.elapsed();

    let begun = tokio::time::Instant::now();
    let long = format!("Basic {}", "A".repeat(40_000));
    let invalid = BASE64.encode(b"ann:\xff\0");
    for header in [
        "Basic",
        "Basic !!!",
        "Basic YW5u",
        &basic("ann", "secret\0anything"),
        &basic("an\0n", "secret"),
        &basic("an\nn", "secret"),
        &basic("ann", &"x".repeat(600)),
        &format!("Basic {invalid}"),
        &long,
        "Negotiate abc",
        "",
    ] {
        let answer = with(&mut dialog, header);
        assert_eq!(answer.status, 401, "{header}");
        assert_eq!(answer.headers("www-authenticate").count(), 1, "{header}");
    }
    let right = basic("ann", "secret");
    let twice = [
        ("Authorization", right.as_str()),
        ("Authorization", right.as_str()),
    ];
    assert_eq!(dialog.ask("GET", "/v2/", &twice, b"").status, 401);
    let elapsed = begun.elapsed();
    assert!(elapsed < one_hash, "{elapsed:?}, one hash: {one_hash:?}");
    let huge = with(
        &mut Dialog::tcp(gate.address()),
        &format!("Basic {}", "A".repeat(100_000)),
    );
    assert_eq!(huge.status, 431);
    assert!(origin.seen().is_empty());
}

#[test]
fn everybody_reads_where_pulling_is_anonymous_and_nobody_writes() {
    let origin = Origin::start();
    let toml = toml(
        &origin,
        "[auth]\nhtpasswd = \"htpasswd\"\nanonymous = \"pull\"\n[log]\naccess = false\n",
    );
    let gate = Gate::start_with(&toml, |dir| {
        fs::write(dir.join("htpasswd"), "ann:{PLAIN}secret\n").unwrap();
    });
    let blob = format!("/v2/a/b/blobs/{DIGEST}");
    let by_digest = format!("/v2/a/b/manifests/{DIGEST}");
    let referrers = format!("/v2/a/b/referrers/{DIGEST}");
    let upload = "/v2/a/b/blobs/uploads/3b0c";
    let mut dialog = Dialog::tcp(gate.address());
    for target in [
        "/v2/a/b/manifests/latest",
        &by_digest,
        &blob,
        &referrers,
        "/_ping",
        "/v1/_ping",
    ] {
        for method in ["GET", "HEAD"] {
            assert_eq!(
                dialog.ask(method, target, &[], b"").status,
                200,
                "{method} {target}"
            );
            if !target.ends_with("_ping") {
                let wrong = [("Authorization", basic("ann", "wrong"))];
                let wrong = wrong
                    .each_ref()
                    .map(|(name, value)| (*name, value.as_str()));
                let answer = dialog.ask(method, target, &wrong, b"");
                assert_eq!(
                    answer.status, 401,
                    "a wrong password is wrong everywhere: {method} {target}"
                );
            }
        }
    }
    for (method, target) in [
        ("PUT", "/v2/a/b/manifests/latest"),
        ("DELETE", &by_digest),
        ("DELETE", &blob),
        ("POST", "/v2/a/b/blobs/uploads/"),
        ("PATCH", upload),
        ("PUT", upload),
        ("GET", upload),
        ("HEAD", upload),
        ("DELETE", upload),
    ] {
        let before = origin.seen().len();
        let answer = dialog.ask(method, target, &[], b"");
        assert_eq!(answer.status, 401, "{method} {target}");
        assert_eq!(answer.headers("www-authenticate").count(), 1);
        assert_eq!(origin.seen().len(), before);
        let right = basic("ann", "secret");
        let answer = dialog.ask(method, target, &[("Authorization", &right)], b"");
        assert_eq!(answer.status, 200, "{method} {target}");
    }
    for (method, target) in [("get", "/v2/"), ("POST", "/v2/"), ("BREW", "/v2/_catalog")] {
        let answer = Dialog::tcp(gate.address()).ask(method, target, &[], b"");
        assert_eq!(answer.status, 405, "{method} {target}");
    }
}

#[test]
fn an_upload_that_is_refused_for_good_is_told_that_the_connection_ends() {
    let origin = Origin::start();
    let gate = gate(&origin, "ann:{PLAIN}secret\n");
    let right = basic("ann", "secret");
    let patch = "PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: a\r\n";
    for (rest, status) in [
        (
            "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n".to_owned(),
            401,
        ),
        (
            format!("Authorization: {right}\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
            400,
        ),
    ] {
        let mut dialog = Dialog::tcp(gate.address());
        dialog.send(format!("{patch}{rest}").as_bytes()).unwrap();
        let answer = dialog.answer("PATCH").unwrap();
        assert_eq!(answer.status, status, "{}", answer.head);
        assert_eq!(
            answer.header("connection"),
            Some("close"),
            "{}",
            answer.head
        );
        dialog.finish();
        dialog.is_closed();
    }
    // One that is read to its end leaves the connection as it was.
    let mut dialog = Dialog::tcp(gate.address());
    let answer = dialog.ask("PATCH", "/v2/a/blobs/uploads/1", &[], b"12345");
    assert_eq!(answer.status, 401);
    assert_eq!(answer.headers("connection").count(), 0, "{}", answer.head);
    assert_eq!(login(&mut dialog, "ann", "secret").status, 200);
}

//! The token service and the challenge, through the front door, as clients meet them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use tempfile::TempDir;

use crate::support::ask::{Reply, ask, basic};
use crate::support::certs::Authority;
use crate::support::gate::Gate;
use crate::support::peers::need;
use crate::support::process::{self, Daemon};
use crate::support::registry::Registry;
use crate::support::site::{Site, backwards, login};

const PUBLIC: &str = "anonymous = \"pull\"\n";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

fn claims(token: &str) -> serde_json::Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn access(token: &str) -> String {
    claims(token)["access"].to_string()
}

fn challenge(reply: &Reply) -> &str {
    reply.one("www-authenticate")
}

#[test]
fn an_unauthenticated_ping_is_sent_to_the_token_service_when_anything_is_public() {
    if !need(&["docker-registry"]) {
        return;
    }
    let site = Site::new(PUBLIC);
    let host = site.gate.address();
    for path in ["/v2/", "/v2"] {
        let reply = site.ask("", &format!("GET {path}"));
        assert_eq!(reply.status, 401);
        assert_eq!(
            challenge(&reply),
            format!("Bearer realm=\"http://{host}/v2/token\",service=\"127.0.0.1\"")
        );
        assert_eq!(reply.one("docker-distribution-api-version"), "registry/2.0");
        assert_eq!(reply.error().0, "UNAUTHORIZED");
    }
    let named = ask(host, "GET /v2/", &["Host: Registry.Test:5043"], b"");
    assert_eq!(
        challenge(&named),
        "Bearer realm=\"http://Registry.Test:5043/v2/token\",service=\"registry.test\""
    );
    assert_eq!(site.ask("alice", "GET /v2/").status, 200);
    for scopes in [&[][..], &["repository:private/none:push"]] {
        for user in ["", "alice"] {
            let token = site.token(user, scopes);
            assert_eq!(site.bear(&token, "GET /v2/").status, 200, "{user}");
        }
    }
}

#[test]
fn k5_the_realm_follows_a_trusted_proxy_and_nobody_else() {
    if !need(&["docker-registry"]) {
        return;
    }
    let claims = [
        "Host: inner:80",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: registry.example.com:8443",
    ];
    let trusting =
        Site::new("anonymous = \"pull\"\n[headers]\ntrusted_proxies = [\"127.0.0.0/8\"]\n");
    let reply = ask(trusting.gate.address(), "GET /v2/", &claims, b"");
    assert_eq!(
        challenge(&reply),
        "Bearer realm=\"https://registry.example.com:8443/v2/token\",service=\"registry.example.com\""
    );
    let wary = Site::new("anonymous = \"pull\"\n[token]\npath = \"/auth\"\nservice = \"mine\"\n");
    let reply = ask(wary.gate.address(), "GET /v2/", &claims, b"");
    assert_eq!(
        challenge(&reply),
        "Bearer realm=\"http://inner:80/auth\",service=\"mine\""
    );
    assert_eq!(ask(wary.gate.address(), "GET /auth", &[], b"").status, 200);
    assert_eq!(wary.ask("", "GET /v2/token").status, 404);
    for evil in ["Host: evil\",x=\"", "Host: a/b", "Host: a b"] {
        let reply = ask(wary.gate.address(), "GET /v2/", &[evil], b"");
        assert_eq!(reply.status, 400, "{evil}");
        assert!(reply.all("www-authenticate").is_empty());
    }
}

#[test]
fn the_way_of_asking_is_what_the_configuration_says() {
    if !need(&["docker-registry"]) {
        return;
    }
    let basic = "Basic realm=\"Registry\", charset=\"UTF-8\"";
    for (toml, bearer) in [
        ("", false),
        ("challenge = \"basic\"\n", false),
        ("challenge = \"bearer\"\n", true),
        ("anonymous = \"pull\"\nchallenge = \"basic\"\n", false),
        (
            "[[rule]]\nwho=[\"authenticated\"]\nrepositories=[\"**\"]\nactions=[\"*\"]\n",
            false,
        ),
        (
            "[[rule]]\nwho=[\"anonymous\"]\nrepositories=[\"public/**\"]\nactions=[\"pull\"]\n",
            true,
        ),
    ] {
        let site = Site::new(toml);
        let reply = site.ask("", "GET /v2/");
        assert_eq!(reply.status, 401, "{toml}");
        assert_eq!(challenge(&reply).starts_with("Bearer "), bearer, "{toml}");
        assert_eq!(challenge(&reply) == basic, !bearer, "{toml}");
        assert_eq!(site.ask("alice", "GET /v2/").status, 200, "{toml}");
        let token = site.ask("alice", "GET /v2/token?service=x").status;
        assert_eq!(token == 200, bearer, "{toml}");
        assert_eq!(
            site.gate.dir().join("dockgate-data/token.key").exists(),
            bearer,
            "{toml}"
        );
        if !bearer {
            let reply = site.bear("a.b.c", "GET /v2/");
            assert_eq!((reply.status, challenge(&reply)), (401, basic), "{toml}");
        }
    }
}

#[test]
fn what_is_public_is_served_at_once_and_basic_is_taken_everywhere() {
    if !need(&["docker-registry"]) {
        return;
    }
    let site = Site::new(PUBLIC);
    let blob = site.image("public/a", "content");
    let accept = "Accept: application/vnd.oci.image.manifest.v1+json";
    for request in [
        "GET /v2/public/a/manifests/1",
        "HEAD /v2/public/a/manifests/1",
        "GET /v2/public/a/tags/list",
        "GET /v2/_catalog",
    ] {
        for headers in [
            &[accept][..],
            &[accept, "Authorization: Basic Og=="],
            &[accept, &login("bob")],
        ] {
            let reply = ask(site.gate.address(), request, headers, b"");
            assert_eq!(reply.status, 200, "{request} {headers:?} {reply:?}");
        }
    }
    assert_eq!(
        site.ask("", &format!("GET /v2/public/a/blobs/{blob}")).body,
        "content"
    );
    for (request, scope) in [
        (
            "POST /v2/public/a/blobs/uploads/",
            "repository:public/a:pull,push",
        ),
        (
            "PUT /v2/public/a/manifests/1",
            "repository:public/a:pull,push",
        ),
        (
            &format!("DELETE /v2/public/a/manifests/{blob}"),
            "repository:public/a:delete",
        ),
    ] {
        for headers in [&[][..], &["Authorization: Basic Og=="]] {
            let reply = ask(site.gate.address(), request, headers, b"");
            assert_eq!(reply.status, 401, "{request}");
            let expected = format!(",scope=\"{scope}\"");
            assert!(
                challenge(&reply).ends_with(&expected),
                "{request}: {}",
                challenge(&reply)
            );
        }
    }
    assert_eq!(
        site.ask("alice", "POST /v2/public/b/blobs/uploads/").status,
        202
    );
    let wrong = ask(
        site.gate.address(),
        "GET /v2/public/a/tags/list",
        &[&basic("alice", "wrong")],
        b"",
    );
    assert_eq!(wrong.status, 401);
}

#[test]
fn k3_a_token_says_what_was_asked_and_is_allowed() {
    if !need(&["docker-registry"]) {
        return;
    }
    let site = Site::new(PUBLIC);
    let reply = site.ask("alice", "GET /v2/token?account=root&client_id=docker&offline_token=true&service=x&scope=repository:a:push,pull&scope=repository:b:pull%20registry:catalog:*");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.one("cache-control"), "no-store");
    let document = reply.json();
    assert_eq!(document["token"], document["access_token"]);
    assert_eq!(document["expires_in"], serde_json::json!(300));
    assert_eq!(document.as_object().unwrap().len(), 3, "{document}");
    let token = document["token"].as_str().unwrap();
    assert_eq!(
        access(token),
        r#"[{"actions":["pull","push"],"name":"a","type":"repository"},{"actions":["pull"],"name":"b","type":"repository"},{"actions":["*"],"name":"catalog","type":"registry"}]"#
    );
    let said = claims(token);
    assert_eq!(
        (&said["sub"], &said["aud"]),
        (&"alice".into(), &"127.0.0.1".into())
    );
    let nobody = site.token("", &["repository:a:push,pull", "repository:b:push"]);
    assert_eq!(claims(&nobody)["sub"], "");
    assert!(access(&nobody).contains("\"pull\"") && !access(&nobody).contains("push"));
    let with_og = ask(
        site.gate.address(),
        "GET /v2/token?scope=repository:a:push",
        &["Authorization: Basic Og=="],
        b"",
    );
    assert_eq!(
        (
            with_og.status,
            access(with_og.json()["token"].as_str().unwrap())
        ),
        (200, "[]".into())
    );
    for odd in [
        "repository:*:*",
        "repository:a:pull:push",
        "repository:registry.test:5000/a:pull",
        "repository:..%2fa:pull",
        "repository:A:pull",
        "repository:a%0ab:pull",
        "x",
        "",
    ] {
        let token = site.token("alice", &[odd, "repository:fine:pull"]);
        assert_eq!(
            access(&token).matches("\"name\"").count(),
            1,
            "{odd}: {}",
            access(&token)
        );
    }
    let many: Vec<String> = (0..1000)
        .map(|n| format!("&scope=repository:r{n}:pull"))
        .collect();
    let form = format!("grant_type=password{}", many.concat());
    let headers = [FORM, &login("alice")];
    let reply = ask(
        site.gate.address(),
        "POST /v2/token",
        &headers,
        form.as_bytes(),
    );
    let token = reply.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(access(&token).matches("\"name\"").count(), 32);
    assert!(token.len() < 8 * 1024, "{}", token.len());
    assert_eq!(site.bear(&token, "GET /v2/").status, 200);
}

#[test]
fn k4_a_form_is_answered_as_a_query_is() {
    if !need(&["docker-registry"]) {
        return;
    }
    let site = Site::new(PUBLIC);
    let address = site.gate.address();
    let form = format!(
        "client_id=containerd-client&grant_type=password&username=alice&password={}&scope=repository%3Aa%3Apush+repository%3Ab%3Apull&scope=repository%3Ac%3Apull&service=x",
        backwards("alice")
    );
    let whole = ask(address, "POST /v2/token", &[FORM], form.as_bytes());
    let chunks = format!(
        "5\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        &form[..5],
        form.len() - 5,
        &form[5..]
    );
    let chunked = ask(
        address,
        "POST /v2/token",
        &[FORM, "Transfer-Encoding: chunked"],
        chunks.as_bytes(),
    );
    let charset = ask(
        address,
        "POST /v2/token",
        &["Content-Type: application/x-www-form-urlencoded; charset=utf-8"],
        form.as_bytes(),
    );
    for reply in [whole, chunked, charset] {
        assert_eq!(reply.status, 200, "{reply:#?}");
        let token = reply.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(claims(&token)["sub"], "alice");
        assert_eq!(access(&token).matches("\"name\"").count(), 3);
    }
    let by_header = ask(
        address,
        "POST /v2/token",
        &[FORM, &login("bob")],
        b"grant_type=password",
    );
    assert_eq!(
        claims(by_header.json()["token"].as_str().unwrap())["sub"],
        "bob"
    );
    let nobody = ask(
        address,
        "POST /v2/token",
        &[FORM],
        b"grant_type=password&scope=repository:a:pull,push",
    );
    assert!(!access(nobody.json()["token"].as_str().unwrap()).contains("push"));
}

#[test]
fn k4_what_the_token_service_does_not_understand_is_refused_in_json() {
    if !need(&["docker-registry"]) {
        return;
    }
    let site = Site::new(PUBLIC);
    let address = site.gate.address();
    let long = "a".repeat(10 << 20);
    let right = format!(
        "grant_type=password&username=alice&password={}",
        backwards("alice")
    );
    for (headers, body, status) in [
        (
            vec![FORM],
            "grant_type=password&username=alice&password=wrong",
            401,
        ),
        (
            vec![FORM],
            "grant_type=password&username=nobody&password=x",
            401,
        ),
        (
            vec![FORM],
            "grant_type=password&username=alice:x&password=x",
            401,
        ),
        (vec![FORM], "grant_type=password&username=&password=x", 401),
        (vec![FORM], "grant_type=refresh_token&refresh_token=x", 400),
        (vec![FORM], "grant_type=client_credentials", 400),
        (vec![FORM], "", 400),
        (vec![FORM], "grant_type=password&username=a&username=b", 400),
        (vec![FORM, &login("alice")], &right, 400),
        (vec!["Content-Type: application/json"], "{}", 415),
        (vec![], &right, 415),
        (vec![FORM], &long, 413),
    ] {
        let reply = ask(address, "POST /v2/token", &headers, body.as_bytes());
        assert_eq!(reply.status, status, "{body:.60} {reply:#?}");
        assert!(!reply.error().1.is_empty());
        if status == 401 {
            assert!(
                challenge(&reply).starts_with("Basic "),
                "no way to log in is offered twice"
            );
        }
    }
    let wrong = ask(
        address,
        "GET /v2/token?service=x",
        &[&basic("alice", "wrong")],
        b"",
    );
    assert_eq!(wrong.status, 401);
    assert!(challenge(&wrong).starts_with("Basic "));
    assert_eq!(
        wrong.error(),
        (
            "UNAUTHORIZED".into(),
            "user name or password is wrong".into()
        )
    );
    let with_token = site.bear("a.b.c", "GET /v2/token");
    assert_eq!(with_token.status, 401);
    for (request, status) in [
        ("PUT /v2/token", 405),
        ("DELETE /v2/token", 405),
        ("GET /v2/token/", 404),
        ("GET /v2/TOKEN", 404),
    ] {
        assert_eq!(ask(address, request, &[], b"").status, status, "{request}");
    }
    let body_of_get = ask(address, "GET /v2/token", &["Content-Length: 1"], b"x");
    assert_eq!(body_of_get.status, 400);
}

#[test]
fn k2_a_token_is_good_for_what_it_says_and_the_refusal_names_the_scope() {
    if !need(&["docker-registry"]) {
        return;
    }
    let site = Site::new("challenge = \"bearer\"\n");
    let blob = site.image("a", "content of a");
    site.image("b", "content of b");
    let pull_a = site.token("alice", &["repository:a:pull"]);
    assert_eq!(site.bear(&pull_a, "GET /v2/a/manifests/1").status, 200);
    for (request, scope) in [
        ("GET /v2/b/manifests/1", "repository:b:pull"),
        ("PUT /v2/a/manifests/2", "repository:a:pull,push"),
        ("POST /v2/a/blobs/uploads/", "repository:a:pull,push"),
        (
            &*format!("DELETE /v2/a/blobs/{blob}"),
            "repository:a:delete",
        ),
        ("GET /v2/_catalog", "registry:catalog:*"),
    ] {
        let reply = site.bear(&pull_a, request);
        assert_eq!(reply.status, 401, "{request} {reply:#?}");
        let expected = format!(",scope=\"{scope}\",error=\"insufficient_scope\"");
        assert!(
            challenge(&reply).ends_with(&expected),
            "{request}: {}",
            challenge(&reply)
        );
    }
    let anonymous = site.token("", &["repository:a:pull"]);
    let reply = site.bear(&anonymous, "GET /v2/a/manifests/1");
    assert_eq!(reply.status, 401);
    assert!(challenge(&reply).ends_with("error=\"insufficient_scope\""));
    let all = site.token("alice", &["repository:a:*"]);
    let reply = site.bear(&all, &format!("DELETE /v2/a/blobs/{blob}"));
    assert_eq!(reply.status, 202);
    let catalog = site.token("alice", &["registry:catalog:*"]);
    assert_eq!(site.bear(&catalog, "GET /v2/_catalog").status, 200);
}

#[test]
fn k1_a_token_that_is_not_ours_is_called_invalid() {
    if !need(&["docker-registry"]) {
        return;
    }
    let site = Site::new(PUBLIC);
    site.image("a", "content");
    let good = site.token("alice", &["repository:a:*"]);
    let [head, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("{good}");
    };
    let none = URL_SAFE_NO_PAD.encode("{\"alg\":\"none\",\"typ\":\"JWT\"}");
    let wide = URL_SAFE_NO_PAD.encode(claims(&good).to_string().replace("\"a\"", "\"b\""));
    let other = Site::new(PUBLIC);
    let foreign = other.token("alice", &["repository:a:*"]);
    for token in [
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        format!("{head}.{wide}.{signature}"),
        format!("{head}.{payload}"),
        foreign,
        "x".into(),
        "x".repeat(20_000),
    ] {
        for request in [
            "GET /v2/",
            "GET /v2/a/manifests/1",
            "POST /v2/a/blobs/uploads/",
        ] {
            let reply = site.bear(&token, request);
            assert_eq!(reply.status, 401, "{token:.50} {request}");
            assert!(
                challenge(&reply).ends_with(",error=\"invalid_token\""),
                "{}",
                challenge(&reply)
            );
        }
    }
    let line = format!("Authorization: Bearer {good}");
    let elsewhere = ask(
        site.gate.address(),
        "GET /v2/",
        &[&line, "Host: other.test"],
        b"",
    );
    assert_eq!(elsewhere.status, 401, "another service");
    let twice = ask(site.gate.address(), "GET /v2/", &[&line, &line], b"");
    assert_eq!(twice.status, 401);
    let lower = format!("authorization: bearer {good}");
    assert_eq!(
        ask(site.gate.address(), "GET /v2/", &[&lower], b"").status,
        200
    );
}

#[test]
fn tokens_live_over_a_change_of_the_key_and_of_the_configuration() {
    if !need(&["docker-registry"]) {
        return;
    }
    let site = Site::new(PUBLIC);
    let before = site.token("alice", &["repository:a:*"]);
    let key = site.gate.dir().join("dockgate-data/token.key");
    let old_key = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    site.gate.reload();
    wait_for(|| key.exists());
    assert_ne!(fs::read(&key).unwrap(), old_key);
    wait_for(|| {
        let now = site.token("alice", &["repository:a:*"]);
        now.split('.').next() != before.split('.').next()
    });
    let after = site.token("alice", &["repository:a:*"]);
    for token in [&before, &after] {
        assert_eq!(site.bear(token, "GET /v2/").status, 200);
    }
}

#[track_caller]
fn wait_for(mut seen: impl FnMut() -> bool) {
    let end = SystemTime::now() + Duration::from_secs(20);
    while !seen() {
        assert!(SystemTime::now() < end, "it does not come");
        std::thread::yield_now();
    }
}

/// What curl gets, with these arguments before the URL.
fn curl(authority: &Authority, gate: &Gate, path: &str, arguments: &[&str]) -> (String, String) {
    let host = format!("localhost:{}", gate.address().port());
    let outcome = process::run(
        std::process::Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--max-time",
                "20",
                "--dump-header",
                "-",
            ])
            .arg("--cacert")
            .arg(authority.ca())
            .args(arguments)
            .arg(format!("https://{host}{path}")),
    )
    .succeeds("curl gets an answer");
    let (head, body) = outcome.stdout.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[test]
fn a_certificate_is_an_identity_at_the_token_service_and_stays_bound_to_its_tokens() {
    if !need(&["docker-registry", "curl"]) {
        return;
    }
    let authority = Authority::new("the CA of the test");
    let (server, build) = (authority.server(), authority.client("build-7"));
    let registry = Registry::start();
    let gate = Gate::start(&format!(
        r#"
        [[listener]]
        address = "127.0.0.1:0"
        [listener.tls]
        certificate = "{}"
        key = "{}"
        client_ca = "{}"
        client_auth = "optional"
        [upstream]
        url = "{}"
        [log]
        access = false
        [[rule]]
        who = ["anonymous"]
        repositories = ["public/**"]
        actions = ["pull"]
        [[rule]]
        who = ["cert:build-*"]
        repositories = ["team/**"]
        actions = ["pull", "push"]
        "#,
        server.certificate.display(),
        server.key.display(),
        authority.ca().display(),
        registry.url(),
    ));
    let (certificate, key) = (
        build.certificate.to_str().unwrap(),
        build.key.to_str().unwrap(),
    );
    let with = ["--cert", certificate, "--key", key];
    let token = |arguments: &[&str]| {
        let path = "/v2/token?scope=repository:team/a:*&scope=repository:public/a:*";
        let (_, body) = curl(&authority, &gate, path, arguments);
        let document: serde_json::Value = serde_json::from_str(&body).unwrap();
        document["token"].as_str().unwrap().to_owned()
    };
    let (bound, nobody) = (token(&with), token(&[]));
    assert_eq!(claims(&bound)["sub"], "build-7");
    assert!(
        access(&bound).contains("\"pull\",\"push\"],\"name\":\"team/a\""),
        "{}",
        access(&bound)
    );
    assert!(!access(&nobody).contains("team/a"), "{}", access(&nobody));
    let line = format!("Authorization: Bearer {bound}");
    let push = ["--request", "POST", "--header", &line];
    let path = "/v2/team/a/blobs/uploads/";
    let (head, _) = curl(&authority, &gate, path, &[&push[..], &with].concat());
    assert!(
        head.starts_with("HTTP/2 202") || head.starts_with("HTTP/1.1 202"),
        "{head}"
    );
    let (head, _) = curl(&authority, &gate, path, &push);
    assert!(
        head.contains(" 401") && head.contains("error=\"invalid_token\""),
        "{head}"
    );
    let (head, _) = curl(
        &authority,
        &gate,
        path,
        &[&["--request", "POST"], &with[..]].concat(),
    );
    assert!(
        head.contains(" 202"),
        "the certificate alone does it too: {head}"
    );
}

#[test]
fn a6_the_access_log_names_the_bearer_of_a_token() {
    if !need(&["docker-registry", "setpriv"]) {
        return;
    }
    let registry = Registry::start();
    let folder = TempDir::with_prefix("dockgate-").unwrap();
    fs::write(folder.path().join("htpasswd"), "alice:{PLAIN}ecila\n").unwrap();
    let socket = folder.path().join("gate.sock");
    let config = folder.path().join("proxy.toml");
    let toml = format!(
        "[[listener]]\naddress = \"unix:{}\"\n[upstream]\nurl = \"{}\"\n[log]\naccess = \"json\"\n\
         [auth]\nhtpasswd = \"htpasswd\"\nanonymous = \"pull\"\n",
        socket.display(),
        registry.url()
    );
    fs::write(&config, toml).unwrap();
    let program = env!("CARGO_BIN_EXE_dockgate").into();
    let daemon = Daemon::start(folder, &[program, "--config".into(), config]);
    daemon.wait_for("started").unwrap();
    let ask = |path: &str, line: &str| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n{line}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = ask("/v2/token?service=gate", &login("alice"));
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let document: serde_json::Value = serde_json::from_str(body.trim()).unwrap();
    let token = document["token"].as_str().unwrap();
    let answer = ask(
        "/v2/_catalog?n=7",
        &format!("Authorization: Bearer {token}"),
    );
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let line = daemon.wait_for("_catalog?n=7").unwrap();
    assert!(line.contains("\"user\":\"alice\""), "{line}");
    assert!(!daemon.log().contains(token), "the token stands in the log");
}

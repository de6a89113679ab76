//! `_catalog`, `tags/list` and search before the real registry, which does them by halves.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::certs::Authority;
use crate::support::docker::{self, Docker};
use crate::support::gate::Gate;
use crate::support::passwords;
use crate::support::peers;
use crate::support::podman::Podman;
use crate::support::registry::Registry;
use crate::support::skopeo::Skopeo;
use crate::support::trust::Trust;

/// What one test may wait for one answer.
const PATIENCE: Duration = Duration::from_secs(20);

const EMPTY: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An answer, its header names in lower case.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n == name);
        let value = found.next().map(|(_, v)| v.as_str());
        assert!(found.next().is_none(), "{name} stands twice");
        value
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    fn names(&self, key: &str) -> Vec<String> {
        let names = self.json()[key].as_array().unwrap().clone();
        names
            .iter()
            .map(|n| n.as_str().unwrap().to_owned())
            .collect()
    }

    fn next(&self) -> Option<&str> {
        let link = self.header("link")?;
        let target = link.strip_suffix(">; rel=\"next\"").unwrap();
        Some(target.strip_prefix('<').unwrap())
    }
}

/// One exchange on a connection of its own.
#[track_caller]
fn send(
    to: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    if !matches!(method, "GET" | "HEAD") {
        write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    head += "\r\n";
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    Answer {
        status: status.parse().unwrap(),
        headers: lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect(),
        body: body.to_owned(),
    }
}

#[track_caller]
fn get(to: SocketAddr, target: &str) -> Answer {
    send(to, "GET", target, &[], b"")
}

/// Puts an image without layers under each of these tags.
#[track_caller]
fn push(to: SocketAddr, repository: &str, tags: &[&str]) {
    let start = format!("/v2/{repository}/blobs/uploads/");
    let started = send(to, "POST", &start, &[], b"");
    assert_eq!(started.status, 202, "{}", started.body);
    let location = started.header("location").unwrap();
    let location = location.split_once("/v2/").unwrap().1;
    let close = format!("/v2/{location}&digest={EMPTY}");
    assert_eq!(send(to, "PUT", &close, &[], b"{}").status, 201);
    let config = json!({
        "mediaType": "application/vnd.oci.image.config.v1+json", "digest": EMPTY, "size": 2,
    });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [],
    });
    for tag in tags {
        let put = format!("/v2/{repository}/manifests/{tag}");
        let headers = [("Content-Type", MANIFEST)];
        let answer = send(to, "PUT", &put, &headers, manifest.to_string().as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
}

fn address_of(registry: &Registry) -> SocketAddr {
    registry
        .url()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap()
}

/// A gate for everybody who reads, before this registry.
fn open_gate(registry: &Registry) -> Gate {
    Gate::start(&format!(
        r#"
        [[listener]]
        address = "127.0.0.1:0"
        plaintext = true
        [upstream]
        url = "{}"
        [auth]
        anonymous = "pull"
        [log]
        access = false
        "#,
        registry.url()
    ))
}

/// All pages from this one on.
#[track_caller]
fn follow(to: SocketAddr, first: &str, key: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(first.to_owned());
    while let Some(target) = next {
        assert!(pages.len() < 100, "the links do not end");
        let answer = get(to, &target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.body);
        pages.push(answer.names(key));
        next = answer.next().map(str::to_owned);
    }
    pages
}

#[test]
fn tags_are_sorted_and_paged_though_the_registry_does_neither() {
    if !peers::need(&["docker-registry"]) {
        return;
    }
    let registry = Registry::start();
    let behind = address_of(&registry);
    let given = ["latest", "v1", "B", "v2", "a", "v10", "_x", "1.0-rc"];
    push(behind, "t/tags", &given);
    let gate = open_gate(&registry);
    let to = gate.address();
    let mut sorted = given.map(String::from);
    sorted.sort();

    let all = get(to, "/v2/t/tags/tags/list");
    assert_eq!(all.json(), json!({ "name": "t/tags", "tags": sorted }));
    assert_eq!(all.header("link"), None);
    assert_eq!(
        all.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    assert_eq!(
        all.header("docker-distribution-api-version"),
        Some("registry/2.0")
    );
    let unmended = get(behind, "/v2/t/tags/tags/list?n=2&last=a");
    assert_eq!(unmended.names("tags").len(), given.len());

    let first = get(to, "/v2/t/tags/tags/list?n=2");
    assert_eq!(
        first.header("link"),
        Some(r#"</v2/t/tags/tags/list?n=2&last=B>; rel="next""#)
    );
    for n in 1..=9 {
        let pages = follow(to, &format!("/v2/t/tags/tags/list?n={n}"), "tags");
        assert_eq!(pages.concat(), sorted, "n={n}");
        assert_eq!(pages.len(), sorted.len().div_ceil(n), "n={n}");
    }
    assert_eq!(
        get(to, "/v2/t/tags/tags/list?last=latest").names("tags"),
        ["v1", "v10", "v2"]
    );
    assert_eq!(
        get(to, "/v2/t/tags/tags/list?last=between&n=1").names("tags"),
        ["latest"]
    );
}

#[test]
fn odd_pages_are_answered_with_a_bound_or_with_what_is_wrong() {
    if !peers::need(&["docker-registry"]) {
        return;
    }
    let registry = Registry::start();
    push(address_of(&registry), "t/a", &["1", "2"]);
    let gate = open_gate(&registry);
    let to = gate.address();
    for list in ["/v2/_catalog", "/v2/t/a/tags/list"] {
        let key = if list.ends_with("list") {
            "tags"
        } else {
            "repositories"
        };
        let none = get(to, &format!("{list}?n=0"));
        assert_eq!(
            (none.status, none.names(key), none.next()),
            (200, vec![], None)
        );
        for n in ["-1", "abc", "1.5", "%31%30x"] {
            let answer = get(to, &format!("{list}?n={n}"));
            assert_eq!(answer.status, 400, "{list} {n}");
            assert_eq!(
                answer.json()["errors"][0]["code"],
                "PAGINATION_NUMBER_INVALID"
            );
        }
        for n in ["1001", "1000000000", "99999999999999999999", ""] {
            let answer = get(to, &format!("{list}?n={n}"));
            assert_eq!(answer.status, 200, "{list} {n}: {}", answer.body);
            assert!(!answer.names(key).is_empty());
        }
        assert_eq!(get(to, &format!("{list}?last=zzz")).names(key).len(), 0);
    }
    let odd = get(to, "/v2/t/a/tags/list?last=..%2F..%2Fetc");
    assert_eq!(odd.names("tags"), ["1", "2"]);
    assert_eq!(get(to, "/v2/_catalog?last=..%2F..%2Fetc").status, 400);
    assert_eq!(get(to, "/v2/_catalog?last=%ff").status, 400);

    let unknown = get(to, "/v2/no/such/tags/list");
    assert_eq!(unknown.status, 404);
    assert_eq!(
        unknown.json()["errors"][0]["code"],
        "NAME_UNKNOWN",
        "the registry's own answer"
    );
    for (target, status) in [
        ("/v2/t/a/tags/list", 200),
        ("/v2/_catalog", 200),
        ("/v2/no/such/tags/list", 404),
    ] {
        let (got, head) = (get(to, target), send(to, "HEAD", target, &[], b""));
        assert_eq!((head.status, head.body.as_str()), (status, ""), "{target}");
        assert_eq!(head.header("content-length"), got.header("content-length"));
        let conditional = send(
            to,
            "GET",
            target,
            &[("Range", "bytes=0-3"), ("Accept-Encoding", "gzip")],
            b"",
        );
        assert_eq!(
            (conditional.status, conditional.body),
            (status, got.body),
            "{target}"
        );
    }
}

#[test]
fn a_repository_whose_last_tag_is_gone_has_an_empty_list_and_not_null() {
    if !peers::need(&["docker-registry"]) {
        return;
    }
    let registry = Registry::start();
    let behind = address_of(&registry);
    push(behind, "t/a", &["1"]);
    let accept = [("Accept", MANIFEST)];
    let manifest = send(behind, "HEAD", "/v2/t/a/manifests/1", &accept, b"");
    let digest = manifest.header("docker-content-digest").unwrap();
    let delete = format!("/v2/t/a/manifests/{digest}");
    assert_eq!(send(behind, "DELETE", &delete, &[], b"").status, 202);
    let unmended = get(behind, "/v2/t/a/tags/list").json();
    assert_eq!(unmended["tags"], Value::Null);
    let gate = open_gate(&registry);
    let list = get(gate.address(), "/v2/t/a/tags/list");
    assert_eq!(list.json(), json!({ "name": "t/a", "tags": [] }));
}

#[test]
fn the_catalog_is_paged_without_repetition_or_loss() {
    if !peers::need(&["docker-registry"]) {
        return;
    }
    let registry = Registry::start();
    let behind = address_of(&registry);
    // `a/b` comes before `a-b` for the registry, and after it by bytes.
    let given = ["a/b", "a-b", "a.b/c", "a", "z/z/z", "m/n", "m/n/o"];
    for name in given {
        push(behind, name, &["1"]);
    }
    let gate = open_gate(&registry);
    let to = gate.address();
    let expected = get(behind, "/v2/_catalog").names("repositories");
    assert_eq!(expected.len(), given.len());
    for n in 1..=8 {
        let pages = follow(to, &format!("/v2/_catalog?n={n}"), "repositories");
        assert_eq!(pages.concat(), expected, "n={n}");
        assert_eq!(pages.len(), expected.len().div_ceil(n), "n={n}");
    }
    let first = get(to, "/v2/_catalog?n=1");
    assert_eq!(first.names("repositories"), expected[..1]);
    let after_slash = get(to, "/v2/_catalog?n=1&last=m%2Fn");
    assert_eq!(
        after_slash.header("link"),
        Some(r#"</v2/_catalog?n=1&last=m%2Fn%2Fo>; rel="next""#)
    );
}

#[test]
fn search_answers_who_brings_a_header_and_sends_the_others_to_the_catalog() {
    if !peers::need(&["docker-registry"]) {
        return;
    }
    let registry = Registry::start();
    for name in ["seed/one", "seed/two", "other/two", "other/three"] {
        push(address_of(&registry), name, &["1"]);
    }
    let gate = open_gate(&registry);
    let to = gate.address();
    let ask = |target: &str| send(to, "GET", target, &[("Authorization", "Basic Og==")], b"");

    assert_eq!(get(to, "/v1/search?q=two&n=25").status, 404);
    let one = ask("/v1/search?q=seed%2Ftwo&n=25");
    assert_eq!(one.status, 200);
    assert_eq!(
        one.json(),
        json!({
            "num_results": 1,
            "query": "seed/two",
            "results": [{
                "name": "seed/two", "description": "", "star_count": 0,
                "is_official": false, "is_automated": false,
            }],
        })
    );
    let count = |target: &str| ask(target).json()["num_results"].as_u64().unwrap();
    assert_eq!(count("/v1/search?q=TWO"), 2, "people write capitals");
    assert_eq!(count("/v1/search?q=two&n=1"), 1);
    assert_eq!(count("/v1/search?q=two&n=0"), 0);
    assert_eq!(count("/v1/search"), 4);
    assert_eq!(count("/v1/search?q=%22%3C"), 0);
    assert_eq!(ask("/v1/search?q=a&n=x").status, 400);
    let wrong = [("Authorization", "Basic YTpi")];
    let leftover = send(to, "GET", "/v1/search?q=two", &wrong, b"");
    assert_eq!(
        leftover.status, 200,
        "a gate without passwords looks at none"
    );
}

/// `Basic` with these credentials.
fn basic(credentials: &str) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
    format!("Basic {encoded}")
}

#[test]
fn r4_n50_lists_and_search_show_what_the_asker_may_pull_and_nothing_of_the_rest() {
    if !peers::need(&["docker-registry"]) {
        return;
    }
    let registry = Registry::start();
    let behind = address_of(&registry);
    let names: Vec<String> = (0..12)
        .map(|n| format!("{}/r{n:02}", if n % 4 == 0 { "public" } else { "secret" }))
        .collect();
    for name in names.iter().map(String::as_str).chain(["zz/last"]) {
        push(behind, name, &["1"]);
    }
    let toml = format!(
        r#"
        [[listener]]
        address = "127.0.0.1:0"
        plaintext = true
        [upstream]
        url = "{}"
        [auth]
        htpasswd = "htpasswd"
        [[rule]]
        who = ["anonymous"]
        repositories = ["public/**"]
        actions = ["pull", "catalog"]
        [[rule]]
        who = ["user:alice"]
        repositories = ["**"]
        actions = ["*"]
        [[rule]]
        who = ["user:bob"]
        repositories = ["zz/last"]
        actions = ["pull"]
        [log]
        access = false
        "#,
        registry.url()
    );
    let gate = Gate::start_with(&toml, |dir| {
        std::fs::write(dir.join("htpasswd"), "alice:{PLAIN}a\nbob:{PLAIN}b\n").unwrap();
    });
    let to = gate.address();
    let ask =
        |who: &str, target: &str| send(to, "GET", target, &[("Authorization", &basic(who))], b"");
    let all = get(behind, "/v2/_catalog").names("repositories");
    let public: Vec<String> = all
        .iter()
        .filter(|name| name.starts_with("public/"))
        .cloned()
        .collect();
    let bobs: Vec<String> = public
        .iter()
        .cloned()
        .chain(["zz/last".to_owned()])
        .collect();
    for (who, visible) in [(":", &public), ("alice:a", &all), ("bob:b", &bobs)] {
        for n in 1..=5 {
            let (mut pages, mut next) = (Vec::new(), Some(format!("/v2/_catalog?n={n}")));
            while let Some(target) = next {
                let answer = ask(who, &target);
                assert_eq!(answer.status, 200, "{}", answer.body);
                let link = answer.next().unwrap_or_default().to_owned();
                assert!(who == "alice:a" || !link.contains("secret"), "{link}");
                pages.push(answer.names("repositories"));
                next = Some(link).filter(|link| !link.is_empty());
            }
            assert_eq!(pages.concat(), *visible, "{who} n={n}");
            assert_eq!(pages.len(), visible.len().div_ceil(n), "{who} n={n}");
        }
        let found = ask(who, "/v1/search?q=r0&n=100").json();
        let expected = visible.iter().filter(|name| name.contains("/r0")).count();
        assert_eq!(found["num_results"], expected, "{who}");
    }
    assert_eq!(get(to, "/v2/_catalog").names("repositories"), public);
    assert_eq!(ask("bob:b", "/v2/zz/last/tags/list").names("tags"), ["1"]);
    let secret = ask("bob:b", "/v2/secret/r01/tags/list");
    let missing = ask("bob:b", "/v2/secret/none/tags/list");
    assert_eq!(secret.status, missing.status);
    assert_ne!(secret.status, 200);
}

#[test]
fn docker_podman_and_skopeo_list_and_search_with_a_login() {
    let programs = [
        docker::PROGRAMS,
        &["docker-registry", "htpasswd", "podman", "skopeo"],
    ]
    .concat();
    if !peers::need_clients(&programs) {
        return;
    }
    let registry = Registry::start();
    push(address_of(&registry), "seed/two", &["v2", "v10", "a"]);
    push(address_of(&registry), "seed/one", &["1"]);
    let authority = Authority::new("the CA of the lists");
    let server = authority.server();
    let htpasswd = server.key.with_file_name("htpasswd");
    passwords::write(&htpasswd, "alice", "secret");
    let gate = Gate::start(&format!(
        r#"
        [[listener]]
        address = "{ip}:0"
        [listener.tls]
        certificate = "{certificate}"
        key = "{key}"
        [upstream]
        url = "{upstream}"
        [auth]
        htpasswd = "{htpasswd}"
        [log]
        access = false
        "#,
        ip = peers::ADDRESS,
        certificate = server.certificate.display(),
        key = server.key.display(),
        upstream = registry.url(),
        htpasswd = htpasswd.display(),
    ));
    let host = format!("{}:{}", peers::NAME, gate.address().port());
    let trust = Trust::new(&host);
    trust.add_ca(authority.ca());
    let term = format!("{host}/two");

    let docker = Docker::new();
    docker
        .run(&["login", "-u", "alice", "-p", "secret", &host])
        .succeeds("docker logs in");
    docker
        .run(&["search", &term])
        .succeeds("docker searches")
        .says("seed/two", "docker finds the repository");
    Docker::new()
        .run(&["search", &term])
        .fails_saying("401", "docker finds nothing without a login");

    let podman = Podman::new();
    podman
        .run(&["login", "-u", "alice", "-p", "secret", &host])
        .succeeds("podman logs in");
    podman
        .run(&["search", &term])
        .succeeds("podman searches")
        .says("seed/two", "podman finds the repository");

    let tags = Skopeo::new()
        .run(&[
            "list-tags",
            "--creds",
            "alice:secret",
            &format!("docker://{host}/seed/two"),
        ])
        .succeeds("skopeo lists tags");
    let tags: Value = serde_json::from_str(&tags.stdout).unwrap();
    assert_eq!(tags["Tags"], json!(["a", "v10", "v2"]));
}

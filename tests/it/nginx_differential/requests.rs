//! What is asked of both, in this order, and what is in the registries before.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::support::exchange::{Request, Wire};

pub const USER: &str = "alice";
pub const PASSWORD: &str = "correct: horse";

const SCHEMA_2: &str = "application/vnd.docker.distribution.manifest.v2+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Shows no credentials.
    Nobody,
    /// Shows the right ones.
    User,
    /// Shows ones that are wrong.
    Stranger,
}

/// One request. `{upload}` in its target is the path of the last `Location`, with the sign for one more parameter.
pub struct Step {
    pub name: &'static str,
    pub who: Who,
    pub request: Request,
}

fn step(name: &'static str, who: Who, line: &str) -> Step {
    let (method, target) = line.split_once(' ').unwrap();
    let request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        ..Request::default()
    };
    Step { name, who, request }
}

impl Step {
    fn header(mut self, name: &str, value: &str) -> Self {
        self.request.headers.push((name.into(), value.into()));
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request.body = Some(body.into());
        self
    }

    fn chunked(mut self) -> Self {
        self.request.chunked = true;
        self
    }

    fn put_manifest(self, media_type: &str, text: impl Into<Vec<u8>>) -> Self {
        self.header("Content-Type", media_type).body(text)
    }
}

/// `Authorization` of those who have a password.
pub fn authorization(who: Who) -> Option<String> {
    let password = match who {
        Who::Nobody => return None,
        Who::User => PASSWORD,
        Who::Stranger => "wrong",
    };
    Some(format!(
        "Basic {}",
        STANDARD.encode(format!("{USER}:{password}"))
    ))
}

fn digest(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    hash.iter().fold("sha256:".to_owned(), |text, byte| {
        format!("{text}{byte:02x}")
    })
}

/// The same in both registries, and in each run.
fn layer() -> Vec<u8> {
    (b'a'..=b'z').cycle().take(100_000).collect()
}

fn config() -> Vec<u8> {
    br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#.to_vec()
}

fn manifest() -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{SCHEMA_2}","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","size":{},"digest":"{}"}},"layers":[{{"mediaType":"{LAYER}","size":{},"digest":"{}"}}]}}"#,
        config().len(),
        digest(&config()),
        layer().len(),
        digest(&layer()),
    )
}

fn index() -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{{"mediaType":"{SCHEMA_2}","size":{},"digest":"{}","platform":{{"architecture":"amd64","os":"linux"}}}}]}}"#,
        manifest().len(),
        digest(manifest().as_bytes()),
    )
}

/// Puts an image and an index into a registry, without a front.
pub fn fill(registry: &Wire) {
    for repository in ["library/app", "library/other"] {
        for blob in [layer(), config()] {
            let begun = registry.ask(
                &step(
                    "",
                    Who::Nobody,
                    &format!("POST /v2/{repository}/blobs/uploads/"),
                )
                .request,
            );
            let location = begun.header("location").unwrap();
            let path = &location[location.find("/v2/").unwrap()..];
            let done = step(
                "",
                Who::Nobody,
                &format!("PUT {path}&digest={}", digest(&blob)),
            )
            .body(blob);
            assert_eq!(registry.ask(&done.request).status, 201);
        }
        for (tag, media_type, text) in [
            ("v1", SCHEMA_2, manifest()),
            ("v2", SCHEMA_2, manifest()),
            ("many", OCI_INDEX, index()),
        ] {
            let put = step(
                "",
                Who::Nobody,
                &format!("PUT /v2/{repository}/manifests/{tag}"),
            );
            assert_eq!(
                registry
                    .ask(&put.put_manifest(media_type, text).request)
                    .status,
                201
            );
        }
    }
}

/// Everything that is asked.
pub fn steps() -> Vec<Step> {
    [
        entering(),
        reading(),
        reading_blobs(),
        names(),
        uploading(),
        pushing(),
        deleting(),
        agents(),
        odd(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn entering() -> Vec<Step> {
    use Who::{Nobody, Stranger, User};
    vec![
        step("enter/user", User, "GET /v2/"),
        step("enter/nobody", Nobody, "GET /v2/"),
        step("enter/stranger", Stranger, "GET /v2/"),
        step("enter/unknown-user", Nobody, "GET /v2/")
            .header("Authorization", "Basic Ym9iOmJvYg=="),
        step("enter/head", User, "HEAD /v2/"),
        step("enter/head-nobody", Nobody, "HEAD /v2/"),
        step("enter/no-slash", User, "GET /v2"),
        step("enter/post", User, "POST /v2/").body(""),
        step("enter/bad-base64", Nobody, "GET /v2/").header("Authorization", "Basic !!!"),
        step("enter/bearer", Nobody, "GET /v2/").header("Authorization", "Bearer x"),
        step("enter/empty-credentials", Nobody, "GET /v2/").header("Authorization", "Basic Og=="),
        step("ping/v0", Nobody, "GET /_ping"),
        step("ping/v1", Nobody, "GET /v1/_ping"),
        step("ping/user", User, "GET /_ping"),
    ]
}

fn reading() -> Vec<Step> {
    use Who::{Nobody, User};
    let (manifest, nothing) = (digest(manifest().as_bytes()), digest(b"nothing"));
    vec![
        step("catalog/all", User, "GET /v2/_catalog"),
        step("catalog/page", User, "GET /v2/_catalog?n=1"),
        step("catalog/nobody", Nobody, "GET /v2/_catalog"),
        step("catalog/bad-page", User, "GET /v2/_catalog?n=-1"),
        step("tags/all", User, "GET /v2/library/app/tags/list"),
        step(
            "tags/page",
            User,
            "GET /v2/library/app/tags/list?n=1&last=many",
        ),
        step("tags/nobody", Nobody, "GET /v2/library/app/tags/list"),
        step("tags/no-repository", User, "GET /v2/library/none/tags/list"),
        step("manifest/tag", User, "GET /v2/library/app/manifests/v1").header("Accept", SCHEMA_2),
        step(
            "manifest/nobody",
            Nobody,
            "GET /v2/library/app/manifests/v1",
        )
        .header("Accept", SCHEMA_2),
        step("manifest/list", User, "GET /v2/library/app/manifests/many")
            .header("Accept", &format!("{SCHEMA_2}, {OCI_INDEX}")),
        step(
            "manifest/two-accepts",
            User,
            "GET /v2/library/app/manifests/many",
        )
        .header("Accept", OCI_INDEX)
        .header("Accept", SCHEMA_2),
        step(
            "manifest/platform",
            User,
            "GET /v2/library/app/manifests/many",
        )
        .header("Accept", SCHEMA_2),
        step(
            "manifest/digest",
            User,
            &format!("GET /v2/library/app/manifests/{manifest}"),
        )
        .header("Accept", SCHEMA_2),
        step("manifest/head", User, "HEAD /v2/library/app/manifests/v1").header("Accept", SCHEMA_2),
        step(
            "manifest/unchanged",
            User,
            "GET /v2/library/app/manifests/v1",
        )
        .header("Accept", SCHEMA_2)
        .header("If-None-Match", &format!("\"{manifest}\"")),
        step(
            "manifest/no-tag",
            User,
            "GET /v2/library/app/manifests/none",
        )
        .header("Accept", SCHEMA_2),
        step(
            "manifest/no-digest",
            User,
            &format!("GET /v2/library/app/manifests/{nothing}"),
        ),
        step("manifest/gzip", User, "GET /v2/library/app/manifests/v1")
            .header("Accept", SCHEMA_2)
            .header("Accept-Encoding", "gzip"),
    ]
}

fn reading_blobs() -> Vec<Step> {
    use Who::{Nobody, User};
    let (layer, config) = (digest(&layer()), digest(&config()));
    let manifest = digest(manifest().as_bytes());
    let nothing = digest(b"nothing");
    let blob = |digest: &str| format!("GET /v2/library/app/blobs/{digest}");
    vec![
        step("blob/all", User, &blob(&layer)),
        step("blob/small", User, &blob(&config)),
        step("blob/nobody", Nobody, &blob(&config)),
        step(
            "blob/colon-encoded",
            User,
            &blob(&config.replace(':', "%3A")),
        ),
        step("blob/head", User, &blob(&layer).replace("GET", "HEAD")),
        step("blob/range", User, &blob(&layer)).header("Range", "bytes=100-199"),
        step("blob/range-to-end", User, &blob(&layer)).header("Range", "bytes=99990-"),
        step("blob/range-suffix", User, &blob(&layer)).header("Range", "bytes=-10"),
        step("blob/ranges", User, &blob(&layer)).header("Range", "bytes=0-9,100-109"),
        step("blob/range-beyond", User, &blob(&layer)).header("Range", "bytes=100000-"),
        step("blob/unchanged", User, &blob(&layer))
            .header("If-None-Match", &format!("\"{layer}\"")),
        step("blob/none", User, &blob(&nothing)),
        step(
            "blob/none-head",
            User,
            &blob(&nothing).replace("GET", "HEAD"),
        ),
        step(
            "referrers",
            User,
            &format!("GET /v2/library/app/referrers/{manifest}"),
        ),
    ]
}

fn names() -> Vec<Step> {
    use Who::User;
    let long = "a".repeat(300);
    vec![
        step("name/capital", User, "GET /v2/Library/app/tags/list"),
        step("name/separator", User, "GET /v2/library/-app/tags/list"),
        step("name/long", User, &format!("GET /v2/{long}/tags/list")),
        step("name/empty-segment", User, "GET /v2/library//app/tags/list"),
        step(
            "name/dots",
            User,
            "GET /v2/library/../library/app/tags/list",
        ),
        step(
            "name/encoded-slash",
            User,
            "GET /v2/library%2Fapp/tags/list",
        ),
        step("name/tag", User, "GET /v2/library/app/manifests/-bad"),
        step(
            "name/digest",
            User,
            "GET /v2/library/app/blobs/sha256:short",
        ),
        step("name/no-endpoint", User, "GET /v2/library/app"),
        step("name/no-api", User, "GET /favicon.ico"),
        step("name/root", User, "GET /"),
        step("name/v1-search", User, "GET /v1/search?q=app"),
    ]
}

fn uploading() -> Vec<Step> {
    use Who::{Nobody, Stranger, User};
    let (one, two) = (vec![1_u8; 70_000], vec![2_u8; 30_000]);
    let whole = digest(&[&one[..], &two[..]].concat());
    let layer = digest(&layer());
    let start = "POST /v2/library/new/blobs/uploads/";
    let octets = |step: Step| step.header("Content-Type", "application/octet-stream");
    vec![
        step("upload/start", User, start).body(""),
        octets(step("upload/piece", User, "PATCH {upload}"))
            .body(one)
            .chunked(),
        step("upload/status", User, "GET {upload}"),
        octets(step("upload/second-piece", User, "PATCH {upload}"))
            .header("Content-Range", "70000-99999")
            .body(two),
        step(
            "upload/close",
            User,
            &format!("PUT {{upload}}digest={whole}"),
        )
        .body(""),
        step(
            "upload/is-there",
            User,
            &format!("HEAD /v2/library/new/blobs/{whole}"),
        ),
        step("upload/start-again", User, start).body(""),
        step(
            "upload/wrong-digest",
            User,
            &format!("PUT {{upload}}digest={whole}"),
        )
        .body("something else"),
        step("upload/start-third", User, start).body(""),
        step("upload/no-digest", User, "PUT {upload}").body("something"),
        step("upload/start-fourth", User, start).body(""),
        step("upload/cancel", User, "DELETE {upload}"),
        step("upload/cancelled", User, "GET {upload}"),
        step(
            "upload/unknown",
            User,
            "PATCH /v2/library/new/blobs/uploads/11111111-1111-1111-1111-111111111111",
        )
        .body("x"),
        step(
            "upload/mount",
            User,
            &format!("{start}?mount={layer}&from=library/app"),
        )
        .body(""),
        step(
            "upload/mount-nothing",
            User,
            &format!("{start}?mount={}&from=library/app", digest(b"nothing")),
        )
        .body(""),
        step(
            "upload/at-once",
            User,
            &format!("{start}?digest={}", digest(b"small")),
        )
        .body("small"),
        step("upload/nobody", Nobody, start).body(""),
        step("upload/stranger", Stranger, start).body(""),
        step(
            "upload/nobody-with-body",
            Nobody,
            "PUT /v2/library/new/manifests/v1",
        )
        .body(vec![b'x'; 100_000]),
    ]
}

fn pushing() -> Vec<Step> {
    use Who::User;
    vec![
        step("push/manifest", User, "PUT /v2/library/app/manifests/v3")
            .put_manifest(SCHEMA_2, manifest()),
        step(
            "push/digest",
            User,
            &format!(
                "PUT /v2/library/app/manifests/{}",
                digest(manifest().as_bytes())
            ),
        )
        .put_manifest(SCHEMA_2, manifest()),
        step(
            "push/missing-layer",
            User,
            "PUT /v2/library/empty/manifests/v1",
        )
        .put_manifest(SCHEMA_2, manifest()),
        step("push/no-json", User, "PUT /v2/library/app/manifests/v4")
            .put_manifest(SCHEMA_2, "no json"),
        step("push/bad-tag", User, "PUT /v2/library/app/manifests/-bad")
            .put_manifest(SCHEMA_2, manifest()),
        step("push/large", User, "PUT /v2/library/app/manifests/v5")
            .put_manifest(SCHEMA_2, vec![b' '; 5 << 20]),
        step("push/is-there", User, "GET /v2/library/app/tags/list"),
    ]
}

fn deleting() -> Vec<Step> {
    use Who::{Nobody, User};
    let (manifest, layer) = (digest(manifest().as_bytes()), digest(&layer()));
    vec![
        step(
            "delete/nobody",
            Nobody,
            &format!("DELETE /v2/library/other/manifests/{manifest}"),
        ),
        step("delete/tag", User, "DELETE /v2/library/other/manifests/v1"),
        step(
            "delete/manifest",
            User,
            &format!("DELETE /v2/library/other/manifests/{manifest}"),
        ),
        step(
            "delete/again",
            User,
            &format!("DELETE /v2/library/other/manifests/{manifest}"),
        ),
        step("delete/is-gone", User, "GET /v2/library/other/manifests/v1")
            .header("Accept", SCHEMA_2),
        step(
            "delete/blob",
            User,
            &format!("DELETE /v2/library/other/blobs/{layer}"),
        ),
        step(
            "delete/blob-again",
            User,
            &format!("DELETE /v2/library/other/blobs/{layer}"),
        ),
    ]
}

fn agents() -> Vec<Step> {
    use Who::User;
    [
        ("agent/docker-1.5", "docker/1.5.0 go/go1.4"),
        ("agent/docker-1.5-dev", "docker/1.5.1-dev go/go1.4"),
        ("agent/docker-1.6", "docker/1.6.0 go/go1.4"),
        ("agent/docker-20", "docker/20.10.24 go/go1.19.8"),
        ("agent/go-1.1", "Go 1.1 package http"),
        ("agent/go-client", "Go-http-client/1.1"),
    ]
    .into_iter()
    .map(|(name, agent)| step(name, User, "GET /v2/").header("User-Agent", agent))
    .collect()
}

fn odd() -> Vec<Step> {
    use Who::User;
    vec![
        step("odd/options", User, "OPTIONS /v2/"),
        step("odd/trace", User, "TRACE /v2/"),
        step("odd/unknown-method", User, "FROB /v2/"),
        step("odd/put-catalog", User, "PUT /v2/_catalog").body(""),
        step("odd/get-with-body", User, "GET /v2/").body("what for?"),
        step("odd/delete-tags", User, "DELETE /v2/library/app/tags/list"),
    ]
}

//! The list of what both sides are asked, in order. A later step builds on an earlier one: what was pushed is pulled.

use bytes::Bytes;

use super::content::{Content, digest_of};
use super::steps::{Image, Need, Step, Who, step};

/// The list for a side. Without `write`, what would change something is left out.
pub(super) fn steps(content: &Content, image: Option<&Image>, write: bool) -> Vec<Step> {
    let mut steps = entering();
    steps.extend(agents());
    steps.extend(unknown(content));
    if let Some(image) = image {
        steps.extend(existing(image));
    }
    if write {
        steps.extend(pushing(content));
        steps.extend(pulling(content));
    }
    steps.extend(listing(content));
    if write {
        steps.extend(deleting(content));
    }
    steps.retain(|step| write || !step.writes());
    steps
}

fn entering() -> Vec<Step> {
    use Need::Nothing;
    vec![
        step("ping/v2", Who::Nobody, Nothing, "GET /v2/"),
        step("ping/v2-head", Who::Nobody, Nothing, "HEAD /v2/"),
        step("ping/v2-no-slash", Who::Nobody, Nothing, "GET /v2"),
        step("ping/ping", Who::Nobody, Nothing, "GET /_ping"),
        step("ping/v1-ping", Who::Nobody, Nothing, "GET /v1/_ping"),
        step("login/good", Who::User, Nothing, "GET /v2/"),
        step("login/bad", Who::Wrong, Nothing, "GET /v2/"),
        step("login/basic-good", Who::Basic, Nothing, "GET /v2/"),
        step("login/basic-bad", Who::WrongBasic, Nothing, "GET /v2/"),
        step("login/unknown-user", Who::Stranger, Nothing, "GET /v2/"),
        step("login/empty", Who::Empty, Nothing, "GET /v2/"),
    ]
}

fn agents() -> Vec<Step> {
    [
        (
            "agent/docker-1.5.0",
            "docker/1.5.0 go/go1.4.1 git-commit/a8a31ef kernel/3.13 os/linux arch/amd64",
        ),
        (
            "agent/docker-1.5.1-dev",
            "docker/1.5.1-dev go/go1.4.1 kernel/3.13 os/linux arch/amd64",
        ),
        (
            "agent/docker-20.10",
            "docker/20.10.24 go/go1.19.8 kernel/6.1 os/linux arch/amd64",
        ),
        ("agent/go-1.1", "Go 1.1 package http"),
        ("agent/go-http-client", "Go-http-client/1.1"),
    ]
    .into_iter()
    .map(|(name, agent)| {
        step(name, Who::User, Need::Nothing, "GET /v2/").header("user-agent", agent)
    })
    .collect()
}

/// What is not there, or is no name at all.
fn unknown(content: &Content) -> Vec<Step> {
    use Need::Pull;
    let (repository, nothing) = (&content.repository, content.unknown());
    let at = |name, path: String| step(name, Who::User, Pull, &path);
    vec![
        at(
            "unknown/repository",
            format!("GET /v2/{repository}/nobody-has-this/tags/list"),
        ),
        at(
            "unknown/tag",
            format!("GET /v2/{repository}/manifests/no-such-tag"),
        )
        .accepting(),
        at(
            "unknown/tag-head",
            format!("HEAD /v2/{repository}/manifests/no-such-tag"),
        )
        .accepting(),
        at(
            "unknown/manifest",
            format!("GET /v2/{repository}/manifests/{nothing}"),
        )
        .accepting(),
        at(
            "unknown/blob",
            format!("GET /v2/{repository}/blobs/{nothing}"),
        ),
        at(
            "unknown/blob-head",
            format!("HEAD /v2/{repository}/blobs/{nothing}"),
        ),
        at(
            "unknown/bad-digest",
            format!("GET /v2/{repository}/blobs/sha256:abc"),
        ),
        step(
            "unknown/bad-name",
            Who::User,
            Need::Nothing,
            "GET /v2/Upper/tags/list",
        ),
        step(
            "unknown/path",
            Who::User,
            Need::Nothing,
            "GET /v2/there/is/nothing",
        ),
    ]
}

/// An image that was there before.
fn existing(image: &Image) -> Vec<Step> {
    const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                          application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
    let path = format!("/v2/{}/manifests/{}", image.repository, image.reference);
    let tags = format!("GET /v2/{}/tags/list", image.repository);
    let at =
        |name, who, request: &str| step(name, who, Need::Pull, request).header("accept", ACCEPT);
    vec![
        at("image/manifest", Who::User, &format!("GET {path}")),
        at("image/manifest-head", Who::User, &format!("HEAD {path}")),
        at("image/nobody", Who::Nobody, &format!("GET {path}")),
        at("image/tags", Who::User, &tags),
    ]
}

fn pushing(content: &Content) -> Vec<Step> {
    let repository = &content.repository;
    let at = |name, request: &str| step(name, Who::User, Need::Push, request);
    let begin = format!("POST /v2/{repository}/blobs/uploads/");
    let (layer, other) = (digest_of(&content.layer), digest_of(&content.other));
    let (config, unknown) = (digest_of(&content.config), content.unknown());
    let manifests = format!("PUT /v2/{repository}/manifests");
    let tag = &content.tag;
    let (head, tail) = (content.layer.slice(..60_000), content.layer.slice(60_000..));
    vec![
        step("push/nobody", Who::Nobody, Need::Push, &begin),
        at("push/begin", &begin),
        at("push/chunk", "PATCH {upload}").bytes(&head).in_chunks(),
        at("push/status", "GET {upload}"),
        at("push/chunk-again", "PATCH {upload}")
            .bytes(&tail)
            .in_chunks(),
        at("push/finish", &format!("PUT {{upload}}digest={layer}")),
        at(
            "push/is-there",
            &format!("HEAD /v2/{repository}/blobs/{layer}"),
        ),
        at("push/begin-whole", &begin),
        at("push/whole", &format!("PUT {{upload}}digest={other}")).bytes(&content.other),
        at(
            "push/mount",
            &format!("{begin}?mount={layer}&from={repository}"),
        ),
        at(
            "push/mount-unknown",
            &format!("{begin}?mount={unknown}&from={repository}"),
        ),
        at("push/mount-cancel", "DELETE {upload}"),
        at("push/begin-config", &begin),
        at("push/config", &format!("PUT {{upload}}digest={config}")).bytes(&content.config),
        at("push/begin-wrong", &begin),
        at("push/wrong-chunk", "PATCH {upload}").bytes(&content.config),
        at(
            "push/wrong-digest",
            &format!("PUT {{upload}}digest={unknown}"),
        ),
        at("push/begin-2mib", &begin),
        at("push/2mib", "PATCH {upload}").bytes(&content.probe),
        at("push/2mib-cancel", "DELETE {upload}"),
        at(
            "push/manifest-incomplete",
            &format!("{manifests}/{tag}-broken"),
        )
        .manifest(&content.broken),
        at(
            "push/manifest-garbage",
            &format!("{manifests}/{tag}-broken"),
        )
        .manifest(&Bytes::from_static(b"garbage")),
        step(
            "push/manifest-nobody",
            Who::Nobody,
            Need::Push,
            &format!("{manifests}/{tag}"),
        )
        .manifest(&content.manifest),
        at("push/manifest", &format!("{manifests}/{tag}")).manifest(&content.manifest),
    ]
}

fn pulling(content: &Content) -> Vec<Step> {
    let repository = &content.repository;
    let (digest, layer) = (digest_of(&content.manifest), digest_of(&content.layer));
    let at = |name, request: &str| step(name, Who::User, Need::Pull, request);
    let by_tag = format!("/v2/{repository}/manifests/{}", content.tag);
    let by_digest = format!("/v2/{repository}/manifests/{digest}");
    let blob = format!("/v2/{repository}/blobs/{layer}");
    let range = |name, range| at(name, &format!("GET {blob}")).header("range", range);
    vec![
        step(
            "pull/nobody",
            Who::Nobody,
            Need::Pull,
            &format!("GET {by_tag}"),
        )
        .accepting(),
        at("pull/tag-head", &format!("HEAD {by_tag}")).accepting(),
        at("pull/tag", &format!("GET {by_tag}")).accepting(),
        at("pull/digest-head", &format!("HEAD {by_digest}")).accepting(),
        at("pull/digest", &format!("GET {by_digest}")).accepting(),
        at("pull/blob-head", &format!("HEAD {blob}")),
        at("pull/blob", &format!("GET {blob}")),
        step(
            "pull/blob-nobody",
            Who::Nobody,
            Need::Pull,
            &format!("GET {blob}"),
        ),
        range("range/first", "bytes=0-99"),
        range("range/from", "bytes=99990-"),
        range("range/last", "bytes=-10"),
        range("range/beyond", "bytes=900000-"),
    ]
}

fn listing(content: &Content) -> Vec<Step> {
    let repository = &content.repository;
    vec![
        step(
            "list/catalog",
            Who::User,
            Need::Catalog,
            "GET /v2/_catalog?n=1",
        )
        .list(),
        step(
            "list/catalog-nobody",
            Who::Nobody,
            Need::Catalog,
            "GET /v2/_catalog?n=1",
        )
        .list(),
        step(
            "list/tags",
            Who::User,
            Need::Pull,
            &format!("GET /v2/{repository}/tags/list"),
        )
        .list(),
        step(
            "list/tags-page",
            Who::User,
            Need::Pull,
            &format!("GET /v2/{repository}/tags/list?n=1"),
        )
        .list(),
    ]
}

fn deleting(content: &Content) -> Vec<Step> {
    let repository = &content.repository;
    let manifest = format!(
        "/v2/{repository}/manifests/{}",
        digest_of(&content.manifest)
    );
    let blob = |bytes| format!("DELETE /v2/{repository}/blobs/{}", digest_of(bytes));
    let at = |name, request: &str| step(name, Who::User, Need::Delete, request);
    vec![
        step(
            "delete/nobody",
            Who::Nobody,
            Need::Delete,
            &format!("DELETE {manifest}"),
        ),
        at("delete/manifest", &format!("DELETE {manifest}")),
        at("delete/manifest-again", &format!("DELETE {manifest}")),
        at("delete/is-gone", &format!("GET {manifest}")).accepting(),
        at("delete/layer", &blob(&content.layer)),
        at("delete/layer-again", &blob(&content.layer)),
        at("delete/other", &blob(&content.other)),
        at("delete/config", &blob(&content.config)),
    ]
}

#[cfg(test)]
mod tests {
    use http::Method;

    use crate::oci::RepositoryName;

    use super::*;

    #[test]
    fn without_leave_to_write_nothing_is_asked_that_changes_anything() {
        let content = Content::new(&RepositoryName::parse("scratch").unwrap(), 1, 'o');
        let image = Image {
            repository: "app".into(),
            reference: "latest".into(),
        };
        let reading = steps(&content, Some(&image), false);
        assert!(reading.len() > 25, "{}", reading.len());
        for step in &reading {
            assert!(
                matches!(step.method, Method::GET | Method::HEAD),
                "{step:?}"
            );
            assert!(!step.path.contains("{upload}"), "{step:?}");
        }
        let all = steps(&content, Some(&image), true);
        for step in all.iter().filter(|step| step.writes()) {
            let own = step.path.starts_with("/v2/scratch/") || step.path.starts_with("{upload}");
            assert!(own, "{step:?}");
        }
    }

    #[test]
    fn every_step_has_a_name_of_its_own() {
        let content = Content::new(&RepositoryName::parse("scratch").unwrap(), 1, 'o');
        let mut names: Vec<_> = steps(&content, None, true).iter().map(|s| s.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}

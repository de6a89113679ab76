use super::*;

impl Room {
    /// An artifact that refers to `subject`.
    async fn artifact(&self, subject: &Digest, kind: &str, note: &str) -> Digest {
        let config = self.push_blob("a", b"{}").await;
        let bytes = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": kind,
            "config": {"mediaType": EMPTY, "digest": config.as_str(), "size": 2},
            "layers": [],
            "subject": {"mediaType": OCI_MANIFEST, "digest": subject.as_str(), "size": 1},
            "annotations": {"note": note},
        });
        let bytes = bytes.to_string();
        let by = sha256(bytes.as_bytes());
        let stored = self.try_push("a", by.as_str(), None, &bytes).await.unwrap();
        assert_eq!(stored.subject.as_ref(), Some(subject));
        stored.digest
    }

    async fn referrers(
        &self,
        subject: &Digest,
        kind: Option<&str>,
        last: Option<&Digest>,
        most: usize,
    ) -> Referrers {
        let at = name("a");
        self.registry
            .referrers(&at, subject, kind, last, most)
            .await
            .unwrap()
    }

    async fn referring(&self, subject: &Digest) -> Vec<String> {
        digests(&self.referrers(subject, None, None, 1000).await)
    }
}

fn digests(referrers: &Referrers) -> Vec<String> {
    referrers
        .descriptors
        .iter()
        .map(|r| r.digest.clone())
        .collect()
}

fn sorted(digests: &[&Digest]) -> Vec<String> {
    let mut sorted: Vec<String> = digests.iter().map(|d| d.as_str().to_owned()).collect();
    sorted.sort();
    sorted
}

#[tokio::test]
async fn whatever_does_not_exist_has_no_referrers() {
    let room = Room::new();
    let subject = sha256(b"nothing");
    assert_eq!(
        room.referrers(&subject, None, None, 10).await,
        Referrers::default()
    );
    let subject = room.push_image("a", "1", "layer").await;
    assert_eq!(
        room.referrers(&subject, None, None, 10).await,
        Referrers::default()
    );
}

#[tokio::test]
async fn a_referrer_is_described_as_the_specification_says() {
    let room = Room::new();
    // It may come before its subject.
    let subject = sha256(room.image("a", "layer").await.as_bytes());
    let artifact = room.artifact(&subject, "x/sbom", "hello").await;
    room.push_image("a", "1", "layer").await;
    let referrers = room.referrers(&subject, None, None, 10).await;
    let size = room.pull("a", artifact.as_str()).await.unwrap().length;
    assert_eq!(
        serde_json::to_value(&referrers.descriptors).unwrap(),
        json!([{"mediaType": OCI_MANIFEST, "digest": artifact.as_str(), "size": size,
            "artifactType": "x/sbom", "annotations": {"note": "hello"}}])
    );
    assert!(!referrers.more);
    let elsewhere = name("b");
    let other = room
        .registry
        .referrers(&elsewhere, &subject, None, None, 10);
    assert_eq!(other.await.unwrap(), Referrers::default());
}

#[tokio::test]
async fn the_type_of_an_image_is_that_of_its_config_and_an_index_may_have_none() {
    let room = Room::new();
    let subject = sha256(b"subject");
    let reference = json!({"mediaType": OCI_MANIFEST, "digest": subject.as_str(), "size": 1});
    let mut image: serde_json::Value = serde_json::from_str(&room.image("a", "x").await).unwrap();
    image["subject"] = reference.clone();
    let image = room.push("a", "image", &image.to_string()).await;
    let index =
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "subject": reference});
    let index = room.push("a", "index", &index.to_string()).await;
    let all = room.referrers(&subject, None, None, 10).await.descriptors;
    let kind = |d: &Digest| {
        all.iter()
            .find(|r| r.digest == d.as_str())
            .unwrap()
            .artifact_type
            .clone()
    };
    assert_eq!(
        kind(&image).as_deref(),
        Some("application/vnd.oci.image.config.v1+json")
    );
    assert_eq!(kind(&index), None);
}

#[tokio::test]
async fn pages_follow_one_another_and_filters_hold() {
    let room = Room::new();
    let subject = sha256(b"subject");
    let mut all = Vec::new();
    for n in 0..9 {
        let kind = if n % 3 == 0 { "x/a" } else { "x/b" };
        all.push((room.artifact(&subject, kind, &n.to_string()).await, kind));
    }
    all.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
    for (filter, most) in [
        (None, 2),
        (None, 3),
        (None, 9),
        (Some("x/a"), 2),
        (Some("x/b"), 1),
        (Some("x/c"), 1),
    ] {
        let wanted = all
            .iter()
            .filter(|(_, kind)| filter.is_none_or(|f| f == *kind));
        let wanted: Vec<&str> = wanted.map(|(digest, _)| digest.as_str()).collect();
        let mut found = Vec::new();
        loop {
            let last = found.last().map(|d: &String| Digest::parse(d).unwrap());
            let page = room.referrers(&subject, filter, last.as_ref(), most).await;
            assert!(page.descriptors.len() <= most);
            assert_eq!(
                page.more,
                found.len() + page.descriptors.len() < wanted.len()
            );
            found.extend(digests(&page));
            if !page.more {
                break;
            }
        }
        assert_eq!(found, wanted, "{filter:?} {most}");
    }
    let beyond = sha512(b"any");
    assert_eq!(
        room.referrers(&subject, None, Some(&beyond), 10).await,
        Referrers::default()
    );
}

#[tokio::test]
async fn a_page_ends_before_it_is_too_large_to_be_read() {
    let room = Room::new();
    let subject = sha256(b"subject");
    let note = "x".repeat(1_500_000);
    for n in 0..4 {
        room.artifact(&subject, "x/y", &format!("{n}{note}")).await;
    }
    let first = room.referrers(&subject, None, None, 100).await;
    assert_eq!((first.descriptors.len(), first.more), (2, true));
    let last = Digest::parse(&first.descriptors[1].digest).unwrap();
    let second = room.referrers(&subject, None, Some(&last), 100).await;
    assert_eq!((second.descriptors.len(), second.more), (2, false));
}

#[tokio::test]
async fn a_subject_named_by_sha512_is_asked_by_sha512() {
    let room = Room::new();
    let subject = sha512(b"subject");
    let artifact = room.artifact(&subject, "x/y", "").await;
    assert_eq!(room.referring(&subject).await, [artifact.as_str()]);
    assert!(room.referring(&sha256(b"subject")).await.is_empty());
}

#[tokio::test]
async fn a_referrer_that_is_deleted_is_listed_no_more() {
    let room = Room::new();
    let subject = room.push_image("a", "1", "layer").await;
    let one = room.artifact(&subject, "x/y", "one").await;
    let two = room.artifact(&subject, "x/y", "two").await;
    room.delete("a", one.as_str()).await.unwrap();
    assert_eq!(room.referring(&subject).await, [two.as_str()]);
    let entry = format!(
        "repositories/a/_manifests/referrers/sha256/{}/sha256",
        subject.hex()
    );
    assert!(room.link(&format!("{entry}/{}", one.hex())).is_none());
    assert!(room.link(&format!("{entry}/{}", two.hex())).is_some());
    room.delete("a", subject.as_str()).await.unwrap();
    assert_eq!(room.referring(&subject).await, [two.as_str()]);
}

/// As left by clients of a registry without the API: an index under the fallback tag, and no links of ours.
#[tokio::test]
async fn what_the_fallback_tag_lists_is_listed_once() {
    let room = Room::new();
    for subject in [sha256(b"subject"), sha512(b"subject")] {
        let here = room.artifact(&subject, "x/y", "known by both").await;
        let old = room.artifact(&subject, "x/y", "known by the tag").await;
        let other = room
            .artifact(&sha256(b"other"), "x/y", "refers to another")
            .await;
        let gone = room.artifact(&subject, "x/y", "gone").await;
        let listed: Vec<_> = [&here, &old, &other, &gone]
            .map(|d| json!({"mediaType": OCI_MANIFEST, "digest": d.as_str(), "size": 1}))
            .into();
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed});
        let tag = format!("{}-{}", subject.algorithm().as_str(), &subject.hex()[..64]);
        room.push("a", &tag, &index.to_string()).await;
        room.delete("a", gone.as_str()).await.unwrap();
        let folder = format!(
            "repositories/a/_manifests/referrers/{}",
            subject.as_str().replace(':', "/")
        );
        std::fs::remove_dir_all(room.path(&format!("{folder}/sha256/{}", old.hex()))).unwrap();
        assert_eq!(room.referring(&subject).await, sorted(&[&here, &old]));
        let first = room.referrers(&subject, None, None, 1).await;
        assert!(first.more);
        let last = Digest::parse(&first.descriptors[0].digest).unwrap();
        let second = room.referrers(&subject, None, Some(&last), 1).await;
        assert_eq!(
            [digests(&first), digests(&second)].concat(),
            sorted(&[&here, &old])
        );
        assert!(!second.more);
    }
}

#[tokio::test]
async fn thousands_of_referrers_are_paged_from_links_and_tag_alike() {
    let room = Room::new();
    let subject = sha256(b"subject");
    let real = room.artifact(&subject, "x/y", "real").await;
    let folder = format!(
        "repositories/a/_manifests/referrers/sha256/{}/sha256",
        subject.hex()
    );
    for n in 0..2100_u32 {
        // Left over: nothing stands behind them.
        let digest = sha256(&n.to_le_bytes());
        std::fs::create_dir_all(room.path(&format!("{folder}/{}", digest.hex()))).unwrap();
    }
    let tagged = room.artifact(&subject, "x/y", "tagged").await;
    std::fs::remove_dir_all(room.path(&format!("{folder}/{}", tagged.hex()))).unwrap();
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX,
        "manifests": [{"mediaType": OCI_MANIFEST, "digest": tagged.as_str(), "size": 1}]});
    room.push(
        "a",
        &format!("sha256-{}", subject.hex()),
        &index.to_string(),
    )
    .await;
    assert_eq!(room.referring(&subject).await, sorted(&[&real, &tagged]));
}

//! What is pushed for the comparison: as long on both sides and never the same twice, so that two doors to one registry,
//! and a run before this one, do not get into each other's way.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;

use crate::oci::RepositoryName;

/// The media type of the manifest that is pushed.
pub(super) const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Twice what nginx lets through unless it is told otherwise.
const PROBE: usize = 2 << 20;

const LAYER: usize = 100_000;

/// The content of one side.
#[derive(Debug)]
pub(super) struct Content {
    /// Where it goes.
    pub repository: RepositoryName,
    /// The tag of this run and side.
    pub tag: String,
    /// A layer in chunks.
    pub layer: Bytes,
    /// A layer in one piece.
    pub other: Bytes,
    /// The configuration of the image.
    pub config: Bytes,
    /// What is too large for a front with a small limit.
    pub probe: Bytes,
    /// The manifest of the layers and the configuration.
    pub manifest: Bytes,
    /// One whose layer is nowhere.
    pub broken: Bytes,
    /// The digest of that layer.
    nowhere: String,
}

impl Content {
    /// The content of a side in a run.
    pub(super) fn new(repository: &RepositoryName, run: u64, side: char) -> Self {
        let salt = format!("{run:016x}{side}");
        let layer = pattern(&format!("layer {salt}"), LAYER);
        let other = pattern(&format!("other {salt}"), LAYER);
        let config = Bytes::from(format!(
            "{{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{{\"Labels\":{{\"dockgate.compare\":\"{salt}\"}}}},\
             \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"{}\",\"{}\"]}}}}",
            digest_of(&layer),
            digest_of(&other)
        ));
        let manifest = manifest(&config, &[(&layer, LAYER), (&other, LAYER)]);
        let nowhere = digest_of(format!("nowhere {salt}").as_bytes());
        let broken = manifest_of(&config, &[(nowhere.clone(), LAYER)]);
        Self {
            repository: repository.clone(),
            tag: format!("compare-{salt}"),
            probe: pattern(&format!("probe {salt}"), PROBE),
            layer,
            other,
            config,
            manifest,
            broken,
            nowhere,
        }
    }

    /// What differs between the sides by design, with the name under which it is compared.
    pub(super) fn names(&self) -> Vec<(String, &'static str)> {
        vec![
            (digest_of(&self.layer), "LAYER"),
            (digest_of(&self.other), "OTHER"),
            (digest_of(&self.config), "CONFIG"),
            (digest_of(&self.manifest), "MANIFEST"),
            (digest_of(&self.probe), "PROBE"),
            (digest_of(&self.broken), "BROKEN"),
            (self.nowhere.clone(), "NOWHERE"),
            (self.unknown(), "UNKNOWN"),
            (self.tag.clone(), "TAG"),
        ]
    }

    /// The digest of what is nowhere.
    pub(super) fn unknown(&self) -> String {
        digest_of(format!("unknown {}", self.tag).as_bytes())
    }
}

fn manifest(config: &[u8], layers: &[(&[u8], usize)]) -> Bytes {
    let layers: Vec<_> = layers
        .iter()
        .map(|(bytes, size)| (digest_of(bytes), *size))
        .collect();
    manifest_of(config, &layers)
}

fn manifest_of(config: &[u8], layers: &[(String, usize)]) -> Bytes {
    let layers: Vec<String> = layers
        .iter()
        .map(|(digest, size)| {
            format!("{{\"mediaType\":\"application/vnd.docker.image.rootfs.diff.tar.gzip\",\"size\":{size},\"digest\":\"{digest}\"}}")
        })
        .collect();
    Bytes::from(format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST}\",\
         \"config\":{{\"mediaType\":\"application/vnd.docker.container.image.v1+json\",\"size\":{},\"digest\":\"{}\"}},\
         \"layers\":[{}]}}",
        config.len(),
        digest_of(config),
        layers.join(",")
    ))
}

/// `sha256:` and the digest.
pub(super) fn digest_of(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    let hex: Vec<String> = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{}", hex.concat())
}

/// Bytes that begin with the text and are this long.
fn pattern(text: &str, length: usize) -> Bytes {
    let line = format!("{text}\n");
    line.bytes().cycle().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_equally_long_and_nothing_is_the_same() {
        let repository = RepositoryName::parse("scratch").unwrap();
        let [old, new] = ['o', 'n'].map(|side| Content::new(&repository, 7, side));
        assert_eq!(old.manifest.len(), new.manifest.len());
        assert_eq!(old.config.len(), new.config.len());
        for ((one, name), (other, same)) in old.names().into_iter().zip(new.names()) {
            assert_eq!(name, same);
            assert_ne!(one, other, "{name}");
        }
        assert_eq!(old.probe.len(), 2 << 20);
    }
}

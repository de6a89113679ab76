//! What a manifest in a store says of itself, whoever accepted it, and however it was written.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::Digest;
use super::media_type::{MediaType, SCHEMA_1, SIGNED_SCHEMA_1};

/// A media type longer than this is none (RFC 6838, section 4.2: 127 characters on either side of the slash).
const MAX_MEDIA_TYPE: usize = 255;

/// The outline of a document: fields that are missing or of another kind are `None`, and the last of two of the same
/// name counts, as in the readers of old.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outline {
    /// `mediaType`
    pub media_type: Option<String>,
    /// `schemaVersion`
    pub schema_version: Option<u64>,
    /// `artifactType`, if it is not empty.
    pub artifact_type: Option<String>,
    /// `config.mediaType`
    pub config_type: Option<String>,
    /// `annotations`, those that are strings.
    pub annotations: BTreeMap<String, String>,
    /// `subject.digest`
    pub subject: Option<Digest>,
    /// The digests of `manifests`; of others than indexes none.
    pub manifests: Vec<Digest>,
    /// A field whose name is that of a known one but for case: Go's reader would take it for that one.
    pub misspelt: Option<String>,
    has_image: bool,
    has_manifests: bool,
    is_signed: bool,
}

/// The fields that readers act on.
const FIELDS: [&str; 9] = [
    "mediaType",
    "schemaVersion",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "annotations",
    "subject",
    "signatures",
];

impl Outline {
    /// The outline; `None` of what is no JSON object.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The media type that this document is served with, as registry:2 finds it: by its `mediaType`, else by its
    /// shape.
    pub(crate) fn served_as(&self) -> Option<String> {
        if let Some(written) = &self.media_type {
            return is_media_type(written).then(|| written.clone());
        }
        let shape = match self.schema_version {
            Some(1) if self.is_signed => SIGNED_SCHEMA_1,
            Some(1) => SCHEMA_1,
            Some(2) if self.has_manifests => MediaType::OciIndex.as_str(),
            Some(2) if self.has_image => MediaType::OciManifest.as_str(),
            _ => return None,
        };
        Some(shape.to_owned())
    }

    /// The type of the artifact by the rules of "Listing Referrers": of an image the type of its config stands in.
    pub(crate) fn artifact_type(&self) -> Option<&str> {
        self.artifact_type
            .as_deref()
            .or(self.config_type.as_deref())
    }

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "mediaType" => self.media_type = text(map.next_value()?),
            "schemaVersion" => self.schema_version = map.next_value::<Value>()?.as_u64(),
            "artifactType" => self.artifact_type = text(map.next_value()?),
            "annotations" => self.annotations = texts(map.next_value()?),
            "config" => {
                let config: Value = map.next_value()?;
                self.has_image |= !config.is_null();
                self.config_type = config.get("mediaType").cloned().and_then(text);
            }
            "subject" => self.subject = digest(&map.next_value()?),
            "layers" => self.has_image |= map.next_value::<Option<IgnoredAny>>()?.is_some(),
            "signatures" => self.is_signed = map.next_value::<Option<IgnoredAny>>()?.is_some(),
            "manifests" => {
                let listed: Option<Listed> = map.next_value()?;
                self.has_manifests = listed.is_some();
                self.manifests = listed.map(|listed| listed.0).unwrap_or_default();
            }
            other => {
                self.misspelt = self.misspelt.take().or_else(|| misspelt(other));
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Outline;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a manifest")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outline, A::Error> {
                let mut outline = Outline::default();
                while let Some(key) = map.next_key::<String>()? {
                    outline.take(&key, &mut map)?;
                }
                Ok(outline)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// The digests of a list of descriptors, one descriptor in memory at a time. Not a list: no digests.
struct Listed(Vec<Digest>);

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = Listed;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("descriptors")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Listed, A::Error> {
                let mut digests = Vec::new();
                while let Some(item) = seq.next_element::<Value>()? {
                    digests.extend(digest(&item));
                }
                Ok(Listed(digests))
            }
        }
        deserializer.deserialize_seq(Items)
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn texts(value: Value) -> BTreeMap<String, String> {
    let Value::Object(fields) = value else {
        return BTreeMap::new();
    };
    let text = |(key, value)| match value {
        Value::String(text) => Some((key, text)),
        _ => None,
    };
    fields.into_iter().filter_map(text).collect()
}

fn digest(descriptor: &Value) -> Option<Digest> {
    Digest::parse(descriptor.get("digest")?.as_str()?).ok()
}

/// Goes as a header: visible ASCII with one slash in it.
fn is_media_type(text: &str) -> bool {
    text.len() <= MAX_MEDIA_TYPE
        && text.bytes().all(|b| b.is_ascii_graphic())
        && text.split('/').count() == 2
}

/// Go folds case by Unicode, where a letter or two outside of ASCII stand for one within.
fn misspelt(key: &str) -> Option<String> {
    if key.len() > 3 * "schemaVersion".len() {
        return None;
    }
    let folded = key.to_uppercase();
    let known = |field: &str| field.to_uppercase() == folded;
    FIELDS
        .iter()
        .any(|field| known(field))
        .then(|| key.to_owned())
}

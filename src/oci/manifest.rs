//! Manifests and indexes, as far as a registry has to understand them (image-spec `manifest.md`, `image-index.md`,
//! `descriptor.md`; Docker image manifest version 2, schema 2).
//!
//! [`Document`] is strict: what is pushed now. [`Outline`] takes what others once accepted.

use serde::Deserialize;

use super::Digest;
use super::media_type::{MediaType, is_foreign};
use super::outline::Outline;

/// Deeper documents are refused; none of any client comes near.
const MAX_DEPTH: usize = 100;

/// More layers or manifests in one document are refused: each is looked up. Images of today have at most 127 layers.
const MAX_REFERENCES: usize = 8192;

/// A manifest that may be pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    /// Its type.
    pub media_type: MediaType,
    /// The config and the layers whose bytes the registry has to have; of an index none.
    pub blobs: Vec<Digest>,
    /// The manifests of an index.
    pub manifests: Vec<Digest>,
    /// The manifest that it refers to, which need not be there.
    pub subject: Option<Digest>,
}

/// Why a manifest cannot be kept as it is; a sentence for whoever pushes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// Neither the request nor the document says what it is.
    #[error(
        "its media type is not known: send a Content-Type, or have a mediaType in the document"
    )]
    NoType,
    /// It is something else.
    #[error("its media type is none of the Docker (schema 2) and OCI manifests and indexes")]
    UnknownType,
    /// Docker's first kind.
    #[error(
        "Docker schema 1 is not accepted, which is obsolete since 2017; push it with a newer client, or convert it"
    )]
    Schema1,
    /// Header and document contradict each other.
    #[error("it is sent as {sent}, and calls itself {written}")]
    Contradiction {
        /// By the header.
        sent: &'static str,
        /// By the document.
        written: &'static str,
    },
    /// By its shape it would be read as another type than the one that it is sent with.
    #[error(
        "it is sent as {0} and does not look like one: a mediaType in the document would say so"
    )]
    Shape(&'static str),
    /// No JSON of the right form.
    #[error("it is malformed: {0}")]
    Malformed(String),
    /// Brackets in brackets.
    #[error("it is nested deeper than {MAX_DEPTH}")]
    Deep,
    /// Two readers could read two things.
    #[error("it is ambiguous: {0}")]
    Ambiguous(String),
    /// A number other than 2.
    #[error("its schemaVersion is not 2")]
    Version,
    /// A manifest without config.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// A digest in it is none.
    #[error("the digest {0:?} in it is malformed, or of another algorithm than sha256 and sha512")]
    Digest(String),
    /// Too much of everything.
    #[error("it has more than {MAX_REFERENCES} references")]
    Many,
}

/// The fields that matter. A field that occurs twice is refused by the derived reader.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    schema_version: Option<u64>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    #[serde(rename = "mediaType")]
    _media_type: Option<String>,
    #[serde(rename = "artifactType")]
    _artifact_type: Option<String>,
    #[serde(rename = "annotations")]
    _annotations: Option<std::collections::BTreeMap<String, String>>,
}

/// A descriptor: what somebody says about content that lies elsewhere.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: Option<String>,
    digest: String,
    #[serde(rename = "size")]
    _size: Size,
    urls: Option<Vec<String>>,
}

/// Bytes; image-spec has an `int64` that is not negative.
struct Size;

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let size = u64::deserialize(deserializer)?;
        let fits = i64::try_from(size).is_ok();
        fits.then_some(Self)
            .ok_or_else(|| serde::de::Error::custom("a size is larger than may be"))
    }
}

impl Document {
    /// Reads a manifest that is sent as `media_type`, if the request says.
    ///
    /// # Errors
    /// Says what would have to be otherwise.
    pub(crate) fn parse(bytes: &[u8], media_type: Option<&str>) -> Result<Self, Fault> {
        let sent = media_type
            .filter(|text| !text.trim().is_empty())
            .map(MediaType::parse)
            .transpose()?;
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Fault::Malformed("it is not UTF-8".to_owned()))?;
        if depth(bytes) > MAX_DEPTH {
            return Err(Fault::Deep);
        }
        let outline = Outline::parse(text).ok_or_else(|| malformed::<Written>(text))?;
        if let Some(key) = outline.misspelt {
            return Err(Fault::Ambiguous(format!(
                "its field {key:?} is another's in upper or lower case"
            )));
        }
        let media_type = agreed(sent, &outline)?;
        let written: Written =
            serde_json::from_str(text).map_err(|e| Fault::Malformed(e.to_string()))?;
        written.accept(media_type)
    }
}

impl Written {
    fn accept(self, media_type: MediaType) -> Result<Document, Fault> {
        if self.schema_version != Some(2) {
            return Err(Fault::Version);
        }
        let layers = self.layers.unwrap_or_default();
        let manifests = self.manifests.unwrap_or_default();
        if layers.len() + manifests.len() > MAX_REFERENCES {
            return Err(Fault::Many);
        }
        let mut document = Document {
            media_type,
            blobs: Vec::new(),
            manifests: Vec::new(),
            subject: self.subject.map(|s| digest(&s.digest)).transpose()?,
        };
        if media_type.is_index() {
            if self.config.is_some() || !layers.is_empty() {
                return Err(Fault::Ambiguous(
                    "an index has no config and no layers".to_owned(),
                ));
            }
            document.manifests = digests(&manifests)?;
            return Ok(document);
        }
        if !manifests.is_empty() {
            return Err(Fault::Ambiguous("an image has no manifests".to_owned()));
        }
        let config = self.config.ok_or(Fault::Missing("config"))?;
        document.blobs.push(digest(&config.digest)?);
        for layer in &layers {
            let digest = digest(&layer.digest)?;
            if !layer.lies_elsewhere() {
                document.blobs.push(digest);
            }
        }
        Ok(document)
    }
}

impl Descriptor {
    fn lies_elsewhere(&self) -> bool {
        self.urls.as_ref().is_some_and(|urls| !urls.is_empty())
            || self.media_type.as_deref().is_some_and(is_foreign)
    }
}

/// The type that the request, the document's field and its shape agree upon: the one by which it will be served.
fn agreed(sent: Option<MediaType>, outline: &Outline) -> Result<MediaType, Fault> {
    let written = outline
        .media_type
        .as_deref()
        .map(MediaType::parse)
        .transpose()?;
    let agreed = match (sent, written) {
        (None, None) => return Err(Fault::NoType),
        (Some(sent), Some(written)) if sent != written => {
            return Err(Fault::Contradiction {
                sent: sent.as_str(),
                written: written.as_str(),
            });
        }
        (Some(sent), _) => sent,
        (None, Some(written)) => written,
    };
    if outline.served_as().as_deref() != Some(agreed.as_str()) {
        if outline.schema_version != Some(2) {
            return Err(Fault::Version);
        }
        return Err(Fault::Shape(agreed.as_str()));
    }
    Ok(agreed)
}

fn digests(descriptors: &[Descriptor]) -> Result<Vec<Digest>, Fault> {
    descriptors.iter().map(|d| digest(&d.digest)).collect()
}

fn digest(text: &str) -> Result<Digest, Fault> {
    Digest::parse(text).map_err(|_| Fault::Digest(text.chars().take(150).collect()))
}

/// What the strict reader says about a text that the lenient one could not read at all.
fn malformed<T: for<'de> Deserialize<'de>>(text: &str) -> Fault {
    let why = serde_json::from_str::<T>(text).err();
    Fault::Malformed(why.map_or_else(|| "it is no JSON object".to_owned(), |e| e.to_string()))
}

/// How many brackets stand in brackets, outside of strings. JSON is not checked here, only counted.
fn depth(bytes: &[u8]) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::property::accepted;
    use super::*;

    /// Documents that are nearly right.
    fn documents() -> impl Strategy<Value = String> {
        let descriptor = format!(r#"{{"digest":"sha256:{}","size":1}}"#, "0".repeat(64));
        let mut fields: Vec<String> = vec![
            r#""schemaVersion":2"#.into(),
            r#""schemaVersion":2"#.into(),
            r#""artifactType":"x/y""#.into(),
            r#""schemaVersion":1"#.into(),
            r#""Manifests":[]"#.into(),
            r#""x":[{}]"#.into(),
        ];
        for media_type in [MediaType::OciIndex, MediaType::OciManifest] {
            fields.push(format!(r#""mediaType":{:?}"#, media_type.as_str()));
        }
        for name in ["config", "subject"] {
            fields.extend([format!("{name:?}:{descriptor}"), format!("{name:?}:null")]);
        }
        for name in ["layers", "manifests"] {
            let lists =
                ["[]", "null", &format!("[{descriptor}]")].map(|list| format!("{name:?}:{list}"));
            fields.extend(lists);
        }
        proptest::sample::subsequence(fields, 0..6)
            .prop_shuffle()
            .prop_map(|fields| format!("{{{}}}", fields.join(",")))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Document::parse(&bytes, None);
            let _ = Document::parse(&bytes, Some(MediaType::OciManifest.as_str()));
            let _ = Outline::parse(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in r#"[\[\]{}",:\\0-9a-c -]{0,60}"#) {
            let _ = Document::parse(text.as_bytes(), Some(MediaType::OciIndex.as_str()));
            let _ = Outline::parse(&text);
        }

        #[test]
        fn what_is_accepted_is_served_with_the_type_that_was_agreed(
            text in documents(),
            sent in prop_oneof![Just(None), Just(Some(MediaType::OciIndex)), Just(Some(MediaType::OciManifest))],
        ) {
            if let Ok(document) = Document::parse(text.as_bytes(), sent.map(MediaType::as_str)) {
                accepted(text.as_bytes(), &document);
                prop_assert!(sent.is_none_or(|sent| sent == document.media_type));
            }
        }
    }

    #[test]
    fn depth_is_counted_outside_of_strings() {
        for (text, deep) in [
            ("", 0),
            ("[{}]", 2),
            (r#"{"[[[":"\"[["}"#, 1),
            ("]]][", 1),
            (r#"["\\",[]]"#, 2),
        ] {
            assert_eq!(depth(text.as_bytes()), deep, "{text}");
        }
    }
}

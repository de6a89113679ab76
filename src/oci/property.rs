//! What holds of every document that is pushed, and of every list that a registry sends.

use serde::Deserialize;

use super::listing::ListReader;
use super::manifest::Document;
use super::media_type::MediaType;
use super::outline::Outline;

/// A media type (or nothing) in the first line, then a document.
pub(crate) fn manifest(data: &[u8]) {
    let end = data.iter().position(|b| *b == b'\n').unwrap_or_default();
    let (sent, bytes) = data.split_at(end);
    let sent = std::str::from_utf8(sent).ok();
    let bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
    let Ok(document) = Document::parse(bytes, sent) else {
        let _ = Outline::parse(&String::from_utf8_lossy(bytes));
        return;
    };
    accepted(bytes, &document);
}

/// What is accepted is served with the type that was agreed on, and says to the lenient reader what the strict one read.
pub(super) fn accepted(bytes: &[u8], document: &Document) {
    let text = String::from_utf8_lossy(bytes);
    let Some(outline) = Outline::parse(&text) else {
        panic!("accepted, and not even an object: {text}");
    };
    let media_type = document.media_type.as_str();
    assert_eq!(outline.served_as().as_deref(), Some(media_type));
    assert_eq!(outline.subject, document.subject);
    assert_eq!(outline.manifests, document.manifests);
    assert_eq!(outline.misspelt, None);
    assert!(document.blobs.is_empty() == document.media_type.is_index());
    // Who pulls it and pushes it elsewhere sends the type that it got.
    assert_eq!(
        Document::parse(bytes, Some(media_type)).as_ref(),
        Ok(document)
    );
    for other in [MediaType::OciIndex, MediaType::OciManifest] {
        let as_other = Document::parse(bytes, Some(other.as_str()));
        assert!(other == document.media_type || as_other.is_err());
    }
}

/// A document with a list of tags: the pieces in which it comes do not matter, and a list that serde reads is read alike.
pub(crate) fn listing(data: &[u8]) {
    #[derive(Deserialize)]
    struct Tags {
        tags: Vec<String>,
    }
    let read = |piece: usize| {
        let mut reader = ListReader::new("tags");
        let mut names = Vec::new();
        for piece in data.chunks(piece) {
            reader.feed(piece, |name| names.push(name)).ok()?;
        }
        reader.finish().ok()?;
        Some(names)
    };
    let whole = read(data.len().max(1));
    for piece in [1, 7] {
        assert_eq!(read(piece), whole, "in pieces of {piece}");
    }
    // serde takes a bare array for the fields of a structure, in their order.
    let is_object = data.trim_ascii_start().starts_with(b"{");
    // Beyond that the bounds of the reader may be in the way.
    let brackets = data.iter().filter(|b| matches!(b, b'[' | b'{')).count();
    if is_object
        && data.len() <= 1024
        && brackets < 60
        && let Ok(Tags { tags }) = serde_json::from_slice(data)
    {
        assert_eq!(whole, Some(tags));
    }
}

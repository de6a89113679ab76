//! The state object of an upload: what was saved of it, where it lies, and who has it in hand.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use object_store::multipart::PartId;
use serde::{Deserialize, Serialize};

use super::super::{Error, Key, UploadKey};
use super::hold::random;

/// How long nobody else takes up an upload after its holder's last sign of life.
pub(super) const LEASE: Duration = Duration::from_secs(60);

/// The form that is written and read here.
const VERSION: u32 = 1;

/// What was saved of an upload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Document {
    version: u32,
    /// New each time, so that no two states are the same object.
    nonce: String,
    /// Bytes that were saved.
    pub(super) offset: u64,
    /// What the caller saved with them, in base64.
    state: String,
    /// The multipart upload with the first of them.
    pub(super) data: Option<Data>,
    /// The object with the last of them.
    pub(super) tail: Option<Tail>,
    /// Who has the upload in hand.
    lease: Option<Lease>,
}

/// A multipart upload into an object of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Data {
    /// The object: its last segment.
    pub(super) object: String,
    /// The store's name of the multipart upload.
    pub(super) id: String,
    /// The parts, without gaps.
    pub(super) parts: Vec<Part>,
    /// The multipart upload was completed, or was about to be: it was, if the object is there. It has this many bytes
    /// then, of which those that were saved come first.
    pub(super) sealed: Option<u64>,
}

/// A part as the store confirmed it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) id: String,
    pub(super) size: u64,
}

/// The bytes after the last part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tail {
    /// The object: its last segment.
    pub(super) object: String,
    pub(super) size: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Lease {
    holder: String,
    /// Seconds since 1970.
    until: u64,
}

impl Document {
    /// An upload without bytes.
    pub(super) fn new(state: &[u8]) -> Self {
        Self {
            version: VERSION,
            nonce: random(),
            offset: 0,
            state: BASE64.encode(state),
            data: None,
            tail: None,
            lease: None,
        }
    }

    /// Reads what [`write`](Self::write) wrote.
    pub(super) fn read(key: &Key, bytes: &[u8]) -> Result<Self, Error> {
        let corrupt = |what| Error::Corrupt {
            key: key.clone(),
            what,
        };
        let document: Self =
            serde_json::from_slice(bytes).map_err(|_| corrupt("it is no state of an upload"))?;
        if document.version != VERSION {
            return Err(corrupt("another version of dockgate wrote it"));
        }
        if !document.adds_up() {
            return Err(corrupt("its sizes do not add up"));
        }
        document.opaque(key)?;
        Ok(document)
    }

    /// Whether parts and tail are all that was saved. If not, a sealed object has the saved bytes.
    pub(super) fn is_whole_without_object(&self) -> bool {
        let parts = self.data.iter().flat_map(|data| &data.parts);
        let sizes = parts.map(|part| part.size);
        let sizes = sizes.chain(self.tail.iter().map(|tail| tail.size));
        sizes.fold(0, u64::saturating_add) == self.offset
    }

    fn adds_up(&self) -> bool {
        let sealed = self.data.as_ref().and_then(|data| data.sealed);
        self.is_whole_without_object() || sealed.is_some_and(|sealed| sealed >= self.offset)
    }

    /// The bytes of the object, with a fresh nonce.
    pub(super) fn write(&mut self, key: &Key) -> Result<Bytes, Error> {
        self.nonce = random();
        serde_json::to_vec(self)
            .map(Bytes::from)
            .map_err(|source| Error::Failed {
                key: key.clone(),
                verb: "written",
                source: Box::new(source),
            })
    }

    /// What the caller saved.
    pub(super) fn opaque(&self, key: &Key) -> Result<Bytes, Error> {
        let bytes = BASE64.decode(&self.state).map_err(|_| Error::Corrupt {
            key: key.clone(),
            what: "its state is no base64",
        })?;
        Ok(bytes.into())
    }

    pub(super) fn set_opaque(&mut self, state: &[u8]) {
        self.state = BASE64.encode(state);
    }

    /// Whether somebody other than `holder` has it in hand.
    pub(super) fn is_held_against(&self, holder: &str) -> bool {
        let now = now();
        // A lease that runs far longer than any is made by a clock that is wrong.
        let longest = now.saturating_add(2 * LEASE.as_secs());
        self.lease.as_ref().is_some_and(|lease| {
            lease.holder != holder && lease.until > now && lease.until <= longest
        })
    }

    /// Writes down who has it, or that nobody has.
    pub(super) fn set_holder(&mut self, holder: Option<&str>) {
        self.lease = holder.map(|holder| Lease {
            holder: holder.to_owned(),
            until: now().saturating_add(LEASE.as_secs()),
        });
    }
}

impl Part {
    pub(super) fn part_id(&self) -> PartId {
        PartId {
            content_id: self.id.clone(),
        }
    }
}

impl UploadKey {
    /// The state object.
    pub(super) fn state(&self) -> Key {
        state(self.folder())
    }
}

/// The state object of the upload in this folder.
pub(super) fn state(folder: &Key) -> Key {
    folder.below("dockgate-state")
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::RepositoryName;

    fn key() -> Key {
        Key::repository(&RepositoryName::parse("a").unwrap())
    }

    #[test]
    fn what_is_written_is_read() {
        let mut document = Document::new(b"\x00opaque");
        document.offset = 12;
        document.data = Some(Data {
            object: "o".into(),
            id: "i".into(),
            parts: vec![Part {
                id: "\"etag\"".into(),
                size: 7,
            }],
            sealed: None,
        });
        document.tail = Some(Tail {
            object: "t".into(),
            size: 5,
        });
        let bytes = document.write(&key()).unwrap();
        let again = Document::read(&key(), &bytes).unwrap();
        assert_eq!(again.offset, 12);
        assert_eq!(again.opaque(&key()).unwrap(), &b"\x00opaque"[..]);
        document.offset = 13;
        let bytes = document.write(&key()).unwrap();
        assert!(Document::read(&key(), &bytes).is_err());
    }

    #[test]
    fn damaged_or_foreign_states_are_refused() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"version":2,"nonce":"","offset":0,"state":""}"#,
        ] {
            assert!(matches!(
                Document::read(&key(), text.as_bytes()),
                Err(Error::Corrupt { .. })
            ));
        }
    }

    #[test]
    fn a_lease_holds_against_others_until_it_runs_out() {
        let mut document = Document::new(b"");
        assert!(!document.is_held_against("me"));
        document.set_holder(Some("me"));
        assert!(!document.is_held_against("me"));
        assert!(document.is_held_against("you"));
        document.lease.as_mut().unwrap().until = now() - 1;
        assert!(!document.is_held_against("you"));
        document.lease.as_mut().unwrap().until = now() + 100_000;
        assert!(!document.is_held_against("you"));
    }
}

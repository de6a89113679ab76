//! An upload in hand: bytes become parts as they come.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::multipart::PartId;
use object_store::{PutMultipartOptions, PutPayload, UpdateVersion};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::{ByteStream, Error, Key};
use super::backend::Backend;
use super::blocks::Blocks;
use super::document::{self, Data, Document, LEASE, Part, Tail};
use super::hold::{Hold, random};
use super::{reading, removal, resume};

/// Parts on their way at a time. With the one that is being filled a session has three parts in memory at most.
const FLIGHTS: usize = 2;

/// No store takes more parts (S3, Google), or ours may have no more.
const PARTS: usize = 10_000;

/// From this part on parts grow: some stores (R2) want all parts to have one size, so it is put off.
const GROWING: usize = 5_000;

/// The largest part that S3 takes.
const LARGEST: u64 = 5 * 1024 * 1024 * 1024;

/// An upload in hand.
pub(crate) struct Session {
    pub(super) backend: Arc<Backend>,
    pub(super) hold: Hold,
    /// The state as it is in the store.
    pub(super) document: Document,
    version: UpdateVersion,
    /// When the lease in the store was last renewed; `None` if there is none.
    renewed: Option<Instant>,
    /// What was saved when the session was taken up.
    opaque: Bytes,
    /// The multipart upload that takes parts.
    pub(super) open: Option<Open>,
    /// The object with all bytes up to here.
    pub(super) sealed: Option<Sealed>,
    /// The object with the bytes after the last part.
    pub(super) tail: Option<Tail>,
    /// Whether `waiting` has the bytes of `tail`.
    loaded: bool,
    pub(super) waiting: Blocks,
    pub(super) offset: u64,
    flights: JoinSet<(usize, u64, object_store::Result<PartId>)>,
    /// Something failed, so what is in the store is not what we think.
    broken: bool,
}

/// A multipart upload that takes parts.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) object: String,
    pub(super) id: String,
    /// Those that have landed; a hole is on its way.
    pub(super) parts: Vec<Option<Part>>,
}

/// A completed multipart upload.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) object: String,
    /// Its bytes; ours come first.
    pub(super) size: u64,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("upload", &self.hold.key())
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Takes up what the state says, which names us as holder.
    pub(super) async fn open(
        backend: &Arc<Backend>,
        hold: Hold,
        document: Document,
        version: UpdateVersion,
    ) -> Result<Self, Error> {
        let mut session = Self {
            backend: Arc::clone(backend),
            opaque: document.opaque(hold.key())?,
            offset: document.offset,
            tail: document.tail.clone(),
            renewed: Some(Instant::now()),
            hold,
            document,
            version,
            open: None,
            sealed: None,
            loaded: false,
            waiting: Blocks::default(),
            flights: JoinSet::new(),
            broken: false,
        };
        if let Some(data) = session.document.data.clone() {
            session.take_up(data).await?;
        }
        Ok(session)
    }

    async fn take_up(&mut self, data: Data) -> Result<(), Error> {
        if let Some(size) = data.sealed {
            let key = self.key(&data.object);
            match self.backend.size(&key).await? {
                Some(there) if there == size => {
                    self.tail = None;
                    let object = data.object;
                    self.sealed = Some(Sealed { object, size });
                    return Ok(());
                }
                Some(_) => {
                    let what = "it is not as long as it was made";
                    return Err(Error::Corrupt { key, what });
                }
                None if self.document.is_whole_without_object() => {}
                None => return Err(self.gone(&key)),
            }
        }
        self.open = Some(Open {
            object: data.object,
            id: data.id,
            parts: data.parts.into_iter().map(Some).collect(),
        });
        Ok(())
    }

    pub(in crate::storage) fn offset(&self) -> u64 {
        self.offset
    }

    pub(in crate::storage) fn state(&self) -> &Bytes {
        &self.opaque
    }

    pub(in crate::storage) async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.begin_work()?;
        self.stay_holder().await?;
        self.load_tail().await?;
        if self.sealed.is_some() {
            self.unseal().await?;
        }
        self.add(&bytes).await?;
        self.broken = false;
        Ok(())
    }

    pub(in crate::storage) async fn save(&mut self, state: Bytes) -> Result<(), Error> {
        self.begin_work()?;
        self.land(0).await?;
        if self.tail.is_none() && !self.waiting.is_empty() {
            self.put_tail().await?;
        }
        let data = match (&self.sealed, &self.open) {
            (Some(sealed), _) => Some(Data {
                object: sealed.object.clone(),
                id: String::new(),
                parts: Vec::new(),
                sealed: Some(sealed.size),
            }),
            (None, Some(open)) => Some(open.data(None)),
            (None, None) => None,
        };
        let old = self.document.tail.clone();
        let mut document = self.document.clone();
        document.offset = self.offset;
        document.data = data;
        document.tail.clone_from(&self.tail);
        document.set_opaque(&state);
        document.set_holder(None);
        self.put_document(document).await?;
        // What was saved is of use to others now. We go on by taking it up again, should there be more to write.
        self.renewed = None;
        self.broken = false;
        let kept = self.tail.as_ref().map(|tail| &tail.object);
        if let Some(old) = old.filter(|old| Some(&old.object) != kept) {
            // Left behind, it goes when the upload goes.
            let _ = removal::one(&self.backend, &self.key(&old.object)).await;
        }
        Ok(())
    }

    pub(in crate::storage) async fn read_back(&mut self) -> Result<ByteStream, Error> {
        self.begin_work()?;
        if self.open.is_none() && self.sealed.is_none() {
            self.load_tail().await?;
            self.broken = false;
            let bytes = self.waiting.copy().into_iter().map(Ok);
            return Ok(stream::iter(bytes).boxed());
        }
        let sealed = self.seal().await?;
        let key = self.key(&sealed.object);
        let bytes = reading::stream(&self.backend, &key, 0..self.offset).await?;
        self.broken = false;
        bytes.ok_or_else(|| self.gone(&key))
    }

    /// The object of the upload of this name.
    pub(super) fn key(&self, object: &str) -> Key {
        self.hold.key().below(object)
    }

    /// Fails after a failure; until the work succeeds, it has failed.
    pub(super) fn begin_work(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(Error::Corrupt {
                key: self.hold.key().clone(),
                what: "writing to it failed before",
            });
        }
        Ok(())
    }

    pub(super) fn gone(&self, key: &Key) -> Error {
        Error::Corrupt {
            key: key.clone(),
            what: "somebody removed it while the upload needed it",
        }
    }

    /// Renews the lease, where it is time.
    pub(super) async fn stay_holder(&mut self) -> Result<(), Error> {
        match self.renewed {
            Some(renewed) if renewed.elapsed() < LEASE / 3 => Ok(()),
            _ => self.prove_holder().await,
        }
    }

    /// Makes sure that nobody else took the upload up, by writing that we have it.
    async fn prove_holder(&mut self) -> Result<(), Error> {
        self.put_held(self.document.clone()).await
    }

    /// Replaces the state in the store by one that says that we have it.
    pub(super) async fn put_held(&mut self, mut document: Document) -> Result<(), Error> {
        document.set_holder(Some(self.hold.holder()));
        self.put_document(document).await?;
        self.renewed = Some(Instant::now());
        Ok(())
    }

    async fn put_document(&mut self, mut document: Document) -> Result<(), Error> {
        let key = document::state(self.hold.key());
        let version = self.version.clone();
        let put = resume::put(&self.backend, &key, &mut document, version).await?;
        if put.is_none() {
            // It is not ours any more, and not ours to give back.
            self.renewed = None;
        }
        self.version = put.ok_or_else(|| self.hold.busy())?;
        self.document = document;
        Ok(())
    }

    /// Nothing is in the store of ours that has to be given back.
    pub(super) fn let_go(&mut self) {
        self.renewed = None;
    }

    /// Whether the bytes after the last part are nowhere but in the store.
    pub(super) fn stored_tail(&self) -> Option<&Tail> {
        self.tail.as_ref().filter(|_| !self.loaded)
    }

    /// Fetches the bytes after the last part.
    pub(super) async fn load_tail(&mut self) -> Result<(), Error> {
        let Some(tail) = self.stored_tail().cloned() else {
            return Ok(());
        };
        let key = self.key(&tail.object);
        let bytes = reading::stream(&self.backend, &key, 0..tail.size).await?;
        let mut bytes = bytes.ok_or_else(|| self.gone(&key))?;
        while let Some(bytes) = bytes.try_next().await? {
            self.waiting.push(&bytes);
        }
        self.loaded = true;
        Ok(())
    }

    async fn put_tail(&mut self) -> Result<(), Error> {
        let object = format!("dockgate-tail-{}", random());
        let size = self.waiting.len() as u64;
        let payload = PutPayload::from_iter(self.waiting.copy());
        self.backend.put(&self.key(&object), payload).await?;
        self.tail = Some(Tail { object, size });
        self.loaded = true;
        Ok(())
    }

    /// Takes bytes, and sends off every part that is full.
    pub(super) async fn add(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let number = self.open.as_ref().map_or(0, |open| open.parts.len());
            let full = usize::try_from(part_size(number, self.backend.chunk)).unwrap_or(usize::MAX);
            let room = full.saturating_sub(self.waiting.len());
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.waiting.push(now);
            self.tail = None;
            self.offset += now.len() as u64;
            bytes = later;
            if self.waiting.len() >= full {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    /// Sends off what waits as one part.
    pub(super) async fn send_part(&mut self) -> Result<(), Error> {
        self.land(FLIGHTS - 1).await?;
        self.open_multipart().await?;
        let (backend, size) = (Arc::clone(&self.backend), self.waiting.len() as u64);
        let payload = PutPayload::from_iter(self.waiting.take());
        self.tail = None;
        let key = self.hold.key().clone();
        let Some(open) = &mut self.open else {
            return Err(self.gone(&key));
        };
        let number = open.parts.len();
        if number >= PARTS {
            return Err(Error::Failed {
                key,
                verb: "written",
                source: format!(
                    "it is longer than {PARTS} parts; a larger `chunksize` makes larger parts"
                )
                .into(),
            });
        }
        open.parts.push(None);
        let (path, id) = (backend.path(&key.below(&open.object))?, open.id.clone());
        self.flights.spawn(async move {
            let part = backend.parts.put_part(&path, &id, number, payload).await;
            (number, size, part)
        });
        Ok(())
    }

    async fn open_multipart(&mut self) -> Result<(), Error> {
        if self.open.is_some() {
            return Ok(());
        }
        let object = format!("dockgate-data-{}", random());
        let key = self.key(&object);
        let options = PutMultipartOptions {
            attributes: self.backend.attributes.clone(),
            ..PutMultipartOptions::default()
        };
        let path = self.backend.path(&key)?;
        let id = self
            .backend
            .parts
            .create_multipart_opts(&path, options)
            .await;
        let id = id.map_err(|error| self.backend.fault(&key, "written", &error))?;
        self.open = Some(Open {
            object,
            id,
            parts: Vec::new(),
        });
        Ok(())
    }

    /// Waits until at most `most` parts are on their way.
    pub(super) async fn land(&mut self, most: usize) -> Result<(), Error> {
        while self.flights.len() > most {
            let failed = |source| Error::Failed {
                key: self.hold.key().clone(),
                verb: "written",
                source,
            };
            let Some(landed) = self.flights.join_next().await else {
                break;
            };
            let (number, size, part) = landed.map_err(|error| failed(error.into()))?;
            let part =
                part.map_err(|error| self.backend.fault(self.hold.key(), "written", &error))?;
            let id = part.content_id;
            if let Some(hole) = self
                .open
                .as_mut()
                .and_then(|open| open.parts.get_mut(number))
            {
                *hole = Some(Part { id, size });
            }
        }
        Ok(())
    }
}

impl Open {
    /// What is to be written down of it; all parts have landed.
    pub(super) fn data(&self, sealed: Option<u64>) -> Data {
        Data {
            object: self.object.clone(),
            id: self.id.clone(),
            parts: self.parts.iter().flatten().cloned().collect(),
            sealed,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.renewed.is_none() {
            return;
        }
        let (backend, version) = (Arc::clone(&self.backend), self.version.clone());
        resume::release(backend, &self.hold, self.document.clone(), version);
    }
}

/// Bytes of a part: `chunk`, and from the 5,000th part on twice as much after every 500, so that 10,000 parts of 5 MiB
/// at first reach 5 TiB.
fn part_size(number: usize, chunk: u64) -> u64 {
    let doublings = match number.checked_sub(GROWING) {
        None => 0,
        Some(beyond) => u32::try_from(beyond / 500).unwrap_or(0) + 1,
    };
    chunk.saturating_mul(1 << doublings.min(20)).min(LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_reach_the_largest_object() {
        let chunk = 5 * 1024 * 1024;
        let total: u64 = (0..PARTS).map(|n| part_size(n, chunk)).sum();
        assert!(total > 5 * 1000_u64.pow(4), "{total}");
        assert_eq!(part_size(4_999, chunk), chunk);
        assert_eq!(part_size(5_000, chunk), 2 * chunk);
        assert!((0..PARTS).all(|n| part_size(n, 100 * chunk) <= LARGEST));
    }
}

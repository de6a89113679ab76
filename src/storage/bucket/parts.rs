//! The parts of an upload on their way into the store.

use std::sync::Arc;

use object_store::{PutMultipartOptions, PutPayload};

use super::super::Error;
use super::document::{Data, Part};
use super::hold::random;
use super::session::{Session, gone};

/// Parts on their way at a time. With the one that is being filled a session has three parts in memory at most.
const FLIGHTS: usize = 2;

/// No store takes more parts (S3, Google), or ours may have no more.
const PARTS: usize = 10_000;

/// From this part on parts grow: some stores (R2) want all parts to have one size, so it is put off.
const GROWING: usize = 5_000;

/// The largest part that S3 takes.
const LARGEST: u64 = 5 * 1024 * 1024 * 1024;

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

impl Session {
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
            return Err(gone(&key));
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

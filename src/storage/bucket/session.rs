//! An upload in hand: bytes become parts as they come.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::multipart::PartId;
use object_store::{PutPayload, UpdateVersion};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::{ByteStream, Error, Key};
use super::backend::Backend;
use super::blocks::Blocks;
use super::document::{self, Data, Document, LEASE, Tail};
use super::hold::{Hold, random};
use super::parts::{Open, Sealed};
use super::{reading, removal, resume};

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
    /// Parts on their way: number, bytes, and what became of them.
    pub(super) flights: JoinSet<(usize, u64, object_store::Result<PartId>)>,
    /// Something failed, so what is in the store is not what we think.
    broken: bool,
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
                None => return Err(gone(&key)),
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
        bytes.ok_or_else(|| gone(&key))
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
        let mut bytes = bytes.ok_or_else(|| gone(&key))?;
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

/// What an upload is made of is not there any more.
pub(super) fn gone(key: &Key) -> Error {
    Error::Corrupt {
        key: key.clone(),
        what: "somebody removed it while the upload needed it",
    }
}

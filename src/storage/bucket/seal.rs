//! Ending an upload: its parts become one object, and that becomes the blob.

use futures_util::TryStreamExt;
use object_store::PutPayload;
use object_store::multipart::PartId;

use super::super::{Error, Key};
use super::document::Part;
use super::parts::{Open, Sealed};
use super::session::{Session, gone};
use super::{copy, fault, reading, removal};

impl Session {
    pub(in crate::storage) async fn commit(mut self, blob: &Key) -> Result<(), Error> {
        self.begin_work()?;
        self.land(0).await?;
        if self.backend.size(blob).await? != Some(self.offset) {
            self.place(blob).await?;
        }
        // The blob is there; what cannot be removed now is swept some day.
        let _ = self.remove().await;
        Ok(())
    }

    pub(in crate::storage) async fn discard(mut self) -> Result<(), Error> {
        self.begin_work()?;
        self.stay_holder().await?;
        self.remove().await
    }

    async fn place(&mut self, blob: &Key) -> Result<(), Error> {
        if self.open.is_some() || self.sealed.is_some() {
            let sealed = self.seal().await?;
            let from = self.key(&sealed.object);
            return copy::copy(&self.backend, &from, blob, sealed.size).await;
        }
        if let Some(tail) = self.stored_tail() {
            let from = self.key(&tail.object);
            return copy::copy(&self.backend, &from, blob, self.offset).await;
        }
        let payload = PutPayload::from_iter(self.waiting.take());
        self.backend.put(blob, payload).await
    }

    async fn remove(&mut self) -> Result<(), Error> {
        // From here on the state is not given back: a store without conditional writes would bring it to life again.
        self.let_go();
        if let Some(open) = self.open.take() {
            let path = self.backend.path(&self.key(&open.object))?;
            match self.backend.parts.abort_multipart(&path, &open.id).await {
                Err(error) if !fault::is_missing(&error) => {
                    return Err(self.backend.fault(self.hold.key(), "removed", &error));
                }
                _ => {}
            }
        }
        removal::below(&self.backend, self.hold.key()).await
    }

    /// Makes one object of all bytes.
    pub(super) async fn seal(&mut self) -> Result<Sealed, Error> {
        match &self.sealed {
            Some(sealed) if sealed.size == self.offset => return Ok(sealed.clone()),
            Some(_) => self.unseal().await?,
            None => {}
        }
        self.load_tail().await?;
        if !self.waiting.is_empty() || self.open.is_none() {
            self.send_part().await?;
        }
        self.land(0).await?;
        let Some(open) = self.open.take() else {
            return Err(gone(&self.key("dockgate-data")));
        };
        self.announce(&open).await?;
        self.complete(&open).await?;
        let sealed = Sealed {
            object: open.object,
            size: self.offset,
        };
        self.sealed = Some(sealed.clone());
        Ok(sealed)
    }

    /// Writes down that the parts become an object, so that whoever finds the object knows what it is; and proves on
    /// the way that the upload is ours.
    async fn announce(&mut self, open: &Open) -> Result<(), Error> {
        let mut document = self.document.clone();
        match &mut document.data {
            Some(data) if data.object == open.object => data.sealed = Some(self.offset),
            // The saved bytes are in another object: that stays what is taken up after a crash.
            Some(_) => {}
            None => {
                let mut data = open.data(Some(self.offset));
                data.parts.clear();
                document.data = Some(data);
            }
        }
        self.put_held(document).await
    }

    async fn complete(&self, open: &Open) -> Result<(), Error> {
        let key = self.key(&open.object);
        let path = self.backend.path(&key)?;
        let parts: Vec<PartId> = open.parts.iter().flatten().map(Part::part_id).collect();
        let completed = self
            .backend
            .parts
            .complete_multipart(&path, &open.id, parts)
            .await;
        match completed {
            // Tried again because its answer was lost, it finds its work done.
            Err(error) if self.backend.size(&key).await? != Some(self.offset) => {
                Err(self.backend.fault(&key, "written", &error))
            }
            _ => Ok(()),
        }
    }

    /// Makes parts again of what is one object, because more bytes come: the one time that bytes pass through here
    /// twice. It happens after an upload was read back and is written on, which no client asks for in its right mind.
    pub(super) async fn unseal(&mut self) -> Result<(), Error> {
        let Some(sealed) = self.sealed.take() else {
            return Ok(());
        };
        let key = self.key(&sealed.object);
        let bytes = reading::stream(&self.backend, &key, 0..self.offset).await?;
        let mut bytes = bytes.ok_or_else(|| gone(&key))?;
        self.offset = 0;
        while let Some(bytes) = bytes.try_next().await? {
            self.add(&bytes).await?;
        }
        Ok(())
    }
}

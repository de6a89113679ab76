//! What nobody will come back for.

use std::time::{Duration, SystemTime};

use crate::oci::RepositoryName;
use crate::storage;
use crate::storage::{Key, UploadKey};

use super::walk::Walk;
use super::{Error, Registry, Swept};

/// Uploads that are looked at in one go.
const PAGE: usize = 1000;

/// What is found of an upload that is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Somebody may go on with it.
    Open,
    /// Nobody came back to it.
    Abandoned,
    /// It is a blob by now, or was cancelled.
    Gone,
}

impl Registry {
    /// Removes uploads that nobody touched for `expiry`, those of registry:2 too, and what is left of writes that never
    /// ended; so the uploads of every owner are counted anew. An upload that somebody has in hand stays. One that cannot
    /// be removed does not keep the others: the first error is told at the end. A registry that is read only is left as
    /// it is.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn sweep(&self, expiry: Duration) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        if self.config.read_only {
            return Ok(swept);
        }
        let mut first = None;
        self.uploads.begin_look();
        let mut walk = Walk::after(&self.storage, None);
        while let Some((name, folder)) = walk.next().await? {
            if folder.uploads
                && let Err(error) = self.sweep_uploads(&name, expiry, &mut swept).await
            {
                first.get_or_insert(error);
            }
        }
        if first.is_none() {
            self.uploads.end_look();
        }
        self.storage.tidy(expiry).await?;
        match first {
            Some(error) => Err(error),
            None => Ok(swept),
        }
    }

    async fn sweep_uploads(
        &self,
        name: &RepositoryName,
        expiry: Duration,
        swept: &mut Swept,
    ) -> Result<(), Error> {
        let mut after: Option<String> = None;
        loop {
            let uploads = Key::uploads(name);
            let page = self.storage.list(&uploads, after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.name.clone());
            for entry in page.into_iter().filter(|entry| entry.is_folder) {
                let Some(upload) = UploadKey::new(name, &entry.name) else {
                    continue;
                };
                self.uploads.seen(&entry.name);
                match self.sweep_upload(&upload, expiry).await? {
                    Fate::Open => swept.open += 1,
                    Fate::Abandoned => {
                        swept.uploads += 1;
                        self.uploads.free(&entry.name);
                    }
                    Fate::Gone => self.uploads.free(&entry.name),
                }
            }
        }
    }

    /// Removes the upload if it is abandoned.
    async fn sweep_upload(&self, upload: &UploadKey, expiry: Duration) -> Result<Fate, Error> {
        let fate = self.fate(upload, expiry).await?;
        if fate != Fate::Abandoned {
            return Ok(fate);
        }
        match self.storage.resume(upload).await {
            Ok(Some(session)) => {
                session.discard().await?;
                Ok(Fate::Abandoned)
            }
            Err(storage::Error::Busy(_)) => Ok(Fate::Open),
            // Nothing that could be gone on with. Asked again, since its client may just have closed it.
            Ok(None) | Err(storage::Error::Corrupt { .. }) => {
                let fate = self.fate(upload, expiry).await?;
                if fate == Fate::Abandoned {
                    self.storage.remove_below(upload.folder()).await?;
                }
                Ok(fate)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn fate(&self, upload: &UploadKey, expiry: Duration) -> Result<Fate, Error> {
        let Some(touched) = self.storage.touched(upload).await? else {
            return Ok(Fate::Gone);
        };
        // A time to come is that of a clock that was set: not abandoned.
        let age = SystemTime::now().duration_since(touched);
        let abandoned = age.is_ok_and(|age| age >= expiry);
        Ok(if abandoned {
            Fate::Abandoned
        } else {
            Fate::Open
        })
    }
}

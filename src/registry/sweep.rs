//! What nobody will come back for.

use std::time::{Duration, SystemTime};

use crate::oci::RepositoryName;
use crate::storage;
use crate::storage::{Key, UploadKey};

use super::walk::Walk;
use super::{Error, Registry, Swept};

/// Uploads that are looked at in one go.
const PAGE: usize = 1000;

impl Registry {
    /// Removes uploads that nobody touched for `expiry`, those of registry:2 too, and what is left of writes that never
    /// ended. An upload that somebody has in hand stays. One that cannot be removed does not keep the others: the first
    /// error is told at the end. A registry that is read only is left as it is.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn sweep(&self, expiry: Duration) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        if self.config.read_only {
            return Ok(swept);
        }
        let mut first = None;
        let mut walk = Walk::after(&self.storage, None);
        while let Some((name, folder)) = walk.next().await? {
            if folder.uploads
                && let Err(error) = self.sweep_uploads(&name, expiry, &mut swept).await
            {
                first.get_or_insert(error);
            }
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
                if self.sweep_upload(&upload, expiry).await? {
                    swept.uploads += 1;
                } else {
                    swept.open += 1;
                }
            }
        }
    }

    /// Whether the upload was removed.
    async fn sweep_upload(&self, upload: &UploadKey, expiry: Duration) -> Result<bool, Error> {
        if !self.is_abandoned(upload, expiry).await? {
            return Ok(false);
        }
        match self.storage.resume(upload).await {
            Ok(Some(session)) => {
                session.discard().await?;
                Ok(true)
            }
            Err(storage::Error::Busy(_)) => Ok(false),
            // Nothing that could be gone on with. Asked again, since its client may just have closed it.
            Ok(None) | Err(storage::Error::Corrupt { .. }) => {
                let abandoned = self.is_abandoned(upload, expiry).await?;
                if abandoned {
                    self.storage.remove_below(upload.folder()).await?;
                }
                Ok(abandoned)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn is_abandoned(&self, upload: &UploadKey, expiry: Duration) -> Result<bool, Error> {
        let touched = self.storage.touched(upload).await?;
        // A time to come is that of a clock that was set: not abandoned.
        let age = touched.and_then(|at| SystemTime::now().duration_since(at).ok());
        Ok(age.is_some_and(|age| age >= expiry))
    }
}

//! Where a desk is, and which CA is its own.

use std::path::{Path, PathBuf};

use super::authority::Authority;
use super::error::Error;
use super::folder::Folder;

/// A desk's folder, and its CA where that lies elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The folder of everything that the desk writes.
    pub(crate) dir: PathBuf,
    /// Certificate and key of the CA, where they are not `ca.crt` and `ca.key` of the folder.
    pub(crate) ca: Option<(PathBuf, PathBuf)>,
}

impl Place {
    pub(super) fn folder(&self) -> Folder {
        Folder::new(&self.dir)
    }

    /// Where the CA's certificate is.
    pub(crate) fn ca_path(&self) -> PathBuf {
        match &self.ca {
            Some((certificate, _)) => certificate.clone(),
            None => self.folder().certificate(super::folder::CA_STEM),
        }
    }

    /// Where the CA's key is.
    pub(super) fn key_path(&self) -> PathBuf {
        match &self.ca {
            Some((_, key)) => key.clone(),
            None => self.folder().key(super::folder::CA_STEM),
        }
    }

    /// The CA.
    ///
    /// # Errors
    /// There is none, or another one has its index in this folder.
    pub(super) fn authority(&self) -> Result<Authority, Error> {
        let own = self.folder().certificate(super::folder::CA_STEM);
        if self.ca.is_none() && !own.exists() {
            return Err(self.is_empty());
        }
        let ca = Authority::load(&self.ca_path())?;
        if self.ca.is_some() && own.exists() && !Authority::load(&own)?.is_same_as(&ca) {
            return Err(Error::Asked(format!(
                "{} is the folder of another CA than {}: give each CA a folder of its own with --dir",
                self.dir.display(),
                self.ca_path().display()
            )));
        }
        Ok(ca)
    }

    /// What is said where nothing was made yet.
    pub(super) fn is_empty(&self) -> Error {
        Error::Asked(format!(
            "there is no CA in {}: `dockgate cert init-ca` makes one, --dir names another folder, --ca and --ca-key name a CA that exists",
            absolute(&self.dir).display()
        ))
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

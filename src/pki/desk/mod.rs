//! What the desk does with its folder locked: issue, renew, take back, and make the list anew.
//!
//! Every command that signs makes a new list, too: a list that has ended shuts everybody out, so it must never be older
//! than the newest certificate.

mod issue;
mod revoke;

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::tls::Certificate;
use crate::tls::certificate_file;
use crate::tls::is_signed_by;

use super::authority::{self, Authority};
use super::date;
use super::der::{self, SEQUENCE};
use super::error::Error;
use super::folder::{Folder, Locked, PRIVATE, PUBLIC};
use super::index::{self, Index};
use super::key::Key;
use super::list::{List, Next};
use super::place::Place;
use super::serial::Serial;

pub(crate) use issue::{Issued, Renewal, Wanted};
pub(crate) use revoke::Revoked;

pub(super) const INDEX: &str = "index.txt";
pub(super) const ATTRIBUTES: &str = "index.txt.attr";
pub(super) const LIST: &str = "crl.pem";
pub(super) const LIST_NUMBER: &str = "crlnumber";
/// What openssl needs to be told, or it refuses an index in which a renewed certificate stands beside the old one.
pub(super) const SEVERAL: &str = "unique_subject = no\n";

/// An open desk: locked, read, and with the CA's key at hand.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(super) locked: Locked,
    pub(super) ca: Authority,
    pub(super) key: Key,
    pub(super) index: Index,
    before: Option<List>,
    list_days: Option<u32>,
    pub(super) now: u64,
    /// What a person should know, though it stops nothing.
    pub(crate) warnings: Vec<String>,
}

/// A certificate and its key, as their files are to be.
pub(super) struct Pair {
    pub(super) stem: String,
    pub(super) certificate: String,
    pub(super) key: Option<Zeroizing<String>>,
}

impl Desk {
    /// Locks and reads everything. `list_days` is how long lists that are made count, where it should change.
    ///
    /// # Errors
    /// There is no CA, or something of it cannot be used. Nothing was changed.
    pub(crate) fn open(place: &Place, list_days: Option<u32>) -> Result<Self, Error> {
        let folder = Folder::new(&place.dir);
        let ca = place.authority()?;
        let (key, warning) = authority::key(&place.key_path(), &ca)?;
        folder.make()?;
        let locked = folder.lock()?;
        let mut index = read_index(&folder)?;
        let before = List::load(&folder.path(LIST), &ca)?;
        if let Some(list) = &before {
            list.mark(&mut index);
        }
        recover(&locked, &index)?;
        Ok(Self {
            locked,
            ca,
            key,
            index,
            before,
            list_days,
            now: date::now(),
            warnings: warning.into_iter().collect(),
        })
    }

    /// Makes the list anew, with the same revocations and a later end.
    ///
    /// # Errors
    /// It cannot be written. Nothing was changed.
    pub(crate) fn renew_list(&mut self) -> Result<(), Error> {
        self.needs_list()?;
        self.commit(None)
    }

    /// Makes a new certificate for the CA itself, of the same name and key.
    ///
    /// # Errors
    /// Another CA issued it, or it cannot be written. Nothing was changed.
    pub(crate) fn renew_ca(
        &mut self,
        place: &Place,
        days: Option<u32>,
    ) -> Result<(PathBuf, u64), Error> {
        let der = self.ca.renewed(&self.key, days, self.now)?;
        let end =
            Certificate::parse(&der).map_or(0, |new| new.not_after.to_unix_duration().as_secs());
        let path = place.ca_path();
        if path != self.locked.folder().path("ca.crt") {
            return Err(Error::Asked(format!(
                "{} is not in the desk's folder: take the CA over with `dockgate cert init-ca --ca FILE --ca-key FILE`, then renew it there",
                path.display()
            )));
        }
        let mut change = self.locked.change()?;
        change.write("ca.crt", der::pem("CERTIFICATE", &der).as_bytes(), PUBLIC)?;
        change.commit()?;
        Ok((path, end))
    }

    /// Where the list is.
    pub(crate) fn list(&self) -> PathBuf {
        self.locked.folder().path(LIST)
    }

    pub(super) fn needs_list(&self) -> Result<(), Error> {
        if self.ca.may_sign_lists() {
            return Ok(());
        }
        Err(Error::file(
            self.ca.path(),
            format!(
                "the key usage of the CA {} does not let it sign revocation lists",
                self.ca.subject_text
            ),
        ))
    }

    pub(super) fn check_issuer(&self, path: &Path, leaf: &Certificate<'_>) -> Result<(), Error> {
        let is_ours = der::tlv(SEQUENCE, &[leaf.issuer]) == self.ca.subject
            && is_signed_by(&leaf.signed, &self.ca.public);
        if is_ours {
            return Ok(());
        }
        Err(Error::file(
            path,
            format!("was not issued by the CA {}", self.ca.subject_text),
        ))
    }

    /// Writes the list, the index, and perhaps a pair; in the order that the folder's rules want.
    pub(super) fn commit(&self, pair: Option<Pair>) -> Result<(), Error> {
        let list = if self.ca.may_sign_lists() {
            Some(self.next_list()?)
        } else {
            None
        };
        let mut change = self.locked.change()?;
        if let Some((after, list)) = list {
            change.write(LIST_NUMBER, after.as_bytes(), PUBLIC)?;
            change.write(LIST, list.as_bytes(), PUBLIC)?;
        }
        if !self.locked.folder().path(ATTRIBUTES).exists() {
            change.write(ATTRIBUTES, SEVERAL.as_bytes(), PUBLIC)?;
        }
        change.write(INDEX, &self.index.bytes(), PUBLIC)?;
        if let Some(pair) = pair {
            if let Some(key) = &pair.key {
                change.write(&format!("{}.key", pair.stem), key.as_bytes(), PRIVATE)?;
            }
            let name = format!("{}.crt", pair.stem);
            change.write(&name, pair.certificate.as_bytes(), PUBLIC)?;
        }
        change.commit()
    }

    /// The next list, behind the number of the one after it.
    fn next_list(&self) -> Result<(String, String), Error> {
        let number = self.list_number()?;
        let next = Next {
            ca: &self.ca,
            index: &self.index,
            before: self.before.as_ref(),
            number: &number,
            days: self.list_days,
        };
        let list = next.sign(&self.key, self.now)?;
        let after = format!("{}\n", number.next());
        Ok((after, der::pem("X509 CRL", &list)))
    }

    /// The number of the next list: what the file says, as `openssl ca` reads it, and more than the list before has.
    fn list_number(&self) -> Result<Serial, Error> {
        let folder = self.locked.folder();
        let written = match folder.read(LIST_NUMBER, 4096)? {
            None => Serial::new(&[1]),
            Some(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                Serial::parse(text.trim()).ok_or_else(|| {
                    Error::file(
                        folder.path(LIST_NUMBER),
                        "is not one hexadecimal number, that of the next list: remove the file, and the number follows from crl.pem",
                    )
                })?
            }
        };
        let after = self.before.as_ref().map(|list| list.number.next());
        Ok(after.into_iter().fold(written, Serial::greater))
    }
}

/// The index; an empty one where there is none yet.
pub(super) fn read_index(folder: &Folder) -> Result<Index, Error> {
    let path = folder.path(INDEX);
    if let Some(bytes) = folder.read(INDEX, index::LARGEST)? {
        return Index::parse(&path, &bytes);
    }
    let list = folder.path(LIST);
    if list.exists() {
        return Err(Error::file(
            path,
            "is missing, though crl.pem is there: put it back from a backup. If it is lost for good, make an empty one: what crl.pem takes back stays so",
        ));
    }
    Index::parse(&path, &[])
}

/// Puts certificates in their place whose run ended after they stood in the index, and removes other leftovers.
fn recover(locked: &Locked, index: &Index) -> Result<(), Error> {
    for stem in locked.waiting()? {
        let chain = certificate_file("certificate", &locked.staged(&stem)).unwrap_or_default();
        let serial = chain
            .first()
            .and_then(|der| Certificate::parse(der).ok())
            .map(|leaf| Serial::new(leaf.serial));
        if serial.is_some_and(|serial| index.find(&serial).is_some()) {
            locked.finish(&stem)?;
        }
    }
    locked.clear()
}

//! Taking certificates back.

use std::path::Path;

use crate::tls::Certificate;
use crate::tls::certificate_file;

use super::super::error::Error;
use super::super::index::{Reason, Record, State};
use super::super::serial::Serial;
use super::super::subject::one_line;
use super::{Desk, INDEX};

/// A certificate that was taken back.
#[derive(Debug)]
pub(crate) struct Revoked {
    /// Its common name.
    pub(crate) name: String,
    /// Its number.
    pub(crate) serial: Serial,
    /// Whether it had been taken back before.
    pub(crate) already: bool,
}

impl Desk {
    /// Takes back all certificates of a name, or the one of a serial number.
    ///
    /// # Errors
    /// There is none, or it is not clear which is meant. Nothing was changed.
    pub(crate) fn revoke(
        &mut self,
        whom: &str,
        reason: Option<Reason>,
    ) -> Result<Vec<Revoked>, Error> {
        let found = self.meant(whom)?;
        self.take_back(found, reason)
    }

    /// Takes back the certificate of a file, which may be one that the index does not know.
    ///
    /// # Errors
    /// It is not of this CA. Nothing was changed.
    pub(crate) fn revoke_file(
        &mut self,
        path: &Path,
        reason: Option<Reason>,
    ) -> Result<Vec<Revoked>, Error> {
        let chain = certificate_file("certificate", path)?;
        let leaf = chain.first().map(Vec::as_slice).unwrap_or_default();
        let leaf = Certificate::parse(leaf)
            .map_err(|_| Error::file(path, "its certificate cannot be read"))?;
        self.check_issuer(path, &leaf)?;
        let record = Record {
            state: State::Valid,
            end: leaf.not_after.to_unix_duration().as_secs(),
            serial: Serial::new(leaf.serial),
            subject: one_line(&leaf.subject_name),
        };
        let known = self.index.find(&record.serial).cloned();
        if known.is_none() {
            // it goes in as taken back, so that it never counts as a second one of its subject
            self.index.add(record.clone());
        }
        self.take_back(vec![known.unwrap_or(record)], reason)
    }

    fn take_back(
        &mut self,
        found: Vec<Record>,
        reason: Option<Reason>,
    ) -> Result<Vec<Revoked>, Error> {
        self.needs_list()?;
        for record in &found {
            self.index.revoke(&record.serial, self.now, reason);
        }
        self.commit(None)?;
        let done = found.into_iter().map(|record| Revoked {
            name: record.name(),
            already: matches!(record.state, State::Revoked { .. }),
            serial: record.serial,
        });
        Ok(done.collect())
    }

    /// The records of a name that are not taken back, else those that are; or the one of a serial number.
    fn meant(&self, whom: &str) -> Result<Vec<Record>, Error> {
        let digits = whom.strip_prefix("0x").or(whom.strip_prefix("0X"));
        let serial = Serial::parse(&digits.unwrap_or(whom).replace(':', ""));
        let numbered = serial.and_then(|serial| self.index.find(&serial));
        let named = |good: bool| -> Vec<Record> {
            let all = self.index.records();
            all.filter(|record| !matches!(record.state, State::Revoked { .. }) == good)
                .filter(|record| digits.is_none() && record.name() == whom)
                .cloned()
                .collect()
        };
        let found = Some(named(true)).filter(|found| !found.is_empty());
        let found = found.unwrap_or_else(|| named(false));
        match (numbered, found.is_empty()) {
            (None, false) => Ok(found),
            (Some(one), true) => Ok(vec![one.clone()]),
            (Some(one), false) if found.len() == 1 && found.contains(one) => Ok(found),
            (Some(_), false) => Err(Error::Asked(format!(
                "\"{whom}\" is a name and a serial number: write 0x{whom} for the number, or the number of the one that is meant"
            ))),
            (None, true) => Err(Error::Asked(format!(
                "no certificate in {} has the name or serial number \"{}\": `dockgate cert list` shows them; one that was made elsewhere with this CA is taken back by its file, with --file",
                self.locked.folder().path(INDEX).display(),
                whom.escape_debug()
            ))),
        }
    }
}

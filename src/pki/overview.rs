//! What there is, for people: read without the CA's key and without changing anything.

use super::authority::Authority;
use super::date::{self, DAY};
use super::desk::{LIST, read_index};
use super::error::Error;
use super::index::{Index, Record, State};
use super::list::List;
use super::place::Place;

/// From when on the end of a certificate is announced.
const SOON: u64 = 30 * DAY;
/// The same for the CA: new certificates of it have to reach every machine.
const CA_SOON: u64 = 90 * DAY;
/// The same for the list: as the gate does.
const LIST_SOON: u64 = 7 * DAY;

/// All certificates of a desk, and what is to be done about them.
#[derive(Debug)]
pub(crate) struct Overview {
    /// In the order in which they were issued.
    pub(crate) records: Vec<Record>,
    /// What a person should know.
    pub(crate) warnings: Vec<String>,
    now: u64,
}

impl Overview {
    /// Reads a desk.
    ///
    /// # Errors
    /// There is none, or its files cannot be read.
    pub(crate) fn read(place: &Place) -> Result<Self, Error> {
        let now = date::now();
        let folder = place.folder();
        let ca = place.authority()?;
        let mut index = read_index(&folder)?;
        let list = List::load(&folder.path(LIST), &ca)?;
        let mut warnings: Vec<String> = about_ca(&ca, now).into_iter().collect();
        warnings.extend(about_list(place, list.as_ref(), &index, now));
        if let Some(list) = &list {
            list.mark(&mut index);
        }
        let records: Vec<Record> = index.records().cloned().collect();
        warnings.extend(about_ends(&records, now));
        Ok(Self {
            records,
            warnings,
            now,
        })
    }

    /// What a certificate is, in one word.
    pub(crate) fn status(&self, record: &Record) -> &'static str {
        match record.state {
            State::Revoked { .. } => "revoked",
            State::Expired => "expired",
            State::Valid if self.now > record.end => "expired",
            State::Valid => "valid",
        }
    }
}

fn about_ca(ca: &Authority, now: u64) -> Option<String> {
    if let Err(fault) = ca.in_time(now) {
        return Some(fault.to_string());
    }
    (ca.end.saturating_sub(now) < CA_SOON).then(|| {
        format!(
            "{}: the CA ends on {}, and all its certificates with it: `dockgate cert renew ca`, then give the new ca.crt to the gate and to every machine",
            ca.path().display(),
            date::text(ca.end)
        )
    })
}

fn about_list(place: &Place, list: Option<&List>, index: &Index, now: u64) -> Option<String> {
    let path = place.folder().path(LIST);
    let told = match list {
        None => "is not there, so that no gate knows what was taken back".to_owned(),
        Some(list) if !list.is_complete(index) => {
            "lacks certificates that index.txt says are taken back: they still come in".to_owned()
        }
        Some(list) if now >= list.until => format!(
            "ended on {}: a gate that reads it refuses all client certificates",
            date::text(list.until)
        ),
        Some(list) if list.until - now < LIST_SOON => format!(
            "ends on {}: from then on a gate that reads it refuses all client certificates",
            date::text(list.until)
        ),
        Some(_) => return None,
    };
    Some(format!(
        "{}: {told}; `dockgate cert renew --crl` makes it anew",
        path.display()
    ))
}

/// The newest good certificate of each name counts: what was renewed may end.
fn about_ends(records: &[Record], now: u64) -> Vec<String> {
    let newest = |record: &Record| {
        let name = record.name();
        let others = records.iter().filter(|one| one.name() == name);
        others
            .filter(|one| one.state == State::Valid)
            .all(|one| one.end <= record.end)
    };
    records
        .iter()
        .filter(|record| record.is_good(now) && record.end - now < SOON && newest(record))
        .map(|record| {
            let name = record.name();
            format!(
                "{} (serial number {}) ends on {}: `dockgate cert renew {0}`",
                name.escape_debug(),
                record.serial,
                date::text(record.end)
            )
        })
        .collect()
}

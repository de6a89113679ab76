//! `crl.pem`: the list of what the CA took back (RFC 5280 section 5), always version 2 and numbered upwards.
//!
//! A new list holds everything that stands in the index *and* everything that stood in the old list. So an index that was
//! put back from an old backup gives nobody back in.

use std::path::Path;

use x509_cert::crl::CertificateList;
use x509_cert::der::asn1::{ObjectIdentifier, Uint};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::CrlReason;

use crate::tls::RevocationList;
use crate::tls::is_signed_by;
use crate::tls::list_file;

use super::authority::Authority;
use super::certificate::authority_key_identifier;
use super::date::DAY;
use super::der::{self, ENUMERATED, SEQUENCE};
use super::error::Error;
use super::index::{Index, Reason, State};
use super::key::Key;
use super::serial::Serial;

const CRL_NUMBER: u8 = 20;
const REASON_CODE: u8 = 21;
const CRL_NUMBER_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");
const REASON_CODE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.21");

/// How long a list counts where nobody says so: as long as a client certificate. Every command that signs makes a new
/// one, so that a list never ends before the certificates that were issued with the usual lifetime.
const DAYS: u32 = 365;

/// A list that was made before.
#[derive(Debug)]
pub(super) struct List {
    /// Its number; the next one has a greater one.
    pub(super) number: Serial,
    /// When the next one is due.
    pub(super) until: u64,
    /// How long it was made for, in days.
    days: u32,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    serial: Serial,
    when: u64,
    reason: Option<Reason>,
    /// As it stood in the list.
    der: Vec<u8>,
}

impl List {
    /// Reads the file, if there is one, and checks that this CA signed it.
    ///
    /// # Errors
    /// It cannot be read, or is another CA's. Then it must not be written over.
    pub(super) fn load(path: &Path, ca: &Authority) -> Result<Option<Self>, Error> {
        if !path.exists() {
            return Ok(None);
        }
        let lists = list_file("revocation list", path)?;
        let [der] = lists.as_slice() else {
            return Err(Error::file(
                path,
                format!(
                    "holds {} lists, and the desk writes its own and no other: keep the lists of other CAs elsewhere, and join them where the gate reads them (`client_crl`)",
                    lists.len()
                ),
            ));
        };
        let head = RevocationList::parse(der)
            .map_err(|_| Error::file(path, "its revocation list cannot be read"))?;
        let is_ours = der::tlv(SEQUENCE, &[head.issuer]) == ca.subject
            && is_signed_by(&head.signed, &ca.public);
        if !is_ours {
            return Err(Error::file(
                path,
                format!(
                    "is not a list of the CA {} in {}: move it to where it belongs, or name the right CA",
                    ca.subject_text,
                    ca.path().display()
                ),
            ));
        }
        if head.version != 2 {
            return Err(Error::file(
                path,
                "is a list of version 1, without a number: let `openssl ca -gencrl` make it anew with a `crlnumber` file in its configuration, or move it away if index.txt holds all that it takes back",
            ));
        }
        let list = <CertificateList>::from_der(der)
            .map_err(|_| Error::file(path, "its revocation list cannot be read"))?;
        Self::read(list)
            .map(Some)
            .ok_or_else(|| Error::file(path, "its revocation list has a part that cannot be read"))
    }

    pub(super) fn read(list: CertificateList) -> Option<Self> {
        let body = list.tbs_cert_list;
        let number = body
            .crl_extensions
            .iter()
            .flatten()
            .find(|one| one.extn_id == CRL_NUMBER_ID)
            .map(|one| Uint::from_der(one.extn_value.as_bytes()));
        let number = match number {
            Some(number) => Serial::new(number.ok()?.as_bytes()),
            None => Serial::new(&[]),
        };
        let until = body
            .next_update
            .map_or(0, |time| time.to_unix_duration().as_secs());
        let made = body.this_update.to_unix_duration().as_secs();
        let days = until.saturating_sub(made).div_ceil(DAY);
        let mut entries = Vec::new();
        for entry in body.revoked_certificates.iter().flatten() {
            let reason = entry
                .crl_entry_extensions
                .iter()
                .flatten()
                .find(|one| one.extn_id == REASON_CODE_ID)
                .and_then(|one| CrlReason::from_der(one.extn_value.as_bytes()).ok())
                .and_then(|reason| Reason::from_code(reason as u8));
            entries.push(Entry {
                serial: Serial::new(entry.serial_number.as_bytes()),
                when: entry.revocation_date.to_unix_duration().as_secs(),
                reason,
                der: entry.to_der().ok()?,
            });
        }
        Some(Self {
            number,
            until,
            days: u32::try_from(days).unwrap_or(DAYS).max(1),
            entries,
        })
    }

    /// Marks what this list takes back in the index, too.
    pub(super) fn mark(&self, index: &mut Index) {
        for entry in &self.entries {
            index.revoke(&entry.serial, entry.when, entry.reason);
        }
    }

    /// Whether it takes back everything that the index does.
    pub(super) fn is_complete(&self, index: &Index) -> bool {
        let serials = self.serials();
        index
            .records()
            .filter(|record| matches!(record.state, State::Revoked { .. }))
            .all(|record| serials.binary_search(&&record.serial).is_ok())
    }

    fn serials(&self) -> Vec<&Serial> {
        let mut serials: Vec<_> = self.entries.iter().map(|entry| &entry.serial).collect();
        serials.sort_unstable();
        serials
    }
}

/// What a new list is made from.
#[derive(Debug)]
pub(super) struct Next<'a> {
    pub(super) ca: &'a Authority,
    pub(super) index: &'a Index,
    pub(super) before: Option<&'a List>,
    pub(super) number: &'a Serial,
    /// How long it counts; as long as the one before where nobody says so.
    pub(super) days: Option<u32>,
}

impl Next<'_> {
    /// The list as DER.
    pub(super) fn sign(&self, key: &Key, now: u64) -> Result<Vec<u8>, Error> {
        const VERSION_2: &[u8] = &[der::INTEGER, 1, 1];
        const EXTENSIONS: u8 = 0xa0;
        let before = self.before.map(|list| list.days);
        let days = self.days.or(before).unwrap_or(DAYS);
        let until = now.saturating_add(u64::from(days) * DAY);
        let entries = self.entries();
        let parts: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        // a list of nothing has no empty sequence (RFC 5280 section 5.1.2.6)
        let revoked = if parts.is_empty() {
            Vec::new()
        } else {
            der::sequence(&parts)
        };
        let mut extensions = Vec::new();
        if let Some(identifier) = &self.ca.identifier {
            extensions.extend(authority_key_identifier(identifier));
        }
        let number = der::unsigned(self.number.bytes());
        extensions.extend(der::extension(CRL_NUMBER, false, &number));
        let message = der::sequence(&[
            VERSION_2,
            &key.algorithm(),
            &self.ca.subject,
            &der::time(now),
            &der::time(until),
            &revoked,
            &der::tlv(EXTENSIONS, &[&der::sequence(&[&extensions])]),
        ]);
        key.sign(&message)
    }

    fn entries(&self) -> Vec<Vec<u8>> {
        let serials = self.before.map(List::serials).unwrap_or_default();
        let old = self.before.iter().flat_map(|list| &list.entries);
        let mut out: Vec<Vec<u8>> = old.map(|entry| entry.der.clone()).collect();
        for record in self.index.records() {
            if let State::Revoked { when, reason } = record.state
                && serials.binary_search(&&record.serial).is_err()
            {
                out.push(entry(&record.serial, when, reason));
            }
        }
        out
    }
}

fn entry(serial: &Serial, when: u64, reason: Option<Reason>) -> Vec<u8> {
    let extensions = reason.map(|reason| {
        let value = der::tlv(ENUMERATED, &[&[reason.code()]]);
        der::sequence(&[&der::extension(REASON_CODE, false, &value)])
    });
    der::sequence(&[
        &der::unsigned(serial.bytes()),
        &der::time(when),
        &extensions.unwrap_or_default(),
    ])
}

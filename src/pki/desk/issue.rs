//! Issuing certificates, and issuing them anew.

use std::path::{Path, PathBuf};

use crate::tls::Certificate;
use crate::tls::certificate_file;
use crate::tls::key_file;

use super::super::authority;
use super::super::certificate::{
    self, Content, EXTENDED_KEY_USAGE, SUBJECT_ALTERNATIVE_NAME, Use, leaf_extensions,
};
use super::super::date;
use super::super::der::{self, SEQUENCE};
use super::super::error::Error;
use super::super::index::{self, Reason, Record, State};
use super::super::key::{Key, KeyType, kind_of};
use super::super::name::{self, Alternative, Name};
use super::super::serial::Serial;
use super::super::subject::one_line;
use super::{ATTRIBUTES, Desk, Pair};

/// A certificate that is asked for.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// What it is called.
    pub(crate) name: Name,
    /// What it is for.
    pub(crate) purpose: Use,
    /// More names than its own.
    pub(crate) names: Vec<Alternative>,
    /// How long it is good for.
    pub(crate) days: Option<u32>,
}

/// A certificate that was made.
#[derive(Debug)]
pub(crate) struct Issued {
    /// Its file.
    pub(crate) certificate: PathBuf,
    /// Its key's file.
    pub(crate) key: PathBuf,
    /// Its number.
    pub(crate) serial: Serial,
    /// Its last second.
    pub(crate) end: u64,
}

/// How a certificate is issued anew.
#[derive(Debug, Default)]
pub(crate) struct Renewal {
    /// How long it is good for; as long as the one before where nobody says so.
    pub(crate) days: Option<u32>,
    /// The kind of the new key; as the one before where nobody says so.
    pub(crate) key_type: Option<KeyType>,
    /// Whether the key stays.
    pub(crate) keep_key: bool,
    /// Whether the one before is taken back.
    pub(crate) revoke: bool,
}

/// A certificate to be, in the parts that do not depend on its key.
struct Leaf {
    stem: String,
    subject: Vec<u8>,
    subject_line: String,
    usage: Vec<u8>,
    names: Vec<u8>,
    days: u32,
}

impl Desk {
    /// Issues a certificate for a new key.
    ///
    /// # Errors
    /// The name is taken, the CA may not issue it, or something cannot be written. Nothing was changed.
    pub(crate) fn issue(&mut self, wanted: &Wanted, key: &Key) -> Result<Issued, Error> {
        self.ca.in_time(self.now)?;
        self.ca.may_issue(wanted.purpose)?;
        self.is_free(&wanted.name)?;
        let mut names = vec![wanted.name.alternative().clone()];
        for other in &wanted.names {
            if !names.contains(other) {
                names.push(other.clone());
            }
        }
        let subject = certificate::common_name(wanted.name.as_str());
        let leaf = Leaf {
            stem: wanted.name.stem(),
            subject_line: format!("/CN={}", wanted.name.as_str()),
            subject,
            usage: wanted.purpose.extended_key_usage(),
            names: certificate::alternative_names(&names),
            days: wanted.days.unwrap_or(wanted.purpose.days()),
        };
        self.sign(&leaf, key, true)
    }

    /// Issues a certificate anew: the same name, use and other names, and a new key unless `keep_key`.
    ///
    /// The one before stays good until it ends, or is taken back where `revoke` says so.
    ///
    /// # Errors
    /// There is none, or it was taken back, or something cannot be written. Nothing was changed.
    pub(crate) fn renew(&mut self, name: &str, how: &Renewal) -> Result<Issued, Error> {
        self.ca.in_time(self.now)?;
        let stem = name::stem(name);
        let folder = self.locked.folder();
        let path = folder.certificate(&stem);
        let old = self.own_certificate(name, &path)?;
        let before = Certificate::parse(&old)
            .map_err(|_| Error::file(&path, "its certificate cannot be read"))?;
        let serial = Serial::new(before.serial);
        let key = if how.keep_key {
            let path = folder.key(&stem);
            let (pair, _) = key_file("key", &path)?;
            Key::new(pair)
        } else {
            let alike = kind_of(before.rsa_bits(), before.key_bits());
            Key::generate(how.key_type.unwrap_or(alike))?
        };
        let usage = authority::extension(&before, EXTENDED_KEY_USAGE);
        let usage = usage.map_or_else(|| Use::Client.extended_key_usage(), <[u8]>::to_vec);
        let names = authority::extension(&before, SUBJECT_ALTERNATIVE_NAME);
        let names = match names {
            Some(names) => names.to_vec(),
            // a certificate of old, which names its bearer in the subject alone
            None => certificate::alternative_names(&[Name::client(name)?.alternative().clone()]),
        };
        let start = before.not_before.to_unix_duration();
        let lifetime = before.not_after.to_unix_duration().saturating_sub(start);
        // it began a day before it was asked for
        let days = (lifetime.as_secs() / date::DAY).saturating_sub(1).max(1);
        let leaf = Leaf {
            stem,
            subject_line: one_line(&before.subject_name),
            subject: der::tlv(SEQUENCE, &[before.subject]),
            usage,
            names,
            days: how.days.unwrap_or(u32::try_from(days).unwrap_or(u32::MAX)),
        };
        if self.index.find(&serial).is_none() {
            // it was made elsewhere, and is to be found by its name from now on
            self.index.add(Record {
                state: State::Valid,
                end: before.not_after.to_unix_duration().as_secs(),
                serial: serial.clone(),
                subject: one_line(&before.subject_name),
            });
        }
        if how.revoke {
            self.index
                .revoke(&serial, self.now, Some(Reason::Superseded));
        }
        self.sign(&leaf, &key, !how.keep_key)
    }

    /// An error where there is a good certificate of this name, or files that would be lost.
    fn is_free(&self, name: &Name) -> Result<(), Error> {
        let same = || {
            let all = self.index.records();
            all.filter(|record| record.name() == name.as_str())
        };
        if let Some(good) = same().find(|record| record.is_good(self.now)) {
            return Err(Error::Asked(format!(
                "{0} has a certificate that is good until {1} (serial number {2}): `dockgate cert renew {0}` issues it anew, `dockgate cert revoke {0}` takes it back",
                name.as_str(),
                date::text(good.end),
                good.serial
            )));
        }
        let folder = self.locked.folder();
        let (certificate, key) = (folder.certificate(&name.stem()), folder.key(&name.stem()));
        let known = if certificate.exists() {
            let chain = certificate_file("certificate", &certificate)?;
            let serial = chain
                .first()
                .and_then(|der| Certificate::parse(der).ok())
                .map(|leaf| Serial::new(leaf.serial));
            serial.is_some_and(|serial| self.index.find(&serial).is_some())
        } else {
            !key.exists() || same().next().is_some()
        };
        if known {
            return Ok(());
        }
        let path = if certificate.exists() {
            certificate
        } else {
            key
        };
        Err(Error::file(
            path,
            "is there already, and index.txt does not know it: move it away, or choose another name",
        ))
    }

    /// The certificate of a name in its file, as DER.
    fn own_certificate(&self, name: &str, path: &Path) -> Result<Vec<u8>, Error> {
        let is_name = !name.contains('/') && !name.chars().any(char::is_control);
        if !is_name || !path.exists() {
            return Err(Error::Asked(format!(
                "there is no certificate file of \"{}\" in {}, so nothing can be renewed: `dockgate cert list` shows the names; `dockgate cert client` and `cert server` make new ones",
                name.escape_debug(),
                self.locked.folder().root().display()
            )));
        }
        let chain = certificate_file("certificate", path)?;
        let der = chain.into_iter().next().unwrap_or_default();
        let leaf = Certificate::parse(&der)
            .map_err(|_| Error::file(path, "its certificate cannot be read"))?;
        self.check_issuer(path, &leaf)?;
        let serial = Serial::new(leaf.serial);
        let revoked = self
            .index
            .find(&serial)
            .is_some_and(|record| matches!(record.state, State::Revoked { .. }));
        if revoked {
            return Err(Error::Asked(format!(
                "{name} was taken back (serial number {serial}): if it is to come back in, issue a new one with `dockgate cert client` or `cert server`"
            )));
        }
        Ok(der)
    }

    /// Signs a leaf and writes everything down.
    fn sign(&mut self, leaf: &Leaf, key: &Key, with_key: bool) -> Result<Issued, Error> {
        self.check_attributes(&leaf.subject_line)?;
        let mut serial = Serial::random()?;
        while self.index.find(&serial).is_some() {
            serial = Serial::random()?;
        }
        let validity = certificate::validity(self.now, leaf.days, self.ca.end);
        let content = Content {
            serial: &serial,
            issuer: &self.ca.subject,
            subject: &leaf.subject,
            validity,
            public: &key.public(),
            extensions: leaf_extensions(
                key,
                self.ca.identifier.as_deref(),
                &leaf.usage,
                &leaf.names,
            ),
        };
        let der = content.sign(&self.key)?;
        self.index.add(Record {
            state: State::Valid,
            end: validity.1,
            serial: serial.clone(),
            subject: leaf.subject_line.clone(),
        });
        let mut chain = der::pem("CERTIFICATE", &der);
        for above in self.ca.intermediates() {
            chain.push_str(&der::pem("CERTIFICATE", above));
        }
        self.commit(Some(Pair {
            stem: leaf.stem.clone(),
            certificate: chain,
            key: with_key.then(|| key.pem()),
        }))?;
        if validity.1 == self.ca.end {
            self.warnings.push(format!(
                "the certificate ends with its CA, on {}: `dockgate cert renew ca` makes the CA last longer",
                date::text(validity.1)
            ));
        }
        let folder = self.locked.folder();
        Ok(Issued {
            certificate: folder.certificate(&leaf.stem),
            key: folder.key(&leaf.stem),
            serial,
            end: validity.1,
        })
    }

    /// An error where openssl could not read the index with one more of this subject.
    fn check_attributes(&self, subject: &str) -> Result<(), Error> {
        let folder = self.locked.folder();
        let text = folder.read(ATTRIBUTES, index::LARGEST)?;
        let text = String::from_utf8_lossy(text.as_deref().unwrap_or_default()).into_owned();
        let unique = text.lines().any(|line| {
            let (key, value) = line.split_once('=').unwrap_or_default();
            key.trim() == "unique_subject" && value.trim().starts_with(['y', 'Y', '1', 't', 'T'])
        });
        if unique && self.index.has_valid_subject(subject) {
            return Err(Error::file(
                folder.path(ATTRIBUTES),
                format!(
                    "says `unique_subject = yes`, so that openssl could not read an index with two certificates of {subject}: write `no` there, or take the one before back (`renew --revoke`)"
                ),
            ));
        }
        Ok(())
    }
}

//! Certificate revocation lists: which client certificates their issuer took back.
//!
//! A configured list is mandatory, and must be fresh unless the operator lets one count that is past its date
//! ([`ExpiredList::Warn`]). A certificate whose issuer has no list in the file is refused in any case, as
//! nginx does with `ssl_crl`: the operator said that revocation counts, and "unknown" is exactly what somebody with a
//! stolen certificate of a second CA would hope for. Start and reload name the CAs that have no list.

use std::path::Path;
use std::time::Duration;

use rustls::pki_types::{CertificateRevocationListDer, UnixTime};
use webpki::{
    CertRevocationList, ExpirationPolicy, OwnedCertRevocationList, RevocationOptions,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};

use crate::config::ExpiredList;

use super::authority::Authority;
use super::error::{Error, Warning, date};
use super::file;
use super::judgement::signed_by;
use super::subject;
use super::x509::{Certificate, RevocationList, unix};

const WHAT: &str = "client CRL";
/// From when on the end of a list is announced.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a list says of one serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It is not on the issuer's list, which is fresh or counts though it is not.
    Good,
    /// It is on it.
    Revoked,
    /// The issuer's list is too old to be believed.
    Stale,
    /// The issuer has no list.
    Unknown,
}

/// All lists of the file, the newest first.
#[derive(Debug)]
pub(super) struct Lists {
    read: Vec<CertRevocationList<'static>>,
    /// Each list's facts, in the same order.
    facts: Vec<Facts>,
    /// What a list is good for that is past its date.
    expired: ExpiredList,
}

#[derive(Debug)]
struct Facts {
    der: Vec<u8>,
    /// Whose it is.
    issuer: String,
    made: UnixTime,
    until: UnixTime,
    /// The same as they are written.
    dates: (String, String),
    /// The CA file has an authority of the issuer's name.
    known: bool,
    /// One of the authorities of the CA file signed it.
    signed: bool,
}

impl Lists {
    /// Reads and checks the file. All faults at once.
    pub(super) fn load(
        path: &Path,
        authorities: &[Authority],
        expired: ExpiredList,
        now: UnixTime,
    ) -> Result<(Self, Vec<Warning>), Vec<Error>> {
        let ders = file::lists(WHAT, path).map_err(|fault| vec![fault])?;
        let authorities: Vec<_> = authorities
            .iter()
            .filter_map(Authority::certificate)
            .collect();
        let mut faults = Vec::new();
        let mut warnings = Vec::new();
        let mut loaded = Vec::new();
        for (index, der) in ders.iter().enumerate() {
            match one(path, index, der, &authorities) {
                Ok((list, facts)) => {
                    let doubt = facts.doubt(expired, now);
                    warnings.extend(doubt.map(|text| Warning::new(path, text)));
                    loaded.push((list, facts));
                }
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        // webpki takes the first list of an issuer: an old one left in the file must not hide the new one
        loaded.sort_by_key(|(_, facts)| std::cmp::Reverse(facts.made));
        let (read, facts) = loaded.into_iter().unzip();
        let lists = Self {
            read,
            facts,
            expired,
        };
        for authority in &authorities {
            if !lists
                .read
                .iter()
                .any(|list| list.issuer() == authority.subject)
            {
                warnings.push(Warning::new(
                    path,
                    format!(
                        "holds no list of the CA {}: client certificates that it issued are refused; add its list",
                        authority.subject_text()
                    ),
                ));
            }
        }
        Ok((lists, warnings))
    }

    /// The checks that webpki makes along a chain: every certificate below the root, on lists that count.
    pub(super) fn options<'a>(
        &self,
        lists: &'a [&'a CertRevocationList<'a>],
    ) -> Option<RevocationOptions<'a>> {
        let builder = RevocationOptionsBuilder::new(lists).ok()?;
        let expiration = match self.expired {
            ExpiredList::Refuse => ExpirationPolicy::Enforce,
            ExpiredList::Warn => ExpirationPolicy::Ignore,
        };
        Some(
            builder
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(expiration)
                .build(),
        )
    }

    /// All lists, as webpki takes them.
    pub(super) fn all(&self) -> Vec<&CertRevocationList<'static>> {
        self.read.iter().collect()
    }

    /// What the list of `issuer`, one of the authorities of the CA file, says of a serial number.
    pub(super) fn status(&self, issuer: &Certificate<'_>, serial: &[u8], now: UnixTime) -> Status {
        let list = self.read.iter().zip(&self.facts).find(|(list, facts)| {
            // a list for a part of the certificates only (RFC 5280 section 5.2.5) does not speak for this one
            facts.signed
                && list.issuer() == issuer.subject
                && list.issuing_distribution_point().is_none()
        });
        match list {
            None => Status::Unknown,
            Some(_) if !issuer.may_sign_lists() => Status::Unknown,
            Some((list, facts)) => match list.find_serial(serial) {
                Ok(Some(_)) => Status::Revoked,
                Ok(None) if now < facts.until || self.expired == ExpiredList::Warn => Status::Good,
                Ok(None) | Err(_) => Status::Stale,
            },
        }
    }

    /// Whether a list counts that is past its date.
    pub(super) fn count_when_expired(&self) -> bool {
        self.expired == ExpiredList::Warn
    }

    /// The lists as they were read.
    pub(super) fn sources(&self) -> impl Iterator<Item = &[u8]> {
        self.facts.iter().map(|facts| facts.der.as_slice())
    }

    /// The dates at which a list ends.
    pub(super) fn ends(&self) -> impl Iterator<Item = UnixTime> + '_ {
        self.facts.iter().map(|facts| facts.until)
    }
}

type Loaded = (CertRevocationList<'static>, Facts);

fn one(
    path: &Path,
    index: usize,
    der: &CertificateRevocationListDer<'_>,
    authorities: &[Certificate<'_>],
) -> Result<Loaded, Error> {
    let number = index + 1;
    let fault = |text: String| Error::file(WHAT, path, text);
    let head = RevocationList::parse(der)
        .map_err(|_| fault(format!("its list number {number} cannot be read")))?;
    let issuer = subject::text(&head.issuer_name);
    if head.version != 2 {
        return Err(fault(format!(
            "the list of {issuer} is of version 1, which is not supported: give `openssl ca -gencrl` a `crlnumber` file in its configuration"
        )));
    }
    let Some(next_update) = head.next_update else {
        return Err(fault(format!(
            "the list of {issuer} does not say when the next one is due, so nobody can tell whether it is fresh"
        )));
    };
    let list = OwnedCertRevocationList::from_der(der)
        .map_err(|error| fault(format!("the list of {issuer} cannot be used: {error}")))?;
    let mut named = authorities
        .iter()
        .filter(|authority| authority.subject == head.issuer)
        .peekable();
    let known = named.peek().is_some();
    let signed = named.any(|authority| signed_by(&head.signed, authority.key).is_ok());
    if known && !signed {
        return Err(fault(format!(
            "the list of {issuer} is not signed by the CA of that name in the client CA file: make it anew with that CA's key"
        )));
    }
    let facts = Facts {
        der: der.to_vec(),
        issuer,
        made: unix(head.this_update),
        until: unix(next_update),
        dates: (date(head.this_update), date(next_update)),
        known,
        signed,
    };
    Ok((list.into(), facts))
}

impl Facts {
    /// What the operator has to know of a list that is good for something.
    fn doubt(&self, expired: ExpiredList, now: UnixTime) -> Option<String> {
        let Self { issuer, until, .. } = self;
        let (made_on, ends_on) = &self.dates;
        if !self.known {
            return Some(format!(
                "the list of {issuer} comes from none of the CAs in the client CA file, and revokes nothing"
            ));
        }
        let left = until.as_secs().saturating_sub(now.as_secs());
        Some(match expired {
            ExpiredList::Refuse if left == 0 => format!(
                "the list of {issuer} ended on {ends_on}: all client certificates of that CA are refused until there is a new one"
            ),
            ExpiredList::Warn if left == 0 => format!(
                "the list of {issuer} ended on {ends_on}: what it names is refused, and what was revoked since is let in (client_crl_expired = \"warn\"); make a new one"
            ),
            ExpiredList::Refuse if left < SOON.as_secs() => format!(
                "the list of {issuer} ends on {ends_on}: from then on all client certificates of that CA are refused; make a new one"
            ),
            ExpiredList::Warn if left < SOON.as_secs() => format!(
                "the list of {issuer} ends on {ends_on}: what is revoked after that is let in (client_crl_expired = \"warn\"); make a new one"
            ),
            _ if self.made > now => format!(
                "the list of {issuer} was made in the future, on {made_on} (is the clock right?)"
            ),
            _ => return None,
        })
    }
}

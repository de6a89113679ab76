//! A new desk: with a CA of its own, or with one that exists.

use std::path::Path;

use super::authority::{self, Authority};
use super::certificate::Use;
use super::date;
use super::der;
use super::desk::{ATTRIBUTES, Desk, INDEX, LIST, LIST_NUMBER, SEVERAL};
use super::error::Error;
use super::folder::{CA_STEM, Locked, PRIVATE, PUBLIC};
use super::key::Key;
use super::name::LONGEST;
use super::place::Place;

/// How long a CA is good for, in days, where nobody says so: machines are told to trust it once.
const DAYS: u32 = 3650;

/// Files that show that there is, or was, a desk.
const MARKS: [&str; 4] = ["ca.crt", "ca.key", INDEX, LIST];
/// A CA that exists may have its index and its list already.
const OWN_MARKS: [&str; 2] = ["ca.crt", "ca.key"];

/// Makes a CA for this key, and an empty list. The common name is one that no other desk has, where none is given.
///
/// # Errors
/// There is a desk already, or it cannot be written.
pub(crate) fn make(
    dir: &Path,
    name: Option<&str>,
    days: Option<u32>,
    list_days: Option<u32>,
    key: &Key,
) -> Result<Desk, Error> {
    let name = match name {
        Some(name) => usable(name)?.to_owned(),
        None => fresh()?,
    };
    let der = authority::make(&name, key, days.unwrap_or(DAYS), date::now())?;
    let pem = der::pem("CERTIFICATE", &der);
    found(dir, (&key.pem(), &pem), &MARKS, list_days)
}

/// Takes over a CA that exists: copies of its two files.
///
/// # Errors
/// They are not a CA's, or do not belong together, or there is a desk already.
pub(crate) fn adopt(
    dir: &Path,
    certificate: &Path,
    key: &Path,
    list_days: Option<u32>,
) -> Result<Desk, Error> {
    let ca = Authority::load(certificate)?;
    ca.in_time(date::now())?;
    // one that may do neither would be found out at the first certificate
    ca.may_issue(Use::Client)
        .or_else(|fault| ca.may_issue(Use::Server).map_err(|_| fault))?;
    let (key, _) = authority::key(key, &ca)?;
    found(dir, (&key.pem(), &ca.pem()), &OWN_MARKS, list_days)
}

fn found(
    dir: &Path,
    (key, certificate): (&str, &str),
    marks: &[&str],
    list_days: Option<u32>,
) -> Result<Desk, Error> {
    let place = Place {
        dir: dir.to_owned(),
        ca: None,
    };
    let folder = place.folder();
    folder.make()?;
    let locked = folder.lock()?;
    finish(&locked)?;
    for mark in marks {
        let path = folder.path(mark);
        if path.symlink_metadata().is_ok() {
            return Err(Error::file(
                path,
                "is there already, and nothing was changed: `dockgate cert list` shows what there is; --dir names another folder for another CA",
            ));
        }
    }
    let mut change = locked.change()?;
    change.write("ca.key", key.as_bytes(), PRIVATE)?;
    change.write("ca.crt", certificate.as_bytes(), PUBLIC)?;
    for (name, bytes) in [(ATTRIBUTES, SEVERAL), (INDEX, ""), (LIST_NUMBER, "01\n")] {
        if !folder.path(name).exists() {
            change.write(name, bytes.as_bytes(), PUBLIC)?;
        }
    }
    change.commit()?;
    drop(locked);
    let desk = Desk::open(&place, list_days)?;
    desk.commit(None)?;
    Ok(desk)
}

/// A run that was ended between the CA's key and its certificate left the certificate waiting.
fn finish(locked: &Locked) -> Result<(), Error> {
    let folder = locked.folder();
    let half = folder.key(CA_STEM).exists() && !folder.certificate(CA_STEM).exists();
    if half && locked.staged(CA_STEM).exists() {
        locked.finish(CA_STEM)?;
    }
    Ok(())
}

fn usable(name: &str) -> Result<&str, Error> {
    let good = !name.trim().is_empty()
        && name.chars().count() <= LONGEST
        && !name.chars().any(char::is_control);
    if good {
        return Ok(name);
    }
    Err(Error::Asked(format!(
        "the name \"{}\" cannot be used for a CA: it takes 1 to {LONGEST} characters, and no control characters",
        name.chars().take(80).collect::<String>().escape_debug()
    )))
}

/// Two CAs of one name confuse every client that knows both.
fn fresh() -> Result<String, Error> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(Error::Random)?;
    let number = u32::from_be_bytes(random);
    Ok(format!("dockgate certificate desk {number:08x}"))
}

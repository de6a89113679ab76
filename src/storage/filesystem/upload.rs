//! Uploads that nobody has in hand: begun, asked about, taken up.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, FlockOperation, OFlags};
use rustix::io::{Errno, Result as Step};

use super::super::{Error, UploadKey};
use super::disk::Disk;
use super::place::{FILE, FOLDER, Facts, Place, facts, facts_at, split};
use super::saved::{MOST, Saved};
use super::session::Session;
use super::staging::write_all;
use super::stream::read_whole;

/// When the upload was begun: 20 bytes of RFC 3339, which registry:2 goes by when it purges.
const STARTED_AT: &str = "startedat";

/// The bytes that came so far.
pub(super) const DATA: &str = "data";

/// What is saved with them; our own, which registry:2 passes over.
pub(super) const STATE: &str = "dockgate-state";

/// How long the lock of an upload is waited for: a session that was dropped keeps it until the disk has done the piece
/// of work that it was given last, and a client that was cut off comes back at once.
const PATIENCE: Duration = Duration::from_millis(300);

/// How long between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// Makes the folder of an upload without bytes.
pub(super) fn begin(place: &Place, path: &str, state: Bytes) -> Step<()> {
    let (above, name) = split(path);
    let above = place.make(above)?;
    rustix::fs::mkdirat(&above, name, FOLDER)?;
    fill(place, path, state)
        .and_then(|()| rustix::fs::fsync(&above))
        .inspect_err(|_| unmake(&above, name))
}

/// Removes what [`begin`] made. Opens nothing: that there is no descriptor left may be why.
fn unmake(above: &OwnedFd, name: &str) {
    for file in [STARTED_AT, DATA, STATE] {
        let _ = rustix::fs::unlinkat(above, format!("{name}/{file}"), AtFlags::empty());
    }
    let _ = rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR);
}

/// Nobody knows of the folder yet, so the files need no other name first.
fn fill(place: &Place, path: &str, state: Bytes) -> Step<()> {
    let folder = place.folder(path)?.ok_or(Errno::NOENT)?;
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let saved = Saved { offset: 0, state };
    create(&folder, STARTED_AT, now.to_string().as_bytes())?;
    create(&folder, DATA, &[])?;
    create(&folder, STATE, &saved.encode())?;
    rustix::fs::fsync(&folder)
}

fn create(folder: &OwnedFd, name: &str, bytes: &[u8]) -> Step<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, FILE)?;
    write_all(&file, bytes)?;
    rustix::fs::fdatasync(&file)
}

/// The last change of anything in the folder of an upload.
pub(super) fn touched(place: &Place, path: &str) -> Step<Option<SystemTime>> {
    let Some(folder) = place.folder(path)? else {
        return Ok(None);
    };
    let mut last = None;
    for name in [DATA, STATE, STARTED_AT] {
        let facts = facts_at(&folder, name)?;
        last = last.max(facts.map(|facts| facts.modified));
    }
    // What a crash left in the middle of its beginning has a time too.
    let empty = || facts(&folder).map(|facts| facts.modified);
    last.map_or_else(empty, Ok).map(Some)
}

/// What is known of an upload.
pub(super) enum Found {
    /// There is none that could be resumed.
    Nothing,
    /// What is saved does not fit.
    Damaged,
    /// What is saved.
    Here(Saved),
}

/// What is saved of an upload.
pub(super) fn find(place: &Place, path: &str) -> Step<Found> {
    let Some((file, facts)) = place.file(&format!("{path}/{STATE}"), OFlags::RDONLY)? else {
        return Ok(Found::Nothing);
    };
    let bytes = read_whole(&file, facts.length, MOST)?;
    let saved = bytes.as_ref().and_then(Saved::decode);
    let Some((_, data)) = place.file(&format!("{path}/{DATA}"), OFlags::RDONLY)? else {
        // It is a blob by now, or is being removed.
        return Ok(Found::Nothing);
    };
    let whole = saved.filter(|saved| saved.offset <= data.length);
    Ok(whole.map_or(Found::Damaged, Found::Here))
}

/// What came of taking up an upload.
enum Taken {
    Missing,
    Busy,
    Damaged,
    Here(OwnedFd, OwnedFd, Saved),
}

/// Takes an upload up.
pub(super) async fn resume(disk: &Disk, upload: &UploadKey) -> Result<Option<Session>, Error> {
    let mut waited = Duration::ZERO;
    loop {
        let path = upload.folder().as_str().to_owned();
        let take = move |place: &Place| take(place, &path);
        match disk.run(upload.folder(), "read", take).await? {
            Taken::Missing => return Ok(None),
            Taken::Damaged => return Err(damaged(upload)),
            Taken::Busy if waited >= PATIENCE => return Err(Error::Busy(upload.folder().clone())),
            Taken::Busy => {
                tokio::time::sleep(PAUSE).await;
                waited += PAUSE;
            }
            Taken::Here(folder, data, saved) => {
                let (disk, upload) = (disk.clone(), upload.clone());
                return Ok(Some(Session::new(disk, upload, folder, data, saved)));
            }
        }
    }
}

/// The error for an upload whose saved state does not fit.
pub(super) fn damaged(upload: &UploadKey) -> Error {
    Error::Corrupt {
        key: upload.folder().clone(),
        what: "its saved state is not what was saved, or its data is shorter; cancel it",
    }
}

fn take(place: &Place, path: &str) -> Step<Taken> {
    let Some(folder) = place.folder(path)? else {
        return Ok(Taken::Missing);
    };
    let Some((data, before)) = place.file(&format!("{path}/{DATA}"), OFlags::RDWR)? else {
        return Ok(Taken::Missing);
    };
    match rustix::fs::flock(&data, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Ok(Taken::Busy),
        other => other?,
    }
    // Whoever had it a moment ago may have made a blob of it, or removed it.
    let is_still =
        |facts: Facts| facts.kind == FileType::RegularFile && facts.inode == before.inode;
    if !facts_at(&folder, DATA)?.is_some_and(is_still) {
        return Ok(Taken::Missing);
    }
    match find(place, path)? {
        Found::Nothing => Ok(Taken::Missing),
        Found::Damaged => Ok(Taken::Damaged),
        Found::Here(saved) => {
            rustix::fs::ftruncate(&data, saved.offset)?;
            Ok(Taken::Here(folder, data, saved))
        }
    }
}

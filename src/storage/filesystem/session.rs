//! An upload in one pair of hands.

use std::io::IoSlice;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fd::OwnedFd;
use rustix::fs::AtFlags;
use rustix::io::{Errno, Result as Step, retry_on_intr};
use tokio::task::JoinHandle;

use super::super::{ByteStream, Error, Key, UploadKey};
use super::disk::{Disk, ended, failed};
use super::place::{Place, facts, facts_at, split};
use super::saved::Saved;
use super::stream::Opened;
use super::upload::{DATA, STATE};
use super::{staging, stream};

/// Bytes that are gathered before they are given to the disk. While they are written the next ones are gathered, so
/// that a session holds twice as many, and the caller's last piece.
const BATCH: usize = 1024 * 1024;

/// The most pieces of a batch, however small they are.
const PIECES: usize = 256;

/// Bytes after which those before them are brought to stable storage while more come in: the end of an upload never
/// waits for more than two times as many.
const BEHIND: u64 = 64 * 1024 * 1024;

/// How often a rename is tried again whose target somebody else removes at the same time.
const ATTEMPTS: u32 = 16;

/// An upload in hand. The lock on its data ends with the last descriptor of it.
#[derive(Debug)]
pub(crate) struct Session {
    disk: Disk,
    upload: UploadKey,
    folder: Arc<OwnedFd>,
    data: Arc<OwnedFd>,
    state: Bytes,
    /// Bytes that the last save vouches for.
    saved: u64,
    /// Bytes that were handed to the disk.
    sent: u64,
    /// Bytes when the last sync behind the writer began.
    behind: u64,
    batch: Vec<Bytes>,
    batched: usize,
    writing: Option<JoinHandle<Step<()>>>,
    syncing: Option<JoinHandle<Step<()>>>,
    broken: bool,
}

impl Session {
    pub(super) fn new(
        disk: Disk,
        upload: UploadKey,
        folder: OwnedFd,
        data: OwnedFd,
        saved: Saved,
    ) -> Self {
        Self {
            disk,
            upload,
            folder: Arc::new(folder),
            data: Arc::new(data),
            state: saved.state,
            saved: saved.offset,
            sent: saved.offset,
            behind: saved.offset,
            batch: Vec::new(),
            batched: 0,
            writing: None,
            syncing: None,
            broken: false,
        }
    }

    pub(in super::super) fn offset(&self) -> u64 {
        self.sent + self.batched as u64
    }

    pub(in super::super) fn state(&self) -> &Bytes {
        &self.state
    }

    pub(in super::super) async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.batched += bytes.len();
        self.batch.push(bytes);
        if self.batched >= BATCH || self.batch.len() >= PIECES {
            self.send().await?;
        }
        Ok(())
    }

    pub(in super::super) async fn hand_on(&mut self) -> Result<(), Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.send().await
    }

    pub(in super::super) async fn save(&mut self, state: Bytes) -> Result<(), Error> {
        self.sync().await?;
        let (folder, path) = (Arc::clone(&self.folder), self.path());
        let saved = Saved {
            offset: self.sent,
            state: state.clone(),
        };
        let save = move |place: &Place| {
            staging::write_in(place, &folder, STATE, &saved.encode())?;
            is_still(place, &path, &folder)
        };
        let done = self.disk.run(&self.upload.data(), "written", save).await;
        self.broken |= done.is_err();
        done?;
        self.saved = self.sent;
        self.state = state;
        Ok(())
    }

    pub(in super::super) async fn read_back(&mut self) -> Result<ByteStream, Error> {
        self.drain().await?;
        stream::read_on(&self.data);
        let (disk, data) = (self.disk.clone(), Arc::clone(&self.data));
        // Its bytes were written a moment ago, but its folder may be anywhere below the root.
        let opened = Opened {
            file: data,
            in_memory: false,
        };
        Ok(stream::stream(
            disk,
            self.upload.data(),
            opened,
            0..self.sent,
        ))
    }

    pub(in super::super) async fn commit(mut self, blob: &Key) -> Result<(), Error> {
        self.sync().await?;
        let folder = Arc::clone(&self.folder);
        let (path, blob_path) = (self.path(), blob.as_str().to_owned());
        let put = move |place: &Place| {
            put(place, &folder, &blob_path)?;
            // The blob stands; what is left of the upload expires, should it not go now.
            let _ = staging::remove_folder(place, &path);
            Ok(())
        };
        self.disk.run(blob, "written", put).await
    }

    pub(in super::super) async fn discard(self) -> Result<(), Error> {
        let path = self.path();
        let remove = move |place: &Place| staging::remove_folder(place, &path);
        let key = self.upload.folder();
        self.disk.run(key, "removed", remove).await
    }

    fn path(&self) -> String {
        self.upload.folder().as_str().to_owned()
    }

    /// Hands the batch to the disk, once the one before it is written.
    async fn send(&mut self) -> Result<(), Error> {
        self.written().await?;
        if self.sent - self.behind >= BEHIND {
            self.synced().await?;
            let turn = self.disk.turn().await;
            self.syncing = Some(self.disk.start(turn, self.syncer()));
            self.behind = self.sent;
        }
        // From here on nothing waits: whoever gives up waiting must not take a batch with him.
        let turn = self.disk.turn().await;
        let (at, saved, data) = (self.sent, self.saved, Arc::clone(&self.data));
        let batch = mem::take(&mut self.batch);
        self.sent += mem::take(&mut self.batched) as u64;
        let write = move |_: &Place| {
            write_at(&data, &batch, at).inspect_err(|_| {
                // A disk that is full now must not stay full of what nobody will ask for.
                let _ = rustix::fs::ftruncate(&data, saved);
            })
        };
        self.writing = Some(self.disk.start(turn, write));
        Ok(())
    }

    /// Waits until all that was written is in the file.
    async fn drain(&mut self) -> Result<(), Error> {
        if !self.batch.is_empty() {
            self.send().await?;
        }
        self.written().await
    }

    /// Waits until all that was written is on stable storage.
    async fn sync(&mut self) -> Result<(), Error> {
        self.drain().await?;
        self.synced().await?;
        if self.sent > self.saved {
            let turn = self.disk.turn().await;
            self.syncing = Some(self.disk.start(turn, self.syncer()));
            self.synced().await?;
        }
        Ok(())
    }

    /// The job that brings the file to stable storage. If it fails nobody knows which bytes are there, and asking
    /// again would be told a lie: the upload is given up.
    fn syncer(&self) -> impl FnOnce(&Place) -> Step<()> + Send + 'static {
        let (data, folder) = (Arc::clone(&self.data), Arc::clone(&self.folder));
        move |_| {
            rustix::fs::fdatasync(&data).inspect_err(|_| {
                let _ = rustix::fs::unlinkat(&folder, STATE, AtFlags::empty());
                let _ = rustix::fs::ftruncate(&data, 0);
            })
        }
    }

    /// Waits for the batch that is being written.
    async fn written(&mut self) -> Result<(), Error> {
        self.usable()?;
        if let Some(job) = &mut self.writing {
            let done = ended(job.await);
            self.writing = None;
            self.note(done)?;
        }
        Ok(())
    }

    /// Waits for the sync that runs behind the writer.
    async fn synced(&mut self) -> Result<(), Error> {
        if let Some(job) = &mut self.syncing {
            let done = ended(job.await);
            self.syncing = None;
            self.note(done)?;
        }
        Ok(())
    }

    fn note(&mut self, done: Step<()>) -> Result<(), Error> {
        self.broken |= done.is_err();
        done.map_err(|source| failed(&self.upload.data(), "written", source))
    }

    fn usable(&self) -> Result<(), Error> {
        if self.broken {
            return Err(failed(&self.upload.data(), "written", Errno::CANCELED));
        }
        Ok(())
    }
}

/// Writes a batch at its place in the file.
fn write_at(file: &OwnedFd, batch: &[Bytes], mut at: u64) -> Step<()> {
    let mut slices: Vec<_> = batch.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut slices = slices.as_mut_slice();
    while !slices.is_empty() {
        let taken = retry_on_intr(|| rustix::io::pwritev(file, slices, at))?;
        if taken == 0 {
            return Err(Errno::IO);
        }
        at += taken as u64;
        IoSlice::advance_slices(&mut slices, taken);
    }
    Ok(())
}

/// Gives the synced data of an upload its name as a blob, on stable storage. It takes the place of one that is there:
/// the digest of these bytes was checked a moment ago, and that of the others when they were pushed, before whatever
/// befell the disk.
fn put(place: &Place, folder: &OwnedFd, blob: &str) -> Step<()> {
    let (above, name) = split(blob);
    for _ in 0..ATTEMPTS {
        let target = place.make(above)?;
        match rustix::fs::renameat(folder, DATA, &target, name) {
            Err(Errno::NOENT) if facts_at(folder, DATA)?.is_some() => {}
            Err(error) => return Err(error),
            Ok(()) => return rustix::fs::fsync(&target),
        }
    }
    Err(Errno::NOENT)
}

/// An error if the upload was removed while it was written.
fn is_still(place: &Place, path: &str, folder: &OwnedFd) -> Step<()> {
    let there = place.folder(path)?.ok_or(Errno::NOENT)?;
    if facts(&there)?.inode != facts(folder)?.inode {
        return Err(Errno::NOENT);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_pieces_than_one_call_takes_are_written_in_order() {
        let ground = tempfile::TempDir::new().unwrap();
        let path = ground.path().join("file");
        let file = OwnedFd::from(std::fs::File::create(&path).unwrap());
        let pieces: Vec<_> = (0..3000).map(|n| Bytes::from(format!("{n} "))).collect();
        write_at(&file, &pieces, 2).unwrap();
        let wanted = [&b"\0\0"[..], &pieces.concat()].concat();
        assert!(std::fs::read(path).unwrap() == wanted);
    }
}

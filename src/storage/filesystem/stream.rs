//! Files read as they are taken.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::fs::Advice;
use rustix::io::{Result as Step, retry_on_intr};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::{ByteStream, Error, Key};
use super::disk::{Disk, Turn, ended, failed};

/// Bytes of the first buffer, and the fewest of any as long as there is memory for all.
const SMALL: usize = 64 * 1024;

/// The most bytes of a buffer. A stream has two at most: the one that was taken last and the next one.
pub(super) const LARGE: usize = 1024 * 1024;

/// Whoever comes back for more sooner than this gets larger buffers.
const FAST: Duration = Duration::from_millis(4);

/// Whoever takes longer than this gets smaller ones: memory that waits for a slow reader serves nobody.
const SLOW: Duration = Duration::from_millis(16);

/// The bytes `range` of a file. While one buffer is taken, the next one is read.
pub(super) fn stream(disk: Disk, key: Key, file: Arc<OwnedFd>, range: Range<u64>) -> ByteStream {
    let reading = Reading {
        disk,
        key,
        file,
        left: range,
        size: SMALL,
        ahead: None,
        gave: None,
    };
    futures_util::stream::unfold(Some(reading), |reading| async {
        let mut reading = reading?;
        match reading.next().await? {
            Ok(bytes) => Some((Ok(bytes), Some(reading))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

struct Reading {
    disk: Disk,
    key: Key,
    file: Arc<OwnedFd>,
    /// What no job was given yet.
    left: Range<u64>,
    /// Bytes of the next buffer.
    size: usize,
    /// The next buffer.
    ahead: Option<Ahead>,
    /// When the last buffer was given away.
    gave: Option<Instant>,
}

/// A buffer that is being read.
struct Ahead {
    wanted: usize,
    job: JoinHandle<Step<Bytes>>,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        self.adapt();
        let Ahead { wanted, job } = match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.begin().await?,
        };
        let bytes = match ended(job.await) {
            Ok(bytes) if bytes.len() == wanted => bytes,
            Ok(_) => {
                let (key, what) = (self.key.clone(), "it is shorter than it was");
                return Some(Err(Error::Corrupt { key, what }));
            }
            Err(error) => return Some(Err(failed(&self.key, "read", error))),
        };
        // Whoever has not come back yet may never do so.
        let comes_back = self.gave.is_some() && !self.disk.spare.is_used_up();
        self.ahead = comes_back.then(|| self.begin_if_idle()).flatten();
        self.gave = Some(Instant::now());
        Some(Ok(bytes))
    }

    async fn begin(&mut self) -> Option<Ahead> {
        let turn = self.disk.turn().await;
        self.begin_in(turn)
    }

    fn begin_if_idle(&mut self) -> Option<Ahead> {
        let turn = self.disk.turn_now()?;
        self.begin_in(turn)
    }

    fn begin_in(&mut self, turn: Turn) -> Option<Ahead> {
        let (file, at, wanted) = self.piece()?;
        let spare = self.disk.spare.clone();
        let job = self.disk.start(turn, move |_| {
            spare.lend(wanted, |buffer| read(&file, at, buffer, wanted))
        });
        self.left.start += wanted as u64;
        Some(Ahead { wanted, job })
    }

    /// The file, where the next buffer begins in it, and its length; `None` at the end.
    fn piece(&self) -> Option<(Arc<OwnedFd>, u64, usize)> {
        let left = self.left.end.saturating_sub(self.left.start);
        let most = self.disk.spare.allowed(self.size);
        let wanted = usize::try_from(left).map_or(most, |left| left.min(most));
        (wanted > 0).then(|| (Arc::clone(&self.file), self.left.start, wanted))
    }

    /// Fits the next buffer to the pace of the reader.
    fn adapt(&mut self) {
        let Some(gave) = self.gave else { return };
        let took = gave.elapsed();
        if took < FAST {
            self.size = (self.size * 2).min(LARGE);
        } else if took > SLOW {
            self.size = (self.size / 2).max(SMALL);
        }
    }
}

/// Reads `wanted` bytes into an empty buffer, or fewer where the file ends before.
fn read(file: &OwnedFd, at: u64, mut bytes: Vec<u8>, wanted: usize) -> Step<Vec<u8>> {
    while bytes.len() < wanted {
        let at = at + bytes.len() as u64;
        // The buffer may have become larger than was asked for, so what is read is cut off at the end.
        if retry_on_intr(|| rustix::io::pread(file, spare_capacity(&mut bytes), at))? == 0 {
            break;
        }
    }
    bytes.truncate(wanted);
    Ok(bytes)
}

/// Reads a whole file of at most `most` bytes; `None`: it has more.
pub(super) fn read_whole(file: &OwnedFd, length: u64, most: u64) -> Step<Option<Bytes>> {
    let Some(wanted) = usize::try_from(length).ok().filter(|_| length <= most) else {
        return Ok(None);
    };
    // One byte more than it had a moment ago: if that comes, somebody is writing to it.
    let bytes = read(file, 0, Vec::with_capacity(wanted + 1), wanted + 1)?;
    Ok((bytes.len() as u64 <= most).then(|| bytes.into()))
}

/// Tells the system that a file will be read from one end to the other.
pub(super) fn read_on(file: &OwnedFd) {
    // Advice only: what it says is no error.
    let _ = rustix::fs::fadvise(file, 0, None, Advice::Sequential);
}

#[cfg(test)]
mod tests {
    use super::super::FileSystem;
    use super::*;

    /// The lengths of the buffers that somebody gets who takes `pause` for each.
    async fn buffers(pause: Duration, length: usize) -> Vec<usize> {
        let ground = tempfile::TempDir::new().unwrap();
        let store = FileSystem::open(ground.path()).unwrap();
        let key = Key::root().below("file");
        store.write(&key, vec![1; length].into()).await.unwrap();
        let mut stream = store.stream(&key, 0..length as u64).await.unwrap().unwrap();
        let mut lengths = Vec::new();
        while let Some(bytes) = stream.next().await {
            lengths.push(bytes.unwrap().len());
            tokio::time::advance(pause).await;
        }
        lengths
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_reader_gets_large_buffers() {
        let lengths = buffers(Duration::ZERO, 6 << 20).await;
        assert_eq!(lengths.iter().sum::<usize>(), 6 << 20);
        assert_eq!(lengths[0], SMALL);
        assert_eq!(lengths[7], LARGE);
        assert!(lengths.iter().all(|length| *length <= LARGE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_keeps_small_buffers() {
        let lengths = buffers(SLOW * 2, 1 << 20).await;
        assert_eq!(lengths, [SMALL; 16]);
    }
}

//! Files read as they are taken: what the system has in memory at once, the rest by threads that may wait, and ahead.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use rustix::fd::OwnedFd;
use rustix::fs::Advice;
use rustix::io::{Result as Step, retry_on_intr};
use tokio::task::JoinHandle;

use crate::pace;
use crate::pace::Pace;

use super::super::{ByteStream, Error, Key};
use super::disk::{Disk, Turn, ended, failed};
use super::spare::Buffer;

/// The most bytes of a buffer. A stream has two at most: the one that was taken last and the next one.
pub(super) const LARGE: usize = pace::MOST;

/// A file to read from.
pub(super) struct Opened {
    pub(super) file: Arc<OwnedFd>,
    /// It was found without waiting, so its bytes may be had without waiting as well.
    pub(super) in_memory: bool,
}

/// The bytes `range` of a file. Where they have to be waited for, the next buffer is read while one is taken.
pub(super) fn stream(disk: Disk, key: Key, opened: Opened, range: Range<u64>) -> ByteStream {
    let reading = Reading {
        disk,
        key,
        file: opened.file,
        in_memory: opened.in_memory,
        left: range,
        pace: Pace::default(),
        size: pace::LEAST,
        ahead: None,
        has_taken: false,
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
    /// All of it was in memory so far.
    in_memory: bool,
    /// What was not begun yet.
    left: Range<u64>,
    pace: Pace,
    /// Bytes of the next buffer.
    size: usize,
    /// The next buffer.
    ahead: Option<Ahead>,
    /// A buffer was given away.
    has_taken: bool,
}

/// A buffer that is being filled.
struct Piece {
    at: u64,
    buffer: Buffer,
    wanted: usize,
    filled: usize,
}

/// One that a thread fills.
struct Ahead {
    wanted: usize,
    job: JoinHandle<Step<Piece>>,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        let piece = match self.ahead.take() {
            Some(ahead) => self.finish(ahead).await,
            None => self.read().await?,
        };
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return Some(Err(error)),
        };
        self.size = self.pace.hand_over(piece.wanted);
        // Whoever has not come back yet may never do so.
        let comes_back = std::mem::replace(&mut self.has_taken, true);
        if comes_back && !self.in_memory && !self.disk.spare.is_used_up() {
            self.ahead = self.begin_if_idle();
        }
        Some(Ok(piece.buffer.lend(piece.wanted)))
    }

    /// The next buffer, filled; `None` at the end.
    async fn read(&mut self) -> Option<Result<Piece, Error>> {
        let mut piece = self.piece()?;
        if self.in_memory {
            let space = piece
                .buffer
                .space()
                .get_mut(..piece.wanted)
                .unwrap_or_default();
            let place = self.disk.place();
            piece.filled = place.fill_from_memory(&self.file, piece.at, space);
            if piece.filled == piece.wanted {
                return Some(Ok(piece));
            }
            self.in_memory = false;
        }
        let turn = self.disk.turn().await;
        let ahead = self.begin(turn, piece);
        Some(self.finish(ahead).await)
    }

    fn begin_if_idle(&mut self) -> Option<Ahead> {
        let turn = self.disk.turn_now()?;
        let piece = self.piece()?;
        Some(self.begin(turn, piece))
    }

    fn begin(&self, turn: Turn, mut piece: Piece) -> Ahead {
        let (file, wanted) = (Arc::clone(&self.file), piece.wanted);
        let job = self.disk.start(turn, move |_| {
            let space = piece.buffer.space().get_mut(..wanted).unwrap_or_default();
            let rest = space.get_mut(piece.filled..).unwrap_or_default();
            piece.filled += fill(&file, piece.at + piece.filled as u64, rest)?;
            Ok(piece)
        });
        Ahead { wanted, job }
    }

    async fn finish(&self, Ahead { wanted, job }: Ahead) -> Result<Piece, Error> {
        let key = self.key.clone();
        match ended(job.await) {
            Ok(piece) if piece.filled == wanted => Ok(piece),
            Ok(_) => {
                let what = "it is shorter than it was";
                Err(Error::Corrupt { key, what })
            }
            Err(error) => Err(failed(&key, "read", error)),
        }
    }

    /// The next buffer, with nothing in it yet; `None` at the end.
    fn piece(&mut self) -> Option<Piece> {
        let left = self.left.end.saturating_sub(self.left.start);
        let most = self.disk.spare.allowed(self.size);
        let wanted = usize::try_from(left).map_or(most, |left| left.min(most));
        if wanted == 0 {
            return None;
        }
        let at = self.left.start;
        self.left.start += wanted as u64;
        Some(Piece {
            at,
            buffer: self.disk.spare.take(wanted),
            wanted,
            filled: 0,
        })
    }
}

/// Reads into `bytes` until they are full or the file ends; how many that were.
fn fill(file: &OwnedFd, at: u64, bytes: &mut [u8]) -> Step<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let read = retry_on_intr(|| rustix::io::pread(file, &mut *rest, at + filled as u64))?;
        if read == 0 {
            break;
        }
        filled += read;
    }
    Ok(filled)
}

/// Reads a whole file of at most `most` bytes; `None`: it has more.
pub(super) fn read_whole(file: &OwnedFd, length: u64, most: u64) -> Step<Option<Bytes>> {
    let Some(wanted) = usize::try_from(length).ok().filter(|_| length <= most) else {
        return Ok(None);
    };
    // One byte more than it had a moment ago: if that comes, somebody is writing to it.
    let mut bytes = vec![0; wanted + 1];
    let filled = fill(file, 0, &mut bytes)?;
    bytes.truncate(filled);
    Ok((filled as u64 <= most).then(|| bytes.into()))
}

/// Tells the system that a file will be read from one end to the other.
pub(super) fn read_on(file: &OwnedFd) {
    // Advice only: what it says is no error.
    let _ = rustix::fs::fadvise(file, 0, None, Advice::Sequential);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
    async fn a_fast_reader_gets_large_buffers_in_the_end() {
        let length = 80 << 20;
        let lengths = buffers(Duration::ZERO, length).await;
        assert_eq!(lengths.iter().sum::<usize>(), length);
        assert_eq!(lengths[0], pace::LEAST);
        assert_eq!(lengths[lengths.len() - 3], LARGE);
        assert!(lengths.iter().all(|length| *length <= LARGE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_keeps_small_buffers() {
        let lengths = buffers(Duration::from_millis(4), 1 << 20).await;
        assert_eq!(lengths, [pace::LEAST; 64]);
    }

    #[tokio::test]
    async fn what_is_in_memory_and_what_is_not_read_the_same() {
        let ground = tempfile::TempDir::new_in("/dev/shm").unwrap();
        let store = FileSystem::open(ground.path()).unwrap();
        let key = Key::root().below("file");
        let bytes: Vec<u8> = (0..3_000_001_u32)
            .map(|n| u8::try_from(n % 251).unwrap())
            .collect();
        store.write(&key, bytes.clone().into()).await.unwrap();
        for in_memory in [true, false] {
            let (file, _) = store.disk.place().file_in_memory(key.as_str()).unwrap();
            let file = Arc::new(file);
            let opened = Opened { file, in_memory };
            let range = 7..bytes.len() as u64 - 9;
            let mut stream = stream(store.disk.clone(), key.clone(), opened, range);
            let mut got = Vec::new();
            while let Some(piece) = stream.next().await {
                got.extend_from_slice(&piece.unwrap());
            }
            assert!(got == bytes[7..bytes.len() - 9], "in memory: {in_memory}");
        }
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_is_told_and_not_filled_up() {
        let ground = tempfile::TempDir::new_in("/dev/shm").unwrap();
        let store = FileSystem::open(ground.path()).unwrap();
        let key = Key::root().below("file");
        store.write(&key, vec![1; 100_000].into()).await.unwrap();
        let mut stream = store.stream(&key, 0..100_000).await.unwrap().unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        let file = ground.path().join(key.as_str());
        let file = std::fs::File::options().write(true).open(file).unwrap();
        file.set_len(20_000).unwrap();
        let told = stream.next().await.unwrap();
        assert!(matches!(told, Err(Error::Corrupt { .. })), "{told:?}");
        assert!(stream.next().await.is_none());
    }
}

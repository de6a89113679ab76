//! Buffers for readers: all of them together have a budget, and large ones are used again, since a new one costs the system a
//! page for every 4 KiB, which is as much as reading it.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers that are kept while nobody uses them, and how large each is: 8 MiB for the whole store.
const KEPT: usize = 8;

/// What readers may have of the store at once before they get the smallest buffers. Ten fast ones have as much as makes them
/// faster; thousands that take nothing (a connection of HTTP/2 has a hundred of them) hold little more than this.
const BUDGET: usize = 32 * 1024 * 1024;

/// The share of what is left that a single buffer may have.
const SHARE: usize = 8;

/// Bytes of the smallest buffers, and what all lengths are multiples of: a page and the next.
const LEAST: usize = 8 * 1024;

/// Buffers of one size that wait to be used again, and what is lent of any size; clones share them.
#[derive(Clone)]
pub(super) struct Spare(Arc<Shared>);

struct Shared {
    size: usize,
    buffers: Mutex<Vec<Vec<u8>>>,
    /// Bytes that readers have, or that are being read for them.
    lent: AtomicUsize,
}

/// A buffer that comes back when the last reader has let go of it, and until then is part of what is lent.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    home: Spare,
}

impl Spare {
    /// Keeps buffers of exactly this length.
    pub(super) fn new(size: usize) -> Self {
        Self(Arc::new(Shared {
            size,
            buffers: Mutex::default(),
            lent: AtomicUsize::new(0),
        }))
    }

    /// How much of `wanted` a reader may have in one buffer now.
    pub(super) fn allowed(&self, wanted: usize) -> usize {
        let left = BUDGET.saturating_sub(self.0.lent.load(Ordering::Relaxed));
        let share = left / SHARE / LEAST * LEAST;
        wanted.min(share.max(LEAST))
    }

    /// Whether readers have so much that nothing should be read before it is asked for.
    pub(super) fn is_used_up(&self) -> bool {
        self.0.lent.load(Ordering::Relaxed) >= BUDGET
    }

    /// A buffer of this length, to be written over: what it held before may still be in it.
    pub(super) fn take(&self, length: usize) -> Buffer {
        let kept = if length == self.0.size {
            self.pop()
        } else {
            None
        };
        self.0.lent.fetch_add(length, Ordering::Relaxed);
        Buffer {
            bytes: kept.unwrap_or_else(|| vec![0; length]),
            length: 0,
            home: self.clone(),
        }
    }

    fn pop(&self) -> Option<Vec<u8>> {
        self.buffers(Vec::pop)
    }

    /// Nothing in here panics while the lock is held.
    fn buffers<T>(&self, with: impl FnOnce(&mut Vec<Vec<u8>>) -> T) -> T {
        let buffers = self.0.buffers.lock();
        with(&mut buffers.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Buffer {
    /// All of it.
    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The first `length` bytes for readers.
    pub(super) fn lend(mut self, length: usize) -> Bytes {
        self.length = length;
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.home.0.lent.fetch_sub(bytes.len(), Ordering::Relaxed);
        if bytes.len() == self.home.0.size {
            self.home.buffers(|buffers| {
                if buffers.len() < KEPT {
                    buffers.push(bytes);
                }
            });
        }
    }
}

impl fmt::Debug for Spare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spare").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 4096;

    fn filled(spare: &Spare, room: usize, byte: u8) -> Bytes {
        let mut buffer = spare.take(room);
        assert_eq!(buffer.space().len(), room);
        buffer.space().fill(byte);
        buffer.lend(room)
    }

    #[test]
    fn a_buffer_is_used_again_when_its_last_reader_has_let_go() {
        let spare = Spare::new(SIZE);
        let one = filled(&spare, SIZE, 1);
        let place = one.as_ptr();
        let part = one.slice(10..20);
        drop(one);
        let two = filled(&spare, SIZE, 2);
        assert_ne!(two.as_ptr(), place);
        assert_eq!(part, [1; 10][..]);
        drop(part);
        assert_eq!(filled(&spare, SIZE, 3).as_ptr(), place);
        assert_eq!(two, [2; SIZE][..]);
    }

    #[test]
    fn readers_get_what_was_read_and_nothing_of_before() {
        let spare = Spare::new(SIZE);
        drop(filled(&spare, SIZE, 1));
        let mut again = spare.take(SIZE);
        assert_eq!(again.space(), [1; SIZE]);
        again.space()[..3].fill(2);
        assert_eq!(again.lend(3), [2; 3][..]);
        assert!(spare.take(SIZE).lend(0).is_empty());
    }

    #[test]
    fn few_are_kept_and_small_ones_never() {
        let spare = Spare::new(SIZE);
        let all = (0..3 * KEPT).map(|_| filled(&spare, SIZE, 1));
        drop(all.collect::<Vec<_>>());
        drop(filled(&spare, SIZE / 2, 1));
        assert_eq!(spare.0.buffers.lock().unwrap().len(), KEPT);
    }

    #[test]
    fn the_more_is_lent_the_less_one_buffer_may_have_and_all_comes_back() {
        let spare = Spare::new(1 << 20);
        assert_eq!(spare.allowed(1 << 20), 1 << 20);
        let mut held = Vec::new();
        let mut last = usize::MAX;
        for _ in 0..10_000 {
            let room = spare.allowed(1 << 20);
            assert!(room <= last && room >= LEAST);
            last = room;
            held.push(filled(&spare, room, 1));
        }
        assert!(spare.is_used_up());
        let all: usize = held.iter().map(Bytes::len).sum();
        assert!(all < BUDGET + 10_000 * LEAST, "{all}");
        assert_eq!(spare.allowed(100), 100);
        drop(held);
        // One that nothing was read into comes back too.
        drop(spare.take(SIZE));
        assert_eq!(spare.0.lent.load(Ordering::Relaxed), 0);
    }
}

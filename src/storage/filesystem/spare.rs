//! Large buffers that are used again: a new one costs the system a page for every 4 KiB, which is as much as reading it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers that are kept while nobody uses them, and how large each is: 8 MiB for the whole store.
const KEPT: usize = 8;

/// Buffers of one size that wait to be used again; clones share them.
#[derive(Clone)]
pub(super) struct Spare(Arc<Shared>);

struct Shared {
    size: usize,
    buffers: Mutex<Vec<Vec<u8>>>,
}

/// Bytes in a buffer that comes back when the last reader has let go of them.
struct Lent {
    bytes: Vec<u8>,
    home: Spare,
}

impl Spare {
    /// Keeps buffers with room for exactly so many bytes.
    pub(super) fn new(size: usize) -> Self {
        let buffers = Mutex::default();
        Self(Arc::new(Shared { size, buffers }))
    }

    /// An empty buffer with room for this much at least.
    pub(super) fn take(&self, room: usize) -> Vec<u8> {
        let kept = if room == self.0.size {
            self.pop()
        } else {
            None
        };
        kept.unwrap_or_else(|| Vec::with_capacity(room))
    }

    /// The bytes for readers.
    pub(super) fn lend(&self, bytes: Vec<u8>) -> Bytes {
        if bytes.capacity() < self.0.size {
            return bytes.into();
        }
        Bytes::from_owner(Lent {
            bytes,
            home: self.clone(),
        })
    }

    fn pop(&self) -> Option<Vec<u8>> {
        let mut buffers = self
            .0
            .buffers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        buffers.pop()
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut buffers = self
            .home
            .0
            .buffers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < KEPT {
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.clear();
            buffers.push(bytes);
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

    fn filled(spare: &Spare, byte: u8) -> Bytes {
        let mut buffer = spare.take(SIZE);
        assert!(buffer.is_empty());
        buffer.resize(SIZE, byte);
        spare.lend(buffer)
    }

    #[test]
    fn a_buffer_is_used_again_when_its_last_reader_has_let_go() {
        let spare = Spare::new(SIZE);
        let one = filled(&spare, 1);
        let place = one.as_ptr();
        let part = one.slice(10..20);
        drop(one);
        let two = filled(&spare, 2);
        assert_ne!(two.as_ptr(), place);
        assert_eq!(part, [1; 10][..]);
        drop(part);
        assert_eq!(filled(&spare, 3).as_ptr(), place);
        assert_eq!(two, [2; SIZE][..]);
    }

    #[test]
    fn few_are_kept_and_small_ones_never() {
        let spare = Spare::new(SIZE);
        drop((0..3 * KEPT).map(|_| filled(&spare, 1)).collect::<Vec<_>>());
        drop(spare.lend(vec![1; SIZE / 2]));
        assert_eq!(spare.0.buffers.lock().unwrap().len(), KEPT);
    }
}

//! What all uploads together gather in memory, in place of what each of them may: clients that stop in the middle hold little.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Bytes that uploads may gather before they are handed on in small pieces. A dozen fast ones have as much as makes them faster.
const BUDGET: usize = 32 << 20;

/// The room for what is gathered; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Room(Arc<AtomicUsize>);

/// A part of the room, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Part {
    room: Room,
    size: usize,
}

/// Bytes that take their part of the room wherever they go.
struct Housed {
    bytes: Bytes,
    _part: Part,
}

impl Room {
    /// A part without bytes.
    pub(super) fn part(&self) -> Part {
        let (room, size) = (self.clone(), 0);
        Part { room, size }
    }

    /// Whether nothing more should be gathered.
    pub(super) fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= BUDGET
    }
}

impl Part {
    /// Takes so much more.
    pub(super) fn grow(&mut self, size: usize) {
        self.size += size;
        self.room.0.fetch_add(size, Ordering::Relaxed);
    }

    /// Goes with these bytes, to be given back with the last clone of them.
    pub(super) fn house(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Housed { bytes, _part: self })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.size, Ordering::Relaxed);
    }
}

impl AsRef<[u8]> for Housed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gathered_is_counted_until_its_last_reader_is_done() {
        let room = Room::default();
        let mut part = room.part();
        part.grow(BUDGET - 1);
        assert!(!room.is_full());
        part.grow(1);
        assert!(room.is_full());
        let bytes = part.house(Bytes::from_static(b"content"));
        let slice = bytes.slice(..1);
        drop(bytes);
        assert!(room.is_full());
        drop(slice);
        assert!(!room.is_full());
    }
}

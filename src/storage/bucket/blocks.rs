//! Bytes that wait until there are enough of them for a part.

use bytes::{Bytes, BytesMut};

/// Bytes are copied into blocks of this size, so that what is kept is what is counted: a slice that a connection hands
/// out keeps its whole read buffer alive.
const BLOCK: usize = 256 * 1024;

/// A queue of bytes.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    full: Vec<Bytes>,
    last: BytesMut,
    len: usize,
}

impl Blocks {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds bytes at the end, by copying them.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = BLOCK - self.last.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.last.extend_from_slice(now);
            self.len += now.len();
            bytes = later;
            if self.last.len() == BLOCK {
                self.full.push(self.last.split().freeze());
            }
        }
    }

    /// All bytes; the queue is empty afterwards.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        let mut all = std::mem::take(&mut self.full);
        if !self.last.is_empty() {
            all.push(self.last.split().freeze());
        }
        self.len = 0;
        all
    }

    /// All bytes; the queue keeps them.
    pub(super) fn copy(&mut self) -> Vec<Bytes> {
        let all = self.take();
        self.len = all.iter().map(Bytes::len).sum();
        self.full.clone_from(&all);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let mut blocks = Blocks::default();
        let mut wanted = Vec::new();
        for n in 0..1000_usize {
            let bytes = vec![u8::try_from(n % 251).unwrap(); n];
            blocks.push(&bytes);
            wanted.extend_from_slice(&bytes);
            if n == 500 {
                assert_eq!(blocks.copy().concat(), wanted);
            }
        }
        assert_eq!(blocks.len(), wanted.len());
        assert_eq!(blocks.take().concat(), wanted);
        assert!(blocks.is_empty() && blocks.take().is_empty());
    }
}

//! What is saved of an upload beside its bytes: how many are safe, and the caller's own state.

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};

/// What the file begins with; the number counts changes of its form.
const MAGIC: &[u8] = b"dockgate upload 1\n";

/// Bytes of the checksum at its end.
const CHECKSUM: usize = 32;

/// A longer file is none of ours.
pub(super) const MOST: u64 = 1024 * 1024;

/// The state of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    /// Bytes that are safe.
    pub offset: u64,
    /// What the caller wants back with them.
    pub state: Bytes,
}

impl Saved {
    /// The file: the magic, the offset (64 bits, big endian), the state, and the SHA-256 of all that.
    pub(super) fn encode(&self) -> Bytes {
        let mut file = BytesMut::with_capacity(MAGIC.len() + 8 + self.state.len() + CHECKSUM);
        file.put_slice(MAGIC);
        file.put_u64(self.offset);
        file.put_slice(&self.state);
        let checksum = Sha256::digest(&file);
        file.put_slice(&checksum);
        file.freeze()
    }

    /// `None`: this is not what [`Saved::encode`] made.
    pub(super) fn decode(file: &Bytes) -> Option<Self> {
        let body = file.slice(..file.len().checked_sub(CHECKSUM)?);
        if Sha256::digest(&body).as_slice() != file.get(body.len()..)? {
            return None;
        }
        let (offset, state) = body.strip_prefix(MAGIC)?.split_first_chunk()?;
        Some(Self {
            offset: u64::from_be_bytes(*offset),
            state: body.slice_ref(state),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_saved_comes_back(offset: u64, state: Vec<u8>) {
            let saved = Saved { offset, state: state.into() };
            prop_assert_eq!(Saved::decode(&saved.encode()), Some(saved));
        }

        #[test]
        fn any_flipped_bit_and_any_cut_is_noticed(offset: u64, state: Vec<u8>, at: prop::sample::Index, bit in 0_u8..8) {
            let file = Saved { offset, state: state.into() }.encode();
            let at = at.index(file.len());
            prop_assert_eq!(Saved::decode(&file.slice(..at)), None);
            let mut flipped = file.to_vec();
            flipped[at] ^= 1_u8 << bit;
            prop_assert_eq!(Saved::decode(&flipped.into()), None);
        }

        #[test]
        fn no_bytes_make_it_panic(file: Vec<u8>) {
            prop_assert_eq!(Saved::decode(&file.into()), None);
        }
    }
}

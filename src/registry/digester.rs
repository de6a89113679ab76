//! The digest of an upload, computed as its bytes pass, and kept with the upload from one request to the next.

use bytes::Bytes;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

use crate::oci::{Algorithm, Digest};

/// What every saved state begins with: whose it is, and in which form. The form is that of `sha2` 0.11; a later one
/// that is different needs another number.
const MAGIC: &[u8; 8] = b"dockgat\x01";

/// Bytes at the end of a saved state that tell damage.
const CHECK: usize = 8;

/// The most bytes that SHA-256 is defined for: it counts bits in 64 of them (FIPS 180-4 section 1).
const MOST: u64 = u64::MAX / 8;

/// Digests in the making.
#[derive(Clone)]
pub(super) struct Digester {
    length: u64,
    sha256: Sha256,
    sha512: Option<Sha512>,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digests {
    /// The name of the bytes in the store.
    pub sha256: Digest,
    /// Where it was asked for before the first byte.
    pub sha512: Option<Digest>,
}

impl Digester {
    /// Of no bytes yet.
    pub(super) fn new() -> Self {
        Self {
            length: 0,
            sha256: Sha256::new(),
            sha512: None,
        }
    }

    /// Makes a digest of this algorithm, too. Only before the first byte: whether it does.
    pub(super) fn include(&mut self, algorithm: Algorithm) -> bool {
        if algorithm == Algorithm::Sha512 && self.length == 0 {
            self.sha512 = Some(Sha512::new());
        }
        algorithm == Algorithm::Sha256 || self.sha512.is_some()
    }

    /// Takes the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// How many bytes it took.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The digests of all bytes.
    pub(super) fn finish(self) -> Digests {
        let sha512 = self.sha512.map(Sha512::finalize);
        Digests {
            sha256: Digest::of(Algorithm::Sha256, &self.sha256.finalize()),
            sha512: sha512.map(|hash| Digest::of(Algorithm::Sha512, &hash)),
        }
    }

    /// The state as it is kept with the upload.
    pub(super) fn save(&self) -> Bytes {
        let mut state = MAGIC.to_vec();
        state.extend(self.length.to_be_bytes());
        state.extend(self.sha256.serialize());
        if let Some(sha512) = &self.sha512 {
            state.extend(sha512.serialize());
        }
        let check = Sha256::digest(&state);
        state.extend(check.iter().take(CHECK));
        state.into()
    }

    /// Goes on from a saved state; `None` if it is damaged, or not of this program.
    pub(super) fn load(state: &[u8]) -> Option<Self> {
        let (state, check) = state.split_last_chunk::<CHECK>()?;
        if !Sha256::digest(state).starts_with(check) {
            return None;
        }
        let state = state.strip_prefix(MAGIC)?;
        let (length, state) = state.split_first_chunk::<8>()?;
        let length = u64::from_be_bytes(*length);
        let size = SerializedState::<Sha256>::default().len();
        let (sha256, sha512) = state.split_at_checked(size)?;
        let sha512 = if sha512.is_empty() {
            None
        } else {
            let blocks = sha512.get(64..80)?.try_into().ok()?;
            has_taken(u128::from_le_bytes(blocks), 128, length)?;
            Some(hasher::<Sha512>(sha512)?)
        };
        let blocks = sha256.get(32..40)?.try_into().ok()?;
        has_taken(u64::from_le_bytes(blocks).into(), 64, length)?;
        Some(Self {
            length,
            sha256: hasher(sha256)?,
            sha512,
        })
    }
}

/// `Some` if so many blocks of this size are `length` bytes but for those of the last one: `sha2` multiplies its count without a
/// look at where it came from.
fn has_taken(blocks: u128, size: u128, length: u64) -> Option<()> {
    (length <= MOST && blocks == u128::from(length) / size).then_some(())
}

fn hasher<H: SerializableState>(state: &[u8]) -> Option<H> {
    H::deserialize(&SerializedState::<H>::try_from(state).ok()?).ok()
}

impl Digests {
    /// The one that was made by the algorithm of `other`, if it was made.
    pub(super) fn like(&self, other: &Digest) -> Option<&Digest> {
        match other.algorithm() {
            Algorithm::Sha256 => Some(&self.sha256),
            Algorithm::Sha512 => self.sha512.as_ref(),
        }
    }
}

/// Both digests of bytes that are few.
pub(super) fn digests(bytes: &[u8]) -> Digests {
    let mut digester = Digester::new();
    digester.include(Algorithm::Sha512);
    digester.update(bytes);
    digester.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_digest_that_was_put_down_and_taken_up_anywhere_is_the_digest_of_the_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..700),
            cuts in proptest::collection::vec(0_usize..700, 0..4),
            both in any::<bool>(),
        ) {
            let mut digester = Digester::new();
            if both {
                digester.include(Algorithm::Sha512);
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| bytes.len().min(*cut)).collect();
            cuts.sort_unstable();
            let mut at = 0;
            for cut in cuts {
                digester.update(&bytes[at..cut]);
                digester = Digester::load(&digester.save()).unwrap();
                prop_assert_eq!(digester.length(), cut as u64);
                at = cut;
            }
            digester.update(&bytes[at..]);
            let whole = digests(&bytes);
            let made = digester.finish();
            prop_assert_eq!(&made.sha256, &whole.sha256);
            prop_assert_eq!(made.sha512, both.then_some(whole.sha512).flatten());
        }

        #[test]
        fn a_state_that_is_not_ours_to_the_last_byte_is_not_taken_up(
            at in 0_usize..120, by in 1_u8..,
            foreign in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut digester = Digester::new();
            digester.update(b"some bytes");
            let mut state = digester.save().to_vec();
            prop_assert!(Digester::load(&state[..at.min(state.len() - 1)]).is_none());
            if let Some(byte) = state.get_mut(at) {
                *byte ^= by;
                prop_assert!(Digester::load(&state).is_none());
            }
            prop_assert!(Digester::load(&foreign).is_none());
        }
    }

    #[test]
    fn sha512_is_made_only_from_the_first_byte_on() {
        let mut digester = Digester::new();
        digester.update(b"x");
        assert!(!digester.include(Algorithm::Sha512));
        assert!(digester.include(Algorithm::Sha256));
        assert_eq!(digester.finish().sha512, None);
    }
}

//! Good judgements of the recent past, so that a client that connects again and again is not judged from scratch each time.
//!
//! They belong to one [`Trust`](super::authority::Trust): other authorities or lists begin with an empty memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use rustls::pki_types::{CertificateDer, UnixTime};

/// Chains that are remembered, less than 100 bytes each; past that all are forgotten and judged anew.
const MOST: usize = 4096;

/// A chain, by the SHA-256 of every certificate in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Chain([u8; 32]);

impl Chain {
    /// Names a chain. Lengths go in front, so that no two chains are the same bytes.
    pub(super) fn of(leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Self {
        let mut hash = Context::new(&SHA256);
        for der in std::iter::once(leaf).chain(intermediates) {
            hash.update(&(der.len() as u64).to_be_bytes());
            hash.update(der);
        }
        let mut name = [0; 32];
        name.copy_from_slice(hash.finish().as_ref());
        Self(name)
    }
}

/// Chains that were found good. What was refused is not remembered.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<Chain, Held>>);

/// When a judgement was made, and until when it holds, in seconds.
#[derive(Clone, Copy, Debug)]
struct Held {
    since: u64,
    until: u64,
}

impl Memory {
    /// Until when the chain is good, if that is known and holds now.
    pub(super) fn recall(&self, chain: Chain, now: UnixTime) -> Option<UnixTime> {
        let held = *self.chains().get(&chain)?;
        // A clock that was set back may stand before a date that the judgement has found passed.
        let holds = (held.since..held.until).contains(&now.as_secs());
        holds.then(|| UnixTime::since_unix_epoch(std::time::Duration::from_secs(held.until)))
    }

    /// Remembers a good judgement of now.
    pub(super) fn keep(&self, chain: Chain, now: UnixTime, until: UnixTime) {
        let held = Held {
            since: now.as_secs(),
            until: until.as_secs(),
        };
        let mut chains = self.chains();
        if chains.len() >= MOST {
            chains.clear();
        }
        chains.insert(chain, held);
    }

    /// Nothing in here panics while the lock is held.
    fn chains(&self) -> MutexGuard<'_, HashMap<Chain, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    fn chain(certificates: &[&'static [u8]]) -> Chain {
        let all: Vec<_> = certificates
            .iter()
            .map(|der| CertificateDer::from(*der))
            .collect();
        Chain::of(&all[0], &all[1..])
    }

    #[test]
    fn a_judgement_holds_between_its_dates_and_for_its_chain_alone() {
        let memory = Memory::default();
        let one = chain(&[b"leaf", b"issuer"]);
        memory.keep(one, at(100), at(200));
        assert_eq!(memory.recall(one, at(100)), Some(at(200)));
        assert_eq!(memory.recall(one, at(199)), Some(at(200)));
        assert_eq!(memory.recall(one, at(200)), None);
        assert_eq!(memory.recall(one, at(99)), None);
        for other in [
            chain(&[b"leaf"]),
            chain(&[b"leaf", b"other"]),
            chain(&[b"leafissuer"]),
            chain(&[b"leaf", b"issuer", b"more"]),
        ] {
            assert_eq!(memory.recall(other, at(150)), None);
        }
    }

    #[test]
    fn it_never_remembers_more_than_it_may() {
        let memory = Memory::default();
        for number in 0..3 * MOST {
            let der = CertificateDer::from(number.to_be_bytes().to_vec());
            memory.keep(Chain::of(&der, &[]), at(1), at(2));
        }
        assert!(memory.chains().len() <= MOST);
    }
}

//! Which uploads this process has in hand.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::{Error, Key};

/// The uploads in hand, one for each running request.
#[derive(Debug)]
pub(super) struct Holds {
    /// Who this is, towards other processes over the same bucket.
    holder: String,
    keys: Mutex<HashSet<Key>>,
}

/// An upload in hand; dropped, it is free.
#[derive(Debug)]
pub(super) struct Hold {
    holds: Arc<Holds>,
    key: Key,
}

impl Holds {
    pub(super) fn new() -> Self {
        Self {
            holder: random(),
            keys: Mutex::default(),
        }
    }

    /// Takes an upload that nobody here has.
    pub(super) fn take(self: &Arc<Self>, key: &Key) -> Option<Hold> {
        self.locked().insert(key.clone()).then(|| Hold {
            holds: Arc::clone(self),
            key: key.clone(),
        })
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashSet<Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// Who holds it, for others to read.
    pub(super) fn holder(&self) -> &str {
        &self.holds.holder
    }

    /// The folder of the upload.
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Says that somebody else has it.
    pub(super) fn busy(&self) -> Error {
        Error::Busy(self.key.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holds.locked().remove(&self.key);
    }
}

/// A word that nobody else has: 16 hex digits.
pub(super) fn random() -> String {
    let bits = getrandom::u64().unwrap_or_else(|_| {
        // Without a source of randomness the clock must do: these words are names, not secrets.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(0))
    });
    format!("{bits:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::RepositoryName;

    #[test]
    fn an_upload_is_in_one_pair_of_hands() {
        let holds = Arc::new(Holds::new());
        let key = Key::repository(&RepositoryName::parse("a").unwrap());
        let hold = holds.take(&key).unwrap();
        assert!(holds.take(&key).is_none());
        drop(hold);
        assert!(holds.take(&key).is_some());
    }
}

//! Verdicts on passwords, remembered for a while: hash cost is paid once and not on each request of a push.
//!
//! Neither passwords nor hashes are kept, only a keyed digest of user, password and the line they were checked against,
//! under a key of this process. A changed line therefore has a new digest by itself.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::htpasswd::Candidate;
use super::{Error, Refusal};

/// Right passwords that are remembered, about 200 bytes each; the one not seen for longest is forgotten first.
const MAX_RIGHT: u64 = 10_000;

/// How long a right password is remembered: longer than a push takes, and short enough that what is in memory is what
/// is in use. A change of the file ends it at once.
const RIGHT_FOR: Duration = Duration::from_secs(600);

/// Wrong passwords that are remembered. Apart from the right ones, so that guessing cannot push those out.
const MAX_WRONG: u64 = 10_000;

/// How long a wrong password is remembered: a machine with an old password tries it again at once and for ever, and
/// need not cost a hash each time. Unknown users are remembered the same way, so this tells nothing about names.
const WRONG_FOR: Duration = Duration::from_secs(10);

/// The digest of user, password and line.
pub(super) type Digest = [u8; 32];

/// Verdicts of the recent past.
pub(super) struct Memory {
    /// Has taken in the key, which is as much work as an attempt.
    keyed: Hmac<Sha256>,
    right: Cache<Digest, ()>,
    wrong: Cache<Digest, ()>,
}

/// Why a check ends without a right password.
enum Miss {
    Wrong,
    Refused(Refusal),
}

impl Memory {
    pub(super) fn new() -> Result<Self, Error> {
        let mut key = Zeroizing::new([0; 64]);
        getrandom::fill(&mut *key).map_err(Error::Random)?;
        let cache = |capacity, time| {
            Cache::builder()
                .max_capacity(capacity)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(time)
                .build()
        };
        Ok(Self {
            keyed: KeyInit::new((&*key).into()),
            right: cache(MAX_RIGHT, RIGHT_FOR),
            wrong: cache(MAX_WRONG, WRONG_FOR),
        })
    }

    /// Names one attempt. Lengths go in front, so that no two attempts are the same bytes.
    pub(super) fn digest(&self, user: &[u8], password: &[u8], against: Candidate<'_>) -> Digest {
        let mut mac = self.keyed.clone();
        for part in [user, password, against.hash] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.update(&[u8::from(against.known)]);
        mac.finalize().into_bytes().into()
    }

    /// The remembered verdict, if there is one.
    pub(super) async fn known(&self, attempt: &Digest) -> Option<bool> {
        if self.right.get(attempt).await.is_some() {
            return Some(true);
        }
        self.wrong.contains_key(attempt).then_some(false)
    }

    /// The remembered verdict, else the one of `check`. Equal attempts at the same time are one check.
    ///
    /// # Errors
    /// What `check` refused; that is not remembered.
    pub(super) async fn verdict(
        &self,
        attempt: Digest,
        check: impl Future<Output = Result<bool, Refusal>>,
    ) -> Result<bool, Refusal> {
        if self.wrong.contains_key(&attempt) {
            return Ok(false);
        }
        let checked = async {
            match check.await {
                Ok(true) => Ok(()),
                Ok(false) => {
                    self.wrong.insert(attempt, ()).await;
                    Err(Miss::Wrong)
                }
                Err(refusal) => Err(Miss::Refused(refusal)),
            }
        };
        match self.right.try_get_with(attempt, checked).await {
            Ok(()) => Ok(true),
            Err(miss) => match Arc::as_ref(&miss) {
                Miss::Wrong => Ok(false),
                Miss::Refused(refusal) => Err(refusal.clone()),
            },
        }
    }

    /// Forgets everything.
    pub(super) fn forget(&self) {
        self.right.invalidate_all();
        self.wrong.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    const LINE: Candidate<'static> = Candidate {
        hash: b"{PLAIN}secret",
        known: true,
    };

    #[test]
    fn attempts_that_differ_anywhere_have_other_digests() {
        let memory = Memory::new().unwrap();
        let one = memory.digest(b"ann", b"secret", LINE);
        assert_eq!(one, memory.digest(b"ann", b"secret", LINE));
        let other_line = Candidate {
            hash: b"{PLAIN}other",
            ..LINE
        };
        let stranger = Candidate {
            known: false,
            ..LINE
        };
        assert_ne!(one, memory.digest(b"anns", b"ecret", LINE));
        assert_ne!(one, memory.digest(b"ann", b"secret", other_line));
        assert_ne!(one, memory.digest(b"ann", b"secret", stranger));
        let other_process = Memory::new().unwrap();
        assert_ne!(one, other_process.digest(b"ann", b"secret", LINE));
    }

    #[tokio::test]
    async fn a_verdict_is_asked_for_once_until_it_is_forgotten() {
        let memory = Memory::new().unwrap();
        for right in [true, false] {
            let attempt = memory.digest(b"ann", &[u8::from(right)], LINE);
            let asked = AtomicUsize::new(0);
            let check = || async {
                asked.fetch_add(1, Ordering::Relaxed);
                Ok(right)
            };
            for _ in 0..5 {
                assert_eq!(memory.verdict(attempt, check()).await, Ok(right));
            }
            assert_eq!(asked.load(Ordering::Relaxed), 1);
            memory.forget();
            assert_eq!(memory.verdict(attempt, check()).await, Ok(right));
            assert_eq!(asked.load(Ordering::Relaxed), 2);
        }
    }

    #[tokio::test]
    async fn a_refusal_is_not_remembered() {
        let memory = Memory::new().unwrap();
        let attempt = memory.digest(b"ann", b"secret", LINE);
        let refused = memory
            .verdict(attempt, async { Err(Refusal::Failed) })
            .await;
        assert_eq!(refused, Err(Refusal::Failed));
        assert_eq!(memory.verdict(attempt, async { Ok(true) }).await, Ok(true));
    }

    #[tokio::test]
    async fn equal_attempts_at_the_same_time_are_one_check() {
        let memory = Arc::new(Memory::new().unwrap());
        let attempt = memory.digest(b"ann", b"secret", LINE);
        let (asked, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (memory, asked, open) =
                    (Arc::clone(&memory), Arc::clone(&asked), Arc::clone(&open));
                tokio::spawn(async move {
                    let check = async {
                        asked.fetch_add(1, Ordering::Relaxed);
                        open.notified().await;
                        Ok(true)
                    };
                    memory.verdict(attempt, check).await
                })
            })
            .collect();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        open.notify_one();
        for task in tasks {
            assert_eq!(task.await.unwrap(), Ok(true));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a4_a_hundred_thousand_verdicts_do_not_stay() {
        let memory = Memory::new().unwrap();
        for number in 0..100_000_u32 {
            let attempt = memory.digest(&number.to_be_bytes(), b"secret", LINE);
            memory.right.insert(attempt, ()).await;
        }
        memory.right.run_pending_tasks().await;
        assert!(memory.right.entry_count() <= MAX_RIGHT);
    }
}

//! Failed logins: each further guess at a user's password from one address waits longer, and the operator hears of it.
//!
//! The pair of name and address is what waits, so a right password from elsewhere is never held up, nor is one that
//! was found right before. A wait is held in memory by a bounded number of requests; the others are told to come back.
//! Names that do not exist are treated like those that do.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::future::Cache;
use moka::policy::EvictionPolicy;
use tokio::time::{Instant, sleep_until};

use crate::turns::Source;

use super::Refusal;

/// Guesses that cost nothing: people mistype, and machines try an old password before the new one.
const FREE: u32 = 3;

/// The wait that the first guess after the free ones brings; each further one doubles it.
const FIRST: Duration = Duration::from_millis(250);

/// The longest wait that one more guess brings: 10,800 guesses a day.
const LONGEST: Duration = Duration::from_secs(8);

/// Who would wait longer is told to come back: docker gives up after 15 s.
const PATIENCE: Duration = Duration::from_secs(10);

/// After so long without a wrong password all is forgotten.
const FORGET: Duration = Duration::from_secs(15 * 60);

/// Pairs of name and address that are remembered, about 200 bytes each. To push one out costs a guesser as many
/// hashes as there are.
const MAX_PAIRS: u64 = 10_000;

/// Requests that may be held by delays, in all and for one pair.
const MAX_HELD: usize = 512;
const MAX_HELD_FOR_PAIR: u32 = 32;

/// Lines about the names that one address tries, before all further ones are told as one.
const LINES_FOR_SOURCE: u32 = 8;

/// Reports that wait to be taken; the next request takes them.
const MAX_NEWS: usize = 64;

/// A burst of failed logins, told at its first attempt and at each tenfold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedLogins {
    /// The name that was tried, escaped for a log; `None` when they are many.
    pub user: Option<String>,
    /// Where they come from: an IPv4 address, an IPv6 network, or `unix:`.
    pub peer: String,
    /// Wrong passwords of this burst until now.
    pub attempts: u64,
}

/// The memory of wrong passwords.
pub(super) struct Delays {
    keyed: RandomState,
    pairs: Cache<(u64, Source), Arc<Mutex<Pair>>>,
    sources: Cache<Source, Arc<Mutex<Burst>>>,
    held: Arc<AtomicUsize>,
    total: AtomicU64,
    news: Mutex<Vec<FailedLogins>>,
    has_news: AtomicBool,
}

/// One name tried from one address.
struct Pair {
    /// Different wrong passwords.
    failures: u32,
    /// Checks under way, each of which may fail.
    checking: u32,
    /// Requests that wait for a check.
    held: u32,
    /// When the next check may begin.
    free: Instant,
    /// Wrong passwords, repeated ones too.
    burst: Burst,
}

/// Wrong passwords in a row.
#[derive(Default)]
struct Burst {
    attempts: u64,
    lines: u32,
    last: Option<Instant>,
}

/// One request whose password is not known to be right or wrong; dropped, it gives its places back.
pub(super) struct Attempt<'a> {
    delays: &'a Delays,
    user: &'a [u8],
    source: Source,
    pair: Arc<Mutex<Pair>>,
    held: Option<Held>,
}

/// A check under way, from its turn on.
pub(super) struct Checking(Arc<Mutex<Pair>>);

/// One of the places of [`MAX_HELD`].
struct Held(Arc<AtomicUsize>);

impl Delays {
    pub(super) fn new() -> Self {
        Self {
            keyed: RandomState::new(),
            pairs: cache(),
            sources: cache(),
            held: Arc::default(),
            total: AtomicU64::new(0),
            news: Mutex::default(),
            has_news: AtomicBool::new(false),
        }
    }

    /// Wrong passwords since the start.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// What there is to tell the operator, each report once.
    pub(super) fn news(&self) -> Vec<FailedLogins> {
        if !self.has_news.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(&mut *lock(&self.news))
    }

    /// A request comes to have its password checked.
    ///
    /// # Errors
    /// `Busy` where too many wait already.
    pub(super) async fn begin<'a>(
        &'a self,
        user: &'a [u8],
        source: Source,
    ) -> Result<Attempt<'a>, Refusal> {
        let pair = self.pair(user, source).await;
        let held = {
            let mut pair = lock(&pair);
            let now = Instant::now();
            pair.forget(now);
            let wait = pair.free.saturating_duration_since(now);
            let busy = Refusal::Busy {
                retry_after: wait.max(FIRST),
            };
            let held = if pair.failures < FREE {
                None
            } else if pair.held >= MAX_HELD_FOR_PAIR {
                return Err(busy);
            } else {
                Some(Held::take(&self.held).ok_or(busy)?)
            };
            pair.held += 1;
            held
        };
        Ok(Attempt {
            delays: self,
            user,
            source,
            pair,
            held,
        })
    }

    /// A password that was found wrong a moment ago came again: no further guess, but the operator counts it.
    pub(super) async fn repeated(&self, user: &[u8], source: Source) {
        let pair = self.pair(user, source).await;
        self.count(user, source, &pair).await;
    }

    async fn pair(&self, user: &[u8], source: Source) -> Arc<Mutex<Pair>> {
        let key = (self.keyed.hash_one(user), source);
        let new = async { Arc::new(Mutex::new(Pair::new())) };
        self.pairs.get_with(key, new).await
    }

    async fn count(&self, user: &[u8], source: Source, pair: &Mutex<Pair>) {
        self.total.fetch_add(1, Ordering::Relaxed);
        let all = self.sources.get_with(source, async { Arc::default() });
        let all = all.await;
        let (now, mut all) = (Instant::now(), lock(&all));
        let of_all = all.count(now);
        let of_pair = lock(pair).burst.count(now);
        let alone = all.lines < LINES_FOR_SOURCE || of_pair > 1;
        let name = || String::from_utf8_lossy(user).escape_debug().to_string();
        let report = FailedLogins {
            user: alone.then(name),
            peer: source.to_string(),
            attempts: if alone { of_pair } else { of_all },
        };
        if !is_told(report.attempts) {
            return;
        }
        all.lines += 1;
        let mut news = lock(&self.news);
        if news.len() < MAX_NEWS {
            news.push(report);
        }
        self.has_news.store(true, Ordering::Release);
    }
}

fn cache<K, V>() -> Cache<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder()
        .max_capacity(MAX_PAIRS)
        .eviction_policy(EvictionPolicy::lru())
        .time_to_idle(FORGET)
        .build()
}

/// The first attempt and each tenfold.
fn is_told(attempts: u64) -> bool {
    attempts > 0 && 10_u64.pow(attempts.ilog10()) == attempts
}

/// The states are changed in whole steps, so a panic elsewhere leaves them sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Attempt<'_> {
    /// Waits until the check may begin.
    ///
    /// # Errors
    /// `Busy` where that is too far away.
    pub(super) async fn turn(&self) -> Result<Checking, Refusal> {
        let (start, checking) = {
            let mut pair = lock(&self.pair);
            let now = Instant::now();
            let start = pair.free.max(now);
            let wait = start - now;
            if wait > PATIENCE {
                return Err(Refusal::Busy { retry_after: wait });
            }
            pair.checking += 1;
            pair.free = start + pause(pair.failures + pair.checking);
            (start, Checking(Arc::clone(&self.pair)))
        };
        sleep_until(start).await;
        Ok(checking)
    }

    /// The password was right: the pair starts anew.
    pub(super) async fn right(&self) {
        let key = (self.delays.keyed.hash_one(self.user), self.source);
        self.delays.pairs.invalidate(&key).await;
    }

    /// The password was wrong.
    pub(super) async fn wrong(&self) {
        {
            let mut pair = lock(&self.pair);
            pair.failures = pair.failures.saturating_add(1);
            let free = Instant::now() + pause(pair.failures);
            pair.free = pair.free.max(free);
        }
        self.delays.count(self.user, self.source, &self.pair).await;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        lock(&self.pair).held -= 1;
        drop(self.held.take());
    }
}

impl Drop for Checking {
    fn drop(&mut self) {
        lock(&self.0).checking -= 1;
    }
}

impl Held {
    fn take(held: &Arc<AtomicUsize>) -> Option<Self> {
        let before = held.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(held));
        (before < MAX_HELD).then_some(place)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long after a check the next may begin, when so many have failed or may yet fail.
fn pause(guesses: u32) -> Duration {
    match guesses.checked_sub(FREE + 1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST.saturating_mul(1 << doublings.min(16)).min(LONGEST),
    }
}

impl Pair {
    fn new() -> Self {
        Self {
            failures: 0,
            checking: 0,
            held: 0,
            free: Instant::now(),
            burst: Burst::default(),
        }
    }

    fn forget(&mut self, now: Instant) {
        if self.burst.is_over(now) {
            self.failures = 0;
        }
    }
}

impl Burst {
    fn is_over(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now - last >= FORGET)
    }

    fn count(&mut self, now: Instant) -> u64 {
        if self.is_over(now) {
            *self = Self::default();
        }
        self.last = Some(now);
        self.attempts = self.attempts.saturating_add(1);
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn source(number: u8) -> Source {
        Source::V4(Ipv4Addr::new(192, 0, 2, number))
    }

    /// One guess, from its arrival to the verdict; how long it waited.
    async fn guess(
        delays: &Delays,
        user: &str,
        from: Source,
        right: bool,
    ) -> Result<Duration, Refusal> {
        let begin = Instant::now();
        let attempt = delays.begin(user.as_bytes(), from).await?;
        let _checking = attempt.turn().await?;
        if right {
            attempt.right().await;
        } else {
            attempt.wrong().await;
        }
        Ok(begin.elapsed())
    }

    async fn fail(delays: &Delays, user: &str, from: Source, times: usize) -> Vec<u128> {
        let mut waits = Vec::new();
        for _ in 0..times {
            let waited = guess(delays, user, from, false).await.unwrap();
            waits.push(waited.as_millis());
        }
        waits
    }

    #[tokio::test(start_paused = true)]
    async fn each_further_guess_waits_longer_up_to_a_bound() {
        let delays = Delays::new();
        let waits = fail(&delays, "ann", source(1), 12).await;
        assert_eq!(
            waits,
            [0, 0, 0, 0, 250, 500, 1000, 2000, 4000, 8000, 8000, 8000]
        );
        assert_eq!(delays.total(), 12);
    }

    #[tokio::test(start_paused = true)]
    async fn the_right_password_comes_in_from_elsewhere_at_once_and_from_there_after_its_turn() {
        let delays = Delays::new();
        fail(&delays, "ann", source(1), 20).await;
        let elsewhere = guess(&delays, "ann", source(2), true).await;
        assert_eq!(elsewhere, Ok(Duration::ZERO));
        let other_user = guess(&delays, "bob", source(1), true).await;
        assert_eq!(other_user, Ok(Duration::ZERO));
        let there = guess(&delays, "ann", source(1), true).await.unwrap();
        assert!(there <= LONGEST, "{there:?}");
        // Then the slate is clean.
        assert_eq!(fail(&delays, "ann", source(1), 2).await, [0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_at_the_same_time_wait_for_one_another() {
        let delays = Arc::new(Delays::new());
        let begin = Instant::now();
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let delays = Arc::clone(&delays);
                tokio::spawn(async move { guess(&delays, "ann", source(1), false).await })
            })
            .collect();
        let mut checked = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => checked += 1,
                Err(Refusal::Busy { retry_after }) => assert!(retry_after > PATIENCE),
                Err(other) => panic!("{other}"),
            }
        }
        assert!((4..12).contains(&checked), "{checked} were checked");
        assert!(begin.elapsed() <= PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_requests_are_held_than_there_are_places() {
        let delays = Delays::new();
        let users: Vec<String> = (0..20).map(|number| format!("user{number}")).collect();
        let mut held = Vec::new();
        let mut refused = 0;
        for user in &users {
            fail(&delays, user, source(1), 4).await;
        }
        for user in &users {
            for _ in 0..40 {
                match delays.begin(user.as_bytes(), source(1)).await {
                    Ok(attempt) => held.push(attempt),
                    Err(refusal) => {
                        assert!(matches!(refusal, Refusal::Busy { .. }));
                        refused += 1;
                    }
                }
            }
        }
        assert_eq!((held.len(), refused), (MAX_HELD, 20 * 40 - MAX_HELD));
        // Who has not failed needs no place.
        let honest = guess(&delays, "ann", source(2), true).await;
        assert_eq!(honest, Ok(Duration::ZERO));
        held.clear();
        let next = delays.begin(users[0].as_bytes(), source(1)).await;
        assert!(next.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_goes_away_leaves_nothing_behind() {
        let delays = Delays::new();
        fail(&delays, "ann", source(1), 6).await;
        for _ in 0..3 {
            let begun = guess(&delays, "ann", source(1), false);
            let gone = tokio::time::timeout(Duration::from_millis(10), begun).await;
            assert!(gone.is_err());
        }
        assert_eq!(delays.held.load(Ordering::Relaxed), 0);
        let pair = delays.pair(b"ann", source(1)).await;
        let pair = lock(&pair);
        assert_eq!((pair.held, pair.checking, pair.failures), (0, 0, 6));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_quiet_while_mistakes_are_forgotten() {
        let delays = Delays::new();
        fail(&delays, "ann", source(1), 8).await;
        tokio::time::advance(FORGET).await;
        assert_eq!(fail(&delays, "ann", source(1), 4).await, [0, 0, 0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_told_at_its_first_attempt_and_at_each_tenfold() {
        let delays = Delays::new();
        let mut told = Vec::new();
        for _ in 0..1000 {
            delays.repeated(b"ann\n\x1b[2J", source(1)).await;
            told.extend(delays.news());
        }
        let attempts: Vec<u64> = told.iter().map(|report| report.attempts).collect();
        assert_eq!(attempts, [1, 10, 100, 1000]);
        assert_eq!(told[0].user.as_deref(), Some(r"ann\n\u{1b}[2J"));
        assert_eq!(told[0].peer, "192.0.2.1");
        assert_eq!(delays.total(), 1000);
        assert_eq!(delays.news(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn many_names_from_one_address_are_not_told_one_by_one() {
        let delays = Delays::new();
        let mut told = Vec::new();
        for number in 0..10_000 {
            let user = format!("user{number}");
            delays.repeated(user.as_bytes(), source(1)).await;
            told.extend(delays.news());
        }
        assert!(told.len() < 15, "{}", told.len());
        let last = told.last().unwrap();
        assert_eq!((last.user.as_deref(), last.attempts), (None, 10_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a3_a_hundred_thousand_names_do_not_stay() {
        let delays = Delays::new();
        for number in 0..100_000_u32 {
            delays.repeated(&number.to_be_bytes(), source(1)).await;
        }
        delays.pairs.run_pending_tasks().await;
        assert!(delays.pairs.entry_count() <= MAX_PAIRS);
        assert!(lock(&delays.news).len() <= MAX_NEWS);
    }
}

//! Places for what there is little of (cores, connections to the registry): so many at once, a bounded queue behind them,
//! and turns by where the requests come from.
//!
//! Thirty-two connections that guess passwords from one address wait behind one another, while somebody from another
//! address waits for one hash at most: freed places go round the addresses, not round the requests.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::peer::Address;

/// Whose turn it is: an address of ours to be fair to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// One IPv4 address.
    V4(Ipv4Addr),
    /// The /64 that one subscriber gets.
    V6([u16; 4]),
    /// All who come by Unix sockets.
    Unix,
}

impl Hash for Source {
    /// One number, since it is hashed for each request: the derived one hands over piece by piece.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(match *self {
            Self::V4(ip) => u64::from(u32::from(ip)),
            Self::V6([a, b, c, d]) => [b, c, d]
                .iter()
                .fold(u64::from(a), |all, part| (all << 16) | u64::from(*part)),
            Self::Unix => u64::MAX,
        });
    }
}

impl From<Option<IpAddr>> for Source {
    /// `None` is a Unix socket, as in [`Address::ip`].
    fn from(address: Option<IpAddr>) -> Self {
        match address.map(|ip| ip.to_canonical()) {
            Some(IpAddr::V4(ip)) => Self::V4(ip),
            Some(IpAddr::V6(ip)) => {
                let [a, b, c, d, ..] = ip.segments();
                Self::V6([a, b, c, d])
            }
            None => Self::Unix,
        }
    }
}

impl From<Address> for Source {
    fn from(address: Address) -> Self {
        address.ip().into()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4(ip) => ip.fmt(out),
            Self::V6([a, b, c, d]) => {
                write!(out, "{}/64", Ipv6Addr::from([a, b, c, d, 0, 0, 0, 0]))
            }
            Self::Unix => out.write_str("unix:"),
        }
    }
}

/// How much there is, and who may have how much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Places; at least one is given.
    pub places: usize,
    /// Places that one source may have at once; at least one.
    pub places_each: usize,
    /// Requests that may wait for a place.
    pub waiting: usize,
    /// Requests of one source that may wait.
    pub waiting_each: usize,
    /// The longest wait.
    pub patience: Duration,
}

/// There is no place: the queue is full, this source has its part of it, or the wait took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The queue; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bounds: Bounds,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    waiting: usize,
    /// Only sources that run or wait; so never more than there are places and waiting requests.
    accounts: HashMap<Source, Account>,
    /// Each source that waits, once, the next one in front.
    turns: VecDeque<Source>,
}

#[derive(Debug, Default)]
struct Account {
    running: usize,
    waiting: VecDeque<oneshot::Sender<Place>>,
}

impl Account {
    fn is_idle(&self) -> bool {
        self.running == 0 && self.waiting.is_empty()
    }
}

/// The right to one place; given on when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    turns: Turns,
    source: Source,
}

impl Drop for Place {
    fn drop(&mut self) {
        let next = {
            let mut state = self.turns.state();
            state.leave(self.source);
            state.next(&self.turns.0.bounds)
        };
        if let Some((source, next)) = next {
            // Where the receiver has just gone, the place comes back here and is dropped in turn.
            drop(next.send(self.turns.place(source)));
        }
    }
}

impl Turns {
    /// A queue with these bounds.
    pub(crate) fn new(bounds: Bounds) -> Self {
        let bounds = Bounds {
            places: bounds.places.max(1),
            places_each: bounds.places_each.max(1),
            ..bounds
        };
        Self(Arc::new(Shared {
            bounds,
            state: Mutex::default(),
        }))
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// There is none, and none came in time.
    pub(crate) async fn enter(&self, source: Source) -> Result<Place, Full> {
        let place = match self.line_up(source).ok_or(Full)? {
            Turn::Now(place) => return Ok(place),
            Turn::Later(place) => tokio::time::timeout(self.0.bounds.patience, place).await,
        };
        // An `Err` inside: somebody who waits less got our place in the queue.
        place.ok().and_then(Result::ok).ok_or(Full)
    }

    fn line_up(&self, source: Source) -> Option<Turn> {
        let bounds = &self.0.bounds;
        let mut state = self.state();
        // Whoever waits while a place is free has all that it may have: places are handed on, not put back, as long
        // as somebody may take them. So nobody is overtaken here.
        if state.running < bounds.places && state.runs_within(source, bounds.places_each) {
            return Some(Turn::Now(self.place(source)));
        }
        if state.waits(source) >= bounds.waiting_each || state.waiting >= bounds.waiting {
            state.forget_the_gone();
        }
        let full = state.waits(source) >= bounds.waiting_each
            || (state.waiting >= bounds.waiting && !state.displace(source));
        if full {
            state.tidy(source);
            return None;
        }
        Some(Turn::Later(state.push(source)))
    }

    fn place(&self, source: Source) -> Place {
        Place {
            turns: self.clone(),
            source,
        }
    }

    #[cfg(test)]
    pub(crate) fn is_busy(&self) -> bool {
        self.state().running == self.0.bounds.places
    }

    /// The state is changed in whole steps, so a panic elsewhere leaves it sound.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Turn {
    Now(Place),
    Later(oneshot::Receiver<Place>),
}

impl State {
    fn account(&mut self, source: Source) -> &mut Account {
        self.accounts.entry(source).or_default()
    }

    fn waits(&self, source: Source) -> usize {
        self.accounts.get(&source).map_or(0, |a| a.waiting.len())
    }

    /// Runs a request of a source that has fewer than `most` places; else nothing changes.
    fn runs_within(&mut self, source: Source, most: usize) -> bool {
        let account = self.account(source);
        let runs = account.running < most;
        account.running += usize::from(runs);
        self.running += usize::from(runs);
        runs
    }

    fn run(&mut self, source: Source) {
        self.running += 1;
        self.account(source).running += 1;
    }

    fn leave(&mut self, source: Source) {
        self.running -= 1;
        if let Entry::Occupied(mut account) = self.accounts.entry(source) {
            account.get_mut().running -= 1;
            if account.get().is_idle() {
                account.remove();
            }
        }
    }

    /// Forgets a source that has nothing here any more.
    fn tidy(&mut self, source: Source) {
        if self.accounts.get(&source).is_some_and(Account::is_idle) {
            self.accounts.remove(&source);
        }
    }

    fn push(&mut self, source: Source) -> oneshot::Receiver<Place> {
        let (sender, receiver) = oneshot::channel();
        let account = self.account(source);
        account.waiting.push_back(sender);
        if account.waiting.len() == 1 {
            self.turns.push_back(source);
        }
        self.waiting += 1;
        receiver
    }

    /// The request that is next, which runs from now on: sources take turns, and within a source who came first. Who has
    /// all the places that one source may have keeps its turn for later.
    fn next(&mut self, bounds: &Bounds) -> Option<(Source, oneshot::Sender<Place>)> {
        while self.running < bounds.places {
            let may_run = |source: &Source| {
                let account = self.accounts.get(source);
                account.is_some_and(|a| a.running < bounds.places_each)
            };
            let at = self.turns.iter().position(may_run)?;
            let source = self.turns.remove(at)?;
            let account = self.account(source);
            let next = account.waiting.pop_front();
            if !account.waiting.is_empty() {
                self.turns.push_back(source);
            }
            self.waiting -= usize::from(next.is_some());
            if let Some(next) = next.filter(|next| !next.is_closed()) {
                self.run(source);
                return Some((source, next));
            }
            self.tidy(source);
        }
        None
    }

    /// Makes room in a full queue: the newest request of the source that waits most gives way to a source that would
    /// still wait less. Where all wait once, one by chance gives way to a source that does not wait at all: who floods
    /// from many addresses then pays for it most often, and a first login has its chance. False when the asker waits as
    /// much as anybody.
    fn displace(&mut self, source: Source) -> bool {
        let own = self.waits(source);
        let longest = self
            .turns
            .iter()
            .map(|source| (self.waits(*source), *source))
            .max_by_key(|(length, _)| *length);
        let victim = match longest {
            Some((length, longest)) if length > own + 1 => longest,
            Some(_) if own == 0 => match self.turns.get(by_chance(self.turns.len())) {
                Some(victim) => *victim,
                None => return false,
            },
            _ => return false,
        };
        self.waiting -= usize::from(self.account(victim).waiting.pop_back().is_some());
        if self.waits(victim) == 0 {
            self.turns.retain(|source| *source != victim);
        }
        self.tidy(victim);
        true
    }

    /// Requests whose client has gone keep no place in the queue.
    fn forget_the_gone(&mut self) {
        self.accounts.retain(|_, account| {
            account.waiting.retain(|sender| !sender.is_closed());
            account.running > 0 || !account.waiting.is_empty()
        });
        let accounts = &self.accounts;
        let waits = |source: &Source| accounts.get(source).map_or(0, |a| a.waiting.len());
        self.turns.retain(|source| waits(source) > 0);
        self.waiting = self.turns.iter().map(waits).sum();
    }
}

/// An index below `count` that nobody outside can foresee; 0 where the system has no randomness.
fn by_chance(count: usize) -> usize {
    let random = getrandom::u32().unwrap_or_default();
    usize::try_from(random).unwrap_or_default() % count.max(1)
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;

    fn source(number: u8) -> Source {
        Source::V4(Ipv4Addr::new(192, 0, 2, number))
    }

    /// A request of `source` that has joined the queue when this returns.
    async fn wait(queue: &Turns, source: Source) -> JoinHandle<Result<Place, Full>> {
        let before = queue.state().waits(source);
        let task = tokio::spawn({
            let queue = queue.clone();
            async move { queue.enter(source).await }
        });
        while queue.state().waits(source) == before && !task.is_finished() {
            tokio::task::yield_now().await;
        }
        task
    }

    const PATIENCE: Duration = Duration::from_secs(15);

    /// So many places, sixteen requests that wait for each, half of them of one source.
    fn queue(places: usize) -> Turns {
        Turns::new(Bounds {
            places,
            places_each: places,
            waiting: places * 16,
            waiting_each: places * 8,
            patience: PATIENCE,
        })
    }

    #[tokio::test]
    async fn no_more_places_are_given_than_there_are() {
        let queue = queue(2);
        let first = queue.enter(source(1)).await.ok().unwrap();
        let _second = queue.enter(source(1)).await.ok().unwrap();
        let third = wait(&queue, source(1)).await;
        assert!(!third.is_finished());
        drop(first);
        let third = third.await.unwrap().ok().unwrap();
        assert_eq!(queue.state().running, 2);
        drop(third);
        assert_eq!(queue.state().running, 1);
    }

    #[tokio::test]
    async fn one_address_takes_half_of_the_queue_and_is_then_told_to_come_back() {
        let queue = queue(1);
        let _place = queue.enter(source(1)).await.ok().unwrap();
        let mut tasks = Vec::new();
        for _ in 0..8 {
            tasks.push(wait(&queue, source(1)).await);
        }
        assert_eq!(queue.enter(source(1)).await.err(), Some(Full));
        let _other = wait(&queue, source(2)).await;
        assert_eq!(queue.state().waiting, 9);
        for task in tasks {
            task.abort();
        }
    }

    #[tokio::test]
    async fn an_address_that_waits_alone_is_next_however_many_guess_before_it() {
        let queue = queue(1);
        let place = queue.enter(source(1)).await.ok().unwrap();
        let mut guessers = Vec::new();
        for _ in 0..8 {
            guessers.push(wait(&queue, source(1)).await);
        }
        let honest = wait(&queue, source(2)).await;
        drop(place);
        let first = guessers.remove(0).await.unwrap().ok().unwrap();
        drop(first);
        let honest = honest.await.unwrap();
        assert!(honest.is_ok());
    }

    #[tokio::test]
    async fn a_full_queue_makes_room_for_a_newcomer_at_the_cost_of_who_waits_most() {
        let queue = queue(1);
        let _place = queue.enter(source(1)).await.ok().unwrap();
        let mut guessers = Vec::new();
        for _ in 0..8 {
            guessers.push(wait(&queue, source(1)).await);
            guessers.push(wait(&queue, source(2)).await);
        }
        assert_eq!(queue.state().waiting, 16);
        let honest = wait(&queue, source(3)).await;
        assert!(!honest.is_finished());
        assert_eq!(queue.state().waiting, 16);
        let mut refused = 0;
        for guesser in guessers {
            tokio::task::yield_now().await;
            if guesser.is_finished() {
                refused += usize::from(guesser.await.unwrap().is_err());
            }
        }
        assert_eq!(refused, 1);
    }

    #[tokio::test]
    async fn clients_that_went_away_keep_no_place_in_the_queue() {
        let queue = queue(1);
        let place = queue.enter(source(1)).await.ok().unwrap();
        for _ in 0..100 {
            let task = wait(&queue, source(1)).await;
            assert!(!task.is_finished());
            task.abort();
            assert!(task.await.is_err());
        }
        let last = wait(&queue, source(1)).await;
        drop(place);
        assert!(last.await.unwrap().is_ok());
    }

    /// Who waits, one source each, and how many of them have been turned away.
    async fn crowd(
        queue: &Turns,
        sources: std::ops::Range<u8>,
    ) -> Vec<JoinHandle<Result<Place, Full>>> {
        let mut crowd = Vec::new();
        for number in sources {
            crowd.push(wait(queue, source(number)).await);
        }
        crowd
    }

    #[tokio::test]
    async fn a_newcomer_takes_the_place_of_one_by_chance_where_all_wait_once() {
        let mut first_to_go = std::collections::BTreeSet::new();
        for _ in 0..64 {
            let queue = queue(1);
            let _place = queue.enter(source(1)).await.ok().unwrap();
            let crowd = crowd(&queue, 2..18).await;
            assert_eq!(queue.state().waiting, 16);
            let newcomer = wait(&queue, source(100)).await;
            assert!(!newcomer.is_finished());
            assert_eq!(queue.state().waiting, 16);
            tokio::task::yield_now().await;
            let gone: Vec<_> = (0..crowd.len())
                .filter(|at| crowd[*at].is_finished())
                .collect();
            assert_eq!(gone.len(), 1);
            first_to_go.extend(gone);
            // Who waits already takes nobody's place.
            assert_eq!(queue.enter(source(100)).await.err(), Some(Full));
        }
        assert!(
            first_to_go.len() > 4,
            "always the same ones: {first_to_go:?}"
        );
    }

    #[tokio::test]
    async fn a_flood_from_many_sources_stays_bounded() {
        let queue = queue(1);
        let _place = queue.enter(source(1)).await.ok().unwrap();
        let crowd = crowd(&queue, 2..250).await;
        tokio::task::yield_now().await;
        let turned_away = crowd.iter().filter(|task| task.is_finished()).count();
        assert_eq!(turned_away, 248 - 16);
        let state = queue.state();
        assert_eq!(
            (state.waiting, state.turns.len(), state.accounts.len()),
            (16, 16, 17)
        );
    }

    /// Four places, two for each source.
    fn shares() -> Turns {
        Turns::new(Bounds {
            places: 4,
            places_each: 2,
            waiting: 4,
            waiting_each: 2,
            patience: PATIENCE,
        })
    }

    #[tokio::test]
    async fn one_source_has_no_more_than_its_share_while_places_are_free() {
        let queue = shares();
        let first = queue.enter(source(1)).await.ok().unwrap();
        let _second = queue.enter(source(1)).await.ok().unwrap();
        let third = wait(&queue, source(1)).await;
        assert!(!third.is_finished());
        let fourth = wait(&queue, source(1)).await;
        assert_eq!(queue.enter(source(1)).await.err(), Some(Full));
        let other = queue.enter(source(2)).await.ok().unwrap();
        drop(other);
        tokio::task::yield_now().await;
        assert!(
            !third.is_finished(),
            "a place of another is not for the greedy"
        );
        drop(first);
        let _third = third.await.unwrap().ok().unwrap();
        assert!(!fourth.is_finished());
    }

    #[tokio::test]
    async fn who_has_its_share_keeps_its_turn_and_lets_others_pass() {
        let queue = shares();
        let greedy = queue.enter(source(1)).await.ok().unwrap();
        let _greedy = queue.enter(source(1)).await.ok().unwrap();
        let two = queue.enter(source(2)).await.ok().unwrap();
        let _three = queue.enter(source(3)).await.ok().unwrap();
        let waiting = wait(&queue, source(1)).await;
        let late = wait(&queue, source(4)).await;
        drop(two);
        let _late = late.await.unwrap().ok().unwrap();
        assert!(!waiting.is_finished());
        drop(greedy);
        assert!(waiting.await.unwrap().is_ok());
        let state = queue.state();
        assert_eq!((state.running, state.waiting, state.turns.len()), (3, 0, 0));
        assert_eq!(state.accounts.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_patience() {
        let queue = queue(1);
        let _place = queue.enter(source(1)).await.ok().unwrap();
        let begin = tokio::time::Instant::now();
        assert_eq!(queue.enter(source(2)).await.err(), Some(Full));
        assert_eq!(begin.elapsed().as_secs(), PATIENCE.as_secs());
    }

    #[test]
    fn an_ipv6_subscriber_is_one_source() {
        let of = |text: &str| Source::from(Address::Ip(text.parse().unwrap()));
        assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::ffff:1]:2"));
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8:0:1::1]:1"));
        assert_eq!(of("[2001:db8:0:1::1]:1").to_string(), "2001:db8:0:1::/64");
        assert_eq!(of("[::ffff:192.0.2.1]:1"), of("192.0.2.1:9"));
    }
}

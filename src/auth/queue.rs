//! Places for hash work: so many at once, a bounded queue behind them, and turns by where the requests come from.
//!
//! Thirty-two connections that guess passwords from one address wait behind one another, while somebody from another
//! address waits for one hash at most: freed places go round the addresses, not round the requests.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::peer::Address;

use super::Refusal;

/// Requests that wait for each place. Sixteen checks of a tenth of a second are what a person waits at a login.
const WAITING_FOR_EACH_PLACE: usize = 16;

/// The longest wait for a place; a client that gave up is not worth a hash.
const PATIENCE: Duration = Duration::from_secs(15);

/// When a refused client may ask again: by then a few hashes of a usual cost are done.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Whose turn it is: an address of ours to be fair to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// One IPv4 address.
    V4(Ipv4Addr),
    /// The /64 that one subscriber gets.
    V6([u16; 4]),
    /// All who come by Unix sockets.
    Unix,
}

impl From<Address> for Source {
    fn from(address: Address) -> Self {
        match address.ip() {
            Some(IpAddr::V4(ip)) => Self::V4(ip),
            Some(IpAddr::V6(ip)) => {
                let [a, b, c, d, ..] = ip.segments();
                Self::V6([a, b, c, d])
            }
            None => Self::Unix,
        }
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

/// The queue; clones share it.
#[derive(Clone)]
pub(super) struct Queue(Arc<Shared>);

struct Shared {
    places: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    waiting: usize,
    /// Never an empty queue; so never more sources than waiting requests.
    sources: HashMap<Source, VecDeque<oneshot::Sender<Place>>>,
    /// Each source of `sources` once, the next one in front.
    turns: VecDeque<Source>,
}

/// The right to compute one hash; given on when it is dropped.
pub(super) struct Place(Queue);

impl Drop for Place {
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.state();
            let next = state.next();
            if next.is_none() {
                state.running -= 1;
            }
            next
        };
        // Where the receiver has just gone, the place comes back here and is dropped in turn.
        if let Some(next) = next {
            drop(next.send(Self(self.0.clone())));
        }
    }
}

impl Queue {
    /// A queue in front of so many places; at least one.
    pub(super) fn new(places: usize) -> Self {
        Self(Arc::new(Shared {
            places: places.max(1),
            state: Mutex::default(),
        }))
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// `Busy` where the queue is full, where this source has taken half of it, and where the wait takes too long.
    pub(super) async fn enter(&self, source: Source) -> Result<Place, Refusal> {
        let busy = Refusal::Busy {
            retry_after: RETRY_AFTER,
        };
        let Some(turn) = self.line_up(source) else {
            return Err(busy);
        };
        let place = match turn {
            Turn::Now(place) => return Ok(place),
            Turn::Later(place) => tokio::time::timeout(PATIENCE, place).await,
        };
        // An `Err` inside: somebody who waits less got our place in the queue.
        place.ok().and_then(Result::ok).ok_or(busy)
    }

    fn line_up(&self, source: Source) -> Option<Turn> {
        let mut state = self.state();
        if state.running < self.0.places {
            // Nobody waits while a place is free: places are handed on, not put back, as long as somebody does.
            state.running += 1;
            return Some(Turn::Now(Place(self.clone())));
        }
        let bound = self.0.places.saturating_mul(WAITING_FOR_EACH_PLACE);
        if state.waits(source) >= bound / 2 || state.waiting >= bound {
            state.forget_the_gone();
        }
        if state.waits(source) >= bound / 2 {
            return None;
        }
        if state.waiting >= bound && !state.displace(source) {
            return None;
        }
        Some(Turn::Later(state.push(source)))
    }

    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        self.state().running == self.0.places
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
    fn waits(&self, source: Source) -> usize {
        self.sources.get(&source).map_or(0, VecDeque::len)
    }

    fn push(&mut self, source: Source) -> oneshot::Receiver<Place> {
        let (sender, receiver) = oneshot::channel();
        let queue = self.sources.entry(source).or_default();
        if queue.is_empty() {
            self.turns.push_back(source);
        }
        queue.push_back(sender);
        self.waiting += 1;
        receiver
    }

    /// The request that is next: sources take turns, and within a source who came first.
    fn next(&mut self) -> Option<oneshot::Sender<Place>> {
        while let Some(source) = self.turns.pop_front() {
            let Some(queue) = self.sources.get_mut(&source) else {
                continue;
            };
            let next = queue.pop_front();
            if queue.is_empty() {
                self.sources.remove(&source);
            } else {
                self.turns.push_back(source);
            }
            let Some(next) = next else { continue };
            self.waiting -= 1;
            if !next.is_closed() {
                return Some(next);
            }
        }
        None
    }

    /// Makes room in a full queue: the newest request of the source that waits most gives way to a source that would
    /// still wait less. False when the asker is such a source itself.
    fn displace(&mut self, source: Source) -> bool {
        let longest = self
            .sources
            .iter()
            .map(|(source, queue)| (queue.len(), *source))
            .max_by_key(|(length, _)| *length);
        let Some((length, longest)) = longest else {
            return false;
        };
        if length <= self.waits(source) + 1 {
            return false;
        }
        if let Some(queue) = self.sources.get_mut(&longest) {
            self.waiting -= usize::from(queue.pop_back().is_some());
        }
        true
    }

    /// Requests whose client has gone keep no place in the queue.
    fn forget_the_gone(&mut self) {
        self.sources.retain(|_, queue| {
            queue.retain(|sender| !sender.is_closed());
            !queue.is_empty()
        });
        self.waiting = self.sources.values().map(VecDeque::len).sum();
        let sources = &self.sources;
        self.turns.retain(|source| sources.contains_key(source));
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;

    fn source(number: u8) -> Source {
        Source::V4(Ipv4Addr::new(192, 0, 2, number))
    }

    /// A request of `source` that has joined the queue when this returns.
    async fn wait(queue: &Queue, source: Source) -> JoinHandle<Result<Place, Refusal>> {
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

    fn is_busy(result: &Result<Place, Refusal>) -> bool {
        matches!(result, Err(Refusal::Busy { .. }))
    }

    #[tokio::test]
    async fn no_more_places_are_given_than_there_are() {
        let queue = Queue::new(2);
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
        let queue = Queue::new(1);
        let _place = queue.enter(source(1)).await.ok().unwrap();
        let mut tasks = Vec::new();
        for _ in 0..8 {
            tasks.push(wait(&queue, source(1)).await);
        }
        assert!(is_busy(&queue.enter(source(1)).await));
        let _other = wait(&queue, source(2)).await;
        assert_eq!(queue.state().waiting, 9);
        for task in tasks {
            task.abort();
        }
    }

    #[tokio::test]
    async fn an_address_that_waits_alone_is_next_however_many_guess_before_it() {
        let queue = Queue::new(1);
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
        let queue = Queue::new(1);
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
                refused += usize::from(is_busy(&guesser.await.unwrap()));
            }
        }
        assert_eq!(refused, 1);
    }

    #[tokio::test]
    async fn clients_that_went_away_keep_no_place_in_the_queue() {
        let queue = Queue::new(1);
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

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_patience() {
        let queue = Queue::new(1);
        let _place = queue.enter(source(1)).await.ok().unwrap();
        let begin = tokio::time::Instant::now();
        assert!(is_busy(&queue.enter(source(2)).await));
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

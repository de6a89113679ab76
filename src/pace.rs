//! How much of a body is read at once: much for who takes it fast, little for who takes it slowly.
//!
//! A read costs about the same whatever its size, so a fast pull wants large ones. What was read and cannot be written
//! yet is held in memory, for each of many slow pulls. How soon a single piece goes says nothing: sockets hold megabytes,
//! which a slow client empties half at a time, so what counts is the rate over a while.

use std::time::Duration;

use tokio::time::Instant;

/// The least that is read at once of a body that goes on.
pub(crate) const LEAST: usize = 16 * 1024;

/// The most.
pub(crate) const MOST: usize = 1024 * 1024;

/// What is read at once is what is taken in this time,
const SPAN: Duration = Duration::from_millis(8);

/// and the least for everybody who takes less than this in it: 16 MB a second.
const FAST: u128 = 128 * 1024;

/// It is never more than this part of what was taken before: sockets swallow the first megabytes of a slow pull as fast as
/// they come.
const PART: u64 = 64;

/// The time that the rate is about: half of it is forgotten when it is over, and all if nothing was taken in it.
const MEMORY: Duration = Duration::from_secs(1);

/// How fast the pieces of one body go to their taker.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last: Option<Instant>,
    /// Bytes taken in all.
    all: u64,
    /// Bytes taken lately, but for the first piece, and the time since which that is.
    recent: u64,
    spent: Duration,
}

impl Pace {
    /// A piece of this length is handed over; how much is to be read next.
    pub(crate) fn hand_over(&mut self, length: usize) -> usize {
        let now = Instant::now();
        let since = self.last.replace(now).map(|last| now - last);
        self.learn(length as u64, since)
    }

    /// Learns from a piece that went this long after the one before, if there was one.
    fn learn(&mut self, length: u64, since: Option<Duration>) -> usize {
        self.all = self.all.saturating_add(length);
        let Some(since) = since else {
            return LEAST;
        };
        if since > MEMORY {
            (self.recent, self.spent) = (0, Duration::ZERO);
        }
        self.recent = self.recent.saturating_add(length);
        self.spent = self.spent.saturating_add(since);
        if self.spent > MEMORY {
            self.recent /= 2;
            self.spent /= 2;
        }
        // A shorter time tells nothing.
        let spent = self.spent.max(SPAN).as_micros();
        let taken = u128::from(self.recent) * SPAN.as_micros() / spent;
        if taken < FAST {
            return LEAST;
        }
        let most = taken.min(u128::from(self.all / PART));
        let most = usize::try_from(most).unwrap_or(MOST).min(MOST);
        (most.saturating_add(1).next_power_of_two() / 2).max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `bytes` in pieces as large as they may be, all at once, and then waits; how much is to be read next.
    fn burst(pace: &mut Pace, mut read: usize, bytes: usize, wait: Duration) -> usize {
        let mut left = bytes;
        let mut since = Some(wait);
        while left > 0 {
            let piece = read.min(left);
            read = pace.learn(piece as u64, since.replace(Duration::ZERO));
            left -= piece;
        }
        read
    }

    #[test]
    fn who_takes_much_gets_all_that_there_is() {
        let mut pace = Pace::default();
        assert_eq!(pace.learn(8000, None), LEAST);
        let mut read = LEAST;
        for _ in 0..1000 {
            // A gigabyte a second.
            read = pace.learn(read as u64, Some(Duration::from_nanos(read as u64)));
        }
        assert_eq!(read, MOST);
        assert_eq!(burst(&mut pace, read, MOST, Duration::from_secs(9)), LEAST);
    }

    #[test]
    fn a_slow_taker_gets_little_though_it_takes_megabytes_at_once() {
        let mut pace = Pace::default();
        let mut read = burst(&mut pace, LEAST, 6 << 20, Duration::ZERO);
        assert!(read <= 64 * 1024, "{read} of what the sockets swallowed");
        let mut most = LEAST;
        for _ in 0..20 {
            // Three megabytes a second.
            read = burst(&mut pace, read, 3 << 19, Duration::from_millis(500));
            most = most.max(read);
        }
        assert_eq!(most, LEAST);
    }

    #[test]
    fn who_becomes_fast_or_slow_is_treated_so_within_seconds() {
        let mut pace = Pace::default();
        let mut read = LEAST;
        let mut take = |per_second: u64, seconds: u64| {
            for _ in 0..seconds * 100 {
                let piece = per_second / 100;
                read = pace.learn(piece, Some(Duration::from_millis(10)));
            }
            read
        };
        assert_eq!(take(200_000_000, 3), MOST);
        assert_eq!(take(8_000_000, 5), LEAST);
        assert_eq!(take(200_000_000, 5), MOST);
    }
}

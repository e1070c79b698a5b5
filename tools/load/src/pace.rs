//! When the next batch is due: at a fixed rate, or as soon as the loop has room.
//!
//! At a rate, batch `k` is due at `k × batch ÷ rate` after the start, whether or not the engine keeps up; a batch that is taken
//! late keeps the time it was due, so that its latency tells the wait (no coordinated omission). In a closed loop a batch is due
//! when room for it was found: at most `outstanding` transactions are handed out and neither refused nor yet seen in a block.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

/// The regime of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Regime {
    /// This many transactions a second.
    Rate(f64),
    /// At most this many handed out and neither refused nor yet in a block.
    Closed(u64),
}

/// A batch to offer: numbers `first..first + count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// First number.
    pub(crate) first: u64,
    /// How many numbers.
    pub(crate) count: u64,
    /// When it was due, µs since the Unix epoch.
    pub(crate) intended_us: u64,
}

/// One clock for the run: monotonic, and anchored once to the wall clock that the engine's timeline uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    start_us: u64,
}

impl Clock {
    /// Starts now.
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), start_us: micros(since_epoch) }
    }

    /// When the clock was started, µs since the Unix epoch.
    pub(crate) fn start_us(&self) -> u64 {
        self.start_us
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Now, µs since the Unix epoch.
    pub(crate) fn now_us(&self) -> u64 {
        self.start_us + micros(self.elapsed())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Hands batches to the connections, in order.
pub(crate) struct Pace {
    regime: Regime,
    transactions: u64,
    batch: u64,
    clock: Clock,
    // The lock makes takers queue in order; it is held across the wait on purpose.
    next: Mutex<u64>,
    intended_us: parking_lot::Mutex<Vec<u64>>,
    handed_out: AtomicU64,
    included: AtomicU64,
    refused: AtomicU64,
    room: Notify,
}

impl Pace {
    /// Hands out `0..transactions` in batches of `batch`.
    pub(crate) fn new(regime: Regime, transactions: u64, batch: u64, clock: Clock) -> Self {
        Self {
            regime,
            transactions,
            batch,
            clock,
            next: Mutex::new(0),
            intended_us: parking_lot::Mutex::new(Vec::new()),
            handed_out: AtomicU64::new(0),
            included: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            room: Notify::new(),
        }
    }

    /// The next batch, once it is due; `None` when all have been handed out.
    pub(crate) async fn take(&self) -> Option<Job> {
        let mut next = self.next.lock().await;
        let first = *next;
        let count = self.batch.min(self.transactions - first);
        if count == 0 {
            return None;
        }
        let intended_us = match self.regime {
            Regime::Rate(per_second) => {
                let due = Duration::from_secs_f64(first as f64 / per_second);
                tokio::time::sleep_until(self.clock.start + due).await;
                self.clock.start_us + micros(due)
            }
            Regime::Closed(outstanding) => {
                self.wait_for_room(first + count, outstanding.max(count)).await;
                self.clock.now_us()
            }
        };
        *next += count;
        self.intended_us.lock().push(intended_us);
        self.handed_out.store(*next, Ordering::Relaxed);
        Some(Job { first, count, intended_us })
    }

    async fn wait_for_room(&self, handed_out_then: u64, outstanding: u64) {
        loop {
            let notified = self.room.notified();
            if handed_out_then.saturating_sub(self.included() + self.refused()) <= outstanding {
                return;
            }
            notified.await;
        }
    }

    /// When each batch so far was due, by its index; µs since the Unix epoch.
    pub(crate) fn intended_us(&self) -> Vec<u64> {
        self.intended_us.lock().clone()
    }

    /// How many numbers have been handed out.
    pub(crate) fn handed_out(&self) -> u64 {
        self.handed_out.load(Ordering::Relaxed)
    }

    /// Tells how many transactions the chain has included so far.
    pub(crate) fn set_included(&self, included: u64) {
        self.included.store(included, Ordering::Relaxed);
        self.room.notify_waiters();
    }

    /// How many transactions the chain has included so far.
    pub(crate) fn included(&self) -> u64 {
        self.included.load(Ordering::Relaxed)
    }

    /// Tells that the engine has refused `count` more transactions, which will never be in a block.
    pub(crate) fn add_refused(&self, count: u64) {
        self.refused.fetch_add(count, Ordering::Relaxed);
        self.room.notify_waiters();
    }

    /// How many transactions the engine has refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_closed_loop_waits_until_the_chain_makes_room() {
        let pace = Pace::new(Regime::Closed(4), 6, 2, Clock::start());
        assert_eq!(pace.take().await.unwrap().first, 0);
        assert_eq!(pace.take().await.unwrap().first, 2);
        assert!(pace.take().now_or_never().is_none(), "four are out and none is included");
        let mut third = Box::pin(pace.take());
        assert!((&mut third).now_or_never().is_none());
        pace.set_included(1);
        assert!((&mut third).now_or_never().is_none(), "a batch of two needs two places");
        pace.set_included(2);
        assert_eq!(third.await.unwrap().first, 4);
        assert!(pace.take().await.is_none());
        assert_eq!(pace.handed_out(), 6);
    }

    #[tokio::test]
    async fn what_is_refused_makes_room_in_a_closed_loop() {
        let pace = Pace::new(Regime::Closed(2), 4, 2, Clock::start());
        pace.take().await.unwrap();
        let mut second = Box::pin(pace.take());
        assert!((&mut second).now_or_never().is_none());
        pace.add_refused(1);
        pace.set_included(1);
        assert_eq!(second.await.unwrap().first, 2);
    }

    #[tokio::test]
    async fn a_loop_smaller_than_a_batch_still_moves() {
        let pace = Pace::new(Regime::Closed(1), 5, 5, Clock::start());
        assert_eq!(pace.take().await.unwrap().count, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn at_a_rate_a_batch_that_is_taken_late_keeps_the_time_it_was_due() {
        let clock = Clock::start();
        let pace = Pace::new(Regime::Rate(100.0), 30, 10, clock);
        assert_eq!(pace.take().await.unwrap().intended_us, clock.start_us());
        tokio::time::sleep(Duration::from_secs(5)).await;
        let late = pace.take().await.unwrap();
        assert_eq!((late.first, late.intended_us), (10, clock.start_us() + 100_000));
    }

    #[tokio::test(start_paused = true)]
    async fn at_a_rate_a_batch_is_not_handed_out_early() {
        let clock = Clock::start();
        let pace = Pace::new(Regime::Rate(10.0), 20, 10, clock);
        pace.take().await.unwrap();
        pace.take().await.unwrap();
        assert!(clock.elapsed() >= Duration::from_secs(1));
    }
}

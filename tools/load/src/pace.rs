//! Hands batches to the connections: when they are due in an open stage, as soon as there is room in a closed one.
//!
//! In an open stage a batch that is taken late keeps the time it was due, so that its latency tells the wait (no coordinated
//! omission). In a closed stage a batch is due when room for it was found. Every batch is in the run's record before it is
//! handed out.
//!
//! A run that is resumed first hands out what was offered and never answered, with the times it was due; then the schedule goes on
//! from where it stopped, so the time without a load is not held against the system.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use crate::event::{Batch, Event, Journal};
use crate::plan::Plan;
use crate::record::Record;
use crate::stage::StagePace;

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

    async fn sleep_until_us(&self, at_us: u64) {
        tokio::time::sleep_until(self.start + Duration::from_micros(at_us.saturating_sub(self.start_us))).await;
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What a connection is to offer: the numbers of a batch that have no answer yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// The batch.
    pub(crate) batch: Batch,
    /// Its numbers without an answer.
    pub(crate) open: Vec<u64>,
    /// Whether it may have been offered before.
    pub(crate) is_repeated: bool,
}

/// Where the schedule stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    next: u64,
    stage: usize,
    /// When the stage began by its schedule, µs since the Unix epoch. Before the clock's start where a run was resumed.
    began_us: u64,
}

/// Hands batches out, in order.
pub(crate) struct Pace {
    plan: Arc<Plan>,
    batch: u64,
    clock: Clock,
    journal: Arc<Journal>,
    // The lock makes takers queue in order; it is held across the wait on purpose.
    turn: Mutex<VecDeque<Job>>,
    place: parking_lot::Mutex<Place>,
    included: AtomicU64,
    refused: AtomicU64,
    room: Notify,
}

impl Pace {
    /// Hands out all transactions of `plan` in batches of at most `batch`.
    pub(crate) fn new(plan: Arc<Plan>, batch: u64, clock: Clock, journal: Arc<Journal>) -> Self {
        let place = Place { next: 0, stage: 0, began_us: clock.start_us() };
        Self::at(place, VecDeque::new(), plan, batch, clock, journal)
    }

    /// Hands out what `record` lacks.
    pub(crate) fn resume(record: &Record, plan: Arc<Plan>, clock: Clock, journal: Arc<Journal>) -> Self {
        let next = record.offered();
        let stage = plan.stage_of(next.min(plan.transactions() - 1));
        let (first, of) = &plan.stages()[stage];
        let passed_us = (of.due_s(next - first).unwrap_or(0.0) * 1e6) as u64;
        let place = Place { next, stage, began_us: clock.start_us().saturating_sub(passed_us) };
        let again = record.unanswered().into_iter().map(|(batch, open)| Job { batch, open, is_repeated: true }).collect();
        let pace = Self::at(place, again, plan, record.begin.batch, clock, journal);
        pace.refused.store(record.refused.len() as u64, Ordering::Relaxed);
        pace
    }

    fn at(place: Place, again: VecDeque<Job>, plan: Arc<Plan>, batch: u64, clock: Clock, journal: Arc<Journal>) -> Self {
        Self {
            plan,
            batch,
            clock,
            journal,
            turn: Mutex::new(again),
            place: parking_lot::Mutex::new(place),
            included: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            room: Notify::new(),
        }
    }

    /// The next job, once it is due; `None` when all have been handed out.
    pub(crate) async fn take(&self) -> anyhow::Result<Option<Job>> {
        let mut again = self.turn.lock().await;
        if let Some(job) = again.pop_front() {
            return Ok(Some(job));
        }
        let mut place = *self.place.lock();
        if place.next >= self.plan.transactions() {
            return Ok(None);
        }
        self.enter_stage(&mut place);
        let (first, stage) = &self.plan.stages()[place.stage];
        let k = place.next - first;
        let count = stage.batch_at(k, self.batch).min(stage.transactions - k);
        let intended_us = match stage.pace {
            StagePace::Closed(outstanding) => {
                self.wait_for_room(place.next + count, outstanding.max(count)).await;
                self.clock.now_us()
            }
            StagePace::Rate(_) | StagePace::Ramp(..) => {
                let due_us = place.began_us + (stage.due_s(k).unwrap_or(0.0) * 1e6) as u64;
                self.clock.sleep_until_us(due_us).await;
                due_us
            }
        };
        let batch = Batch { first: place.next, count, intended_us };
        self.journal.write(&Event::Batch(batch))?;
        place.next += count;
        *self.place.lock() = place;
        Ok(Some(Job { batch, open: (batch.first..place.next).collect(), is_repeated: false }))
    }

    /// Goes to the stage of the next number; its begin is the scheduled end of the one before, or now after a closed one.
    fn enter_stage(&self, place: &mut Place) {
        let stages = self.plan.stages();
        while place.next >= stages[place.stage].0 + stages[place.stage].1.transactions {
            place.began_us = match stages[place.stage].1.length_s() {
                Some(length_s) => place.began_us + (length_s * 1e6) as u64,
                None => self.clock.now_us(),
            };
            place.stage += 1;
        }
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

    /// How many transactions should have been handed out by now.
    pub(crate) fn due(&self) -> u64 {
        let Place { next, stage, mut began_us } = *self.place.lock();
        let now_us = self.clock.now_us();
        let mut due = next;
        for (first, stage) in &self.plan.stages()[stage..] {
            let Some(length_s) = stage.length_s() else { break };
            if began_us > now_us {
                break;
            }
            due = due.max(first + stage.due_after((now_us - began_us) as f64 / 1e6));
            began_us += (length_s * 1e6) as u64;
        }
        due
    }

    /// How many numbers have been handed out.
    pub(crate) fn handed_out(&self) -> u64 {
        self.place.lock().next
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

    /// Tells that `count` more transactions are refused, which will never be in a block.
    pub(crate) fn add_refused(&self, count: u64) {
        self.refused.fetch_add(count, Ordering::Relaxed);
        self.room.notify_waiters();
    }

    /// How many transactions are refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use alloy::primitives::Address;
    use futures_util::FutureExt;

    use super::*;
    use crate::mix::Mix;
    use crate::record::tests::{accepted, batch, lines};
    use crate::scenario::Scenario;
    use crate::stage::Stage;

    /// A pace over stages of a pace and a number of transactions each.
    fn pace(stages: &[(StagePace, u64)], batch: u64) -> (Pace, Clock) {
        let clock = Clock::start();
        let mix = Mix::only(Scenario::Transfer);
        let stages = stages.iter().map(|(pace, transactions)| Stage::of("s".into(), *pace, *transactions, mix.clone()).unwrap()).collect();
        let plan = Arc::new(Plan::new(1, stages, vec![Address::repeat_byte(1)]).unwrap());
        (Pace::new(plan, batch, clock, Arc::new(journal())), clock)
    }

    fn journal() -> Journal {
        let dir = tempfile::tempdir().unwrap();
        Journal::create(&dir.path().join("record")).unwrap()
    }

    async fn next(pace: &Pace) -> Batch {
        pace.take().await.unwrap().unwrap().batch
    }

    #[tokio::test]
    async fn a_closed_loop_waits_until_the_chain_makes_room() {
        let (pace, _) = pace(&[(StagePace::Closed(4), 6)], 2);
        assert_eq!(next(&pace).await.first, 0);
        assert_eq!(next(&pace).await.first, 2);
        assert!(pace.take().now_or_never().is_none(), "four are out and none is included");
        let mut third = Box::pin(pace.take());
        assert!((&mut third).now_or_never().is_none());
        pace.set_included(1);
        assert!((&mut third).now_or_never().is_none(), "a batch of two needs two places");
        pace.set_included(2);
        assert_eq!(third.await.unwrap().unwrap().batch.first, 4);
        assert!(pace.take().await.unwrap().is_none());
        assert_eq!(pace.handed_out(), 6);
    }

    #[tokio::test]
    async fn what_is_refused_makes_room_in_a_closed_loop() {
        let (pace, _) = pace(&[(StagePace::Closed(2), 4)], 2);
        pace.take().await.unwrap();
        let mut second = Box::pin(pace.take());
        assert!((&mut second).now_or_never().is_none());
        pace.add_refused(1);
        pace.set_included(1);
        assert_eq!(second.await.unwrap().unwrap().batch.first, 2);
    }

    #[tokio::test]
    async fn a_loop_smaller_than_a_batch_still_moves() {
        let (pace, _) = pace(&[(StagePace::Closed(1), 5)], 5);
        assert_eq!(next(&pace).await.count, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn at_a_rate_a_batch_that_is_taken_late_keeps_the_time_it_was_due() {
        let (pace, clock) = pace(&[(StagePace::Rate(200.0), 30)], 10);
        assert_eq!(next(&pace).await.intended_us, clock.start_us());
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(pace.due(), 30, "all of them should be out by now");
        let late = next(&pace).await;
        assert_eq!((late.first, late.intended_us), (10, clock.start_us() + 50_000));
    }

    #[tokio::test(start_paused = true)]
    async fn at_a_rate_a_batch_is_not_handed_out_early() {
        let (pace, clock) = pace(&[(StagePace::Rate(10.0), 11)], 10);
        while pace.take().await.unwrap().is_some() {}
        assert!(clock.elapsed() >= Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_stage_begins_when_the_schedule_before_it_ends_and_after_a_closed_one_at_once() {
        let (pace, clock) =
            pace(&[(StagePace::Rate(1.0), 2), (StagePace::Rate(1.0), 1), (StagePace::Closed(9), 2), (StagePace::Rate(2.0), 2)], 2);
        let mut due_s = Vec::new();
        while let Some(job) = pace.take().await.unwrap() {
            due_s.push((job.batch.intended_us - clock.start_us()) as f64 / 1e6);
            if job.batch.first == 3 {
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        }
        assert_eq!(due_s, [0.0, 1.0, 2.0, 2.0, 12.0, 12.5]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_resumed_run_offers_first_what_had_no_answer_and_then_goes_on() {
        let record = Record::parse(&lines(10, &[batch(0, 2), batch(2, 2), accepted(2, 2)])).unwrap();
        let plan = Arc::new(Plan::new(1, record.begin.stages.clone(), vec![Address::repeat_byte(1)]).unwrap());
        let pace = Pace::resume(&record, plan, Clock::start(), Arc::new(journal()));
        let first = pace.take().await.unwrap().unwrap();
        assert_eq!((first.open, first.batch.intended_us, first.is_repeated), (vec![0, 1], 1_000_000, true));
        assert!(pace.take().now_or_never().is_none(), "four are out, and there is room for five");
        pace.set_included(2);
        let second = pace.take().await.unwrap().unwrap();
        assert_eq!((second.open, second.is_repeated), (vec![4, 5], false));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_without_a_load_is_not_held_against_the_system() {
        let mix = Mix::only(Scenario::Transfer);
        let stage = Stage::of("s".into(), StagePace::Rate(1.0), 10, mix).unwrap();
        let mut record = Record::parse(&lines(10, &[batch(0, 4), accepted(0, 4)])).unwrap();
        record.begin.stages = vec![stage.clone()];
        let clock = Clock::start();
        let plan = Arc::new(Plan::new(1, vec![stage], vec![Address::repeat_byte(1)]).unwrap());
        let pace = Pace::resume(&record, plan, clock, Arc::new(journal()));
        assert_eq!(next(&pace).await.intended_us, clock.start_us());
        assert_eq!(next(&pace).await.intended_us, clock.start_us() + 1_000_000);
    }
}

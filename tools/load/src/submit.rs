//! One connection's work: take a batch, offer it until the engine has answered for every transaction in it.
//!
//! What is not answered for good is offered again with the same idempotency key, after a delay that doubles up to a limit and is
//! spread by jitter. The worker never gives up by itself: the run does, when nothing moves for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::api::{Client, Verdict, judge};
use crate::pace::Pace;
use crate::plan::Plan;

/// First delay before a batch is offered again.
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
/// Longest delay, so that an engine that comes back is found soon.
const BACKOFF_LONGEST: Duration = Duration::from_secs(1);

/// What the connections have done so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Transactions whose request was handed to a live connection at least once.
    pub(crate) sent: AtomicU64,
    /// Transactions the engine has accepted.
    pub(crate) accepted: AtomicU64,
    /// Requests that had to be repeated, in whole or in part.
    pub(crate) repeated: AtomicU64,
    /// Refused transactions with the engine's reason.
    pub(crate) refused: Mutex<Vec<(u64, String)>>,
}

/// Doubling delays with jitter.
struct Backoff {
    next: Duration,
    random: StdRng,
}

impl Backoff {
    fn new(seed: u64) -> Self {
        Self { next: BACKOFF_FIRST, random: StdRng::seed_from_u64(seed) }
    }

    /// The delay to take now: at least `at_least`, else between half and all of the current step.
    fn step(&mut self, at_least: Option<Duration>) -> Duration {
        let jittered = self.next.mul_f64(self.random.random_range(0.5..=1.0));
        self.next = (self.next * 2).min(BACKOFF_LONGEST);
        at_least.unwrap_or_default().max(jittered)
    }

    fn reset(&mut self) {
        self.next = BACKOFF_FIRST;
    }
}

/// Offers batches over one connection until none is left.
pub(crate) async fn work(mut client: Client, plan: Arc<Plan>, pace: Arc<Pace>, tally: Arc<Tally>, jitter_seed: u64) -> anyhow::Result<()> {
    let mut backoff = Backoff::new(jitter_seed);
    while let Some(job) = pace.take().await {
        let mut open: Vec<u64> = (job.first..job.first + job.count).collect();
        let mut sent = false;
        loop {
            let at_least = offer(&mut client, &plan, &tally, &mut open, &mut sent).await?;
            if open.is_empty() {
                backoff.reset();
                break;
            }
            tally.repeated.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(backoff.step(at_least)).await;
        }
    }
    Ok(())
}

/// Offers what is open once, and leaves in `open` what must be offered again. Returns the delay the engine asks for.
async fn offer(client: &mut Client, plan: &Plan, tally: &Tally, open: &mut Vec<u64>, sent: &mut bool) -> anyhow::Result<Option<Duration>> {
    if client.connect().await.is_err() {
        return Ok(None);
    }
    if !*sent {
        *sent = true;
        tally.sent.fetch_add(open.len() as u64, Ordering::Relaxed);
    }
    let Ok(reply) = client.post(Bytes::from(plan.request(open))).await else {
        return Ok(None);
    };
    let verdicts = judge(&reply, open.len())?;
    let mut at_least = None;
    let mut again = Vec::new();
    let mut accepted = 0;
    for (number, verdict) in open.drain(..).zip(verdicts) {
        match verdict {
            Verdict::Accepted => accepted += 1,
            Verdict::Again(delay) => {
                at_least = at_least.max(delay);
                again.push(number);
            }
            Verdict::Refused(reason) => tally.refused.lock().push((number, reason)),
        }
    }
    tally.accepted.fetch_add(accepted, Ordering::Relaxed);
    *open = again;
    Ok(at_least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_limit_and_start_again_after_success() {
        let mut backoff = Backoff::new(1);
        assert!(backoff.step(None) <= BACKOFF_FIRST);
        for _ in 0..20 {
            assert!(backoff.step(None) <= BACKOFF_LONGEST);
        }
        assert!(backoff.step(None) >= BACKOFF_LONGEST / 2);
        backoff.reset();
        assert!(backoff.step(None) <= BACKOFF_FIRST);
    }

    #[test]
    fn the_delay_the_engine_asks_for_is_kept() {
        let asked = Duration::from_millis(300);
        assert!(Backoff::new(1).step(Some(asked)) >= asked);
    }
}

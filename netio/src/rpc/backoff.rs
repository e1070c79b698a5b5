//! Waits that double: before a lane dials again after its connection broke, and before a breaker lets a probe out.
//!
//! The wait doubles with each failure in a row and ends with the first HTTP reply. Half of it is jitter, so that the lanes of many
//! shards do not return to a restarted node in step. The jitter comes from the room's clock: under a simulated
//! clock the same run waits the same times.

use std::time::Duration;

/// Failures in a row and the time before which nothing is tried.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    until: Duration,
}

impl Backoff {
    /// How long to wait from `now` on.
    pub(super) fn remainder(&self, now: Duration) -> Duration {
        self.until.saturating_sub(now)
    }

    /// It failed at `now`: the first wait is `min`, and none is longer than `max`.
    pub(super) fn fail(&mut self, now: Duration, min: Duration, max: Duration) {
        let wait = min.saturating_mul(2_u32.saturating_pow(self.failures)).min(max);
        self.failures = self.failures.saturating_add(1);
        self.until = now + wait / 2 + fraction(wait / 2, now);
    }

    /// The node replied.
    pub(super) fn succeed(&mut self) {
        *self = Self::default();
    }
}

/// A part of `whole` from none to all of it, spread evenly over instants.
fn fraction(whole: Duration, now: Duration) -> Duration {
    let share = scramble(now.as_nanos() as u64) >> 32;
    let nanos = (whole.as_nanos() * u128::from(share)) >> 32;
    Duration::from_nanos(nanos as u64)
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
fn scramble(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(10);
    const MAX: Duration = Duration::from_millis(100);

    #[test]
    fn waits_double_up_to_the_bound_and_at_least_half_of_each_is_waited() {
        let mut backoff = Backoff::default();
        let mut now = Duration::from_secs(7);
        for whole_ms in [10, 20, 40, 80, 100, 100] {
            backoff.fail(now, MIN, MAX);
            let wait = backoff.remainder(now);
            let whole = Duration::from_millis(whole_ms);
            assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
            now += wait;
            assert_eq!(backoff.remainder(now), Duration::ZERO);
        }
    }

    #[test]
    fn many_failures_neither_overflow_nor_exceed_the_bound() {
        let mut backoff = Backoff::default();
        for _ in 0..100 {
            backoff.fail(Duration::ZERO, MIN, MAX);
        }
        assert!(backoff.remainder(Duration::ZERO) <= MAX);
    }

    #[test]
    fn a_reply_ends_the_wait() {
        let mut backoff = Backoff::default();
        backoff.fail(Duration::ZERO, MIN, MAX);
        backoff.succeed();
        assert_eq!(backoff.remainder(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn jitter_differs_between_instants_and_repeats_for_the_same_one() {
        let whole = Duration::from_millis(50);
        let at = |micros| fraction(whole, Duration::from_micros(micros));
        assert_eq!(at(3), at(3));
        assert_ne!(at(3), at(4));
        let mean = (0..1000).map(at).sum::<Duration>() / 1000;
        assert!(mean > whole * 4 / 10 && mean < whole * 6 / 10, "{mean:?}");
    }
}

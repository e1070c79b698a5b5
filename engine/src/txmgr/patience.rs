//! How long an attempt waits for a block before its price counts as too low, where a start of the engine lies in between.

use std::time::Duration;

/// What an attempt gets after a start, however old it is: about a block's time on Ethereum.
const AFTER_START: Duration = Duration::from_secs(15);

/// How long an attempt may still wait for a block when the engine starts. The disk knows by the wall clock when it was signed, and that
/// clock may have been set since: an attempt is no younger than new, and none is so old that the bytes which every start sends again
/// get no time for a block at their price.
#[must_use]
pub fn patience_left(signed_at: u64, interval: Duration, unix_us: u64) -> Duration {
    let age = Duration::from_micros(unix_us.saturating_sub(signed_at));
    interval.saturating_sub(age).max(interval.min(AFTER_START))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_an_attempt_outlives_a_restart_and_a_clock_that_was_set() {
        let (interval, second) = (Duration::from_secs(300), 1_000_000);
        let left = |signed_at, now| patience_left(signed_at * second, interval, now * second).as_secs();
        assert_eq!(left(1_000, 1_000), 300);
        assert_eq!(left(1_000, 1_200), 100);
        assert_eq!(left(1_000, 999_999), AFTER_START.as_secs(), "a clock that went on does not raise everything at once");
        assert_eq!(left(1_000, 3), 300, "a clock that went back does not put it off for ever");
        assert_eq!(patience_left(0, seconds(2), 10 * second), seconds(2), "an interval may be shorter than that");
    }

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }
}

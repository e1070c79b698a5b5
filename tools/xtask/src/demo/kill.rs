//! When the engine is killed: moments drawn from the seed, as numbers of accepted transactions.
//!
//! Counted in transactions and not in seconds, so that the same seed kills at the same points of the work on a fast machine and
//! on a slow one.

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The part of a run, in percent, in which kills fall: not before there is work, nor after all is accepted.
const FROM_PERCENT: u64 = 2;
const TO_PERCENT: u64 = 98;

/// Kills to come, in order.
#[derive(Debug)]
pub(crate) struct Kills {
    moments: VecDeque<u64>,
}

impl Kills {
    /// `count` moments of a run of `transactions`, from `seed`.
    pub(crate) fn draw(seed: u64, count: u32, transactions: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let range = transactions * FROM_PERCENT / 100..=transactions * TO_PERCENT / 100;
        let mut moments: Vec<u64> = (0..count).map(|_| random.random_range(range.clone())).collect();
        moments.sort_unstable();
        Self { moments: moments.into() }
    }

    /// The moments, for a person.
    pub(crate) fn moments(&self) -> impl Iterator<Item = u64> {
        self.moments.iter().copied()
    }

    /// Whether a kill is due when `accepted` transactions are accepted; if so, it is taken off the list.
    pub(crate) fn is_due(&mut self, accepted: u64) -> bool {
        self.moments.pop_front_if(|moment| *moment <= accepted).is_some()
    }

    /// How many kills are left.
    pub(crate) fn left(&self) -> usize {
        self.moments.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_moments_in_order_and_within_the_run() {
        let moments = |seed| Kills::draw(seed, 5, 100_000).moments().collect::<Vec<_>>();
        assert_eq!(moments(7), moments(7));
        assert_ne!(moments(7), moments(8));
        assert!(moments(7).is_sorted() && moments(7).iter().all(|moment| (2_000..=98_000).contains(moment)));
    }

    #[test]
    fn each_kill_is_due_once_when_its_moment_has_come() {
        let mut kills = Kills { moments: [10, 20, 20].into() };
        assert!(!kills.is_due(9));
        assert!(kills.is_due(15));
        assert!(!kills.is_due(15));
        assert!(kills.is_due(25) && kills.is_due(25) && !kills.is_due(25));
        assert_eq!(kills.left(), 0);
    }

    #[test]
    fn a_run_of_one_transaction_can_be_killed() {
        assert_eq!(Kills::draw(1, 2, 1).left(), 2);
    }
}

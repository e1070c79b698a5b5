//! A stage of a run: how many transactions, of what mix, and when each is due. Pure.
//!
//! | pace | the `k`-th transaction of the stage is due |
//! |---|---|
//! | `Rate` | `k ÷ rate` after the stage began, whatever the system does (open loop) |
//! | `Ramp` | when the area under the line from the first rate to the last reaches `k` (open loop) |
//! | `Closed` | when there is room: at most `outstanding` are offered and neither refused nor in a block |
//!
//! An open stage begins when the schedule of the one before it ends, late or not; after a closed one, when that has offered its last.

use anyhow::{bail, ensure};
use serde::{Deserialize, Serialize};

use crate::mix::Mix;

/// Highest rate: beyond what any machine of today sends, so that a slip of the finger is found.
const RATE_MAX: f64 = 10_000_000.0;
/// Longest stage: a week.
const SECONDS_MAX: f64 = 7.0 * 86_400.0;
/// Most transactions of a run; verification keeps some 50 bytes for each in memory.
pub(crate) const TRANSACTIONS_MAX: u64 = 100_000_000;
/// A batch of an open stage holds at most what is due within this time, so that its transactions are due at about the same moment.
const SPREAD_S: f64 = 0.05;

/// How a stage is paced.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StagePace {
    /// Transactions a second.
    Rate(f64),
    /// From one rate to another in a straight line, transactions a second.
    Ramp(f64, f64),
    /// At most so many offered and neither refused nor in a block.
    Closed(u64),
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stage {
    /// For reports.
    pub(crate) name: String,
    /// When its transactions are due.
    pub(crate) pace: StagePace,
    /// How many it has.
    pub(crate) transactions: u64,
    /// What they are.
    pub(crate) mix: Mix,
}

impl Stage {
    /// An open stage that lasts `seconds`.
    pub(crate) fn lasting(name: String, pace: StagePace, seconds: f64, mix: Mix) -> anyhow::Result<Self> {
        check_pace(pace)?;
        ensure!(
            seconds.is_finite() && seconds > 0.0 && seconds <= SECONDS_MAX,
            "seconds = {seconds} is not a length of time above 0 and up to {SECONDS_MAX}"
        );
        let transactions = match pace {
            StagePace::Rate(rate) => rate * seconds,
            StagePace::Ramp(from, to) => (from + to) / 2.0 * seconds,
            StagePace::Closed(_) => bail!("a closed loop has no schedule that a time could end; give `transactions` in place of `seconds`"),
        };
        ensure!(
            transactions.round() >= 1.0,
            "{} for {seconds} s is less than one transaction; raise the rate or the seconds",
            describe(pace)
        );
        Self::of(name, pace, transactions.round() as u64, mix)
    }

    /// A stage of `transactions`.
    pub(crate) fn of(name: String, pace: StagePace, transactions: u64, mix: Mix) -> anyhow::Result<Self> {
        check_pace(pace)?;
        ensure!(
            (1..=TRANSACTIONS_MAX).contains(&transactions),
            "{transactions} transactions are not between 1 and {TRANSACTIONS_MAX}; lower the rate or the length of the stage"
        );
        Ok(Self { name, pace, transactions, mix })
    }

    /// When transaction `k` of the stage is due, in seconds after its begin; `None` in a closed loop.
    pub(crate) fn due_s(&self, k: u64) -> Option<f64> {
        let k = k as f64;
        match self.pace {
            StagePace::Rate(rate) => Some(k / rate),
            StagePace::Ramp(from, to) => {
                let climb = self.climb(from, to);
                if climb.abs() < f64::EPSILON * from.max(to) {
                    return Some(k / from.max(to));
                }
                // The smaller root of from·t + climb·t²/2 = k; a ramp down ends before its line crosses zero.
                Some(((from * from + 2.0 * climb * k).max(0.0).sqrt() - from) / climb)
            }
            StagePace::Closed(_) => None,
        }
    }

    /// How long the schedule is, in seconds; `None` in a closed loop.
    pub(crate) fn length_s(&self) -> Option<f64> {
        match self.pace {
            StagePace::Rate(rate) => Some(self.transactions as f64 / rate),
            StagePace::Ramp(from, to) => Some(2.0 * self.transactions as f64 / (from + to)),
            StagePace::Closed(_) => None,
        }
    }

    /// How many transactions are due `elapsed_s` after the begin; all of a closed loop.
    pub(crate) fn due_after(&self, elapsed_s: f64) -> u64 {
        let elapsed_s = elapsed_s.max(0.0);
        let due = match self.pace {
            _ if self.length_s().is_none_or(|length| elapsed_s >= length) => return self.transactions,
            StagePace::Rate(rate) => rate * elapsed_s,
            StagePace::Ramp(from, to) => from * elapsed_s + self.climb(from, to) * elapsed_s * elapsed_s / 2.0,
            StagePace::Closed(_) => return self.transactions,
        };
        (due as u64 + 1).min(self.transactions)
    }

    /// The largest batch that starts with transaction `k`: at most `most`.
    pub(crate) fn batch_at(&self, k: u64, most: u64) -> u64 {
        let rate = match self.pace {
            StagePace::Rate(rate) => rate,
            StagePace::Ramp(from, to) => from + self.climb(from, to) * self.due_s(k).unwrap_or(0.0),
            StagePace::Closed(_) => return most,
        };
        ((rate * SPREAD_S) as u64).clamp(1, most)
    }

    fn climb(&self, from: f64, to: f64) -> f64 {
        (to - from) / self.length_s().unwrap_or(1.0)
    }
}

fn check_pace(pace: StagePace) -> anyhow::Result<()> {
    let is_rate = |rate: f64| rate.is_finite() && (0.0..=RATE_MAX).contains(&rate);
    match pace {
        StagePace::Rate(rate) => {
            ensure!(is_rate(rate) && rate > 0.0, "rate {rate} is not a number of transactions a second above 0 and up to {RATE_MAX}");
        }
        StagePace::Ramp(from, to) => ensure!(
            is_rate(from) && is_rate(to) && from + to > 0.0,
            "ramp from {from} to {to}: both must be transactions a second from 0 to {RATE_MAX}, and one of them above 0"
        ),
        StagePace::Closed(outstanding) => {
            ensure!(outstanding > 0, "outstanding = 0 lets nothing through; give the most that may be offered and not yet in a block");
        }
    }
    Ok(())
}

/// The pace for a person.
pub(crate) fn describe(pace: StagePace) -> String {
    match pace {
        StagePace::Rate(rate) => format!("{rate}/s"),
        StagePace::Ramp(from, to) => format!("{from}/s to {to}/s"),
        StagePace::Closed(outstanding) => format!("closed loop of {outstanding}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::scenario::Scenario;

    fn lasting(pace: StagePace, seconds: f64) -> anyhow::Result<Stage> {
        Stage::lasting("s".into(), pace, seconds, Mix::only(Scenario::Transfer))
    }

    #[test]
    fn a_rate_is_even() {
        let stage = lasting(StagePace::Rate(50.0), 4.0).unwrap();
        assert_eq!((stage.transactions, stage.due_s(100), stage.length_s()), (200, Some(2.0), Some(4.0)));
        assert_eq!((stage.due_after(0.0), stage.due_after(2.0), stage.due_after(99.0)), (1, 101, 200));
    }

    #[test]
    fn a_ramp_offers_the_area_under_its_line() {
        let up = lasting(StagePace::Ramp(0.0, 100.0), 10.0).unwrap();
        assert_eq!(up.transactions, 500);
        assert!((up.due_s(125).unwrap() - 5.0).abs() < 1e-9, "a quarter of the area at half the time");
        assert!((up.due_s(500).unwrap() - 10.0).abs() < 1e-9);
        let down = lasting(StagePace::Ramp(100.0, 0.0), 10.0).unwrap();
        assert!((down.due_s(375).unwrap() - 5.0).abs() < 1e-9);
        assert!((down.due_s(500).unwrap() - 10.0).abs() < 1e-9);
        let flat = lasting(StagePace::Ramp(10.0, 10.0), 1.0).unwrap();
        assert_eq!(flat.due_s(5), Some(0.5));
    }

    #[test]
    fn what_is_due_after_a_time_and_when_it_is_due_agree() {
        for pace in [StagePace::Rate(37.0), StagePace::Ramp(3.0, 90.0), StagePace::Ramp(90.0, 3.0)] {
            let stage = lasting(pace, 11.0).unwrap();
            for k in 0..stage.transactions {
                let due_s = stage.due_s(k).unwrap();
                assert!(stage.due_after(due_s + 1e-6) > k, "{pace:?}: {k} is due at {due_s}");
                assert!(stage.due_after(due_s - 1e-3) <= k + 1, "{pace:?}: {k} is not due before {due_s}");
            }
        }
    }

    #[test]
    fn a_batch_of_an_open_stage_is_due_at_about_one_moment() {
        assert_eq!(lasting(StagePace::Rate(1000.0), 1.0).unwrap().batch_at(0, 200), 50);
        assert_eq!(lasting(StagePace::Rate(3.0), 1.0).unwrap().batch_at(0, 200), 1);
        let ramp = lasting(StagePace::Ramp(0.0, 10_000.0), 2.0).unwrap();
        assert_eq!((ramp.batch_at(0, 200), ramp.batch_at(9_000, 200)), (1, 200));
        let closed = Stage::of("c".into(), StagePace::Closed(5), 10, Mix::only(Scenario::Transfer)).unwrap();
        assert_eq!(closed.batch_at(3, 200), 200);
    }

    #[test]
    fn a_pace_that_cannot_be_is_refused_with_its_value() {
        for (pace, seconds, part) in [
            (StagePace::Rate(0.0), 1.0, "rate 0 "),
            (StagePace::Rate(-5.0), 1.0, "rate -5"),
            (StagePace::Rate(f64::NAN), 1.0, "rate NaN"),
            (StagePace::Rate(1e12), 1.0, "1000000000000"),
            (StagePace::Ramp(0.0, 0.0), 1.0, "one of them above 0"),
            (StagePace::Ramp(-1.0, 5.0), 1.0, "from -1"),
            (StagePace::Rate(1.0), 0.0, "seconds = 0"),
            (StagePace::Rate(1.0), f64::INFINITY, "seconds = inf"),
            (StagePace::Rate(0.1), 1.0, "less than one transaction"),
            (StagePace::Rate(1e6), 604_800.0, "not between 1 and"),
            (StagePace::Closed(0), 1.0, "outstanding = 0"),
            (StagePace::Closed(5), 1.0, "give `transactions`"),
        ] {
            let message = lasting(pace, seconds).unwrap_err().to_string();
            assert!(message.contains(part), "{pace:?}: {message}");
        }
    }
}

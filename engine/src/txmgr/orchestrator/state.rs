//! States of an orchestrator, and every way from one to another, as one table (row A1).
//!
//! The first part of [`TABLE`] is the state diagram of seed 003, row by row in its order. The second part is what was added to
//! it, each with its reason. What is not in the table changes nothing.
//!
//! | state | means here | has a slot |
//! |---|---|---|
//! | `new` | has work and stands in line | no |
//! | `running` | binds and sends | yes |
//! | `waiting` | its balance does not cover what is next | until another wants it |
//! | `idle` | all is sent, nothing waits | until another wants it, or `idle_timeout_ms` |
//! | `stale` | work without progress for `stale_timeout_ms` | until another wants it |
//! | `paused` | by hand: nothing new is bound | until another wants it |
//! | `stopped` | nothing to bind or to send; what is bound is tracked all the same | no |

use schemars::JsonSchema;
use serde::Serialize;

/// State of an orchestrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Made; stands in line for a slot.
    New,
    /// Has a slot and work.
    Running,
    /// Waits for funds.
    Waiting,
    /// Has nothing to bind and nothing to send for the first time.
    Idle,
    /// Has made no progress for too long.
    Stale,
    /// Paused by hand.
    Paused,
    /// Not in the pool.
    Stopped,
}

impl State {
    /// All, in the order of the seed.
    pub const ALL: [Self; 7] = [Self::New, Self::Running, Self::Waiting, Self::Idle, Self::Stale, Self::Paused, Self::Stopped];

    /// Its name, as the interface and the metrics show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Idle => "idle",
            Self::Stale => "stale",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// Why a state changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It got a slot.
    StartProcessing,
    /// The process ends.
    Shutdown,
    /// Its balance does not cover what is next.
    InsufficientBalance,
    /// Nothing waits, and all that is bound has been sent.
    NoTransactions,
    /// Work, and no bind, answer or inclusion for `stale_timeout_ms`.
    NoProgress,
    /// Paused by hand.
    ManualPause,
    /// Its balance covers what is next again.
    BalanceAvailable,
    /// There is something to bind.
    NewTransaction,
    /// Idle for `idle_timeout_ms`.
    IdleTimeout,
    /// A bind, an answer or an inclusion.
    ProgressDetected,
    /// Stale without a slot for `stale_timeout_ms`: to be tried again.
    StaleTimeout,
    /// Resumed by hand, or the end of the pause came.
    ManualResume,
    /// Another address has its slot now.
    SwappedOut,
    /// It has work again.
    Created,
}

/// Every transition.
pub const TABLE: &[(State, Cause, State)] = &[
    // The diagram of seed 003.
    (State::New, Cause::StartProcessing, State::Running),
    (State::New, Cause::Shutdown, State::Stopped),
    (State::Running, Cause::InsufficientBalance, State::Waiting),
    (State::Running, Cause::NoTransactions, State::Idle),
    (State::Running, Cause::NoProgress, State::Stale),
    (State::Running, Cause::ManualPause, State::Paused),
    (State::Running, Cause::Shutdown, State::Stopped),
    (State::Waiting, Cause::BalanceAvailable, State::Running),
    (State::Waiting, Cause::Shutdown, State::Stopped),
    (State::Idle, Cause::NewTransaction, State::Running),
    (State::Idle, Cause::IdleTimeout, State::Stopped),
    (State::Stale, Cause::ProgressDetected, State::Running),
    (State::Stale, Cause::StaleTimeout, State::Stopped),
    (State::Paused, Cause::ManualResume, State::Running),
    (State::Paused, Cause::Shutdown, State::Stopped),
    // Added: a slot is given to another that waits for it.
    (State::Running, Cause::SwappedOut, State::Stopped),
    (State::Idle, Cause::SwappedOut, State::Stopped),
    // Added: `Stopped --> [*] --> New` of the diagram in one step, for the memory of an address is used again.
    (State::Stopped, Cause::Created, State::New),
    // Added: a pause comes when it comes, not only while something runs.
    (State::New, Cause::ManualPause, State::Paused),
    (State::Waiting, Cause::ManualPause, State::Paused),
    (State::Idle, Cause::ManualPause, State::Paused),
    (State::Stale, Cause::ManualPause, State::Paused),
    (State::Stopped, Cause::ManualPause, State::Paused),
    // Added: a node may miss the funds of what was sent long ago, and a balance may be read at any time.
    (State::New, Cause::InsufficientBalance, State::Waiting),
    (State::Idle, Cause::InsufficientBalance, State::Waiting),
    (State::Stale, Cause::InsufficientBalance, State::Waiting),
    (State::Stopped, Cause::InsufficientBalance, State::Waiting),
    // Added: what is bound needs no slot, and can stop to make progress without one.
    (State::Idle, Cause::NoProgress, State::Stale),
    (State::Stopped, Cause::NoProgress, State::Stale),
    // Added: everything stops with the process.
    (State::Idle, Cause::Shutdown, State::Stopped),
    (State::Stale, Cause::Shutdown, State::Stopped),
];

/// The state after a cause; `None` where it changes nothing.
#[must_use]
pub fn next(state: State, cause: Cause) -> Option<State> {
    // At most 31 rows that fit three cache lines: a search costs less than a signature's thousandth.
    TABLE.iter().find(|row| row.0 == state && row.1 == cause).map(|row| row.2)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Seed 003, "Orchestrator State Diagram", without its start and end.
    const SEED: &str = "
        New --> Running: Start Processing
        New --> Stopped: Shutdown
        Running --> Waiting: Insufficient Balance
        Running --> Idle: No Transactions
        Running --> Stale: No Progress
        Running --> Paused: Manual Pause
        Running --> Stopped: Shutdown
        Waiting --> Running: Balance Available
        Waiting --> Stopped: Shutdown
        Idle --> Running: New Transaction
        Idle --> Stopped: Idle Timeout
        Stale --> Running: Progress Detected
        Stale --> Stopped: Stale Timeout
        Paused --> Running: Manual Resume
        Paused --> Stopped: Shutdown";

    #[test]
    fn the_table_begins_with_the_diagram_of_the_seed_in_its_order() {
        let diagram: Vec<String> = SEED.trim().lines().map(|line| line.trim().replace(' ', "")).collect();
        let shown: Vec<String> = TABLE.iter().map(|(from, cause, to)| format!("{from:?}-->{to:?}:{cause:?}")).collect();
        assert_eq!(shown[..diagram.len()], diagram);
    }

    #[test]
    fn a_state_and_a_cause_have_one_next_state() {
        let pairs: BTreeSet<String> = TABLE.iter().map(|(from, cause, _)| format!("{from:?} {cause:?}")).collect();
        assert_eq!(pairs.len(), TABLE.len());
    }

    #[test]
    fn what_is_not_in_the_table_changes_nothing() {
        assert_eq!(next(State::Paused, Cause::BalanceAvailable), None);
        assert_eq!(next(State::Waiting, Cause::ProgressDetected), None);
        assert_eq!(next(State::Stale, Cause::NewTransaction), None);
        assert_eq!(next(State::Stopped, Cause::StartProcessing), None);
    }
}

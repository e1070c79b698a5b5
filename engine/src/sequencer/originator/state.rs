//! States of an originator of a contract, and every way from one to another (row C3).
//!
//! The first part of [`TABLE`] is the diagram of seed 001, which calls it the sender, row by row in its order.

use crate::sequencer::{self, Row};

/// State of an originator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Has nothing to send, and knows of no active coordinator.
    Idle,
    /// Has nothing to send, and hears a coordinator: another node, or this one.
    Observing,
    /// Has transactions that are not confirmed.
    Sending,
}

impl State {
    /// All, in the order of the seed.
    pub const ALL: [Self; 3] = [Self::Idle, Self::Observing, Self::Sending];
}

/// Why a state changes, or an action is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The time between two heartbeats has passed since the last one was heard, or since this event was last.
    HeartbeatInterval,
    /// A heartbeat of the active coordinator.
    HeartbeatReceived,
    /// There is a new transaction to be delegated.
    TransactionCreated,
    /// A transaction of this originator is confirmed on the chain.
    TransactionConfirmed,
    /// The chain has a new block.
    NewBlock,
    /// A transaction that was dispatched was reverted on the chain, and waits again.
    BaseLedgerTransactionReverted,
}

impl Event {
    /// All, in the order of the seed.
    pub const ALL: [Self; 6] = [
        Self::HeartbeatInterval,
        Self::HeartbeatReceived,
        Self::TransactionCreated,
        Self::TransactionConfirmed,
        Self::NewBlock,
        Self::BaseLedgerTransactionReverted,
    ];
}

/// What a transition depends on beside the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// No heartbeat came for the grace period.
    pub silent: bool,
    /// Transactions that are not confirmed.
    pub open: usize,
}

/// The condition of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    /// None.
    Always,
    /// The coordinator has been silent for too long.
    Silent,
    /// Nothing is open any more.
    NothingOpen,
}

impl Guard {
    const fn holds(self, facts: Facts) -> bool {
        match self {
            Self::Always => true,
            Self::Silent => facts.silent,
            Self::NothingOpen => facts.open == 0,
        }
    }
}

/// Every transition.
pub const TABLE: &[Row<State, Event, Guard>] = &[
    // The diagram of seed 001.
    (Some(State::Idle), Event::HeartbeatReceived, Guard::Always, State::Observing),
    (Some(State::Idle), Event::TransactionCreated, Guard::Always, State::Sending),
    (Some(State::Observing), Event::HeartbeatInterval, Guard::Silent, State::Idle),
    (Some(State::Observing), Event::TransactionCreated, Guard::Always, State::Sending),
    (Some(State::Sending), Event::TransactionConfirmed, Guard::NothingOpen, State::Observing),
];

/// The state after an event; `None` where it changes nothing.
#[must_use]
pub fn next(state: State, event: Event, facts: Facts) -> Option<State> {
    sequencer::next(TABLE, Some(state), event, |guard| guard.holds(facts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequencer::diagram;

    const SEED: &str = "
    Idle --> Observing : HeartbeatReceived
    Idle --> Sending : TransactionCreated
    Observing --> Idle : HeartbeatInterval
    Observing --> Sending : TransactionCreated
    Sending --> Observing : TransactionConfirmed";

    #[test]
    fn the_table_is_the_diagram_of_the_seed_in_its_order() {
        assert_eq!(diagram::of(TABLE), diagram::lines(SEED));
    }

    #[test]
    fn it_sends_for_as_long_as_something_is_open() {
        let open = |open| Facts { open, ..Facts::default() };
        assert_eq!(next(State::Sending, Event::TransactionConfirmed, open(1)), None);
        assert_eq!(next(State::Sending, Event::TransactionConfirmed, open(0)), Some(State::Observing));
    }

    #[test]
    fn one_missed_heartbeat_is_no_silence() {
        assert_eq!(next(State::Observing, Event::HeartbeatInterval, Facts::default()), None);
        assert_eq!(next(State::Observing, Event::HeartbeatInterval, Facts { silent: true, open: 0 }), Some(State::Idle));
    }
}

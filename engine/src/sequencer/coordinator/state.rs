//! States of a coordinator of a contract, and every way from one to another (rows C5, C7, C8).
//!
//! ```text
//!            delegated                          handover asked
//!   Idle ───────────────────────────► Active ──────────────────► Flush ──► Closing ──► Idle
//!    ▲ │ heartbeat                      ▲
//!    │ ▼                                │ flushed, or silence
//!   Observing ──► Standby ──► Elect ──► Prepared
//! ```
//!
//! The first part of [`TABLE`] is the diagram of seed 001, row by row in its order. What was added has its reason beside it.

use crate::sequencer::{self, Row};

/// State of a coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Coordinates nothing, and hears nobody who does.
    Idle,
    /// Coordinates nothing, and hears another node that does.
    Observing,
    /// Takes over from another, and waits for what that one hands over.
    Elect,
    /// Is the coordinator of the next range of blocks, which the chain as read here has not reached.
    Standby,
    /// Has what the other handed over; its last transactions are not confirmed yet.
    Prepared,
    /// Assembles and dispatches.
    Active,
    /// Assembles and dispatches nothing any more; what is dispatched goes on.
    Flush,
    /// All of that is done; it says so for some heartbeats more.
    Closing,
}

impl State {
    /// All, in the order of the seed.
    pub const ALL: [Self; 8] =
        [Self::Idle, Self::Observing, Self::Elect, Self::Standby, Self::Prepared, Self::Active, Self::Flush, Self::Closing];

    /// It may have transactions assembled and dispatch them.
    #[must_use]
    pub const fn assembles(self) -> bool {
        matches!(self, Self::Active)
    }
}

/// Why a state changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// An originator has delegated transactions.
    TransactionsDelegated,
    /// The chain has confirmed one.
    TransactionConfirmed,
    /// An originator has confirmed a dispatch. It changes no state.
    TransactionDispatchConfirmed,
    /// Another coordinator's heartbeat.
    HeartbeatReceived,
    /// The chain has a new block.
    NewBlock,
    /// Another node asks to take over.
    HandoverRequestReceived,
    /// The former coordinator has handed over.
    HandoverReceived,
    /// One of its transactions has another state.
    TransactionStateTransition,
    /// The time between two heartbeats has passed.
    HeartbeatInterval,
}

impl Event {
    /// All: in the order of the seed, and the one that only its diagram names.
    pub const ALL: [Self; 9] = [
        Self::TransactionsDelegated,
        Self::TransactionConfirmed,
        Self::TransactionDispatchConfirmed,
        Self::HeartbeatReceived,
        Self::NewBlock,
        Self::HandoverRequestReceived,
        Self::HandoverReceived,
        Self::TransactionStateTransition,
        Self::HeartbeatInterval,
    ];
}

/// What a transition depends on beside the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The chain as read here has reached the range of blocks for which this node was chosen.
    pub range_reached: bool,
    /// What the former coordinator had dispatched is confirmed.
    pub flush_point_seen: bool,
    /// Transactions that it has in any state but a final one.
    pub open: usize,
    /// Transactions that it has dispatched and that are not confirmed.
    pub dispatched: usize,
    /// The other coordinator was not heard for the grace period.
    pub silent: bool,
    /// The heartbeat is of another active coordinator that ranks higher (row C6).
    pub outranked: bool,
    /// It has said often enough that it closes.
    pub closing_told: bool,
}

/// The condition of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    /// None.
    Always,
    /// The range of blocks is reached.
    RangeReached,
    /// The range of blocks is not reached.
    RangeAhead,
    /// The former coordinator's last transactions are confirmed.
    FlushPointSeen,
    /// Nothing is open.
    NothingOpen,
    /// Nothing is dispatched and unconfirmed.
    Flushed,
    /// The other coordinator is silent.
    Silent,
    /// The other coordinator ranks higher.
    Outranked,
    /// It has said often enough that it closes.
    ClosingTold,
}

impl Guard {
    const fn holds(self, facts: &Facts) -> bool {
        match self {
            Self::Always => true,
            Self::RangeReached => facts.range_reached,
            Self::RangeAhead => !facts.range_reached,
            Self::FlushPointSeen => facts.flush_point_seen,
            Self::NothingOpen => facts.open == 0,
            Self::Flushed => facts.dispatched == 0,
            Self::Silent => facts.silent,
            Self::Outranked => facts.outranked,
            Self::ClosingTold => facts.closing_told,
        }
    }
}

/// Every transition.
pub const TABLE: &[Row<State, Event, Guard>] = &[
    // The diagram of seed 001.
    (Some(State::Idle), Event::TransactionsDelegated, Guard::Always, State::Active),
    (Some(State::Idle), Event::HeartbeatReceived, Guard::Always, State::Observing),
    (Some(State::Observing), Event::TransactionsDelegated, Guard::RangeAhead, State::Standby),
    (Some(State::Observing), Event::TransactionsDelegated, Guard::RangeReached, State::Elect),
    (Some(State::Standby), Event::NewBlock, Guard::RangeReached, State::Elect),
    (Some(State::Elect), Event::HandoverReceived, Guard::Always, State::Prepared),
    (Some(State::Prepared), Event::TransactionConfirmed, Guard::FlushPointSeen, State::Active),
    (Some(State::Active), Event::TransactionConfirmed, Guard::NothingOpen, State::Idle),
    (Some(State::Active), Event::HandoverRequestReceived, Guard::Always, State::Flush),
    (Some(State::Flush), Event::TransactionConfirmed, Guard::Flushed, State::Closing),
    (Some(State::Closing), Event::HeartbeatInterval, Guard::ClosingTold, State::Idle),
    // Added: whom nobody hears, nobody has to wait for (row C7).
    (Some(State::Observing), Event::HeartbeatInterval, Guard::Silent, State::Idle),
    (Some(State::Elect), Event::HeartbeatInterval, Guard::Silent, State::Active),
    (Some(State::Prepared), Event::HeartbeatInterval, Guard::Silent, State::Active),
    // Added: the former coordinator had dispatched nothing, so no confirmation comes.
    (Some(State::Prepared), Event::TransactionStateTransition, Guard::FlushPointSeen, State::Active),
    // Added: the last transaction did not end with a confirmation, or there was none when the handover was asked for.
    (Some(State::Active), Event::TransactionStateTransition, Guard::NothingOpen, State::Idle),
    (Some(State::Flush), Event::TransactionStateTransition, Guard::Flushed, State::Closing),
    // Added: of two that are active the one that ranks higher stays.
    (Some(State::Active), Event::HeartbeatReceived, Guard::Outranked, State::Flush),
];

/// The state after an event; `None` where it changes nothing.
#[must_use]
pub fn next(state: State, event: Event, facts: &Facts) -> Option<State> {
    sequencer::next(TABLE, Some(state), event, |guard| guard.holds(facts))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::sequencer::diagram;

    const SEED: &str = "
    Idle --> Active : TransactionsDelegated
    Idle --> Observing : HeartbeatReceived
    Observing --> Standby : TransactionsDelegated
    Observing --> Elect : TransactionsDelegated
    Standby --> Elect : NewBlock
    Elect --> Prepared : HandoverReceived
    Prepared --> Active : TransactionConfirmed
    Active --> Idle : TransactionConfirmed
    Active --> Flush : HandoverRequestReceived
    Flush --> Closing : TransactionConfirmed
    Closing --> Idle : HeartbeatInterval";

    /// Facts of every combination.
    fn all_facts() -> impl Iterator<Item = Facts> {
        (0..128_u32).map(|bits| {
            let bit = |place: u32| bits >> place & 1 == 1;
            Facts {
                range_reached: bit(0),
                flush_point_seen: bit(1),
                open: usize::from(bit(2)),
                dispatched: usize::from(bit(3)),
                silent: bit(4),
                outranked: bit(5),
                closing_told: bit(6),
            }
        })
    }

    #[test]
    fn the_table_begins_with_the_diagram_of_the_seed_in_its_order() {
        let lines = diagram::lines(SEED);
        assert_eq!(diagram::of(TABLE)[..lines.len()], lines);
    }

    #[test]
    fn each_row_is_taken_when_its_guard_holds_and_no_two_hold_at_once() {
        for facts in all_facts() {
            let take = |from: Option<State>, event| next(from.expect("a coordinator has a state from the start"), event, &facts);
            diagram::assert_rows(TABLE, |guard| guard.holds(&facts), take);
        }
    }

    #[test]
    fn a_row_whose_guard_does_not_hold_is_not_taken() {
        for facts in all_facts() {
            for (from, event, ..) in TABLE.iter().filter(|row| !row.2.holds(&facts)) {
                let other = TABLE.iter().any(|row| (row.0, row.1) == (*from, *event) && row.2.holds(&facts));
                assert_eq!(next(from.expect("a state"), *event, &facts).is_some(), other);
            }
        }
    }

    #[test]
    fn every_state_is_reached_and_left() {
        let reached: BTreeSet<State> = TABLE.iter().map(|row| row.3).collect();
        let left: BTreeSet<State> = TABLE.iter().filter_map(|row| row.0).collect();
        assert_eq!((reached.len(), left.len()), (State::ALL.len(), State::ALL.len()));
    }

    #[test]
    fn from_every_state_silence_and_work_lead_to_a_coordinator_that_assembles() {
        for start in State::ALL {
            let mut state = start;
            // The chain goes on, originators delegate what they have again, and nobody else is heard.
            for _ in 0..State::ALL.len() {
                let facts =
                    Facts { range_reached: true, flush_point_seen: true, silent: true, closing_told: true, open: 1, ..Facts::default() };
                for event in [Event::TransactionStateTransition, Event::NewBlock, Event::HeartbeatInterval, Event::TransactionsDelegated] {
                    state = next(state, event, &facts).unwrap_or(state);
                }
            }
            assert!(state.assembles(), "{start:?} ends in {state:?}");
        }
    }

    #[test]
    fn what_was_handed_over_is_waited_for_until_it_is_flushed() {
        let waits = Facts::default();
        assert_eq!(next(State::Prepared, Event::TransactionConfirmed, &waits), None);
        let seen = Facts { flush_point_seen: true, ..waits };
        assert_eq!(next(State::Prepared, Event::TransactionConfirmed, &seen), Some(State::Active));
        assert_eq!(next(State::Flush, Event::TransactionConfirmed, &Facts { dispatched: 1, ..waits }), None);
    }
}

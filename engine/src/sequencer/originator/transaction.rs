//! States of a private transaction as its originator sees it, and every way from one to another (rows C2, C9, C10, C11).
//!
//! ```text
//!  Initial ► Pending ► Delegated ► Assembling ► Signing ► EndorsementGathering ► Prepared ► Dispatched ► Sequenced ► Submitted ► Confirmed
//!               ▲          ▲           ├► Reverted              (another coordinator, or a revert on the chain that can be retried)    
//!               └─ Parked ◄┼───────────┘                                                      │
//!                          └──────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The first part of [`TABLE`] is the diagram of seed 001, which calls the originator the sender, row by row in its order. What was added has its
//! reason beside it. A success on the chain holds in every state: messages may be lost, repeated or reordered, and the chain has the last word.

use crate::sequencer::{self, Row};

/// State of a transaction at its originator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nothing is known of it yet.
    Initial,
    /// On disk with an id; no coordinator is known to have it.
    Pending,
    /// Sent to the active coordinator.
    Delegated,
    /// The coordinator has asked for it to be assembled.
    Assembling,
    /// Assembled and answered; endorsements are being gathered.
    EndorsementGathering,
    /// Assembled; its signature is being made.
    Signing,
    /// Its dispatch was confirmed to the coordinator; no heartbeat has shown it dispatched yet.
    Prepared,
    /// Handed to the public pipeline.
    Dispatched,
    /// It has a nonce.
    Sequenced,
    /// Sent to the chain.
    Submitted,
    /// Confirmed on the chain. It ends.
    Confirmed,
    /// Its intent is not valid, or its last attempt reverted for good. It ends.
    Reverted,
    /// Not ready to be assembled; goes on when it is resumed.
    Parked,
}

impl State {
    /// All, in the order of the seed.
    pub const ALL: [Self; 13] = [
        Self::Initial,
        Self::Pending,
        Self::Delegated,
        Self::Assembling,
        Self::EndorsementGathering,
        Self::Signing,
        Self::Prepared,
        Self::Dispatched,
        Self::Sequenced,
        Self::Submitted,
        Self::Confirmed,
        Self::Reverted,
        Self::Parked,
    ];

    /// Nothing changes it any more.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Confirmed | Self::Reverted)
    }

    /// A coordinator may put it on the chain without asking again.
    #[must_use]
    pub const fn may_be_mined(self) -> bool {
        matches!(self, Self::Prepared | Self::Dispatched | Self::Sequenced | Self::Submitted)
    }
}

/// Why a state changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// It has come, or was read from disk.
    Created,
    /// The chain has confirmed its success.
    ConfirmedSuccess,
    /// The chain has reverted it.
    ConfirmedReverted,
    /// A coordinator has it.
    Delegated,
    /// The coordinator asks for it to be assembled.
    AssembleRequestReceived,
    /// Assembled; added, for the state `Signing`.
    AssembleSuccess,
    /// Assembled and signed.
    AssembleAndSignSuccess,
    /// Its intent is not valid.
    AssembleRevert,
    /// It is not ready.
    AssemblePark,
    /// Assembling or signing failed, which says nothing about the intent.
    AssembleError,
    /// A heartbeat shows it with the public pipeline.
    Dispatched,
    /// The coordinator asks whether it may be dispatched.
    DispatchConfirmationRequestReceived,
    /// Resumed by a call.
    Resumed,
    /// It has a nonce.
    NonceAssigned,
    /// It was sent to the chain.
    Submitted,
    /// Another node coordinates.
    CoordinatorChanged,
}

impl Event {
    /// All, in the order of the seed; `AssembleSuccess` where it belongs.
    pub const ALL: [Self; 16] = [
        Self::Created,
        Self::ConfirmedSuccess,
        Self::ConfirmedReverted,
        Self::Delegated,
        Self::AssembleRequestReceived,
        Self::AssembleSuccess,
        Self::AssembleAndSignSuccess,
        Self::AssembleRevert,
        Self::AssemblePark,
        Self::AssembleError,
        Self::Dispatched,
        Self::DispatchConfirmationRequestReceived,
        Self::Resumed,
        Self::NonceAssigned,
        Self::Submitted,
        Self::CoordinatorChanged,
    ];
}

/// What a transition depends on beside the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The revert is one that assembling anew can cure: an input or a read was not available.
    pub retryable: bool,
}

/// The condition of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    /// None.
    Always,
    /// The revert can be cured by assembling anew.
    Retryable,
    /// The revert is for good.
    Final,
}

impl Guard {
    const fn holds(self, facts: Facts) -> bool {
        match self {
            Self::Always => true,
            Self::Retryable => facts.retryable,
            Self::Final => !facts.retryable,
        }
    }
}

/// Every transition.
pub const TABLE: &[Row<State, Event, Guard>] = &[
    // The diagram of seed 001.
    (None, Event::Created, Guard::Always, State::Pending),
    (Some(State::Pending), Event::Delegated, Guard::Always, State::Delegated),
    (Some(State::Delegated), Event::AssembleRequestReceived, Guard::Always, State::Assembling),
    (Some(State::Assembling), Event::AssembleAndSignSuccess, Guard::Always, State::EndorsementGathering),
    (Some(State::Assembling), Event::AssembleRevert, Guard::Always, State::Reverted),
    (Some(State::Assembling), Event::AssemblePark, Guard::Always, State::Parked),
    (Some(State::Assembling), Event::CoordinatorChanged, Guard::Always, State::Delegated),
    (Some(State::EndorsementGathering), Event::AssembleRequestReceived, Guard::Always, State::Assembling),
    (Some(State::EndorsementGathering), Event::CoordinatorChanged, Guard::Always, State::Delegated),
    (Some(State::EndorsementGathering), Event::DispatchConfirmationRequestReceived, Guard::Always, State::Prepared),
    (Some(State::Prepared), Event::Dispatched, Guard::Always, State::Dispatched),
    (Some(State::Prepared), Event::CoordinatorChanged, Guard::Always, State::Delegated),
    (Some(State::Dispatched), Event::ConfirmedSuccess, Guard::Always, State::Confirmed),
    (Some(State::Dispatched), Event::ConfirmedReverted, Guard::Retryable, State::Delegated),
    (Some(State::Dispatched), Event::Submitted, Guard::Always, State::Submitted),
    (Some(State::Dispatched), Event::CoordinatorChanged, Guard::Always, State::Delegated),
    (Some(State::Dispatched), Event::NonceAssigned, Guard::Always, State::Sequenced),
    (Some(State::Sequenced), Event::ConfirmedSuccess, Guard::Always, State::Confirmed),
    (Some(State::Sequenced), Event::ConfirmedReverted, Guard::Retryable, State::Delegated),
    (Some(State::Sequenced), Event::CoordinatorChanged, Guard::Always, State::Delegated),
    (Some(State::Sequenced), Event::Submitted, Guard::Always, State::Submitted),
    (Some(State::Submitted), Event::ConfirmedSuccess, Guard::Always, State::Confirmed),
    (Some(State::Submitted), Event::ConfirmedReverted, Guard::Retryable, State::Delegated),
    (Some(State::Submitted), Event::CoordinatorChanged, Guard::Always, State::Delegated),
    (Some(State::Parked), Event::Resumed, Guard::Always, State::Pending),
    // Added: the state `Signing`, which no arrow of the diagram reaches.
    (Some(State::Assembling), Event::AssembleSuccess, Guard::Always, State::Signing),
    (Some(State::Signing), Event::AssembleAndSignSuccess, Guard::Always, State::EndorsementGathering),
    (Some(State::Signing), Event::CoordinatorChanged, Guard::Always, State::Delegated),
    // Added: an error says nothing about the intent; the coordinator asks again.
    (Some(State::Assembling), Event::AssembleError, Guard::Always, State::Delegated),
    (Some(State::Signing), Event::AssembleError, Guard::Always, State::Delegated),
    // Added: the coordinator gave up waiting for a reply that was lost, and asks for another assembly.
    (Some(State::Assembling), Event::AssembleRequestReceived, Guard::Always, State::Assembling),
    (Some(State::Signing), Event::AssembleRequestReceived, Guard::Always, State::Assembling),
    // Added: the coordinator has called it back because of a dependency, or has seen the chain revert it before this originator did.
    (Some(State::Prepared), Event::AssembleRequestReceived, Guard::Always, State::Assembling),
    (Some(State::Dispatched), Event::AssembleRequestReceived, Guard::Always, State::Assembling),
    (Some(State::Sequenced), Event::AssembleRequestReceived, Guard::Always, State::Assembling),
    (Some(State::Submitted), Event::AssembleRequestReceived, Guard::Always, State::Assembling),
    // Added: what waits for a coordinator is given to the new one.
    (Some(State::Delegated), Event::CoordinatorChanged, Guard::Always, State::Delegated),
    // Added: a revert that no assembly can cure ends it (row C11).
    (Some(State::Dispatched), Event::ConfirmedReverted, Guard::Final, State::Reverted),
    (Some(State::Sequenced), Event::ConfirmedReverted, Guard::Final, State::Reverted),
    (Some(State::Submitted), Event::ConfirmedReverted, Guard::Final, State::Reverted),
    // Added: the heartbeats between were lost.
    (Some(State::Prepared), Event::NonceAssigned, Guard::Always, State::Sequenced),
    (Some(State::Prepared), Event::Submitted, Guard::Always, State::Submitted),
    (Some(State::Prepared), Event::ConfirmedReverted, Guard::Retryable, State::Delegated),
    (Some(State::Prepared), Event::ConfirmedReverted, Guard::Final, State::Reverted),
    // Added: a coordinator that was left, or that nobody heard of again, has put it on the chain. The chain takes an intent once, so nothing
    // else is to be done (row C9).
    (Some(State::Pending), Event::ConfirmedSuccess, Guard::Always, State::Confirmed),
    (Some(State::Delegated), Event::ConfirmedSuccess, Guard::Always, State::Confirmed),
    (Some(State::Assembling), Event::ConfirmedSuccess, Guard::Always, State::Confirmed),
    (Some(State::Signing), Event::ConfirmedSuccess, Guard::Always, State::Confirmed),
    (Some(State::EndorsementGathering), Event::ConfirmedSuccess, Guard::Always, State::Confirmed),
    (Some(State::Prepared), Event::ConfirmedSuccess, Guard::Always, State::Confirmed),
    (Some(State::Parked), Event::ConfirmedSuccess, Guard::Always, State::Confirmed),
];

/// The state after an event; `None` where it changes nothing. A transaction begins in [`State::Initial`], the diagram's `[*]`.
#[must_use]
pub fn next(state: State, event: Event, facts: Facts) -> Option<State> {
    let from = (state != State::Initial).then_some(state);
    sequencer::next(TABLE, from, event, |guard| guard.holds(facts))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::sequencer::diagram;

    // The line `Dispatched --> Submitted : Submitted` stands there twice.
    const SEED: &str = "
    [*] --> Pending : Created
    Pending --> Delegated: Delegated
    Delegated --> Assembling : AssembleRequestReceived
    Assembling --> EndorsementGathering : AssembleAndSignSuccess
    Assembling --> Reverted : AssembleRevert
    Assembling --> Parked : AssemblePark
    Assembling --> Delegated : CoordinatorChanged
    EndorsementGathering --> Assembling : AssembleRequestReceived
    EndorsementGathering --> Delegated : CoordinatorChanged
    EndorsementGathering --> Prepared : DispatchConfirmationRequestReceived
    Prepared --> Dispatched : Dispatched
    Prepared --> Delegated : CoordinatorChanged
    Dispatched --> Confirmed : ConfirmedSuccess
    Dispatched --> Delegated : ConfirmedReverted
    Dispatched --> Submitted : Submitted
    Dispatched --> Delegated : CoordinatorChanged
    Dispatched --> Sequenced : NonceAssigned
    Sequenced --> Confirmed : ConfirmedSuccess
    Sequenced --> Delegated : ConfirmedReverted
    Sequenced --> Delegated : CoordinatorChanged
    Sequenced --> Submitted : Submitted
    Submitted --> Confirmed : ConfirmedSuccess
    Submitted --> Delegated : ConfirmedReverted
    Submitted --> Delegated : CoordinatorChanged
    Parked --> Pending : Resumed";

    const FACTS: [Facts; 2] = [Facts { retryable: false }, Facts { retryable: true }];

    #[test]
    fn the_table_begins_with_the_diagram_of_the_seed_in_its_order() {
        let lines = diagram::lines(SEED);
        assert_eq!(diagram::of(TABLE)[..lines.len()], lines);
    }

    #[test]
    fn each_row_is_taken_when_its_guard_holds_and_no_two_hold_at_once() {
        for facts in FACTS {
            let take = |from: Option<State>, event| next(from.unwrap_or(State::Initial), event, facts);
            diagram::assert_rows(TABLE, |guard| guard.holds(facts), take);
        }
    }

    #[test]
    fn every_state_is_reached_and_all_but_the_two_ends_are_left() {
        let reached: BTreeSet<State> = TABLE.iter().map(|row| row.3).chain([State::Initial]).collect();
        assert_eq!(reached.len(), State::ALL.len());
        let left: BTreeSet<State> = TABLE.iter().map(|row| row.0.unwrap_or(State::Initial)).collect();
        assert!(State::ALL.iter().all(|state| left.contains(state) != state.has_ended()));
    }

    #[test]
    fn from_wherever_it_is_it_ends_when_the_chain_confirms_it_and_can_end_without_a_coordinator_that_was_left() {
        for state in State::ALL.into_iter().filter(|state| !state.has_ended() && *state != State::Initial) {
            assert_eq!(next(state, Event::ConfirmedSuccess, Facts::default()), Some(State::Confirmed), "{state:?}");
            let again = next(state, Event::CoordinatorChanged, Facts::default()).unwrap_or(state);
            assert!(matches!(again, State::Delegated | State::Pending | State::Parked), "{state:?}");
        }
    }

    #[test]
    fn what_has_ended_is_changed_by_nothing() {
        for event in Event::ALL {
            for facts in FACTS {
                assert_eq!(next(State::Confirmed, event, facts), None);
                assert_eq!(next(State::Reverted, event, facts), None);
            }
        }
    }

    #[test]
    fn a_revert_on_the_chain_is_assembled_anew_only_if_that_can_help() {
        for state in State::ALL.into_iter().filter(|state| state.may_be_mined()) {
            assert_eq!(next(state, Event::ConfirmedReverted, FACTS[1]), Some(State::Delegated));
            assert_eq!(next(state, Event::ConfirmedReverted, FACTS[0]), Some(State::Reverted));
        }
        assert_eq!(next(State::Delegated, Event::ConfirmedReverted, FACTS[0]), None, "that was an attempt which is over");
    }
}

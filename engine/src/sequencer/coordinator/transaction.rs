//! States of a private transaction as its coordinator sees it, and every way from one to another (rows C4, C10, C11, C12).
//!
//! ```text
//!   Pooled ► Assembling ► EndorsementGathering ► (Blocked) ► ConfirmingDispatch ► ReadyForDispatch ► Dispatched ► Submitted ► Confirmed ► Final
//!     ▲ ▼        ├► parked, at its originator: Final        point of no return ───┘                                  │
//!   PreAssemblyBlocked  └► Reverted ► Final                                             a revert that can be retried ► Pooled
//! ```
//!
//! The first part of [`TABLE`] is the diagram of seed 001, row by row in its order. What was added has its reason beside it. Before the point of
//! no return a dependency that goes takes its dependants back; behind it the chain decides.

use crate::sequencer::{self, Row};

/// State of a transaction at its coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Waits to be assembled.
    Pooled,
    /// Not assembled, and cannot be: what it depends on was not assembled either, because it was parked or reverted.
    PreAssemblyBlocked,
    /// Its originator was asked to assemble it.
    Assembling,
    /// Its originator has called its intent invalid, or its last attempt reverted for good.
    Reverted,
    /// Assembled; its endorsers were asked.
    EndorsementGathering,
    /// Endorsed; what it depends on is not ready to be dispatched.
    Blocked,
    /// Endorsed; its originator was asked whether it may be dispatched.
    ConfirmingDispatch,
    /// It may be dispatched, and nothing calls it back.
    ReadyForDispatch,
    /// Handed to the public pipeline.
    Dispatched,
    /// Sent to the chain at least once.
    Submitted,
    /// Confirmed on the chain a short time ago.
    Confirmed,
    /// Gone from the memory.
    Final,
}

impl State {
    /// All, in the order of the seed.
    pub const ALL: [Self; 12] = [
        Self::Pooled,
        Self::PreAssemblyBlocked,
        Self::Assembling,
        Self::Reverted,
        Self::EndorsementGathering,
        Self::Blocked,
        Self::ConfirmingDispatch,
        Self::ReadyForDispatch,
        Self::Dispatched,
        Self::Submitted,
        Self::Confirmed,
        Self::Final,
    ];

    /// It holds an assembly: states that it would spend and make.
    #[must_use]
    pub const fn is_assembled(self) -> bool {
        matches!(
            self,
            Self::EndorsementGathering
                | Self::Blocked
                | Self::ConfirmingDispatch
                | Self::ReadyForDispatch
                | Self::Dispatched
                | Self::Submitted
                | Self::Confirmed
        )
    }

    /// Nothing calls it back any more: what depends on it may be dispatched behind it.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::ReadyForDispatch | Self::Dispatched | Self::Submitted | Self::Confirmed)
    }
}

/// Why a state changes, or an action is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Delegated by its originator.
    Received,
    /// Chosen from the pool as the next one. It changes no state: the request that follows does.
    Selected,
    /// The request to assemble it has left.
    AssembleRequestSent,
    /// Its originator has assembled it.
    AssembleSuccess,
    /// Its originator calls its intent invalid.
    AssembleRevertResponse,
    /// Its originator has parked it; added.
    AssembleParkResponse,
    /// Its originator could not assemble it, for no fault of the intent; added.
    AssembleErrorResponse,
    /// Its originator has it no longer, or not for this coordinator; added.
    Withdrawn,
    /// An endorsement has come.
    Endorsed,
    /// An endorser has refused: the diagram's `Rejected`.
    EndorsedRejected,
    /// Something it depends on is ready to be dispatched.
    DependencyReady,
    /// Something it depends on has been assembled.
    DependencyAssembled,
    /// Something it depends on was parked, reverted, or has to be assembled anew.
    DependencyReverted,
    /// Its originator agrees to the dispatch.
    DispatchConfirmed,
    /// Its originator does not agree: it has another coordinator, or the transaction has ended.
    DispatchConfirmationRejected,
    /// The public pipeline has it.
    Collected,
    /// It has a nonce. It changes no state.
    NonceAllocated,
    /// It was sent to the chain.
    Submitted,
    /// The chain has mined it: its success, or its revert.
    Confirmed,
    /// Time to look at requests that are not answered.
    RequestTimeoutInterval,
    /// The time between two heartbeats has passed.
    HeartbeatInterval,
}

impl Event {
    /// All, in the order of the seed, with what was added where it belongs. Its `StateTransition` is the event of the coordinator, its
    /// `AssembleTimeout` a fact of the interval.
    pub const ALL: [Self; 21] = [
        Self::Received,
        Self::Selected,
        Self::AssembleRequestSent,
        Self::AssembleSuccess,
        Self::AssembleRevertResponse,
        Self::AssembleParkResponse,
        Self::AssembleErrorResponse,
        Self::Withdrawn,
        Self::Endorsed,
        Self::EndorsedRejected,
        Self::DependencyReady,
        Self::DependencyAssembled,
        Self::DependencyReverted,
        Self::DispatchConfirmed,
        Self::DispatchConfirmationRejected,
        Self::Collected,
        Self::NonceAllocated,
        Self::Submitted,
        Self::Confirmed,
        Self::RequestTimeoutInterval,
        Self::HeartbeatInterval,
    ];
}

/// How the chain has mined it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mined {
    /// As it was meant.
    #[default]
    Success,
    /// Reverted, because an input or a read was not available: assembling anew can cure that.
    Retryable,
    /// Reverted for good.
    Final,
}

/// What a transition depends on beside the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Everything that it names as a dependency has been assembled.
    pub dependencies_assembled: bool,
    /// Everything that it depends on is ready to be dispatched.
    pub dependencies_ready: bool,
    /// Its attestation plan is fulfilled.
    pub endorsed: bool,
    /// Enough of its endorsers have not refused.
    pub endorsable: bool,
    /// Its originator has not answered for the time that an assembly may take.
    pub assemble_timed_out: bool,
    /// What the chain did with it.
    pub mined: Mined,
}

/// The condition of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    /// None.
    Always,
    /// What it names as a dependency is assembled.
    DependenciesAssembled,
    /// Something it names as a dependency is not assembled.
    DependencyMissing,
    /// Its originator may still answer.
    AssembleTimeLeft,
    /// Its originator took too long.
    AssembleTimedOut,
    /// Too many have refused.
    NotEndorsable,
    /// Endorsed, and what it depends on is ready.
    EndorsedAndReady,
    /// Endorsed, and something it depends on is not ready.
    EndorsedAndBlocked,
    /// What it depends on is ready.
    DependenciesReady,
    /// Mined as it was meant.
    Succeeded,
    /// Mined and reverted; assembling anew can help, and what it names is assembled.
    RevertedRetryable,
    /// The same, but something it names is not assembled any more.
    RevertedAndDependencyMissing,
    /// Mined and reverted for good.
    RevertedFinal,
}

impl Guard {
    const fn holds(self, facts: Facts) -> bool {
        match self {
            Self::Always => true,
            Self::DependenciesAssembled => facts.dependencies_assembled,
            Self::DependencyMissing => !facts.dependencies_assembled,
            Self::AssembleTimeLeft => !facts.assemble_timed_out,
            Self::AssembleTimedOut => facts.assemble_timed_out,
            Self::NotEndorsable => !facts.endorsable,
            Self::EndorsedAndReady => facts.endorsed && facts.dependencies_ready,
            Self::EndorsedAndBlocked => facts.endorsed && !facts.dependencies_ready,
            Self::DependenciesReady => facts.dependencies_ready,
            Self::Succeeded => matches!(facts.mined, Mined::Success),
            Self::RevertedRetryable => matches!(facts.mined, Mined::Retryable) && facts.dependencies_assembled,
            Self::RevertedAndDependencyMissing => matches!(facts.mined, Mined::Retryable) && !facts.dependencies_assembled,
            Self::RevertedFinal => matches!(facts.mined, Mined::Final),
        }
    }
}

/// Every transition.
pub const TABLE: &[Row<State, Event, Guard>] = &[
    // The diagram of seed 001.
    (None, Event::Received, Guard::DependenciesAssembled, State::Pooled),
    (None, Event::Received, Guard::DependencyMissing, State::PreAssemblyBlocked),
    (Some(State::PreAssemblyBlocked), Event::DependencyAssembled, Guard::DependenciesAssembled, State::Pooled),
    (Some(State::Pooled), Event::AssembleRequestSent, Guard::Always, State::Assembling),
    (Some(State::Pooled), Event::DependencyReverted, Guard::DependencyMissing, State::PreAssemblyBlocked),
    (Some(State::Assembling), Event::AssembleSuccess, Guard::Always, State::EndorsementGathering),
    (Some(State::Assembling), Event::RequestTimeoutInterval, Guard::AssembleTimeLeft, State::Assembling),
    (Some(State::Assembling), Event::RequestTimeoutInterval, Guard::AssembleTimedOut, State::Pooled),
    (Some(State::Assembling), Event::AssembleRevertResponse, Guard::Always, State::Reverted),
    (Some(State::EndorsementGathering), Event::Endorsed, Guard::EndorsedAndReady, State::ConfirmingDispatch),
    (Some(State::EndorsementGathering), Event::Endorsed, Guard::EndorsedAndBlocked, State::Blocked),
    (Some(State::EndorsementGathering), Event::EndorsedRejected, Guard::NotEndorsable, State::Pooled),
    (Some(State::EndorsementGathering), Event::RequestTimeoutInterval, Guard::Always, State::EndorsementGathering),
    (Some(State::Blocked), Event::DependencyReady, Guard::DependenciesReady, State::ConfirmingDispatch),
    (Some(State::ConfirmingDispatch), Event::DispatchConfirmed, Guard::Always, State::ReadyForDispatch),
    (Some(State::ConfirmingDispatch), Event::RequestTimeoutInterval, Guard::Always, State::ConfirmingDispatch),
    (Some(State::ConfirmingDispatch), Event::DispatchConfirmationRejected, Guard::Always, State::Final),
    (Some(State::ReadyForDispatch), Event::Collected, Guard::Always, State::Dispatched),
    (Some(State::Dispatched), Event::Submitted, Guard::Always, State::Submitted),
    (Some(State::Submitted), Event::Confirmed, Guard::Succeeded, State::Confirmed),
    (Some(State::Submitted), Event::Confirmed, Guard::RevertedRetryable, State::Pooled),
    (Some(State::Reverted), Event::HeartbeatInterval, Guard::Always, State::Final),
    (Some(State::Confirmed), Event::HeartbeatInterval, Guard::Always, State::Final),
    // Added: what is parked waits at its originator, and holds nothing up here.
    (Some(State::Assembling), Event::AssembleParkResponse, Guard::Always, State::Final),
    // Added: nothing else would end here what its originator has no longer.
    (Some(State::Pooled), Event::Withdrawn, Guard::Always, State::Final),
    (Some(State::PreAssemblyBlocked), Event::Withdrawn, Guard::Always, State::Final),
    (Some(State::Assembling), Event::Withdrawn, Guard::Always, State::Final),
    (Some(State::EndorsementGathering), Event::Withdrawn, Guard::Always, State::Final),
    (Some(State::Blocked), Event::Withdrawn, Guard::Always, State::Final),
    (Some(State::ConfirmingDispatch), Event::Withdrawn, Guard::Always, State::Final),
    // Added: an error of the originator says nothing about the intent.
    (Some(State::Assembling), Event::AssembleErrorResponse, Guard::Always, State::Pooled),
    // Added: it may be mined before anybody told that it was sent.
    (Some(State::Dispatched), Event::Confirmed, Guard::Succeeded, State::Confirmed),
    (Some(State::Dispatched), Event::Confirmed, Guard::RevertedRetryable, State::Pooled),
    // Added: what it names has been called back, or reverted too, while it was beyond calling back itself.
    (Some(State::Dispatched), Event::Confirmed, Guard::RevertedAndDependencyMissing, State::PreAssemblyBlocked),
    (Some(State::Submitted), Event::Confirmed, Guard::RevertedAndDependencyMissing, State::PreAssemblyBlocked),
    // Added: a revert that no assembly can cure (row C11).
    (Some(State::Dispatched), Event::Confirmed, Guard::RevertedFinal, State::Reverted),
    (Some(State::Submitted), Event::Confirmed, Guard::RevertedFinal, State::Reverted),
    // Added: a resubmission has another hash, which its action notes.
    (Some(State::Submitted), Event::Submitted, Guard::Always, State::Submitted),
    // Added: what was assembled upon states that will not be there is assembled anew, or waits for what it names (rows C11, C12).
    (Some(State::Assembling), Event::DependencyReverted, Guard::DependenciesAssembled, State::Pooled),
    (Some(State::Assembling), Event::DependencyReverted, Guard::DependencyMissing, State::PreAssemblyBlocked),
    (Some(State::EndorsementGathering), Event::DependencyReverted, Guard::DependenciesAssembled, State::Pooled),
    (Some(State::EndorsementGathering), Event::DependencyReverted, Guard::DependencyMissing, State::PreAssemblyBlocked),
    (Some(State::Blocked), Event::DependencyReverted, Guard::DependenciesAssembled, State::Pooled),
    (Some(State::Blocked), Event::DependencyReverted, Guard::DependencyMissing, State::PreAssemblyBlocked),
    (Some(State::ConfirmingDispatch), Event::DependencyReverted, Guard::DependenciesAssembled, State::Pooled),
    (Some(State::ConfirmingDispatch), Event::DependencyReverted, Guard::DependencyMissing, State::PreAssemblyBlocked),
];

/// The state after an event; `None` where it changes nothing. `state` is `None` before it is received.
#[must_use]
pub fn next(state: Option<State>, event: Event, facts: Facts) -> Option<State> {
    sequencer::next(TABLE, state, event, |guard| guard.holds(facts))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::sequencer::diagram;

    // `PreAssembly_Blocked --> Pooled` has no event there; the event list names the one that fits. Its `Rejected` is `EndorsedRejected` in
    // that list, and `[*]` at the end is the state `Final`.
    const SEED: &str = "
    [*] --> Pooled : Received
    [*] --> PreAssembly_Blocked : Received
    PreAssembly_Blocked --> Pooled : DependencyAssembled
    Pooled --> Assembling : AssembleRequestSent
    Pooled --> PreAssembly_Blocked : DependencyReverted
    Assembling --> Endorsement_Gathering : Assemble_Success
    Assembling --> Assembling : RequestTimeoutInterval
    Assembling --> Pooled : RequestTimeoutInterval
    Assembling --> Reverted : Assemble_Revert_Response
    Endorsement_Gathering --> Confirming_Dispatch : Endorsed
    Endorsement_Gathering --> Blocked : Endorsed
    Endorsement_Gathering --> Pooled : EndorsedRejected
    Endorsement_Gathering --> Endorsement_Gathering : RequestTimeoutInterval
    Blocked --> Confirming_Dispatch : DependencyReady
    Confirming_Dispatch --> Ready_For_Dispatch : DispatchConfirmed
    Confirming_Dispatch --> Confirming_Dispatch : RequestTimeoutInterval
    Confirming_Dispatch --> Final : DispatchConfirmationRejected
    Ready_For_Dispatch --> Dispatched : Collected
    Dispatched --> Submitted : Submitted
    Submitted --> Confirmed :Confirmed
    Submitted --> Pooled : Confirmed
    Reverted --> Final : HeartbeatInterval
    Confirmed --> Final : HeartbeatInterval";

    fn all_facts() -> impl Iterator<Item = Facts> {
        [Mined::Success, Mined::Retryable, Mined::Final].into_iter().flat_map(|mined| {
            (0..32_u8).map(move |bits| {
                let bit = |place: u8| bits >> place & 1 == 1;
                Facts {
                    dependencies_assembled: bit(0),
                    dependencies_ready: bit(1),
                    endorsed: bit(2),
                    endorsable: bit(4),
                    assemble_timed_out: bit(3),
                    mined,
                }
            })
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
            diagram::assert_rows(TABLE, |guard| guard.holds(facts), |from, event| next(from, event, facts));
        }
    }

    #[test]
    fn every_state_is_reached_and_all_but_the_last_are_left() {
        let reached: BTreeSet<State> = TABLE.iter().map(|row| row.3).collect();
        let left: BTreeSet<State> = TABLE.iter().filter_map(|row| row.0).collect();
        assert_eq!(reached.len(), State::ALL.len());
        assert!(State::ALL.iter().all(|state| left.contains(state) == (*state != State::Final)));
    }

    #[test]
    fn behind_the_point_of_no_return_only_the_chain_brings_it_back() {
        for state in State::ALL.into_iter().filter(|state| state.is_ready()) {
            for event in Event::ALL.into_iter().filter(|event| !matches!(event, Event::Confirmed | Event::HeartbeatInterval)) {
                for facts in all_facts() {
                    let to = next(Some(state), event, facts).unwrap_or(state);
                    assert!(to.is_ready(), "{state:?} {event:?} leads to {to:?}");
                }
            }
        }
    }

    #[test]
    fn it_is_dispatched_only_with_its_endorsements_its_dependencies_and_its_originators_word() {
        // Without one of the three no event leads there, whatever came before.
        type Lacks = (fn(&mut Facts), Option<Event>);
        let lacks: [Lacks; 3] = [
            (|facts| facts.endorsed = false, None),
            (|facts| facts.dependencies_ready = false, None),
            (|_| {}, Some(Event::DispatchConfirmed)),
        ];
        for (lack, without) in lacks {
            let mut reached = BTreeSet::from([None]);
            while let Some((state, to)) = reached.iter().find_map(|state| {
                let events = Event::ALL.into_iter().filter(|event| Some(*event) != without);
                events.flat_map(|event| all_facts().map(move |facts| (event, facts))).find_map(|(event, mut facts)| {
                    lack(&mut facts);
                    let to = next(*state, event, facts)?;
                    (!reached.contains(&Some(to))).then_some((*state, to))
                })
            }) {
                assert!(!to.is_ready(), "{state:?} leads to {to:?}");
                reached.insert(Some(to));
            }
        }
    }

    #[test]
    fn what_lost_a_dependency_waits_for_it_if_it_names_it_and_is_assembled_anew_if_not() {
        for state in [State::Assembling, State::EndorsementGathering, State::Blocked, State::ConfirmingDispatch] {
            let named = Facts::default();
            assert_eq!(next(Some(state), Event::DependencyReverted, named), Some(State::PreAssemblyBlocked));
            let not_named = Facts { dependencies_assembled: true, ..named };
            assert_eq!(next(Some(state), Event::DependencyReverted, not_named), Some(State::Pooled));
        }
    }
}

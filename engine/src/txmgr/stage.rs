//! Stages of a public transaction (row A5) and the one function that decides the next.
//!
//! | stage | entered when | done when |
//! |---|---|---|
//! | `Queued` | accepted, not looked at yet | the next look |
//! | `StatusUpdate` | a change of status is pending and the transaction has not ended | the change is on disk |
//! | `RetrieveGasPrice` | there is no price, or the resubmission is due | a price is known |
//! | `Signing` | there is a price, and no signed attempt that matches it | signed, hashed and on disk |
//! | `Submitting` | the newest attempt is on disk and its submission has no outcome | an outcome is known |
//! | `Tracking` | nothing else is to be done | a receipt, or the resubmission falls due |
//! | `Complete` | the transaction has ended | it leaves the memory |
//!
//! Priority is the order of the checks in [`next_stage`]; it is the order of the seed.

use schemars::JsonSchema;
use serde::Serialize;

/// Where a transaction stands in the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Accepted and waiting to be looked at.
    Queued,
    /// A change of status is being written.
    StatusUpdate,
    /// Needs a price, the first or a higher one.
    RetrieveGasPrice,
    /// Needs a signature over its present price.
    Signing,
    /// Signed and on disk; must be sent.
    Submitting,
    /// Sent; waits for its receipt.
    Tracking,
    /// Ended.
    Complete,
}

impl Stage {
    /// All stages; a stage's place here is `stage as usize`.
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::StatusUpdate, Self::RetrieveGasPrice, Self::Signing, Self::Submitting, Self::Tracking, Self::Complete];

    /// Its name, as in the API and in the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::StatusUpdate => "statusUpdate",
            Self::RetrieveGasPrice => "retrieveGasPrice",
            Self::Signing => "signing",
            Self::Submitting => "submitting",
            Self::Tracking => "tracking",
            Self::Complete => "complete",
        }
    }
}

/// What the decision depends on, and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// A new status is known that is not on disk yet.
    pub status_change_pending: bool,
    /// A final receipt or a failure is on disk.
    pub ready_to_exit: bool,
    /// A price for the next or the present attempt is known.
    pub has_price: bool,
    /// At least one attempt is signed.
    pub has_hash: bool,
    /// The newest attempt was signed over the present price and generation.
    pub hash_matches_state: bool,
    /// The newest attempt's submission has an outcome.
    pub submitted: bool,
    /// The resubmission interval has passed, or the node called the price too low.
    pub resubmit_due: bool,
}

/// The next stage of a transaction. Pure and total.
#[must_use]
pub const fn next_stage(facts: &Facts) -> Stage {
    if facts.status_change_pending && !facts.ready_to_exit {
        Stage::StatusUpdate
    } else if facts.ready_to_exit {
        Stage::Complete
    } else if !facts.has_price || (facts.has_hash && facts.resubmit_due) {
        Stage::RetrieveGasPrice
    } else if !facts.has_hash || !facts.hash_matches_state {
        Stage::Signing
    } else if !facts.submitted {
        Stage::Submitting
    } else {
        Stage::Tracking
    }
}

#[cfg(test)]
mod tests {
    use super::{Facts, Stage, next_stage};

    const SUBMITTED: Facts = Facts {
        status_change_pending: false,
        ready_to_exit: false,
        has_price: true,
        has_hash: true,
        hash_matches_state: true,
        submitted: true,
        resubmit_due: false,
    };

    #[test]
    fn a_transaction_walks_price_signing_submitting_tracking() {
        let mut facts = Facts::default();
        assert_eq!(next_stage(&facts), Stage::RetrieveGasPrice);
        facts.has_price = true;
        assert_eq!(next_stage(&facts), Stage::Signing);
        facts.has_hash = true;
        facts.hash_matches_state = true;
        assert_eq!(next_stage(&facts), Stage::Submitting);
        facts.submitted = true;
        assert_eq!(next_stage(&facts), Stage::Tracking);
        facts.ready_to_exit = true;
        assert_eq!(next_stage(&facts), Stage::Complete);
    }

    #[test]
    fn a_due_resubmission_goes_back_to_the_price_then_signs_again() {
        let due = Facts { resubmit_due: true, ..SUBMITTED };
        assert_eq!(next_stage(&due), Stage::RetrieveGasPrice);
        let repriced = Facts { hash_matches_state: false, ..SUBMITTED };
        assert_eq!(next_stage(&repriced), Stage::Signing);
    }

    #[test]
    fn a_pending_status_change_comes_first_and_an_ended_transaction_starts_nothing() {
        assert_eq!(next_stage(&Facts { status_change_pending: true, ..SUBMITTED }), Stage::StatusUpdate);
        for pending in [false, true] {
            let ended = Facts { ready_to_exit: true, status_change_pending: pending, resubmit_due: true, ..SUBMITTED };
            assert_eq!(next_stage(&ended), Stage::Complete);
        }
    }
}

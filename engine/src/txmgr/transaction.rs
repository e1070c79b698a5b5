//! One bound transaction in memory: its attempts, what is being done with it, and the facts its next stage depends on.
//!
//! Generations are in its data from the start: an attempt belongs to a generation, and only the current one starts stages.

use std::time::Duration;

use alloy::primitives::{B256, Bytes};
use smallvec::SmallVec;
use storage::{AttemptFees, ReceiptRow, TransactionRow};
use uuid::Uuid;

use super::event::{BoundRow, ReplyTo};
use super::stage::{Facts, Stage, next_stage};
use crate::sabotage::{self, Sabotage};

/// What is remembered of a signed attempt. The bytes of all but the newest are on disk only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Generation it was signed for.
    pub generation: u16,
    /// Its hash.
    pub hash: B256,
    /// Its price.
    pub fees: AttemptFees,
    /// It closes the nonce instead of carrying the request.
    pub closing: bool,
}

/// What is kept of a request until its first record is on disk: enough to put it back.
#[derive(Clone, Debug)]
pub struct Unsaved {
    /// The request.
    pub row: TransactionRow,
    /// Digest of its body.
    pub body_hash: B256,
    /// Where it goes back to if its record does not reach the disk.
    pub origin: Origin,
}

/// Where a transaction came from when it was bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A caller, who waits for the answer: nothing of it is on disk.
    Caller(ReplyTo),
    /// This place of its address's queue: it was accepted earlier.
    Queue(u64),
}

impl Origin {
    /// The caller, if one waits.
    #[must_use]
    pub const fn caller(self) -> Option<ReplyTo> {
        match self {
            Self::Caller(to) => Some(to),
            Self::Queue(_) => None,
        }
    }
}

/// What is being done with a transaction right now. One thing at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    None,
    /// A signature is being made.
    Signing,
    /// A record that concerns it is being written.
    Persisting,
    /// It is queued for a lane, or on the wire.
    Sending,
}

/// The block that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Included {
    /// Number of the block.
    pub block: u64,
    /// The block with this fact is on disk.
    pub stored: bool,
    /// It has been counted as confirmed.
    pub confirmed: bool,
}

/// A transaction that has a nonce.
#[derive(Clone, Debug)]
pub struct InFlight {
    /// Its id.
    pub id: Uuid,
    /// The current generation.
    pub generation: u16,
    /// Attempts on disk or on their way there, oldest first.
    pub attempts: SmallVec<[Mark; 1]>,
    /// How many of the attempts are on disk.
    pub durable: usize,
    /// Bytes of the newest attempt on disk.
    pub raw: Bytes,
    /// What is being done with it.
    pub work: Work,
    /// It was with a node before and is sent again to find out whether the pool dropped it.
    pub resending: bool,
    /// The newest attempt on disk has a submission outcome.
    pub submitted: bool,
    /// A higher price is due.
    pub resubmit_due: bool,
    /// The user fixed the price: it is never raised.
    pub fixed_price: bool,
    /// Why the request can never be mined; its nonce is being closed by a self-send.
    pub closing: Option<Box<str>>,
    /// The closing reason is not in a record yet.
    pub closing_unsaved: bool,
    /// Kept until the first record is on disk.
    pub unsaved: Option<Box<Unsaved>>,
    /// When it was accepted, µs since the epoch.
    pub accepted_at: u64,
    /// When its first record was on disk, µs since the epoch; 0 if that was before a restart.
    pub durable_at: u64,
    /// When a node first had it, µs since the epoch; 0 if not, or before a restart.
    pub sent_at: u64,
    /// When the newest attempt was made, for the resubmission interval.
    pub attempted_at: Duration,
    /// The node last called its nonce used.
    pub nonce_used: bool,
    /// Head when the newest attempt was known to be with a node (the seed's `BroadCastBeforeBlockNum`).
    pub sent_before_block: Option<u64>,
    /// The send failed this often in a row.
    pub failures: u32,
    /// Not to be sent before this time.
    pub not_before: Duration,
    /// The block that holds it.
    pub included: Option<Included>,
}

impl InFlight {
    /// A request that takes its nonce now and is about to be signed.
    #[must_use]
    pub fn new(id: Uuid, unsaved: Unsaved, now: Duration) -> Self {
        Self {
            id,
            generation: unsaved.row.generation,
            attempts: SmallVec::new(),
            durable: 0,
            raw: Bytes::new(),
            work: Work::Signing,
            resending: false,
            submitted: false,
            resubmit_due: false,
            fixed_price: unsaved.row.request.fees != storage::Fees::Market,
            closing: None,
            closing_unsaved: false,
            accepted_at: unsaved.row.accepted_at,
            durable_at: 0,
            sent_at: 0,
            attempted_at: now,
            nonce_used: false,
            sent_before_block: None,
            failures: 0,
            not_before: Duration::ZERO,
            included: None,
            unsaved: Some(Box::new(unsaved)),
        }
    }

    /// A transaction read from disk at start. It counts as maybe sent (row A4).
    #[must_use]
    pub fn recovered(bound: &BoundRow, now: Duration) -> Self {
        let newest = bound.attempts.last();
        let attempts = bound
            .attempts
            .iter()
            .map(|row| Mark { generation: row.generation, hash: row.hash, fees: row.fees, closing: row.closing.is_some() })
            .collect::<SmallVec<[Mark; 1]>>();
        Self {
            id: bound.id,
            generation: newest.map_or(0, |row| row.generation),
            durable: attempts.len(),
            attempts,
            raw: newest.map_or_else(Bytes::new, |row| row.raw.clone()),
            work: if sabotage::on(Sabotage::BoundForgotten) { Work::Sending } else { Work::None },
            resending: false,
            submitted: false,
            resubmit_due: false,
            fixed_price: bound.fixed_price,
            closing: newest.and_then(|row| row.closing.as_deref()).map(Into::into),
            closing_unsaved: false,
            unsaved: None,
            accepted_at: bound.accepted_at,
            durable_at: 0,
            sent_at: 0,
            attempted_at: now,
            nonce_used: false,
            sent_before_block: None,
            failures: 0,
            not_before: Duration::ZERO,
            included: bound.receipt.as_ref().map(|r: &ReceiptRow| Included { block: r.block_number, stored: true, confirmed: false }),
        }
    }

    /// The stage it is in, or has to enter.
    #[must_use]
    pub fn stage(&self) -> Stage {
        next_stage(&Facts {
            status_change_pending: self.closing_unsaved,
            ready_to_exit: self.included.is_some_and(|included| included.stored),
            has_price: true,
            has_hash: !self.attempts.is_empty(),
            hash_matches_state: self.durable == self.attempts.len(),
            submitted: self.submitted,
            resubmit_due: self.resubmit_due,
        })
    }

    /// True from the moment on in which its first record is on disk.
    #[must_use]
    pub const fn is_bound(&self) -> bool {
        self.durable > 0
    }

    /// Prices of all attempts.
    pub fn fees(&self) -> SmallVec<[AttemptFees; 4]> {
        self.attempts.iter().map(|mark| mark.fees).collect()
    }
}

//! One bound transaction in memory: its attempts, what is being done with it, and the facts its next stage depends on.
//!
//! Generations are in its data from the start: an attempt belongs to a generation, and only the current one starts stages.

use std::time::Duration;

use alloy::consensus::{Transaction, TxEnvelope};
use alloy::eips::Decodable2718;
use alloy::primitives::{B256, Bytes, U256};
use smallvec::SmallVec;
use storage::{AttemptFees, AttemptRow, GenerationRow, ReceiptRow, TransactionRow};
use thiserror::Error;
use uuid::Uuid;

use super::balance::cost;
use super::event::{BoundRow, Now, ReplyTo};
use super::patience::patience_left;
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
    /// Wei that it moves.
    pub value: U256,
    /// It closes the nonce instead of carrying the request.
    pub closing: bool,
    /// A node has said that it has it.
    pub broadcast: bool,
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
    /// Nobody: it fills a nonce that has opened again below ours.
    Hole,
}

impl Origin {
    /// The caller, if one waits.
    #[must_use]
    pub const fn caller(self) -> Option<ReplyTo> {
        match self {
            Self::Caller(to) => Some(to),
            Self::Queue(_) | Self::Hole => None,
        }
    }
}

/// A new generation of a bound transaction, until the record of it and of its first attempt is on disk.
#[derive(Clone, Debug)]
pub struct Updating {
    /// The row from then on.
    pub row: TransactionRow,
    /// The generation that it takes the place of.
    pub replaced: (u16, GenerationRow),
    /// Wei that were reserved for it beyond what was before.
    pub more: U256,
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

/// Why a bound transaction waits for something that only others can change; the words are for its user (row A8).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Held {
    /// The cap leaves no price that a pool takes as a replacement.
    #[error(
        "a replacement needs {needed} wei per gas and gas.cap_max_fee_per_gas is {cap}; it goes on when the market falls to its price, or with a higher cap"
    )]
    PriceCap {
        /// What a replacement would have to pay, wei per gas.
        needed: u128,
        /// The configured cap, wei per gas.
        cap: u128,
    },
    /// The cap leaves no price of a blob's gas that a pool takes as a replacement.
    #[error(
        "a replacement needs {needed} wei per blob gas and gas.cap_max_fee_per_blob_gas is {cap}; it goes on when the market falls to its price, or with a higher cap"
    )]
    BlobPriceCap {
        /// What a replacement would have to pay, wei per blob gas.
        needed: u64,
        /// The configured cap, wei per blob gas.
        cap: u64,
    },
    /// Its user fixed the price, and the node calls it too low.
    #[error("the node calls its fixed price of {price} wei per gas too low ({message}); it goes on when the market falls")]
    FixedPrice {
        /// What it pays at most, wei per gas.
        price: u128,
        /// What the node said.
        message: String,
    },
    /// The node says that the address cannot pay for it.
    #[error("the address cannot pay for it ({message}); add funds to it")]
    Funds {
        /// What the node said.
        message: String,
    },
    /// The node does not say that it has these bytes: it named another hash than theirs.
    #[error("the node names another hash than ours ({message}); the same bytes are sent again, and it may be wrong: use another one")]
    OtherHash {
        /// Both hashes.
        message: String,
    },
    /// There was no signature for a further attempt.
    #[error("no signature for a further attempt ({message}); the earlier ones stay")]
    Signer {
        /// What the signer said.
        message: String,
    },
}

/// What of a transaction waits for money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// Nothing.
    No,
    /// Its bytes: the node said that the address cannot pay for them.
    Send,
    /// A higher price, for which this many wei more would have to be reserved.
    Increase(U256),
}

/// The block that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Included {
    /// Number of the block.
    pub block: u64,
    /// When the block was seen, µs since the epoch.
    pub seen_at: u64,
    /// The block with this fact is on disk.
    pub stored: bool,
    /// It has been counted as confirmed.
    pub confirmed: bool,
    /// What it holds is the self-send that closes the nonce, not the request.
    pub closing: bool,
}

/// Somebody else's transaction in a block, at this one's nonce: the evidence that it is displaced (row B6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Number of the block that holds it.
    pub block: u64,
    /// Its hash.
    pub hash: B256,
    /// The block with this fact is on disk.
    pub stored: bool,
}

/// The last record of a transaction whose nonce went to something else than its request: written once that is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Not written.
    Open,
    /// On its way to the disk.
    Writing,
    /// On disk: failed, or queued again.
    Done,
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
    /// The sign job that was asked for last.
    pub job: u64,
    /// Bound in this process, and no node has answered for it yet: what its address has its slot for.
    pub unsent: bool,
    /// Why it does not go on by itself, if so.
    pub held: Option<Box<Held>>,
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
    /// The generation whose first attempt is being made.
    pub updating: Option<Box<Updating>>,
    /// Most wei that any of its attempts can take; reserved until a block holds it.
    pub cost: U256,
    /// What of it waits for money.
    pub short: Short,
    /// When it was accepted, µs since the epoch.
    pub accepted_at: u64,
    /// When its first record was on disk, µs since the epoch; 0 if that was before a restart.
    pub durable_at: u64,
    /// When a node first had it, µs since the epoch; 0 if not, or before a restart.
    pub sent_at: u64,
    /// When a higher price is due, if no block holds it by then.
    pub raise_at: Duration,
    /// Times that it was the oldest of its address and sent again to ask whether the pool has it.
    pub probes: u8,
    /// The node last called its nonce used.
    pub nonce_used: bool,
    /// Head when the newest attempt was known to be with a node (the seed's `BroadCastBeforeBlockNum`).
    pub sent_before_block: Option<u64>,
    /// The send failed this often in a row, over all attempts: a higher price that is refused, too, is no fresh start.
    pub failures: u32,
    /// A further attempt got no signature this often in a row.
    pub sign_failures: u32,
    /// When a further attempt is to be signed after there was no signature.
    pub sign_again_at: Option<Duration>,
    /// The stages start again: price and balance are looked at anew, and the same bytes go out unless the market has risen.
    pub starts_again: bool,
    /// Not to be sent before this time.
    pub not_before: Duration,
    /// The block that holds it.
    pub included: Option<Included>,
    /// Who has taken its nonce in a block instead.
    pub rival: Option<Rival>,
    /// Whether its last record is written, where it needs one.
    pub ending: Ending,
}

impl InFlight {
    /// A request that takes its nonce now and is about to be signed.
    #[must_use]
    pub fn new(id: Uuid, unsaved: Unsaved) -> Self {
        let (generation, accepted_at) = (unsaved.row.generation, unsaved.row.accepted_at);
        let fixed_price = unsaved.row.request.fees != storage::Fees::Market;
        let unsaved = Some(Box::new(unsaved));
        Self { generation, work: Work::Signing, unsent: true, unsaved, ..Self::blank(id, accepted_at, fixed_price) }
    }

    /// A transaction read from disk at start. It counts as maybe sent (row A4), and its newest attempt is as old as it is: `interval` after
    /// it was signed a higher price is due.
    #[must_use]
    pub fn recovered(bound: &BoundRow, interval: Duration, now: Now) -> Self {
        let newest = bound.attempts.last();
        // Attempts of one generation move the same; what closes a nonce moves nothing.
        let mut moved = (None, U256::ZERO, 0);
        let mut value = |row: &AttemptRow| {
            if moved.0 != Some(row.generation) {
                let signed = TxEnvelope::decode_2718(&mut row.raw.as_ref()).ok();
                let (value, blobs) = signed.map_or((U256::ZERO, 0), |signed| (signed.value(), signed.blob_count().unwrap_or(0) as usize));
                moved = (Some(row.generation), value, blobs);
            }
            if row.closing.is_some() { (U256::ZERO, 1) } else { (moved.1, moved.2) }
        };
        let values: SmallVec<[(U256, usize); 4]> = bound.attempts.iter().map(&mut value).collect();
        let most = bound.attempts.iter().zip(&values).map(|(row, (value, blobs))| cost(&row.fees, row.gas, *value, *blobs)).max();
        let attempts = bound
            .attempts
            .iter()
            .zip(values)
            .map(|(row, (value, _))| Mark {
                generation: row.generation,
                hash: row.hash,
                fees: row.fees,
                value,
                closing: row.closing.is_some(),
                broadcast: false,
            })
            .collect::<SmallVec<[Mark; 1]>>();
        let closed_by = |receipt: &ReceiptRow| attempts.iter().any(|mark| mark.closing && mark.hash == receipt.transaction_hash);
        let included = bound.receipt.as_ref().map(|receipt| Included {
            block: receipt.block_number,
            seen_at: receipt.timeline.included_at.unwrap_or(now.unix_us),
            stored: true,
            confirmed: false,
            closing: closed_by(receipt),
        });
        Self {
            generation: newest.map_or(0, |row| row.generation),
            durable: attempts.len(),
            raw: newest.map_or_else(Bytes::new, |row| row.raw.clone()),
            closing: newest.and_then(|row| row.closing.as_deref()).map(Into::into),
            included,
            rival: bound.rival.map(|row| Rival { block: row.block_number, hash: row.transaction_hash, stored: true }),
            ending: if bound.ended { Ending::Done } else { Ending::Open },
            cost: most.unwrap_or_default(),
            attempts,
            work: if sabotage::on(Sabotage::BoundForgotten) { Work::Sending } else { Work::None },
            raise_at: now.elapsed + newest.map_or(interval, |row| patience_left(row.signed_at, interval, now.unix_us)),
            ..Self::blank(bound.id, bound.accepted_at, bound.fixed_price)
        }
    }

    /// A transaction of which nothing is known but where it comes from.
    fn blank(id: Uuid, accepted_at: u64, fixed_price: bool) -> Self {
        Self {
            id,
            generation: 0,
            attempts: SmallVec::new(),
            durable: 0,
            raw: Bytes::new(),
            work: Work::None,
            job: 0,
            unsent: false,
            held: None,
            resending: false,
            submitted: false,
            resubmit_due: false,
            fixed_price,
            closing: None,
            closing_unsaved: false,
            unsaved: None,
            updating: None,
            cost: U256::ZERO,
            short: Short::No,
            accepted_at,
            durable_at: 0,
            sent_at: 0,
            raise_at: Duration::ZERO,
            probes: 0,
            nonce_used: false,
            sent_before_block: None,
            failures: 0,
            sign_failures: 0,
            sign_again_at: None,
            starts_again: false,
            not_before: Duration::ZERO,
            included: None,
            rival: None,
            ending: Ending::Open,
        }
    }

    /// The stage it is in, or has to enter.
    #[must_use]
    pub fn stage(&self) -> Stage {
        next_stage(&Facts {
            status_change_pending: self.closing_unsaved,
            ready_to_exit: self.taken_in().is_some(),
            has_price: true,
            has_hash: !self.attempts.is_empty(),
            hash_matches_state: self.durable == self.attempts.len(),
            submitted: self.submitted,
            resubmit_due: self.resubmit_due,
        })
    }

    /// The stage as it is shown: what is being done with it comes before what would be next.
    #[must_use]
    pub fn live_stage(&self) -> Stage {
        match self.work {
            Work::Signing | Work::Persisting => Stage::Signing,
            Work::Sending => Stage::Submitting,
            Work::None => self.stage(),
        }
    }

    /// A block has used its nonce, for itself or for a rival: there is nothing to send.
    #[must_use]
    pub const fn taken(&self) -> bool {
        self.included.is_some() || self.rival.is_some()
    }

    /// The block on disk that used its nonce.
    #[must_use]
    pub fn taken_in(&self) -> Option<u64> {
        let included = self.included.filter(|included| included.stored).map(|included| included.block);
        included.or(self.rival.filter(|rival| rival.stored).map(|rival| rival.block))
    }

    /// Its request is not what took the nonce: once that is final it needs a last record.
    #[must_use]
    pub fn needs_ending(&self) -> bool {
        self.rival.is_some() || self.included.is_some_and(|included| included.closing)
    }

    /// True from the moment on in which its first record is on disk.
    #[must_use]
    pub const fn is_bound(&self) -> bool {
        self.durable > 0
    }

    /// Number within its generation of the attempt at this place.
    #[must_use]
    pub fn number_of(&self, place: usize) -> u16 {
        let generation = self.attempts.get(place).map_or(self.generation, |mark| mark.generation);
        let earlier = self.attempts.iter().take(place).filter(|mark| mark.generation == generation);
        u16::try_from(earlier.count()).expect("prices end before attempts do")
    }

    /// An attempt that closes its nonce is on disk.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.attempts.iter().take(self.durable).any(|mark| mark.closing)
    }

    /// Prices of all attempts.
    pub fn fees(&self) -> SmallVec<[AttemptFees; 4]> {
        self.attempts.iter().map(|mark| mark.fees).collect()
    }
}

//! A transaction as a reader sees it: its rows put together, and the status and stage that follow from them.
//!
//! | rows on disk | status | stage |
//! |---|---|---|
//! | a failure | `fatal_error` | `complete` |
//! | no attempt of the present generation | `unstarted` | `queued`, or what its shard says |
//! | attempts, no receipt | `unconfirmed`; `in_progress` while its shard has heard of no node that has it | `tracking`, or what its shard says |
//! | a receipt of the self-send that closes the nonce, at any depth | `unconfirmed` | `tracking` |
//! | a receipt that is not deep enough | `unconfirmed` | `tracking` |
//! | a receipt at the required depth | `confirmed` | `complete` |
//!
//! What a shard does with a transaction between two commits is in its memory only, so a view of one open transaction is completed with what its shard
//! says ([`LiveTransaction`]): all seven [`Stage`]s, why it is held, and which attempts a node has. That is best effort: a shard that does not answer
//! in time leaves what is on disk, and lists ([`query`](crate::query)) show that alone. There a bound transaction counts as maybe sent and is
//! `unconfirmed`; a filter by `in_progress` therefore finds nothing. After a restart no answer of a node is known: what is bound is `in_progress`
//! until one has answered again.
//!
//! An attempt is `broadcast` once a node has said that it has it, or a block held it; until then it is `in_progress`.
//!
//! A request that is being closed, or that another wallet's transaction has displaced, stays `unconfirmed` until what took its nonce is
//! final: until then its own bytes could still be mined.
//!
//! Rows are read one after another, so a transaction that moves meanwhile shows an older status, never a wrong one: rows are only added.

#[cfg(test)]
pub(crate) mod testing;

use std::collections::BTreeMap;

use alloy::primitives::B256;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use storage::{AttemptRow, FailureRow, GenerationRow, ReceiptRow, RivalRow, Store, StoreError, TransactionRow, read};
use uuid::Uuid;

use crate::txmgr::inspect::{Asked, LiveTransaction};
use crate::txmgr::stage::Stage;

/// The state of a transaction, in the names that users of such systems know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted; has no nonce yet.
    Unstarted,
    /// Has a nonce and is being sent for the first time.
    InProgress,
    /// May have been sent, and is not in a block of the required depth.
    Unconfirmed,
    /// In a block of the required depth.
    Confirmed,
    /// Ended without being mined.
    FatalError,
}

/// Everything that is known of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionView {
    /// Its id.
    pub id: Uuid,
    /// What was asked for.
    pub transaction: TransactionRow,
    /// What its earlier generations asked for, oldest first; one that is missing asked for what the next one asks for.
    pub generations: Vec<(u16, GenerationRow)>,
    /// Every set of bytes signed for it, oldest first.
    pub attempts: Vec<AttemptRow>,
    /// How it was mined.
    pub receipt: Option<ReceiptRow>,
    /// Receipts of blocks that have left the chain since.
    pub orphans: Vec<ReceiptRow>,
    /// Others' transactions that took nonces it was bound to.
    pub rivals: Vec<RivalRow>,
    /// Why it ended without being mined.
    pub failure: Option<FailureRow>,
    /// When the block that made it deep enough was seen, µs since the Unix epoch; `None` if it is not yet, or if that block's row is pruned.
    pub confirmed_at: Option<u64>,
    /// What its shard says, if it was asked.
    pub live: Option<LiveTransaction>,
    /// Whether its block has the required depth.
    confirmed: bool,
}

/// The state of an attempt, in the names that users of such systems know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptStatus {
    /// Signed and on disk; no node is known to have it.
    InProgress,
    /// A node has it, or had it.
    Broadcast,
}

impl TransactionView {
    /// The transaction with this id. `required_confirmations`: the depth that counts as confirmed; 1 is its own block.
    pub fn read(store: &impl Store, id: Uuid, required_confirmations: u64) -> Result<Option<Self>, StoreError> {
        let Some(transaction) = read::transaction(store, id)? else { return Ok(None) };
        Ok(Self::complete(store, vec![(id, transaction)], required_confirmations)?.pop())
    }

    /// The transactions with these ids, in their order; unknown ones are left out.
    pub fn read_many(store: &impl Store, ids: &[Uuid], required_confirmations: u64) -> Result<Vec<Self>, StoreError> {
        let rows = read::transactions(store, ids)?;
        let known = ids.iter().zip(rows).filter_map(|(id, row)| Some((*id, row?))).collect();
        Self::complete(store, known, required_confirmations)
    }

    /// Reads what belongs to these transactions, in their order.
    pub fn complete(
        store: &impl Store,
        transactions: Vec<(Uuid, TransactionRow)>,
        required_confirmations: u64,
    ) -> Result<Vec<Self>, StoreError> {
        let ids: Vec<_> = transactions.iter().map(|(id, _)| *id).collect();
        let attempts = read::attempts_of(store, &ids)?;
        let receipts = read::receipts(store, &ids)?;
        let failures = read::failures(store, &ids)?;
        let mut depth = Depth::read(store, required_confirmations)?;
        let rows = transactions.into_iter().zip(attempts).zip(receipts).zip(failures);
        rows.map(|((((id, transaction), attempts), receipt), failure)| {
            let (confirmed, confirmed_at) = match &receipt {
                Some(receipt) => depth.confirmed(store, receipt)?,
                None => (false, None),
            };
            let orphans = read::orphans(store, id)?;
            let rivals = read::rivals(store, id)?;
            // Hardly any transaction has been changed.
            let generations = if transaction.generation == 0 { Vec::new() } else { read::generations(store, id)? };
            Ok(Self { id, transaction, generations, attempts, receipt, orphans, rivals, failure, confirmed_at, live: None, confirmed })
        })
        .collect()
    }

    /// The status that follows from the rows; the table above.
    pub fn status(&self) -> Status {
        let bound = self.attempts.last().is_some_and(|attempt| attempt.generation == self.transaction.generation);
        match (&self.failure, self.confirmed && !self.is_closed(), bound) {
            (Some(_), _, _) => Status::FatalError,
            (None, true, _) => Status::Confirmed,
            (None, false, false) => Status::Unstarted,
            (None, false, true) if self.receipt.is_none() && self.live.as_ref().is_some_and(|live| !live.answered) => Status::InProgress,
            (None, false, true) => Status::Unconfirmed,
        }
    }

    /// What was mined is the self-send that closes the nonce.
    pub fn is_closed(&self) -> bool {
        let mined = |receipt: &ReceiptRow| self.attempts.iter().find(|attempt| attempt.hash == receipt.transaction_hash);
        self.receipt.as_ref().and_then(mined).is_some_and(|attempt| attempt.closing.is_some())
    }

    /// True while its shard can say more than the disk.
    pub fn is_open(&self) -> bool {
        self.failure.is_none() && self.receipt.is_none()
    }

    /// What its shard is asked about it.
    pub fn asked(&self) -> Asked {
        Asked { from: self.transaction.request.from, id: self.id, nonce: self.attempts.last().map(|attempt| attempt.nonce) }
    }

    /// The state of one of its attempts.
    pub fn attempt_status(&self, hash: &B256) -> AttemptStatus {
        let mined = self.receipt.iter().chain(&self.orphans).any(|receipt| receipt.transaction_hash == *hash);
        let told = self.live.as_ref().is_some_and(|live| live.broadcast.contains(hash));
        if mined || told { AttemptStatus::Broadcast } else { AttemptStatus::InProgress }
    }

    /// The stage: its shard's word, else the last one whose beginning is on disk.
    pub fn stage(&self) -> Stage {
        if let Some(live) = self.live.as_ref().filter(|_| self.is_open()) {
            return live.stage;
        }
        match self.status() {
            Status::Unstarted => Stage::Queued,
            Status::InProgress | Status::Unconfirmed => Stage::Tracking,
            Status::Confirmed | Status::FatalError => Stage::Complete,
        }
    }
}

/// How deep blocks are, and when they became so.
struct Depth {
    head: Option<u64>,
    required: u64,
    /// Transactions of a page share few blocks.
    seen_at: BTreeMap<u64, Option<u64>>,
}

impl Depth {
    fn read(store: &impl Store, required: u64) -> Result<Self, StoreError> {
        let head = read::last_head(store)?.map(|(number, _)| number);
        Ok(Self { head, required, seen_at: BTreeMap::new() })
    }

    /// Whether the receipt's block has the required depth, and when it got there.
    fn confirmed(&mut self, store: &impl Store, receipt: &ReceiptRow) -> Result<(bool, Option<u64>), StoreError> {
        // Depth 1 is the block itself.
        let deep_enough = receipt.block_number.saturating_add(self.required.saturating_sub(1));
        if self.head.is_none_or(|head| head < deep_enough) {
            return Ok((false, None));
        }
        if deep_enough == receipt.block_number && receipt.timeline.included_at.is_some() {
            return Ok((true, receipt.timeline.included_at));
        }
        let seen_at = match self.seen_at.get(&deep_enough) {
            Some(seen_at) => *seen_at,
            None => {
                let seen_at = read::head(store, deep_enough)?.map(|head| head.seen_at);
                self.seen_at.insert(deep_enough, seen_at);
                seen_at
            }
        };
        Ok((true, seen_at))
    }
}

#[cfg(test)]
mod tests {
    use super::testing::History;
    use super::*;

    #[test]
    fn a_transaction_that_waits_is_unstarted() {
        let mut history = History::new();
        let id = history.waiting(1, None);
        let view = history.view(id, 1);
        assert_eq!((view.status(), view.stage()), (Status::Unstarted, Stage::Queued));
        assert_eq!(view.attempts, []);
    }

    #[test]
    fn a_bound_transaction_is_unconfirmed_until_its_block_is_deep_enough() {
        let mut history = History::new();
        let id = history.bound(1, 0, None);
        assert_eq!(history.view(id, 2).status(), Status::Unconfirmed);
        history.block(10, &[id]);
        assert_eq!(history.view(id, 2).status(), Status::Unconfirmed);
        assert_eq!(history.view(id, 2).confirmed_at, None);
        assert_eq!(history.view(id, 1).status(), Status::Confirmed);
        history.block(11, &[]);
        let view = history.view(id, 2);
        assert_eq!((view.status(), view.stage()), (Status::Confirmed, Stage::Complete));
        assert_eq!(view.confirmed_at, Some(History::seen_at(11)));
    }

    #[test]
    fn a_transaction_that_failed_is_a_fatal_error_with_its_reason() {
        let mut history = History::new();
        let id = history.failed(1, "execution reverted");
        let view = history.view(id, 1);
        assert_eq!((view.status(), view.stage()), (Status::FatalError, Stage::Complete));
        assert_eq!(view.failure.map(|failure| failure.reason).as_deref(), Some("execution reverted"));
    }

    #[test]
    fn an_unknown_id_has_no_view() {
        let history = History::new();
        assert_eq!(TransactionView::read(history.store(), Uuid::max(), 1).expect("a read"), None);
    }
}

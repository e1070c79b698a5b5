//! What must hold of the order of records, looked at with each as it gets to the disk: what depends on others is bound after they have
//! succeeded (row A17), what replaces an attempt pays what a pool asks of a replacement (rows A6, A8), and blobs are there from before
//! their transaction is accepted until it is final (row A10).

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::B256;
use engine::blobs::EMPTY_BLOB;
use engine::txmgr::increase::{blob_cap, fee_cap, tip_cap};
use storage::{AttemptFees, AttemptRow, Dependency, Record, TransactionRow};
use uuid::Uuid;

/// What the records so far say of dependencies.
#[derive(Default)]
pub(crate) struct Order {
    /// The depth at which a success counts.
    pub(crate) required: u64,
    /// The depth at which a block is final.
    pub(crate) finality: u64,
    /// What was bound too early, or paid too little, in words.
    pub(crate) broken: Vec<String>,
    depends_on: BTreeMap<Uuid, Vec<Dependency>>,
    /// Blocks of those that were mined and did not revert.
    mined: BTreeMap<Uuid, u64>,
    /// Blocks with receipts, as they are on the chain now.
    blocks: BTreeMap<u64, (B256, Vec<Uuid>)>,
    /// Receipts, by transaction and block, whose block has ever been so deep.
    deep: BTreeSet<(Uuid, B256)>,
    /// What has ever succeeded at that depth: a reorg does not take it back.
    succeeded: BTreeSet<Uuid>,
    /// Prices of the attempts at each nonce a transaction had.
    fees: BTreeMap<(Uuid, u64), Vec<AttemptFees>>,
    /// Whose blobs are on disk.
    sidecars: BTreeSet<Uuid>,
    /// What carries blobs and has been accepted.
    carriers: BTreeSet<Uuid>,
    /// Blocks that hold an attempt of a transaction.
    held: BTreeMap<Uuid, u64>,
    /// The highest block there ever was: what is final counts from there.
    head: u64,
    /// Hashes of self-sends that close a nonce: a receipt of one is no success.
    closing: BTreeSet<B256>,
}

impl Order {
    /// One more record.
    pub(crate) fn see(&mut self, record: &Record) {
        match record {
            Record::Accepted { id, transaction, .. } => self.accepted(*id, transaction),
            Record::Bound { id, accepted, attempt, .. } => {
                if let Some((transaction, _)) = accepted {
                    self.accepted(*id, transaction);
                }
                self.attempt(*id, attempt);
                let early = self.depends_on.get(id).into_iter().flatten().find(|dependency| !self.succeeded.contains(&dependency.id));
                if let Some(dependency) = early {
                    self.broken.push(format!("{id} was bound before {}, on which it depends, had succeeded", dependency.id));
                }
            }
            Record::Attempt { id, attempt } => self.attempt(*id, attempt),
            Record::Sidecar { id, .. } => {
                self.sidecars.insert(*id);
            }
            Record::SidecarDropped { id } => self.dropped(*id),
            Record::Block { number, head, receipts, .. } => {
                self.head = self.head.max(*number);
                self.blocks.insert(*number, (head.hash, receipts.iter().map(|(id, _)| *id).collect()));
                // Heads come one by one, so every block that gets so deep does so under one of them.
                if let Some((hash, ids)) = (number + 1).checked_sub(self.required).and_then(|block| self.blocks.get(&block)) {
                    self.deep.extend(ids.iter().map(|id| (*id, *hash)));
                }
                for (id, receipt) in receipts {
                    // Whichever of its attempts it is: the nonce has gone to it.
                    self.held.insert(*id, receipt.block_number);
                    if receipt.success && !self.closing.contains(&receipt.transaction_hash) {
                        self.mined.insert(*id, receipt.block_number);
                    }
                }
                let deep = self.mined.iter().filter(|(_, block)| **block + self.required <= number + 1);
                self.succeeded.extend(deep.map(|(id, _)| *id));
            }
            Record::Rewind { to, orphans, highest, .. } => {
                self.blocks.split_off(&(to + 1));
                // What was final once stays so.
                self.head = self.head.max(*highest);
                for (id, _) in orphans {
                    self.held.remove(id);
                    self.mined.remove(id);
                }
            }
            Record::Failed { id, .. } => {
                self.sidecars.remove(id);
            }
            Record::Changed { .. } | Record::Paused { .. } | Record::Abi { .. } | Record::Listener { .. } => {}
        }
    }

    /// Whether this transaction's block has ever been deep enough.
    pub(crate) fn was_deep(&self, id: Uuid, block: B256) -> bool {
        self.deep.contains(&(id, block))
    }

    fn attempt(&mut self, id: Uuid, attempt: &AttemptRow) {
        self.closing.extend(attempt.closing.as_ref().map(|_| attempt.hash));
        let earlier = self.fees.entry((id, attempt.nonce)).or_default();
        let blobs = matches!(attempt.fees, AttemptFees::Blob { .. });
        let enough = |old: u128, new: u128| new >= if blobs { 2 * old } else { old + old.div_ceil(10) };
        let pays = |old: &AttemptFees, pick: fn(&AttemptFees) -> u128| enough(pick(old), pick(&attempt.fees));
        let replaces = |old: &AttemptFees| pays(old, fee_cap) && pays(old, tip_cap) && pays(old, |fees| blob_cap(fees).into());
        if let Some(old) = earlier.iter().find(|old| !replaces(old)) {
            self.broken.push(format!("an attempt of {id} at nonce {} pays {:?} after {old:?}", attempt.nonce, attempt.fees));
        }
        earlier.push(attempt.fees);
    }

    /// Its blobs are gone: nobody may need them any more.
    fn dropped(&mut self, id: Uuid) {
        let is_final = self.held.get(&id).is_some_and(|block| block + self.finality <= self.head + 1);
        if self.sidecars.remove(&id) && self.carriers.contains(&id) && !is_final {
            self.broken.push(format!("the blobs of {id} were dropped before it was final"));
        }
    }

    fn accepted(&mut self, id: Uuid, transaction: &TransactionRow) {
        let hashes = transaction.request.blob_hashes();
        // A blob of zeros is known to everybody.
        if !hashes.is_empty() && *hashes != [*EMPTY_BLOB] {
            self.carriers.insert(id);
            if !self.sidecars.contains(&id) {
                self.broken.push(format!("{id} was accepted before its blobs were on disk"));
            }
        }
        if !transaction.depends_on.is_empty() {
            self.depends_on.insert(id, transaction.depends_on.clone());
        }
    }
}

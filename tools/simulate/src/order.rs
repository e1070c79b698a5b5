//! Whether what depends on others is bound after they have succeeded: looked at with every record, as it gets to the disk (row A17).

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::B256;
use storage::{Dependency, Record, TransactionRow};
use uuid::Uuid;

/// What the records so far say of dependencies.
#[derive(Default)]
pub(crate) struct Order {
    /// The depth at which a success counts.
    pub(crate) required: u64,
    /// What was bound too early, in words.
    pub(crate) broken: Vec<String>,
    depends_on: BTreeMap<Uuid, Vec<Dependency>>,
    /// Blocks of those that were mined and did not revert.
    mined: BTreeMap<Uuid, u64>,
    /// What has ever succeeded at that depth: a reorg does not take it back.
    succeeded: BTreeSet<Uuid>,
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
                self.closing.extend(attempt.closing.as_ref().map(|_| attempt.hash));
                let early = self.depends_on.get(id).into_iter().flatten().find(|dependency| !self.succeeded.contains(&dependency.id));
                if let Some(dependency) = early {
                    self.broken.push(format!("{id} was bound before {}, on which it depends, had succeeded", dependency.id));
                }
            }
            Record::Attempt { attempt, .. } => self.closing.extend(attempt.closing.as_ref().map(|_| attempt.hash)),
            Record::Block { number, receipts, .. } => {
                for (id, receipt) in receipts {
                    if receipt.success && !self.closing.contains(&receipt.transaction_hash) {
                        self.mined.insert(*id, receipt.block_number);
                    }
                }
                let deep = self.mined.iter().filter(|(_, block)| **block + self.required <= number + 1);
                self.succeeded.extend(deep.map(|(id, _)| *id));
            }
            Record::Rewind { orphans, .. } => {
                for (id, _) in orphans {
                    self.mined.remove(id);
                }
            }
            Record::Changed { .. } | Record::Failed { .. } | Record::Paused { .. } => {}
        }
    }

    fn accepted(&mut self, id: Uuid, transaction: &TransactionRow) {
        if !transaction.depends_on.is_empty() {
            self.depends_on.insert(id, transaction.depends_on.clone());
        }
    }
}

//! The projection: records → puts and deletes in the families.
//!
//! A pure function of the record (of an ending's sequence: of all records so far): it reads nothing, so a batch is made without touching the disk, and the families can be made again
//! from the records. Every put is idempotent. `SCHEMA.md` counts the puts for a transaction and says why each is there.
//!
//! Keys are arrays on the stack and values are encoded into one buffer that is used again, straight into [`Puts`].

use alloy::primitives::{Address, B256};
use uuid::Uuid;

use crate::{
    codec::{self, HashEntry, Row},
    keys::{self, Tag},
    record::{AttemptRow, Dependency, DependentRow, EndingsRow, HEADS_PRUNED_PER_BLOCK, Place, Record, TransactionRow},
    sabotage::{self, Sabotage},
    store::{Family, Puts},
};

/// The buffer values are encoded in. One for each that projects, kept from record to record.
#[derive(Debug, Default)]
pub struct Scratch(Vec<u8>);

impl Scratch {
    fn put<R: Row>(&mut self, key: &[u8], row: &R, out: &mut impl Puts) {
        self.0.clear();
        codec::encode(row, &mut self.0);
        out.put(R::FAMILY, key, &self.0);
    }
}

/// Writes what the records of one append change in the families to `out`. `last_ending`: sequence of the last ending before; gives that of
/// the last one now.
pub fn project_all(records: &[Record], last_ending: u64, scratch: &mut Scratch, out: &mut impl Puts) -> u64 {
    for record in records {
        project(record, scratch, out);
    }
    let last = endings(records, last_ending, scratch, out);
    if last > last_ending && !sabotage::on(Sabotage::EndingsCountedAnew) {
        out.put(Family::Meta, keys::META_ENDINGS, &last.to_be_bytes());
    }
    last
}

/// A row for each block with receipts, and one for all that have failed: not one for each transaction.
fn endings(records: &[Record], mut last: u64, scratch: &mut Scratch, out: &mut impl Puts) -> u64 {
    let mut put = |row: EndingsRow| {
        if row.ids.is_empty() {
            return;
        }
        let first = last + 1;
        last += row.ids.len() as u64;
        scratch.put(&keys::endings(first), &row, out);
        if let Some(number) = row.block {
            out.put(Family::EndedIn, &keys::ended_in(number), &codec::encode_number(first));
        }
    };
    let mut failed = EndingsRow { block: None, ids: Vec::new() };
    for record in records {
        match record {
            Record::Failed { id, .. } if !sabotage::on(Sabotage::FailureNotInFeed) => failed.ids.push(*id),
            Record::Block { number, receipts, .. } => {
                put(EndingsRow { block: Some(*number), ids: receipts.iter().map(|(id, _)| *id).collect() });
            }
            _ => {}
        }
    }
    put(failed);
    last
}

/// Writes what `record` changes in the families to `out`.
pub fn project(record: &Record, scratch: &mut Scratch, out: &mut impl Puts) {
    match record {
        Record::Accepted { id, transaction, body_hash } => {
            put_transaction(*id, transaction, body_hash, scratch, out);
            put_place(*id, transaction, scratch, out);
        }
        Record::Bound { id, from, accepted, queue_number, attempt } => {
            put_accepted(*id, accepted.as_ref(), scratch, out);
            put_attempt(*id, attempt, scratch, out);
            let key = keys::by_address(from, Tag::Bound, attempt.nonce);
            out.put(Family::ByAddress, &key, &codec::encode_id(*id));
            delete_waiting(from, *queue_number, out);
        }
        Record::Attempt { id, attempt } => put_attempt(*id, attempt, scratch, out),
        Record::Changed { id, transaction, left, replaced } => {
            scratch.put(id.as_bytes(), transaction, out);
            delete_waiting(&transaction.request.from, *left, out);
            put_place(*id, transaction, scratch, out);
            if let Some((generation, row)) = replaced {
                scratch.put(&keys::generation(*id, *generation), row, out);
            }
        }
        Record::Sidecar { id, sidecar } => scratch.put(id.as_bytes(), sidecar, out),
        Record::SidecarDropped { id } => out.delete(Family::Sidecars, id.as_bytes()),
        Record::Failed { id, from, accepted, queue_number, depends_on, failure } => {
            put_accepted(*id, accepted.as_ref(), scratch, out);
            // Hardly any transaction fails, and it may have had blobs.
            out.delete(Family::Sidecars, id.as_bytes());
            scratch.put(id.as_bytes(), failure, out);
            delete_waiting(from, *queue_number, out);
            delete_dependents(*id, depends_on, out);
        }
        Record::Paused { address, until } => {
            let key = keys::by_address(address, Tag::Floor, keys::PAUSED);
            match until {
                Some(until) => out.put(Family::ByAddress, &key, &codec::encode_number(*until)),
                None => out.delete(Family::ByAddress, &key),
            }
        }
        Record::Abi { items } => {
            for (key, item) in items {
                scratch.put(key, item, out);
            }
        }
        Record::Listener { name, row } => match row {
            Some(row) => scratch.put(name.as_bytes(), row, out),
            None => out.delete(Family::Listeners, name.as_bytes()),
        },
        Record::Block { number, head, receipts, rivals, floors, prune_heads_below } => {
            scratch.put(&keys::head(*number), head, out);
            for (id, receipt) in receipts {
                scratch.put(id.as_bytes(), receipt, out);
            }
            for (id, rival) in rivals {
                scratch.put(&keys::rival(*id, rival.nonce), rival, out);
            }
            for (address, floor) in floors {
                let key = keys::by_address(address, Tag::Floor, 0);
                out.put(Family::ByAddress, &key, &codec::encode_number(*floor));
            }
            prune_heads(*prune_heads_below, out);
        }
        Record::Rewind { to, head, from, highest, orphans, rivals } => {
            scratch.put(&keys::head(*to), head, out);
            out.put(Family::Meta, keys::META_HIGHEST, &highest.to_be_bytes());
            for number in to + 1..=*from {
                out.delete(Family::Heads, &keys::head(number));
                if !sabotage::on(Sabotage::EndingsKeptAfterReorg) {
                    out.delete(Family::EndedIn, &keys::ended_in(number));
                }
            }
            for (id, receipt) in orphans {
                if !sabotage::on(Sabotage::OrphanReceiptKept) {
                    out.delete(Family::Receipts, id.as_bytes());
                }
                scratch.put(&keys::orphan(*id, &receipt.block_hash), receipt, out);
            }
            for (id, nonce) in rivals {
                out.delete(Family::Rivals, &keys::rival(*id, *nonce));
            }
        }
    }
}

fn put_accepted(id: Uuid, accepted: Option<&(TransactionRow, B256)>, scratch: &mut Scratch, out: &mut impl Puts) {
    if let Some((transaction, body_hash)) = accepted {
        put_transaction(id, transaction, body_hash, scratch, out);
    }
}

fn put_transaction(id: Uuid, transaction: &TransactionRow, body_hash: &B256, scratch: &mut Scratch, out: &mut impl Puts) {
    scratch.put(id.as_bytes(), transaction, out);
    if let Some(key) = &transaction.idempotency_key {
        out.put(Family::Idempotency, key.as_bytes(), &codec::encode_key_entry(id, body_hash));
    }
}

/// What finds a transaction by its place: the line of its address, or what it depends on.
fn put_place(id: Uuid, transaction: &TransactionRow, scratch: &mut Scratch, out: &mut impl Puts) {
    let from = transaction.request.from;
    match transaction.place {
        Place::Line(number) => {
            out.put(Family::ByAddress, &keys::by_address(&from, Tag::Waiting, number), &codec::encode_id(id));
            // Everything it depended on has succeeded.
            delete_dependents(id, &transaction.depends_on, out);
        }
        Place::Blocked => {
            for dependency in &transaction.depends_on {
                let row = DependentRow { from, dependency_from: dependency.from };
                scratch.put(&keys::dependent(dependency.id, id), &row, out);
            }
        }
        Place::Nowhere | Place::Suspended => {}
    }
}

fn delete_dependents(id: Uuid, depends_on: &[Dependency], out: &mut impl Puts) {
    for dependency in depends_on {
        out.delete(Family::Dependents, &keys::dependent(dependency.id, id));
    }
}

fn put_attempt(id: Uuid, attempt: &AttemptRow, scratch: &mut Scratch, out: &mut impl Puts) {
    let (generation, number) = (attempt.generation, attempt.attempt);
    scratch.put(&keys::attempt(id, generation, number), attempt, out);
    let entry = HashEntry { id, generation, attempt: number };
    out.put(Family::ByHash, attempt.hash.as_slice(), &entry.encode());
}

fn delete_waiting(from: &Address, queue_number: Option<u64>, out: &mut impl Puts) {
    if let Some(number) = queue_number.filter(|_| !sabotage::on(Sabotage::QueueEntryKept)) {
        out.delete(Family::ByAddress, &keys::by_address(from, Tag::Waiting, number));
    }
}

fn prune_heads(below: Option<u64>, out: &mut impl Puts) {
    if let Some(below) = below {
        for number in below.saturating_sub(HEADS_PRUNED_PER_BLOCK)..below {
            out.delete(Family::Heads, &keys::head(number));
        }
    }
}

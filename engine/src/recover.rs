//! What the disk holds when the engine starts, and what it holds of a queue later (row B7).
//!
//! A start reads, for each address, from its floor on: what is bound, with attempts and receipts, and how much waits. What is
//! archived is never read, so a start costs what is open, not what has been.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::Address;
use storage::{Fees, Store, StoreError, read};
use uuid::Uuid;

use crate::chain::Stored;
use crate::sabotage::{self, Sabotage};
use crate::shard::shard_of;
use crate::txmgr::manager::is_filler;
use crate::txmgr::{BoundRow, Recovered, Waiter};

/// Addresses and index entries read at once: bounds the memory of a start, not what it can hold.
const PAGE: usize = 4096;

/// What the disk holds of every address, by shard.
///
/// # Errors
/// The store's.
pub fn addresses(store: &impl Store, shards: usize) -> Result<Vec<Vec<Recovered>>, StoreError> {
    let mut by_shard: Vec<Vec<Recovered>> = (0..shards).map(|_| Vec::new()).collect();
    let mut after = None;
    loop {
        let page = read::addresses(store, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(by_shard) };
        after = Some(*last);
        for address in page {
            by_shard[shard_of(&address, shards)].push(recovered(store, address)?);
        }
    }
}

/// What the disk holds of dependencies. Whether what depends on others may go on now, the shards look at page by page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocked {
    /// For each shard, its transactions on which others depend, and how many of them.
    pub watched: Vec<BTreeMap<Uuid, i64>>,
    /// Who signs for what depends on others.
    pub signers: BTreeSet<Address>,
}

/// What the disk holds of dependencies.
///
/// # Errors
/// The store's.
pub fn blocked(store: &impl Store, shards: usize) -> Result<Blocked, StoreError> {
    let mut blocked = Blocked { watched: vec![BTreeMap::new(); shards], signers: BTreeSet::new() };
    let mut after = None;
    loop {
        let page = read::dependents(store, None, after, PAGE)?;
        let Some(last) = page.last().filter(|_| !sabotage::on(Sabotage::DependentsForgotten)) else { return Ok(blocked) };
        after = Some((last.dependency, last.id));
        for dependent in page {
            let row = dependent.row;
            *blocked.watched[shard_of(&row.dependency_from, shards)].entry(dependent.dependency).or_default() += 1;
            blocked.signers.insert(row.from);
        }
    }
}

/// Transactions whose blobs are kept although nobody will send them: final, failed, or never accepted. What drops them may have been lost
/// with the process.
///
/// # Errors
/// The store's.
pub fn stale_blobs(store: &impl Store, finality_depth: u64) -> Result<Vec<Uuid>, StoreError> {
    let head = read::last_head(store)?.map_or(0, |(number, _)| number).max(read::highest_head(store)?);
    let (mut stale, mut after) = (Vec::new(), None);
    loop {
        let page = read::with_sidecars(store, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(stale) };
        after = Some(*last);
        let transactions = read::transactions(store, &page)?;
        let receipts = read::receipts(store, &page)?;
        let failures = read::failures(store, &page)?;
        for (((id, transaction), receipt), failure) in page.iter().zip(transactions).zip(receipts).zip(failures) {
            let is_final = receipt.is_some_and(|receipt| receipt.block_number + finality_depth <= head + 1);
            if transaction.is_none() || failure.is_some() || is_final {
                stale.push(*id);
            }
        }
    }
}

/// The checkpoint: the highest block whose effects are on disk.
///
/// # Errors
/// The store's.
pub fn checkpoint(store: &impl Store) -> Result<Option<Stored>, StoreError> {
    Ok(read::last_head(store)?.map(|(number, head)| Stored { number, hash: head.hash }))
}

fn recovered(store: &impl Store, address: Address) -> Result<Recovered, StoreError> {
    let floor = with_fillers(store, &address, read::floor(store, &address)?.unwrap_or(0))?;
    let mut ids: Vec<(u64, Uuid)> = Vec::new();
    loop {
        let from = ids.last().map_or(floor, |(nonce, _)| nonce + 1);
        let page = read::bound(store, &address, from, PAGE)?;
        if page.is_empty() {
            break;
        }
        ids.extend(page);
    }
    // A gap is where the chain was ahead and the sequence went on behind it; that happens only when everything before has been
    // archived, even if the floor that says so was not written any more.
    if let Some(gap) = ids.windows(2).rposition(|pair| pair[1].0 != pair[0].0 + 1) {
        ids.drain(..=gap);
    }
    // The first nonce of an address that has archived nothing yet is that of its first transaction.
    let floor = ids.first().map_or(floor, |(nonce, _)| *nonce);
    let mut bound = bound_rows(store, &ids)?;
    if sabotage::on(Sabotage::BoundCountedUnsent) {
        bound.retain(|row| row.receipt.is_some());
    }
    let (last_queue_number, mut waiting_count) = queue(store, &address)?;
    if sabotage::on(Sabotage::QueueForgotten) {
        waiting_count = 0;
    }
    let paused_until = read::paused_until(store, &address)?;
    Ok(Recovered { address, floor, bound, paused_until, last_queue_number, waiting_count })
}

/// The floor, lowered to the transfers that fill a hole below it and have no end: it moves down on disk with the block after they were
/// bound, and a process that died before would leave them open for ever.
fn with_fillers(store: &impl Store, address: &Address, mut floor: u64) -> Result<u64, StoreError> {
    while let Some(nonce) = floor.checked_sub(1) {
        let Some((_, id)) = read::bound(store, address, nonce, 1)?.pop().filter(|(at, _)| *at == nonce) else { break };
        // Nearly always this is what has just been archived, and its receipt says so.
        if read::receipt(store, id)?.is_some() || read::failures(store, &[id])?.iter().any(Option::is_some) {
            break;
        }
        if !read::transaction(store, id)?.is_some_and(|row| is_filler(id, address, nonce, row.accepted_at)) {
            break;
        }
        floor = nonce;
    }
    Ok(floor)
}

fn bound_rows(store: &impl Store, bound: &[(u64, Uuid)]) -> Result<Vec<BoundRow>, StoreError> {
    let ids: Vec<Uuid> = bound.iter().map(|(_, id)| *id).collect();
    let transactions = read::transactions(store, &ids)?;
    let attempts = read::attempts_of(store, &ids)?;
    let receipts = read::receipts(store, &ids)?;
    let failures = read::failures(store, &ids)?;
    let rows = bound.iter().zip(transactions).zip(attempts).zip(receipts).zip(failures);
    rows.map(|(((((nonce, id), transaction), mut attempts), receipt), failure)| {
        // One that was displaced has attempts at more than one nonce.
        attempts.retain(|attempt| attempt.nonce == *nonce);
        let rival = read::rivals(store, *id)?.into_iter().find(|rival| rival.nonce == *nonce);
        // Queued again under a later generation: what is left of it here is over.
        let requeued = rival.is_some()
            && transaction.as_ref().is_some_and(|row| attempts.last().is_some_and(|attempt| row.generation > attempt.generation));
        Ok(BoundRow {
            id: *id,
            accepted_at: transaction.as_ref().map_or(0, |row| row.accepted_at),
            fixed_price: transaction.is_some_and(|row| row.request.fees != Fees::Market),
            attempts,
            receipt: receipt.filter(|receipt| receipt.nonce == *nonce),
            rival,
            ended: requeued || failure.is_some(),
        })
    })
    .collect()
}

/// Last number of a queue, and how many are in it.
fn queue(store: &impl Store, address: &Address) -> Result<(Option<u64>, u64), StoreError> {
    let (mut last, mut count) = (None, 0);
    loop {
        let page = read::waiting(store, address, last, PAGE)?;
        let Some(entry) = page.last() else { return Ok((last, count)) };
        last = Some(entry.0);
        count += page.len() as u64;
    }
}

/// The next of those who wait behind a number of a queue.
///
/// # Errors
/// The store's.
pub fn waiters(store: &impl Store, address: &Address, after: Option<u64>, limit: usize) -> Result<Vec<Waiter>, StoreError> {
    let entries = read::waiting(store, address, after, limit)?;
    let ids: Vec<Uuid> = entries.iter().map(|(_, id)| *id).collect();
    let rows = read::transactions(store, &ids)?;
    let waiters = entries.into_iter().zip(rows);
    Ok(waiters.filter_map(|((queue_number, id), row)| row.map(|row| Waiter { queue_number, id, row })).collect())
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{B256, Bytes, U256};
    use storage::{Append, AttemptFees, AttemptRow, FailureRow, HeadRow, Options, Record, Request, RocksStore, SidecarRow, TransactionRow};

    use super::*;
    use crate::txmgr::manager::filler_id;
    use crate::view::testing::{CountedStore, History};

    const FROM: Address = Address::repeat_byte(0xaa);

    fn bound(id: Uuid, nonce: u64) -> Record {
        let request = Request {
            from: FROM,
            to: Some(FROM),
            value: U256::ZERO,
            data: Bytes::new(),
            gas: Some(21_000),
            fees: Fees::Market,
            extras: None,
        };
        let row = TransactionRow::new(request, None, 1);
        let attempt = AttemptRow {
            generation: 0,
            attempt: 0,
            nonce,
            hash: B256::with_last_byte(nonce as u8),
            raw: Bytes::from_static(&[1]),
            gas: 21_000,
            fees: AttemptFees::Legacy { gas_price: 1 },
            signed_at: 1,
            closing: None,
        };
        Record::Bound { id, from: FROM, accepted: Some((row, B256::ZERO)), queue_number: None, attempt }
    }

    #[test]
    fn whose_blobs_are_stale_is_found_without_reading_them() {
        let history = History::new();
        let id = Uuid::from_u128(3);
        let bytes = Bytes::from(vec![7; 131_072]);
        let sidecar = SidecarRow { cells: true, blobs: bytes, commitments: Bytes::new(), proofs: Bytes::new() };
        assert!(matches!(history.store().append(0, &[Record::Sidecar { id, sidecar }]), Append::Durable { .. }));
        let store = CountedStore::new(history.store());
        assert_eq!(stale_blobs(&store, 1).expect("a read"), [id], "no transaction has them");
        assert!(store.bytes_read() < 1_000);
    }

    #[test]
    fn what_fills_a_hole_is_found_after_a_restart_before_a_block_has_moved_the_floor() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = RocksStore::open(directory.path(), &Options::default()).expect("a new store");
        let append = |sequence, records: &[Record]| assert!(matches!(store.append(sequence, records), Append::Durable { .. }));
        let found = || {
            let found = addresses(&store, 1).expect("a read").remove(0).remove(0);
            (found.floor, found.bound.iter().map(|row| row.id).collect::<Vec<_>>())
        };
        let filler = |nonce| filler_id(&FROM, nonce, 1);
        let request = |number| Uuid::from_u128(number);
        let head = HeadRow { hash: B256::ZERO, parent_hash: B256::ZERO, timestamp: 0, seen_at: 0 };
        let floors = vec![(FROM, 10)];
        let block = Record::Block { number: 1, head, receipts: Vec::new(), rivals: Vec::new(), floors, prune_heads_below: None };
        append(0, &[bound(request(7), 7), bound(request(10), 10), block]);
        assert_eq!(found(), (10, vec![request(10)]), "what is no filler lies below the floor for good");
        append(1, &[bound(filler(9), 9), bound(filler(8), 8)]);
        assert_eq!(found(), (8, vec![filler(8), filler(9), request(10)]));
        let failure = FailureRow { reason: "another transaction has filled the nonce".into(), failed_at: 1 };
        append(2, &[Record::Failed { id: filler(9), from: FROM, accepted: None, queue_number: None, depends_on: Vec::new(), failure }]);
        assert_eq!(found(), (10, vec![request(10)]), "it has ended");
    }
}

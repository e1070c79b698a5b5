//! What the disk holds when the engine starts, and what it holds of a queue later (row B7).
//!
//! A start reads, for each address, from its floor on: what is bound, with attempts and receipts, and how much waits. What is
//! archived is never read, so a start costs what is open, not what has been.

use alloy::primitives::Address;
use storage::{Fees, Store, StoreError, read};
use uuid::Uuid;

use crate::chain::Stored;
use crate::sabotage::{self, Sabotage};
use crate::shard::shard_of;
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

/// The checkpoint: the highest block whose effects are on disk.
///
/// # Errors
/// The store's.
pub fn checkpoint(store: &impl Store) -> Result<Option<Stored>, StoreError> {
    Ok(read::last_head(store)?.map(|(number, head)| Stored { number, hash: head.hash }))
}

fn recovered(store: &impl Store, address: Address) -> Result<Recovered, StoreError> {
    let floor = read::floor(store, &address)?.unwrap_or(0);
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

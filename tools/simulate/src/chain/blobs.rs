//! Blobs (EIP-4844) by the rules of geth's blob pool: they come with the transaction, an address has one kind of transaction in the pool,
//! without gaps, and few of them.

use std::time::Duration;

use alloy::consensus::{Transaction, TxEip4844Variant, TxEnvelope};
use alloy::eips::eip4844::kzg_to_versioned_hash;

use super::{Chain, Known, STRANGER};
use crate::executor::Executor;

/// What a unit of blob gas costs at most in quiet times, wei.
const QUIET: u64 = 4_000;
/// Most transactions with blobs of an address (geth's `maxTxsPerAccount`).
const ACCOUNT_MAX: usize = 16;

/// The price of its blobs; an error in geth's words if they are not there, or others.
pub(super) fn checked(envelope: &TxEnvelope) -> Result<Option<u128>, String> {
    let TxEnvelope::Eip4844(signed) = envelope else { return Ok(None) };
    let TxEip4844Variant::TxEip4844WithSidecar(whole) = signed.tx() else { return Err("missing sidecar in blob transaction".into()) };
    let hashes = whole.sidecar.commitments().iter().map(|commitment| kzg_to_versioned_hash(commitment.as_slice()));
    if !hashes.eq(whole.tx.blob_versioned_hashes.iter().copied()) || whole.sidecar.blobs().len() != whole.sidecar.commitments().len() {
        return Err("blob hash mismatch: the sidecar is another transaction's".into());
    }
    Ok(whole.tx.max_fee_per_blob_gas())
}

impl Chain {
    /// What a unit of blob gas costs now, wei.
    pub(super) fn blob_price(&self, now: Duration) -> u64 {
        if now < self.spike_until { self.blob_spike.max(self.blob_base_fee) } else { self.blob_base_fee }
    }

    /// Others send blobs, too.
    pub(super) fn move_blob_price(&mut self, executor: &Executor) {
        if executor.below(4) == 0 {
            self.blob_base_fee = if self.blobs_calm { 1 } else { executor.below(QUIET) + 1 };
        }
    }

    /// What another wallet has left behind a gap is dropped after a while, as geth does (`txpool.lifetime`): it keeps an address's blobs out.
    pub(super) fn forget_gapped(&mut self, executor: &Executor) {
        if executor.below(16) > 0 {
            return;
        }
        let nonces = &self.nonces;
        let pool = self.pool.keys().copied().collect::<std::collections::BTreeSet<_>>();
        let gapped = |key: &(alloy::primitives::Address, u64)| {
            let next = nonces.get(&key.0).copied().unwrap_or(0);
            (next..key.1).any(|nonce| !pool.contains(&(key.0, nonce)))
        };
        self.pool.retain(|key, known| known.to != Some(STRANGER) || !gapped(key));
    }

    /// The other pool has transactions of its sender.
    pub(super) fn is_reserved(&self, known: &Known) -> bool {
        self.of(known).any(|pooled| pooled.blobs.is_some() != known.blobs.is_some())
    }

    fn of(&self, known: &Known) -> impl Iterator<Item = &Known> {
        self.pool.range((known.from, 0)..=(known.from, u64::MAX)).map(|(_, pooled)| pooled)
    }

    /// What keeps it from the pool beside others of its sender, in geth's words.
    pub(super) fn check_kind(&mut self, known: &Known) -> Result<(), String> {
        if self.is_reserved(known) {
            let ours = self.of(known).find(|pooled| pooled.blobs.is_some() != known.blobs.is_some() && pooled.to != Some(STRANGER));
            if let Some(nonce) = ours.map(|pooled| pooled.nonce) {
                let (from, other) = (known.from, known.nonce);
                self.broken.push(format!("nonces {nonce} and {other} of {from} were in flight together: one with blobs, and one without"));
            }
            return Err("address already reserved".into());
        }
        if known.blobs.is_none() || self.pool.contains_key(&(known.from, known.nonce)) {
            return Ok(());
        }
        let mut gapped = self.next(&known.from);
        while self.pool.contains_key(&(known.from, gapped)) {
            gapped += 1;
        }
        if known.nonce > gapped {
            return Err(format!("nonce too high: tx nonce {}, gapped nonce {gapped}", known.nonce));
        }
        let pooled = self.of(known).count();
        if pooled >= ACCOUNT_MAX {
            return Err(format!("account limit exceeded: pooled {pooled} txs"));
        }
        Ok(())
    }
}

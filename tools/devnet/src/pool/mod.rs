//! The transaction pool, with the rules of geth's.
//!
//! ```text
//! raw bytes ─► decode ─► known? ─► rules (state-free) ─► sender ─► rules (nonce, funds) ─► replace │ run │ queue
//! ```
//!
//! An account's transactions without a gap from its next nonce are *executable*; the others are *queued* and become
//! executable when the gap is filled. A transaction replaces another of the same nonce when both its fees are higher by
//! the price bump.
//!
//! Fails with geth's words and keeps no trace of what it refused. Like geth, it drops *silently*: queued transactions of
//! an account over its limit, executable ones of the busiest accounts when the pool is over its limit, and what can no
//! longer be paid after a block.

mod best;
mod rules;
mod sender;

use std::{collections::BinaryHeap, rc::Rc};

use alloy::{
    consensus::Transaction,
    eips::Encodable2718,
    primitives::{
        Address, B256, U256,
        map::{AddressMap, B256Map, Entry},
    },
};

use self::rules::Rules;
pub(crate) use self::{best::Best, sender::Sender};
use crate::{
    blobs,
    chain::State,
    config::Config,
    error::RpcError,
    tx::{self, Envelope, PooledTx, SharedTx},
};

/// All transactions that wait for a block.
#[derive(Debug)]
pub(crate) struct Pool {
    rules: Rules,
    account_slots: usize,
    account_queue: usize,
    global_slots: usize,
    global_queue: usize,
    price_bump_percent: u64,
    senders: AddressMap<Sender>,
    by_hash: B256Map<SharedTx>,
    executable: usize,
    arrivals: u64,
}

impl Pool {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            rules: Rules::new(config.chain_id, config.min_tip_wei),
            account_slots: config.account_slots,
            account_queue: config.account_queue,
            global_slots: config.global_slots,
            global_queue: config.global_queue,
            price_bump_percent: config.price_bump_percent,
            senders: AddressMap::default(),
            by_hash: B256Map::default(),
            executable: 0,
            arrivals: 0,
        }
    }

    pub(crate) fn get(&self, hash: &B256) -> Option<&SharedTx> {
        self.by_hash.get(hash)
    }

    pub(crate) fn sender(&self, address: &Address) -> Option<&Sender> {
        self.senders.get(address)
    }

    pub(crate) fn senders(&self) -> impl Iterator<Item = (&Address, &Sender)> {
        self.senders.iter()
    }

    pub(crate) fn executable_count(&self) -> usize {
        self.executable
    }

    pub(crate) fn queued_count(&self) -> usize {
        self.by_hash.len() - self.executable
    }

    /// The executable transactions in the order of a block with this base fee.
    pub(crate) fn best(&self, base_fee: u64) -> Best<'_> {
        Best::new(self.senders.values(), base_fee)
    }

    /// Admits a transaction in its EIP-2718 encoding and returns its hash.
    pub(crate) fn add(&mut self, raw: &[u8], state: &State, gas_limit: u64) -> Result<B256, RpcError> {
        let envelope = tx::decode(raw)?;
        let hash = *envelope.tx_hash();
        if self.by_hash.contains_key(&hash) {
            return Err(RpcError::already_known());
        }
        let sender = self.rules.check(&envelope, raw.len(), gas_limit)?;
        let length = if envelope.is_eip4844() { envelope.encode_2718_len() } else { raw.len() };
        let tx = self.pooled(envelope, hash, sender, length);
        self.check_state(&tx, state)?;
        if self.by_hash.len() >= self.global_slots + self.global_queue {
            return Err(RpcError::server("txpool is full"));
        }
        self.insert(tx, state)?;
        Ok(hash)
    }

    /// Takes transactions back that a reorg took out of the chain. Their senders are known and their form was checked;
    /// what the new state does not allow is left out, as geth does.
    pub(crate) fn readmit(&mut self, txs: impl IntoIterator<Item = SharedTx>, state: &State) {
        for tx in txs {
            if !self.by_hash.contains_key(&tx.hash) && self.check_state(&tx, state).is_ok() {
                // A pooled transaction of the same nonce stays: it is the newer wish of its sender.
                let _ = self.insert_shared(tx, state);
            }
        }
    }

    /// Takes a transaction out; later ones of its sender are queued from then on.
    pub(crate) fn remove(&mut self, hash: &B256) -> Option<SharedTx> {
        let tx = self.by_hash.remove(hash)?;
        self.change(tx.sender, |sender| sender.remove(tx.nonce));
        Some(tx)
    }

    /// Follows the state of accounts that a block changed.
    pub(crate) fn follow(&mut self, changed: impl IntoIterator<Item = Address>, state: &State, gas_limit: u64) {
        let mut dropped = Vec::new();
        for address in changed {
            if self.senders.contains_key(&address) {
                let (nonce, balance) = state.nonce_and_balance(&address);
                let limit = self.account_queue;
                self.change(address, |sender| {
                    sender.follow(nonce, balance, gas_limit, &mut dropped);
                    sender.cap_queue(limit, &mut dropped);
                });
            }
        }
        self.forget(dropped);
    }

    /// Follows the state of every account in the pool: after a reorg, or when the gas limit changed.
    pub(crate) fn follow_all(&mut self, state: &State, gas_limit: u64) {
        let all: Vec<Address> = self.senders.keys().copied().collect();
        self.follow(all, state, gas_limit);
    }

    fn pooled(&mut self, envelope: Envelope, hash: B256, sender: Address, encoded_length: usize) -> PooledTx {
        self.arrivals += 1;
        let fee_cap = envelope.max_fee_per_gas();
        PooledTx {
            hash,
            sender,
            nonce: envelope.nonce(),
            gas_limit: envelope.gas_limit(),
            fee_cap,
            tip_cap: envelope.max_priority_fee_per_gas().unwrap_or(fee_cap),
            cost: tx::cost(&envelope),
            encoded_length,
            arrival: self.arrivals,
            envelope,
        }
    }

    /// geth's `ValidateTransactionWithState`, and its limit for delegated accounts (EIP-7702).
    fn check_state(&self, tx: &PooledTx, state: &State) -> Result<(), RpcError> {
        let account = state.account(&tx.sender);
        let next = account.map_or(0, |account| account.nonce);
        let balance = account.map_or(U256::ZERO, |account| account.balance);
        if next > tx.nonce {
            return Err(RpcError::nonce_too_low(next, tx.nonce));
        }
        if balance < tx.cost {
            return Err(RpcError::insufficient_funds(balance, tx.cost));
        }
        let pooled = self.senders.get(&tx.sender);
        if let Some(pooled) = pooled {
            check_kind(pooled, tx)?;
            check_expenditure(pooled, tx, balance)?;
        }
        if tx.has_blobs() {
            check_gap(pooled, tx, next)?;
        }
        if account.is_some_and(|account| !account.is_empty_code_hash()) {
            check_delegated(pooled, tx, next)?;
        }
        Ok(())
    }

    fn insert(&mut self, tx: PooledTx, state: &State) -> Result<(), RpcError> {
        self.insert_shared(Rc::new(tx), state)
    }

    fn insert_shared(&mut self, tx: SharedTx, state: &State) -> Result<(), RpcError> {
        let bump = if tx.has_blobs() { blobs::BUMP_PERCENT } else { self.price_bump_percent };
        let limit = self.account_queue;
        let sender = match self.senders.entry(tx.sender) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Sender::new(state.nonce_and_balance(&tx.sender).0)),
        };
        if sender.get(tx.nonce).is_some_and(|old| !replaces(&tx, old, bump)) {
            return Err(RpcError::underpriced_replacement());
        }
        let before = sender.executable_count();
        let mut dropped = Vec::new();
        dropped.extend(sender.insert(Rc::clone(&tx)));
        sender.cap_queue(limit, &mut dropped);
        self.executable = self.executable + sender.executable_count() - before;
        if sender.is_empty() {
            self.senders.remove(&tx.sender);
        }
        self.by_hash.insert(tx.hash, tx);
        self.forget(dropped);
        self.truncate();
        Ok(())
    }

    /// Cuts the accounts with the most executable transactions while the pool is over its limit.
    fn truncate(&mut self) {
        if self.executable <= self.global_slots {
            return;
        }
        let mut busiest: BinaryHeap<(usize, Address)> = self
            .senders
            .iter()
            .map(|(address, sender)| (sender.executable_count(), *address))
            .filter(|(count, _)| *count > self.account_slots)
            .collect();
        while self.executable > self.global_slots {
            let Some((count, address)) = busiest.pop() else { return };
            let Some(tx) = self.change(address, Sender::pop_executable) else { continue };
            self.by_hash.remove(&tx.hash);
            if count - 1 > self.account_slots {
                busiest.push((count - 1, address));
            }
        }
    }

    /// Changes the transactions of one account, keeps the count, and forgets the account when nothing is left.
    fn change<R>(&mut self, address: Address, change: impl FnOnce(&mut Sender) -> R) -> R
    where
        R: Default,
    {
        let Entry::Occupied(mut entry) = self.senders.entry(address) else { return R::default() };
        let sender = entry.get_mut();
        let before = sender.executable_count();
        let result = change(sender);
        self.executable = self.executable + sender.executable_count() - before;
        if sender.is_empty() {
            entry.remove();
        }
        result
    }

    fn forget(&mut self, dropped: Vec<SharedTx>) {
        for tx in dropped {
            self.by_hash.remove(&tx.hash);
        }
    }
}

/// Whether a transaction's fees let it take the place of another one.
fn replaces(new: &PooledTx, old: &PooledTx, bump_percent: u64) -> bool {
    let blob_fee = |tx: &PooledTx| tx.envelope.max_fee_per_blob_gas().unwrap_or_default();
    let blobs = !new.has_blobs() || blob_fee(new) >= blob_fee(old).saturating_mul(u128::from(100 + bump_percent)) / 100;
    blobs && fees_replace((new.fee_cap, new.tip_cap), (old.fee_cap, old.tip_cap), bump_percent)
}

/// Whether both fees, cap and tip in wei, are higher than the old ones by at least the bump (geth's `list.Add`).
pub(crate) fn fees_replace(new: (u128, u128), old: (u128, u128), bump_percent: u64) -> bool {
    let enough = |new: u128, old: u128| {
        let needed = U256::from(old) * U256::from(100 + bump_percent) / U256::from(100);
        new > old && U256::from(new) >= needed
    };
    enough(new.0, old.0) && enough(new.1, old.1)
}

/// An account is either in the pool of blob transactions or in the other one (geth's `ErrAlreadyReserved`).
fn check_kind(pooled: &Sender, tx: &PooledTx) -> Result<(), RpcError> {
    if pooled.has_blobs() == tx.has_blobs() { Ok(()) } else { Err(RpcError::server("address already reserved")) }
}

/// Blob transactions of an account are few and have no gaps.
fn check_gap(pooled: Option<&Sender>, tx: &PooledTx, next: u64) -> Result<(), RpcError> {
    let gapped = pooled.map_or(next, Sender::executable_end);
    if tx.nonce > gapped {
        let nonce = tx.nonce;
        return Err(RpcError::server(format!("nonce too high: tx nonce {nonce}, gapped nonce {gapped}")));
    }
    let count = pooled.map_or(0, Sender::executable_count);
    if tx.nonce == gapped && count >= blobs::ACCOUNT_MAX {
        return Err(RpcError::server(format!("account limit exceeded: pooled {count} txs")));
    }
    Ok(())
}

/// What is already executable and this transaction must be payable together.
fn check_expenditure(pooled: &Sender, tx: &PooledTx, balance: U256) -> Result<(), RpcError> {
    let spent = pooled.spent();
    match pooled.get(tx.nonce).filter(|_| tx.nonce < pooled.executable_end()) {
        Some(old) => {
            let bump = tx.cost.saturating_sub(old.cost);
            let need = spent.saturating_sub(old.cost).saturating_add(tx.cost);
            if balance < need {
                return Err(RpcError::insufficient_funds_bumped(balance, spent, bump, need - balance));
            }
        }
        None => {
            let need = spent.saturating_add(tx.cost);
            if balance < need {
                return Err(RpcError::insufficient_funds_queued(balance, spent, tx.cost, need - balance));
            }
        }
    }
    Ok(())
}

/// A delegated account has at most one executable transaction, which may be replaced, and no gaps.
fn check_delegated(pooled: Option<&Sender>, tx: &PooledTx, next: u64) -> Result<(), RpcError> {
    match pooled.filter(|pooled| pooled.executable_count() > 0) {
        None if tx.nonce == next => Ok(()),
        None => Err(RpcError::server("gapped-nonce tx from delegated accounts")),
        Some(pooled) if tx.nonce < pooled.executable_end() => Ok(()),
        Some(_) => Err(RpcError::server("in-flight transaction limit reached for delegated accounts")),
    }
}

//! The transactions of one account in the pool: an executable run without gaps, and what waits behind a gap.

use std::collections::BTreeMap;

use alloy::primitives::U256;

use crate::tx::SharedTx;

/// All pooled transactions of one account.
///
/// Invariant: every nonce in `nonce..executable_end` is present, `executable_end` is not.
#[derive(Debug)]
pub(crate) struct Sender {
    /// Next nonce of the account in the head's state.
    nonce: u64,
    executable_end: u64,
    txs: BTreeMap<u64, SharedTx>,
    /// Cost of the executable run. geth counts queued transactions only when they become executable.
    spent: U256,
    /// No transaction here costs more than this, so that most blocks need no look at each.
    cost_max: U256,
}

impl Sender {
    pub(crate) fn new(nonce: u64) -> Self {
        Self { nonce, executable_end: nonce, txs: BTreeMap::new(), spent: U256::ZERO, cost_max: U256::ZERO }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.txs.is_empty()
    }

    /// What it has carries blobs.
    pub(crate) fn has_blobs(&self) -> bool {
        self.txs.first_key_value().is_some_and(|(_, tx)| tx.has_blobs())
    }

    pub(crate) fn get(&self, nonce: u64) -> Option<&SharedTx> {
        self.txs.get(&nonce)
    }

    /// The next nonce after the executable run: what `eth_getTransactionCount` answers for `pending`.
    pub(crate) fn executable_end(&self) -> u64 {
        self.executable_end
    }

    pub(crate) fn executable_count(&self) -> usize {
        usize::try_from(self.executable_end - self.nonce).expect("a run in memory fits a usize")
    }

    pub(crate) fn queued_count(&self) -> usize {
        self.txs.len() - self.executable_count()
    }

    pub(crate) fn spent(&self) -> U256 {
        self.spent
    }

    pub(crate) fn executable(&self) -> impl Iterator<Item = &SharedTx> {
        self.txs.range(self.nonce..self.executable_end).map(|(_, tx)| tx)
    }

    pub(crate) fn queued(&self) -> impl Iterator<Item = &SharedTx> {
        self.txs.range(self.executable_end..).map(|(_, tx)| tx)
    }

    /// Puts a transaction at its nonce, and returns the one it replaces.
    pub(crate) fn insert(&mut self, tx: SharedTx) -> Option<SharedTx> {
        let (nonce, cost) = (tx.nonce, tx.cost);
        self.cost_max = self.cost_max.max(cost);
        let replaced = self.txs.insert(nonce, tx);
        if let Some(replaced) = &replaced {
            if nonce < self.executable_end {
                self.spent = self.spent.saturating_sub(replaced.cost).saturating_add(cost);
            }
        } else if nonce == self.executable_end {
            self.extend_run();
        }
        replaced
    }

    /// Takes a transaction out. What follows it is queued from now on.
    pub(crate) fn remove(&mut self, nonce: u64) -> Option<SharedTx> {
        let removed = self.txs.remove(&nonce)?;
        if nonce < self.executable_end {
            self.measure_run();
        }
        Some(removed)
    }

    /// Takes out the executable transaction with the highest nonce.
    pub(crate) fn pop_executable(&mut self) -> Option<SharedTx> {
        self.remove(self.executable_end.checked_sub(1)?)
    }

    /// Takes out queued transactions over the limit, the highest nonces first.
    pub(crate) fn cap_queue(&mut self, limit: usize, dropped: &mut Vec<SharedTx>) {
        while self.queued_count() > limit {
            dropped.extend(self.txs.pop_last().map(|(_, tx)| tx));
        }
    }

    /// Follows the account's state: mined nonces leave, and so does what can no longer be paid or fits no block.
    pub(crate) fn follow(&mut self, nonce: u64, balance: U256, gas_limit: u64, dropped: &mut Vec<SharedTx>) {
        let mut broken = nonce < self.nonce || nonce > self.executable_end;
        while let Some(entry) = self.txs.first_entry().filter(|entry| *entry.key() < nonce) {
            let tx = entry.remove();
            self.spent = self.spent.saturating_sub(tx.cost);
            dropped.push(tx);
        }
        self.nonce = nonce;
        if self.cost_max > balance || self.txs.values().any(|tx| tx.gas_limit > gas_limit) {
            let before = self.txs.len();
            self.txs.retain(|_, tx| {
                let keep = tx.cost <= balance && tx.gas_limit <= gas_limit;
                if !keep {
                    dropped.push(tx.clone());
                }
                keep
            });
            self.cost_max = balance;
            broken |= self.txs.len() != before;
        }
        if broken {
            self.measure_run();
        } else {
            self.extend_run();
        }
    }

    fn measure_run(&mut self) {
        self.executable_end = self.nonce;
        self.spent = U256::ZERO;
        self.extend_run();
    }

    fn extend_run(&mut self) {
        for (&nonce, tx) in self.txs.range(self.executable_end..) {
            if nonce != self.executable_end {
                break;
            }
            self.executable_end += 1;
            self.spent = self.spent.saturating_add(tx.cost);
        }
    }
}

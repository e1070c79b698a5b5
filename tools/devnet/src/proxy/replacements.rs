//! geth's rule for replacements, for nodes that have a weaker one: 10 % more of both fees, or the older transaction stays.

use std::collections::HashMap;

use alloy::{
    consensus::Transaction,
    primitives::{Address, B256},
};

use crate::{pool::fees_replace, tx::Envelope};

/// What geth asks of a replacement, in percent (`--txpool.pricebump`).
const BUMP_PERCENT: u64 = 10;
/// Transactions remembered. Beyond it the memory begins anew: a test is over long before.
const REMEMBERED_MAX: usize = 200_000;

/// A transaction that the node has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) sender: Address,
    pub(super) nonce: u64,
    hash: B256,
    fee_cap: u128,
    tip_cap: u128,
}

impl Sent {
    pub(super) fn new(envelope: &Envelope, sender: Address) -> Self {
        let fee_cap = envelope.max_fee_per_gas();
        let tip_cap = envelope.max_priority_fee_per_gas().unwrap_or(fee_cap);
        Self { sender, nonce: envelope.nonce(), hash: *envelope.tx_hash(), fee_cap, tip_cap }
    }
}

/// The transactions that the node has taken since the rule is enforced.
#[derive(Debug, Default)]
pub(super) struct Replacements {
    taken: Option<HashMap<(Address, u64), Sent>>,
}

impl Replacements {
    /// Enforces the rule from now on, or no more.
    pub(super) fn enforce(&mut self, enforced: bool) {
        match (enforced, &self.taken) {
            (true, None) => self.taken = Some(HashMap::new()),
            (true, Some(_)) => {}
            (false, _) => self.taken = None,
        }
    }

    pub(super) fn is_enforced(&self) -> bool {
        self.taken.is_some()
    }

    /// Whether this transaction would replace one that the node has taken.
    pub(super) fn would_replace(&self, new: &Sent) -> bool {
        self.taken.as_ref().and_then(|taken| taken.get(&(new.sender, new.nonce))).is_some_and(|old| old.hash != new.hash)
    }

    /// Whether it may: the older one is mined, by the sender's nonce on the chain, or the fees suffice.
    pub(super) fn allows(&self, new: &Sent, chain_nonce: u64) -> bool {
        let Some(old) = self.taken.as_ref().and_then(|taken| taken.get(&(new.sender, new.nonce))) else { return true };
        let fees = (new.fee_cap, new.tip_cap);
        old.hash == new.hash || chain_nonce > new.nonce || fees_replace(fees, (old.fee_cap, old.tip_cap), BUMP_PERCENT)
    }

    /// The node has taken it.
    pub(super) fn taken(&mut self, sent: Sent) {
        let Some(taken) = &mut self.taken else { return };
        if taken.len() >= REMEMBERED_MAX {
            taken.clear();
        }
        taken.insert((sent.sender, sent.nonce), sent);
    }
}

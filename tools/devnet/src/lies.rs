//! Answers that are not the truth: receipts too late or too few, nonces that are wrong, calls refused for no reason.
//!
//! Where a fault strikes a request and its connection, a lie acts on one call, also inside a batch, and the caller gets a
//! well-formed answer. A dev chain and a proxy tell the same lies by the same names. Each holds for so many calls, or until it is
//! taken back.

use std::{collections::VecDeque, num::NonZeroU64};

use alloy::primitives::Address;
use serde::Deserialize;

use crate::{
    error::RpcError,
    faults::{FAULTS_MAX, once},
};

/// A call that is answered with an error in place of what it asks, as `devnet_fail` takes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refusal {
    /// The method, or `*` for every method outside `devnet_*`.
    pub method: String,
    /// Code of the JSON-RPC error.
    pub code: i64,
    /// Its message.
    pub message: String,
    /// Calls refused.
    #[serde(default = "once")]
    pub count: NonZeroU64,
    /// Only raw transactions of this sender.
    #[serde(default)]
    pub from: Option<Address>,
}

/// How many calls something still holds for; `None`: until it is taken back.
type Left = Option<u64>;

/// The lies in force.
#[derive(Debug, Default)]
pub(crate) struct Lies {
    receipt_lag: Option<(u64, Left)>,
    short_receipts: Option<Left>,
    nonce_skew: Option<(i64, Left)>,
    refusals: VecDeque<Refusal>,
}

impl Lies {
    /// Takes all of them back and says how many refusals there were.
    pub(crate) fn clear(&mut self) -> usize {
        std::mem::take(self).refusals.len()
    }

    /// Receipts of the newest `blocks` blocks are `null` from now on.
    pub(crate) fn set_receipt_lag(&mut self, blocks: u64, calls: Left) {
        self.receipt_lag = Some((blocks, calls)).filter(|_| blocks > 0);
    }

    /// Lists of receipts lack the last one from now on.
    pub(crate) fn set_short_receipts(&mut self, calls: Left) {
        self.short_receipts = Some(calls);
    }

    /// Nonces are wrong by `delta` from now on.
    pub(crate) fn set_nonce_skew(&mut self, delta: i64, calls: Left) {
        self.nonce_skew = Some((delta, calls)).filter(|_| delta != 0);
    }

    /// Adds a refusal.
    ///
    /// # Errors
    ///
    /// When too many wait already.
    pub(crate) fn refuse(&mut self, refusal: Refusal) -> Result<(), RpcError> {
        if self.refusals.len() >= FAULTS_MAX {
            return Err(RpcError::server(format!("{FAULTS_MAX} refusals wait already: clear them with devnet_clearFaults")));
        }
        self.refusals.push_back(refusal);
        Ok(())
    }

    /// Whether a refusal waits for `sender` to be known.
    pub(crate) fn asks_for_sender(&self, method: &str) -> bool {
        self.refusals.iter().any(|refusal| refusal.from.is_some() && refusal.is_for(method))
    }

    /// The error that this call gets in place of an answer. `sender` is that of the raw transaction it carries.
    pub(crate) fn refused(&mut self, method: &str, sender: Option<Address>) -> Option<RpcError> {
        let matching = |refusal: &Refusal| refusal.is_for(method) && refusal.from.is_none_or(|from| Some(from) == sender);
        let position = self.refusals.iter().position(matching)?;
        let refusal = &mut self.refusals[position];
        let error = RpcError::new(refusal.code, refusal.message.clone());
        match NonZeroU64::new(refusal.count.get() - 1) {
            Some(left) => refusal.count = left,
            None => drop(self.refusals.remove(position)),
        }
        Some(error)
    }

    /// Whether the next answer with receipts needs to know the head.
    pub(crate) fn lags_receipts(&self) -> bool {
        self.receipt_lag.is_some()
    }

    /// By how many blocks the receipts of this call lag.
    pub(crate) fn receipt_lag(&mut self) -> u64 {
        take(&mut self.receipt_lag).unwrap_or(0)
    }

    /// Whether the list of receipts of this call lacks the last one.
    pub(crate) fn is_short(&mut self) -> bool {
        let mut lie = self.short_receipts.map(|left| ((), left));
        let short = take(&mut lie).is_some();
        self.short_receipts = lie.map(|((), left)| left);
        short
    }

    /// By how much the nonce of this call is wrong; zero if it is not.
    pub(crate) fn nonce_skew(&mut self) -> i64 {
        take(&mut self.nonce_skew).unwrap_or(0)
    }
}

impl Refusal {
    fn is_for(&self, method: &str) -> bool {
        let meant = if self.from.is_some() { method == "eth_sendRawTransaction" } else { !method.starts_with("devnet_") };
        meant && (self.method == "*" || self.method == method)
    }
}

/// The lie for one call; the last one ends it.
fn take<T: Copy>(lie: &mut Option<(T, Left)>) -> Option<T> {
    let (value, left) = (*lie)?;
    match left {
        None => Some(value),
        Some(0) => {
            *lie = None;
            None
        }
        Some(left) => {
            *lie = (left > 1).then_some((value, Some(left - 1)));
            Some(value)
        }
    }
}

/// A nonce that is wrong by `delta`, and never below zero.
pub(crate) fn skewed(nonce: u64, delta: i64) -> u64 {
    nonce.saturating_add_signed(delta)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lie_holds_for_its_calls_or_until_it_is_taken_back() {
        let mut lies = Lies::default();
        lies.set_nonce_skew(-3, Some(2));
        assert_eq!([lies.nonce_skew(), lies.nonce_skew(), lies.nonce_skew()], [-3, -3, 0]);
        lies.set_short_receipts(None);
        assert!(lies.is_short() && lies.is_short());
        lies.set_short_receipts(Some(0));
        assert!(!lies.is_short());
        lies.set_receipt_lag(2, None);
        assert_eq!(lies.receipt_lag(), 2);
        lies.clear();
        assert_eq!(lies.receipt_lag(), 0);
    }

    #[test]
    fn a_nonce_is_never_below_zero() {
        assert_eq!((skewed(2, -3), skewed(2, 3)), (0, 5));
    }

    #[test]
    fn a_refusal_for_one_sender_meets_no_other_and_no_other_method() {
        let mut lies = Lies::default();
        let (one, two) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let refusal = Refusal { method: "*".to_owned(), code: -1, message: "no".to_owned(), count: once(), from: Some(one) };
        lies.refuse(refusal).expect("room");
        assert!(lies.asks_for_sender("eth_sendRawTransaction") && !lies.asks_for_sender("eth_call"));
        assert_eq!(lies.refused("eth_sendRawTransaction", Some(two)), None);
        assert_eq!(lies.refused("eth_call", None), None);
        assert_eq!(lies.refused("eth_sendRawTransaction", Some(one)), Some(RpcError::new(-1, "no")));
        assert_eq!(lies.refused("eth_sendRawTransaction", Some(one)), None, "once");
    }
}

//! The order in which a block takes executable transactions: highest tip first, then first come, nonces in order.

use std::{cmp::Ordering, collections::BinaryHeap};

use super::Sender;
use crate::tx::SharedTx;

/// The next transaction of one account, ordered by what it pays.
struct Head<'a> {
    tip: u128,
    tx: &'a SharedTx,
    rest: Box<dyn Iterator<Item = &'a SharedTx> + 'a>,
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head<'_> {}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.tip.cmp(&other.tip).then_with(|| other.tx.arrival.cmp(&self.tx.arrival))
    }
}

/// Gives executable transactions, best first. An account whose next one cannot pay the base fee is left out, with all
/// that follow it.
pub(crate) struct Best<'a> {
    heads: BinaryHeap<Head<'a>>,
    base_fee: u64,
}

impl<'a> Best<'a> {
    pub(super) fn new(senders: impl Iterator<Item = &'a Sender>, base_fee: u64) -> Self {
        let heads = senders
            .filter_map(|sender| {
                let mut rest = sender.executable();
                let tx = rest.next()?;
                let tip = tx.effective_tip(base_fee)?;
                Some(Head { tip, tx, rest: Box::new(rest) })
            })
            .collect();
        Self { heads, base_fee }
    }

    /// The best transaction, still in its place.
    pub(crate) fn peek(&self) -> Option<&'a SharedTx> {
        self.heads.peek().map(|head| head.tx)
    }

    /// The best transaction was taken: its account goes on with the next nonce.
    pub(crate) fn advance(&mut self) {
        let Some(mut head) = self.heads.peek_mut() else { return };
        let next = head.rest.next().and_then(|tx| Some((tx, tx.effective_tip(self.base_fee)?)));
        match next {
            Some((tx, tip)) => (head.tx, head.tip) = (tx, tip),
            None => {
                std::collections::binary_heap::PeekMut::pop(head);
            }
        }
    }

    /// The best transaction cannot be taken: its account waits for another block.
    pub(crate) fn skip_sender(&mut self) {
        self.heads.pop();
    }
}

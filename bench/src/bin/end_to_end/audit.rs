//! Whether the chain holds each transfer exactly once, by reading every block.

use alloy::consensus::Transaction as _;
use alloy::eips::BlockId;
use alloy::providers::{Provider, ProviderBuilder};
use anyhow::{Context, ensure};

use crate::transfers::Transfers;

/// A plain client of a node: nothing is filled in.
pub(crate) fn node(url: &str) -> anyhow::Result<impl Provider + use<>> {
    let url = url.parse().with_context(|| format!("`{url}` is not an address"))?;
    Ok(ProviderBuilder::new().disable_recommended_fillers().connect_http(url))
}

/// What was seen of each transfer.
struct Ledger<'a> {
    transfers: &'a Transfers,
    seen: Vec<bool>,
}

impl<'a> Ledger<'a> {
    fn new(transfers: &'a Transfers, count: usize) -> Self {
        Self { transfers, seen: vec![false; count] }
    }

    /// Enters what was executed under `name`. `number` is that of the transfer it is, if it is one.
    fn enter(&mut self, number: Option<u64>, name: &dyn std::fmt::Display) -> anyhow::Result<()> {
        let seen = number.and_then(|number| self.seen.get_mut(usize::try_from(number).ok()?));
        let seen = seen.with_context(|| format!("{name} is of one of the signing addresses and nobody asked for it"))?;
        ensure!(!std::mem::replace(seen, true), "transfer {} was mined twice, the second time as {name}", number.unwrap_or_default());
        Ok(())
    }

    fn close(&self) -> anyhow::Result<()> {
        let missing = self.seen.iter().filter(|seen| !**seen).count();
        ensure!(missing == 0, "{missing} of {} transfers are in no block", self.seen.len());
        Ok(())
    }
}

/// An error unless the blocks after `before` hold each of the first `count` transfers exactly once, executed with success, and nothing
/// else of their senders.
pub(crate) async fn audit(node: &impl Provider, before: u64, transfers: &Transfers, count: usize) -> anyhow::Result<()> {
    let mut ledger = Ledger::new(transfers, count);
    let head = node.get_block_number().await.context("eth_blockNumber")?;
    for number in before + 1..=head {
        let block = node.get_block_by_number(number.into()).full().await.context("eth_getBlockByNumber")?;
        let block = block.with_context(|| format!("the node has no block {number} below its own head"))?;
        let receipts = node.get_block_receipts(BlockId::number(number)).await.context("eth_getBlockReceipts")?.unwrap_or_default();
        let transactions = block.transactions.as_transactions().context("the node gave hashes in place of transactions")?;
        ensure!(receipts.len() == transactions.len(), "block {number}: {} receipts of {} transactions", receipts.len(), transactions.len());
        for (transaction, receipt) in transactions.iter().zip(&receipts) {
            let from = transaction.inner.signer();
            if !ledger.transfers.senders().contains(&from) {
                continue;
            }
            let hash = transaction.inner.tx_hash();
            ensure!(receipt.transaction_hash == *hash && receipt.status(), "{hash} in block {number} has failed");
            ledger.enter(transfers.number_of(from, transaction.to(), transaction.value()), hash)?;
        }
    }
    ledger.close()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use alloy::primitives::Address;

    use super::*;

    #[test]
    fn only_a_chain_with_each_transfer_once_and_nothing_else_passes() {
        let transfers = Transfers::new(vec![Address::repeat_byte(1)]);
        let mut ledger = Ledger::new(&transfers, 2);
        ledger.enter(Some(1), &"a").unwrap();
        assert_eq!(ledger.close().unwrap_err().to_string(), "1 of 2 transfers are in no block");
        ledger.enter(Some(0), &"b").unwrap();
        ledger.close().unwrap();
        assert_eq!(ledger.enter(Some(1), &"c").unwrap_err().to_string(), "transfer 1 was mined twice, the second time as c");
        for stranger in [None, Some(2)] {
            assert!(ledger.enter(stranger, &"d").unwrap_err().to_string().contains("nobody asked"));
        }
    }
}

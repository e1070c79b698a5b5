//! What recent blocks say about prices: `eth_maxPriorityFeePerGas`, `eth_gasPrice`, `eth_feeHistory`.

use super::{Block, Chain};
use crate::blobs::{self, PARAMS};

/// Blocks that geth's oracle looks at.
const ORACLE_BLOCKS: usize = 20;
/// Lowest tips that the oracle samples from each block.
const ORACLE_SAMPLES: usize = 3;
/// Percentile of the samples that is the suggestion.
const ORACLE_PERCENTILE: usize = 60;
/// Tips below this many wei tell nothing about a price.
const ORACLE_TIP_MIN_WEI: u128 = 2;

/// Most blocks one `eth_feeHistory` answers for, as in geth.
pub(crate) const FEE_HISTORY_MAX: u64 = 1_024;

/// The answer to `eth_feeHistory`.
#[derive(Debug)]
pub(crate) struct FeeHistory {
    pub(crate) oldest: u64,
    /// One more than blocks: the last is the next block's.
    pub(crate) base_fees: Vec<u64>,
    /// The same of blob gas.
    pub(crate) blob_prices: Vec<u128>,
    pub(crate) gas_used_ratios: Vec<f64>,
    pub(crate) blob_gas_used_ratios: Vec<f64>,
    /// For each block the tips at the percentiles asked for; empty if none was.
    pub(crate) rewards: Vec<Vec<u128>>,
}

impl Chain {
    /// The tip to offer, in wei: a low percentile of what recent blocks took, or the setting when they took nothing.
    pub(crate) fn suggested_tip(&self) -> u128 {
        let mut samples: Vec<u128> = self
            .blocks
            .iter()
            .rev()
            .take(ORACLE_BLOCKS)
            .flat_map(|block| {
                let mut tips: Vec<u128> = tips(block).filter(|tip| *tip >= ORACLE_TIP_MIN_WEI).collect();
                tips.sort_unstable();
                tips.truncate(ORACLE_SAMPLES);
                tips
            })
            .collect();
        samples.sort_unstable();
        match samples.len() {
            0 => self.suggested_tip_wei,
            count => samples[(count - 1) * ORACLE_PERCENTILE / 100],
        }
    }

    /// Base fees, fullness and tips of up to `count` blocks up to `newest`.
    pub(crate) fn fee_history(&self, count: u64, newest: u64, percentiles: &[f64]) -> FeeHistory {
        let count = count.min(FEE_HISTORY_MAX).min(newest + 1 - self.earliest_number());
        let oldest = newest + 1 - count;
        let blocks: Vec<_> = (oldest..=newest).filter_map(|number| self.block(number)).collect();
        let mut base_fees: Vec<u64> = blocks.iter().map(|block| block.base_fee()).collect();
        base_fees.push(self.block(newest + 1).map_or_else(|| self.next_base_fee(), |block| block.base_fee()));
        let mut blob_prices: Vec<u128> = blocks.iter().map(|block| block.blob_price()).collect();
        let next = self.block(newest + 1).map_or_else(|| blobs::price(self.next_excess_blob_gas()), |block| block.blob_price());
        blob_prices.push(next);
        let most = PARAMS.max_blob_gas_per_block() as f64;
        FeeHistory {
            oldest,
            base_fees,
            blob_prices,
            blob_gas_used_ratios: blocks.iter().map(|block| block.header.blob_gas_used.unwrap_or_default() as f64 / most).collect(),
            gas_used_ratios: blocks.iter().map(|block| block.header.gas_used as f64 / block.header.gas_limit as f64).collect(),
            rewards: blocks.iter().filter(|_| !percentiles.is_empty()).map(|block| rewards(block, percentiles)).collect(),
        }
    }
}

fn tips(block: &Block) -> impl Iterator<Item = u128> {
    let base_fee = block.base_fee();
    block.txs.iter().map(move |tx| tx.effective_tip(base_fee).unwrap_or_default())
}

/// The tips at percentiles of the block's gas, as geth weighs them.
fn rewards(block: &Block, percentiles: &[f64]) -> Vec<u128> {
    let mut weighed: Vec<(u128, u64)> = tips(block).zip(block.receipts.iter().map(|receipt| receipt.gas_used)).collect();
    if weighed.is_empty() {
        return vec![0; percentiles.len()];
    }
    weighed.sort_unstable();
    let mut position = 0;
    let mut gas = weighed[0].1;
    percentiles
        .iter()
        .map(|percentile| {
            let threshold = (block.header.gas_used as f64 * percentile / 100.0) as u64;
            while gas < threshold && position + 1 < weighed.len() {
                position += 1;
                gas += weighed[position].1;
            }
            weighed[position].0
        })
        .collect()
}

//! Where a price comes from (row A7): none on a chain that takes none, the transaction's own, the configured one, the cache, the market
//! (an oracle, then the node), and the last one that was good.
//!
//! ```text
//! quote ──► zero? ──► fixed? ──► cached and fresh? ──► ask the market, once however many wait ──► last known good
//! ```
//!
//! A failed fetch keeps the last known price in use; only a manager that never had one makes transactions wait.

use std::time::Duration;

use alloy::eips::eip1559::Eip1559Estimation;
use storage::AttemptFees;

use super::increase::{fee_cap, tip_cap};
use crate::config::GasConfig;

/// Share of the cache time after which one request refreshes the price ahead of its expiry.
const REFRESH_AT: f64 = 0.5;
/// Pause before the node is asked again after it gave no price.
const RETRY: Duration = Duration::from_secs(1);

/// What the market asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarketPrice {
    /// A chain with EIP-1559.
    Dynamic(Eip1559Estimation),
    /// A chain without a base fee, wei.
    Legacy(u128),
}

impl MarketPrice {
    /// From `eth_feeHistory`: twice the next base fee, so that six full blocks in a row do not strand the transaction,
    /// plus the highest of the blocks' tips at the percentile.
    #[must_use]
    pub fn from_history(next_base_fee: u128, tips: &[u128]) -> Self {
        // A chain of empty blocks reports no tips; every pool takes one gwei.
        let tip = tips.iter().copied().filter(|tip| *tip > 0).max().unwrap_or(1_000_000_000);
        Self::Dynamic(Eip1559Estimation {
            max_fee_per_gas: next_base_fee.saturating_mul(2).saturating_add(tip),
            max_priority_fee_per_gas: tip,
        })
    }

    /// As the fees of an attempt.
    #[must_use]
    pub const fn fees(self) -> AttemptFees {
        match self {
            Self::Dynamic(e) => {
                AttemptFees::Dynamic { max_fee_per_gas: e.max_fee_per_gas, max_priority_fee_per_gas: e.max_priority_fee_per_gas }
            }
            Self::Legacy(gas_price) => AttemptFees::Legacy { gas_price },
        }
    }
}

/// These fees, with twice the base fee of blobs: six full blocks in a row do not strand the transaction.
fn with_blob_fee(fees: AttemptFees, blob_base_fee: u64) -> AttemptFees {
    let (max_fee_per_gas, max_priority_fee_per_gas) = (fee_cap(&fees), tip_cap(&fees));
    AttemptFees::Blob { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas: blob_base_fee.saturating_mul(2).max(1) }
}

/// The shard's gas price.
#[derive(Debug)]
pub struct GasPrice {
    fixed: Option<MarketPrice>,
    cache_time: Duration,
    known: Option<MarketPrice>,
    read_at: Duration,
    stale: bool,
    asking: bool,
    ask_again_at: Duration,
    /// What blobs last cost, wei per blob gas.
    blob_base_fee: Option<u64>,
    blobs_again_at: Duration,
}

/// Answer to [`GasPrice::quote`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The price, if there is one.
    pub price: Option<MarketPrice>,
    /// The caller has to ask the market now; nobody else does.
    pub ask_node: bool,
}

impl GasPrice {
    /// A price source by configuration.
    #[must_use]
    pub fn new(config: &GasConfig) -> Self {
        let configured = config.max_fee_per_gas.map(|max_fee_per_gas| {
            let max_priority_fee_per_gas = config.max_priority_fee_per_gas.unwrap_or(0).min(max_fee_per_gas);
            MarketPrice::Dynamic(Eip1559Estimation { max_fee_per_gas, max_priority_fee_per_gas })
        });
        let fixed = if config.zero { Some(MarketPrice::Legacy(0)) } else { configured };
        Self {
            fixed,
            cache_time: Duration::from_millis(config.cache_ms),
            known: None,
            read_at: Duration::ZERO,
            stale: true,
            asking: false,
            ask_again_at: Duration::ZERO,
            blob_base_fee: None,
            blobs_again_at: Duration::ZERO,
        }
    }

    /// The price to use at `now`, and whether the caller must ask the node for a newer one.
    pub fn quote(&mut self, now: Duration) -> Quote {
        if self.fixed.is_some() {
            return Quote { price: self.fixed, ask_node: false };
        }
        self.cached(now, false)
    }

    /// The same for a transaction with blobs, whose third price only the node tells: what is fixed for the others leaves that open.
    pub fn quote_blob(&mut self, now: Duration) -> (Option<AttemptFees>, bool) {
        let Quote { price, ask_node } = self.cached(now, true);
        // What is fixed needs no answer, but the price of blobs does.
        let fees =
            price.map(|price| self.fixed.unwrap_or(price)).zip(self.blob_base_fee).map(|(price, base)| with_blob_fee(price.fees(), base));
        (fees, ask_node)
    }

    fn cached(&mut self, now: Duration, blobs: bool) -> Quote {
        let age = now.saturating_sub(self.read_at);
        let old = self.stale
            || age >= self.cache_time.mul_f64(REFRESH_AT)
            || (blobs && self.blob_base_fee.is_none() && now >= self.blobs_again_at);
        let ask_node = old && !self.asking && now >= self.ask_again_at;
        self.asking |= ask_node;
        // Past its time, or cleared: wait for the answer that is on its way rather than use a price known to be bad.
        let expired = self.stale || age >= self.cache_time;
        let price = if expired && self.asking { None } else { self.known };
        Quote { price, ask_node }
    }

    /// What blobs cost now, wei per blob gas; told ahead of an answer.
    pub const fn blobs_cost(&mut self, blob_base_fee: u64) {
        self.blob_base_fee = Some(blob_base_fee);
    }

    /// The node's answer, or that it gave none.
    pub fn answered(&mut self, price: Option<MarketPrice>, now: Duration) {
        self.asking = false;
        // Whoever needs the price of blobs, and has not heard it, asks again a little later.
        self.blobs_again_at = now + RETRY;
        match price {
            Some(price) => {
                self.known = Some(price);
                self.read_at = now;
                self.stale = false;
            }
            None => self.ask_again_at = now + RETRY,
        }
    }

    /// When those who wait for a price have to quote again; `None` while an answer is on its way, which wakes them.
    #[must_use]
    pub const fn retry_at(&self) -> Option<Duration> {
        if self.asking {
            return None;
        }
        // Two answers that did not come together: the later one is waited for.
        let (price, blobs) = (self.ask_again_at, self.blobs_again_at);
        Some(if price.as_nanos() > blobs.as_nanos() { price } else { blobs })
    }

    /// The node's last price, however old.
    #[must_use]
    pub const fn known(&self) -> Option<MarketPrice> {
        self.known
    }

    /// The node's last price with that of blobs, however old.
    #[must_use]
    pub fn known_blob(&self) -> Option<AttemptFees> {
        self.fixed.or(self.known).zip(self.blob_base_fee).map(|(price, base)| with_blob_fee(price.fees(), base))
    }

    /// When a quote asks the node again; `None` while an answer is on its way, and where the price is fixed and `blobs` says that no blobs
    /// need one.
    #[must_use]
    pub fn refresh_at(&self, blobs: impl FnOnce() -> bool) -> Option<Duration> {
        if self.asking || (self.fixed.is_some() && !blobs()) {
            return None;
        }
        let old = if self.stale { Duration::ZERO } else { self.read_at + self.cache_time.mul_f64(REFRESH_AT) };
        Some(old.max(self.ask_again_at))
    }

    /// Forgets the cached price: the node called it too low, a transaction was reverted, or somebody said so. It stays the last known good
    /// one.
    pub const fn invalidate(&mut self) {
        self.stale = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market(wei: u128) -> MarketPrice {
        MarketPrice::Legacy(wei)
    }

    #[test]
    fn one_request_serves_all_who_wait() {
        let mut gas = GasPrice::new(&GasConfig::default());
        assert_eq!(gas.quote(Duration::ZERO), Quote { price: None, ask_node: true });
        assert_eq!(gas.quote(Duration::ZERO), Quote { price: None, ask_node: false });
        gas.answered(Some(market(7)), Duration::ZERO);
        assert_eq!(gas.quote(Duration::ZERO), Quote { price: Some(market(7)), ask_node: false });
    }

    #[test]
    fn the_cache_is_refreshed_ahead_of_its_expiry_while_the_old_price_serves() {
        let mut gas = GasPrice::new(&GasConfig { cache_ms: 1000, ..GasConfig::default() });
        gas.quote(Duration::ZERO);
        gas.answered(Some(market(7)), Duration::ZERO);
        let quote = gas.quote(Duration::from_millis(600));
        assert_eq!(quote, Quote { price: Some(market(7)), ask_node: true });
    }

    #[test]
    fn a_failed_fetch_falls_back_to_the_last_known_good_price() {
        let mut gas = GasPrice::new(&GasConfig { cache_ms: 1000, ..GasConfig::default() });
        gas.quote(Duration::ZERO);
        gas.answered(Some(market(7)), Duration::ZERO);
        let later = Duration::from_secs(5);
        assert_eq!(gas.quote(later), Quote { price: None, ask_node: true });
        gas.answered(None, later);
        assert_eq!(gas.quote(later).price, Some(market(7)));
    }

    #[test]
    fn a_chain_that_takes_no_price_gets_none() {
        let quote = GasPrice::new(&GasConfig { zero: true, ..GasConfig::default() }).quote(Duration::ZERO);
        assert_eq!(quote, Quote { price: Some(market(0)), ask_node: false });
    }

    #[test]
    fn a_cleared_price_is_asked_for_anew_and_serves_again_if_there_is_no_other() {
        let mut gas = GasPrice::new(&GasConfig::default());
        gas.answered(Some(market(7)), Duration::ZERO);
        gas.invalidate();
        assert_eq!(gas.quote(Duration::ZERO), Quote { price: None, ask_node: true });
        gas.answered(None, Duration::ZERO);
        assert_eq!(gas.quote(Duration::ZERO), Quote { price: Some(market(7)), ask_node: false });
    }

    #[test]
    fn a_configured_price_needs_no_node() {
        let config = GasConfig { max_fee_per_gas: Some(9), max_priority_fee_per_gas: Some(2), ..GasConfig::default() };
        let quote = GasPrice::new(&config).quote(Duration::ZERO);
        assert!(!quote.ask_node);
        assert_eq!(quote.price.map(MarketPrice::fees), Some(AttemptFees::Dynamic { max_fee_per_gas: 9, max_priority_fee_per_gas: 2 }));
    }

    #[test]
    fn what_blobs_cost_is_asked_for_where_it_is_not_known_even_beside_a_fixed_price() {
        let config = GasConfig { max_fee_per_gas: Some(9), max_priority_fee_per_gas: Some(2), ..GasConfig::default() };
        let mut gas = GasPrice::new(&config);
        assert_eq!(gas.quote_blob(Duration::ZERO), (None, true));
        assert_eq!(gas.quote_blob(Duration::ZERO), (None, false), "one request however many wait");
        gas.blobs_cost(5);
        gas.answered(Some(market(70)), Duration::ZERO);
        let fees = AttemptFees::Blob { max_fee_per_gas: 9, max_priority_fee_per_gas: 2, max_fee_per_blob_gas: 10 };
        assert_eq!(gas.quote_blob(Duration::ZERO), (Some(fees), false));
        assert_eq!(
            gas.quote(Duration::ZERO).price.map(MarketPrice::fees),
            Some(AttemptFees::Dynamic { max_fee_per_gas: 9, max_priority_fee_per_gas: 2 })
        );
    }

    #[test]
    fn a_chain_that_tells_nothing_of_blobs_is_asked_again_after_a_pause() {
        let mut gas = GasPrice::new(&GasConfig::default());
        gas.quote(Duration::ZERO);
        gas.answered(Some(market(7)), Duration::ZERO);
        assert_eq!(gas.quote_blob(Duration::ZERO), (None, false));
        assert_eq!(gas.quote_blob(RETRY), (None, true));
        gas.blobs_cost(0);
        gas.answered(Some(market(7)), RETRY);
        assert_eq!(gas.quote_blob(RETRY).0.map(|fees| crate::txmgr::increase::blob_cap(&fees)), Some(1), "1 wei is the least there is");
    }

    #[test]
    fn beside_a_fixed_price_only_blobs_have_the_node_asked_and_an_old_price_of_theirs_is_not_used() {
        let mut gas = GasPrice::new(&GasConfig { cache_ms: 1000, max_fee_per_gas: Some(9), ..GasConfig::default() });
        gas.quote_blob(Duration::ZERO);
        gas.blobs_cost(5);
        gas.answered(Some(market(7)), Duration::ZERO);
        assert_eq!((gas.refresh_at(|| false), gas.refresh_at(|| true)), (None, Some(Duration::from_millis(500))));
        assert!(gas.quote_blob(Duration::from_millis(100)).0.is_some());
        assert_eq!(gas.quote_blob(Duration::from_secs(9)), (None, true));
    }
}

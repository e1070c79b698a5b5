//! The settings of a dev chain, with the reason for every default.

use std::{fmt, net::SocketAddr, time::Duration};

use alloy::primitives::{U256, utils::Unit};

/// A mnemonic phrase. Its `Debug` form shows nothing of the words.
#[derive(Clone)]
pub struct Mnemonic(pub(crate) String);

impl Mnemonic {
    /// Takes the words of a BIP-39 phrase; they are checked when the chain starts.
    pub fn new(phrase: impl Into<String>) -> Self {
        Self(phrase.into())
    }
}

impl fmt::Debug for Mnemonic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Mnemonic(..)")
    }
}

/// All settings of a dev chain.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen. Port 0 takes a free port.
    pub listen: SocketAddr,
    /// Time between blocks. Zero: a block is sealed only by `devnet_mine`.
    pub block_time: Duration,
    /// Chain id of EIP-155.
    pub chain_id: u64,
    /// Gas limit of a block, at least 5,000.
    pub gas_limit: u64,
    /// Base fee of the genesis block in wei; later blocks follow the rule of EIP-1559.
    pub base_fee_wei: u64,
    /// Phrase of the dev accounts, derived at `m/44'/60'/0'/0/i`.
    pub mnemonic: Mnemonic,
    /// Number of dev accounts.
    pub accounts: u32,
    /// Balance of each dev account at genesis in wei.
    pub balance_wei: U256,
    /// Executable transactions that an account keeps for sure when the pool is over `global_slots`.
    pub account_slots: usize,
    /// Transactions behind a nonce gap that an account may have; more are dropped silently, highest nonce first.
    pub account_queue: usize,
    /// Executable transactions in the whole pool before accounts with the most are cut to `account_slots`.
    pub global_slots: usize,
    /// Transactions behind a gap in the whole pool, on top of `global_slots`, before the pool is full.
    pub global_queue: usize,
    /// What a replacement must add to both fees of the transaction it replaces, in percent.
    pub price_bump_percent: u64,
    /// Smallest tip the pool takes, in wei.
    pub min_tip_wei: u128,
    /// What `eth_maxPriorityFeePerGas` answers while no block tells of another price, in wei.
    pub suggested_tip_wei: u128,
    /// Mined transactions kept in memory; older blocks are forgotten, the oldest first.
    pub history_transactions: usize,
    /// Blocks kept in memory.
    pub history_blocks: usize,
    /// Blocks behind the head whose state can be read, and the deepest reorg.
    pub state_history_blocks: usize,
    /// Largest JSON-RPC batch.
    pub max_batch: usize,
    /// Largest request body in bytes.
    pub max_body_bytes: usize,
    /// How far `safe` is behind the head, in blocks.
    pub safe_depth: u64,
    /// How far `finalized` is behind the head, in blocks.
    pub finalized_depth: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            block_time: Duration::from_secs(1),
            chain_id: 31_337,
            // Mainnet's limit at the end of 2025.
            gas_limit: 60_000_000,
            base_fee_wei: 1_000_000_000,
            mnemonic: Mnemonic::new(crate::accounts::TEST_MNEMONIC),
            accounts: 10,
            balance_wei: U256::from(1_000_000) * Unit::ETHER.wei(),
            // geth's defaults, except that the pool as a whole is large enough for a bench.
            account_slots: 16,
            account_queue: 64,
            global_slots: 200_000,
            global_queue: 50_000,
            price_bump_percent: 10,
            min_tip_wei: 1,
            suggested_tip_wei: 1_000_000_000,
            // About 250 MB of transfers.
            history_transactions: 500_000,
            // A day of blocks at a second each.
            history_blocks: 86_400,
            // As many blocks as geth keeps states in memory, doubled for long reorg tests.
            state_history_blocks: 256,
            // geth's limits.
            max_batch: 1_000,
            max_body_bytes: 5 * 1024 * 1024,
            // One and two epochs, as on mainnet.
            safe_depth: 32,
            finalized_depth: 64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mnemonic_never_shows_in_debug_output() {
        let shown = format!("{:?}", Config::default());
        assert!(shown.contains("Mnemonic(..)") && !shown.contains("junk"), "{shown}");
    }
}

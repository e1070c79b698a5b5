//! The engine's configuration in one seed: whatever may differ from one installation to the next is drawn.

use engine::config::{
    BlobProofs, Config, Displaced, EndpointConfig, GasConfig, HiddenUrl, KeysConfig, NodeConfig, PriceUnit, ShardsConfig, TxmgrConfig,
};

use crate::chain::CHAIN_ID;
use crate::executor::Executor;
use crate::room::{HEADS_PORT, ORACLE_HOST, SECOND_HOST};
use crate::world::ADDRESSES;

/// The highest price, where a seed sets one, wei.
const CAP: u128 = 20_000_000_000;

/// The highest price of blobs, where a seed sets one, wei.
const BLOB_CAP: u64 = 20_000;

/// A configuration, drawn from the seed.
pub(crate) fn config(executor: &Executor) -> Config {
    // Half of the seeds have two nodes, in either order.
    let ws_url = (executor.below(2) == 0).then(|| format!("ws://node:{HEADS_PORT}"));
    let mut endpoints = vec![EndpointConfig { url: "http://node:1".to_owned(), ws_url }];
    if executor.below(2) == 0 {
        let second = EndpointConfig { url: format!("http://{SECOND_HOST}:1"), ws_url: None };
        endpoints.insert(usize::try_from(executor.below(2)).unwrap_or(0), second);
    }
    // One seed in three has a price oracle.
    let oracle = executor.below(3) == 0;
    Config {
        node: NodeConfig {
            send_to_all: endpoints.len() > 1 && executor.below(2) == 0,
            endpoints,
            ws_poll_interval_ms: executor.below(10_000) + 500,
            max_lag_blocks: executor.below(6) + 1,
            probe_interval_ms: 500,
            chain_id: Some(CHAIN_ID),
            connections: usize::try_from(executor.below(3) + 1).unwrap_or(1),
            batch_calls: usize::try_from(executor.below(20) + 2).unwrap_or(2),
            request_timeout_ms: 1000,
            breaker_failures: u32::try_from(executor.below(8) + 1).unwrap_or(1),
            breaker_pause_min_ms: executor.below(1000) + 1,
            ..NodeConfig::default()
        },
        keys: KeysConfig { sign_timeout_ms: 1000, ..KeysConfig::default() },
        shards: ShardsConfig { mailbox: 64, ..ShardsConfig::default() },
        // The cap is above what the base fee rises to and stays at, and below what it spikes to.
        gas: GasConfig {
            cache_ms: 2000,
            cap_max_fee_per_gas: (executor.below(2) == 0).then_some(CAP),
            cap_max_fee_per_blob_gas: (executor.below(2) == 0).then_some(BLOB_CAP),
            oracle_url: oracle.then(|| HiddenUrl(format!("http://{ORACLE_HOST}:1/price"))),
            oracle_max_fee: oracle.then(|| "/fast".to_owned()),
            oracle_tip: (oracle && executor.below(2) == 0).then(|| "/tip".to_owned()),
            oracle_unit: PriceUnit::Gwei,
            ..GasConfig::default()
        },
        txmgr: TxmgrConfig {
            max_in_flight: usize::try_from(executor.below(40) + 1).unwrap_or(1),
            max_orchestrators: usize::try_from(executor.below(ADDRESSES) + 1).unwrap_or(1),
            idle_timeout_ms: executor.below(2000) + 1,
            stale_timeout_ms: executor.below(10_000) + 500,
            swap_timeout_ms: executor.below(3000) + 1,
            resubmit_interval_ms: 4000,
            retry_min_ms: 50,
            retry_max_ms: 2000,
            stage_retry_ms: 3000,
            persist_retry_ms: 300,
            // A signer that is away for a while fails no request here.
            sign_tries: 1000,
            displaced: if executor.below(4) == 0 { Displaced::Fail } else { Displaced::Requeue },
            required_confirmations: executor.below(2) + 1,
            finality_depth: executor.below(4) + 2,
            blob_proofs: if executor.below(2) == 0 { BlobProofs::Blobs } else { BlobProofs::Cells },
            ..TxmgrConfig::default()
        },
        ..Config::default()
    }
}

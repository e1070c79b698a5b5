//! What happens to the run's transactions after they are accepted: blocks by polling the node, open work by polling the engine.
//!
//! The chain is asked for its head every 100 ms and each new block for its list of hashes, which costs the node little. All
//! transactions of a block count: on a chain that others use too, a closed loop runs ahead by theirs, and only verification tells
//! them apart. The engine's gauge of open work is unknown while the engine is away or not ready, and is never guessed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use alloy::rpc::client::RpcClient;
use parking_lot::Mutex;

use crate::api::{Client, metric};
use crate::chain;
use crate::pace::Pace;

/// Time between two looks at the chain's head.
const HEAD_INTERVAL: Duration = Duration::from_millis(100);
/// Time between two looks at the engine's gauges; each costs the measured process a little.
const GAUGE_INTERVAL: Duration = Duration::from_millis(200);

/// What the followers have seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    open: AtomicU64,
    open_known: AtomicBool,
    /// The last error of the chain's follower, for the message when nothing moves.
    pub(crate) chain_error: Mutex<Option<String>>,
}

impl Seen {
    /// Transactions accepted and not yet archived or failed, by the engine's gauge; `None` while the engine is away or not ready.
    pub(crate) fn open(&self) -> Option<u64> {
        self.open_known.load(Ordering::Relaxed).then(|| self.open.load(Ordering::Relaxed))
    }

    fn set_open(&self, open: Option<u64>) {
        if let Some(open) = open {
            self.open.store(open, Ordering::Relaxed);
        }
        self.open_known.store(open.is_some(), Ordering::Relaxed);
    }
}

/// Counts the transactions of every block after `first_block` into `pace`, for ever.
pub(crate) async fn blocks(node: RpcClient, first_block: u64, pace: Arc<Pace>, seen: Arc<Seen>) {
    let mut last = first_block;
    let mut included = 0;
    let mut ticks = tokio::time::interval(HEAD_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match count_new_blocks(&node, &mut last, &mut included).await {
            Ok(true) => pace.set_included(included),
            Ok(false) => {}
            Err(error) => *seen.chain_error.lock() = Some(format!("{error:#}")),
        }
    }
}

async fn count_new_blocks(node: &RpcClient, last: &mut u64, included: &mut u64) -> anyhow::Result<bool> {
    let head = chain::head(node).await?;
    let before = *last;
    while *last < head {
        *included += chain::transaction_count(node, *last + 1).await?;
        *last += 1;
    }
    Ok(*last > before)
}

/// Reads the engine's gauge of open work into `seen`, for ever.
pub(crate) async fn gauges(mut engine: Client, seen: Arc<Seen>) {
    let mut ticks = tokio::time::interval(GAUGE_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        seen.set_open(open_work(&mut engine).await);
    }
}

async fn open_work(engine: &mut Client) -> Option<u64> {
    // Ready first: an engine that is still loading its open work would show a gauge that is too low.
    if !engine.get("/readyz").await.ok()?.status.is_success() {
        return None;
    }
    let reply = engine.get("/metrics").await.ok()?;
    let value = metric(std::str::from_utf8(&reply.body).ok()?, "millrace_transactions_open")?;
    Some(value.max(0.0) as u64)
}

//! What happens to the run's transactions after they are accepted: blocks by polling the node, open work by polling the engine.
//!
//! The chain is asked for its head every 100 ms and each new block for its list of hashes, which costs the node little. All
//! transactions of a block count: on a chain that others use too, a closed loop runs ahead by theirs, and only verification tells
//! them apart. The engine's gauge of open work is unknown while the engine is away or not ready, and is never guessed.

use std::sync::Arc;
use std::time::Duration;

use alloy::rpc::client::RpcClient;
use parking_lot::Mutex;

use crate::api::{Client, metric, metric_where};
use crate::chain;
use crate::event::{BlockSeen, Event, Journal};
use crate::pace::{Clock, Pace};
use crate::plan::Plan;

/// Time between two looks at the chain's head.
const HEAD_INTERVAL: Duration = Duration::from_millis(100);
/// Time between two looks at the engine's gauges; each costs the measured process a little.
const GAUGE_INTERVAL: Duration = Duration::from_millis(500);

/// Work that is not done, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenWork {
    /// Transactions accepted and not yet archived or failed; `None` while nobody can say.
    pub(crate) open: Option<u64>,
    /// Those of them that the engine has handed to the node.
    pub(crate) tracking: Option<u64>,
}

/// What the followers have seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    work: Mutex<OpenWork>,
    /// The last error of the chain's follower, for the message when nothing moves.
    pub(crate) chain_error: Mutex<Option<String>>,
}

impl Seen {
    /// Open work by the engine's gauges, or by the chain's nonces where the load drives a node.
    pub(crate) fn work(&self) -> OpenWork {
        *self.work.lock()
    }
}

/// Follows the chain from `first_block`.
pub(crate) struct Blocks {
    /// The node.
    pub(crate) node: RpcClient,
    /// The block before the run.
    pub(crate) first_block: u64,
    /// Blocks up to this one are in the record already.
    pub(crate) recorded: u64,
    /// Where to count.
    pub(crate) pace: Arc<Pace>,
    /// Where to say what went wrong.
    pub(crate) seen: Arc<Seen>,
    /// Where to write blocks down.
    pub(crate) journal: Arc<Journal>,
    /// The clock of the run.
    pub(crate) clock: Clock,
}

impl Blocks {
    /// Counts the transactions of every block after the first into the pace, for ever. Ends only if the record cannot be written.
    pub(crate) async fn follow(self) -> anyhow::Result<()> {
        let mut last = self.first_block;
        let mut included = 0;
        let mut ticks = tokio::time::interval(HEAD_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut new = Vec::new();
            let outcome = self.new_blocks(last, &mut new).await;
            for block in &new {
                (last, included) = (block.number, included + block.transactions);
                if block.number > self.recorded {
                    self.journal.write(&Event::Block(*block))?;
                }
            }
            match outcome {
                Ok(()) => self.pace.set_included(included),
                Err(error) => *self.seen.chain_error.lock() = Some(format!("{error:#}")),
            }
        }
    }

    async fn new_blocks(&self, last: u64, new: &mut Vec<BlockSeen>) -> anyhow::Result<()> {
        let head = chain::head(&self.node).await?;
        // All of them became visible when the head did.
        let seen_us = self.clock.now_us();
        for number in last + 1..=head {
            new.push(chain::block_seen(&self.node, number, seen_us).await?);
        }
        Ok(())
    }
}

/// Reads the engine's gauges of open work into `seen`, for ever.
pub(crate) async fn gauges(mut engine: Client, seen: Arc<Seen>) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(GAUGE_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        *seen.work.lock() = open_work(&mut engine).await.unwrap_or_default();
    }
}

async fn open_work(engine: &mut Client) -> Option<OpenWork> {
    // Ready first: an engine that is still loading its open work would show a gauge that is too low.
    if !engine.get("/readyz").await.ok()?.status.is_success() {
        return None;
    }
    let reply = engine.get("/metrics").await.ok()?;
    let text = std::str::from_utf8(&reply.body).ok()?;
    let count = |value: f64| value.max(0.0) as u64;
    let open = metric(text, "millrace_transactions_open").map(count);
    let tracking = metric_where(text, "millrace_transactions_by_stage", "stage=\"tracking\"").map(count);
    Some(OpenWork { open, tracking })
}

/// Works out from the chain's nonces what is open where no engine can be asked, for ever. The nonces are read only when the blocks
/// hold as many transactions as the run has: before, there is open work in any case.
pub(crate) async fn nonces(
    node: RpcClient,
    plan: Arc<Plan>,
    base_nonces: Vec<u64>,
    pace: Arc<Pace>,
    seen: Arc<Seen>,
) -> anyhow::Result<()> {
    let goal = base_nonces.iter().sum::<u64>() + plan.transactions();
    let mut ticks = tokio::time::interval(GAUGE_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let done = pace.included() + pace.refused();
        let open = if done < plan.transactions() {
            Some(plan.transactions() - done)
        } else {
            let nonces = chain::nonces(&node, plan.senders()).await.ok();
            nonces.map(|nonces| goal.saturating_sub(pace.refused() + nonces.iter().sum::<u64>()))
        };
        *seen.work.lock() = OpenWork { open, tracking: open };
    }
}

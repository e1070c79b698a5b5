//! The follower at work: asks the node, hands each block out, gathers the effects, stores, tells.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, U64};
use netio::{Calls, End, Fault, Lane, Room};
use storage::{HeadRow, ReceiptRow, Record};
use uuid::Uuid;

use super::decode::{Header, receipt_from_json, receipts_from_json};
use super::follower::{Follower, Joined, Stored};
use super::status::ChainStatus;
use crate::point::{self, Point};
use crate::sabotage::{self, Sabotage};
use crate::txmgr::{BlockEffects, Event, SeenBlock, SeenReceipt};

/// JSON-RPC's code for a method that the node does not have.
const METHOD_NOT_FOUND: i64 = -32601;

/// Looks at a block without receipts after which they are asked for by transaction hash.
const OTHER_WAY_AFTER: u32 = 20;
/// Looks at a block without receipts after which that is a trouble: nothing more is bound or sent into a chain that cannot be read.
const TROUBLE_AFTER: u32 = 100;

/// Where blocks go: the shards, and shard 0's way to the store.
pub trait BlockStore {
    /// Number of shards.
    fn shards(&self) -> usize;
    /// Shard of an address.
    fn shard_of(&self, address: &Address) -> usize;
    /// Every shard's effects of its part of a block.
    fn effects(&self, parts: Vec<SeenBlock>) -> impl Future<Output = Option<Vec<BlockEffects>>>;
    /// Every shard takes back what blocks above this one did; tells what that was.
    fn rewind(&self, to: u64) -> impl Future<Output = Option<Vec<BlockEffects>>>;
    /// The stored block of a number, and the receipts of these transactions.
    fn head(&self, number: u64) -> impl Future<Output = Option<Option<B256>>>;
    /// The stored receipts of these transactions.
    fn receipts(&self, ids: Vec<Uuid>) -> impl Future<Output = Option<Vec<(Uuid, ReceiptRow)>>>;
    /// Writes a block; completes when it is on disk, `None` when the engine stops.
    fn store(&self, record: Record) -> impl Future<Output = Option<()>>;
    /// Tells every shard.
    fn tell(&self, event: impl Fn() -> Event) -> impl Future<Output = ()>;
}

/// Why a round ended early.
enum Stop {
    /// The node does not answer, or not with what is needed: try again later.
    Later(String),
    /// The engine stops.
    Ended,
}

/// The follower's parts.
pub struct Follow<R: Room> {
    /// Its room.
    pub room: R,
    /// Its own connection.
    pub lane: Lane<R>,
    /// Where it tells what it knows.
    pub status: Arc<ChainStatus>,
    /// The chain id by configuration.
    pub chain_id: Option<u64>,
    /// Pause between two looks at the head.
    pub poll_interval: Duration,
    /// Heads deeper than this are dropped from the store.
    pub finality_depth: u64,
    /// The checkpoint.
    pub stored: Option<Stored>,
    /// Looks at the next block that found no receipts.
    pub missing: u32,
    /// The shards have been told of a newest block.
    pub greeted: bool,
}

impl<R: Room> Follow<R> {
    /// Follows the chain until the engine stops.
    pub async fn run(mut self, blocks: impl BlockStore) {
        let mut follower = Follower::new(self.stored);
        let mut by_hash = false;
        let mut told = None;
        loop {
            let healthy = match self.round(&mut follower, &mut by_hash, &blocks).await {
                Ok(()) => {
                    if self.status.set_trouble(None) {
                        tracing::info!("the node answers");
                    }
                    true
                }
                Err(Stop::Later(trouble)) => {
                    if self.status.set_trouble(Some(trouble.clone())) {
                        tracing::warn!(trouble, "not ready; trying again");
                    }
                    false
                }
                Err(Stop::Ended) => return,
            };
            // Only news wakes the shards: an idle one is not woken by every look at the head.
            if told.replace(healthy) != Some(healthy) {
                let chain_id = self.status.chain_id();
                blocks.tell(|| Event::Node { healthy, chain_id }).await;
            }
            self.room.sleep(self.poll_interval).await;
        }
    }

    /// Everything up to the node's head.
    async fn round(&mut self, follower: &mut Follower, by_hash: &mut bool, blocks: &impl BlockStore) -> Result<(), Stop> {
        if self.status.chain_id().is_none() {
            self.learn_chain().await?;
        }
        follower.head(self.ask::<U64>("eth_blockNumber", &[(); 0]).await?.to());
        self.greet(follower, blocks).await;
        while let Some(number) = follower.next() {
            let Some(header) = self.ask::<Option<Header>>("eth_getBlockByNumber", &(U64::from(number), false)).await? else {
                return Ok(());
            };
            if follower.joins(&header) == Joined::No {
                self.reorganised(follower, blocks).await?;
                continue;
            }
            // A list that is shorter than the block is an index that lags, not the block's truth.
            let trusted =
                |receipts: &Vec<SeenReceipt>| receipts.len() == header.transactions.len() || sabotage::on(Sabotage::ShortReceiptsTrusted);
            let receipts = self.receipts(&header, by_hash).await?.filter(trusted);
            let receipts = if sabotage::on(Sabotage::NullReceiptsTrusted) { receipts.or(Some(Vec::new())) } else { receipts };
            let Some(receipts) = receipts else { return self.receipts_missing(number, by_hash) };
            self.missing = 0;
            self.store(follower, &header, receipts, blocks).await?;
        }
        Ok(())
    }

    /// After a start: a checkpoint that is the node's head already is the newest block there is, and nobody else will say so.
    async fn greet(&mut self, follower: &Follower, blocks: &impl BlockStore) {
        let Some(Stored { number, .. }) = follower.checkpoint() else { return };
        if follower.next().is_none() && !std::mem::replace(&mut self.greeted, true) {
            self.status.set_head(number, true);
            blocks.tell(|| Event::BlockStored { number, newest: true }).await;
        }
    }

    /// The node's chain has left ours: goes back to where both agree, and takes back what came behind it.
    async fn reorganised(&mut self, follower: &mut Follower, blocks: &impl BlockStore) -> Result<(), Stop> {
        let Some(from) = follower.checkpoint() else { return Ok(()) };
        let lowest = (from.number + 1).saturating_sub(self.finality_depth);
        let mut number = from.number;
        let header = loop {
            if number < lowest {
                return Err(Stop::Later(format!(
                    "the node's chain and the stored one differ from block {lowest} on, {} blocks deep, which is final: this is another chain, or finality_depth is too small",
                    self.finality_depth
                )));
            }
            let stored = blocks.head(number).await.ok_or(Stop::Ended)?;
            let node = self.ask::<Option<Header>>("eth_getBlockByNumber", &(U64::from(number), false)).await?;
            match (stored, node) {
                (_, None) => {
                    return Err(Stop::Later(format!(
                        "the node does not tell its block {number} while its chain is compared with the stored one"
                    )));
                }
                (Some(stored), Some(header)) if header.hash == stored => break header,
                // Older than the first block that was ever read, so it may have been replaced too, and hold what was sent
                // since: from as far back as a chain may change.
                (None, Some(header)) if number == lowest => break header,
                (_, Some(_)) => {
                    number = number
                        .checked_sub(1)
                        .ok_or_else(|| Stop::Later("the node has another genesis block: this is another chain".into()))?;
                }
            }
        };
        let common = Stored { number: header.number, hash: header.hash };
        if common == from {
            return Ok(());
        }
        tracing::warn!(from = from.number, to = common.number, "the chain was reorganised");
        let effects = blocks.rewind(common.number).await.ok_or(Stop::Ended)?;
        let undone = effects.into_iter().flat_map(|part| part.undone).collect();
        let orphans = blocks.receipts(undone).await.ok_or(Stop::Ended)?;
        let head = self.head_row(&header);
        let record = Record::Rewind { to: common.number, head, from: from.number, orphans };
        blocks.store(record).await.ok_or(Stop::Ended)?;
        follower.rewound(common);
        Ok(())
    }

    async fn learn_chain(&mut self) -> Result<(), Stop> {
        let id: u64 = self.ask::<U64>("eth_chainId", &[(); 0]).await?.to();
        if let Some(expected) = self.chain_id.filter(|expected| *expected != id) {
            return Err(Stop::Later(format!(
                "the node is on chain {id}, the configuration says node.chain_id = {expected}: correct one of them"
            )));
        }
        tracing::info!(chain_id = id, "the node's chain");
        self.status.set_chain_id(id);
        Ok(())
    }

    async fn ask<T: serde::de::DeserializeOwned>(&mut self, method: &str, params: &impl serde::Serialize) -> Result<T, Stop> {
        self.lane.call(method, params).await.map_err(|error| Stop::Later(error.to_string()))
    }

    /// The block's receipts; `None` while the node does not know them.
    async fn receipts(&mut self, header: &Header, by_hash: &mut bool) -> Result<Option<Vec<SeenReceipt>>, Stop> {
        if *by_hash {
            return self.receipts_one_by_one(header).await;
        }
        let mut calls = Calls::new();
        calls.push("eth_getBlockReceipts", &[header.hash]);
        match self.lane.exchange(&calls).await.ends.pop() {
            Some(End::Answered(Ok(json))) => {
                receipts_from_json(json.get()).map_err(|error| Stop::Later(format!("eth_getBlockReceipts cannot be read: {error}")))
            }
            Some(End::Answered(Err(error))) if error.code == METHOD_NOT_FOUND => {
                tracing::info!("the node has no eth_getBlockReceipts; receipts are read by transaction hash, in batches");
                *by_hash = true;
                self.receipts_one_by_one(header).await
            }
            // An error about one block is "not known yet" (row B4).
            Some(End::Answered(Err(_))) | None => Ok(None),
            Some(End::BeforeSend(fault) | End::Ambiguous(fault)) => Err(unanswered(&fault)),
        }
    }

    /// The node does not know a block's receipts. After a while the other way to ask is tried, and then it is a trouble.
    fn receipts_missing(&mut self, number: u64, by_hash: &mut bool) -> Result<(), Stop> {
        self.missing += 1;
        *by_hash |= self.missing == OTHER_WAY_AFTER;
        if self.missing < TROUBLE_AFTER {
            return Ok(());
        }
        Err(Stop::Later(format!("the node has given no receipts of block {number} at {} looks", self.missing)))
    }

    async fn receipts_one_by_one(&mut self, header: &Header) -> Result<Option<Vec<SeenReceipt>>, Stop> {
        let mut receipts = Vec::with_capacity(header.transactions.len());
        let mut calls = Calls::new();
        for hash in &header.transactions {
            calls.push("eth_getTransactionReceipt", &[hash]);
        }
        for end in if calls.is_empty() { Vec::new() } else { self.lane.exchange(&calls).await.ends } {
            match end {
                End::Answered(Ok(json)) => match receipt_from_json(json.get(), &header.hash) {
                    Ok(Some(receipt)) => receipts.push(receipt),
                    Ok(None) => return Ok(None),
                    Err(error) => return Err(Stop::Later(format!("eth_getTransactionReceipt cannot be read: {error}"))),
                },
                End::Answered(Err(_)) => return Ok(None),
                End::BeforeSend(fault) | End::Ambiguous(fault) => return Err(unanswered(&fault)),
            }
        }
        Ok(Some(receipts))
    }

    /// A block as it is stored, seen now.
    fn head_row(&self, header: &Header) -> HeadRow {
        let seen_at = u64::try_from(self.room.unix_time().as_micros()).unwrap_or(u64::MAX);
        HeadRow { hash: header.hash, parent_hash: header.parent_hash, timestamp: header.timestamp, seen_at }
    }

    async fn store(
        &mut self,
        follower: &mut Follower,
        header: &Header,
        receipts: Vec<SeenReceipt>,
        blocks: &impl BlockStore,
    ) -> Result<(), Stop> {
        let head = self.head_row(header);
        let parts = route(header.number, header.hash, head.seen_at, receipts, blocks);
        let effects = blocks.effects(parts).await.ok_or(Stop::Ended)?;
        point::reached(Point::MinedUnseen);
        if sabotage::on(Sabotage::CheckpointBeforeEffects) {
            let record = block_record(header.number, head, Vec::new(), self.finality_depth);
            blocks.store(record).await.ok_or(Stop::Ended)?;
        }
        let record = block_record(header.number, head, effects, self.finality_depth);
        blocks.store(record).await.ok_or(Stop::Ended)?;
        let newest = follower.stored(Stored { number: header.number, hash: header.hash });
        self.greeted |= newest;
        self.status.set_head(header.number, newest);
        blocks.tell(|| Event::BlockStored { number: header.number, newest }).await;
        Ok(())
    }
}

fn unanswered(fault: &Fault) -> Stop {
    Stop::Later(format!("the node gave no receipts: {fault}"))
}

/// Splits a block's receipts by the shard of their sender.
fn route(number: u64, hash: B256, seen_at: u64, receipts: Vec<SeenReceipt>, blocks: &impl BlockStore) -> Vec<SeenBlock> {
    let empty = SeenBlock { number, hash, seen_at, receipts: Vec::new() };
    let mut parts = vec![empty; blocks.shards()];
    for receipt in receipts {
        parts[blocks.shard_of(&receipt.from)].receipts.push(receipt);
    }
    parts
}

/// Everyone's effects and the checkpoint, as one record.
fn block_record(number: u64, head: HeadRow, effects: Vec<BlockEffects>, finality_depth: u64) -> Record {
    let (mut receipts, mut failures, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for part in effects {
        receipts.extend(part.receipts);
        failures.extend(part.failures);
        floors.extend(part.floors);
    }
    // Receipts are written in the order of their ids: a put in order costs a third of one at random.
    receipts.sort_unstable_by_key(|receipt| receipt.0);
    let prune_heads_below = number.checked_sub(2 * finality_depth);
    Record::Block { number, head, receipts, failures, floors, prune_heads_below }
}

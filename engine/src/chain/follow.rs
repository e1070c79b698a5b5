//! The follower at work: asks the node, hands each block out, gathers the effects, stores, tells.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, U64};
use netio::{Bell, CallError, Calls, End, Endpoint, Fault, Lane, Room, within};
use storage::{HeadRow, ReceiptRow, Record};
use uuid::Uuid;

use super::decode::{BlockReceipts, Header, receipt_from_json};
use super::follower::{Follower, Joined, Step, Stored};
use super::heads::Told;
use super::nodes::{FAILING_FOR, NodeEvent};
use super::rivals::Untold;
use super::roster::{Gates, Roster};
use super::status::ChainStatus;
use super::tags::Tags;
use super::watch::Watch;
use crate::point::{self, Point};
use crate::sabotage::{self, Sabotage};
use crate::txmgr::{BlockEffects, Event, SeenBlock, SeenNonce, SeenReceipt};

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
    /// Every shard's effects of what others' transactions in that block took.
    fn rivals(&self, number: u64, hash: B256, taken: Vec<SeenNonce>) -> impl Future<Output = Option<Vec<BlockEffects>>>;
    /// Every shard takes back what blocks above this one did; tells what that was.
    fn rewind(&self, to: u64) -> impl Future<Output = Option<Vec<BlockEffects>>>;
    /// The hash of the stored block of a number.
    fn head(&self, number: u64) -> impl Future<Output = Option<Option<B256>>>;
    /// The stored receipts of these transactions.
    fn receipts(&self, ids: Vec<Uuid>) -> impl Future<Output = Option<Vec<(Uuid, ReceiptRow)>>>;
    /// Writes a block; completes when it is on disk, `None` when the engine stops.
    fn store(&self, record: Record) -> impl Future<Output = Option<()>>;
    /// Tells every shard.
    fn tell(&self, event: impl Fn() -> Event) -> impl Future<Output = ()>;
}

/// Why a round ended early.
pub(super) enum Stop {
    /// The node answers, and its chain cannot be used as it is: try again later.
    Later(String),
    /// The node does not answer as it should.
    Silent {
        /// What is wrong.
        trouble: String,
        /// How long it should not be asked again.
        pause: Option<Duration>,
        /// It is left alone for that long: whoever can goes to another one now.
        left_alone: bool,
    },
    /// The engine stops.
    Ended,
}

impl Stop {
    /// The node answers nonsense, or refuses.
    pub(super) const fn of(trouble: String) -> Self {
        Self::Silent { trouble, pause: None, left_alone: false }
    }
}

/// The follower's parts.
pub struct Follow<R: Room> {
    /// Its room.
    pub room: R,
    /// The nodes.
    pub roster: Roster,
    /// The room's breakers.
    pub gates: Gates,
    /// Who decides which one is used.
    pub watch: Watch,
    /// Rung when there may be news before the next look at the head.
    pub bell: Bell,
    /// The node that is used.
    pub using: usize,
    /// Changes of nodes that the shards have been told of.
    pub switches: u64,
    /// The connection to it.
    pub lane: Lane<R>,
    /// Where it tells what it knows.
    pub status: Arc<ChainStatus>,
    /// Pause between two looks at the head.
    pub poll_interval: Duration,
    /// Such a pause while heads come by WebSocket.
    pub ws_poll_interval: Duration,
    /// The newest head that came so.
    pub told: Told,
    /// Heads deeper than this are dropped from the store.
    pub finality_depth: u64,
    /// The checkpoint.
    pub stored: Option<Stored>,
    /// The highest block that was stored before the newest reorg.
    pub highest: u64,
    /// Looks at the next block that found no receipts.
    pub missing: u32,
    /// The shards have been told of a newest block.
    pub greeted: bool,
    /// Floors of a block that was taken back before it was stored.
    pub floors: Vec<(Address, u64)>,
    /// Height at which the node's block is known to be empty.
    pub empty: Option<u64>,
    /// Which of the node's tags are asked for.
    pub tags: Tags,
    /// Whether the node tells the transaction counts of old blocks.
    pub untold: Untold,
}

impl<R: Room> Follow<R> {
    /// Follows the chain until the engine stops.
    pub async fn run(mut self, blocks: impl BlockStore) {
        let mut follower = Follower::new(self.stored, self.highest, self.finality_depth);
        let mut by_hash = false;
        let mut told = None;
        loop {
            for (node, pause) in self.roster.take_shunned() {
                self.watch.tell(node, NodeEvent::Shunned(pause), self.room.now());
            }
            self.change_node(&mut by_hash, &blocks).await;
            let mut pause = Duration::ZERO;
            let round = self.round(&mut follower, &mut by_hash, &blocks).await;
            if let Err(Stop::Silent { pause: asked, .. }) = &round {
                pause = asked.unwrap_or_default();
            }
            let event = match &round {
                Ok(()) => Some(NodeEvent::Followed),
                Err(Stop::Silent { left_alone: true, .. }) => Some(NodeEvent::LeftAlone),
                Err(Stop::Silent { .. }) => Some(NodeEvent::Failed),
                Err(Stop::Later(_)) => Some(NodeEvent::Useless),
                Err(Stop::Ended) => None,
            };
            if let Some(event) = event {
                self.watch.tell(self.using, event, self.room.now());
            }
            let healthy = match round {
                Ok(()) => {
                    if self.status.set_trouble(None) {
                        tracing::info!("the node answers");
                    }
                    true
                }
                // What made it fail is known already, and says more.
                Err(Stop::Silent { left_alone: true, .. }) if told == Some(false) => false,
                Err(Stop::Later(trouble) | Stop::Silent { trouble, .. }) => {
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
            // Another node does not have to wait for the pause that this one asks for.
            let pause = if self.roster.current() == self.using { pause.max(self.interval(&follower, healthy)) } else { Duration::ZERO };
            within(&self.room, pause, self.bell.wait()).await;
        }
    }

    /// Pause before the next look. A head by WebSocket ends it; until what it told of has been read, the looks are as frequent as without.
    fn interval(&self, follower: &Follower, healthy: bool) -> Duration {
        let reached = follower.checkpoint().map_or(0, |stored| stored.number) >= self.told.number();
        if healthy && reached && follower.next().is_none() && self.roster.subscribed() { self.ws_poll_interval } else { self.poll_interval }
    }

    /// Everything up to the node's head.
    async fn round(&mut self, follower: &mut Follower, by_hash: &mut bool, blocks: &impl BlockStore) -> Result<(), Stop> {
        if self.watch.wants_chain(self.using) {
            self.learn_chain().await?;
        }
        // The node has named it, to the follower or to a probe.
        if let (None, Some(id)) = (self.status.chain_id(), self.watch.chain_id()) {
            tracing::info!(chain_id = id, "the node's chain");
            self.status.set_chain_id(id);
        }
        let mut word = self.look(follower).await?;
        let mut unjoined = None;
        while let Some(step) = follower.next() {
            match step {
                Step::Compare(number) => {
                    let known = word.take().filter(|(height, _)| *height == number);
                    if !self.compare(follower, number, known.map(|(_, hash)| hash), blocks).await? {
                        return Ok(());
                    }
                }
                Step::Read(number) => {
                    let Some(header) = self.block(number).await? else { return Ok(()) };
                    if follower.joins(&header) == Joined::No {
                        // Twice the same: the node contradicts itself, as one does whose parts are not in step. It is asked again later.
                        if unjoined.replace(number) == Some(number) {
                            return Ok(());
                        }
                    } else {
                        // A list that is shorter than the block is an index that lags, not the block's truth.
                        let whole = |list: &Vec<_>| list.len() == header.transactions.len() || sabotage::on(Sabotage::ShortReceiptsTrusted);
                        let receipts = self.receipts(&header, by_hash).await?.filter(whole);
                        let receipts =
                            if sabotage::on(Sabotage::NullReceiptsTrusted) { receipts.or_else(|| Some(Vec::new())) } else { receipts };
                        let Some(receipts) = receipts else { return self.receipts_missing(number, by_hash) };
                        self.missing = 0;
                        self.store(follower, &header, receipts, blocks).await?;
                        self.tags(follower).await?;
                    }
                }
            }
        }
        self.greet(follower, blocks).await;
        Ok(())
    }

    /// After a start: a checkpoint that is the node's head already is the newest block there is, and nobody else will say so.
    async fn greet(&mut self, follower: &Follower, blocks: &impl BlockStore) {
        let Some(Stored { number, .. }) = follower.checkpoint() else { return };
        if !std::mem::replace(&mut self.greeted, true) {
            self.status.set_head(number, true);
            blocks.tell(|| Event::BlockStored { number, newest: true }).await;
        }
    }

    pub(super) async fn block(&mut self, number: u64) -> Result<Option<Header>, Stop> {
        self.ask("eth_getBlockByNumber", &(U64::from(number), false)).await
    }

    /// Goes over to another node if one is to be used, and tells the shards to send it what is unconfirmed.
    async fn change_node(&mut self, by_hash: &mut bool, blocks: &impl BlockStore) {
        if !self.roster.switched_since(&mut self.switches) {
            return;
        }
        self.using = self.roster.current();
        self.lane = self.roster.lane(self.room.clone(), &self.gates, self.using);
        // What the other node could not do, this one may.
        *by_hash = false;
        self.missing = 0;
        self.empty = None;
        self.tags = Tags::default();
        self.untold = Untold::default();
        blocks.tell(|| Event::Switched).await;
    }

    /// The node names its chain before it is used for the first time, and each time it has come back.
    async fn learn_chain(&mut self) -> Result<(), Stop> {
        let id: u64 = self.ask::<U64>("eth_chainId", &[(); 0]).await?.to();
        self.watch.tell(self.using, NodeEvent::Chain(id), self.room.now());
        if let Some(expected) = self.watch.chain_id().filter(|expected| *expected != id) {
            return Err(Stop::Later(format!(
                "the node {} is on chain {id}, expected is chain {expected} (node.chain_id, or the chain of the first node): correct one of them",
                self.lane.endpoint()
            )));
        }
        Ok(())
    }

    pub(super) async fn ask<T: serde::de::DeserializeOwned>(&mut self, method: &str, params: &impl serde::Serialize) -> Result<T, Stop> {
        self.lane.call(method, params).await.map_err(|error| stopped(&error))
    }

    /// The block's receipts; `None` while the node does not know them.
    async fn receipts(&mut self, header: &Header, by_hash: &mut bool) -> Result<Option<Vec<SeenReceipt>>, Stop> {
        if *by_hash {
            return self.receipts_one_by_one(header).await;
        }
        // Decoded straight from the reply, which may be many MB: a copy of it would cost as much as reading it.
        match self.lane.call::<BlockReceipts>("eth_getBlockReceipts", &[header.hash]).await {
            Ok(receipts) => Ok(receipts.into_seen()),
            Err(CallError::Rejected { error, .. }) if error.code == METHOD_NOT_FOUND => {
                tracing::info!("the node has no eth_getBlockReceipts; receipts are read by transaction hash, in batches");
                *by_hash = true;
                self.receipts_one_by_one(header).await
            }
            // An error about one block is "not known yet" (row B4).
            Err(CallError::Rejected { .. }) => Ok(None),
            Err(error) => Err(stopped(&error)),
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
                End::BeforeSend(fault) | End::Ambiguous(fault) => return Err(unanswered("receipts", self.lane.endpoint(), &fault)),
            }
        }
        Ok(Some(receipts))
    }

    /// A block as it is stored, seen now.
    pub(super) fn head_row(&self, header: &Header) -> HeadRow {
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
        let authorizations = self.authorizations(header, &receipts).await?;
        let seen = SeenBlock { number: header.number, hash: header.hash, seen_at: head.seen_at, receipts, authorizations };
        let parts = route(seen, blocks.shards(), |address| blocks.shard_of(address));
        let mut effects = blocks.effects(parts).await.ok_or(Stop::Ended)?;
        match self.taken(header, &effects).await {
            Ok(taken) if taken.is_empty() => {}
            Ok(taken) => effects.extend(blocks.rivals(header.number, header.hash, taken).await.ok_or(Stop::Ended)?),
            Err(stop) => {
                // The block is not stored: the shards take it back and get it again, with the floors that they have given already.
                self.floors.extend(effects.into_iter().flat_map(|part| part.floors));
                blocks.rewind(header.number.saturating_sub(1)).await.ok_or(Stop::Ended)?;
                return Err(stop);
            }
        }
        point::reached(Point::MinedUnseen);
        if sabotage::on(Sabotage::CheckpointBeforeEffects) {
            let record = block_record(header.number, head, Vec::new(), Vec::new(), self.finality_depth);
            blocks.store(record).await.ok_or(Stop::Ended)?;
        }
        let earlier_floors = std::mem::take(&mut self.floors);
        let record = block_record(header.number, head, effects, earlier_floors, self.finality_depth);
        blocks.store(record).await.ok_or(Stop::Ended)?;
        let newest = follower.stored(Stored { number: header.number, hash: header.hash });
        self.greeted |= newest;
        self.status.set_head(header.number, newest);
        blocks.tell(|| Event::BlockStored { number: header.number, newest }).await;
        Ok(())
    }
}

fn stopped(error: &CallError) -> Stop {
    match error {
        CallError::Unanswered { fault, retry_after, .. } => silent(error.to_string(), *retry_after, fault),
        CallError::Rejected { .. } | CallError::Unreadable { .. } => Stop::of(error.to_string()),
    }
}

pub(super) fn unanswered(what: &str, endpoint: &Endpoint, fault: &Fault) -> Stop {
    silent(format!("{what} at {endpoint} has no answer: {fault}"), fault.retry_after(), fault)
}

fn silent(trouble: String, pause: Option<Duration>, fault: &Fault) -> Stop {
    let left_alone = matches!(fault, Fault::Open { .. }) || pause.is_some_and(|pause| pause >= FAILING_FOR);
    Stop::Silent { trouble, pause, left_alone }
}

/// Splits what was seen in a block by the shard of the sender.
#[must_use]
pub fn route(seen: SeenBlock, shards: usize, shard_of: impl Fn(&Address) -> usize) -> Vec<SeenBlock> {
    let SeenBlock { number, hash, seen_at, receipts, authorizations } = seen;
    let empty = SeenBlock { number, hash, seen_at, receipts: Vec::new(), authorizations: Vec::new() };
    let mut parts = vec![empty; shards];
    for receipt in receipts {
        parts[shard_of(&receipt.from)].receipts.push(receipt);
    }
    for seen in authorizations {
        parts[shard_of(&seen.address)].authorizations.push(seen);
    }
    parts
}

/// Everyone's effects and the checkpoint, as one record. `floors` are older than those of the effects, which win where both name one.
fn block_record(number: u64, head: HeadRow, effects: Vec<BlockEffects>, mut floors: Vec<(Address, u64)>, finality_depth: u64) -> Record {
    let (mut receipts, mut rivals) = (Vec::new(), Vec::new());
    for part in effects {
        receipts.extend(part.receipts);
        rivals.extend(part.rivals);
        floors.extend(part.floors);
    }
    // Receipts are written in the order of their ids: a put in order costs a third of one at random.
    receipts.sort_unstable_by_key(|receipt| receipt.0);
    let prune_heads_below = number.checked_sub(2 * finality_depth);
    Record::Block { number, head, receipts, rivals, floors, prune_heads_below }
}

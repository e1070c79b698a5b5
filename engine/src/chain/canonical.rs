//! The node's word about a height: which block is canonical there, and what follows if that is not ours (row B1).
//!
//! A block may list 16,000 transactions, and its height is looked at ten times a second. Its first transaction alone names the
//! block's hash, too; only where that is null (the block is empty, or gone) the block itself is asked for, which is short then.

use alloy::primitives::{B256, U64};
use netio::{Calls, End, Room};
use serde::Deserialize;
use storage::Record;

use super::decode::Header;
use super::follow::{BlockStore, Follow, Stop, unanswered};
use super::follower::{Follower, Stored, Word};
use super::nodes::NodeEvent;

/// What is needed of a transaction in a block.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InBlock {
    #[serde(default)]
    block_hash: Option<B256>,
    #[serde(default)]
    block_number: Option<U64>,
}

/// Number and hash of the block that a transaction is in, from the result of `eth_getTransactionByBlockNumberAndIndex`.
pub(super) fn place(json: &str) -> Option<(u64, B256)> {
    let transaction: Option<InBlock> = serde_json::from_str(json).ok()?;
    transaction.and_then(|transaction| Some((transaction.block_number?.to(), transaction.block_hash?)))
}

impl<R: Room> Follow<R> {
    /// The node's head, told to the follower, and its hash at our newest height where it is known without a further question.
    pub(super) async fn look(&mut self, follower: &mut Follower) -> Result<Option<(u64, B256)>, Stop> {
        let mut calls = Calls::new();
        calls.push("eth_blockNumber", &[(); 0]);
        let ours = follower.checkpoint();
        let empty = ours.is_some_and(|ours| self.empty == Some(ours.number));
        if let Some(Stored { number, .. }) = ours {
            if empty {
                calls.push("eth_getBlockByNumber", &(U64::from(number), false));
            } else {
                calls.push("eth_getTransactionByBlockNumberAndIndex", &(U64::from(number), U64::ZERO));
            }
        }
        let exchange = self.lane.exchange(&calls).await;
        let mut ends = exchange.ends.into_iter();
        let head: U64 = match ends.next() {
            Some(End::Answered(Ok(json))) => serde_json::from_str(json.get())
                .map_err(|error| Stop::of(format!("eth_blockNumber at {} cannot be read: {error}", self.lane.endpoint())))?,
            Some(End::Answered(Err(error))) => {
                let trouble = format!("eth_blockNumber at {} was refused: {error}", self.lane.endpoint());
                return Err(Stop::Silent { trouble, pause: exchange.retry_after, left_alone: false });
            }
            Some(End::BeforeSend(fault) | End::Ambiguous(fault)) => {
                return Err(unanswered("eth_blockNumber", self.lane.endpoint(), &fault));
            }
            None => return Ok(None),
        };
        let head: u64 = head.to();
        let word = match ends.next() {
            Some(End::Answered(Ok(json))) if empty => {
                let header: Option<Header> = serde_json::from_str(json.get()).unwrap_or_default();
                header.map(|header| (header.number, header.hash))
            }
            Some(End::Answered(Ok(json))) => place(json.get()),
            // A node that does not answer this is asked for the block, when it is needed.
            Some(_) | None => None,
        };
        if let (None, Some(ours)) = (word, ours.filter(|ours| ours.number <= head)) {
            self.empty = Some(ours.number);
        }
        self.watch.tell(self.using, NodeEvent::Head(head), self.room.now());
        follower.head(head);
        // Another block at our height is news even where the head is higher.
        if word.zip(ours).is_some_and(|((_, node), ours)| node != ours.hash) {
            follower.doubt();
        }
        Ok(word)
    }

    /// Compares the node's chain with the stored one at this height. False if the node does not tell its block there.
    pub(super) async fn compare(
        &mut self,
        follower: &mut Follower,
        number: u64,
        known: Option<B256>,
        blocks: &impl BlockStore,
    ) -> Result<bool, Stop> {
        let node = match known {
            Some(hash) => hash,
            None => match self.hash_at(number).await? {
                Some(hash) => hash,
                None => return Ok(false),
            },
        };
        let stored = match follower.checkpoint() {
            Some(newest) if newest.number == number => Some(newest.hash),
            _ => blocks.head(number).await.ok_or(Stop::Ended)?,
        };
        match follower.word(number, node, stored) {
            // The next block did not join, and yet its parent is ours: the node has changed its mind in between.
            Word::GoOn => Ok(true),
            Word::Common(number) => self.rewind(follower, Stored { number, hash: node }, blocks).await,
            Word::Final(lowest) => Err(Stop::Later(format!(
                "the chain of {} and the stored one differ from block {lowest} on, which is final (finality_depth = {}, finalized block {}): this is another chain, or finality_depth is too small",
                self.lane.endpoint(),
                self.finality_depth,
                self.status.finalized(),
            ))),
        }
    }

    /// The node's hash at a height; `None` where it has no block there.
    async fn hash_at(&mut self, number: u64) -> Result<Option<B256>, Stop> {
        if self.empty != Some(number) {
            let params = (U64::from(number), U64::ZERO);
            let first: Option<InBlock> = self.ask("eth_getTransactionByBlockNumberAndIndex", &params).await.unwrap_or_default();
            if let Some(hash) = first.and_then(|first| first.block_hash) {
                return Ok(Some(hash));
            }
        }
        Ok(self.block(number).await?.map(|header| header.hash))
    }

    /// Both chains share this block: takes back what came behind it. False if the node has moved on meanwhile.
    async fn rewind(&mut self, follower: &mut Follower, common: Stored, blocks: &impl BlockStore) -> Result<bool, Stop> {
        let Some(from) = follower.checkpoint() else { return Ok(false) };
        let Some(header) = self.block(common.number).await?.filter(|header| header.hash == common.hash) else { return Ok(false) };
        tracing::warn!(from = from.number, to = common.number, "the chain was reorganised");
        let effects = blocks.rewind(common.number).await.ok_or(Stop::Ended)?;
        let (mut undone, mut rivals) = (Vec::new(), Vec::new());
        for part in effects {
            undone.extend(part.undone);
            rivals.extend(part.undone_rivals);
        }
        let orphans = blocks.receipts(undone).await.ok_or(Stop::Ended)?;
        let head = self.head_row(&header);
        let record = Record::Rewind { to: common.number, head, from: from.number, highest: follower.highest(), orphans, rivals };
        blocks.store(record).await.ok_or(Stop::Ended)?;
        follower.rewound(common);
        self.status.set_head(common.number, false);
        Ok(true)
    }
}

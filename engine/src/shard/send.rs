//! The requests of a shard that carry transactions: one at a time on each lane, to the node that is used (rows A12, E2).
//!
//! ```text
//!   Send      ─────────────────────────────► calls ─┐
//!   SendBlobs ─► blobs read from disk ─────► calls ─┼─► lane ─► node ─► an end for each ─► home, and the lane with it
//!                   └─ cannot be read: nothing sent ┘
//! ```
//!
//! **How it fails.** What a node took that is no longer used says nothing about the one that is: the end is then that it may have been
//! taken. Blobs go alone, and what has no answer then may be too large for a proxy, or cannot be read: that is left open, and is no fault
//! of the lane.

use alloy::primitives::Bytes;
use netio::{Calls, Lane, Room};
use storage::{Store, StoreError, read};
use uuid::Uuid;

use super::copies::Copies;
use super::ended::ended;
use super::inbox::Inbox;
use super::run::{Home, ShardParts};
use crate::blobs::{empty_sidecar, is_empty, pooled};
use crate::chain::{Gates, Roster};
use crate::metrics::Metrics;
use crate::readers::Readers;
use crate::txmgr::{Event, SendEnd, Slot};

/// A lane that is in use, or comes back from it.
pub(super) struct UsedLane<R: Room> {
    number: usize,
    /// Where it leads to.
    node: usize,
    lane: Lane<R>,
}

/// The lanes of a shard.
pub(super) struct Sends<R: Room, S: Store> {
    room: R,
    roster: Roster,
    gates: Gates,
    /// None while a request is under way.
    lanes: Vec<Option<UsedLane<R>>>,
    copies: Option<Copies>,
    readers: Readers<S>,
    blob_cells: bool,
    metrics: Metrics,
    home: Inbox<Home<R>>,
}

impl<R: Room, S: Store> Sends<R, S> {
    /// As many lanes as the settings say; each connects when it has something to send.
    pub(super) fn new(room: &R, parts: &ShardParts<S>, gates: Gates, home: &Inbox<Home<R>>) -> Self {
        let lane = |number| Some(UsedLane { number, node: 0, lane: parts.roster.lane(room.clone(), &gates, 0) });
        Self {
            lanes: (0..parts.settings.lanes).map(lane).collect(),
            copies: parts.send_to_all.then(|| Copies::new(room, &parts.roster, &gates, &parts.metrics)),
            room: room.clone(),
            roster: parts.roster.clone(),
            gates,
            readers: parts.readers.clone(),
            blob_cells: parts.blob_cells,
            metrics: parts.metrics.clone(),
            home: home.clone(),
        }
    }

    /// A request has ended: its lane is free again.
    pub(super) fn back(&mut self, lane: UsedLane<R>) {
        let number = lane.number;
        self.lanes[number] = Some(lane);
    }

    /// Sends these in one request, in order.
    pub(super) fn send(&mut self, lane: usize, attempts: Vec<(Slot, Bytes)>) {
        let used = self.take(lane, attempts.len());
        if let Some(copies) = &self.copies {
            copies.send(used.node, &attempts);
        }
        let (roster, home) = (self.roster.clone(), self.home.clone());
        self.room.spawn(async move {
            let mut calls = Calls::new();
            for (_, raw) in &attempts {
                calls.push_raw_transaction(raw);
            }
            exchange(used, &roster, &home, &calls, attempts, |end| end).await;
        });
    }

    /// Reads the blobs of one transaction and sends it with them, by itself. Where they cannot be read nothing is sent.
    pub(super) fn send_blobs(&mut self, lane: usize, slot: Slot, id: Uuid, raw: Bytes) {
        let used = self.take(lane, 1);
        let (roster, home, copies) = (self.roster.clone(), self.home.clone(), self.copies.clone());
        let (readers, cells) = (self.readers.clone(), self.blob_cells);
        self.room.spawn(async move {
            let mut calls = Calls::new();
            match whole(&readers, id, raw.clone(), cells).await {
                Some(pooled) => {
                    calls.push_raw_transaction(&pooled);
                    if let Some(copies) = &copies {
                        copies.send(used.node, &[(slot, pooled)]);
                    }
                }
                None => {
                    let event = Event::Sent { lane: used.number, ends: vec![(slot, SendEnd::LeftOpen)], pause: None };
                    home.push(Home::Sent(used, event));
                    return;
                }
            }
            let left_open = |end| if matches!(end, SendEnd::Answered(..)) { end } else { SendEnd::LeftOpen };
            exchange(used, &roster, &home, &calls, vec![(slot, raw)], left_open).await;
        });
    }

    /// A lane that is free, to the node that is used now.
    fn take(&mut self, lane: usize, attempts: usize) -> UsedLane<R> {
        let mut used = self.lanes[lane].take().expect("the manager sends on free lanes only");
        let current = self.roster.current();
        if std::mem::replace(&mut used.node, current) != current {
            used.lane = self.roster.lane(self.room.clone(), &self.gates, current);
        }
        self.metrics.attempts_sent.increment(attempts as u64);
        used
    }
}

/// Sends the calls and brings home how each of the attempts ended, through `end`, and the lane.
async fn exchange<R: Room>(
    mut used: UsedLane<R>,
    roster: &Roster,
    home: &Inbox<Home<R>>,
    calls: &Calls,
    attempts: Vec<(Slot, Bytes)>,
    end: impl Fn(SendEnd) -> SendEnd,
) {
    let exchange = used.lane.exchange(calls).await;
    roster.shun(used.node, exchange.retry_after.unwrap_or_default());
    let left = roster.current() != used.node;
    let ends = attempts.iter().zip(exchange.ends).map(|((slot, raw), answer)| {
        let answer = ended(raw, answer);
        (*slot, end(if left { SendEnd::Ambiguous } else { answer }))
    });
    // The node that is used is not meant by the pause of one that was left.
    let event = Event::Sent { lane: used.number, ends: ends.collect(), pause: exchange.retry_after.filter(|_| !left) };
    home.push(Home::Sent(used, event));
}

/// One with its blobs as pools take it; `None` where they cannot be read.
async fn whole<S: Store>(readers: &Readers<S>, id: Uuid, raw: Bytes, cells: bool) -> Option<Bytes> {
    let read = readers.run(move |store| {
        // What closes a nonce carries a blob that nobody has to keep.
        let sidecar = if is_empty(&raw) { Some(empty_sidecar(cells)) } else { read::sidecar(store, id)? };
        Ok::<_, StoreError>(sidecar.and_then(|sidecar| pooled(&raw, &sidecar)))
    });
    match read.await {
        Ok(Ok(Some(pooled))) => Some(pooled),
        Ok(Ok(None)) => {
            tracing::error!(%id, "the blobs of the transaction are not on disk, so it cannot be sent; trying again");
            None
        }
        Ok(Err(error)) => {
            tracing::error!(%id, %error, "the blobs of the transaction cannot be read; trying again");
            None
        }
        Err(_) => None,
    }
}

//! Copies of what is sent, for the healthy nodes besides the current one (`node.send_to_all`): they bring a transaction to more of the
//! network at once. What they answer decides nothing. A node that takes them too slowly, or is left alone, loses copies, not transactions.

use alloy::primitives::Bytes;
use netio::{Bell, Calls, End, Lane, Room};

use super::inbox::Inbox;
use crate::chain::{Gates, Roster};
use crate::metrics::Metrics;
use crate::txmgr::Slot;

/// Requests that may wait for one node.
const WAITING: usize = 16;

/// The way of one shard to the other nodes. Clones lead there too.
#[derive(Clone)]
pub(super) struct Copies {
    nodes: Vec<Inbox<Vec<Bytes>>>,
    roster: Roster,
    metrics: Metrics,
}

impl Copies {
    /// A task for every node; it connects when there is something to copy.
    pub(super) fn new<R: Room>(room: &R, roster: &Roster, gates: &Gates, metrics: &Metrics) -> Self {
        let nodes = (0..roster.len())
            .map(|node| {
                let bell = Bell::new();
                let inbox = Inbox::new(bell.clone());
                let lane = roster.lane(room.clone(), gates, node);
                room.spawn(copy(room.clone(), lane, inbox.clone(), bell, metrics.clone()));
                inbox
            })
            .collect();
        Self { nodes, roster: roster.clone(), metrics: metrics.clone() }
    }

    /// Copies these to every healthy node besides `current`.
    pub(super) fn send(&self, current: usize, raw: &[(Slot, Bytes)]) {
        for node in self.roster.healthy_besides(current) {
            if self.nodes[node].len() < WAITING {
                self.nodes[node].push(raw.iter().map(|(_, raw)| raw.clone()).collect());
            } else {
                self.metrics.copies_dropped.increment(raw.len() as u64);
            }
        }
    }
}

async fn copy<R: Room>(room: R, mut lane: Lane<R>, inbox: Inbox<Vec<Bytes>>, bell: Bell, metrics: Metrics) {
    loop {
        bell.wait().await;
        while let Some(batch) = inbox.pop() {
            let mut calls = Calls::new();
            batch.iter().for_each(|raw| calls.push_raw_transaction(raw));
            let exchange = lane.exchange(&calls).await;
            let unsent = exchange.ends.iter().filter(|end| matches!(end, End::BeforeSend(_))).count();
            metrics.copies_sent.increment((batch.len() - unsent) as u64);
            metrics.copies_dropped.increment(unsent as u64);
            if let Some(pause) = exchange.retry_after {
                room.sleep(pause).await;
            }
        }
    }
}

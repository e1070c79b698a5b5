//! What only shard 0 does: it follows the chain, watches the nodes, and feeds gas prices to all.

use std::sync::Arc;
use std::time::Duration;

use netio::{Bell, Endpoint, Room};
use storage::Store;

use super::blocks::Blocks;
use super::inbox::Inbox;
use super::mailbox::Mailbox;
use super::price::Feed;
use super::run::{Home, ShardParts};
use crate::chain::{ChainStatus, Follow, Gates, Nodes, Stored, Subscription, Tags, Told, Untold, Watch};

/// What the follower needs; given to shard 0.
pub struct FollowParts {
    /// Every shard's mailbox, in order.
    pub mailboxes: Vec<Mailbox>,
    /// Where it tells what it knows.
    pub status: Arc<ChainStatus>,
    /// Which node is used.
    pub nodes: Nodes,
    /// Pause between two looks at the head.
    pub poll_interval: Duration,
    /// Such a pause while heads come by WebSocket.
    pub ws_poll_interval: Duration,
    /// Pause between two looks at a node that is not used now.
    pub probe_interval: Duration,
    /// The checkpoint.
    pub stored: Option<Stored>,
    /// The highest block that was stored before the newest reorg.
    pub highest: u64,
    /// The HTTP oracle of gas prices.
    pub oracle: Option<Arc<Endpoint>>,
}

impl FollowParts {
    /// Starts the tasks; they end with the room.
    pub(super) fn start<R: Room, S: Store>(self, room: &R, parts: &ShardParts<S>, gates: &Gates, home: &Inbox<Home<R>>) {
        let feed = Feed::new(room.clone(), parts.roster.clone(), gates.clone(), parts.settings.gas.clone(), self.oracle);
        room.spawn(feed.run(parts.prices.clone(), self.mailboxes.clone()));
        let blocks = Blocks { mailboxes: self.mailboxes, home: home.clone(), readers: parts.readers.clone(), room: room.clone() };
        let bell = Bell::new();
        let watch = Watch::new(self.nodes, parts.roster.clone(), bell.clone());
        if parts.roster.len() > 1 {
            for node in 0..parts.roster.len() {
                room.spawn(watch.clone().probe(room.clone(), gates.clone(), node, self.probe_interval));
            }
        }
        let told = Told::default();
        if (0..parts.roster.len()).any(|node| parts.roster.heads(node).is_some()) {
            let subscription = Subscription {
                room: room.clone(),
                roster: parts.roster.clone(),
                bell: bell.clone(),
                told: told.clone(),
                look_interval: self.probe_interval,
            };
            room.spawn(subscription.run());
        }
        let using = parts.roster.current();
        let follower = Follow {
            lane: parts.roster.lane(room.clone(), gates, using),
            roster: parts.roster.clone(),
            gates: gates.clone(),
            watch,
            bell,
            using,
            switches: parts.roster.switches(),
            room: room.clone(),
            status: self.status,
            poll_interval: self.poll_interval,
            ws_poll_interval: self.ws_poll_interval,
            told,
            finality_depth: parts.settings.txmgr.finality_depth,
            stored: self.stored,
            highest: self.highest,
            missing: 0,
            greeted: false,
            floors: Vec::new(),
            empty: None,
            tags: Tags::default(),
            untold: Untold::default(),
        };
        room.spawn(follower.run(blocks));
    }
}

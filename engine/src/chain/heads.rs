//! Heads by WebSocket: each one that the node tells of wakes the follower at once (row B1).
//!
//! ```text
//!   subscribe at the node that is used ─► head ─► bell ─► the follower looks
//!        ▲                                 │ cut, silent, or another node is used
//!        └────── pause, longer each time ◄─┘  meanwhile the follower polls as often as without a subscription
//! ```
//!
//! A head is a ring and nothing more: what the follower stores it has asked for itself, so a head that is lost, late or of another
//! branch does no harm. While the subscription lives the follower polls at a safety interval only.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use alloy::primitives::U64;
use netio::{Bell, Fault, Room, subscribe_heads, within};
use serde::Deserialize;

use super::roster::Roster;

/// Silence after which a subscription counts as lost. The connection is asked for a sign of life at half of that.
const SILENCE: Duration = Duration::from_secs(10);
/// First pause before the subscription is asked for again; it doubles each time.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The newest head that a node has told of, for the follower. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Told(Rc<Cell<u64>>);

impl Told {
    /// Its number; 0 before the first one.
    pub(super) fn number(&self) -> u64 {
        self.0.get()
    }
}

/// What is needed of a head.
#[derive(Deserialize)]
struct Head {
    number: U64,
}

/// The subscription's parts.
pub struct Subscription<R: Room> {
    /// Its room.
    pub room: R,
    /// The nodes.
    pub roster: Roster,
    /// Rung for each head.
    pub bell: Bell,
    /// The newest head, for the follower.
    pub told: Told,
    /// How often it looks whether another node is used.
    pub look_interval: Duration,
}

impl<R: Room> Subscription<R> {
    /// Subscribes, and again when that ends, until the engine stops.
    pub async fn run(self) {
        let mut pause = PAUSE_MIN;
        loop {
            let node = self.roster.current();
            let Some(endpoint) = self.roster.heads(node) else {
                // This node has no WebSocket: another one may.
                self.room.sleep(self.look_interval).await;
                continue;
            };
            let fault = match self.follow(node, &mut pause).await {
                Ok(()) => continue,
                Err(fault) => fault,
            };
            self.roster.note_cut();
            tracing::warn!(node = %endpoint, %fault, pause_ms = pause.as_millis(), "no heads by WebSocket; the head is polled meanwhile");
            self.room.sleep(pause).await;
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }

    /// Rings for each head, until the subscription is lost or another node is used.
    async fn follow(&self, node: usize, pause: &mut Duration) -> Result<(), Fault> {
        let Some(endpoint) = self.roster.heads(node) else { return Ok(()) };
        let mut heads = subscribe_heads(&self.room, endpoint, self.roster.limits()).await?;
        tracing::info!(node = %endpoint, "heads come by WebSocket");
        let _alive = Alive::new(self);
        while self.roster.current() == node {
            let Some(head) = within(&self.room, self.look_interval, heads.next(SILENCE)).await else { continue };
            let head: Head = serde_json::from_str(head?.get()).map_err(|error| Fault::Malformed(format!("a head: {error}")))?;
            *pause = PAUSE_MIN;
            self.told.0.set(head.number.to());
            self.roster.note_head();
            self.bell.ring();
        }
        Ok(())
    }
}

/// A living subscription; however it ends, the follower looks for itself from then on.
struct Alive<'a, R: Room>(&'a Subscription<R>);

impl<'a, R: Room> Alive<'a, R> {
    fn new(subscription: &'a Subscription<R>) -> Self {
        subscription.roster.set_subscribed(true);
        subscription.bell.ring();
        Self(subscription)
    }
}

impl<R: Room> Drop for Alive<'_, R> {
    fn drop(&mut self) {
        self.0.told.0.set(0);
        self.0.roster.set_subscribed(false);
        self.0.bell.ring();
    }
}

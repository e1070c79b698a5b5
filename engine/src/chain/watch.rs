//! Watching the nodes: what the follower and the probes find goes to [`Nodes`], and what that decides to the [`Roster`].

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use alloy::primitives::U64;
use netio::{Bell, Calls, End, Exchange, Room};

use super::nodes::{Health, NodeAction, NodeEvent, Nodes};
use super::roster::{Gates, Roster};

/// Shard 0's hold on the nodes. Clones are the same one.
#[derive(Clone)]
pub struct Watch {
    nodes: Rc<RefCell<Nodes>>,
    roster: Roster,
    /// Wakes the follower.
    bell: Bell,
}

impl Watch {
    /// Decides by `nodes`, tells `roster`, and rings when another node is to be used.
    #[must_use]
    pub fn new(nodes: Nodes, roster: Roster, bell: Bell) -> Self {
        roster.listen(bell.clone());
        Self { nodes: Rc::new(RefCell::new(nodes)), roster, bell }
    }

    /// Whether a node has to name its chain before it is used.
    pub(super) fn wants_chain(&self, node: usize) -> bool {
        self.nodes.borrow().wants_chain(node)
    }

    /// The chain that all have to be on, once that is known.
    pub(super) fn chain_id(&self) -> Option<u64> {
        self.nodes.borrow().chain_id()
    }

    /// Takes in what a node did.
    pub(super) fn tell(&self, node: usize, event: NodeEvent, now: Duration) {
        let mut actions = Vec::new();
        self.nodes.borrow_mut().handle(node, event, now, &mut actions);
        for action in actions {
            match action {
                NodeAction::Use(node) => {
                    let (from, to) = (self.roster.endpoint(self.roster.current()), self.roster.endpoint(node));
                    tracing::warn!(%from, %to, "another node is used from now on");
                    self.roster.set_current(node);
                    self.bell.ring();
                }
                NodeAction::Changed(node, health) => self.changed(node, health),
            }
        }
    }

    fn changed(&self, node: usize, health: Health) {
        let endpoint = self.roster.endpoint(node);
        self.roster.set_health(node, health);
        match health {
            Health::Quarantined(chain_id) => {
                tracing::error!(node = %endpoint, chain_id, "the node is on another chain; it is not used");
            }
            Health::Failing => tracing::warn!(node = %endpoint, "the node does not answer"),
            Health::Lagging => tracing::warn!(node = %endpoint, "the node's head is behind that of the others"),
            Health::Healthy => tracing::info!(node = %endpoint, "the node is healthy"),
            Health::Unknown => {}
        }
    }

    /// Asks a node for its head at intervals while another one is used, and for its chain when it has not told it.
    pub async fn probe<R: Room>(self, room: R, gates: Gates, node: usize, interval: Duration) {
        let mut lane = self.roster.lane(room.clone(), &gates, node);
        loop {
            if self.roster.current() != node {
                let mut calls = Calls::new();
                calls.push("eth_blockNumber", &[(); 0]);
                if self.wants_chain(node) {
                    calls.push("eth_chainId", &[(); 0]);
                }
                let exchange = lane.exchange(&calls).await;
                let pause = exchange.retry_after.unwrap_or_default();
                self.probed(node, exchange, room.now());
                room.sleep(pause.saturating_sub(interval)).await;
            }
            room.sleep(interval).await;
        }
    }

    fn probed(&self, node: usize, exchange: Exchange, now: Duration) {
        let mut numbers = exchange.ends.into_iter().map(|end| match end {
            End::Answered(Ok(json)) => serde_json::from_str::<U64>(json.get()).ok().map(|number| number.to::<u64>()),
            End::Answered(Err(_)) | End::BeforeSend(_) | End::Ambiguous(_) => None,
        });
        let (head, chain) = (numbers.next().flatten(), numbers.next());
        match (head, chain) {
            (None, _) | (_, Some(None)) => self.tell(node, NodeEvent::Failed, now),
            (Some(head), chain) => {
                if let Some(Some(id)) = chain {
                    self.tell(node, NodeEvent::Chain(id), now);
                }
                self.tell(node, NodeEvent::Head(head), now);
            }
        }
    }
}

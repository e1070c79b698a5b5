//! What the connections of a node share.

use std::{cell::RefCell, rc::Rc, time::Duration};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use tokio::{
    sync::{broadcast, watch},
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{
    service::{Outcome, Service, Sockets},
    ws,
};
use crate::{Config, Node, chain::SharedBlock, rpc::Session};

/// Heads that a slow subscriber may be behind before its connection is closed, as geth closes it.
const HEADS_BEHIND_MAX: usize = 4_096;

/// The node and what connects it to the sockets. Belongs to one thread.
#[derive(Debug)]
pub(super) struct Shared {
    node: RefCell<Node>,
    heads: broadcast::Sender<SharedBlock>,
    block_time: watch::Sender<Duration>,
    sockets: Sockets,
    max_body_bytes: usize,
}

impl Shared {
    pub(super) fn new(node: Node, config: &Config) -> Self {
        Self {
            node: RefCell::new(node),
            heads: broadcast::Sender::new(HEADS_BEHIND_MAX),
            block_time: watch::Sender::new(config.block_time),
            sockets: Sockets::default(),
            max_body_bytes: config.max_body_bytes,
        }
    }

    /// The blocks sealed from now on.
    pub(super) fn heads(&self) -> broadcast::Receiver<SharedBlock> {
        self.heads.subscribe()
    }

    /// Answers a request, unless a fault strikes it.
    pub(super) async fn process(&self, body: &[u8], session: Option<&mut Session>) -> Outcome {
        let strike = self.node.borrow_mut().strike(body);
        let effect = async {
            let reply = match session {
                Some(session) => self.node.borrow_mut().respond_in(body, session),
                None => self.node.borrow_mut().respond(body),
            };
            self.settle();
            Outcome::Json(reply.unwrap_or_default().into())
        };
        self.sockets.pass(strike, effect).await
    }

    /// Seals blocks by the block time, for ever. Nothing is sealed while it is zero.
    pub(super) async fn seal_by_time(&self) {
        let mut setting = self.block_time.subscribe();
        loop {
            let time = *setting.borrow_and_update();
            if time.is_zero() {
                setting.changed().await.expect("the sender lives as long as this");
                continue;
            }
            let mut ticks = interval_at(Instant::now() + time, time);
            // A late block does not make the next ones hurry.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !setting.has_changed().expect("the sender lives as long as this") {
                tokio::select! {
                    _ = ticks.tick() => {
                        self.node.borrow_mut().seal();
                        self.settle();
                    }
                    _ = setting.changed() => break,
                }
            }
        }
    }

    /// Tells subscribers of new blocks and carries out what the request asked of the server.
    fn settle(&self) {
        let (news, errands) = {
            let mut node = self.node.borrow_mut();
            (node.take_news(), std::mem::take(&mut node.errands))
        };
        for block in news {
            // Fails only when nobody listens.
            let _ = self.heads.send(block);
        }
        if let Some(ms) = errands.block_time_ms {
            self.block_time.send_replace(Duration::from_millis(ms));
        }
        self.sockets.run(errands.sockets);
    }
}

impl Service for Shared {
    fn max_body_bytes(&self) -> usize {
        self.max_body_bytes
    }

    fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    async fn answer(&self, body: Bytes) -> Outcome {
        self.process(&body, None).await
    }

    async fn converse(self: Rc<Self>, upgraded: Upgraded) {
        ws::serve(upgraded, &self).await;
    }
}

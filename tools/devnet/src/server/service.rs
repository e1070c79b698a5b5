//! What stands behind the sockets: a dev chain, or a proxy in front of another node.

use std::{rc::Rc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, upgrade::Upgraded};
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

use crate::{
    faults::{Strike, When},
    tricks::SocketErrand,
};

/// An HTTP response.
pub(crate) type Reply = Response<Full<Bytes>>;

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The JSON to answer; empty when nothing was asked.
    Json(Bytes),
    /// Another node's response that is not to be understood as JSON-RPC.
    Foreign(Box<Reply>),
    /// The connection is to be closed without a reply.
    Cut,
    /// Refused, to be tried again after so many seconds.
    TooManyRequests(u64),
}

/// What the sockets serve. Belongs to one thread.
pub(crate) trait Service: 'static {
    /// Largest body or message taken, in bytes.
    fn max_body_bytes(&self) -> usize;

    /// The state of the sockets.
    fn sockets(&self) -> &Sockets;

    /// Answers a request or a batch that came by HTTP.
    async fn answer(&self, body: Bytes) -> Outcome;

    /// Serves a WebSocket until it ends.
    async fn converse(self: Rc<Self>, upgraded: Upgraded);
}

/// What a test can do to the sockets: held replies and WebSockets that are not allowed.
#[derive(Debug)]
pub(crate) struct Sockets {
    held: Notify,
    websockets: watch::Sender<bool>,
}

impl Default for Sockets {
    fn default() -> Self {
        Self { held: Notify::new(), websockets: watch::Sender::new(true) }
    }
}

impl Sockets {
    /// Carries out what a control call asked for.
    pub(crate) fn run(&self, errand: SocketErrand) {
        if errand.release_held {
            self.held.notify_waiters();
        }
        if let Some(allowed) = errand.websockets {
            self.websockets.send_replace(allowed);
        }
    }

    /// Whether a new WebSocket is taken.
    pub(crate) fn takes_websockets(&self) -> bool {
        *self.websockets.borrow()
    }

    /// Ready once WebSockets are cut.
    pub(crate) async fn websockets_cut(&self) {
        let mut allowed = self.websockets.subscribe();
        // Fails only when the sender is gone, which `self` holds.
        let _ = allowed.wait_for(|allowed| !allowed).await;
    }

    /// Lets a request take effect, unless and until its fault says otherwise.
    pub(crate) async fn pass(&self, strike: Option<Strike>, effect: impl Future<Output = Outcome>) -> Outcome {
        match strike {
            Some(Strike::Cut(When::Before)) => return Outcome::Cut,
            Some(Strike::TooManyRequests(seconds)) => return Outcome::TooManyRequests(seconds),
            Some(Strike::Hold(When::Before, time)) => self.hold(time).await,
            _ => {}
        }
        let outcome = effect.await;
        match strike {
            Some(Strike::Cut(When::After)) => return Outcome::Cut,
            Some(Strike::Hold(When::After, time)) => self.hold(time).await,
            _ => {}
        }
        outcome
    }

    async fn hold(&self, time: Duration) {
        tokio::select! {
            () = sleep(time) => {}
            () = self.held.notified() => {}
        }
    }
}

//! What is passed on to the node that is used now: single calls over a bounded number of kept connections.
//!
//! **How it fails.** The node's error is handed on. Without an answer the call ends as an error that says so, and whether it may have taken
//! effect; it is not tried again, since only its caller knows what that means. While all connections are taken a call waits its turn, and not
//! longer than [`WAIT`].

use std::cell::RefCell;
use std::time::Duration;

use netio::{Calls, End, Fault, Lane, Room};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::{INTERNAL, READ_RETRY_MS, RpcError};
use crate::chain::{Gates, Roster};

/// How long a call waits for a connection: about as long as clients wait for an answer.
const WAIT: Duration = Duration::from_secs(30);

/// Connections to the nodes.
pub(crate) struct Upstream<R: Room> {
    pub(crate) room: R,
    pub(crate) roster: Roster,
    gates: Gates,
    /// The ones that are free, and the node each leads to.
    idle: RefCell<Vec<(usize, Lane<R>)>>,
    permits: Semaphore,
}

impl<R: Room> Upstream<R> {
    /// At most so many connections.
    pub(crate) fn new(room: R, roster: Roster, connections: usize) -> Self {
        let gates = roster.gates();
        Self { room, roster, gates, idle: RefCell::default(), permits: Semaphore::new(connections) }
    }

    /// The node's answer to one call; without `params` it gets an empty list, as nodes expect.
    pub(crate) async fn call(&self, method: &str, params: Option<&RawValue>) -> Result<Box<RawValue>, RpcError> {
        let mut calls = Calls::new();
        match params {
            Some(params) => calls.push(method, &params),
            None => calls.push(method, &[(); 0]),
        }
        let permit = timeout(WAIT, self.permits.acquire()).await;
        let Ok(Ok(_permit)) = permit else {
            return Err(RpcError::busy("all connections to the node are taken; it was not asked", READ_RETRY_MS));
        };
        let current = self.roster.current();
        let kept = self.idle.borrow_mut().pop().filter(|(node, _)| *node == current);
        let mut lane = kept.map_or_else(|| self.roster.lane(self.room.clone(), &self.gates, current), |(_, lane)| lane);
        let end = lane.exchange(&calls).await.ends.pop();
        // What clients ask for next, and when, nobody knows.
        lane.rest();
        self.idle.borrow_mut().push((current, lane));
        match end {
            Some(End::Answered(Ok(result))) => Ok(result),
            Some(End::Answered(Err(error))) => Err(error.into()),
            Some(End::BeforeSend(fault)) => Err(unanswered(&fault, "it was not asked")),
            Some(End::Ambiguous(fault)) => Err(unanswered(&fault, "it may have been asked")),
            None => Err(RpcError::internal("a lane ended no call")),
        }
    }
}

/// The node did not answer.
pub(crate) fn unanswered(fault: &Fault, asked: &str) -> RpcError {
    match fault.retry_after() {
        Some(wait) => {
            RpcError::busy(format!("no answer of the node: {fault}; {asked}"), u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
        }
        None => RpcError::new(INTERNAL, format!("no answer of the node: {fault}; {asked}")),
    }
}

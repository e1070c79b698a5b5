//! Subscriptions of one client: a WebSocket of its own to the node, opened by the first one.
//!
//! ```text
//! eth_subscribe ──► task ──► node        one task for each client that subscribes
//! its answer ◄───── by id ◄──┤
//! outbox ◄───────── the rest ┘           waits for the client: the node then waits too, or cuts the connection
//! ```
//!
//! **How it fails.** A client that comes when `facade.subscribers` of them have such a WebSocket is told so. A node without an address for heads (`node.ws_url`) has no subscriptions: the error says so. If the connection to the node
//! ends, so does the client's, which then knows that it missed something. An answer that comes when nobody waits for it any more is dropped.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use flume::{Receiver, Sender};
use futures_util::FutureExt;
use netio::{Fault, Link, Room};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::jsonrpc::error::{INTERNAL, METHOD_NOT_FOUND, READ_RETRY_MS, RpcError};
use crate::jsonrpc::upstream::{Upstream, unanswered};
use crate::jsonrpc::{Outbox, Outgoing};

/// Requests to the node that may wait to be written, and after how many without an answer those are forgotten for which nobody waits any more.
/// A connection has fewer under way.
const ASKED: usize = 64;

/// Who waits for an answer, by the id of the request.
type Open = HashMap<u64, Sender<Result<Box<RawValue>, RpcError>>>;

/// What a client's WebSocket has.
pub(crate) struct Session {
    outbox: Outbox,
    /// Of which each link takes one.
    links: Arc<Semaphore>,
    link: RefCell<Option<Sender<Asked>>>,
}

/// A request to the node, and where its answer goes.
struct Asked {
    method: String,
    params: Option<Box<RawValue>>,
    reply: Sender<Result<Box<RawValue>, RpcError>>,
}

/// A request as the node reads it; the parameters as the client wrote them, however deep they are.
#[derive(Serialize)]
struct Request<'a> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: Option<&'a RawValue>,
}

impl Request<'_> {
    fn text(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

/// A message of the node.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default)]
    id: Option<u64>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<netio::RpcError>,
}

impl Session {
    pub(super) fn new(outbox: Outbox, links: Arc<Semaphore>) -> Self {
        Self { outbox, links, link: RefCell::default() }
    }

    /// Asks over the client's own connection to the node.
    pub(super) async fn call<R: Room>(
        &self,
        upstream: &Upstream<R>,
        method: &str,
        params: Option<&RawValue>,
    ) -> Result<Box<RawValue>, RpcError> {
        let link = self.link(upstream).await?;
        let (reply, answer) = flume::bounded(1);
        let lost = || RpcError::new(INTERNAL, "the connection to the node is lost; connect again");
        let asked = Asked { method: method.to_owned(), params: params.map(RawValue::to_owned), reply };
        link.send_async(asked).await.map_err(|_| lost())?;
        let limit = upstream.roster.limits().request_timeout;
        match timeout(limit, answer.recv_async()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(lost()),
            Err(_) => Err(unanswered(&Fault::TimedOut, "it may have been asked")),
        }
    }

    async fn link<R: Room>(&self, upstream: &Upstream<R>) -> Result<Sender<Asked>, RpcError> {
        if let Some(link) = &*self.link.borrow() {
            return Ok(link.clone());
        }
        let Some(endpoint) = upstream.roster.heads(upstream.roster.current()) else {
            return Err(RpcError::new(METHOD_NOT_FOUND, "there are no subscriptions: the node has no node.ws_url"));
        };
        let Ok(permit) = Arc::clone(&self.links).try_acquire_owned() else {
            let message = "as many clients have subscriptions as may (facade.subscribers): try again when one of them has gone";
            return Err(RpcError::busy(message, READ_RETRY_MS));
        };
        let opened = Link::open(&upstream.room, endpoint, upstream.roster.limits()).await;
        let opened = opened.map_err(|fault| unanswered(&fault, "it was not asked"))?;
        // Meanwhile another subscription may have opened one.
        let mut link = self.link.borrow_mut();
        Ok(link
            .get_or_insert_with(|| {
                let (ask, asked) = flume::bounded(ASKED);
                upstream.room.spawn(carry(opened, permit, asked, self.outbox.clone()));
                ask
            })
            .clone())
    }
}

/// Carries messages both ways until the client or the node is gone.
async fn carry<R: Room>(mut link: Link<R>, _permit: OwnedSemaphorePermit, asked: Receiver<Asked>, outbox: Outbox) {
    let mut open = Open::new();
    let mut next = 0;
    loop {
        let heard = futures_util::select_biased! {
            asked = asked.recv_async().fuse() => {
                // The client has gone.
                let Ok(Asked { method, params, reply }) = asked else { return };
                let request = match (Request { jsonrpc: "2.0", id: next, method: &method, params: params.as_deref() }).text() {
                    Ok(request) => request,
                    Err(error) => {
                        // Whoever asked may have given up.
                        let _ = reply.try_send(Err(RpcError::internal(error)));
                        continue;
                    }
                };
                if open.len() >= ASKED {
                    open.retain(|_, reply| !reply.is_disconnected());
                }
                open.insert(next, reply);
                next += 1;
                match link.say(request).await {
                    Ok(()) => continue,
                    Err(fault) => Err(fault),
                }
            }
            heard = link.next().fuse() => heard,
        };
        match heard {
            Ok(text) => {
                if !pass_on(&text, &mut open, &outbox).await {
                    return;
                }
            }
            Err(fault) => {
                tracing::debug!(%fault, "a client's connection to the node has ended");
                // The client may have gone as well.
                let _ = timeout(Duration::from_secs(1), outbox.send_async(Outgoing::End)).await;
                return;
            }
        }
    }
}

/// An answer goes to who asked, anything else to the client. False if that is gone.
async fn pass_on(text: &str, open: &mut Open, outbox: &Outbox) -> bool {
    let answer = serde_json::from_str::<Message<'_>>(text).ok().and_then(|message| message.id.map(|id| (id, message)));
    let Some((id, message)) = answer else { return outbox.send_async(Outgoing::Say(text.as_bytes().to_vec())).await.is_ok() };
    let Some(reply) = open.remove(&id) else { return true };
    let answer = match message {
        Message { error: Some(error), .. } => Err(error.into()),
        Message { result: Some(result), .. } => Ok(result.to_owned()),
        Message { .. } => Ok(RawValue::NULL.to_owned()),
    };
    // Whoever asked may have given up.
    let _ = reply.try_send(answer);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_go_to_the_node_however_deep_they_are() {
        let params = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
        let raw: &RawValue = serde_json::from_str(&params).expect("JSON");
        let text = Request { jsonrpc: "2.0", id: 7, method: "eth_subscribe", params: Some(raw) }.text().expect("a request");
        assert_eq!(text, format!(r#"{{"jsonrpc":"2.0","id":7,"method":"eth_subscribe","params":{params}}}"#));
    }
}

//! A WebSocket through the proxy: one to the client, one to the node.
//!
//! A request is passed on when the one before it is answered, so that the next message of the node that is no notification is its reply.

use async_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::{
    edit::{as_head, hex, quantity},
    front::{Front, Way},
    upstream::NodeSocket,
};
use crate::server::ws::{Socket, tell};

/// A client's WebSocket and the node's.
pub(super) struct Line {
    client: Socket,
    node: NodeSocket,
    /// Hash of the head that was announced last.
    announced: Option<Value>,
}

impl Line {
    pub(super) fn new(client: Socket, node: NodeSocket) -> Self {
        Self { client, node, announced: None }
    }

    /// Passes messages on until either side ends.
    pub(super) async fn converse(mut self, front: &Front) -> Result<(), tungstenite::Error> {
        loop {
            tokio::select! {
                message = self.client.next() => {
                    let Some(body) = content(message)? else { return Ok(()) };
                    let Some(body) = body else { continue };
                    let outcome = front.process(body, Way::WebSocket(&mut self)).await;
                    if !tell(&mut self.client, outcome).await? {
                        return Ok(());
                    }
                }
                message = self.node.next() => {
                    let Some(body) = content(message)? else { return self.client.close(None).await };
                    if let Some(body) = body {
                        self.notify(&body, front).await?;
                    }
                }
            }
        }
    }

    /// Sends a request to the node and waits for its reply, if it wants one. Notifications that come meanwhile go to the client.
    pub(super) async fn exchange(&mut self, body: Bytes, wants_reply: bool, front: &Front) -> Result<Bytes, tungstenite::Error> {
        let text = Utf8Bytes::try_from(body)?;
        self.node.send(Message::Text(text)).await?;
        if !wants_reply {
            return Ok(Bytes::new());
        }
        loop {
            let message = self.node.next().await;
            match content(message)? {
                None => return Err(tungstenite::Error::ConnectionClosed),
                Some(None) => {}
                Some(Some(body)) if is_notification(&body) => self.notify(&body, front).await?,
                Some(Some(body)) => return Ok(body),
            }
        }
    }

    /// Tells the client what the node tells its subscribers; heads with the lag that is set.
    async fn notify(&mut self, body: &Bytes, front: &Front) -> Result<(), tungstenite::Error> {
        let lag = front.head_lag();
        let mut notification = body.clone();
        if lag > 0
            && let Ok(message) = serde_json::from_slice::<Value>(body)
            && let Some(number) = announced_number(&message)
        {
            match self.earlier(message, number, lag, front).await {
                Some(earlier) => notification = earlier.to_string().into(),
                None => return Ok(()),
            }
        }
        let Ok(text) = Utf8Bytes::try_from(notification) else { return Ok(()) };
        self.client.send(Message::Text(text)).await
    }

    /// The announcement of the head that is shown when head `number` comes; `None` when there is none, or it was announced before.
    async fn earlier(&mut self, mut message: Value, number: u64, lag: u64, front: &Front) -> Option<Value> {
        let shown = number.checked_sub(lag)?;
        let block = front.upstream.call("eth_getBlockByNumber", json!([hex(shown), false])).await.ok()?;
        let hash = block.get("hash")?.clone();
        if self.announced.replace(hash.clone()) == Some(hash) {
            return None;
        }
        message["params"]["result"] = as_head(block);
        Some(message)
    }
}

/// What a message says: `None` at the end, `Some(None)` when it is none of JSON-RPC.
fn content(message: Option<Result<Message, tungstenite::Error>>) -> Result<Option<Option<Bytes>>, tungstenite::Error> {
    Ok(match message.transpose()? {
        None | Some(Message::Close(_)) => None,
        Some(Message::Text(text)) => Some(Some(text.into())),
        Some(Message::Binary(bytes)) => Some(Some(bytes)),
        Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Some(None),
    })
}

fn is_notification(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|message| message["method"] == "eth_subscription")
}

/// The number of the head that a notification announces.
fn announced_number(message: &Value) -> Option<u64> {
    let result = &message["params"]["result"];
    // A log has a number too, but no parent.
    quantity(&result["number"]).filter(|_| message["method"] == "eth_subscription" && result["parentHash"].is_string())
}

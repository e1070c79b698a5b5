//! The node behind the proxy: HTTP over connections that are kept, and a WebSocket at the same place.

use std::{cell::RefCell, fmt, time::Duration};

use alloy::primitives::Address;
use async_tungstenite::{WebSocketStream, tokio::ConnectStream, tungstenite::protocol::WebSocketConfig};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response, StatusCode, Uri,
    client::conn::http1::{self, SendRequest},
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::spawn_local, time::timeout};

use super::edit::quantity;
use crate::server::{http::plain, service::Reply};

/// A node that answers later than this does not answer: longer than any client waits.
const PATIENCE: Duration = Duration::from_secs(600);
/// Largest reply passed on, in bytes: several times a block with ten thousand receipts.
const REPLY_MAX_BYTES: usize = 256 * 1024 * 1024;
/// Connections kept for later requests.
const IDLE_MAX: usize = 64;

type Sender = SendRequest<Full<Bytes>>;

/// A WebSocket to the node.
pub(super) type NodeSocket = WebSocketStream<ConnectStream>;

/// The node does not answer. It says nothing of the address, whose path may be a key.
#[derive(Debug)]
pub(super) struct Unreachable(String);

impl fmt::Display for Unreachable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the node behind this proxy does not answer: {}", self.0)
    }
}

impl Unreachable {
    fn because(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }

    /// What a client of the proxy is told.
    pub(super) fn response(&self) -> Reply {
        plain(StatusCode::BAD_GATEWAY, &format!("{self}\n"))
    }
}

/// The node. Belongs to one thread.
pub(super) struct Upstream {
    authority: String,
    path: String,
    idle: RefCell<Vec<Sender>>,
}

impl Upstream {
    /// The node at an `http://` address; `None` when it is none.
    pub(super) fn new(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority().filter(|authority| authority.port().is_some() && !authority.as_str().contains('@'))?.to_string();
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        (uri.scheme_str() == Some("http")).then_some(Self { authority, path, idle: RefCell::default() })
    }

    /// Posts a body and gives the whole response.
    pub(super) async fn post(&self, body: Bytes) -> Result<Response<Bytes>, Unreachable> {
        timeout(PATIENCE, self.exchange(body)).await.map_err(Unreachable::because)?
    }

    async fn exchange(&self, body: Bytes) -> Result<Response<Bytes>, Unreachable> {
        let request = Request::post(self.path.as_str()).header(HOST, self.authority.as_str()).header(CONTENT_TYPE, "application/json");
        let mut request = request.body(Full::new(body)).map_err(Unreachable::because)?;
        loop {
            let kept = self.idle.borrow_mut().pop();
            let is_new = kept.is_none();
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.connect().await?,
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let body = Limited::new(body, REPLY_MAX_BYTES).collect().await.map_err(Unreachable::because)?.to_bytes();
                    let mut idle = self.idle.borrow_mut();
                    if !sender.is_closed() && idle.len() < IDLE_MAX {
                        idle.push(sender);
                    }
                    return Ok(Response::from_parts(head, body));
                }
                // A kept connection that the node has closed meanwhile: not a byte was sent, so it goes again on another one.
                Err(mut error) => match error.take_message().filter(|_| !is_new) {
                    Some(unsent) => request = unsent,
                    None => return Err(Unreachable::because(error.error())),
                },
            }
        }
    }

    async fn connect(&self) -> Result<Sender, Unreachable> {
        let stream = TcpStream::connect(&self.authority).await.map_err(Unreachable::because)?;
        // If it fails small requests are only slow.
        let _ = stream.set_nodelay(true);
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Unreachable::because)?;
        spawn_local(async move {
            // Whoever waits on it learns of its end.
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// Opens a WebSocket to the node.
    pub(super) async fn websocket(&self) -> Result<NodeSocket, Unreachable> {
        let url = format!("ws://{}{}", self.authority, self.path);
        let config = WebSocketConfig::default().max_message_size(Some(REPLY_MAX_BYTES)).max_frame_size(Some(REPLY_MAX_BYTES));
        let connecting = async_tungstenite::tokio::connect_async_with_config(url, Some(config));
        let connected = timeout(PATIENCE, connecting).await.map_err(Unreachable::because)?;
        Ok(connected.map_err(Unreachable::because)?.0)
    }

    /// The result of a call of the proxy's own.
    pub(super) async fn call(&self, method: &str, params: Value) -> Result<Value, Unreachable> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let response = self.post(body.into()).await?;
        let mut reply: Value = serde_json::from_slice(response.body()).map_err(Unreachable::because)?;
        reply.get_mut("result").map(Value::take).ok_or_else(|| Unreachable(format!("{method} has no result")))
    }

    /// The number of the node's head.
    pub(super) async fn head(&self) -> Result<u64, Unreachable> {
        let head = self.call("eth_blockNumber", json!([])).await?;
        quantity(&head).ok_or_else(|| Unreachable("eth_blockNumber is no number".to_owned()))
    }

    /// How many transactions of an account are mined.
    pub(super) async fn nonce(&self, address: Address) -> Result<u64, Unreachable> {
        let nonce = self.call("eth_getTransactionCount", json!([address, "latest"])).await?;
        quantity(&nonce).ok_or_else(|| Unreachable("eth_getTransactionCount is no number".to_owned()))
    }
}

//! WebSocket: each text message is a request or a batch, answered in order; new heads come in between.
//!
//! A held reply holds the messages behind it on the same socket. A subscriber that falls too far behind is closed.

use async_tungstenite::{
    WebSocketStream,
    tokio::TokioAdapter,
    tungstenite::{
        self, Message, Utf8Bytes,
        protocol::{Role, WebSocketConfig},
    },
};
use futures_util::StreamExt;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::{
    service::{Outcome, Service},
    shared::Shared,
};
use crate::{
    chain::Block,
    error::{LIMIT_EXCEEDED, RpcError},
    rpc::{self, Session},
};

/// A WebSocket to a client.
pub(crate) type Socket = WebSocketStream<TokioAdapter<TokioIo<Upgraded>>>;

/// The socket of a connection that was upgraded.
pub(crate) async fn socket(upgraded: Upgraded, max_message_bytes: usize) -> Socket {
    let io = TokioAdapter::new(TokioIo::new(upgraded));
    let config = WebSocketConfig::default().max_message_size(Some(max_message_bytes));
    WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await
}

/// Serves a socket until it ends.
pub(super) async fn serve(upgraded: Upgraded, shared: &Shared) {
    let mut socket = socket(upgraded, shared.max_body_bytes()).await;
    // However it ends, the peer sees the socket close.
    let _ = converse(&mut socket, shared).await;
}

async fn converse(socket: &mut Socket, shared: &Shared) -> Result<(), tungstenite::Error> {
    let mut session = Session::default();
    let mut heads = shared.heads();
    loop {
        tokio::select! {
            message = socket.next() => {
                let Some(message) = message else { return Ok(()) };
                let body = match message? {
                    Message::Text(text) => text.into(),
                    Message::Binary(bytes) => bytes,
                    Message::Close(_) => return Ok(()),
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
                };
                if !answer(socket, shared, &mut session, &body).await? {
                    return Ok(());
                }
            }
            head = heads.recv() => {
                let Ok(head) = head else { return socket.close(None).await };
                announce(socket, &session, &head).await?;
            }
        }
    }
}

async fn answer(socket: &mut Socket, shared: &Shared, session: &mut Session, body: &[u8]) -> Result<bool, tungstenite::Error> {
    let outcome = shared.process(body, Some(session)).await;
    tell(socket, outcome).await
}

/// Sends what became of a message; `false` when the connection is to be cut.
pub(crate) async fn tell(socket: &mut Socket, outcome: Outcome) -> Result<bool, tungstenite::Error> {
    let reply = match outcome {
        // A response that is no JSON-RPC has no form on a WebSocket.
        Outcome::Cut | Outcome::Foreign(_) => return Ok(false),
        Outcome::Json(reply) => reply,
        Outcome::TooManyRequests(seconds) => {
            let mut reply = Vec::new();
            let error = RpcError::new(LIMIT_EXCEEDED, format!("too many requests, try again in {seconds} s"));
            rpc::write_error(&mut reply, None, &error);
            reply.into()
        }
    };
    if reply.is_empty() {
        return Ok(true);
    }
    // What another node sent may be no text at all.
    let Ok(text) = Utf8Bytes::try_from(reply) else { return Ok(false) };
    socket.send(Message::Text(text)).await?;
    Ok(true)
}

async fn announce(socket: &mut Socket, session: &Session, head: &Block) -> Result<(), tungstenite::Error> {
    for subscription in session.subscriptions() {
        socket.send(Message::text(rpc::new_head(head, *subscription))).await?;
    }
    Ok(())
}

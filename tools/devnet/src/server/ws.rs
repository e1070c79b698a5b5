//! WebSocket: each text message is a request or a batch, answered in order; new heads come in between.
//!
//! A held reply holds the messages behind it on the same socket. A subscriber that falls too far behind is closed.

use std::rc::Rc;

use async_tungstenite::{
    WebSocketStream,
    tokio::TokioAdapter,
    tungstenite::{
        self, Message,
        protocol::{Role, WebSocketConfig},
    },
};
use futures_util::StreamExt;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::shared::{Outcome, Shared};
use crate::{
    chain::Block,
    error::{LIMIT_EXCEEDED, RpcError},
    rpc::{self, Session},
};

type Socket = WebSocketStream<TokioAdapter<TokioIo<Upgraded>>>;

/// Serves a socket until it ends.
pub(super) async fn serve(upgraded: Upgraded, shared: Rc<Shared>) {
    let io = TokioAdapter::new(TokioIo::new(upgraded));
    let config = WebSocketConfig::default().max_message_size(Some(shared.max_body_bytes));
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    // However it ends, the peer sees the socket close.
    let _ = converse(&mut socket, &shared).await;
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

/// Answers a message; `false` when the connection is to be cut.
async fn answer(socket: &mut Socket, shared: &Shared, session: &mut Session, body: &[u8]) -> Result<bool, tungstenite::Error> {
    let reply = match shared.process(body, Some(session)).await {
        Outcome::Cut => return Ok(false),
        Outcome::Reply(reply) => reply,
        Outcome::TooManyRequests(seconds) => {
            let mut reply = Vec::new();
            let error = RpcError::new(LIMIT_EXCEEDED, format!("too many requests, try again in {seconds} s"));
            rpc::write_error(&mut reply, None, &error);
            reply
        }
    };
    if !reply.is_empty() {
        let text = String::from_utf8(reply).expect("JSON written here is UTF-8");
        socket.send(Message::text(text)).await?;
    }
    Ok(true)
}

async fn announce(socket: &mut Socket, session: &Session, head: &Block) -> Result<(), tungstenite::Error> {
    for subscription in session.subscriptions() {
        socket.send(Message::text(rpc::new_head(head, *subscription))).await?;
    }
    Ok(())
}
